//! How other processes ask the one that writes: a file per request, renamed into place.
//!
//! A request stays until an append answers it ([`crate::Ledger::append_answering`]); what became of it is then in the
//! ledger ([`crate::Reader::answer`]). Each is answered once: the second answer to one id is refused.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use empiric_core::{Budget, IdeaChange, IdeaNo, Prediction, Sketch, TrialNo};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::{NoContext, Uuid};

use crate::Error;

/// Most bytes of a request.
const LIMIT: u64 = 64 << 20;

/// A request's id (UUIDv7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub Uuid);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for RequestId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// No new trials until resumed.
    Pause,
    /// Trials go on.
    Resume,
    /// End the session after what runs has ended.
    Stop,
    /// Write something down.
    Note {
        /// What.
        text: String,
    },
    /// Put an idea into the library, for every arm.
    IdeaAdd {
        /// What it says.
        sketch: Sketch,
    },
    /// Change an idea.
    IdeaChange {
        /// Which.
        idea: IdeaNo,
        /// How.
        change: IdeaChange,
    },
    /// Set the caps.
    Budget {
        /// The new ones.
        budget: Budget,
    },
    /// Start every new trial of a trial's arm from it.
    Pin {
        /// The trial.
        trial: TrialNo,
    },
    /// Let policies choose again.
    Unpin {
        /// The trial.
        trial: TrialNo,
    },
    /// Measure an undecided trial once more.
    Requeue {
        /// The trial.
        trial: TrialNo,
    },
    /// Measure a trial made by hand or by another program.
    Submit {
        /// The edit.
        submission: Submission,
    },
}

/// A trial made outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Whole new contents by path within the recipe; `null` deletes the file.
    pub files: BTreeMap<String, Option<String>>,
    /// The trials it starts from; the files are laid over the first one's tree.
    pub parents: Vec<TrialNo>,
    /// Why.
    pub hypothesis: String,
    /// What is expected of it.
    pub prediction: Option<Prediction>,
}

/// A request with its sender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posted {
    /// Its id.
    pub id: RequestId,
    /// When it was posted.
    pub at: Timestamp,
    /// Who asks.
    pub by: String,
    /// What.
    pub request: Request,
}

/// What lies in the inbox.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mail {
    /// Requests, oldest first.
    pub posted: Vec<Posted>,
    /// Files that are no request this version understands, and why: to be answered with a refusal.
    pub unreadable: Vec<(RequestId, String)>,
}

/// The inbox of a study.
#[derive(Debug, Clone)]
pub struct Inbox {
    dir: PathBuf,
}

impl Inbox {
    /// The inbox of the study in directory `study`. It need not exist yet.
    #[must_use]
    pub fn of(study: &Path) -> Self {
        Self { dir: study.join("inbox") }
    }

    /// Posts a request; `by` says who asks, `at` when. Any process may, whether or not one is at work on the study.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn post(&self, by: &str, request: Request, at: Timestamp) -> Result<RequestId, Error> {
        let seconds = u64::try_from(at.as_second()).unwrap_or_default();
        let nanos = u32::try_from(at.subsec_nanosecond()).unwrap_or_default();
        let id = RequestId(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos)));
        let posted = Posted { id, at, by: by.to_owned(), request };
        let text = serde_json::to_vec_pretty(&posted).map_err(io::Error::from)?;
        fs_err::create_dir_all(&self.dir)?;
        let temporary = self.dir.join(format!("{id}.new"));
        fs_err::write(&temporary, text)?;
        fs_err::rename(temporary, self.file(id))?;
        Ok(id)
    }

    /// Whether a request waits. Costs one directory listing of what waits.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn has_requests(&self) -> Result<bool, Error> {
        Ok(self.ids()?.next().is_some())
    }

    /// The requests that wait. They stay until an append answers them.
    ///
    /// # Errors
    /// When the directory or a file cannot be read.
    pub fn waiting(&self) -> Result<Mail, Error> {
        let mut mail = Mail::default();
        for id in self.ids()? {
            match read_bounded(&self.file(id)) {
                Ok(None) => {
                    mail.unreadable.push((id, format!("it is larger than {} MiB", LIMIT >> 20)));
                }
                Ok(Some(bytes)) => match serde_json::from_slice::<Posted>(&bytes) {
                    Ok(posted) if posted.id == id => mail.posted.push(posted),
                    Ok(_) => mail.unreadable.push((id, "its id is not its file's name".to_owned())),
                    Err(error) => mail.unreadable.push((id, error.to_string())),
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        mail.posted.sort_by_key(|posted| (posted.at, posted.id));
        mail.unreadable.sort();
        Ok(mail)
    }

    /// Ids of the requests that wait, in no order.
    pub(crate) fn ids(&self) -> Result<impl Iterator<Item = RequestId> + use<>, Error> {
        let entries = match fs_err::read_dir(&self.dir) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        Ok(entries.into_iter().flatten().filter_map(|entry| {
            let entry = entry.ok()?;
            let id = entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok()?;
            // Reading a pipe or a device might never end.
            entry.file_type().ok()?.is_file().then_some(id)
        }))
    }

    /// Removes an answered request. What cannot be removed now is when the next writer opens.
    pub(crate) fn remove(&self, id: RequestId) {
        drop(fs_err::remove_file(self.file(id)));
    }

    fn file(&self, id: RequestId) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }
}

/// The bytes of a request's file; none when it is larger than [`LIMIT`].
fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= LIMIT).then_some(bytes))
}
