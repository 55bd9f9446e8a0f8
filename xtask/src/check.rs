//! Everything that a checkout must pass, each step named, timed and counted.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use crate::{
    machine,
    tools::{command, say, works},
};

/// What was found so far. A test counts as one; so does a step that has no tests of its own.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

pub(crate) fn run(short: bool) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    machine::ready()?;
    let mut tally = Tally::default();
    tally.step("format", &mut cargo(&["fmt", "--all", "--check"]));
    tally.step(
        "lints",
        &mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    );
    // Both runners build the `empiric` program for the tests that run it.
    let tests = if works("cargo", &["nextest", "--version"]) {
        &["nextest", "run", "--workspace", "--no-fail-fast"][..]
    } else {
        &["test", "--workspace", "--all-targets", "--no-fail-fast"][..]
    };
    tally.tests("tests", &mut cargo(tests));
    tally.step("page", &mut cargo(&["xtask", "page"]));
    if !short {
        tally.step("fault injection", &mut cargo(&["xtask", "faults", "--short"]));
        tally.step("cheats", &mut cargo(&["xtask", "cheats", "--short"]));
        tally.tests("doc tests", &mut cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]));
        // Advisories come over the network, so `cargo deny check` is for people and for a schedule.
        if works("cargo", &["deny", "--version"]) {
            tally.step(
                "supply chain",
                &mut cargo(&["deny", "check", "bans", "licenses", "sources"]),
            );
        } else {
            say("\n== supply chain: skipped, cargo-deny is not installed");
        }
    }
    say(format!("\n{}", took(began.elapsed())));
    say(format!("{} passed, {} failed", tally.passed, tally.failed));
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo(words: &[&str]) -> Command {
    command("cargo", words)
}

impl Tally {
    /// A step that passes or fails as a whole.
    fn step(&mut self, name: &str, command: &mut Command) {
        say(format!("\n== {name}: {}", line(command)));
        let began = Instant::now();
        let passed = command.status().is_ok_and(|status| status.success());
        self.end(name, began, Self { passed: passed.into(), failed: (!passed).into() });
    }

    /// A step made of tests, counted from what the runner prints.
    fn tests(&mut self, name: &str, command: &mut Command) {
        say(format!("\n== {name}: {}", line(command)));
        let began = Instant::now();
        let (passed, mut found) = counted(command).unwrap_or_default();
        // Something else than a test failed: the build, say.
        if !passed && found.failed == 0 {
            found.failed = 1;
        }
        self.end(name, began, found);
    }

    fn end(&mut self, name: &str, began: Instant, found: Self) {
        self.passed += found.passed;
        self.failed += found.failed;
        let Self { passed, failed } = found;
        say(format!("== {name}: {passed} passed, {failed} failed, {}", took(began.elapsed())));
    }

    /// Takes in a runner's line if it is one of its summaries: `test result: ok. 3 passed; 0 failed; …` of cargo,
    /// `Summary [ 0.1s] 3 tests run: 3 passed, 0 skipped` of nextest.
    fn take(&mut self, line: &str) {
        if line.starts_with("test result: ") || line.trim_start().starts_with("Summary [") {
            self.passed += before(line, " passed");
            self.failed += before(line, " failed") + before(line, " timed out");
        }
    }
}

/// The number right before `word`, 0 where there is none.
fn before(line: &str, word: &str) -> u64 {
    let number = line.split(word).next().filter(|head| head.len() < line.len());
    number.and_then(|head| head.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// Runs it, shows what it prints, and counts its tests.
fn counted(command: &mut Command) -> anyhow::Result<(bool, Tally)> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let [out, err] = std::thread::scope(|scope| {
        let readers = [scope.spawn(|| follow(out)), scope.spawn(|| follow(err))];
        readers.map(|reader| reader.join().unwrap_or_default())
    });
    let sum = Tally { passed: out.passed + err.passed, failed: out.failed + err.failed };
    Ok((child.wait()?.success(), sum))
}

fn follow(stream: Option<impl Read>) -> Tally {
    let mut tally = Tally::default();
    let Some(stream) = stream else { return tally };
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        say(&line);
        tally.take(&line);
    }
    tally
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn took(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_both_runners_are_counted_and_other_lines_are_not() {
        let mut tally = Tally::default();
        for line in [
            "test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.31s",
            "     Summary [   0.125s] 7 tests run: 4 passed (1 slow), 2 failed, 1 timed out, 0 skipped",
            "     Summary [   0.125s] 1 test run: 1 passed, 0 skipped",
            "error: 100 passed is no summary",
        ] {
            tally.take(line);
        }
        assert_eq!(tally, Tally { passed: 17, failed: 4 });
    }
}
