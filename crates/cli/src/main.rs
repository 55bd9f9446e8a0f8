//! The `empiric` program: words in, words out.

mod ablate;
mod ambient;
mod args;
mod ask;
mod calls;
mod canaries;
mod check;
mod diagnostics;
mod doctor;
mod exit;
mod idea;
mod live;
mod look;
mod mcp;
mod models;
mod out;
mod preflight;
mod reference;
mod run;
mod runtime;
mod serve;
mod setup;
mod sinks;
mod steer;
mod watch;
mod words;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser};

use crate::{
    args::{Cli, Completions, Init, Schema, SchemaName, Shell, Verb},
    exit::{Failure, Kind},
};

fn main() -> ExitCode {
    // The sandbox helper is this program again; it must start fast and single-threaded.
    if std::env::args_os().nth(1).is_some_and(|word| word == "__unit") {
        return empiric_sandbox::unit_main(std::env::args_os().skip(2));
    }
    #[cfg(debug_assertions)]
    if let Some(point) = ambient::crash_at() {
        empiric_doors::arm(point);
    }
    let cli = Cli::parse();
    let json = wants_json(&cli.verb);
    match carry_out(&cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => tell(&failure, json),
    }
}

fn carry_out(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Init(args) => init(args),
        Verb::Check(args) => check::check(args),
        Verb::Run(args) => run::run(args),
        Verb::Status(args) => look::status(args),
        Verb::Watch(args) => watch::watch(args),
        Verb::Trials(args) => look::trials(args),
        Verb::Show(args) => look::show(args),
        Verb::Diff(args) => look::diff(args),
        Verb::Lineage(args) => look::lineage(args),
        Verb::Report(args) => look::report(args),
        Verb::Verify(args) => look::verify(args),
        Verb::Export(args) => look::export(args),
        Verb::Ablate(args) => ablate::ablate(args),
        Verb::Note(args) => ask::note(args),
        Verb::Idea(args) => idea::idea(args),
        Verb::Pause(args) => ask::pause(args),
        Verb::Resume(args) => ask::resume(args),
        Verb::Stop(args) => ask::stop(args),
        Verb::Budget(args) => steer::budget(args),
        Verb::Pin(args) => steer::pin(args),
        Verb::Unpin(args) => steer::unpin(args),
        Verb::Requeue(args) => steer::requeue(args),
        Verb::Submit(args) => ask::submit(args),
        Verb::Mcp(args) => mcp::mcp(args),
        Verb::Serve(args) => serve::serve(args),
        Verb::Doctor(args) => doctor::doctor(args),
        Verb::Schema(args) => schema(args),
        Verb::Completions(args) => completions(args),
    }
}

/// Says what failed. A reader that went away is no failure.
fn tell(failure: &Failure, json: bool) -> ExitCode {
    let io = failure.error.downcast_ref::<std::io::Error>();
    if io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    if json {
        let error = serde_json::json!({"kind": failure.kind, "error": failure.message(), "hints": failure.hints});
        out::talk(&error.to_string());
        return failure.code();
    }
    match &failure.rendered {
        Some(picture) => out::talk(picture.trim_end()),
        None => out::talk(&format!("error: {}", failure.message())),
    }
    for hint in &failure.hints {
        out::talk(&format!("hint: {hint}"));
    }
    failure.code()
}

fn wants_json(verb: &Verb) -> bool {
    match verb {
        Verb::Init(args) => args.json,
        Verb::Check(args) => args.json,
        Verb::Run(args) => args.json,
        Verb::Watch(args) => args.json,
        Verb::Trials(args) => args.json,
        Verb::Show(args) => args.json,
        Verb::Diff(args) => args.json,
        Verb::Report(args) => args.json,
        Verb::Export(args) => args.json,
        Verb::Ablate(args) => args.json,
        Verb::Note(args) => args.json,
        Verb::Idea(args) => args.json(),
        Verb::Budget(args) => args.json,
        Verb::Pin(args) | Verb::Unpin(args) | Verb::Requeue(args) => args.json,
        Verb::Submit(args) => args.json,
        Verb::Serve(args) => args.json,
        Verb::Doctor(args) => args.json,
        Verb::Schema(args) => args.json,
        Verb::Verify(args) => args.json,
        Verb::Status(args)
        | Verb::Lineage(args)
        | Verb::Pause(args)
        | Verb::Resume(args)
        | Verb::Stop(args) => args.json,
        Verb::Mcp(_) | Verb::Completions(_) => false,
    }
}

fn init(args: &Init) -> Result<(), Failure> {
    if args.agents {
        return agents(args);
    }
    let path = empiric_tasks::init(&args.dir).map_err(|error| Failure::new(Kind::Input, error))?;
    if args.json {
        return Ok(out::json(&serde_json::json!({"task": path}))?);
    }
    out::talk(&format!(
        "wrote {}; read it, then: empiric check {}",
        path.display(),
        args.dir.display()
    ));
    Ok(())
}

/// Tells the coding agents of a repository how to take part.
fn agents(args: &Init) -> Result<(), Failure> {
    let study = match &args.study {
        Some(study) => study.clone(),
        None => {
            let dir = fs_err::canonicalize(&args.dir)?;
            PathBuf::from("studies").join(dir.file_name().unwrap_or_default())
        }
    };
    let path = empiric_tasks::agents(&args.dir, &study)
        .map_err(|error| Failure::new(Kind::Input, error))?;
    if args.json {
        return Ok(out::json(&serde_json::json!({"agents": path, "study": study}))?);
    }
    out::talk(&format!(
        "{} tells coding agents how to take part in {}",
        path.display(),
        study.display()
    ));
    Ok(())
}

fn schema(args: &Schema) -> Result<(), Failure> {
    let schema = match args.which {
        SchemaName::Result => serde_json::to_value(empiric_evaluate::result_schema())?,
        SchemaName::Variables => {
            let known = empiric_evaluate::contract::VARIABLES;
            let meanings =
                known.map(|(name, meaning)| (name.to_owned(), serde_json::Value::from(meaning)));
            serde_json::Value::Object(meanings.into_iter().collect())
        }
        SchemaName::Task => serde_json::to_value(empiric_tasks::schema())?,
        SchemaName::Api => return Ok(out::raw(&empiric_serve::document())?),
    };
    if args.md {
        let (title, which) = match args.which {
            SchemaName::Task => ("task.toml", "task"),
            SchemaName::Result => ("Result of an evaluator", "result"),
            SchemaName::Variables => ("Environment variables", "variables"),
            SchemaName::Api => ("REST interface", "api"),
        };
        let made_by = format!("empiric schema {which} --md");
        return Ok(out::raw(&reference::keys(title, &made_by, &schema))?);
    }
    Ok(out::line(&serde_json::to_string_pretty(&schema)?)?)
}

fn completions(args: &Completions) -> Result<(), Failure> {
    use clap_complete::Shell as S;
    let mut command = Cli::command();
    let shell = match args.shell {
        Shell::Man => return Ok(clap_mangen::Man::new(command).render(&mut std::io::stdout())?),
        Shell::Markdown => return Ok(out::raw(&reference::verbs(command))?),
        Shell::Bash => S::Bash,
        Shell::Elvish => S::Elvish,
        Shell::Fish => S::Fish,
        Shell::Powershell => S::PowerShell,
        Shell::Zsh => S::Zsh,
    };
    clap_complete::generate(shell, &mut command, "empiric", &mut std::io::stdout());
    Ok(())
}
