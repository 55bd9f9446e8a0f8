//! News of a study, told to a command or a web address while it runs.
//!
//! Beside the engine: what is to be told goes into a short queue of its own thread, and when that is full it is counted and
//! dropped. Nothing here can slow a study, end it, or write into it; addresses and what commands print are never shown.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use empiric_core::{Event, Outcome, Record, Study, Verdict};
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;

use crate::web::Web;

/// News that may wait.
const QUEUE: usize = 64;
/// For one telling.
const LIMIT: Duration = Duration::from_secs(10);
/// Between looks at a command.
const LOOK: Duration = Duration::from_millis(20);

/// Something that people want to be told of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct News {
    /// `keep`, `paused`, `stopped`, `finished` or `broken`.
    pub event: &'static str,
    /// The study's id.
    pub study: String,
    /// The task's name.
    pub task: String,
    /// The trial that was kept.
    pub trial: Option<String>,
    /// Its gain over the champion of that moment, in the metric's unit.
    pub gain: Option<f64>,
    /// In a sentence. It may quote what proposers wrote.
    pub text: String,
}

impl News {
    /// The news that a record is, if it is any.
    #[must_use]
    pub fn of(record: &Record, study: &Study) -> Option<Self> {
        let mut news = Self {
            event: "",
            study: study.id().to_string(),
            task: study.task().name.clone(),
            trial: None,
            gain: None,
            text: String::new(),
        };
        if let Event::Concluded {
            trial,
            outcome: Outcome::Valid { verdict: Verdict::Keep, reason, gain, .. },
        } = &record.event
        {
            news.event = "keep";
            news.trial = Some(trial.to_string());
            news.gain = *gain;
            news.text = format!("{trial} is kept: {reason}");
        } else if let Event::Paused { by } = &record.event {
            news.event = "paused";
            news.text = format!("paused by {by}");
        } else if let Event::Stopped { by } = &record.event {
            news.event = "stopped";
            news.text = format!("stopped: {by}");
        } else if let Event::Finished { reason } = &record.event {
            news.event = "finished";
            news.text = format!("finished: {reason}; champion {}", study.champion());
        } else {
            return None;
        }
        Some(news)
    }

    /// That a study cannot go on.
    #[must_use]
    pub fn broken(study: &Study, why: &str) -> Self {
        Self {
            event: "broken",
            study: study.id().to_string(),
            task: study.task().name.clone(),
            trial: None,
            gain: None,
            text: why.to_owned(),
        }
    }
}

/// Who is told.
pub enum Hook {
    /// A program with its arguments. It gets the news as JSON on standard input, and `EMPIRIC_EVENT`.
    Command(Vec<String>),
    /// A web address that the news is posted to as JSON. It may hold a token, so it is never shown.
    Webhook(String),
}

impl Hook {
    fn name(&self) -> String {
        match self {
            Self::Command(words) => format!("`{}`", words.first().map_or("", String::as_str)),
            Self::Webhook(_) => "the webhook".to_owned(),
        }
    }
}

/// What could not be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Untold {
    /// How many tellings failed or were dropped.
    pub count: usize,
    /// Why the last one did.
    pub last: Option<String>,
}

/// A thread that tells.
pub struct Notifier {
    queue: Option<SyncSender<News>>,
    thread: Option<JoinHandle<()>>,
    ended: Receiver<Untold>,
    dropped: std::cell::Cell<usize>,
}

impl Notifier {
    /// Starts telling `hooks`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(hooks: Vec<Hook>) -> std::io::Result<Self> {
        let (queue, news) = mpsc::sync_channel::<News>(QUEUE);
        let (done, ended) = mpsc::channel();
        let work = move || {
            let mut untold = Untold::default();
            for news in news {
                for hook in &hooks {
                    if let Err(why) = tell(hook, &news) {
                        untold.count += 1;
                        untold.last = Some(format!("{}: {why}", hook.name()));
                    }
                }
            }
            drop(done.send(untold));
        };
        let thread = std::thread::Builder::new().name("notify".to_owned()).spawn(work)?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            ended,
            dropped: std::cell::Cell::new(0),
        })
    }

    /// Lets the hooks be told. Never waits.
    pub fn tell(&self, news: News) {
        let taken = self.queue.as_ref().is_some_and(|queue| queue.try_send(news).is_ok());
        if !taken {
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    /// Waits until all is told, at most `limit`, and says what was not.
    pub fn end(mut self, limit: Duration) -> Untold {
        drop(self.queue.take());
        let mut untold = match self.ended.recv_timeout(limit) {
            Ok(untold) => {
                drop(self.thread.take().map(JoinHandle::join));
                untold
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Untold {
                count: 1,
                last: Some("what was still to be told took too long".to_owned()),
            },
        };
        if self.dropped.get() > 0 {
            untold.count += self.dropped.get();
            untold
                .last
                .get_or_insert_with(|| "there was more to tell than could be told".to_owned());
        }
        untold
    }
}

fn tell(hook: &Hook, news: &News) -> Result<(), String> {
    let body = serde_json::to_vec(news).map_err(|error| error.to_string())?;
    match hook {
        Hook::Command(words) => run(words, news, &body),
        Hook::Webhook(address) => {
            let web = Web::new(LIMIT).map_err(|error| error.to_string())?;
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let reply = web.send(Method::POST, address, headers, body);
            let status = reply.map_err(|error| error.to_string())?.status;
            if (200..300).contains(&status) { Ok(()) } else { Err(format!("it answers {status}")) }
        }
    }
}

/// Runs a command with the news on its standard input, in a process group that is ended with it.
fn run(words: &[String], news: &News, body: &[u8]) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("it is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("EMPIRIC_EVENT", news.event)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| error.to_string())?;
    // News is smaller than a pipe holds, so this does not wait for a reader; one that reads nothing is no failure.
    drop(child.stdin.take().map(|mut stdin| stdin.write_all(body)));
    let until = Instant::now() + LIMIT;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break Ok(()),
            Ok(Some(status)) => break Err(format!("it ends with {status}")),
            Ok(None) if Instant::now() > until => break Err("it takes too long".to_owned()),
            Ok(None) => std::thread::sleep(LOOK),
            Err(error) => break Err(error.to_string()),
        }
    };
    if ended.is_err() {
        end(&mut child);
    }
    ended
}

fn end(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL); // it may have ended by now
    }
    drop(child.wait());
}
