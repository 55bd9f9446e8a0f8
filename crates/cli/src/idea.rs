//! `empiric idea`: what people put into a study's library of ideas.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use empiric_core::{IdeaChange, IdeaNo, Reach, Sketch, idea::Level};
use empiric_ledger::{Reader, Request};
use serde_json::json;

use crate::{
    ask,
    exit::{Failure, Kind},
    look, out, words,
};

#[derive(Debug, Args)]
pub(crate) struct Idea {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Put an idea into the library; every arm of models may try it
    Add(Add),
    /// List the library
    List(List),
    /// Take an idea off the list
    Drop(Change),
    /// Let an idea be tried that was dropped or refused
    Restore(Change),
    /// Say how soon an idea should be tried
    Rank(Rank),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The study's directory
    study: PathBuf,
    /// What to do and why it should help
    text: String,
    /// How far it reaches
    #[arg(long, value_name = "REACH", default_value = "code")]
    reach: ReachName,
    /// The surface it is for
    #[arg(long, value_name = "NAME")]
    surface: Option<String>,
    /// How soon it should be tried
    #[arg(long, value_name = "LEVEL", default_value = "high")]
    priority: LevelName,
    /// How likely it is to break something
    #[arg(long, value_name = "LEVEL", default_value = "low")]
    risk: LevelName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The study's directory
    study: PathBuf,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// The study's directory
    study: PathBuf,
    /// The idea, such as i3
    idea: IdeaNo,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rank {
    /// The study's directory
    study: PathBuf,
    /// The idea, such as i3
    idea: IdeaNo,
    /// How soon it should be tried
    priority: LevelName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReachName {
    /// Values move, code stays
    Parameter,
    /// Code changes, what it computes stays in kind
    Code,
    /// Another way to compute it
    Algorithm,
    /// Something the recipe does not have at all
    Leap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LevelName {
    Low,
    Medium,
    High,
}

impl From<LevelName> for Level {
    fn from(level: LevelName) -> Self {
        match level {
            LevelName::Low => Self::Low,
            LevelName::Medium => Self::Medium,
            LevelName::High => Self::High,
        }
    }
}

impl Idea {
    pub(crate) fn json(&self) -> bool {
        match &self.verb {
            Verb::Add(args) => args.json,
            Verb::List(args) => args.json,
            Verb::Drop(args) | Verb::Restore(args) => args.json,
            Verb::Rank(args) => args.json,
        }
    }
}

pub(crate) fn idea(args: &Idea) -> Result<(), Failure> {
    let change = |args: &Change, change| {
        known(&args.study, args.idea)?;
        ask::ask(&args.study, Request::IdeaChange { idea: args.idea, change }, args.json)
    };
    match &args.verb {
        Verb::Add(args) => add(args),
        Verb::List(args) => list(args),
        Verb::Drop(args) => change(args, IdeaChange::Dropped { reason: args.reason.clone() }),
        Verb::Restore(args) => change(args, IdeaChange::Restored),
        Verb::Rank(args) => {
            known(&args.study, args.idea)?;
            let change = IdeaChange::Ranked { priority: args.priority.into() };
            ask::ask(&args.study, Request::IdeaChange { idea: args.idea, change }, args.json)
        }
    }
}

fn add(args: &Add) -> Result<(), Failure> {
    let layout = look::layout(&args.study)?;
    let study = Reader::open(layout.root())?.study()?;
    let text = empiric_core::idea::worded(&args.text);
    if text.is_empty() {
        return Err(Failure::say(Kind::Usage, "the idea says nothing"));
    }
    let surfaces = &study.task().surfaces;
    if let Some(name) =
        args.surface.as_ref().filter(|name| surfaces.iter().all(|known| known.name != **name))
    {
        let known: Vec<&str> = surfaces.iter().map(|known| known.name.as_str()).collect();
        return Err(Failure::say(
            Kind::Input,
            format!("there is no surface `{name}` in this task"),
        )
        .hint(format!("its surfaces are {}", known.join(", "))));
    }
    let reach = match args.reach {
        ReachName::Parameter => Reach::Parameter,
        ReachName::Code => Reach::Code,
        ReachName::Algorithm => Reach::Algorithm,
        ReachName::Leap => Reach::Leap,
    };
    let (priority, risk) = (args.priority.into(), args.risk.into());
    let sketch = Sketch { text, reach, surface: args.surface.clone(), priority, risk };
    ask::ask(&args.study, Request::IdeaAdd { sketch }, args.json)
}

fn known(dir: &std::path::Path, no: IdeaNo) -> Result<(), Failure> {
    let layout = look::layout(dir)?;
    let study = Reader::open(layout.root())?.study()?;
    match study.library().idea(no) {
        Some(_) => Ok(()),
        None => Err(Failure::say(Kind::Input, format!("there is no idea {no} in this study"))
            .hint("`empiric idea list` names them")),
    }
}

fn list(args: &List) -> Result<(), Failure> {
    let layout = look::layout(&args.study)?;
    let study = Reader::open(layout.root())?.study()?;
    for idea in study.library().ideas().values() {
        let sketch = &idea.sketch;
        if args.json {
            out::json(&json!({
                "idea": idea.no, "status": idea.status, "reach": sketch.reach, "priority": sketch.priority,
                "risk": sketch.risk, "surface": sketch.surface, "arm": idea.arm, "by": idea.by, "text": sketch.text,
                "reason": idea.reason, "trials": idea.trials,
            }))?;
            continue;
        }
        let trials: Vec<String> = idea.trials.iter().map(ToString::to_string).collect();
        let evidence =
            if trials.is_empty() { String::new() } else { format!(" [{}]", trials.join(", ")) };
        let reason =
            if idea.reason.is_empty() { String::new() } else { format!(" ({})", idea.reason) };
        let line = format!(
            "{:<5} {:<8} {:<10} {:<7} {}{evidence}{reason}",
            idea.no, idea.status, sketch.reach, sketch.priority, sketch.text
        );
        out::line(&words::clip(&line, out::print_columns()))?;
    }
    Ok(())
}
