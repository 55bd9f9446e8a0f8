//! The verbs that read a study: status, trials, show, diff, lineage, report, verify, export.

use std::path::Path;

use empiric_core::{
    BlobId, Outcome, Study, Trial, TrialNo, Verdict, quote,
    study::{Rules, State},
};
use empiric_engine::{Asked, Desk, Handle, Layout, Standing};
use empiric_ledger::{Blobs, Query, Reader};
use empiric_lineage::{Export as Branch, Step, Store};
use empiric_report::{Facts, Status, TrialRow};
use serde_json::json;

use crate::{
    ambient,
    args::{DEFAULT_ARM, Diff, Export, Report, Show, Study as StudyArgs, Trials, Verify},
    ask, calls,
    exit::{Failure, Kind},
    out,
    run::shown,
    sinks, words,
};

/// Trials read at one time.
const PAGE: u32 = 500;

/// The study in `dir`, or an error that says what to name instead.
pub(crate) fn layout(dir: &Path) -> Result<Layout, Failure> {
    let layout = Layout::new(std::path::absolute(dir)?);
    if layout.exists() {
        return Ok(layout);
    }
    let what = format!("there is no study in `{}`", dir.display());
    Err(Failure::say(Kind::Input, what)
        .hint("name the directory that `empiric run --study` was given"))
}

/// The outside of the study in `dir`.
pub(crate) fn desk(dir: &Path) -> Result<Desk, Failure> {
    Ok(Desk::new(layout(dir)?, ambient::clock()))
}

pub(crate) fn status(args: &StudyArgs) -> Result<(), Failure> {
    let layout = layout(&args.study)?;
    let study = Reader::open(layout.root())?.study()?;
    let mut status = Status::of(&study);
    if status.state == State::Running && !empiric_ledger::is_locked(layout.root()) {
        // Its last session was killed before it could say so.
        status.state = State::Stopped;
    }
    if args.json {
        return Ok(out::json(&status)?);
    }
    Ok(out::raw(&words::summary(&status, &study, &shown(&layout)))?)
}

pub(crate) fn trials(args: &Trials) -> Result<(), Failure> {
    let layout = layout(&args.study)?;
    let reader = Reader::open(layout.root())?;
    let study = reader.study()?;
    let (verdict, cause) = match args.outcome.as_deref() {
        None => (None, None),
        Some("baseline") => (Some(Verdict::Baseline), None),
        Some("keep") => (Some(Verdict::Keep), None),
        Some("discard") => (Some(Verdict::Discard), None),
        Some("inconclusive") => (Some(Verdict::Inconclusive), None),
        Some(cause) => (None, Some(cause.to_owned())),
    };
    if !args.json {
        let metric = &study.task().metric;
        let head = format!(
            "{:<5} {:<8} {:<18} {:>9} {:>10}  hypothesis",
            "trial", "operator", "outcome", metric.name, "gain"
        );
        out::line(&head)?;
    }
    let width = out::print_columns();
    if args.pareto {
        return pareto(args, &study, width);
    }
    let mut after = None;
    loop {
        let query = Query { after, limit: PAGE, verdict, cause: cause.clone(), ..Query::default() };
        let page = reader.trials(&query)?;
        for trial in &page.items {
            if args.json {
                out::json(&TrialRow::from(trial))?;
            } else {
                out::line(&words::trial_line(&study, trial, width))?;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The trials that no other one beats, with their values on all objectives.
fn pareto(args: &Trials, study: &Study, width: usize) -> Result<(), Failure> {
    if study.task().objectives.is_empty() {
        let what = "the task has one objective, so the best trial is its champion";
        return Err(
            Failure::say(Kind::Input, what).hint("`[[objective]]` in task.toml names further ones")
        );
    }
    for row in empiric_report::pareto(study) {
        if args.json {
            out::json(&row)?;
            continue;
        }
        out::line(&words::trial_line(study, trial(study, &row.trial)?, width))?;
        let values = row.objectives.iter().map(|point| {
            let [low, high] = point.interval.map(words::number);
            format!("{} {} [{low}, {high}]", point.metric, words::number(point.mean))
        });
        out::line(&format!("      {}", values.collect::<Vec<_>>().join(", ")))?;
    }
    Ok(())
}

/// The trial that a word names: `t17`, `17`, `champion`, `baseline`.
pub(crate) fn trial<'a>(study: &'a Study, word: &str) -> Result<&'a Trial, Failure> {
    Ok(empiric_engine::named(study, word)?)
}

pub(crate) fn show(args: &Show) -> Result<(), Failure> {
    let desk = desk(&args.study)?;
    let layout = desk.layout();
    let study = desk.study()?;
    let no = match args.trial.parse() {
        Ok(request) => match desk.standing(Handle::Request(request))? {
            Standing::Taken(trial) => trial.no,
            Standing::Waiting if args.wait => ask::outcome(&desk, Handle::Request(request))?.no,
            Standing::Waiting => {
                return Err(Failure::say(Kind::Study, "nobody has taken this request yet")
                    .hint("--wait waits for it"));
            }
            Standing::Refused(why) => {
                return Err(Failure::say(Kind::Study, format!("the request was refused: {why}")));
            }
        },
        Err(_) => trial(&study, &args.trial)?.no,
    };
    if args.wait {
        ask::outcome(&desk, Handle::Trial(no))?;
    }
    let study = desk.study()?;
    let trial = trial(&study, &no.to_string())?;
    if let Some(path) = &args.file {
        return file(args, &desk, trial, path);
    }
    let blobs = Blobs::of(layout.root());
    let log = |id: &str| -> Option<String> {
        let bytes = blobs.get(id.parse::<BlobId>().ok()?).ok()?;
        Some(quote::clean(&String::from_utf8_lossy(&bytes)))
    };
    if args.json {
        let mut row = serde_json::to_value(TrialRow::from(trial))?;
        if let Some(object) = row.as_object_mut() {
            object.insert("files".to_owned(), json!(trial.edit.as_ref().map(|edit| &edit.files)));
            let mut replicates = serde_json::to_value(&trial.replicates)?;
            if args.logs {
                attach_logs(&mut replicates, &log);
            }
            object.insert("replicates".to_owned(), replicates);
            object.insert("calls".to_owned(), calls::summary(trial));
        }
        return Ok(out::json(&row)?);
    }
    out::raw(&words::trial_page(&study, trial))?;
    if args.calls {
        calls::show(trial, &blobs)?;
    }
    if args.logs {
        for replicate in &trial.replicates {
            for unit in replicate.result.iter().flat_map(|result| &result.units) {
                if let Some(text) = unit.log.as_deref().and_then(&log) {
                    out::line(&format!(
                        "\n--- {} under seed {}: {}",
                        unit.name, replicate.seed.0, unit.ending
                    ))?;
                    out::line(text.trim_end())?;
                }
            }
        }
    }
    Ok(())
}

/// Prints a file of a trial's tree as it is, or the list of files.
fn file(args: &Show, desk: &Desk, trial: &Trial, path: &str) -> Result<(), Failure> {
    let files = desk.files(trial)?;
    if path == "." {
        if args.json {
            let names: Vec<&String> = files.keys().collect();
            return Ok(out::json(&json!({"trial": trial.no, "files": names}))?);
        }
        return files.keys().try_for_each(|name| Ok(out::line(name)?));
    }
    match files.get(path) {
        Some(Some(text)) if args.json => {
            Ok(out::json(&json!({"trial": trial.no, "path": path, "text": text}))?)
        }
        Some(Some(text)) => Ok(out::raw(text)?),
        Some(None) => Err(Failure::say(Kind::Input, format!("`{path}` is not text"))),
        None => Err(Failure::say(Kind::Input, format!("{} has no file `{path}`", trial.no))
            .hint("--file . lists the files")),
    }
}

/// Puts each unit's output beside its id.
fn attach_logs(replicates: &mut serde_json::Value, log: &impl Fn(&str) -> Option<String>) {
    let units = replicates.as_array_mut().into_iter().flatten();
    let units = units
        .filter_map(|replicate| replicate.pointer_mut("/result/units")?.as_array_mut())
        .flatten();
    for unit in units {
        let text = unit.get("log").and_then(|id| id.as_str()).and_then(log);
        if let (Some(object), Some(text)) = (unit.as_object_mut(), text) {
            object.insert("output".to_owned(), text.into());
        }
    }
}

pub(crate) fn diff(args: &Diff) -> Result<(), Failure> {
    let layout = layout(&args.study)?;
    let study = Reader::open(layout.root())?.study()?;
    let named = trial(&study, &args.a)?;
    let (old, new) = match &args.b {
        Some(b) => (named, trial(&study, b)?),
        None => {
            let parent = named.parents().first().copied().unwrap_or(TrialNo::BASELINE);
            (trial(&study, &parent.to_string())?, named)
        }
    };
    let text = unified(&layout, old, new)?;
    if args.json {
        return Ok(out::json(&json!({"a": old.no, "b": new.no, "diff": text}))?);
    }
    Ok(out::raw(&text)?)
}

/// What changed between two trials, as a unified diff.
pub(crate) fn unified(layout: &Layout, old: &Trial, new: &Trial) -> Result<String, Failure> {
    let tree = |trial: &Trial| {
        let tree = trial.edit.as_ref().map(|edit| edit.tree);
        tree.ok_or_else(|| {
            Failure::say(Kind::Input, format!("{} has no tree: its edit was never made", trial.no))
        })
    };
    let diff = Store::open(&layout.store())?.diff(tree(old)?, tree(new)?)?;
    Ok(diff.unified().to_owned())
}

pub(crate) fn lineage(args: &StudyArgs) -> Result<(), Failure> {
    let layout = layout(&args.study)?;
    let study = Reader::open(layout.root())?.study()?;
    if args.json {
        for trial in study.trials() {
            let row = json!({
                "trial": trial.no, "parents": trial.parents(), "outcome": words::outcome(trial),
                "champion": trial.no == study.champion(),
            });
            out::json(&row)?;
        }
        return Ok(());
    }
    Ok(out::raw(&words::lineage(&study))?)
}

pub(crate) fn report(args: &Report) -> Result<(), Failure> {
    let layout = layout(&args.study)?;
    let reader = Reader::open(layout.root())?;
    let study = reader.study()?;
    let report = report_of(&layout, &reader, &study)?;
    if args.json {
        return Ok(out::json(&report)?);
    }
    let format = if args.md { ReportFormat::Markdown } else { ReportFormat::Html };
    let text = format.write(&study, &report);
    let path = args.output.clone().unwrap_or_else(|| layout.root().join(format.file()));
    if path.as_os_str() == "-" {
        return Ok(out::raw(&text)?);
    }
    whole(&path, text.as_bytes())?;
    Ok(out::line(&path.display().to_string())?)
}

/// A form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportFormat {
    /// A self-contained page.
    Html,
    /// Markdown.
    Markdown,
}

impl ReportFormat {
    /// Its file's name.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Html => "report.html",
            Self::Markdown => "report.md",
        }
    }

    /// The report in this form.
    pub(crate) fn write(self, study: &Study, report: &empiric_report::Report) -> String {
        match self {
            Self::Html => empiric_report::html(study, report),
            Self::Markdown => empiric_report::markdown(report),
        }
    }
}

/// The report of a study.
pub(crate) fn report_of(
    layout: &Layout,
    reader: &Reader,
    study: &Study,
) -> Result<empiric_report::Report, Failure> {
    let store = Store::open(&layout.store())?;
    let diffs = |no: TrialNo| {
        let edit = study.trial(no)?.edit.as_ref()?;
        let parent = study.trial(*edit.parents.first()?)?.edit.as_ref()?;
        Some(store.diff(parent.tree, edit.tree).ok()?.unified().to_owned())
    };
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: ambient::machine(),
        ledger_head: Some(reader.head()?.hash.to_string()),
        command: command(layout, study)?,
        verify: format!("empiric verify {}", shown(layout)),
        generated_at: (ambient::clock())(),
    };
    Ok(empiric_report::Report::of(study, &diffs, &facts))
}

/// Writes a file that appears whole or not at all.
pub(crate) fn whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let staging = path.with_file_name(name);
    fs_err::write(&staging, bytes)?;
    Ok(fs_err::rename(&staging, path)?)
}

/// The command line that makes the study again.
fn command(layout: &Layout, study: &Study) -> Result<String, Failure> {
    let asked = Asked::read(layout)?;
    let mut words = vec!["empiric run".to_owned(), quoted(&asked.task.display().to_string())];
    if let Some(quick) = &asked.quick {
        words.extend(quick.edit.iter().map(|glob| format!("--edit {}", quoted(glob))));
        words.push(format!("--eval {} --metric {}", quoted(&quick.eval), quick.metric));
        words.extend(
            quick.pattern.iter().map(|pattern| format!("--metric-pattern {}", quoted(pattern))),
        );
    }
    let budget = study.budget();
    let arms = &study.settings().arms;
    if !arms.iter().map(|arm| arm.name.as_str()).eq([DEFAULT_ARM]) {
        words.extend(arms.iter().map(|arm| format!("--arm {}", arm.name)));
    }
    let unusual = arms.iter().find(|arm| {
        let own = empiric_agents::entry(&arm.proposer).and_then(|entry| entry.policy);
        !arm.name.contains('=') && arm.policy != own.unwrap_or(empiric_search::POLICIES[0].name)
    });
    words.extend(unusual.map(|arm| format!("--policy {}", arm.policy)));
    words.extend(budget.trials.map(|trials| format!("--trials {trials}")));
    let caps = [(budget.wall_s, "s"), (budget.cpu_s, "cpus"), (budget.gpu_s, "gpus")];
    let caps: Vec<String> =
        caps.iter().filter_map(|(cap, unit)| Some(format!("{}{unit}", (*cap)?))).collect();
    if !caps.is_empty() {
        words.push(format!("--budget {}", caps.join(",")));
    }
    words.extend(budget.drought.map(|drought| format!("--drought {drought}")));
    words.extend(budget.target.map(|target| format!("--target {target}")));
    let settings = study.settings();
    let (rules, usual) = (settings.rules, Rules::default());
    if rules.error != usual.error {
        words.push("--error fwer".to_owned());
    }
    if rules.level.to_bits() != usual.level.to_bits() {
        words.push(format!("--level {}", rules.level));
    }
    words.push(format!("--seed {} --slots {}", settings.seed, asked.slots));
    Ok(words.join(" "))
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

pub(crate) fn verify(args: &Verify) -> Result<(), Failure> {
    let layout = layout(&args.study)?;
    let mut found = empiric_engine::verify(&layout)?;
    let again = args.replay.then(|| empiric_engine::replay(&layout)).transpose()?;
    if let Some(again) = &again {
        found.faults.extend(again.faults.iter().cloned());
        found.ok = found.faults.is_empty();
    }
    if args.json {
        let mut value = serde_json::to_value(&found)?;
        if let (Some(object), Some(again)) = (value.as_object_mut(), &again) {
            object.insert(
                "replayed".to_owned(),
                json!({
                    "proposals": again.proposals, "calls": again.calls,
                    "taken": again.taken, "passed": again.passed,
                }),
            );
        }
        out::json(&value)?;
    } else {
        let checked = &found.checked;
        out::line(&format!(
            "{} events, {} commits, {} blobs read back; {} asks and {} verdicts made again{}",
            found.events,
            checked.commits,
            checked.blobs,
            checked.asks,
            checked.verdicts,
            if checked.sealed { "; sealed" } else { "" }
        ))?;
        if let Some(again) = &again {
            out::line(&format!(
                "{} proposals made again from {} recorded calls",
                again.proposals, again.calls
            ))?;
            if again.passed > 0 {
                out::line(&format!(
                    "{} edits of command-line agents taken as recorded; {} of their calls read again",
                    again.taken, again.passed
                ))?;
            }
        }
        for fault in &found.faults {
            let place = fault.event.map(|event| format!("event {event}: ")).unwrap_or_default();
            out::line(&format!("fault: {place}{}", fault.what))?;
        }
        out::line(if found.ok { "ok" } else { "not ok" })?;
    }
    if found.ok {
        return Ok(());
    }
    let first = found.faults.first();
    let place =
        first.and_then(|fault| fault.event).map(|event| format!(", the first at event {event}"));
    let n = found.faults.len();
    Err(Failure::say(Kind::Faults, format!("{n} faults{}", place.unwrap_or_default())))
}

pub(crate) fn export(args: &Export) -> Result<(), Failure> {
    let layout = layout(&args.study)?;
    let study = Reader::open(layout.root())?.study()?;
    if sinks::export(args, &layout, &study)? {
        return Ok(());
    }
    let chosen = match args.simplified {
        true => simplified(&study)?,
        false => trial(&study, &args.trial)?,
    };
    if chosen.no == TrialNo::BASELINE {
        return Err(Failure::say(
            Kind::Input,
            "there is nothing to export: nothing has been shown to beat the baseline",
        )
        .hint("`--trial t17` exports a trial that was not kept"));
    }
    let baseline = trial(&study, "baseline")?;
    match (&args.patch, &args.branch) {
        (Some(path), _) => {
            let text = unified(&layout, baseline, chosen)?;
            if path.as_os_str() == "-" {
                return Ok(out::raw(&text)?);
            }
            fs_err::write(path, &text)?;
            if args.json {
                return Ok(out::json(
                    &json!({"trial": chosen.no, "patch": path, "bytes": text.len()}),
                )?);
            }
            out::talk(&format!("{} as a patch against the recipe: {}", chosen.no, path.display()));
            Ok(())
        }
        (None, Some(branch)) => export_branch(args, &layout, &study, baseline, chosen, branch),
        (None, None) => Err(Failure::say(Kind::Usage, "name where to export to")),
    }
}

/// The champion without what did not earn its place.
fn simplified(study: &Study) -> Result<&Trial, Failure> {
    let found = empiric_decide::ablate::ablated(study);
    let hint = "`empiric ablate` takes the champion apart";
    let found = found.ok_or_else(|| {
        Failure::say(Kind::Input, "no champion of this study was taken apart").hint(hint)
    })?;
    if !found.done {
        let what = format!("the ablation of {} has not ended", found.champion);
        return Err(Failure::say(Kind::Input, what).hint("`empiric ablate` goes on with it"));
    }
    // Where all hunks earned their place, the champion is as simple as it gets.
    trial(study, &found.simplified.unwrap_or(found.champion).to_string())
}

fn export_branch(
    args: &Export,
    layout: &Layout,
    study: &Study,
    baseline: &Trial,
    chosen: &Trial,
    branch: &str,
) -> Result<(), Failure> {
    let recipe = recipe_dir(layout, study)?;
    let recipe = fs_err::canonicalize(&recipe)?;
    let repository = recipe.ancestors().find(|dir| dir.join(".git").exists()).ok_or_else(|| {
        Failure::say(Kind::Input, format!("`{}` is in no git repository", recipe.display()))
            .hint("--patch writes the same change as a file")
    })?;
    let prefix = recipe.strip_prefix(repository).unwrap_or(&recipe).to_string_lossy().into_owned();
    let steps = if args.simplified { vec![chosen] } else { chain(study, chosen) };
    let steps: Vec<Step> = steps
        .iter()
        .filter_map(|trial| {
            let edit = trial.edit.as_ref()?;
            Some(Step { tree: edit.tree, message: message(study, trial) })
        })
        .collect();
    let tree = baseline.edit.as_ref().map(|edit| edit.tree);
    let commit = Store::open(&layout.store())?.export_branch(&Branch {
        repository,
        branch,
        prefix: &prefix,
        baseline: tree.ok_or_else(|| Failure::say(Kind::Study, "the baseline has no tree"))?,
        steps: &steps,
        force: args.force,
        at: (ambient::clock())(),
    })?;
    if args.json {
        return Ok(out::json(&json!({"trial": chosen.no, "branch": branch, "commit": commit}))?);
    }
    out::talk(&format!(
        "{} is branch `{branch}` of {} ({commit})",
        chosen.no,
        repository.display()
    ));
    Ok(())
}

fn recipe_dir(layout: &Layout, study: &Study) -> Result<std::path::PathBuf, Failure> {
    let asked = Asked::read(layout)?;
    Ok(match asked.quick {
        Some(_) => asked.task,
        None => {
            let root =
                if asked.task.is_file() { asked.task.parent().map(Path::to_owned) } else { None };
            root.unwrap_or(asked.task).join(&study.task().recipe.root)
        }
    })
}

/// The kept trials that lead to `chosen`, oldest first, and `chosen` itself.
fn chain<'a>(study: &'a Study, chosen: &'a Trial) -> Vec<&'a Trial> {
    let mut chain = vec![chosen];
    let mut at = chosen;
    while let Some(parent) = at.parents().first().and_then(|no| study.trial(*no)) {
        at = parent;
        let kept = matches!(&at.outcome, Some(Outcome::Valid { verdict: Verdict::Keep, .. }));
        if at.no != TrialNo::BASELINE && kept {
            chain.push(at);
        }
    }
    chain.reverse();
    chain
}

fn message(study: &Study, trial: &Trial) -> String {
    let hypothesis =
        trial.edit.as_ref().map(|edit| edit.hypothesis.text.clone()).unwrap_or_default();
    let reason = match &trial.outcome {
        Some(Outcome::Valid { reason, .. }) => reason.clone(),
        Some(Outcome::Failed(failure)) => failure.to_string(),
        None => "not decided".to_owned(),
    };
    let title = words::clip(hypothesis.lines().next().unwrap_or_default(), 70);
    format!(
        "{title}\n\n{hypothesis}\n\n{reason}\n\nEmpiric-Study: {}\nEmpiric-Trial: {}\n",
        study.id(),
        trial.no
    )
}
