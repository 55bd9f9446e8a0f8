//! Whatever is changed behind the ledger's back is found, and the event is named.

use std::path::Path;

use empiric_core::Event;
use rusqlite::Connection;

use super::{closed, open, raw, script};
use crate::{Blobs, schema, verify};

const TRIALS: u32 = 8;

/// Changes the database as a forger would: triggers off, no seal.
fn forge(dir: &Path, forgery: impl FnOnce(&Connection)) {
    let db = raw(dir);
    db.execute_batch("PRAGMA writable_schema = ON").unwrap();
    let triggers = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'";
    let triggers: Vec<(String, String)> = db
        .prepare(triggers)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    triggers
        .iter()
        .for_each(|(name, _)| db.execute_batch(&format!("DROP TRIGGER {name}")).unwrap());
    forgery(&db);
    triggers.iter().for_each(|(_, sql)| db.execute_batch(sql).unwrap());
    fs_err::remove_file(dir.join("ledger.seal")).unwrap();
}

fn first(dir: &Path) -> (Option<u64>, String) {
    let verification = verify(dir).unwrap();
    let fault = verification.faults.into_iter().next().expect("a fault");
    (fault.event, fault.what)
}

#[test]
fn every_column_of_an_event_is_guarded() {
    for (sql, event, what) in [
        ("UPDATE event SET at = at + 1 WHERE seq = 9", 9, "its hash is not"),
        ("UPDATE event SET name = 'noted' WHERE seq = 9", 9, "column `name`"),
        ("UPDATE event SET trial = 3 WHERE seq = 9", 9, "column `trial`"),
        ("UPDATE event SET trial = NULL WHERE seq = 9", 9, "column `trial`"),
        ("UPDATE event SET body = replace(body, 't1', 't2') WHERE seq = 9", 9, "its hash is not"),
        ("UPDATE event SET body = '{' WHERE seq = 9", 9, "its hash is not"),
        ("UPDATE event SET hash = zeroblob(32) WHERE seq = 9", 9, "its hash is not"),
        ("UPDATE event SET hash = zeroblob(31) WHERE seq = 9", 9, "column `hash`"),
        ("DELETE FROM event WHERE seq = 9", 9, "it is missing; event 10"),
        ("UPDATE event SET seq = 1000 WHERE seq = 9", 9, "it is missing; event 10"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        closed(dir.path(), TRIALS);
        forge(dir.path(), |db| assert_eq!(db.execute(sql, []).unwrap(), 1));
        let found = first(dir.path());
        assert_eq!(found.0, Some(event), "{sql}: {found:?}");
        assert!(found.1.contains(what), "{sql}: {found:?}");
    }
}

#[test]
fn two_events_that_changed_places_are_found() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), TRIALS);
    forge(dir.path(), |db| {
        for sql in [
            "SET seq = 500 WHERE seq = 9",
            "SET seq = 9 WHERE seq = 10",
            "SET seq = 10 WHERE seq = 500",
        ] {
            db.execute(&format!("UPDATE event {sql}"), []).unwrap();
        }
    });
    assert_eq!(first(dir.path()).0, Some(9));
}

#[test]
fn projections_answers_and_schema_are_guarded() {
    for (sql, event, what) in [
        ("UPDATE trial SET score_sum = 0.0 WHERE no = 0", Some(8), "table `trial`"),
        ("UPDATE trial SET verdict = 'keep' WHERE no = 0", Some(8), "table `trial`"),
        ("DELETE FROM trial WHERE no = 7", Some(43), "table `trial`"),
        ("UPDATE replicate SET seed = 1 WHERE seq = 6", Some(6), "table `replicate`"),
        ("UPDATE measurement SET value = 0.0 WHERE replicate = 6", Some(6), "table `measurement`"),
        (
            "INSERT INTO measurement VALUES (99, 0, 'x', 'search', 1.0, 'harness')",
            Some(99),
            "table `measurement`",
        ),
        ("UPDATE study SET segment = 3", Some(1), "table `study`"),
        ("CREATE TABLE extra (x)", None, "its tables"),
        ("DROP INDEX event_trial", None, "its tables"),
        ("PRAGMA user_version = 7", None, "its format"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        closed(dir.path(), TRIALS);
        forge(dir.path(), |db| db.execute_batch(sql).unwrap());
        let found = first(dir.path());
        assert_eq!(found.0, event, "{sql}: {found:?}");
        assert!(found.1.contains(what), "{sql}: {found:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), TRIALS);
    raw(dir.path()).execute("INSERT INTO answer VALUES (x'00', 1, NULL, NULL)", []).unwrap();
    assert!(first(dir.path()).1.contains("changed after it was closed"));
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), TRIALS);
    raw(dir.path()).execute_batch("DROP TRIGGER event_undeleted").unwrap();
    assert!(first(dir.path()).1.contains("its tables, indexes and triggers"));
}

#[test]
fn a_cut_tail_is_found_by_the_seal() {
    let dir = tempfile::tempdir().unwrap();
    let written = closed(dir.path(), TRIALS);
    let seal = fs_err::read(dir.path().join("ledger.seal")).unwrap();
    let last = written.len() as u64;
    forge(dir.path(), |db| {
        db.execute("DELETE FROM event WHERE seq = ?", [last.cast_signed()]).unwrap();
    });
    fs_err::write(dir.path().join("ledger.seal"), seal).unwrap();
    assert_eq!(first(dir.path()).0, Some(last));
    assert!(crate::Ledger::open(super::options(dir.path())).is_err());
}

/// Changes one byte at each of many places of the file, with and without a seal.
#[test]
fn any_changed_byte_of_a_closed_ledger_is_found() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), TRIALS);
    let path = schema::path(dir.path());
    let good = fs_err::read(&path).unwrap();
    for place in (0..100).step_by(3).chain((100..good.len()).step_by(211)) {
        let mut bad = good.clone();
        bad[place] ^= 1 << (place % 8);
        fs_err::write(&path, &bad).unwrap();
        assert!(!verify(dir.path()).unwrap().ok(), "byte {place}");
    }
    fs_err::write(&path, &good).unwrap();
    assert_eq!(verify(dir.path()).unwrap().faults, []);
}

/// A changed byte within an event's row names that event, also where SQLite itself cannot make sense of it any more.
#[test]
fn a_changed_byte_of_an_event_row_names_the_event() {
    let dir = tempfile::tempdir().unwrap();
    let written = closed(dir.path(), TRIALS);
    fs_err::remove_file(dir.path().join("ledger.seal")).unwrap();
    let path = schema::path(dir.path());
    let good = fs_err::read(&path).unwrap();
    for seq in [9, 20, 33] {
        let body = serde_json::to_string(&written[seq - 1].event).unwrap();
        let start = good.windows(body.len()).position(|bytes| bytes == body.as_bytes()).unwrap();
        // From the row's header (name, time and sizes lie before the body) to the end of its hash.
        for place in (start - 22..start + 3).chain(start + body.len() - 2..start + body.len() + 32)
        {
            let mut bad = good.clone();
            bad[place] ^= 0x15;
            fs_err::write(&path, &bad).unwrap();
            let found = first(dir.path());
            assert!(
                found.0.is_some_and(|event| event.abs_diff(seq as u64) <= 1),
                "event {seq}, byte {}: {found:?}",
                place as i64 - start as i64
            );
        }
    }
}

#[test]
fn a_file_that_is_no_database_any_more_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), TRIALS);
    let path = schema::path(dir.path());
    let good = fs_err::read(&path).unwrap();
    let mut zeroed = good.clone();
    zeroed[8192..12288].fill(0);
    for bad in
        [good[..good.len() / 2].to_vec(), good[..50].to_vec(), vec![7; 9000], zeroed, Vec::new()]
    {
        fs_err::write(&path, &bad).unwrap();
        assert!(!verify(dir.path()).unwrap().ok());
    }
}

#[test]
fn a_damaged_or_missing_log_names_the_event_that_speaks_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::of(dir.path());
    let id = blobs.put(b"loss: 2.31").unwrap();
    blobs.put(b"of no event").unwrap();
    let mut groups = script::plain(2);
    if let Event::Measured { result, .. } = &mut groups[4][0] {
        result.units[0].log = Some(id.to_string());
    }
    let ledger = open(dir.path());
    for events in groups {
        ledger.append(events).wait().unwrap();
    }
    ledger.close().unwrap();
    let verification = verify(dir.path()).unwrap();
    assert_eq!((verification.blobs, verification.faults), (2, Vec::new()));

    let name = id.to_string();
    let path = dir.path().join("blobs").join(&name[..2]).join(&name[2..]);
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[5] ^= 1;
    fs_err::write(&path, bytes).unwrap();
    assert_eq!(first(dir.path()).0, Some(12));
    fs_err::remove_file(path).unwrap();
    assert_eq!(first(dir.path()).0, Some(12));
}

#[test]
fn a_damaged_seal_is_a_fault_and_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 1);
    let seal = dir.path().join("ledger.seal");
    let good = fs_err::read_to_string(&seal).unwrap();
    for bad in [good.replace("events", "evints"), good.replace(": 8", ": 9"), String::new()] {
        fs_err::write(&seal, &bad).unwrap();
        assert!(!verify(dir.path()).unwrap().ok(), "{bad}");
        assert!(crate::Ledger::open(super::options(dir.path())).is_err(), "{bad}");
    }
    fs_err::write(&seal, &good).unwrap();
    assert_eq!(verify(dir.path()).unwrap().faults, []);
}

#[test]
fn a_ledger_that_is_being_opened_written_and_closed_verifies() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 1);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for n in 0..40 {
                let note = Event::Noted { by: "me".to_owned(), text: n.to_string() };
                open(dir.path()).append(vec![note]).wait().unwrap();
            }
        });
        while !writing.is_finished() {
            assert_eq!(verify(dir.path()).unwrap().faults, []);
        }
    });
    assert_eq!(verify(dir.path()).unwrap().events, 48);
}
