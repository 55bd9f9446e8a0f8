//! From words to a task that is ready on this machine: read, environment built, data made, sandbox probed.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use empiric_engine::{Asked, Layout, QuickAsked};
use empiric_evaluate::Installation;
use empiric_sandbox::{Capabilities, Level, probe};
use empiric_tasks::{Diagnostic, Host, Installed, Loaded, Quick, Step, Watch};
use indicatif::ProgressBar;

use crate::{
    ambient,
    args::{Sandbox, TaskArgs},
    diagnostics,
    exit::{Failure, Kind},
    out,
};

/// A task that can be run here.
pub(crate) struct Ready {
    pub(crate) loaded: Loaded,
    pub(crate) installation: Installation,
    pub(crate) watch: Watch,
    pub(crate) quick: Option<QuickAsked>,
}

/// A task as it is written, and the words it comes from where it has no file.
pub(crate) struct Written {
    pub(crate) loaded: Loaded,
    quick: Option<QuickAsked>,
    host: Host,
}

/// Reads the task that the command line names.
pub(crate) fn load(args: &TaskArgs) -> Result<Written, Failure> {
    let host = ambient::host();
    if let (Some(eval), Some(metric)) = (&args.eval, &args.metric) {
        let quick = QuickAsked {
            edit: args.edit.clone(),
            eval: eval.clone(),
            metric: metric.clone(),
            pattern: args.metric_pattern.clone(),
        };
        let loaded = load_quick(&args.task, &quick, &host)?;
        return Ok(Written { loaded, quick: Some(quick), host });
    }
    let shown = args.task.display();
    if !args.task.exists() {
        let what = format!("there is no `{shown}`");
        return Err(Failure::say(Kind::Input, what).hint("name a directory that holds a task.toml"));
    }
    if args.task.is_dir() && !args.task.join(empiric_tasks::FILE).exists() {
        return Err(Failure::say(Kind::Input, format!("there is no task.toml in `{shown}`")).hint(format!(
            "`empiric init {shown}` writes a starter; --edit, --eval and --metric run without one"
        )));
    }
    let loaded = empiric_tasks::load(&args.task, &host).map_err(refuse)?;
    Ok(Written { loaded, quick: None, host })
}

fn load_quick(dir: &Path, quick: &QuickAsked, host: &Host) -> Result<Loaded, Failure> {
    let words = Quick {
        dir: dir.to_owned(),
        edit: quick.edit.clone(),
        eval: quick.eval.clone(),
        metric: quick.metric.clone(),
        pattern: quick.pattern.clone(),
        name: None,
        limits: empiric_core::task::Limits::default(),
    };
    empiric_tasks::quick(&words, host).map_err(refuse)
}

fn refuse(problems: Vec<Diagnostic>) -> Failure {
    let what = problems.iter().map(diagnostics::one_line).collect::<Vec<_>>().join("; ");
    let mut failure = Failure::say(Kind::Input, what);
    failure.rendered = Some(diagnostics::render(&problems));
    failure
}

/// Makes the task of an existing study ready again, once nothing is left of an earlier session.
pub(crate) fn ready_again(layout: &Layout) -> Result<(Ready, Asked), Failure> {
    empiric_engine::fence(layout)?;
    let host = ambient::host();
    let asked = Asked::read(layout)?;
    let loaded = match &asked.quick {
        Some(quick) => load_quick(&asked.task, quick, &host)?,
        None => empiric_tasks::load(&asked.task, &host).map_err(refuse)?,
    };
    Ok((ready(Written { loaded, quick: asked.quick.clone(), host })?, asked))
}

/// Makes the task ready: builds its environment and its data where that has not been done. An interrupt ends the programs
/// of the task's author that run here, and with them the command.
pub(crate) fn ready(written: Written) -> Result<Ready, Failure> {
    let Written { loaded, quick, host } = written;
    let (needed, found) = (loaded.task.gpus() as usize, ambient::gpus().len());
    if needed > found {
        let what =
            format!("the task asks for {needed} GPUs in each slot, and this machine shows {found}");
        return Err(Failure::say(Kind::Input, what).hint(
            "a GPU shows as /dev/nvidiaN; task.toml says `gpus` in the limits of a command",
        ));
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    let listening =
        signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))?;
    let ready = build(loaded, quick, &host, &interrupted);
    signal_hook::low_level::unregister(listening);
    if interrupted.load(Ordering::Relaxed) {
        return Err(Failure::say(Kind::Interrupted, "interrupted before the study began"));
    }
    ready
}

fn build(
    loaded: Loaded,
    quick: Option<QuickAsked>,
    host: &Host,
    interrupted: &AtomicBool,
) -> Result<Ready, Failure> {
    let bar = out::talks_to_terminal().then(ProgressBar::new_spinner);
    let mut progress = |step: Step<'_>| {
        match (step, &bar) {
            (Step::Began(what), Some(bar)) => bar.set_message(what.to_owned()),
            (Step::Began(what), None) => out::talk(what),
            (Step::Waiting, Some(bar)) => bar.tick(),
            (Step::Waiting, None) => {}
        }
        if interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let installed = empiric_tasks::install(&loaded, host, &mut progress)
        .map_err(|error| Failure::new(Kind::Input, error))?;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let Installed { installation, watch } = installed;
    Ok(Ready { loaded, installation, watch, quick })
}

/// The sandbox level that is asked for, if this machine offers it.
pub(crate) fn level(asked: Sandbox) -> Result<(Level, Capabilities), Failure> {
    let found = probe();
    let lacks = |level: &str, why: &str| {
        Failure::say(
            Kind::Sandbox,
            format!("the sandbox level `{level}` is not to be had here: {why}"),
        )
        .hint("`empiric doctor` says what this machine offers")
    };
    let level = match asked {
        Sandbox::None => Level::None,
        Sandbox::Auto => found.best().ok_or_else(|| {
            let why = found.bwrap.as_ref().err().cloned().unwrap_or_default();
            lacks("auto", &why).hint("--sandbox none runs without any, and says so in every report")
        })?,
        Sandbox::Bwrap => match &found.bwrap {
            Ok(()) => Level::Bwrap,
            Err(why) => return Err(lacks("bwrap", why)),
        },
        Sandbox::Landlock => match &found.landlock {
            Ok(_) => Level::Landlock,
            Err(why) => return Err(lacks("landlock", why)),
        },
    };
    Ok((level, found))
}
