//! Where replicates run: a local pool of slots, and the runner that starts units in them.
//!
//! A slot is owned: whoever runs a replicate holds it and gives it back, so that no two ever share a directory or a
//! GPU. Who holds which slot is in the ledger as leases, not here.

mod pool;
mod runner;

pub use pool::{Error, Pool, Slot, recover};
pub use runner::{LocalRunner, Logs};
