//! What can go wrong, in words that read after "failed to".

use std::{io::ErrorKind, path::PathBuf, sync::Arc};

use empiric_core::{BlobId, study::OutOfOrder};
use rusqlite::ErrorCode;

/// Why the ledger could not do what was asked. Cheap to clone: one failed commit answers every append in it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process writes.
    #[error("write to the study: process {pid} is at work on it (lock {}); wait for it, or stop it first", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The holder's process id as it wrote it; `unknown` when it has not yet.
        pid: String,
    },
    /// A newer Empiric made it.
    #[error("write to {}: its format {found} is newer than {known}; use the Empiric that wrote it, or a newer one", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this version writes.
        known: u32,
    },
    /// There is nothing there.
    #[error("open {}: there is no ledger; is this the directory of a study?", path.display())]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// A database of something else.
    #[error("open {}: it is not a ledger of Empiric", path.display())]
    NotALedger {
        /// The database.
        path: PathBuf,
    },
    /// Something else wrote to the chain.
    #[error(
        "append to the ledger: its last event is {found}, not {expected} as written; run `empiric verify`"
    )]
    HeadMoved {
        /// What was written last.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The file is not the one that was closed.
    #[error("write to {}: it was changed after it was closed; run `empiric verify`", path.display())]
    Changed {
        /// The database.
        path: PathBuf,
    },
    /// There is no room left. Nothing was appended.
    #[error("write to the study: the disk is full: {0}")]
    Full(String),
    /// It cannot be written here. Nothing was appended.
    #[error("write to the study: it is read-only here: {0}")]
    ReadOnly(String),
    /// SQLite cannot make sense of the file.
    #[error("use ledger.db: it is damaged ({0}); run `empiric verify`")]
    Damaged(String),
    /// An event that does not fit the ones before it, or cannot be kept exactly. Nothing was appended.
    #[error("append `{name}` to the ledger: {what}")]
    Unfit {
        /// The event's name.
        name: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A request that was answered already.
    #[error("answer request {id}: it was answered already")]
    AnsweredAlready {
        /// The request.
        id: crate::RequestId,
    },
    /// An event whose body cannot be read.
    #[error("read event {seq}: {what}; run `empiric verify`")]
    Undecodable {
        /// The event.
        seq: u64,
        /// What is wrong.
        what: String,
    },
    /// An event of another version of Empiric.
    #[error(
        "read {}: it is of format {found}, and this Empiric reads {known}; the Empiric that wrote it can look at it \
         (event {seq}: {what})",
        path.display()
    )]
    OtherFormat {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format of this version.
        known: u32,
        /// The event.
        seq: u64,
        /// What is not understood of it.
        what: String,
    },
    /// Events that do not amount to a study.
    #[error("replay the ledger: {0}")]
    OutOfOrder(#[from] OutOfOrder),
    /// A cursor that no page gave.
    #[error("continue from cursor `{0}`: no page of trials gave it")]
    Cursor(String),
    /// A blob that is not there.
    #[error("read blob {0}: it is not in the store")]
    BlobMissing(BlobId),
    /// A blob that is not what its name says.
    #[error("read blob {id}: {what}")]
    BlobDamaged {
        /// The blob.
        id: BlobId,
        /// What is wrong.
        what: String,
    },
    /// The writer has ended.
    #[error("append to the ledger: its writer has ended")]
    Closed,
    /// SQLite refused.
    #[error("use ledger.db: {0}")]
    Sqlite(#[source] Arc<rusqlite::Error>),
    /// The file system refused; the message names the path.
    #[error(transparent)]
    Io(Arc<std::io::Error>),
}

/// Shared memory that cannot be extended: `SQLITE_IOERR_SHMSIZE`. SQLite names no other way in which a full disk fails.
const NO_SHARED_MEMORY: i32 = 4874;

impl From<rusqlite::Error> for Error {
    fn from(source: rusqlite::Error) -> Self {
        let (code, extended) = source
            .sqlite_error()
            .map_or((None, 0), |error| (Some(error.code), error.extended_code));
        if code == Some(ErrorCode::DiskFull) || extended == NO_SHARED_MEMORY {
            Self::Full(source.to_string())
        } else if code == Some(ErrorCode::ReadOnly) {
            Self::ReadOnly(source.to_string())
        } else if [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase].map(Some).contains(&code) {
            Self::Damaged(source.to_string())
        } else {
            Self::Sqlite(Arc::new(source))
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        if [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&source.kind()) {
            Self::Full(source.to_string())
        } else if source.kind() == ErrorKind::ReadOnlyFilesystem {
            Self::ReadOnly(source.to_string())
        } else {
            Self::Io(Arc::new(source))
        }
    }
}
