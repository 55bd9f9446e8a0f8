//! A machine that fails: a full disk, a read-only one, a damaged, newer or shared ledger, files that go missing, rubbish
//! in the inbox, a clock that goes backwards, an evaluator that changes, a sandbox that is not there. Each ends with one
//! message and a documented exit code, or not at all, and loses nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use empiric_core::{Event, Outcome, Phase, Record};
use empiric_ledger::Clock;
use fs_err as fs;
use jiff::SignedDuration;

use super::{
    Setting, Table, damage::rewrite, files, history::History, history::records, overwrite, say,
    state, verified, verify,
};
use crate::Home;

/// Exit codes of the program, as its help text lists them.
const STUDY: i32 = 4;
const FAULTS: i32 = 5;
const BROKEN: i32 = 7;
const DISK: i32 = 8;
const SANDBOX: i32 = 6;

/// Size of the small disk.
const DISK_BYTES: u64 = 64 << 20;
/// Seconds after which a session on a full disk has failed to end.
const PATIENCE: u32 = 300;

/// What follows once the fault is mended.
const AGAIN: &str = "  mended, the same command goes on";
/// Trials before a fault, and trials with those after it.
const FEW: u32 = 4;
const MORE: u32 = 7;

/// Does all of them.
///
/// # Errors
/// When the program cannot be run, or a study not be read or changed.
pub fn surroundings(setting: &Setting, table: &mut Table<'_>) -> Result<()> {
    full_disk(setting, table)?;
    let mut scene = Scene::new(setting)?;
    scene.read_only(table)?;
    scene.newer_ledger(table)?;
    scene.damaged_page(table)?;
    scene.backward_clock(table)?;
    scene.missing_object(table)?;
    scene.damaged_blob(table)?;
    scene.inbox_rubbish(table)?;
    scene.shared_and_without_slots(table)?;
    scene.changed_evaluator(table)?;
    scene.without_bubblewrap(table)?;
    Ok(())
}

/// A finished study to which things are done, and how it goes on.
struct Scene<'a> {
    setting: &'a Setting,
    home: Home,
    history: History,
    /// Trials asked for so far.
    trials: u32,
    /// Trials that the machine spoilt, which are beyond those.
    spoilt: u32,
}

impl<'a> Scene<'a> {
    fn new(setting: &'a Setting) -> Result<Self> {
        let home = setting.home()?;
        let ended = home.start(setting.run(FEW))?.end()?;
        ensure!(ended.code == Some(0), "the study did not finish: {}", ended.talk);
        Ok(Self { setting, home, history: History::default(), trials: FEW, spoilt: 0 })
    }

    fn study(&self) -> std::path::PathBuf {
        self.home.path().join("study")
    }

    /// The session that the fault meets: `code` and all of `needles`.
    fn refused(
        &self,
        table: &mut Table<'_>,
        fault: &str,
        code: i32,
        needles: &[&str],
    ) -> Result<()> {
        let words = self.setting.run(self.trials + 1);
        let (found, said) = say(&self.home, &words)?;
        refusal(table, fault, code, needles, found, &said);
        Ok(())
    }

    /// The same study with three more trials: it finishes, and has lost and repeated nothing.
    fn goes_on(&mut self, table: &mut Table<'_>, fault: &str) -> Result<()> {
        self.trials += MORE - FEW;
        let ended = self.home.start(self.setting.run(self.trials))?.end()?;
        self.history.look(&self.study())?;
        let History { lost, repeated, .. } = self.history;
        let expected = format!("finished with {} trials", self.trials + self.spoilt);
        let seen = match lost + repeated {
            0 => state(&ended),
            _ => format!("{}; {lost} lost, {repeated} repeated", state(&ended)),
        };
        table.same(fault, &expected, &seen);
        table.same("  verify", "ok", &verified(&self.home)?);
        Ok(())
    }

    fn read_only(&mut self, table: &mut Table<'_>) -> Result<()> {
        let study = self.study();
        let study = study.to_string_lossy();
        let view = ["--ro-bind", &*study, &*study];
        let words = self.setting.run(self.trials + 1);
        let (code, said) = inside(&self.home, &view, &self.home.command(&words))?;
        refusal(table, "a read-only study", DISK, &["read-only", "nothing is lost"], code, &said);
        for verb in ["status", "trials", "lineage", "verify"] {
            let command = self.home.command([verb, "study", "--json"]);
            let (code, said) = inside(&self.home, &view, &command)?;
            table.add(
                format!("  {verb}"),
                "exit 0",
                if code == Some(0) { "exit 0".to_owned() } else { said.clone() },
                code == Some(0),
            );
        }
        self.goes_on(table, AGAIN)
    }

    fn newer_ledger(&mut self, table: &mut Table<'_>) -> Result<()> {
        let path = self.study().join("ledger.db");
        let sound = fs::read(&path)?;
        let mut newer = sound.clone();
        // `user_version`, big endian: https://www.sqlite.org/fileformat.html#the_database_header
        newer[60..64].copy_from_slice(&9_999_u32.to_be_bytes());
        overwrite(&path, &newer)?;
        self.refused(table, "a ledger of a newer Empiric", STUDY, &["newer", "use the Empiric"])?;
        let untouched = fs::read(&path)? == newer;
        table.same("  the ledger", "untouched", if untouched { "untouched" } else { "changed" });
        for verb in ["status", "trials"] {
            let (code, said) = say(&self.home, &[verb, "study", "--json"])?;
            let seen = if code == Some(0) { "exit 0" } else { &said };
            table.same(format!("  {verb}"), "exit 0", seen);
        }
        overwrite(&path, &sound)?;
        self.goes_on(table, AGAIN)
    }

    fn damaged_page(&mut self, table: &mut Table<'_>) -> Result<()> {
        let path = self.study().join("ledger.db");
        let sound = fs::read(&path)?;
        let seal = fs::read(self.study().join("ledger.seal"))?;
        let mut bad = sound.clone();
        let page = sound.len() / 2 / 4096 * 4096;
        bad[page..page + 4096].fill(0xff);
        overwrite(&path, &bad)?;
        self.refused(table, "a corrupted page of the ledger", STUDY, &["empiric verify"])?;
        let (code, _, what) = verify(&self.home)?;
        let what = if code == Some(FAULTS) { "exit 5".to_owned() } else { what };
        table.same("  verify", "exit 5", &what);
        let evidence = fs::read(&path)? == bad
            && fs::read(self.study().join("ledger.seal")).is_ok_and(|now| now == seal);
        table.same(
            "  ledger and seal",
            "untouched",
            if evidence { "untouched" } else { "changed" },
        );
        overwrite(&path, &sound)?;
        self.goes_on(table, AGAIN)
    }

    /// The ledger written anew with every event an hour before the last.
    fn backward_clock(&mut self, table: &mut Table<'_>) -> Result<()> {
        let whole = records(&self.study())?;
        let hours = AtomicI64::new(0);
        let start = whole.first().context("the study has no events")?.at;
        let clock: Clock = Arc::new(move || {
            let hours = hours.fetch_add(1, Ordering::Relaxed);
            start - SignedDuration::from_hours(hours)
        });
        rewrite(&self.study(), &whole, clock)?;
        self.history = History::default();
        for verb in ["status", "trials", "report", "verify"] {
            let (code, said) = say(&self.home, &[verb, "study", "--json"])?;
            let seen = if code == Some(0) { "exit 0".to_owned() } else { said };
            table.same(format!("a clock that goes backwards: {verb}"), "exit 0", &seen);
        }
        self.goes_on(table, AGAIN)
    }

    /// The objects of the baseline's commit, one of which every new trial and replicate needs.
    fn missing_object(&mut self, table: &mut Table<'_>) -> Result<()> {
        let tree = records(&self.study())?.into_iter().find_map(|record| {
            if let Event::Proposed { edit, .. } = record.event {
                Some(edit.tree.to_string())
            } else {
                None
            }
        });
        let tree = tree.context("the study has no baseline")?;
        let path = self.study().join("store.git/objects").join(&tree[..2]).join(&tree[2..]);
        let sound = fs::read(&path)?;
        fs::remove_file(&path)?;
        self.refused(table, "an object of the store is missing", BROKEN, &[&tree])?;
        let (code, named, what) = verify(&self.home)?;
        let seen =
            if code == Some(FAULTS) && named { "exit 5, event named".to_owned() } else { what };
        table.same("  verify", "exit 5, event named", &seen);
        fs::write(&path, sound)?;
        self.spoilt = trials(&self.home)?.saturating_sub(self.trials);
        self.goes_on(table, AGAIN)
    }

    /// Logs are for people: a study goes on without one, and verification names the event that speaks of it.
    fn damaged_blob(&mut self, table: &mut Table<'_>) -> Result<()> {
        let blobs = files(&self.study().join("blobs"))?;
        let blob = blobs.first().context("the study keeps no logs")?;
        let sound = fs::read(blob)?;
        overwrite(blob, b"rubbish")?;
        let (code, named, what) = verify(&self.home)?;
        let seen =
            if code == Some(FAULTS) && named { "exit 5, event named".to_owned() } else { what };
        table.same("an unreadable blob: verify", "exit 5, event named", &seen);
        let (code, said) = say(&self.home, &self.setting.run(self.trials + 1))?;
        let seen = if code == Some(0) { "exit 0" } else { said.trim() };
        table.same("  the study goes on without it", "exit 0", seen);
        self.trials += 1;
        overwrite(blob, &sound)?;
        self.goes_on(table, AGAIN)
    }

    fn inbox_rubbish(&mut self, table: &mut Table<'_>) -> Result<()> {
        let inbox = self.study().join("inbox");
        fs::create_dir_all(&inbox)?;
        let name = |number: u32| inbox.join(format!("0199a0f0-0000-7000-8000-{number:012}.json"));
        fs::write(inbox.join("no-request.txt"), "rubbish")?;
        fs::write(inbox.join("no-id.json"), "rubbish")?;
        fs::write(name(1), "rubbish")?;
        fs::write(name(2), "")?;
        fs::write(name(3), [0xff; 5000])?;
        fs::write(name(4), r#"{"id": "0199a0f0-0000-7000-8000-000000000004", "at": "never"}"#)?;
        fs::create_dir(name(5))?;
        std::os::unix::fs::symlink("/dev/zero", name(6))?;
        fs::File::create(name(7))?.set_len(1 << 40)?;
        rustix::fs::mkfifoat(rustix::fs::CWD, name(8), rustix::fs::Mode::RUSR)
            .map_err(std::io::Error::from)?;
        self.goes_on(table, "rubbish in the inbox")?;
        let refused = [1, 2, 3, 4, 7].iter().filter(|number| !name(**number).exists()).count();
        table.same("  files refused and gone", "5 of 5", &format!("{refused} of 5"));
        Ok(())
    }

    /// A second Empiric is turned away; a slot's directory that is deleted while it is in use spoils no trial.
    fn shared_and_without_slots(&mut self, table: &mut Table<'_>) -> Result<()> {
        // Long enough for a second Empiric to come while the first is at work, on a busy machine too.
        self.trials += 30;
        let session = self.home.start(self.setting.run(self.trials))?;
        session.until("leased").context("nothing ran")?;
        let (code, said) = say(&self.home, &self.setting.run(self.trials))?;
        let needles = ["process ", "is at work on it"];
        refusal(table, "two Empirics on one study", STUDY, &needles, code, &said);
        let mut deleted = 0;
        while let Some(event) = session.event() {
            if event["event"] == "concluded" && deleted < 6 {
                deleted += usize::from(remove_slot(&self.study().join("slots/s0")));
            }
        }
        let ended = session.end()?;
        let before = self.history.records.len();
        self.history.look(&self.study())?;
        let blamed: Vec<String> = self
            .history
            .records
            .iter()
            .skip(before)
            .filter_map(|record| blamed(&record.event))
            .collect();
        table.add(
            "a slot's directory deleted in the middle",
            "exit 0, no trial blamed",
            format!("exit {:?}, {deleted} deleted, blamed: [{}]", ended.code, blamed.join(", ")),
            ended.code == Some(0) && deleted > 0 && blamed.is_empty(),
        );
        let new = self.history.records.get(before..).unwrap_or_default();
        self.spoilt += new.iter().map(|record| u32::from(spared(&record.event))).sum::<u32>();
        table.same("  verify", "ok", &verified(&self.home)?);
        Ok(())
    }

    /// The evaluator changes while replicates run: what runs across the change counts for nothing, and all that follows
    /// is measured anew in a segment of its own.
    fn changed_evaluator(&mut self, table: &mut Table<'_>) -> Result<()> {
        self.trials += MORE - FEW;
        let before = self.history.records.len();
        let session = self.home.start(self.setting.run(self.trials))?;
        session.until("leased").context("nothing ran")?;
        let evaluator = self.home.path().join("task/evaluate.sh");
        let text = fs::read_to_string(&evaluator)?;
        overwrite(&evaluator, format!("{text}# changed\n").as_bytes())?;
        let ended = session.end()?;
        self.history.look(&self.study())?;
        let (crossed, segments) = across(self.history.records.get(before..).unwrap_or_default());
        table.same(
            "the evaluator changes while a study runs",
            "1 new segment, 0 replicates across",
            &format!("{segments} new segment, {crossed} replicates across"),
        );
        let expected = format!("finished with {} trials", self.trials + self.spoilt);
        table.same("  the same session goes on", &expected, &state(&ended));
        table.same("  verify", "ok", &verified(&self.home)?);
        Ok(())
    }

    /// Bubblewrap cannot be started: who asks for it is refused, who asks for the best there is gets the next level, and
    /// the ledger says so.
    fn without_bubblewrap(&mut self, table: &mut Table<'_>) -> Result<()> {
        let view = ["--ro-bind", "/dev/null", "/usr/bin/bwrap"];
        let run = |level: &str, trials| {
            let setting = Setting { level: level.to_owned(), ..self.setting.clone() };
            inside(&self.home, &view, &self.home.command(setting.run(trials)))
        };
        let (code, said) = run("bwrap", self.trials + 1)?;
        let needles = ["level `bwrap` is not to be had here", "empiric doctor"];
        refusal(table, "bubblewrap is asked for and not there", SANDBOX, &needles, code, &said);
        let before = self.history.records.len();
        let (code, said) = run("auto", self.trials + 1)?;
        self.history.look(&self.study())?;
        let new = self.history.records.iter().skip(before);
        let levels: BTreeSet<&str> = new
            .filter_map(|record| {
                if let Event::Measured { result, .. } = &record.event { Some(result) } else { None }
            })
            .flat_map(|result| &result.units)
            .map(|unit| unit.sandbox.as_str())
            .collect();
        let levels: Vec<&str> = levels.into_iter().collect();
        let seen = if code == Some(0) { levels.join(", ") } else { said };
        table.same("  the best there is", "landlock", &seen);
        table.same("  verify", "ok", &verified(&self.home)?);
        Ok(())
    }
}

/// Replicates that were measured in another segment than they were leased in, and how many segments were opened.
fn across(records: &[Record]) -> (usize, usize) {
    let (mut segments, mut crossed) = (0, 0);
    let mut leases = BTreeMap::new();
    for record in records {
        if let Event::SegmentOpened { .. } = &record.event {
            segments += 1;
        } else if let Event::Leased { replicate, .. } = &record.event {
            leases.insert(*replicate, segments);
        } else if let Event::Measured { replicate, .. } = &record.event {
            crossed += usize::from(leases.get(replicate) != Some(&segments));
        }
    }
    (crossed, segments)
}

/// What was said is `code` and all of `needles`.
fn refusal(
    table: &mut Table<'_>,
    fault: &str,
    code: i32,
    needles: &[&str],
    found: Option<i32>,
    said: &str,
) {
    let expected = format!("exit {code}, {}", needles.join(", "));
    let ok = found == Some(code) && needles.iter().all(|needle| said.contains(needle));
    let last = said.trim().lines().last().unwrap_or_default();
    let seen = if ok { expected.clone() } else { format!("exit {found:?}: {last}") };
    table.add(fault, expected, seen, ok);
}

/// The trial that this event ends by a failure it is blamed for, and the failure.
fn blamed(event: &Event) -> Option<String> {
    let Event::Concluded { trial, outcome: Outcome::Failed(failure) } = event else { return None };
    let own = failure.phase != Phase::Static && !failure.blame.spares_the_trial();
    own.then(|| format!("{trial} {failure}"))
}

/// Whether this event ends a trial by what the machine did.
fn spared(event: &Event) -> bool {
    let Event::Concluded { outcome: Outcome::Failed(failure), .. } = event else { return false };
    failure.blame.spares_the_trial()
}

/// Trials of the study.
fn trials(home: &Home) -> Result<u32> {
    let status = home.say(["status", "study", "--json"])?.json();
    let trials = status.first().and_then(|status| status["trials"].as_u64()).unwrap_or(0);
    Ok(u32::try_from(trials)?)
}

/// Deletes it though it is in use; what is written meanwhile is deleted again.
fn remove_slot(dir: &Path) -> bool {
    (0..100).any(|_| fs::remove_dir_all(dir).is_ok())
}

/// Runs `command` in a mount namespace of its own, with `view` laid over the machine's files.
fn inside(home: &Home, view: &[&str], command: &Command) -> Result<(Option<i32>, String)> {
    let mut outer = Command::new("bwrap");
    outer.args(["--dev-bind", "/", "/"]).args(view).arg("--").arg(command.get_program());
    outer.args(command.get_args()).current_dir(home.path()).env_clear().stdin(Stdio::null());
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = outer.output().context("start bubblewrap")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout) + &text(&output.stderr)))
}

/// A study on a small disk of its own that is full at its start, and fills up again while it runs.
fn full_disk(setting: &Setting, table: &mut Table<'_>) -> Result<()> {
    let home = setting.home()?;
    let kept = home.path().join("kept");
    fs::create_dir(&kept)?;
    fs::create_dir(home.path().join("study"))?;
    let study = home.path().join("study");
    let study = study.to_string_lossy();
    let run = setting.run(MORE).join(" ");
    let long = setting.run(1000).join(" ");
    let exe = setting.exe.display();
    // Enough for a study to be opened, and too little for a replicate to be leased.
    let nearly = DISK_BYTES - (6 << 20);
    let script = format!(
        "fill() {{ head -c 100000000 /dev/zero > study/filler; }} 2>/dev/null
         fill; {exe} {run} > kept/1.txt 2>&1; echo $? > kept/1.code; rm study/filler
         head -c {nearly} /dev/zero > study/filler
         timeout {PATIENCE} {exe} {run} > kept/0.txt 2>&1; echo $? > kept/0.code; rm study/filler
         timeout {PATIENCE} {exe} {long} > kept/2.txt 2>&1 & sleep 1; fill; wait $!; echo $? > kept/2.code
         cp -r study/. kept/2; rm study/filler
         {exe} {run} > kept/3.txt 2>&1; echo $? > kept/3.code; cp -r study/. kept/3
         {exe} verify study > kept/4.txt 2>&1; echo $? > kept/4.code"
    );
    let mut command = home.command(["-c", &script]);
    let mut shell = Command::new("sh");
    shell.args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command = shell;
    inside(&home, &["--size", &DISK_BYTES.to_string(), "--tmpfs", &study], &command)?;
    let read = |name: &str| fs::read_to_string(kept.join(name)).unwrap_or_default();
    let code = |name: &str| read(name).trim().parse::<i32>().ok();
    let needles = ["disk", "nothing is lost"];
    refusal(table, "a disk that is full", DISK, &needles, code("1.code"), &read("1.txt"));
    let fault = "a disk with less room than a session wants";
    refusal(table, fault, DISK, &needles, code("0.code"), &read("0.txt"));
    refusal(table, "a disk that fills up", DISK, &needles, code("2.code"), &read("2.txt"));
    let mut history = History::default();
    history.look(&kept.join("2"))?;
    history.look(&kept.join("3"))?;
    let said = read("3.txt");
    let seen = if code("3.code") == Some(0) { "exit 0" } else { said.trim() };
    table.same("  with room again, the same command", "exit 0", seen);
    history.tell(table);
    let blamed = history.records.iter().filter(|record| {
        matches!(&record.event, Event::Measured { result, .. } if result.failure.is_some())
    });
    table.same("  replicates blamed for it", "0", &blamed.count().to_string());
    let said = read("4.txt");
    table.same("  verify", "ok", if code("4.code") == Some(0) { "ok" } else { said.trim() });
    Ok(())
}
