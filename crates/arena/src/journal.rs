//! What was measured already, a line of JSON for each seed of a task: hours of measuring may be cut short, and the same
//! command goes on.

use std::{
    io::Write,
    path::Path,
    sync::{Mutex, PoisonError},
};

use empiric_core::Digest;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::tasks::Won;

/// What a measurement is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// The programs that measured: others measure something else.
    pub(crate) programs: String,
    pub(crate) task: String,
    pub(crate) trials: u32,
    pub(crate) seed: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    key: Key,
    /// By method, in the order of the columns.
    won: Vec<Won>,
}

/// A file of them.
#[derive(Debug)]
pub(crate) struct Journal(Mutex<Written>);

#[derive(Debug)]
struct Written {
    lines: Vec<Line>,
    file: fs::File,
}

impl Journal {
    /// Opens it; what an earlier run was writing when it was killed is passed over.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        let text = fs::read_to_string(path)?;
        if !text.is_empty() && !text.ends_with('\n') {
            writeln!(file)?;
        }
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Self(Mutex::new(Written { lines, file })))
    }

    /// What was measured.
    pub(crate) fn get(&self, key: &Key) -> Option<Vec<Won>> {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.lines.iter().find(|line| line.key == *key).map(|line| line.won.clone())
    }

    /// Writes down what was measured now.
    pub(crate) fn add(&self, key: Key, won: Vec<Won>) -> anyhow::Result<()> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Line { key, won };
        writeln!(written.file, "{}", serde_json::to_string(&line)?)?;
        written.lines.push(line);
        Ok(())
    }
}

/// This program and the one that it runs, as a [`Key`] names them.
pub(crate) fn programs(exe: &Path) -> anyhow::Result<String> {
    let digest = |path: &Path| anyhow::Ok(Digest::of(&fs::read(path)?));
    Ok(format!("{} {}", digest(exe)?, digest(&std::env::current_exe()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_known_again_and_a_torn_line_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let key = |seed, trials| Key {
            programs: "these".to_owned(),
            task: "golf".to_owned(),
            trials,
            seed,
        };
        let won = vec![Won { gain: 0.25, replicates: 31 }];
        Journal::open(&path).unwrap().add(key(0, 30), won.clone()).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{}", &whole[..whole.len() / 2])).unwrap();
        Journal::open(&path).unwrap().add(key(1, 30), won.clone()).unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.get(&key(0, 30)), Some(won.clone()));
        assert_eq!(journal.get(&key(1, 30)), Some(won));
        assert_eq!(journal.get(&key(2, 30)), None);
        assert_eq!(journal.get(&key(0, 40)), None);
    }
}
