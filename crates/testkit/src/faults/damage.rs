//! One changed byte in what a finished study has on disk, and a decision forged in a ledger whose chain holds.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use empiric_core::{Event, Operator, Outcome, Record, Verdict};
use empiric_ledger::{Clock, Ledger};
use fs_err as fs;
use rand::{RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use super::{Setting, Table, files, history::records, overwrite, verified, verify};

/// Changes one byte at a time of what a finished study has on disk, `flips` of each kind; verification must see each.
///
/// # Errors
/// When the program cannot be run, or its study not be changed.
pub fn flips(setting: &Setting, flips: usize, table: &mut Table<'_>) -> Result<()> {
    let home = setting.home()?;
    let study = home.path().join("study");
    let ended = home.start(setting.run(12))?.end()?;
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
pub fn rewrites(setting: &Setting, table: &mut Table<'_>) -> Result<()> {
    let home = setting.home()?;
    let study = home.path().join("study");
    let ended = home.start(setting.run(6))?.end()?;
    ensure!(ended.code == Some(0), "the study to rewrite did not finish: {}", ended.talk);
    let whole = records(&study)?;
    let at = whole.first().context("the study has no events")?.at;
    let clock: Clock = Arc::new(move || at);
    rewrite(&study, &whole, Arc::clone(&clock))?;
    table.same("a ledger written anew as it was", "ok", &verified(&home)?);
    for (what, change) in
        [("another verdict", change_verdict as fn(&mut Event) -> bool), ("another ask", change_ask)]
    {
        let mut events = whole.clone();
        let hit = events.iter_mut().find_map(|it| change(&mut it.event).then_some(it.seq));
        let hit = hit.with_context(|| format!("the study has no event for {what}"))?;
        rewrite(&study, &events, Arc::clone(&clock))?;
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
pub(super) fn rewrite(study: &Path, records: &[Record], clock: Clock) -> Result<()> {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.seal"] {
        match fs::remove_file(study.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let ledger = Ledger::open(empiric_ledger::Options {
        dir: study.to_owned(),
        clock,
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
