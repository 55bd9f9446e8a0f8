//! `empiric run`: a session of a study, shown as it goes, ending with what was found.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use empiric_agents::{Kit, Outfit, Proposer, Unfit, Unready, Workbench};
use empiric_core::{
    Budget, Study,
    study::{Arm, ErrorControl, Rules, Settings},
};
use empiric_engine::{ASKED_SCHEMA, Asked, Control, Ended, Engine, Layout, Options};
use empiric_export::Hook;
use empiric_ledger::Reader;
use empiric_report::Status;
use empiric_sandbox::{Cgroup, Level};
use tokio::{signal::unix, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    ambient,
    args::{ErrorKind, Run, Sandbox},
    exit::{Failure, Kind},
    live::Live,
    models::{self, For, Staffing},
    out, preflight,
    runtime::runtime,
    serve,
    setup::{self, Ready},
    words,
};

/// Trials when no cap is given.
const DEFAULT_TRIALS: u32 = 60;

pub(crate) fn run(args: &Run) -> Result<(), Failure> {
    let hooks = hooks(args)?;
    let budget = budget(args)?;
    let written = setup::load(&args.task)?;
    let usual = || PathBuf::from("studies").join(&written.loaded.task.name);
    let layout = Layout::new(std::path::absolute(args.study.clone().unwrap_or_else(usual))?);
    empiric_engine::fence(&layout)?;
    let ready = setup::ready(written)?;
    let task = &ready.loaded.task;
    let slots = args.machine.slots.map_or_else(|| default_slots(task), usize::from);
    let settings = settings(args, budget, &layout)?;
    let (level, capabilities) = setup::level(args.machine.sandbox)?;
    if level == Level::None {
        out::talk(
            "warning: --sandbox none: recipe code runs unconfined; every report of this study will say so",
        );
    }
    if task.provenance() == empiric_core::Provenance::Recipe {
        out::talk(
            "note: there is no [evaluator], so the metric is what the recipe prints; reports mark it self-reported",
        );
    }
    let asked = Asked {
        schema: ASKED_SCHEMA,
        task: ready.loaded.root.clone(),
        quick: ready.quick.clone(),
        slots,
        sandbox: word(args.machine.sandbox).to_owned(),
    };
    let machine = Place { slots, level, cgroup: capabilities.cgroup };
    let before = Reader::open(layout.root()).and_then(|reader| reader.study()).ok();
    let about = For {
        layout: &layout,
        study: before.as_ref(),
        arms: &settings.arms,
        task,
        root: &ready.loaded.root,
        seed: settings.seed,
        level,
        cgroup: &machine.cgroup,
    };
    let staffing = models::staffing(&args.models, &about)?;
    let options = options(ready, layout.clone(), settings, machine, staffing, true)?;
    if !args.no_check {
        preflight::preflight(&options, args.json)?;
    }
    if !layout.asked().exists() {
        asked.write(&layout)?;
    }
    let live = Live::new(args.json).telling(hooks)?;
    let ended = session(options, live, args.serve)?;
    conclude(&layout, &ended, args.json)
}

/// Who is told of news: each `--notify`, and the address in the environment.
fn hooks(args: &Run) -> Result<Vec<Hook>, Failure> {
    let command = |text: &String| match shlex::split(text).filter(|words| !words.is_empty()) {
        Some(words) => Ok(Hook::Command(words)),
        None => Err(Failure::say(Kind::Usage, format!("`--notify {text}` is no command"))
            .hint("quotes that are opened must be closed")),
    };
    let mut hooks = args.notify.iter().map(command).collect::<Result<Vec<_>, _>>()?;
    hooks.extend(ambient::webhook().map(Hook::Webhook));
    Ok(hooks)
}

/// How a study is asked, from the words; what is fixed when a study opens is taken from the study.
fn settings(args: &Run, budget: Option<Budget>, layout: &Layout) -> Result<Settings, Failure> {
    if !(args.level > 0.0 && args.level < 0.5) {
        return Err(Failure::say(
            Kind::Usage,
            format!("--level {} is not between 0 and 0.5", args.level),
        ));
    }
    if let Ok(study) = Reader::open(layout.root()).and_then(|reader| reader.study()) {
        return Ok(Settings {
            budget: budget.map_or(*study.budget(), |asked| over(asked, study.budget())),
            ..study.settings().clone()
        });
    }
    let error = match args.error {
        ErrorKind::Fdr => ErrorControl::Fdr,
        ErrorKind::Fwer => ErrorControl::Fwer,
    };
    Ok(Settings {
        seed: args.seed,
        budget: over(
            budget.unwrap_or_default(),
            &Budget { trials: Some(DEFAULT_TRIALS), ..Budget::default() },
        ),
        arms: arms(args)?,
        rules: Rules { error, level: args.level, ..Rules::default() },
    })
}

/// The arms that are asked for, each with its policy.
fn arms(args: &Run) -> Result<Vec<Arm>, Failure> {
    let usual = args.policy.as_deref();
    let mut names = BTreeSet::new();
    args.arms
        .iter()
        .map(|armed| {
            if !names.insert(&armed.name) {
                return Err(Failure::say(
                    Kind::Usage,
                    format!("--arm {} is given twice", armed.name),
                )
                .hint("one proposer with two policies is `--arm tuner=race --arm tuner=greedy`"));
            }
            let policy = armed.policy.as_deref().or(usual).or(armed.proposer.policy);
            Ok(Arm {
                name: armed.name.clone(),
                proposer: armed.proposer.name.to_owned(),
                policy: policy.unwrap_or(empiric_search::POLICIES[0].name).to_owned(),
            })
        })
        .collect()
}

/// Who makes the edits of each arm; nobody where none is asked for.
fn proposers(
    settings: &Settings,
    task: &empiric_core::Task,
    kit: Option<&Kit>,
    outfit: Option<&Outfit>,
    search: bool,
) -> Result<BTreeMap<String, Arc<dyn Proposer>>, Failure> {
    let made = settings.arms.iter().filter(|_| search).map(|arm| {
        let entry = empiric_agents::entry(&arm.proposer).ok_or_else(|| {
            Failure::say(
                Kind::Input,
                format!("this version has no `{}`, which arm `{}` needs", arm.proposer, arm.name),
            )
        })?;
        let proposer = (entry.make)(&Workbench { arm, task, kit, outfit });
        let proposer = proposer.map_err(|lack| unready(&arm.name, &lack))?;
        Ok((arm.name.clone(), proposer))
    });
    made.collect()
}

/// An arm that lacks something, with what to do about it.
fn unready(arm: &str, lack: &Unready) -> Failure {
    let (kind, hint) = match lack {
        Unready::NoModel | Unready::NoCommand | Unready::Language { .. } => (Kind::Usage, None),
        Unready::NoProgram { .. } => {
            (Kind::Input, Some("`empiric doctor` lists the agents that are found"))
        }
        Unready::NoKey { .. } => (Kind::Input, None),
        Unready::Unfit(Unfit::Landlock) => (
            Kind::Sandbox,
            Some(
                "`empiric doctor` says what bubblewrap lacks here; --sandbox none holds nothing at all",
            ),
        ),
        Unready::Unfit(Unfit::Dumb { .. }) => (
            Kind::Input,
            Some(
                "it runs without network, and sees its own installation and what --agent-see names",
            ),
        ),
        Unready::Unfit(Unfit::Io(_)) => (Kind::Internal, None),
    };
    let failure = Failure::say(kind, format!("arm `{arm}`: {lack}"));
    hint.into_iter().fold(failure, Failure::hint)
}

/// What is asked, over what held before: new caps replace all the caps, a new rule for stopping replaces that rule.
fn over(asked: Budget, before: &Budget) -> Budget {
    let (drought, target) = (asked.drought.or(before.drought), asked.target.or(before.target));
    let capped = Budget { drought: None, target: None, ..asked } != Budget::default();
    Budget { drought, target, ..if capped { asked } else { *before } }
}

/// Where replicates run.
pub(crate) struct Place {
    pub(crate) slots: usize,
    pub(crate) level: Level,
    pub(crate) cgroup: Cgroup,
}

impl Place {
    /// Where the study that `asked` describes runs, on this machine.
    pub(crate) fn of(asked: &Asked) -> Result<Self, Failure> {
        let sandbox = clap::ValueEnum::from_str(&asked.sandbox, true).map_err(|_| {
            Failure::say(Kind::Study, format!("study.toml asks for sandbox `{}`", asked.sandbox))
        })?;
        let (level, capabilities) = setup::level(sandbox)?;
        Ok(Self { slots: asked.slots, level, cgroup: capabilities.cgroup })
    }
}

/// Everything a session needs, on this machine.
pub(crate) fn options(
    ready: Ready,
    layout: Layout,
    settings: Settings,
    place: Place,
    staffing: Option<Staffing>,
    search: bool,
) -> Result<Options, Failure> {
    let (kit, outfit, recorder) = match staffing {
        Some(Staffing { kit, outfit, recorder }) => (kit, outfit, Some(recorder)),
        None => (None, None, None),
    };
    let task = &ready.loaded.task;
    let proposers = proposers(&settings, task, kit.as_ref(), outfit.as_ref(), search)?;
    Ok(Options {
        layout,
        recipe: ready.loaded.recipe_dir,
        installation: ready.installation,
        fixed: Arc::new(move || ready.watch.fixed()),
        settings,
        slots: place.slots,
        gpus: ambient::gpus(),
        exe: std::env::current_exe()?,
        level: place.level,
        cgroup: place.cgroup,
        proposers,
        recorder,
        clock: ambient::clock(),
        host: ambient::machine(),
        search,
        ablate: None,
    })
}

/// Everything a session needs that measures what was handed in and asks for no trials of its own.
pub(crate) fn answering(layout: &Layout, study: &Study) -> Result<Options, Failure> {
    let (ready, asked) = setup::ready_again(layout)?;
    let sandbox = clap::ValueEnum::from_str(&asked.sandbox, true).map_err(|_| {
        Failure::say(Kind::Study, format!("study.toml asks for sandbox `{}`", asked.sandbox))
    })?;
    let (level, capabilities) = setup::level(sandbox)?;
    let place = Place { slots: asked.slots, level, cgroup: capabilities.cgroup };
    options(ready, layout.clone(), study.settings().clone(), place, None, false)
}

/// Runs a session to its end, with signals: the first interrupt finishes and records what runs, the second ends it.
pub(crate) fn session(options: Options, live: Live, watched: bool) -> Result<Ended, Failure> {
    let dir = options.layout.root().to_owned();
    let runtime = runtime()?;
    runtime.block_on(async move {
        let (observer, mut notices) = mpsc::unbounded_channel();
        let (control, controls) = mpsc::unbounded_channel();
        let mut interrupts = unix::signal(unix::SignalKind::interrupt())?;
        let mut terminations = unix::signal(unix::SignalKind::terminate())?;
        let engine = Engine::open(options, observer).await?;
        let ending = CancellationToken::new();
        let server = if watched { Some(serve::beside(&dir).await?) } else { None };
        let mut serving = std::pin::pin!(async {
            match server {
                Some(server) => server.run(ending.clone()).await,
                None => std::future::pending().await,
            }
        });
        let mut engine = std::pin::pin!(engine.run(controls));
        let (mut asked_to_stop, mut serving_on) = (false, watched);
        let mut last = None;
        let ended = loop {
            tokio::select! {
                biased;
                Some(notice) = notices.recv() => {
                    live.show(&notice)?;
                    last = Some(notice.study);
                }
                ended = &mut engine => break ended,
                ended = &mut serving, if serving_on => {
                    // The study goes on without anybody looking.
                    if let Err(error) = ended {
                        out::talk(&format!("note: the server has ended: {error}"));
                    }
                    serving_on = false;
                }
                _ = interrupts.recv() => {
                    let word = if asked_to_stop { Control::Kill } else { Control::Stop };
                    if !asked_to_stop {
                        out::talk("stopping: what runs is finished and recorded; interrupt again to end it now");
                    }
                    asked_to_stop = true;
                    control.send(word).ok();
                }
                _ = terminations.recv() => {
                    control.send(Control::Kill).ok();
                }
            }
        };
        while let Ok(notice) = notices.try_recv() {
            live.show(&notice)?;
            last = Some(notice.study);
        }
        if let (Ok(Ended::Broken(why) | Ended::Unasked(why)), Some(study)) = (&ended, &last) {
            live.broken(study, why);
        }
        live.end();
        ending.cancel();
        if serving_on && let Err(error) = serving.await {
            out::talk(&format!("note: the server has ended: {error}"));
        }
        Ok(ended?)
    })
}

/// Says what was found, and how the session ended.
fn conclude(layout: &Layout, ended: &Ended, json: bool) -> Result<(), Failure> {
    let study = Reader::open(layout.root())?.study()?;
    let status = Status::of(&study);
    if json {
        let mut summary = serde_json::to_value(&status)?;
        if let Some(object) = summary.as_object_mut() {
            object.insert("event".to_owned(), "study_summary".into());
        }
        out::json(&summary)?;
    } else {
        out::raw(&words::summary(&status, &study, &shown(layout)))?;
    }
    exit(ended)
}

/// How a session's end is told to whoever called.
pub(crate) fn exit(ended: &Ended) -> Result<(), Failure> {
    match ended {
        Ended::Finished(_) => Ok(()),
        Ended::Paused(why) => {
            out::talk(&format!("paused: {why}"));
            out::talk("the same command goes on with more: --budget 10usd");
            Ok(())
        }
        Ended::Stopped(why) => {
            Err(Failure::say(Kind::Interrupted, format!("stopped: {why}")).hint("the same command goes on"))
        }
        Ended::Broken(why) => Err(Failure::say(Kind::Broken, why.clone())
            .hint("mend the recipe or the evaluator; if the evaluator or the task changes, name a new study")),
        Ended::Unasked(why) => Err(Failure::say(Kind::Broken, why.clone()).hint(
            "no idea is blamed, and recipe and evaluator are as they were: once models can be asked, the same command goes on",
        )),
    }
}

/// The study's directory as short as it can be said.
pub(crate) fn shown(layout: &Layout) -> String {
    let here = std::env::current_dir().ok();
    let relative = here.and_then(|here| layout.root().strip_prefix(here).ok().map(PathBuf::from));
    relative.unwrap_or_else(|| layout.root().to_owned()).display().to_string()
}

/// Half the cores, and no more slots than the machine has GPUs for.
pub(crate) fn default_slots(task: &empiric_core::Task) -> usize {
    let slots = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
    match task.gpus() as usize {
        0 => slots,
        each => {
            let found = ambient::gpus().len();
            let most = (found / each).max(1);
            if most < slots {
                out::talk(&format!(
                    "note: {most} of {slots} slots, for {found} GPUs at {each} each"
                ));
            }
            slots.min(most)
        }
    }
}

fn word(sandbox: Sandbox) -> &'static str {
    match sandbox {
        Sandbox::Auto => "auto",
        Sandbox::Bwrap => "bwrap",
        Sandbox::Landlock => "landlock",
        Sandbox::None => "none",
    }
}

/// The caps and the rules for stopping: `--trials`, the parts of `--budget`, `--drought` and `--target`; none when none
/// is given.
fn budget(args: &Run) -> Result<Option<Budget>, Failure> {
    let budget = Budget {
        trials: args.trials,
        drought: args.drought,
        target: args.target,
        ..Budget::default()
    };
    let budget = caps(args.budget.as_deref(), budget)?;
    Ok((budget != Budget::default()).then_some(budget))
}

/// `budget` with the caps that `text` names.
pub(crate) fn caps(text: Option<&str>, mut budget: Budget) -> Result<Budget, Failure> {
    for part in text.iter().flat_map(|text| text.split(',')).map(str::trim) {
        capped(part, &mut budget).ok_or_else(|| {
            Failure::say(Kind::Usage, format!("`{part}` in --budget is no cap")).hint(
                "wall time is 2h, 90m or 45s; CPU time 10cpuh or 600cpus; GPU time 4gpuh; money for models 5usd; tokens \
                 200ktok or 3Mtok; calls 300calls; separated by commas",
            )
        })?;
    }
    Ok(budget)
}

/// Sets the cap that `part` names; none when it names none.
fn capped(part: &str, budget: &mut Budget) -> Option<()> {
    let positive =
        |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    let count = |text: &str| {
        let (digits, times) = match text.trim().strip_suffix(['k', 'K']) {
            Some(digits) => (digits, 1e3),
            None => text.trim().strip_suffix('M').map_or((text, 1.0), |digits| (digits, 1e6)),
        };
        positive(digits).map(|n| (n * times).round() as u64)
    };
    if let Some(usd) = part.strip_suffix("usd") {
        budget.usd = Some(positive(usd)?);
    } else if let Some(tokens) = part.strip_suffix("tok") {
        budget.tokens = Some(count(tokens)?);
    } else if let Some(calls) = part.strip_suffix("calls") {
        budget.calls = Some(count(calls)?);
    } else {
        let (number, cap) = match part {
            _ if part.contains("gpu") => (part.replacen("gpu", "", 1), &mut budget.gpu_s),
            _ if part.contains("cpu") => (part.replacen("cpu", "", 1), &mut budget.cpu_s),
            _ => (part.to_owned(), &mut budget.wall_s),
        };
        *cap = Some(empiric_tasks::units::duration(&number).ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_caps_replace_caps_and_a_new_rule_replaces_its_own() {
        let before =
            Budget { trials: Some(60), cpu_s: Some(9.0), drought: Some(20), ..Budget::default() };
        let rule = Budget { target: Some(0.5), ..Budget::default() };
        assert_eq!(over(rule, &before), Budget { target: Some(0.5), ..before });
        let caps = Budget { trials: Some(90), ..Budget::default() };
        assert_eq!(over(caps, &before), Budget { drought: Some(20), ..caps });
    }

    #[test]
    fn caps_on_models_have_units() {
        let mut budget = Budget::default();
        for part in ["2h", "5usd", "200ktok", "300calls"] {
            capped(part, &mut budget).unwrap();
        }
        assert_eq!((budget.wall_s, budget.usd), (Some(7200.0), Some(5.0)));
        assert_eq!((budget.tokens, budget.calls), (Some(200_000), Some(300)));
        for wrong in ["5 dollars", "-1usd", "usd", "0tok", "nanusd", "3xtok", "calls"] {
            assert_eq!(capped(wrong, &mut budget), None, "{wrong}");
        }
    }
}
