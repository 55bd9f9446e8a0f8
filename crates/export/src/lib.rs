//! Sinks: a study written in formats that other programs read.
//!
//! A sink reads a [`Study`](empiric_core::Study) that somebody else has read from its ledger, and writes files or speaks
//! to a server. It holds no lock and writes nothing into the study's directory, so it can neither slow a study nor spoil it. What a table says is defined once, in [`tables`]; JSON Lines and Parquet are two ways to
//! write it down.

mod crate_;
mod jsonl;
mod mlflow;
mod notify;
mod otlp;
mod parquet;
mod table;
mod tables;
mod tensorboard;
mod web;

#[cfg(test)]
mod tests;

pub use crate_::{Entity, Kind, ro_crate};
pub use jsonl::jsonl;
pub use mlflow::{Artefact, Logged, Mlflow, MlflowError};
pub use notify::{Hook, News, Notifier, Untold};
pub use otlp::{OtlpError, otlp};
pub use parquet::parquet;
pub use table::{Column, Table, Values};
pub use tables::{tables, turns};
pub use tensorboard::tensorboard;
pub use web::Unreachable;

/// The arms with their proposers and policies, in a line.
fn arms(study: &empiric_core::Study) -> String {
    let arms = study.settings().arms.iter();
    let arms = arms.map(|arm| format!("{} ({} by {})", arm.name, arm.proposer, arm.policy));
    arms.collect::<Vec<_>>().join(", ")
}

/// Why something could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A Parquet file could not be written.
    #[error("write {path} as Parquet")]
    Parquet {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: ::parquet::errors::ParquetError,
    },
    /// A value has no JSON form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}
