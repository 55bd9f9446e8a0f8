//! `empiric-faults PROGRAM CRASHABLE`: breaks studies on purpose and says whether what follows is what was
//! promised, at every sandbox level, and where root runs it as an ordinary user too. `cargo xtask faults` builds and runs
//! it. `CRASHABLE` is the same program built with debug assertions, which can be ended at its doors.

use std::{
    fs::Permissions,
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use empiric_testkit::faults::{self, Row, Setting, Table};
use rustix::process::getuid;

/// `nobody`, who owns nothing.
const NOBODY: u32 = 65_534;
const USAGE: &str =
    "usage: empiric-faults PROGRAM CRASHABLE [--short] [--level LEVEL] [--only FAULTS] [--as-is]";

/// What is asked.
struct Asked {
    exe: PathBuf,
    crashable: PathBuf,
    short: bool,
    levels: Vec<String>,
    only: Option<String>,
    /// As this user alone.
    as_is: bool,
}

impl Asked {
    fn read() -> Result<Self> {
        let mut words = std::env::args().skip(1);
        // Every run has a working directory of its own.
        let mut program = || std::path::absolute(words.next().context(USAGE)?).context(USAGE);
        let mut asked = Self {
            exe: program()?,
            crashable: program()?,
            short: false,
            levels: ["bwrap", "landlock", "none"].map(str::to_owned).to_vec(),
            only: None,
            as_is: false,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--short" => asked.short = true,
                "--as-is" => asked.as_is = true,
                "--level" => asked.levels = vec![words.next().context(USAGE)?],
                "--only" => asked.only = Some(words.next().context(USAGE)?),
                _ => bail!(USAGE),
            }
        }
        Ok(asked)
    }
}

fn main() -> Result<ExitCode> {
    let asked = Asked::read()?;
    let root = getuid().is_root();
    let sound = as_this_user(&asked, if root { "root" } else { "user" })?;
    let sound_there = if asked.as_is {
        true
    } else if root {
        as_nobody(&asked)?
    } else {
        say("not root, so only this user was tried; root tries an ordinary user as well");
        true
    };
    Ok(if sound && sound_there { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything as the user who runs this; says whether all was as promised.
fn as_this_user(asked: &Asked, user: &str) -> Result<bool> {
    say(&format!("      {:<46}  {:<8}  {:<4}  {:<34}  seen", "fault", "level", "user", "expected"));
    let (mut rows, mut wrong) = (0, 0);
    for level in &asked.levels {
        let mut tell = |Row { fault, expected, seen, ok }: &Row| {
            let mark = if *ok { "ok  " } else { "FAIL" };
            say(&format!("{mark}  {fault:<46}  {level:<8}  {user:<4}  {expected:<34}  {seen}"));
        };
        let mut table = Table::new(&mut tell);
        attack(asked, level, user, &mut table)?;
        rows += table.rows.len();
        wrong += table.rows.iter().filter(|row| !row.ok).count();
    }
    say(&format!("{} as promised, {wrong} not, as {user}", rows - wrong));
    Ok(wrong == 0)
}

/// What is tried at one level. Without a sandbox nothing is promised but that units end. The short form tries each level
/// and each user, though not each with each, and leaves to the tests what depends on neither.
fn attack(asked: &Asked, level: &str, user: &str, table: &mut Table<'_>) -> Result<()> {
    let setting = |exe: &Path| Setting { exe: exe.to_owned(), level: level.to_owned() };
    let (usual, crashable) = (setting(&asked.exe), setting(&asked.crashable));
    let short = asked.short;
    let sandboxed = level != "none";
    let some = !short || matches!((level, user), ("bwrap", "root") | ("landlock", "user"));
    let wanted = |name: &str, by_default: bool| {
        asked.only.as_deref().map_or(by_default, |only| only == name)
    };
    let (trials, kills, flips, night) = if short { (12, 2, 3, 60) } else { (200, 50, 20, 2_000) };
    if wanted("ends", some) {
        faults::ends(&usual, !short, table)?;
    }
    if wanted("kills", sandboxed) {
        faults::kills(&usual, trials, kills, table)?;
    }
    if wanted("recipes", sandboxed && some) {
        faults::recipes(&usual, table)?;
    }
    if wanted("night", sandboxed && some) {
        faults::night(&usual, night, table)?;
    }
    if wanted("doors", sandboxed && !short) {
        faults::doors(&crashable, table)?;
    }
    if wanted("surroundings", sandboxed && !short) {
        faults::surroundings(&usual, table)?;
    }
    if wanted("flips", sandboxed && !short) {
        faults::flips(&usual, flips, table)?;
    }
    if wanted("rewrites", sandboxed && !short) {
        faults::rewrites(&usual, table)?;
    }
    Ok(())
}

/// The same once more as an ordinary user, in copies of the programs that this one may run and with a home of its own.
fn as_nobody(asked: &Asked) -> Result<bool> {
    let home = tempfile::Builder::new().prefix("empiric-nobody-").tempdir()?;
    std::os::unix::fs::chown(home.path(), Some(NOBODY), Some(NOBODY))?;
    let copy = |from: &Path, name: &str| -> Result<PathBuf> {
        let to = home.path().join(name);
        fs_err::copy(from, &to)?;
        fs_err::set_permissions(&to, Permissions::from_mode(0o755))?;
        Ok(to)
    };
    let own = std::env::current_exe()?;
    let mut again = Command::new(copy(&own, "empiric-faults")?);
    again.arg(copy(&asked.exe, "empiric")?).arg(copy(&asked.crashable, "empiric-crashable")?);
    again.args(std::env::args_os().skip(3)).arg("--as-is").current_dir(home.path());
    again.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TMPDIR", home.path());
    // No supplementary group is kept.
    again.uid(NOBODY).gid(NOBODY);
    Ok(again.status().context("start this program as nobody")?.success())
}

fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}
