//! What failed, by what it is recognised by.

use std::collections::BTreeMap;

use empiric_core::{Blame, Failure, Outcome, Phase, Signature, Study, TrialNo};
use serde::Serialize;

/// Failures of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct FailureGroup {
    /// What they are recognised by.
    pub signature: Signature,
    /// Who is to blame.
    pub blame: Blame,
    /// Where they failed.
    pub phase: Phase,
    /// How many there are.
    pub trials: usize,
    /// The margin of the nearest miss, and its trial.
    pub nearest: Option<(f64, TrialNo)>,
    /// One of them: the nearest miss where there is one, for it is what a repair would aim at.
    pub example: TrialNo,
    /// What shows that one.
    pub excerpt: String,
}

/// Failures by signature, the most frequent first.
pub(crate) fn failures(study: &Study) -> Vec<FailureGroup> {
    let mut groups: BTreeMap<Signature, FailureGroup> = BTreeMap::new();
    for trial in study.trials() {
        let Some(Outcome::Failed(failure)) = &trial.outcome else { continue };
        let signature = failure.signature();
        let group = groups.entry(signature.clone()).or_insert_with(|| FailureGroup {
            signature,
            blame: failure.blame,
            phase: failure.phase,
            trials: 0,
            nearest: None,
            example: trial.no,
            excerpt: failure.excerpt.clone(),
        });
        group.trials += 1;
        group.miss(trial.no, failure);
    }
    let mut groups: Vec<FailureGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.trials));
    groups
}

impl FailureGroup {
    fn miss(&mut self, no: TrialNo, failure: &Failure) {
        let Some(margin) = failure.margin.filter(|margin| margin.is_finite()) else { return };
        if self.nearest.is_none_or(|(nearest, _)| margin >= nearest) {
            self.nearest = Some((margin, no));
            self.example = no;
            self.excerpt.clone_from(&failure.excerpt);
        }
    }
}
