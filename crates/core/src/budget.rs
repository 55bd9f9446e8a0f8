//! What a study may spend, what else ends it, and what it has spent.

use std::ops::{Add, AddAssign};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Caps; an absent one does not bind. Reserved before it is spent, settled after. Trials and droughts are counted for each
/// arm; every other cap is the whole study's, of which each arm may spend an equal part.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// Trials that reach measurement or fail by their own fault; the baseline is free.
    pub trials: Option<u32>,
    /// Wall-clock seconds over all sessions.
    pub wall_s: Option<f64>,
    /// CPU seconds of all units.
    pub cpu_s: Option<f64>,
    /// GPU seconds: wall time of units times the GPUs they held.
    pub gpu_s: Option<f64>,
    /// Tokens of all model calls.
    pub tokens: Option<u64>,
    /// Money for model calls, US dollars.
    pub usd: Option<f64>,
    /// Model calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Trials in a row without a keep, after which the search is taken to have run dry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drought: Option<u32>,
    /// Confirmed value of the metric that is good enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
}

impl Budget {
    /// Whether a cap on model calls is spent, and which. Such a cap pauses a study: measuring may go on when it is raised.
    #[must_use]
    pub fn models_spent(&self, spent: &Cost) -> Option<String> {
        let usd = self.usd.filter(|cap| spent.usd >= *cap).map(|cap| format!("{cap} usd"));
        let tokens = self.tokens.filter(|cap| spent.tokens >= *cap).map(|n| format!("{n} tokens"));
        let calls = self.calls.filter(|cap| spent.calls >= *cap).map(|n| format!("{n} calls"));
        usd.or(tokens).or(calls)
    }
}

/// What was spent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Wall-clock seconds.
    pub wall_s: f64,
    /// CPU seconds.
    pub cpu_s: f64,
    /// GPU seconds.
    pub gpu_s: f64,
    /// Tokens.
    pub tokens: u64,
    /// US dollars.
    pub usd: f64,
    /// Model calls.
    #[serde(default)]
    pub calls: u64,
}

impl Add for Cost {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.wall_s += other.wall_s;
        self.cpu_s += other.cpu_s;
        self.gpu_s += other.gpu_s;
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.usd += other.usd;
        self.calls = self.calls.saturating_add(other.calls);
    }
}
