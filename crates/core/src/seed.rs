//! Seeds and random streams, all derived from the study's one seed, so that a study is a function of it.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TrialNo;

/// The integer a replicate's recipe and evaluator receive as `EMPIRIC_SEED`; below 2^31.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Seed(pub u32);

/// Why a replicate runs; it fixes which stream its seed comes from, so that no verdict is confirmed on seeds that
/// selection saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Purpose {
    /// Selection: every trial uses the same seeds in the same order, which pairs them.
    Search,
    /// Confirmation, on seeds that selection never sees. Each trial has a stream of its own: on it the gain of that trial
    /// over its champion is estimated, and once it is champion itself, its challengers are confirmed against it there,
    /// so that it is measured once for all of them. Where measurements drift, a challenger is confirmed on its own.
    Confirm {
        /// The trial whose stream it is.
        of: TrialNo,
    },
    /// The second measurement of a trial under quarantine, against its champion.
    Audit {
        /// The trial under quarantine.
        of: TrialNo,
    },
    /// The closing comparison of champion and baseline.
    Report,
}

impl Purpose {
    /// The `index`-th seed of this purpose's stream in a study of seed `study`; of an audit, `study` is the quarantine's
    /// nonce (see [`Study::seed`](crate::Study::seed)).
    #[must_use]
    pub fn seed(self, study: u64, index: u32) -> Seed {
        let hash = match self {
            Self::Search => keyed(study, "seed/search", 0, index),
            Self::Confirm { of } => keyed(study, "seed/confirm", of.0, index),
            Self::Audit { of } => keyed(study, "seed/audit", of.0, index),
            Self::Report => keyed(study, "seed/report", 0, index),
        };
        let [a, b, c, d, ..] = hash;
        Seed(u32::from_le_bytes([a, b, c, d]) >> 1)
    }
}

/// The random stream named `label` for trial `trial` of a study of seed `study`; the same on every platform.
#[must_use]
pub fn stream(study: u64, label: &str, trial: TrialNo) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(keyed(study, label, trial.0, 0))
}

/// What the seeds of `trial` derive from where they must be no other trial's.
pub(crate) fn apart(study: u64, trial: TrialNo) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = keyed(study, "seed/apart", trial.0, 0);
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn keyed(study: u64, label: &str, a: u32, b: u32) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&study.to_le_bytes());
    hasher.update(label.as_bytes());
    hasher.update(&a.to_le_bytes());
    hasher.update(&b.to_le_bytes());
    *hasher.finalize().as_bytes()
}
