//! What is appended is kept exactly; what does not fit is refused whole.

use empiric_core::{Cost, Event, TrialNo, event, trial::Measured};

use super::{clock, closed, open, options, raw, script};
use crate::{Error, Head, Ledger, Reader, schema, verify};

fn note(text: &str) -> Event {
    Event::Noted { by: "me".to_owned(), text: text.to_owned() }
}

#[test]
fn records_are_read_back_as_they_were_returned() {
    let dir = tempfile::tempdir().unwrap();
    let written = closed(dir.path(), 6);
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.records(0, 1000).unwrap(), written);
    assert_eq!(reader.records(7, 2).unwrap(), written[7..9]);
    assert_eq!(reader.head().unwrap().seq, written.len() as u64);
    let verification = verify(dir.path()).unwrap();
    assert_eq!((verification.events, verification.sealed), (written.len() as u64, true));
    assert_eq!(verification.faults, []);
}

#[test]
fn hashes_follow_the_documented_rule() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 1);
    let rows: Vec<(i64, i64, String, [u8; 32])> = raw(dir.path())
        .prepare("SELECT seq, at, body, hash FROM event ORDER BY seq")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut previous = [0; 32];
    for (seq, at, body, hash) in rows {
        let mut bytes = previous.to_vec();
        bytes.extend(seq.to_le_bytes());
        bytes.extend(at.to_le_bytes());
        bytes.extend(body.as_bytes());
        assert_eq!(*blake3::hash(&bytes).as_bytes(), hash, "event {seq}");
        previous = hash;
    }
}

#[test]
fn an_append_can_be_awaited_and_many_share_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        ledger.append(script::opening()).await.unwrap();
        let appends: Vec<_> = (0..200).map(|i| ledger.append(vec![note(&i.to_string())])).collect();
        for (i, append) in appends.into_iter().enumerate() {
            let records = append.await.unwrap();
            assert_eq!(records[0].seq, 4 + i as u64);
            assert_eq!(records[0].event, note(&i.to_string()));
        }
    });
}

#[test]
fn an_append_that_is_dropped_is_still_made_and_close_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    drop(ledger.append(script::opening()));
    drop(ledger);
    assert_eq!(Reader::open(dir.path()).unwrap().head().unwrap().seq, 3);
}

#[test]
fn an_event_that_does_not_fit_refuses_its_append_whole_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let refused = ledger.append(vec![note("before the study")]).wait().unwrap_err();
    assert_eq!(refused.to_string(), "append `noted` to the ledger: a study must be opened first");
    ledger.append(script::opening()).wait().unwrap();
    let plain = script::plain(2);
    let bad = [
        vec![note("goes with the next one"), plain[3][0].clone()],
        script::opening(),
        plain[2].clone(),
        plain[1][1..].to_vec(),
    ];
    let pending: Vec<_> = bad.into_iter().map(|events| ledger.append(events)).collect();
    let good = ledger.append(plain[1].clone());
    for append in pending {
        assert!(matches!(append.wait(), Err(Error::Unfit { .. })));
    }
    assert_eq!(good.wait().unwrap()[0].seq, 4);
    ledger.append(plain[2].clone()).wait().unwrap();
    let again = ledger.append(plain[2].clone()).wait().unwrap_err();
    assert!(again.to_string().contains("holds no lease for t0"), "{again}");
    let again = ledger.append(plain[2][1..].to_vec()).wait().unwrap_err();
    assert!(again.to_string().contains("t0 does not exist, or has ended already"), "{again}");
    let again = ledger.append(plain[1][2..].to_vec()).wait().unwrap_err();
    assert!(matches!(again, Error::Unfit { name: "leased", .. }), "{again}");
    ledger.close().unwrap();
    assert_eq!(verify(dir.path()).unwrap().faults, []);
}

#[test]
fn a_number_that_json_cannot_hold_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let plain = script::plain(1);
    ledger.append(plain[0].clone()).wait().unwrap();
    ledger.append(plain[1].clone()).wait().unwrap();
    let Event::Measured { replicate, .. } = plain[2][0] else { panic!("a measurement") };
    for cost in [f64::NAN, f64::INFINITY] {
        let result =
            Measured { cost: Cost { wall_s: cost, ..Cost::default() }, ..Measured::default() };
        let event = Event::Measured { replicate, trial: TrialNo(0), result };
        assert!(matches!(
            ledger.append(vec![event]).wait(),
            Err(Error::Unfit { name: "measured", .. })
        ));
    }
    let mut event = plain[2][1].clone();
    if let Event::Concluded { outcome: empiric_core::Outcome::Valid { gain, .. }, .. } = &mut event
    {
        *gain = Some(f64::NEG_INFINITY);
    }
    assert!(matches!(
        ledger.append(vec![event]).wait(),
        Err(Error::Unfit { name: "concluded", .. })
    ));
    ledger.append(plain[2].clone()).wait().unwrap();
}

#[test]
fn a_second_writer_is_refused_with_the_first_ones_pid() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let error = Ledger::open(options(dir.path())).unwrap_err();
    assert!(matches!(&error, Error::Locked { pid, .. } if *pid == std::process::id().to_string()));
    drop(first);
    drop(open(dir.path()));
}

#[test]
fn events_cannot_be_changed_deleted_replaced_or_put_out_of_order() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 1);
    let db = raw(dir.path());
    for sql in [
        "UPDATE event SET body = '{}' WHERE seq = 2",
        "DELETE FROM event WHERE seq = 2",
        "DELETE FROM event",
        "INSERT OR REPLACE INTO event VALUES (2, 0, 'noted', NULL, '{}', zeroblob(32))",
        "INSERT INTO event VALUES (100, 0, 'noted', NULL, '{}', zeroblob(32))",
        "INSERT INTO event VALUES (NULL, 0, 'noted', NULL, '{}', zeroblob(32))",
    ] {
        let error = db.execute(sql, []).unwrap_err();
        assert!(error.to_string().contains("events are"), "{sql}: {error}");
    }
}

#[test]
fn nothing_is_appended_after_an_event_that_the_writer_did_not_write() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    ledger.append(script::opening()).wait().unwrap();
    let sql = "INSERT INTO event VALUES (4, 0, 'noted', NULL, '{}', zeroblob(32))";
    raw(dir.path()).execute(sql, []).unwrap();
    let error = ledger.append(vec![note("x")]).wait().unwrap_err();
    assert!(matches!(error, Error::HeadMoved { .. }), "{error}");
    drop(ledger);
    // Nor by the next writer.
    assert!(matches!(Ledger::open(options(dir.path())), Err(Error::HeadMoved { .. })));
}

#[test]
fn a_newer_ledger_is_read_and_not_written() {
    for newer in [schema::VERSION + 1000, schema::VERSION + 1] {
        let dir = tempfile::tempdir().unwrap();
        let written = closed(dir.path(), 2);
        raw(dir.path()).pragma_update(None, "user_version", newer).unwrap();
        let error = Ledger::open(options(dir.path())).unwrap_err();
        assert!(matches!(error, Error::Newer { found, .. } if found == newer), "{error}");
        let reader = Reader::open(dir.path()).unwrap();
        assert_eq!(reader.records(0, 1000).unwrap(), written);
        assert_eq!(reader.study().unwrap().trials().len(), 2);
    }
    assert_eq!(schema::VERSION % 1000, event::SCHEMA);
}

#[test]
fn an_event_that_another_version_wrote_is_told_from_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 2);
    let db = raw(dir.path());
    let sql = "DROP TRIGGER event_unchanged; UPDATE event SET body = '{\"event\":\"of_old\"}' WHERE seq = 3";
    db.execute_batch(sql).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let error = reader.study().unwrap_err();
    assert!(matches!(error, Error::Undecodable { seq: 3, .. }), "{error}");
    db.pragma_update(None, "user_version", schema::VERSION - 1).unwrap();
    for error in [reader.study().unwrap_err(), reader.records(0, 10).unwrap_err()] {
        assert!(matches!(error, Error::OtherFormat { seq: 3, .. }), "{error}");
        assert!(error.to_string().contains("the Empiric that wrote it"), "{error}");
    }
}

#[test]
fn a_database_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    raw(dir.path()).execute_batch("CREATE TABLE mine (x)").unwrap();
    let before = fs_err::read(schema::path(dir.path())).unwrap();
    assert!(matches!(Ledger::open(options(dir.path())), Err(Error::NotALedger { .. })));
    assert!(matches!(Reader::open(dir.path()), Err(Error::NotALedger { .. })));
    assert_eq!(fs_err::read(schema::path(dir.path())).unwrap(), before);
}

#[test]
fn times_may_go_backwards() {
    let dir = tempfile::tempdir().unwrap();
    let times = std::sync::Mutex::new(vec![1, 50, 100, 7]);
    let mut options = options(dir.path());
    options.clock = std::sync::Arc::new(move || {
        let second = times.lock().unwrap().pop().unwrap_or_default();
        jiff::Timestamp::from_second(second).unwrap()
    });
    let ledger = Ledger::open(options).unwrap();
    for events in script::plain(1) {
        ledger.append(events).wait().unwrap();
    }
    ledger.close().unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let seconds: Vec<i64> =
        reader.records(0, 10).unwrap().iter().map(|r| r.at.as_second()).collect();
    assert_eq!(seconds, [7, 7, 7, 100, 100, 100, 50, 50]);
    assert!(reader.study().is_ok());
    assert_eq!(verify(dir.path()).unwrap().faults, []);
    let at = clock()().as_microsecond();
    assert_ne!(Head::START.then(at, b"{}"), Head::START.then(at - 1, b"{}"));
}
