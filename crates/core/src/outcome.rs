//! What can happen to a trial: a closed sum type, never a sentinel number, never a bare string.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{RedLine, TrialNo, quote};

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// It was measured, its gates hold, and a verdict was reached.
    Valid {
        /// What was decided.
        verdict: Verdict,
        /// The evidence in one sentence.
        reason: String,
        /// Estimated gain over the champion of that moment, in the metric's unit; positive is better.
        gain: Option<f64>,
        /// Interval of that gain at the study's error level.
        gain_interval: Option<[f64; 2]>,
    },
    /// It was not; see who is to blame, where and why.
    Failed(Failure),
}

/// What was decided about a valid trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The unedited recipe.
    Baseline,
    /// Better than the champion, confirmed on fresh seeds.
    Keep,
    /// Not better, or not worth more replicates.
    Discard,
    /// The evidence does not decide at the stated error level.
    Inconclusive,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Baseline => "baseline",
            Self::Keep => "keep",
            Self::Discard => "discard",
            Self::Inconclusive => "inconclusive",
        })
    }
}

/// Longest excerpt of a failure, characters.
pub const EXCERPT: usize = 1000;

/// A trial or replicate that did not yield a usable measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Who is to blame.
    pub blame: Blame,
    /// Where in a trial's life it happened.
    pub phase: Phase,
    /// What happened.
    pub cause: Cause,
    /// Signed distance to the limit that was missed, in that limit's unit; negative by how much it was missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Whether the same attempt may succeed if made again unchanged.
    pub retryable: bool,
    /// A bounded piece of text that shows it, control characters removed; data, not instructions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub excerpt: String,
}

impl Failure {
    /// A failure with the cause's usual blame and retryability, without margin or excerpt.
    #[must_use]
    pub fn new(phase: Phase, cause: Cause) -> Self {
        let blame = cause.blame(phase);
        Self {
            blame,
            phase,
            retryable: blame.spares_the_trial(),
            cause,
            margin: None,
            excerpt: String::new(),
        }
    }

    /// With the signed margin by which a limit was missed.
    #[must_use]
    pub fn margin(mut self, margin: f64) -> Self {
        self.margin = Some(margin);
        self
    }

    /// With text that shows it, cleaned by [`quote::clean`]; what is longer than [`EXCERPT`] characters loses its
    /// beginning.
    #[must_use]
    pub fn excerpt(mut self, text: impl AsRef<str>) -> Self {
        self.excerpt = quote::clean(text.as_ref());
        if let Some((at, _)) = self.excerpt.char_indices().rev().nth(EXCERPT - 1) {
            self.excerpt.drain(..at);
        }
        self
    }

    /// With another party to blame than the cause's usual one.
    #[must_use]
    pub fn blame(mut self, blame: Blame) -> Self {
        self.blame = blame;
        self.retryable = blame.spares_the_trial();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} ({})", self.cause, self.phase, self.blame)?;
        if let Some(margin) = self.margin {
            write!(f, ", margin {margin}")?;
        }
        Ok(())
    }
}

/// Who is to blame for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The edit itself: it does not apply, or it may not be made.
    Edit,
    /// The recipe's code as it ran.
    Recipe,
    /// A declared hard constraint.
    Gate,
    /// A declared limit on a resource.
    Budget,
    /// The task author's evaluator.
    Evaluator,
    /// The measurement cannot be believed.
    Validity,
    /// The machine, or Empiric.
    Infra,
}

impl Blame {
    /// Infra and evaluator failures never count against an idea or a trial budget.
    #[must_use]
    pub fn spares_the_trial(self) -> bool {
        matches!(self, Self::Evaluator | Self::Infra)
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Edit => "edit",
            Self::Recipe => "recipe",
            Self::Gate => "gate",
            Self::Budget => "budget",
            Self::Evaluator => "evaluator",
            Self::Validity => "validity",
            Self::Infra => "infra",
        })
    }
}

/// Where in a trial's life something happened. A stage of the task's own name maps to the nearest of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Making the edit.
    Propose,
    /// Applying it to the parent's tree.
    Apply,
    /// Checks on the tree alone.
    Static,
    /// A stage named `check`.
    Check,
    /// A stage named `smoke`.
    Smoke,
    /// Any other stage.
    Train,
    /// The evaluator and the predictor.
    Score,
    /// The verdict.
    Decide,
    /// Confirmation on fresh seeds.
    Confirm,
}

impl Phase {
    /// The phase of a stage by its name.
    #[must_use]
    pub fn of_stage(name: &str) -> Self {
        match name {
            "check" => Self::Check,
            "smoke" => Self::Smoke,
            _ => Self::Train,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Propose => "propose",
            Self::Apply => "apply",
            Self::Static => "static",
            Self::Check => "check",
            Self::Smoke => "smoke",
            Self::Train => "train",
            Self::Score => "score",
            Self::Decide => "decide",
            Self::Confirm => "confirm",
        })
    }
}

/// Every cause of failure. The registry: its names are what `status` counts and what the reference lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Cause {
    /// The proposer has no further edit to make from here.
    NoProposal,
    /// The proposer itself failed.
    ProposerFailed,
    /// A patch or replacement does not fit its parent.
    PatchDoesNotApply,
    /// Two parents change the same lines.
    MergeConflict,
    /// A file outside the surface that the proposer was given.
    OutsideSurface {
        /// The file.
        path: String,
    },
    /// A file that no proposer may change.
    ProtectedPath {
        /// The file.
        path: String,
    },
    /// A file too large, too many files, or a mode that is not a plain file's.
    ForbiddenFile {
        /// The file.
        path: String,
    },
    /// The tree equals its parent's.
    EmptyEdit,
    /// This tree was measured already.
    DuplicateTree {
        /// The first trial with that tree.
        of: TrialNo,
    },
    /// The source does not parse.
    Syntax {
        /// The file.
        path: String,
    },
    /// The program exited with a status other than zero.
    Exception {
        /// The exit status.
        status: i32,
    },
    /// A signal ended the program.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// It used more memory than its limit.
    OutOfMemory,
    /// It ran past its wall-clock limit.
    WallLimit,
    /// It used more CPU time than its limit.
    CpuLimit,
    /// It wrote more than its limit to standard output and error.
    OutputFlood,
    /// It wrote more than its limit to disk.
    DiskLimit,
    /// It ran more processes than its limit.
    ProcessLimit,
    /// The sandbox ended it for asking what no recipe may.
    Denied,
    /// A value is NaN or infinite.
    NonFiniteMetric {
        /// The metric.
        metric: String,
    },
    /// The metric is absent from the result or from the output.
    MetricMissing {
        /// The metric.
        metric: String,
    },
    /// A gate's limit is missed.
    GateMiss {
        /// The metric of the gate.
        metric: String,
    },
    /// The artefact exceeds the gate on `artifact_bytes`.
    ArtifactTooLarge,
    /// The artefact or the predictor's answers are not what the evaluator's protocol asks for.
    BadArtifact,
    /// The evaluator failed for reasons of its own.
    EvaluatorCrash,
    /// The evaluator ran past a limit.
    EvaluatorLimit,
    /// The evaluator's result is not what the contract asks for.
    MalformedResult,
    /// A rule of validity is broken.
    RedLine {
        /// Which.
        line: RedLine,
    },
    /// The sandbox could not be set up.
    SandboxFailed,
    /// Empiric could not do its own part (disk, store, process table).
    HarnessFailed,
    /// It was cancelled by a person or by the end of the study.
    Cancelled,
}

impl Cause {
    /// Its stable name, as in the JSON form.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoProposal => "no_proposal",
            Self::ProposerFailed => "proposer_failed",
            Self::PatchDoesNotApply => "patch_does_not_apply",
            Self::MergeConflict => "merge_conflict",
            Self::OutsideSurface { .. } => "outside_surface",
            Self::ProtectedPath { .. } => "protected_path",
            Self::ForbiddenFile { .. } => "forbidden_file",
            Self::EmptyEdit => "empty_edit",
            Self::DuplicateTree { .. } => "duplicate_tree",
            Self::Syntax { .. } => "syntax",
            Self::Exception { .. } => "exception",
            Self::Signal { .. } => "signal",
            Self::OutOfMemory => "out_of_memory",
            Self::WallLimit => "wall_limit",
            Self::CpuLimit => "cpu_limit",
            Self::OutputFlood => "output_flood",
            Self::DiskLimit => "disk_limit",
            Self::ProcessLimit => "process_limit",
            Self::Denied => "denied",
            Self::NonFiniteMetric { .. } => "non_finite_metric",
            Self::MetricMissing { .. } => "metric_missing",
            Self::GateMiss { .. } => "gate_miss",
            Self::ArtifactTooLarge => "artifact_too_large",
            Self::BadArtifact => "bad_artifact",
            Self::EvaluatorCrash => "evaluator_crash",
            Self::EvaluatorLimit => "evaluator_limit",
            Self::MalformedResult => "malformed_result",
            Self::RedLine { .. } => "red_line",
            Self::SandboxFailed => "sandbox_failed",
            Self::HarnessFailed => "harness_failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Who is to blame for it when it happens in `phase`.
    #[must_use]
    pub fn blame(&self, phase: Phase) -> Blame {
        match self {
            Self::NoProposal
            | Self::ProposerFailed
            | Self::PatchDoesNotApply
            | Self::MergeConflict
            | Self::OutsideSurface { .. }
            | Self::ProtectedPath { .. }
            | Self::ForbiddenFile { .. }
            | Self::EmptyEdit
            | Self::DuplicateTree { .. }
            | Self::Syntax { .. } => Blame::Edit,
            Self::Exception { .. }
            | Self::Signal { .. }
            | Self::Denied
            | Self::NonFiniteMetric { .. }
            | Self::BadArtifact => Blame::Recipe,
            Self::MetricMissing { .. } if phase == Phase::Score => Blame::Evaluator,
            Self::MetricMissing { .. } => Blame::Recipe,
            Self::OutOfMemory
            | Self::WallLimit
            | Self::CpuLimit
            | Self::OutputFlood
            | Self::DiskLimit
            | Self::ProcessLimit => Blame::Budget,
            Self::GateMiss { .. } | Self::ArtifactTooLarge => Blame::Gate,
            Self::EvaluatorCrash | Self::EvaluatorLimit | Self::MalformedResult => Blame::Evaluator,
            Self::RedLine { .. } => Blame::Validity,
            Self::SandboxFailed | Self::HarnessFailed | Self::Cancelled => Blame::Infra,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideSurface { path }
            | Self::ProtectedPath { path }
            | Self::ForbiddenFile { path }
            | Self::Syntax { path } => write!(f, "{} {path}", self.name()),
            Self::DuplicateTree { of } => write!(f, "duplicate_tree of {of}"),
            Self::Exception { status } => write!(f, "exception (exit {status})"),
            Self::Signal { signal } => write!(f, "signal {signal}"),
            Self::NonFiniteMetric { metric }
            | Self::MetricMissing { metric }
            | Self::GateMiss { metric } => {
                write!(f, "{} {metric}", self.name())
            }
            Self::RedLine { line } => write!(f, "red_line {line}"),
            Self::NoProposal
            | Self::ProposerFailed
            | Self::PatchDoesNotApply
            | Self::MergeConflict
            | Self::EmptyEdit
            | Self::OutOfMemory
            | Self::WallLimit
            | Self::CpuLimit
            | Self::OutputFlood
            | Self::DiskLimit
            | Self::ProcessLimit
            | Self::Denied
            | Self::ArtifactTooLarge
            | Self::BadArtifact
            | Self::EvaluatorCrash
            | Self::EvaluatorLimit
            | Self::MalformedResult
            | Self::SandboxFailed
            | Self::HarnessFailed
            | Self::Cancelled => f.write_str(self.name()),
        }
    }
}
