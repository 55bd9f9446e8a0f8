//! The supervisor: whether a measurement can be believed, asked of the edit and of what was measured.
//!
//! Every [`RedLine`] has a check here, and every check is a function of what is recorded: [`inspect`] of two trees and
//! the task, [`watch`] and [`doubts`] of the study. Nobody's word is taken, and whatever is found can be found again.
//!
//! A concern that leaves no doubt fails the trial. One that leaves some puts a trial that would be kept under
//! quarantine: it is measured once more, beside its champion, under seeds that derive from a number drawn at that
//! moment, and kept only if [`sustained`] finds its gain there too.
//!
//! The checks on source see what a reader would see at a glance. Who hides what he does from them meets the checks on
//! what was measured, the sandbox, and data that nobody can know; see `docs/threat-model.md`.

mod edit;
mod idea;
mod measured;
mod python;
mod source;

#[cfg(test)]
mod tests;

pub use edit::{Files, inspect};
pub use idea::idea;
pub use measured::{Audited, doubts, sustained, watch};

use empiric_core::{Concern, RedLine, Severity};

fn concern(line: RedLine, severity: Severity, why: String) -> Concern {
    Concern { line, severity, why }
}
