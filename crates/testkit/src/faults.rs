//! Breaks studies on purpose and says whether what follows is what was promised.
//!
//! Every fault is done to the real program, in a home of its own, at the sandbox level of a [`Setting`]: `kill -9` at
//! random moments and at every [door](empiric_doors); changed bytes and forged decisions; recipes that do what no recipe
//! should, ended in every way there is; a machine that is full, read-only, shared or damaged; and a long study in which
//! one trial of ten goes wrong.

mod damage;
mod doors;
mod ends;
mod history;
mod kills;
mod night;
mod recipes;
mod surroundings;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{Ended, Home, Session, tasks};

pub use damage::{flips, rewrites};
pub use doors::doors;
pub use ends::ends;
pub use kills::kills;
pub use night::night;
pub use recipes::recipes;
pub use surroundings::surroundings;

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

/// The program to break, and the sandbox level that it runs units at.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The program.
    pub exe: PathBuf,
    /// `bwrap`, `landlock`, `none`, or `auto`.
    pub level: String,
}

impl Setting {
    /// A home with the tiny task in it.
    fn home(&self) -> Result<Home> {
        let home = Home::new(&self.exe)?;
        tasks::tiny(&home.path().join("task"))?;
        Ok(home)
    }

    /// The arguments of a run of the tiny task.
    fn run(&self, trials: u32) -> Vec<String> {
        let Self { level, .. } = self;
        let words =
            format!("run task --study study --trials {trials} --slots 2 --sandbox {level} --json");
        words.split(' ').map(str::to_owned).collect()
    }
}

/// Runs `command` to its end, taking its standard output for events.
fn events(command: Command) -> Result<Ended> {
    Ok(Session::start(command)?.end()?)
}

/// How a session that was to finish its study has ended, in words: `finished with N trials`, or what it said instead.
fn state(ended: &Ended) -> String {
    let summary = ended.events.last().cloned().unwrap_or_default();
    if summary["state"] == "finished" && ended.code == Some(0) {
        format!("finished with {} trials", summary["trials"])
    } else {
        format!("exit {:?}, {}: {}", ended.code, summary["state"], ended.talk.trim())
    }
}

/// `empiric verify`: its exit code, whether it names an event, and what it finds.
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

/// `empiric` with these words in `home`: its exit code, and all it said.
fn say(home: &Home, words: &[impl AsRef<OsStr>]) -> Result<(Option<i32>, String)> {
    let said = home.say(words)?;
    Ok((said.code, said.out + &said.talk))
}

/// All files below `dir`, in order.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs_err::read_dir(dir)? {
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
    fs_err::write(&aside, bytes)?;
    fs_err::set_permissions(&aside, fs_err::metadata(path)?.permissions())?;
    Ok(fs_err::rename(aside, path)?)
}
