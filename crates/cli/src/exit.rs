//! The one boundary where errors become words and exit codes.

use std::process::ExitCode;

use serde::Serialize;

use crate::ambient;

/// What kind of failure a command ended with; its number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Empiric itself failed.
    Internal = 1,
    /// The command line is not understood.
    Usage = 2,
    /// The task, or a file that was named, is not usable.
    Input = 3,
    /// The study cannot be used: it is held by another process, of another task, from a newer version, or damaged.
    Study = 4,
    /// Verification found faults.
    Faults = 5,
    /// The asked sandbox level is not to be had here.
    Sandbox = 6,
    /// The baseline cannot be measured, the evaluator keeps failing, or models cannot be asked.
    Broken = 7,
    /// The disk is full or read-only.
    Disk = 8,
    /// Interrupted; the same command goes on.
    Interrupted = 130,
}

impl Kind {
    /// Every kind with what it means: the registry that the help text is made of.
    const ALL: [(Self, &'static str); 9] = [
        (Self::Internal, "Empiric itself failed"),
        (Self::Usage, "the command line is not understood"),
        (Self::Input, "the task, or a file that was named, is not usable"),
        (
            Self::Study,
            "the study is held by another process, of another task, from a newer version, or damaged",
        ),
        (Self::Faults, "verification found faults"),
        (Self::Sandbox, "the asked sandbox level is not to be had here"),
        (
            Self::Broken,
            "the baseline cannot be measured, the evaluator keeps failing, or models cannot be asked",
        ),
        (Self::Disk, "the disk is full or read-only; once it is not, the same command goes on"),
        (Self::Interrupted, "interrupted; the same command goes on"),
    ];
}

/// How the help text ends: exit codes and environment variables, from their registries.
pub(crate) fn help() -> String {
    let codes =
        Kind::ALL.map(|(kind, meaning)| format!("  {:>3}  {meaning}", kind as u8)).join("\n");
    let variables =
        ambient::VARIABLES.map(|(name, meaning)| format!("  {name:<15} {meaning}")).join("\n");
    format!(
        "Exit codes:\n    0  done\n{codes}\n\nEnvironment variables:\n{variables}\n\n\
         Standard output is data; talk goes to standard error. With --json, errors are JSON too."
    )
}

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) error: anyhow::Error,
    pub(crate) hints: Vec<String>,
    /// A picture of the problem, for people; the message says the same.
    pub(crate) rendered: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, error: impl Into<anyhow::Error>) -> Self {
        let hints = Vec::from_iter((kind == Kind::Disk).then(|| NOTHING_LOST.to_owned()));
        Self { kind, error: error.into(), hints, rendered: None }
    }

    pub(crate) fn say(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, anyhow::Error::msg(message.into()))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit code of its kind.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }

    /// The message with its causes, on one line.
    pub(crate) fn message(&self) -> String {
        self.error.chain().map(ToString::to_string).fold(String::new(), |text, cause| {
            match text.as_str() {
                "" => cause,
                // Some libraries repeat their cause in their own message.
                _ if text.contains(&cause) => text,
                _ => format!("{text}: {cause}"),
            }
        })
    }
}

/// What is said of a disk that cannot be written.
const NOTHING_LOST: &str =
    "nothing is lost: free some space, or make the study writable, and the same command goes on";

/// `usual`, unless it is the disk that refuses.
fn disk_or(usual: Kind, error: &(dyn std::error::Error + 'static)) -> Kind {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(refused) {
            return Kind::Disk;
        }
        cause = error.source();
    }
    usual
}

/// Whether it is a full or a read-only disk that refuses.
fn refused(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    let kinds = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::ReadOnlyFilesystem];
    kinds.contains(&error.kind())
}

fn ledger_kind(error: &empiric_ledger::Error) -> Kind {
    let disk = matches!(error, empiric_ledger::Error::Full(_) | empiric_ledger::Error::ReadOnly(_));
    if disk { Kind::Disk } else { Kind::Study }
}

fn lineage_kind(error: &empiric_lineage::Error) -> Kind {
    if let empiric_lineage::Error::Io(error) = error {
        return disk_or(Kind::Study, error);
    }
    disk_or(Kind::Study, error)
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(disk_or(Kind::Internal, &error), error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Kind::Internal, error)
    }
}

impl From<empiric_ledger::Error> for Failure {
    fn from(error: empiric_ledger::Error) -> Self {
        Self::new(ledger_kind(&error), error)
    }
}

impl From<empiric_lineage::Error> for Failure {
    fn from(error: empiric_lineage::Error) -> Self {
        Self::new(lineage_kind(&error), error)
    }
}

impl From<empiric_core::study::OutOfOrder> for Failure {
    fn from(error: empiric_core::study::OutOfOrder) -> Self {
        Self::new(Kind::Study, error).hint("`empiric verify` says what is damaged")
    }
}

impl From<empiric_engine::DeskError> for Failure {
    fn from(error: empiric_engine::DeskError) -> Self {
        use empiric_engine::DeskError;
        let kind = match &error {
            DeskError::Ledger(error) => ledger_kind(error),
            DeskError::Lineage(error) => lineage_kind(error),
            DeskError::NoHypothesis | DeskError::NoPrediction => Kind::Usage,
            DeskError::NoTrial { .. }
            | DeskError::NoTree(_)
            | DeskError::Unfit { .. }
            | DeskError::UnfitBlock { .. }
            | DeskError::UnfitReplacement { .. }
            | DeskError::Directory(_)
            | DeskError::NotText(_)
            | DeskError::Nothing(_) => Kind::Input,
        };
        let remedy = error.remedy();
        let mut failure = Self::new(kind, error);
        failure.hints.extend(remedy);
        failure
    }
}

impl From<empiric_engine::Error> for Failure {
    fn from(error: empiric_engine::Error) -> Self {
        use empiric_engine::Error;
        let kind = match &error {
            Error::Io(error) => disk_or(Kind::Internal, error),
            Error::Harness(_) | Error::NoProposer(_) => Kind::Internal,
            Error::DiskFull { .. } => Kind::Disk,
            Error::Policy(_) => Kind::Usage,
            Error::Ledger(error) => ledger_kind(error),
            Error::Lineage(error) => lineage_kind(error),
            Error::Executor(error) => disk_or(Kind::Study, error),
            Error::Asked { .. }
            | Error::OutOfOrder(_)
            | Error::OtherTask { .. }
            | Error::TaskChanged => Kind::Study,
        };
        Self::new(kind, error)
    }
}
