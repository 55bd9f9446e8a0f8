//! Recipes that misbehave, handed to a running study.

use std::{net::TcpListener, path::PathBuf};

use anyhow::{Context as _, Result};
use fs_err as fs;
use serde_json::Value;

use super::{Setting, Table, left_running, verified};
use crate::{Home, Misbehaviour, misbehaviours};

/// Hands recipes that misbehave to a running study.
///
/// # Errors
/// When the program cannot be run.
pub fn recipes(setting: &Setting, table: &mut Table<'_>) -> Result<()> {
    let home = setting.home()?;
    let outside = home.path().join("outside");
    fs::create_dir(&outside)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let session = home.start(setting.run(1_000_000))?;
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
