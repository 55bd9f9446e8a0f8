//! `empiric-faults PROGRAM [--short]`: breaks studies on purpose and says whether what follows is what was promised.
//! `cargo xtask faults` builds and runs it.

use std::{io::Write as _, process::ExitCode};

use empiric_testkit::faults::{self, Row, Table};

fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let (exe, short) = match &words[..] {
        [exe] => (exe, false),
        [exe, short] if short == "--short" => (exe, true),
        _ => anyhow::bail!("usage: empiric-faults PROGRAM [--short]"),
    };
    // Every run has a working directory of its own.
    let exe = &std::path::absolute(exe)?;
    let (trials, kills, flips) = if short { (30, 5, 5) } else { (200, 50, 20) };
    say(&format!("      {:<44}  {:<34}  seen", "fault", "expected"));
    let mut tell = |Row { fault, expected, seen, ok }: &Row| {
        let mark = if *ok { "ok  " } else { "FAIL" };
        say(&format!("{mark}  {fault:<44}  {expected:<34}  {seen}"));
    };
    let mut table = Table::new(&mut tell);
    faults::kills(exe, trials, kills, &mut table)?;
    faults::flips(exe, flips, &mut table)?;
    faults::rewrites(exe, &mut table)?;
    faults::recipes(exe, &mut table)?;
    let wrong = table.rows.iter().filter(|row| !row.ok).count();
    say(&format!("{} as promised, {wrong} not", table.rows.len() - wrong));
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}
