//! What became of a trial, as one of the few kinds that curves and graphs tell apart.

use empiric_core::{Outcome, Trial, TrialNo, Verdict};
use serde::Serialize;

/// A kind of outcome, with a name. Whoever draws it gives it a shape besides a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The unedited recipe.
    Baseline,
    /// Kept.
    Keep,
    /// Undecided.
    Inconclusive,
    /// Discarded.
    Discard,
    /// Failed.
    Failed,
    /// Not ended yet.
    Open,
}

impl Mark {
    /// Every kind, the telling ones first.
    pub const ALL: [Self; 6] =
        [Self::Baseline, Self::Keep, Self::Inconclusive, Self::Discard, Self::Failed, Self::Open];

    /// The kind of `trial`.
    #[must_use]
    pub fn of(trial: &Trial) -> Self {
        match &trial.outcome {
            _ if trial.no == TrialNo::BASELINE => Self::Baseline,
            None => Self::Open,
            Some(Outcome::Failed(_)) => Self::Failed,
            Some(Outcome::Valid { verdict, .. }) => match verdict {
                Verdict::Baseline => Self::Baseline,
                Verdict::Keep => Self::Keep,
                Verdict::Discard => Self::Discard,
                Verdict::Inconclusive => Self::Inconclusive,
            },
        }
    }

    /// Its name, which is its class in the page's style sheet too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Keep => "keep",
            Self::Inconclusive => "inconclusive",
            Self::Discard => "discard",
            Self::Failed => "failed",
            Self::Open => "open",
        }
    }
}
