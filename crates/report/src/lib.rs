//! What a study says of itself: the stable JSON shapes, and the report that a sceptic can read, one model ([`Report`])
//! shown as a self-contained page, as Markdown and as JSON.
//!
//! Reads a [`Study`](empiric_core::Study) and nothing else; decides nothing; knows no terminal and opens no file.

mod arms;
mod beside;
mod curve;
mod mark;
mod markdown;
mod model;
mod page;
mod prose;
mod status;

pub use arms::{Anytime, ArmStatus, Comparison, Step, anytime};
pub use beside::{AblationStatus, HunkRow, ObjectiveRow, ParetoRow, pareto};
pub use curve::{Band, Curve, Dot, Kept, Level};
pub use mark::Mark;
pub use markdown::markdown;
pub use model::{
    Ablation, Came, Caution, Checked, CostReport, Doubt, Environment, Facts, FailureGroup, Finding,
    KeepRow, Method, PerPercent, Predictions, Prose, PurposeCost, Question, REPORT_SCHEMA, Report,
};
pub use page::html;
pub use status::{
    Baseline, Champion, MeasurementRow, MetricName, Noise, OutcomeRow, Outcomes, Status, TrialRow,
};
