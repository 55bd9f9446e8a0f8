//! What can go wrong after a task is understood: programs that are missing, fail, or take too long.

use std::{io, path::PathBuf, time::Duration};

/// Why an environment, the data or a starter file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No interpreter satisfies the task.
    #[error("no Python {requirement} on PATH (found: {found}); install one and put it on PATH")]
    NoPython {
        /// What the task asks for.
        requirement: String,
        /// What there is.
        found: String,
    },
    /// Debian's Python without its `venv` package.
    #[error("{python} cannot make environments; on Debian and Ubuntu: apt-get install {package}")]
    NoVenv {
        /// The interpreter.
        python: PathBuf,
        /// The package with what it lacks.
        package: String,
    },
    /// A program could not be started.
    #[error("cannot start {what}: {error}")]
    Start {
        /// The command.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// A program failed.
    #[error("{what} failed ({status}):\n{excerpt}\nwhole output: {}", log.display())]
    Failed {
        /// The command.
        what: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// End of its output.
        excerpt: String,
        /// File with all of it.
        log: PathBuf,
    },
    /// A program ran past its limit and was ended.
    #[error("{what} ran longer than {} s and was ended; raise its `limits.wall`:\n{excerpt}", limit.as_secs_f64())]
    TimedOut {
        /// The command.
        what: String,
        /// The limit.
        limit: Duration,
        /// End of its output.
        excerpt: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// `[prepare]` ended well without making what `[[data]]` declares.
    #[error("`{command}` left no `{path}`; it must write it below $EMPIRIC_DATA, as {written}")]
    NoData {
        /// The command of `[prepare]`.
        command: String,
        /// The declared path.
        path: String,
        /// The same path as the command sees it.
        written: String,
    },
    /// The items of `[splits]` cannot be dealt.
    #[error("cannot deal the items in `{items}`: {why}; see `[splits]` in task.toml")]
    Splits {
        /// The table.
        items: String,
        /// What is wrong with it.
        why: String,
    },
    /// A starter file would replace one.
    #[error("{} exists already; edit it, or remove it first", .0.display())]
    Exists(PathBuf),
    /// The file for agents has lost a mark of our part.
    #[error(
        "{} has one of the lines `<!-- empiric: begin -->` and `<!-- empiric: end -->` without the other before or after it; mend or remove it",
        .0.display()
    )]
    Marks(PathBuf),
    /// A file operation failed; the message names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
}
