//! What a unit starts ends with it: however stubborn the recipe, and whoever dies first.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use fs_err as fs;
use rustix::process::{Pid, Signal, getuid, kill_process};

use super::{GRACE, Setting, Table};
use crate::{Home, Session, helpers, referring_to, tasks::TRAIN};

/// What recipes leave running, as lines of a shell script; `MARK` stands for a number of seconds that no other process
/// of this machine sleeps.
const STUBBORN: [(&str, &str); 5] = [
    ("forks twice into its own session", "(setsid sleep MARK </dev/null >/dev/null 2>&1 &)"),
    ("ignores SIGTERM", "sh -c 'trap \"\" TERM INT HUP; while :; do sleep MARK; done' &"),
    ("stops itself", "sh -c 'kill -STOP $$; exec sleep MARK' &"),
    ("holds our pipe open", "sleep MARK &"),
    ("is a fork bomb", "sleep MARK &\nbomb() { bomb | bomb & }\nbomb"),
];

/// How long a recipe may take to be seen on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Most processes of an ordinary user.
const PROCESSES: u64 = 4_000;

/// How a unit can come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Own,
    Timeout,
    Cancel,
    TwoInterrupts,
    Killed,
    KilledWithHelpers,
}

const ENDS: [End; 6] =
    [End::Own, End::Timeout, End::Cancel, End::TwoInterrupts, End::Killed, End::KilledWithHelpers];

impl End {
    fn words(self) -> &'static str {
        match self {
            Self::Own => "its own end",
            Self::Timeout => "its timeout",
            Self::Cancel => "SIGTERM to Empiric",
            Self::TwoInterrupts => "SIGINT twice",
            Self::Killed => "kill -9 of Empiric",
            Self::KilledWithHelpers => "kill -9 of Empiric and its helpers, then the next session",
        }
    }

    /// The exit code of the session, where it has one.
    fn code(self) -> Option<i32> {
        match self {
            Self::Own => Some(0),
            Self::Timeout => Some(7),
            Self::Cancel | Self::TwoInterrupts => Some(130),
            Self::Killed | Self::KilledWithHelpers => None,
        }
    }
}

/// Ends recipes of every stubborn kind in every way, and counts what is left; with `each` one kind at a time, else all
/// kinds at once and the fork bomb.
///
/// # Errors
/// When the program cannot be run.
pub fn ends(setting: &Setting, each: bool, table: &mut Table<'_>) -> Result<()> {
    let (bomb, mild) = (STUBBORN[4], &STUBBORN[..4]);
    let kinds: Vec<(String, String)> = if each {
        STUBBORN.map(|(name, script)| (name.to_owned(), script.to_owned())).to_vec()
    } else {
        let all: Vec<&str> = mild.iter().map(|(_, script)| *script).collect();
        vec![
            ("does all that a daemon can".to_owned(), all.join("\n")),
            (bomb.0.to_owned(), bomb.1.to_owned()),
        ]
    };
    for (name, script) in kinds {
        let bombs = script == bomb.1;
        let wrong: Vec<String> = ENDS
            .into_iter()
            .map(|end| Ok((end, end_one(setting, &script, bombs, end)?)))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .filter(|(_, seen)| seen != "none")
            .map(|(end, seen)| format!("{}: {seen}", end.words()))
            .collect();
        let expected = format!("nothing left by any of {} ends", ENDS.len());
        let seen = if wrong.is_empty() { expected.clone() } else { wrong.join("; ") };
        table.same(format!("a recipe that {name}"), &expected, &seen);
    }
    Ok(())
}

/// Runs the script as the recipe, brings it to `end`, and says what is left running then.
fn end_one(setting: &Setting, script: &str, bombs: bool, end: End) -> Result<String> {
    static MARKS: AtomicU32 = AtomicU32::new(0);
    let home = setting.home()?;
    let task = home.path().join("task");
    // As digits of a fraction it is a number that sleep takes, and one that nobody else has.
    let number = MARKS.fetch_add(1, Ordering::Relaxed);
    let mark = format!("1000000.{}{number:03}7", std::process::id());
    let last = if end == End::Own { String::new() } else { format!("sleep {mark}\n") };
    let script = script.replace("MARK", &mark);
    fs::write(task.join("recipe/train.sh"), format!("{TRAIN}{script}\n{last}"))?;
    let wall = if end == End::Timeout { "500ms" } else { "1h" };
    let text = fs::read_to_string(task.join("task.toml"))?;
    fs::write(
        task.join("task.toml"),
        text.replace("wall = \"2s\", cpu = \"2s\"", &format!("wall = \"{wall}\"")),
    )?;
    let words = setting.run(1);
    let mut session = start(&home, &words, bombs)?;
    if !matches!(end, End::Own | End::Timeout) {
        appears(&mark, &mut session, bombs)?;
    }
    match end {
        End::Own | End::Timeout => {}
        End::Cancel => session.send(Signal::TERM),
        End::TwoInterrupts => {
            // Signals that are sent at once may arrive as one.
            while !session.has_ended()? {
                session.send(Signal::INT);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        End::Killed => session.kill()?,
        End::KilledWithHelpers => {
            let helpers = helpers(&home.path().join("study"))?;
            ensure!(bombs || !helpers.is_empty(), "no helper has recorded who it is");
            // A helper that outlived Empiric for an instant would end its unit.
            helpers.iter().for_each(|helper| send(*helper, Signal::STOP));
            session.kill()?;
            helpers.iter().for_each(|helper| send(*helper, Signal::KILL));
        }
    }
    let ended = session.end()?;
    if end == End::KilledWithHelpers {
        let next = start(&home, &words, bombs)?;
        next.until("leased");
        next.send(Signal::TERM);
        next.end()?;
    }
    let left = left(&home, &mark);
    Ok(match left.as_str() {
        "none" if !bombs && ended.code != end.code() => {
            format!("exit {:?}: {}", ended.code, ended.talk.trim())
        }
        _ => left,
    })
}

/// Starts a session. Below one of an ordinary user who `bombs` there are only so many processes of this user, so that a
/// fork bomb that got loose could not take the machine with it; what starts it keeps to no such limit.
fn start(home: &Home, words: &[impl AsRef<OsStr>], bombs: bool) -> Result<Session> {
    let usual = home.command(words);
    if !bombs || getuid().is_root() {
        return Ok(Session::start(usual)?);
    }
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nproc={PROCESSES}")).arg(usual.get_program()).args(usual.get_args());
    limited.env_clear().envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.current_dir(home.path()).stdin(Stdio::null());
    Ok(Session::start(limited)?)
}

fn send(pid: Pid, signal: Signal) {
    kill_process(pid, signal).ok();
}

/// Waits for the recipe to run; a bomb may have gone off, and its unit have ended, before anyone could look.
fn appears(mark: &str, session: &mut Session, bombs: bool) -> Result<()> {
    let until = Instant::now() + START;
    while referring_to(mark).is_empty() {
        if bombs && session.has_ended()? {
            return Ok(());
        }
        ensure!(Instant::now() < until, "the recipe never ran");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// What is left that has to do with the home, or bears the mark.
fn left(home: &Home, mark: &str) -> String {
    let mut found = home.left_running(GRACE);
    found.extend(referring_to(mark));
    let words: Vec<_> = found.iter().map(ToString::to_string).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
