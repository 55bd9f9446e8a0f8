//! Breaks studies on purpose and says whether what follows is what was promised.
//!
//! Four kinds of fault, each against the real program: `kill -9` at random moments of a study that the same command
//! resumes each time; one changed byte in ledger, blobs and store; a decision forged in a ledger whose chain holds;
//! recipes that do what no recipe should.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use empiric_core::{Event, Operator, Outcome, Purpose, Record, TrialNo, Verdict};
use empiric_ledger::{Error, Ledger, Reader};
use fs_err as fs;
use rand::{RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::{Home, Misbehaviour, misbehaviours, tasks};

/// How long the kernel and the helpers may take to clear away what a killed Empiric had running.
const GRACE: Duration = Duration::from_secs(10);

/// What was expected of one fault, and what was seen.
#[derive(Debug, Clone)]
pub struct Row {
    /// The fault, or an aspect of the one before.
    pub fault: String,
    /// What was promised.
    pub expected: String,
    /// What came.
    pub seen: String,
    /// Whether it is what was promised.
    pub ok: bool,
}

/// The rows so far, each told as it comes: the whole takes minutes.
pub struct Table<'a> {
    /// In the order in which they came.
    pub rows: Vec<Row>,
    tell: &'a mut dyn FnMut(&Row),
}

impl<'a> Table<'a> {
    /// An empty one.
    pub fn new(tell: &'a mut dyn FnMut(&Row)) -> Self {
        Self { rows: Vec::new(), tell }
    }

    fn add(
        &mut self,
        fault: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
        ok: bool,
    ) {
        let row = Row { fault: fault.into(), expected: expected.into(), seen: seen.into(), ok };
        (self.tell)(&row);
        self.rows.push(row);
    }

    /// What is the same word when all is well.
    fn same(&mut self, fault: impl Into<String>, expected: &str, seen: &str) {
        self.add(fault, expected, seen, expected == seen);
    }
}

/// A home with the tiny task in it.
fn home(exe: &Path) -> Result<Home> {
    let home = Home::new(exe)?;
    tasks::tiny(&home.path().join("task"))?;
    Ok(home)
}

/// The arguments of a run of the tiny task.
fn words(trials: u32) -> Vec<String> {
    let words = format!("run task --study study --trials {trials} --slots 2 --json");
    words.split(' ').map(str::to_owned).collect()
}

/// `empiric verify`: its exit code, and whether it names an event.
fn verify(home: &Home) -> Result<(Option<i32>, bool, String)> {
    let said = home.say(["verify", "study", "--json"])?;
    let found: Value = serde_json::from_str(&said.out)
        .with_context(|| format!("read what verify says: {}{}", said.out, said.talk))?;
    let faults = found["faults"].as_array().into_iter().flatten();
    let named = faults.clone().any(|fault| fault["event"].is_u64());
    let words: Vec<_> = faults.filter_map(|fault| fault["what"].as_str()).collect();
    Ok((said.code, named, words.join("; ")))
}

fn verified(home: &Home) -> Result<String> {
    let (code, _, faults) = verify(home)?;
    Ok(if code == Some(0) { "ok".to_owned() } else { format!("exit {code:?}: {faults}") })
}

fn left_running(home: &Home) -> String {
    let left = home.left_running(GRACE);
    let words: Vec<_> = left.iter().map(ToString::to_string).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// Kills a study of `trials` trials on two slots at `kills` random moments, and resumes it by the same command each time.
///
/// # Errors
/// When the program cannot be run, or its study not be read.
pub fn kills(exe: &Path, trials: u32, kills: u32, table: &mut Table<'_>) -> Result<()> {
    let home = home(exe)?;
    let study = home.path().join("study");
    let words = words(trials);
    // A trial is at least five events, so this many between two kills leave some for the last session.
    let most = 2 * 4 * trials / kills;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut seen = History::default();
    let mut struck = 0;
    let mut left = BTreeSet::new();
    for kill in 0..kills {
        let mut session = home.start(&words)?;
        let events = rng.random_range(0..=most);
        let ended = (0..events).any(|_| session.event().is_none());
        // Before the first event lies the opening, which takes longer than what is between two events.
        let ms = rng.random_range(0..if events == 0 { 150 } else { 20 });
        std::thread::sleep(Duration::from_millis(ms));
        session.kill()?;
        struck += u32::from(!ended);
        // Every other time the next session starts while the last one's units may still be ending.
        if kill % 2 == 0 {
            left.extend(home.left_running(GRACE).iter().map(ToString::to_string));
        }
        seen.look(&study)?;
    }
    let ended = home.start(&words)?.end()?;
    seen.look(&study)?;
    let fault = format!("kill -9 at {struck} moments");
    let summary = ended.events.last().cloned().unwrap_or_default();
    let state = format!("{} with {} trials", summary["state"], summary["trials"]).replace('"', "");
    let expected = format!("finished with {} trials", trials);
    let seen_state = if state == expected { state } else { format!("{state}; {}", ended.talk) };
    table.same(&fault, &expected, &seen_state);
    table.add("  moments", kills.to_string(), struck.to_string(), struck == kills);
    let measured = seen.measured.len();
    let fate = format!("{} lost, {} repeated", seen.lost, seen.repeated);
    table.add(
        "  finished replicates",
        "0 lost, 0 repeated",
        format!("{fate} of {measured}; {} unfinished ones ran again", seen.fenced),
        fate == "0 lost, 0 repeated" && measured > 0,
    );
    let left = left.into_iter().collect::<Vec<_>>().join(", ");
    let left = if left.is_empty() { left_running(&home) } else { left };
    table.same("  processes left", "none", &left);
    table.same("  verify", "ok", &verified(&home)?);
    Ok(())
}

/// What the ledger has said so far.
#[derive(Default)]
struct History {
    records: Vec<Record>,
    /// Replicates with a usable result, by what they were for.
    measured: BTreeSet<(TrialNo, Purpose, u32)>,
    lost: usize,
    repeated: usize,
    fenced: usize,
}

impl History {
    /// Reads the ledger again: what was there must be there still, and what was measured must not be measured again.
    fn look(&mut self, study: &Path) -> Result<()> {
        let now = records(study)?;
        let is_measured = |record: &&Record| matches!(record.event, Event::Measured { .. });
        let gone = self.records.iter().enumerate().filter(|(at, old)| now.get(*at) != Some(*old));
        self.lost += gone.map(|(_, old)| old).filter(is_measured).count();
        let mut leases = BTreeMap::new();
        (self.repeated, self.fenced) = (0, 0);
        self.measured.clear();
        for record in &now {
            if let Event::Leased { replicate, trial, purpose, index, .. } = &record.event {
                leases.insert(*replicate, (*trial, *purpose, *index));
            }
            if let Event::Measured { replicate, result, .. } = &record.event
                && result.failure.is_none()
            {
                let what = leases.get(replicate).context("a replicate without a lease")?;
                self.repeated += usize::from(!self.measured.insert(*what));
            }
            self.fenced += usize::from(matches!(record.event, Event::Fenced { .. }));
        }
        self.records = now;
        Ok(())
    }
}

/// All events of the study; none when it was killed before it had any.
fn records(study: &Path) -> Result<Vec<Record>> {
    let reader = match Reader::open(study) {
        Err(Error::Missing { .. }) => return Ok(Vec::new()),
        reader => reader?,
    };
    let mut all: Vec<Record> = Vec::new();
    loop {
        let page = reader.records(all.last().map_or(0, |record| record.seq), 1000)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Changes one byte at a time of what a finished study has on disk, `flips` of each kind; verification must see each.
///
/// # Errors
/// When the program cannot be run, or its study not be changed.
pub fn flips(exe: &Path, flips: usize, table: &mut Table<'_>) -> Result<()> {
    let home = home(exe)?;
    let study = home.path().join("study");
    let ended = home.start(words(12))?.end()?;
    ensure!(ended.code == Some(0), "the study to damage did not finish: {}", ended.talk);
    let whole = records(&study)?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let trials = home.say(["trials", "study", "--json"])?.json();
    let objects: BTreeSet<String> = trials
        .iter()
        .flat_map(|trial| [&trial["commit"], &trial["tree"]])
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect();
    let store = study.join("store.git");
    let targets = [
        ("ledger.db", vec![study.join("ledger.db")]),
        ("the ledger's seal", vec![study.join("ledger.seal")]),
        ("blobs", files(&study.join("blobs"))?),
        ("objects of the store", files(&store.join("objects"))?),
        ("refs of the store", files(&store.join("refs/empiric"))?),
    ];
    for (what, files) in targets {
        let mut tally = Tally::default();
        for _ in 0..flips {
            let file =
                files.choose(&mut rng).with_context(|| format!("the study has no {what}"))?;
            let sound = fs::read(file)?;
            let mut bytes = sound.clone();
            let at = rng.random_range(0..bytes.len());
            // All bits: a few single ones, such as padding in compressed objects of the store, change nothing.
            bytes[at] = !bytes[at];
            overwrite(file, &bytes)?;
            let event_hit = match what {
                "ledger.db" => !records(&study).is_ok_and(|now| now == whole),
                "the ledger's seal" => false,
                "objects of the store" => objects.contains(&object_id(file)),
                _ => true,
            };
            let (code, named, _) = verify(&home)?;
            overwrite(file, &sound)?;
            tally.take(code, event_hit, named, || format!("{} byte {at}", file.display()));
        }
        tally.tell(what, flips, table);
    }
    table.same("  restored", "ok", &verified(&home)?);
    Ok(())
}

/// Writes the ledger of a finished study anew, with a chain that holds but with one decision that was never made:
/// verification makes every decision again, and must see it.
///
/// # Errors
/// When the program cannot be run, or its study not be written anew.
pub fn rewrites(exe: &Path, table: &mut Table<'_>) -> Result<()> {
    let home = home(exe)?;
    let study = home.path().join("study");
    let ended = home.start(words(6))?.end()?;
    ensure!(ended.code == Some(0), "the study to rewrite did not finish: {}", ended.talk);
    let whole = records(&study)?;
    rewrite(&study, &whole)?;
    table.same("a ledger written anew as it was", "ok", &verified(&home)?);
    for (what, change) in
        [("another verdict", change_verdict as fn(&mut Event) -> bool), ("another ask", change_ask)]
    {
        let mut events = whole.clone();
        let hit = events.iter_mut().find_map(|it| change(&mut it.event).then_some(it.seq));
        let hit = hit.with_context(|| format!("the study has no event for {what}"))?;
        rewrite(&study, &events)?;
        let said = home.say(["verify", "study", "--json"])?.json();
        let named = said.first().and_then(|found| found["faults"][0]["event"].as_u64());
        let seen = named.map_or("no event named".to_owned(), |seq| format!("event {seq}"));
        table.same(format!("a ledger written anew with {what}"), &format!("event {hit}"), &seen);
    }
    Ok(())
}

fn change_verdict(event: &mut Event) -> bool {
    let Event::Concluded { outcome: Outcome::Valid { verdict, .. }, .. } = event else {
        return false;
    };
    let discarded = *verdict == Verdict::Discard;
    if discarded {
        *verdict = Verdict::Inconclusive;
    }
    discarded
}

fn change_ask(event: &mut Event) -> bool {
    let Event::Asked { ask, .. } = event else { return false };
    let drafted = ask.operator == Operator::Draft && !ask.parents.is_empty();
    if drafted {
        ask.operator = Operator::Improve;
    }
    drafted
}

/// Replaces the ledger of `study` by one of these events.
fn rewrite(study: &Path, records: &[Record]) -> Result<()> {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.seal"] {
        match fs::remove_file(study.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let at = records.first().context("the study has no events")?.at;
    let ledger = Ledger::open(empiric_ledger::Options {
        dir: study.to_owned(),
        clock: Arc::new(move || at),
        durability: empiric_ledger::Durability::default(),
    })?;
    ledger.append(records.iter().map(|record| record.event.clone()).collect()).wait()?;
    Ok(ledger.close()?)
}

/// What verification made of changed bytes.
#[derive(Default)]
struct Tally {
    found: usize,
    of_events: usize,
    named: usize,
    missed: Vec<String>,
}

impl Tally {
    /// Counts one flip; `event_hit` when it changes what an event says or what an event needs.
    fn take(
        &mut self,
        code: Option<i32>,
        event_hit: bool,
        named: bool,
        place: impl Fn() -> String,
    ) {
        let found = code == Some(5);
        self.found += usize::from(found);
        self.of_events += usize::from(event_hit);
        self.named += usize::from(event_hit && named);
        if !found {
            self.missed.push(format!("{}: exit {code:?}", place()));
        } else if event_hit && !named {
            self.missed.push(format!("{}: no event named", place()));
        }
    }

    fn tell(&self, what: &str, flips: usize, table: &mut Table<'_>) {
        let expected = format!("exit 5 for {flips} of {flips}, events named");
        let seen = format!(
            "{} of {flips}, {} of {} events named{}{}",
            self.found,
            self.named,
            self.of_events,
            if self.missed.is_empty() { "" } else { "; " },
            self.missed.join("; ")
        );
        let fault = format!("one byte changed in {what}");
        table.add(fault, expected, seen, self.missed.is_empty());
    }
}

/// The id of the loose object at `path`.
fn object_id(path: &Path) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{}{}", path.parent().map(name).unwrap_or_default(), name(path))
}

/// All files below `dir`.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// Replaces a file that may be read-only.
fn overwrite(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_file_name("aside.tmp");
    fs::write(&aside, bytes)?;
    fs::set_permissions(&aside, fs::metadata(path)?.permissions())?;
    Ok(fs::rename(aside, path)?)
}

/// Hands recipes that misbehave to a running study.
///
/// # Errors
/// When the program cannot be run.
pub fn recipes(exe: &Path, table: &mut Table<'_>) -> Result<()> {
    let home = home(exe)?;
    let outside = home.path().join("outside");
    fs::create_dir(&outside)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let session = home.start(words(1_000_000))?;
    session.until("concluded").context("the study ended before its baseline was measured")?;
    for recipe in misbehaviours(&outside, listener.local_addr()?.port()) {
        let seen = submit(&home, &recipe)?;
        table.same(format!("a recipe that {}", recipe.name), recipe.expected, &seen);
    }
    let trials = |home: &Home| -> Result<u64> {
        let status = home.say(["status", "study", "--json"])?.json();
        Ok(status.first().and_then(|status| status["trials"].as_u64()).unwrap_or(0))
    };
    let before = trials(&home)?;
    while session.event().is_some() && trials(&home)? < before + 3 {}
    let on = trials(&home)?;
    table.add("  the study", "goes on", format!("{before}, then {on} trials"), on > before);
    home.say(["stop", "study"])?;
    let code = session.end()?.code;
    table.add("  stop", "exit 130", format!("exit {code:?}"), code == Some(130));
    let escaped = [outside.join("empiric-escaped"), PathBuf::from("/usr/empiric-escaped")];
    let escaped: Vec<_> = escaped.iter().filter(|path| path.exists()).collect();
    table.add(
        "  written outside",
        "nothing",
        format!("{} files", escaped.len()),
        escaped.is_empty(),
    );
    let caller = listener.accept().is_ok();
    let callers = if caller { "a connection" } else { "nobody" };
    table.same("  reached on loopback", "nobody", callers);
    table.same("  processes left", "none", &left_running(&home));
    table.same("  verify", "ok", &verified(&home)?);
    Ok(())
}

/// Submits a recipe and waits for what becomes of it.
fn submit(home: &Home, recipe: &Misbehaviour) -> Result<String> {
    fs::write(home.path().join("edit.patch"), recipe.patch())?;
    let words = ["submit", "study", "--parent", "t0", "--patch", "edit.patch", "--wait", "--json"];
    let said = home.say(words.iter().chain(&["--hypothesis", recipe.name]))?;
    let Ok(trial) = serde_json::from_str::<Value>(&said.out) else {
        return Ok(format!("exit {:?}: {}", said.code, said.talk.trim()));
    };
    let outcome = &trial["outcome"];
    let word = outcome["cause"].as_str().or(outcome["kind"].as_str());
    Ok(word.unwrap_or("no outcome").to_owned())
}
