//! The ledger of a study: an append-only, hash-chained log of [`Event`](empiric_core::Event)s in SQLite, and the
//! projections that are read from it.
//!
//! What this crate keeps in a study's directory, and nothing else:
//!
//! | name | what |
//! |---|---|
//! | `ledger.db` | table `event` is the truth; `study`, `trial`, `replicate`, `measurement` are projections of it and can be dropped and rebuilt; `answer` says what became of requests |
//! | `ledger.seal` | present while nobody writes: the hash of the whole closed file, see [`verify`] |
//! | `lock` | held by the one process that writes; contains its process id |
//! | `inbox/` | requests of other processes, one file each, until they are answered; see [`Inbox`] |
//! | `blobs/` | content-addressed, compressed; see [`Blobs`] |
//!
//! **The chain.** `hash(n) = BLAKE3(hash(n-1) ‖ n ‖ at ‖ body)` with `hash(0)` = 32 zero bytes, `n` as 8 bytes little
//! endian, `at` as microseconds since 1970 in 8 bytes little endian two's complement, and `body` the event's JSON as
//! stored, UTF-8. The columns `name` and `trial` repeat what the body says and are checked against it.
//!
//! **Durability.** SQLite in WAL mode with `synchronous = NORMAL`: a record that was returned survives the death of
//! Empiric at any instruction, and a loss of power leaves a prefix of the chain. [`Durability::Power`] also waits for
//! the disk at each commit.
//!
//! **Who writes.** Only the holder of `lock`, on one thread, in one transaction per group of appends that holds the
//! events, their projections and the answers they give. Other processes read through [`Reader`] and ask through
//! [`Inbox`]; neither waits for the writer nor makes it wait.
//!
//! This crate decides nothing about a study and runs no program.

mod blobs;
mod chain;
mod detail;
mod error;
mod fold;
mod inbox;
mod lock;
mod overview;
mod projection;
mod reader;
mod schema;
mod seal;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;

pub use blobs::Blobs;
pub use chain::Head;
pub use detail::{MeanOf, Placed, Value};
pub use error::Error;
pub use inbox::{Inbox, Mail, Posted, Request, RequestId, Submission};
pub use lock::{Lock, is_locked};
pub use overview::{Brief, Occupied};
pub use reader::{Answer, Lease, LeaseState, Page, Query, Reader};
pub use verify::{Fault, Verification, verify};
pub use writer::{Appending, Durability, Ledger, Options, Reply, rebuild_projections};

/// Where the time of an event comes from. Nothing is ordered by it; it may go backwards.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
