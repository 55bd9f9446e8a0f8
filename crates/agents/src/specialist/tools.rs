//! The tools of a session: what a model may look at and do, each with a published schema. Every answer is bounded; whatever
//! recipes, evaluators or other proposers wrote is quoted as data.

use std::sync::Arc;

use empiric_core::{
    Failure, Hypothesis, IdeaNo, Operator, Prediction, Reach, Role, Sketch, Thought,
};
use regex::RegexBuilder;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{quoted, workspace::Workspace};
use crate::{
    Brief, Files, Proposal,
    digest::{Channels, number, one_line, signed},
};

mod past;
mod words;

pub(super) use words::open;
use words::{
    AddInsight, Fetch, GiveUp, Nothing, One, Patch, Path, Read, ReadTrial, Replace, Search, Submit,
    Trials, Two, Write,
};

/// Most bytes of one answer.
pub(super) const ANSWER: usize = 16 << 10;
/// Most lines of a file in one answer.
const LINES: usize = 400;
/// Most bytes of a page of the web in one answer.
const PAGE: usize = 12 << 10;
/// Most places that a search shows.
const PLACES: usize = 60;
/// Smoke stages that one session may run.
const REHEARSALS: u32 = 3;
/// Pages of the web that one session may read.
const FETCHES: u32 = 12;
/// Most bytes of a file that a session may write.
const WRITTEN: usize = 256 << 10;

/// What a call of a tool came to.
pub(super) enum Answer {
    /// It answered.
    Said(String),
    /// It could not; the failure's signature tells whether it is always the same.
    Failed { text: String, signature: String },
    /// The edit is handed in.
    Submitted(Box<Proposal>),
    /// The session gives up.
    GaveUp(String),
    /// The session ends for a reason that is nobody's here.
    Ended(Failure),
}

/// The tools of one session.
pub(super) struct Tools<'a> {
    pub(super) brief: &'a Brief,
    pub(super) role: &'a Role,
    pub(super) channels: &'a Channels,
    pub(super) space: Workspace,
    /// Hosts whose pages may be read.
    pub(super) web: &'a [String],
    pub(super) rehearsals: u32,
    pub(super) fetches: u32,
    /// The last failure of a check, which the session ends with when it cannot get past it.
    pub(super) last: Option<Failure>,
}

type Said = Result<String, Answer>;

impl Tools<'_> {
    /// Calls a tool.
    pub(super) fn call(&mut self, name: &str, arguments: &Value) -> Answer {
        if !words::open(self.channels, self.web).iter().any(|tool| tool.name == name) {
            return failed(format!("there is no tool `{}`", one_line(name, 60)));
        }
        let said = match name {
            "list_files" => args(arguments).map(|Nothing {}| self.list()),
            "read_file" => args(arguments).and_then(|args: Read| self.read(&args)),
            "search" => args(arguments).and_then(|args: Search| self.search(&args)),
            "replace" => args(arguments).and_then(|args: Replace| self.replace(&args)),
            "write_file" => args(arguments).and_then(|args: Write| self.write(args)),
            "delete_file" => args(arguments).and_then(|args: Path| self.delete(&args)),
            "apply_patch" => args(arguments).and_then(|args: Patch| self.patch(&args)),
            "diff" => args(arguments).map(|Nothing {}| self.diff()),
            "check" => args(arguments).and_then(|Nothing {}| self.check()),
            "estimate" => args(arguments).map(|Nothing {}| self.estimate()),
            "smoke" => args(arguments).and_then(|Nothing {}| self.smoke()),
            "fetch" => args(arguments).and_then(|args: Fetch| self.fetch(&args)),
            "list_trials" => args(arguments).map(|args: Trials| self.trials(&args)),
            "show_trial" => args(arguments).and_then(|args: One| self.show(&args)),
            "diff_trials" => args(arguments).and_then(|args: Two| self.diff_trials(&args)),
            "read_trial" => args(arguments).and_then(|args: ReadTrial| self.read_trial(&args)),
            "rebase" => args(arguments).and_then(|args: One| self.rebase(&args)),
            "add_insight" => args(arguments).and_then(|args: AddInsight| self.insight(&args)),
            "add_idea" => args(arguments).and_then(|args: Sketch| self.idea(args)),
            "submit" => args(arguments).and_then(|args: Submit| self.submit(&args)),
            _ => args(arguments)
                .and_then(|args: GiveUp| Err(Answer::GaveUp(one_line(&args.reason, 300)))),
        };
        match said {
            Ok(text) => Answer::Said(bounded(text)),
            Err(answer) => answer,
        }
    }

    fn list(&self) -> String {
        let line = |(path, text): (&String, &Arc<str>)| {
            let mine = if self.space.refuses(path).is_none() { "yours" } else { "not yours" };
            format!("{path}  {} bytes, {} lines, {mine}\n", text.len(), text.lines().count())
        };
        self.space.files.iter().map(line).collect()
    }

    fn read(&self, args: &Read) -> Said {
        let text = self
            .space
            .files
            .get(&args.path)
            .ok_or_else(|| missing(&args.path, &self.space.files))?;
        Ok(numbered(text, args.from.unwrap_or(1), args.lines.unwrap_or(LINES)))
    }

    fn search(&self, args: &Search) -> Said {
        let pattern = RegexBuilder::new(&args.pattern).size_limit(1 << 20).build();
        let pattern = pattern.map_err(|error| {
            failed(format!("no regular expression: {}", one_line(&error.to_string(), 300)))
        })?;
        let files = self.space.files.iter();
        let files = files.filter(|(path, _)| args.path.as_ref().is_none_or(|only| only == *path));
        let found = files.flat_map(|(path, text)| {
            let lines = text.lines().enumerate().filter(|(_, line)| pattern.is_match(line));
            lines.map(move |(at, line)| format!("{path}:{}: {}\n", at + 1, clip(line, 200)))
        });
        let places: Vec<String> = found.take(PLACES + 1).collect();
        let more = if places.len() > PLACES { "(and more)\n" } else { "" };
        let shown: String = places.iter().take(PLACES).map(String::as_str).collect();
        Ok(if shown.is_empty() { "nothing".to_owned() } else { format!("{shown}{more}") })
    }

    /// Whether the file at `path` may be edited.
    fn mine(&mut self, path: &str) -> Result<(), Answer> {
        match self.space.refuses(path) {
            None => Ok(()),
            Some(why) => {
                let cause = empiric_core::Cause::OutsideSurface { path: one_line(path, 200) };
                self.last = Some(Failure::new(empiric_core::Phase::Static, cause));
                Err(Answer::Failed {
                    text: why,
                    signature: format!("outside_surface {}", one_line(path, 80)),
                })
            }
        }
    }

    fn replace(&mut self, args: &Replace) -> Said {
        self.mine(&args.path)?;
        let text = self
            .space
            .files
            .get(&args.path)
            .ok_or_else(|| missing(&args.path, &self.space.files))?;
        if args.search.is_empty() {
            return Err(failed(
                "search for the text to replace; write_file makes new files".to_owned(),
            ));
        }
        let places: Vec<usize> =
            text.match_indices(&args.search).map(|(at, _)| at).take(6).collect();
        match places[..] {
            [at] => {
                let new =
                    format!("{}{}{}", &text[..at], args.replace, &text[at + args.search.len()..]);
                self.put(&args.path, new)?;
                Ok(format!("replaced at line {}", text_line(&self.space, &args.path, at)))
            }
            [] => Err(failed(format!("the text is not in `{}`; read it again", args.path))),
            [..] => {
                let lines: Vec<String> = places
                    .iter()
                    .map(|at| text_line(&self.space, &args.path, *at).to_string())
                    .collect();
                Err(failed(format!(
                    "the text is there more than once, at lines {}; take more of what stands around it",
                    lines.join(", ")
                )))
            }
        }
    }

    fn put(&mut self, path: &str, text: String) -> Result<(), Answer> {
        if text.len() > WRITTEN {
            return Err(failed(format!("{} bytes; a file may have {WRITTEN}", text.len())));
        }
        self.space.put(path, text);
        Ok(())
    }

    fn write(&mut self, args: Write) -> Said {
        self.mine(&args.path)?;
        let bytes = args.text.len();
        self.put(&args.path, args.text)?;
        Ok(format!("written, {bytes} bytes"))
    }

    fn delete(&mut self, args: &Path) -> Said {
        self.mine(&args.path)?;
        if self.space.remove(&args.path) {
            Ok("deleted".to_owned())
        } else {
            Err(missing(&args.path, &self.space.files))
        }
    }

    fn patch(&mut self, args: &Patch) -> Said {
        let patched = self.brief.errands.patch(&self.space.files, &args.patch);
        let patched = patched
            .map_err(|why| failed(format!("the patch does not fit: {}", one_line(&why, 400))))?;
        let before = &self.space.files;
        let touched: Vec<String> = patched
            .iter()
            .filter(|(path, text)| before.get(*path) != Some(text))
            .map(|(path, _)| path.clone())
            .chain(before.keys().filter(|path| !patched.contains_key(*path)).cloned())
            .collect();
        for path in &touched {
            self.mine(path)?;
        }
        self.space.files = patched;
        Ok(format!("patched {}", touched.join(", ")))
    }

    fn diff(&self) -> String {
        let diff = self.brief.errands.diff(self.space.base(), &self.space.files);
        if diff.is_empty() { "nothing is changed".to_owned() } else { diff }
    }

    fn check(&mut self) -> Said {
        self.passes()?;
        Ok("it may be handed in".to_owned())
    }

    /// Whether the edit may be handed in: small enough for the role, and within the rules.
    fn passes(&mut self) -> Result<(), Answer> {
        if let Some(radius) = self.role.radius {
            let diff = self.brief.errands.diff(self.space.base(), &self.space.files);
            let lines = diff.lines().filter(edited).count();
            if lines > radius as usize {
                let text = format!(
                    "{lines} lines are changed, and your edits may change {radius}; do less at a time"
                );
                return Err(Answer::Failed { text, signature: "edit too wide".to_owned() });
            }
        }
        self.checked().map_err(|failure| self.refused(failure))
    }

    fn checked(&self) -> Result<(), Failure> {
        let changes = self.space.changes();
        self.brief.errands.check(self.space.parent, &changes, self.role.surface.as_deref())
    }

    fn refused(&mut self, failure: Failure) -> Answer {
        let excerpt = quoted("the check", &failure.excerpt, 1200);
        let text = format!(
            "it would be refused: {failure}\n{}",
            if failure.excerpt.is_empty() { "" } else { &excerpt }
        );
        let signature = failure.signature().text;
        self.last = Some(failure);
        Answer::Failed { text, signature }
    }

    fn estimate(&self) -> String {
        use std::fmt::Write as _;
        let (before, now) = self.space.bytes();
        let mut text = format!(
            "recipe: {before} bytes before, {now} now ({:+})\n",
            now as i64 - before as i64
        );
        let study = &self.brief.study;
        let Some(parent) = study.trial(self.space.parent) else { return text };
        for gate in &study.task().gates {
            let values: Vec<f64> = parent
                .replicates
                .iter()
                .filter_map(|replicate| replicate.value(&gate.metric, empiric_core::Split::Search))
                .collect();
            if !values.is_empty() {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let _ = writeln!(
                    text,
                    "{gate}: {} had {} (margin {})",
                    parent.no,
                    number(mean),
                    signed(gate.margin(mean))
                );
            }
        }
        for stage in &study.task().stages {
            let limits = &stage.command.limits;
            let units = parent.replicates.iter().filter_map(|replicate| replicate.result.as_ref());
            let units: Vec<_> = units
                .flat_map(|result| &result.units)
                .filter(|unit| unit.name == stage.name)
                .collect();
            let most = |part: fn(&empiric_core::trial::UnitRecord) -> f64| {
                units.iter().map(|unit| part(unit)).fold(0.0, f64::max)
            };
            if !units.is_empty() {
                let cpu = limits.cpu_s.map(|limit| format!(" of {limit}")).unwrap_or_default();
                let _ = writeln!(
                    text,
                    "{}: {} took at most {:.2} of {} s wall, {:.2}{cpu} s CPU, {:.0} MB",
                    stage.name,
                    parent.no,
                    most(|unit| unit.wall_s),
                    limits.wall_s,
                    most(|unit| unit.cpu_s),
                    most(|unit| unit.peak_memory_bytes as f64) / 1e6
                );
            }
        }
        text
    }

    fn smoke(&mut self) -> Said {
        if self.rehearsals >= REHEARSALS {
            return Err(failed(format!(
                "smoke was run {REHEARSALS} times, which is all a session has"
            )));
        }
        self.passes()?;
        self.rehearsals += 1;
        let ran = self.brief.errands.rehearse(self.space.parent, &self.space.changes());
        let ran =
            ran.map_err(|why| failed(format!("it could not be run: {}", one_line(&why, 300))))?;
        let output = quoted("smoke", &ran.output, 6000);
        match ran.failure {
            None => Ok(format!("it ended well after {:.1} s\n{output}", ran.wall_s)),
            Some(failure) => {
                let text = format!(
                    "it failed: {failure}\n{}\n{output}",
                    quoted("the failure", &failure.excerpt, 1500)
                );
                Err(Answer::Failed { text, signature: failure.signature().text })
            }
        }
    }

    fn fetch(&mut self, args: &Fetch) -> Said {
        if self.fetches >= FETCHES {
            return Err(failed(format!(
                "{FETCHES} pages were asked for, which is all a session has"
            )));
        }
        self.fetches += 1;
        let page = self.brief.errands.fetch(&args.url, self.web);
        let page =
            page.map_err(|why| failed(format!("it was not read: {}", one_line(&why, 300))))?;
        let from = args.from.unwrap_or(1).max(1);
        let (mut shown, mut to) = (String::new(), from);
        for line in page.lines().skip(from - 1) {
            let line = clip(line, 2000);
            if shown.len() + line.len() > PAGE {
                break;
            }
            shown.push_str(&line);
            shown.push('\n');
            to += 1;
        }
        let all = page.lines().count();
        let more = if to <= all { format!("; `from` {to} goes on") } else { String::new() };
        Ok(format!("{}lines {from} to {} of {all}{more}", quoted("the page", &shown, PAGE), to - 1))
    }

    fn idea(&self, sketch: Sketch) -> Said {
        let known = |name: &String| {
            self.brief.study.task().surfaces.iter().any(|surface| surface.name == *name)
        };
        if let Some(name) = sketch.surface.as_ref().filter(|name| !known(name)) {
            return Err(failed(format!("there is no surface `{}`", one_line(name, 60))));
        }
        self.brief.errands.idea(&self.by(), sketch).map_err(Answer::Ended)?;
        Ok("noted; the harness looks at it before anybody tries it".to_owned())
    }

    fn submit(&mut self, args: &Submit) -> Said {
        let words = empiric_core::idea::worded(&args.hypothesis);
        if words.is_empty() {
            return Err(failed("say what is believed and why".to_owned()));
        }
        if args.size.is_some_and(|size| !size.is_finite()) {
            return Err(failed("the size of the prediction is no number".to_owned()));
        }
        let idea = match &args.idea {
            None => None,
            Some(word) => {
                let no: Option<IdeaNo> = word.trim().parse().ok();
                let no = no.filter(|no| self.brief.study.library().idea(*no).is_some());
                Some(
                    no.ok_or_else(|| failed(format!("there is no idea `{}`", one_line(word, 40))))?,
                )
            }
        };
        self.passes()?;
        let prediction = Prediction {
            metric: self.brief.study.task().metric.name.clone(),
            direction: args.direction,
            size: args.size.map(f64::abs),
        };
        let asked = &self.brief.ask;
        let mut parents = vec![self.space.parent];
        // A merge keeps its second parent, unless the session went elsewhere.
        if asked.operator == Operator::Merge && asked.parents.first() == Some(&self.space.parent) {
            parents.extend(asked.parents.iter().skip(1));
        }
        let operator = if args.reach == Reach::Parameter && asked.operator == Operator::Improve {
            Operator::Tune
        } else {
            asked.operator
        };
        Err(Answer::Submitted(Box::new(Proposal {
            operator,
            parents,
            surface: self.role.surface.clone(),
            hypothesis: Hypothesis { text: words, prediction: Some(prediction) },
            edits: self.space.changes(),
            thought: Some(Thought { reach: args.reach, idea }),
            by: Some(self.role.name.clone()),
            detail: Value::Null,
        })))
    }
}

fn args<A: DeserializeOwned>(arguments: &Value) -> Result<A, Answer> {
    if !arguments.is_object() {
        return Err(failed("the arguments are no JSON object".to_owned()));
    }
    A::deserialize(arguments).map_err(|error| {
        failed(format!("the arguments do not fit: {}", one_line(&error.to_string(), 300)))
    })
}

pub(super) fn failed(text: String) -> Answer {
    Answer::Failed { signature: text.clone(), text }
}

fn missing(path: &str, files: &Files) -> Answer {
    let known: Vec<&str> = files.keys().map(String::as_str).take(40).collect();
    failed(format!("there is no file `{}`; there are {}", one_line(path, 120), known.join(", ")))
}

fn numbered(text: &str, from: usize, lines: usize) -> String {
    let from = from.max(1);
    let total = text.lines().count();
    let shown = text.lines().enumerate().skip(from - 1).take(lines.min(LINES));
    let mut out: String =
        shown.map(|(at, line)| format!("{:>5} {}\n", at + 1, clip(line, 400))).collect();
    let last = (from - 1).saturating_add(lines.min(LINES));
    if last < total {
        out.push_str(&format!("(lines {} to {total} follow)\n", last + 1));
    }
    if out.is_empty() { format!("it has {total} lines") } else { out }
}

/// Whether a line of a unified diff adds or removes something.
fn edited(line: &&str) -> bool {
    let head = line.starts_with("+++") || line.starts_with("---");
    !head && line.starts_with(['+', '-'])
}

fn clip(line: &str, limit: usize) -> String {
    let clean: String =
        line.chars().filter(|c| *c == '\t' || !c.is_control()).take(limit).collect();
    clean
}

/// The line, from 1, of byte `at`, which may have moved.
fn text_line(space: &Workspace, path: &str, at: usize) -> usize {
    let text = space.files.get(path).map_or("", |text| text);
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

fn bounded(mut text: String) -> String {
    if text.len() > ANSWER {
        let end = (0..=ANSWER).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("\n(cut here)");
    }
    text
}
