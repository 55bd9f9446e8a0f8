//! The door to models, and what is recorded of what passes through it.

use std::time::Duration;

use empiric_core::{BlobId, Spend, TrialNo, Usage};
use serde::{Deserialize, Serialize};

use crate::{Error, ModelId, Reply, Request};

/// Whoever answers calls: the real client, or a fake in tests.
pub trait Models: Send + Sync {
    /// Asks, and waits for the answer; blocks the calling thread, which must not be one that runs async tasks. A call whose
    /// answer is on the tape is neither sent nor paid for again.
    ///
    /// # Errors
    /// When there is no answer after all tries that its kind of failure is worth.
    fn call(&self, call: &Call) -> Result<Reply, Error>;
}

/// A request with who makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Who asks; also names the call on the tape.
    pub origin: Origin,
    /// What is asked.
    pub request: Request,
}

/// Who makes a call: pays for it, and tells it from other calls of equal content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The arm.
    pub arm: String,
    /// The role, such as a specialist's name.
    pub role: String,
    /// The trial that is being proposed.
    pub trial: TrialNo,
    /// Which call of this trial it is, from 0. A proposer that is asked again for the same trial counts from 0 again, so
    /// that what it has paid for already is found on the tape.
    pub nth: u32,
}

/// A call that is over, as it is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// Who made it.
    pub origin: Origin,
    /// The model asked.
    pub model: ModelId,
    /// The request's canonical bytes: JSON, members in a fixed order, no blanks.
    pub request: Vec<u8>,
    /// The id of `request` as a blob.
    pub blob: BlobId,
    /// The answer's canonical bytes: JSON, `{"ok": reply}` or `{"err": error}`.
    pub answer: Vec<u8>,
    /// Tokens billed, as far as the provider said.
    pub usage: Usage,
    /// What the purse was charged over all attempts; those whose bill is unknown at their worst.
    pub spend: Spend,
    /// Requests sent.
    pub attempts: u32,
    /// From the first request to the answer; for people, nothing depends on it.
    pub wall: Duration,
}

/// Where exchanges are kept.
pub trait Tape: Send + Sync {
    /// The answer's bytes recorded for this call, if there are any; the last ones, if there are several.
    ///
    /// # Errors
    /// When the record is there and cannot be read.
    fn recorded(&self, origin: &Origin, request: &BlobId) -> Result<Option<Vec<u8>>, TapeError>;

    /// Keeps an exchange; when this returns it is safe, and only then is the answer acted on.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn record(&self, exchange: Exchange) -> Result<(), TapeError>;
}

/// A tape that cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TapeError(pub String);
