//! A writer that is killed at any moment loses nothing that it said was written.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use empiric_core::Event;

use super::{open, script};
use crate::{Ledger, Reader, verify};

/// Names the study's directory to the child of [`kills_lose_nothing`].
const DIR: &str = "EMPIRIC_LEDGER_TEST_DIR";

/// Appends until it is killed, saying after each append how far it came.
fn append_for_ever(dir: &Path) -> ! {
    let ledger = open(dir);
    if Reader::open(dir).unwrap().head().unwrap().seq == 0 {
        ledger.append(script::opening()).wait().unwrap();
    }
    loop {
        let note = Event::Noted { by: "child".to_owned(), text: "x".repeat(300) };
        let records = ledger.append(vec![note.clone(), note]).wait().unwrap();
        println!("appended {}", records[1].seq);
    }
}

#[test]
fn kills_lose_nothing() {
    // This test is its own child.
    if let Some(dir) = std::env::var_os(DIR) {
        append_for_ever(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut least = 0;
    for lines in [1, 40, 7, 200] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::kill::kills_lose_nothing", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let seen = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .filter_map(|line| line.unwrap().rsplit_once("appended ")?.1.parse::<u64>().ok())
            .take(lines)
            .last()
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen > least);
        let head = Reader::open(dir.path()).unwrap().head().unwrap().seq;
        assert!(head >= seen, "{head} events are there, {seen} were acknowledged");
        assert_eq!(head % 2, 1, "half of an append is there");
        assert_eq!(verify(dir.path()).unwrap().faults, []);
        least = head;
    }
    let ledger: Ledger = open(dir.path());
    ledger.close().unwrap();
    let verification = verify(dir.path()).unwrap();
    assert_eq!((verification.events, verification.sealed), (least, true));
    assert_eq!(verification.faults, []);
}
