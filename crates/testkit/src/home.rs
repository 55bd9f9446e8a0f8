//! A directory of its own to run the program in, and the program's runs.

use std::{
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Process, referring_to};

/// Between looks at what still runs.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A hermetic home: a temporary directory that is the program's working directory, home and cache.
#[derive(Debug)]
pub struct Home {
    exe: PathBuf,
    dir: TempDir,
}

/// What one run of the program said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub talk: String,
}

impl Said {
    /// Standard output as one JSON value per line.
    ///
    /// # Panics
    /// When a line is not JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {self:?}: {line}"))
        };
        self.out.lines().map(parse).collect()
    }
}

impl Home {
    /// A new one for the program at `exe`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(exe: &Path) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("empiric-test-").tempdir()?;
        Ok(Self { exe: exe.to_owned(), dir })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The program with these arguments, in this home.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.exe);
        command.args(args).current_dir(self.path()).stdin(Stdio::null()).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("NO_COLOR", "1");
        command.env("HOME", self.path()).env("EMPIRIC_CACHE", self.path().join("cache"));
        command
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn say<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> io::Result<Said> {
        let output = self.command(args).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said {
            code: output.status.code(),
            out: text(&output.stdout),
            talk: text(&output.stderr),
        })
    }

    /// Starts the program, whose standard output is a JSON object per line, and goes on.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> io::Result<Session> {
        Session::start(self.command(args))
    }

    /// What is left running that has to do with this home, after at most `limit` of waiting for its end.
    #[must_use]
    pub fn left_running(&self, limit: Duration) -> Vec<Process> {
        let marker = self.path().file_name().and_then(OsStr::to_str).unwrap_or_default();
        let until = Instant::now() + limit;
        loop {
            let found = referring_to(marker);
            if found.is_empty() || Instant::now() > until {
                return found;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// A run of the program that has been started. It is killed when dropped.
#[derive(Debug)]
pub struct Session {
    child: Child,
    events: mpsc::Receiver<Value>,
    talk: Option<JoinHandle<String>>,
}

/// How a session ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The events that nobody had read yet.
    pub events: Vec<Value>,
    /// Standard error.
    pub talk: String,
}

impl Session {
    /// Starts `command`, whose standard output is a JSON object per line, and goes on.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (sender, events) = mpsc::channel();
        // Both read on, so that the program never waits for its reader.
        std::thread::spawn(move || {
            let lines = out.into_iter().flat_map(|out| BufReader::new(out).lines());
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let talk = std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut err) = err {
                err.read_to_end(&mut text).ok();
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self { child, events, talk: Some(talk) })
    }

    /// The next event; none when the program has said its last.
    pub fn event(&self) -> Option<Value> {
        self.events.recv().ok()
    }

    /// Reads on to the next event called `name`.
    pub fn until(&self, name: &str) -> Option<Value> {
        self.events.iter().find(|event| event["event"] == name)
    }

    /// Sends `signal` to the program alone.
    pub fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).ok();
    }

    /// Sends `SIGINT` to the program alone.
    pub fn interrupt(&self) {
        self.send(Signal::INT);
    }

    /// Whether the program has ended.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Kills the program with `SIGKILL`, unless it has ended, and waits for it.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Waits for the program's own end.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn end(mut self) -> io::Result<Ended> {
        let events = self.events.iter().collect();
        let code = self.child.wait()?.code();
        let talk = self.talk.take().and_then(|talk| talk.join().ok()).unwrap_or_default();
        Ok(Ended { code, events, talk })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.kill().ok();
    }
}
