//! A long study in which one trial of ten goes wrong: it ends, every outcome is what was injected, and the
//! search has all the trials it was given.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Result;
use empiric_core::{Blame, Event, Outcome, Record, TrialNo};
use empiric_ledger::{Inbox, Request, Submission};
use fs_err as fs;
use rustix::process::{Signal, kill_process};

use super::{Setting, Table, history::records, left_running, state, verified};
use crate::{Session, helpers_of_slot, tasks::TRAIN};

/// One kind of fault: what it is called, the cause that must be recorded or `valid`, and what the recipe does.
type Kind = (&'static str, &'static str, &'static str);

/// What is injected, in turn. The first six make up the short form.
const KINDS: [Kind; 10] = [
    ("recipe fails", "exception", "exit 9"),
    ("evaluator crashes", "evaluator_crash", "echo crash >> \"$EMPIRIC_OUT/model.toml\""),
    (
        "helper is killed once",
        "valid",
        "echo once > \"$EMPIRIC_OUT/victim\"\nuntil [ -e \"$EMPIRIC_OUT/spared\" ]; do sleep 0.02; done",
    ),
    (
        "helper is always killed",
        "sandbox_failed",
        "echo always > \"$EMPIRIC_OUT/victim\"\nsleep 1000000",
    ),
    ("recipe crashes", "signal", "kill -SEGV $$"),
    ("result is not finite", "non_finite_metric", "echo 'rate = -1' > \"$EMPIRIC_OUT/model.toml\""),
    ("output floods", "output_flood", "head -c 3000000 /dev/zero"),
    ("memory is eaten", "out_of_memory", "tail -n 1 /dev/zero"),
    ("recipe hangs", "wall_limit", "sleep 1000000"),
    ("evaluator writes rubbish", "malformed_result", "echo rubbish >> \"$EMPIRIC_OUT/model.toml\""),
];

/// What the evaluator does first: its own faults, which artefacts of faulty trials set off, and those of one model in
/// 24, whoever made it.
const EVALUATOR_FAULTS: &str = r#"case "$(tail -n 1 "$EMPIRIC_ARTIFACTS/model.toml")" in
  crash) kill -SEGV $$ ;;
  rubbish) echo rubbish > "$EMPIRIC_RESULT"; exit 0 ;;
esac
if [ $(( $(cksum < "$EMPIRIC_ARTIFACTS/model.toml" | cut -d ' ' -f 1) % 24 )) = 3 ]; then kill -SEGV $$; fi
"#;

/// What the recipe does last: the machine loses another model in 24.
const MACHINE_FAULTS: &str = r#"if [ $(( $(cksum < knobs.toml | cut -d ' ' -f 1) % 24 )) = 4 ]; then
  echo always > "$EMPIRIC_OUT/victim"
  sleep 1000000
fi
"#;

/// Runs a study of `trials` trials, a tenth of them faulty.
///
/// # Errors
/// When the program cannot be run, or its study not be read.
pub fn night(setting: &Setting, trials: u32, table: &mut Table<'_>) -> Result<()> {
    let home = setting.home()?;
    let (study, task) = (home.path().join("study"), home.path().join("task"));
    let text = fs::read_to_string(task.join("evaluate.sh"))?;
    fs::write(task.join("evaluate.sh"), format!("{EVALUATOR_FAULTS}{text}"))?;
    fs::write(task.join("recipe/train.sh"), format!("{TRAIN}{MACHINE_FAULTS}"))?;
    // Far above what a replicate takes on a busy machine, so that nothing but what is injected runs into it.
    let text = fs::read_to_string(task.join("task.toml"))?;
    fs::write(task.join("task.toml"), text.replace("wall = \"2s\"", "wall = \"4s\""))?;
    let session = home.start(setting.run(trials))?;
    let over = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| kill_helpers(&study, &over));
        let ended = inject(session, &study, trials / 10);
        over.store(true, Ordering::Relaxed);
        ended
    })?;
    let records = records(&study)?;
    let tally = Tally::of(&records);
    // What is handed in has an arm of its own, beside the search and its budget.
    table.same(
        format!("{} faults in a study of {trials} trials", trials / 10),
        &format!("finished, {trials} of the search and {} handed in", trials / 10),
        &match state(&ended).as_str() {
            finished if finished.starts_with("finished") => {
                format!("finished, {} of the search and {} handed in", tally.own, tally.handed_in)
            }
            other => other.to_owned(),
        },
    );
    for (number, (kind, cause, _)) in KINDS.into_iter().enumerate() {
        let injected = (number..trials as usize / 10).step_by(KINDS.len()).count();
        if injected > 0 {
            let seen = tally.injected.get(kind).cloned().unwrap_or_default();
            let words: Vec<_> = seen.iter().map(|(cause, n)| format!("{n} {cause}")).collect();
            table.same(format!("  {kind}"), &format!("{injected} {cause}"), &words.join(", "));
        }
    }
    table.add(
        "  trials that evaluator or machine spoilt",
        "some, beyond its budget",
        format!("{} and {}, beyond its budget", tally.by_evaluator, tally.by_machine),
        tally.own == trials && tally.by_evaluator + tally.by_machine > 0,
    );
    table.same("  other trials spoilt", "none", &tally.others_spoilt());
    table.same("  processes left", "none", &left_running(&home));
    table.same("  verify", "ok", &verified(&home)?);
    Ok(())
}

/// Hands in a fault for every nine trials that end, `most` in all, and follows the session to its end.
fn inject(session: Session, study: &Path, most: u32) -> Result<crate::Ended> {
    let inbox = Inbox::of(study);
    let (mut concluded, mut injected) = (0, 0);
    let mut last = None;
    while let Some(event) = session.event() {
        concluded += u32::from(event["event"] == "concluded");
        if concluded == 9 * (injected + 1) && injected < most {
            let (kind, _, script) = KINDS[injected as usize % KINDS.len()];
            let text = format!("{TRAIN}# fault {injected}\n{script}\n");
            let submission = Submission {
                files: BTreeMap::from([("train.sh".to_owned(), Some(text))]),
                parents: vec![TrialNo::BASELINE],
                hypothesis: kind.to_owned(),
                prediction: None,
            };
            inbox.post("faults", Request::Submit { submission }, jiff::Timestamp::now())?;
            injected += 1;
        }
        last = Some(event);
    }
    let mut ended = session.end()?;
    ended.events.extend(last);
    Ok(ended)
}

/// Kills the helper of every unit that asks for it by a file named `victim` in its output directory, which says whether
/// `always` or `once` in a slot's tree; whoever was killed once finds a file named `spared` instead.
fn kill_helpers(study: &Path, over: &AtomicBool) {
    let mut struck = BTreeSet::new();
    while !over.load(Ordering::Relaxed) {
        for slot in fs::read_dir(study.join("slots")).into_iter().flatten().flatten() {
            strike(&slot.path(), &mut struck).ok();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn strike(slot: &Path, struck: &mut BTreeSet<String>) -> std::io::Result<()> {
    let victim: PathBuf = slot.join("out/victim");
    let Ok(word) = fs::read_to_string(&victim) else { return Ok(()) };
    let recipe = fs::read_to_string(slot.join("recipe/train.sh"))?;
    if word.trim() == "once" && !struck.insert(recipe) {
        fs::write(slot.join("out/spared"), "")?;
        return fs::remove_file(victim);
    }
    if word.trim().is_empty() {
        return Ok(());
    }
    for helper in helpers_of_slot(slot) {
        kill_process(helper, Signal::KILL).ok();
    }
    fs::remove_file(victim)
}

/// Outcomes by what was injected.
#[derive(Default)]
struct Tally {
    /// Trials of the search that ended, without those that evaluator or machine spoilt.
    own: u32,
    /// Trials of the search that the evaluator spoilt.
    by_evaluator: u32,
    /// Trials of the search that the machine spoilt.
    by_machine: u32,
    /// Trials that ended and carried a fault.
    handed_in: u32,
    /// Causes by the kind of fault.
    injected: BTreeMap<String, BTreeMap<String, u32>>,
    /// Failures of other trials that are not an edit's.
    others: Vec<String>,
}

impl Tally {
    fn of(records: &[Record]) -> Self {
        let mut tally = Self::default();
        let mut hypotheses = BTreeMap::new();
        for record in records {
            if let Event::Proposed { trial, edit } = &record.event {
                hypotheses.insert(*trial, edit.hypothesis.text.clone());
            }
            let Event::Concluded { trial, outcome } = &record.event else { continue };
            if *trial == TrialNo::BASELINE {
                continue;
            }
            let (cause, blame) = match outcome {
                Outcome::Valid { .. } => ("valid", None),
                Outcome::Failed(failure) => (failure.cause.name(), Some(failure.blame)),
            };
            let hypothesis = hypotheses.get(trial).map(String::as_str).unwrap_or_default();
            if KINDS.iter().any(|(kind, ..)| *kind == hypothesis) {
                tally.handed_in += 1;
                let causes = tally.injected.entry(hypothesis.to_owned()).or_default();
                *causes.entry(cause.to_owned()).or_default() += 1;
                continue;
            }
            match (cause, blame) {
                ("evaluator_crash", Some(Blame::Evaluator)) => tally.by_evaluator += 1,
                ("sandbox_failed", Some(Blame::Infra)) => tally.by_machine += 1,
                (_, None | Some(Blame::Edit)) => tally.own += 1,
                // Nothing else may spoil them; one that is here is missing from the search's.
                (_, Some(_)) => tally.others.push(format!("{trial} {cause}")),
            }
        }
        tally
    }

    fn others_spoilt(&self) -> String {
        if self.others.is_empty() { "none".to_owned() } else { self.others.join(", ") }
    }
}
