//! The keys that others script against. More may be there; none of these may go.

use serde_json::Value;

pub(crate) const STATUS: &[&str] = &[
    "study",
    "task",
    "state",
    "trials",
    "replicates",
    "outcomes.keep",
    "outcomes.discard",
    "outcomes.inconclusive",
    "outcomes.failed",
    "failures",
    "metric.name",
    "metric.goal",
    "metric.unit",
    "baseline.mean",
    "baseline.interval",
    "baseline.replicates",
    "noise_sd",
    "noise.smallest_effect",
    "noise.error",
    "noise.level",
    "champion",
    "ablation",
    "pareto",
    "report_openings",
    "arms",
    "comparisons",
    "cost.wall_s",
    "cost.cpu_s",
    "cost.gpu_s",
    "cost.tokens",
    "cost.usd",
    "sandbox",
];

pub(crate) const CHAMPION: &[&str] = &["trial", "mean", "gain", "gain_interval", "provenance"];

pub(crate) const ARM: &[&str] = &[
    "name",
    "proposer",
    "policy",
    "trials",
    "spent",
    "outcomes.keep",
    "champion",
    "typical_gain",
    "typical_gain_interval",
    "cost.cpu_s",
    "cpu_s_per_percent",
    "drought",
];

pub(crate) const TRIAL: &[&str] = &[
    "trial",
    "parents",
    "arm",
    "proposer",
    "surface",
    "operator",
    "hypothesis",
    "prediction",
    "outcome.kind",
    "outcome.verdict",
    "outcome.blame",
    "outcome.phase",
    "outcome.cause",
    "outcome.margin",
    "outcome.signature",
    "outcome.retryable",
    "measurements",
    "commit",
    "tree",
    "started_at",
    "ended_at",
];

pub(crate) const MEASUREMENT: &[&str] = &["metric", "value", "split", "provenance"];

pub(crate) const VERIFICATION: &[&str] = &["ok", "events", "checked", "faults"];

pub(crate) const CHECK: &[&str] = &["ok", "noise_sd", "smallest_effect", "canaries", "estimate"];

pub(crate) const CANARY: &[&str] = &["name", "expected", "seen", "ok"];

pub(crate) const ERROR: &[&str] = &["kind", "error", "hints"];

/// Fails unless every key is there; a dot goes one object down.
#[track_caller]
pub(crate) fn holds(value: &Value, keys: &[&str]) {
    let missing: Vec<_> = keys
        .iter()
        .filter(|key| value.pointer(&format!("/{}", key.replace('.', "/"))).is_none())
        .collect();
    assert!(missing.is_empty(), "{missing:?} missing in {value:#}");
}
