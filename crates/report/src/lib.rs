//! What a study says of itself: the stable JSON shapes, and the self-contained page that a sceptic can read.
//!
//! Reads a [`Study`](empiric_core::Study) and nothing else; decides nothing; knows no terminal and opens no file.

mod arms;
mod beside;
mod curve;
mod mark;
mod page;
mod status;

pub use arms::{Anytime, ArmStatus, Comparison, Step, anytime};
pub use beside::{AblationStatus, HunkRow, ObjectiveRow, ParetoRow, pareto};
pub use curve::{Band, Curve, Dot, Kept, Level};
pub use mark::Mark;
pub use page::{Facts, html};
pub use status::{
    Baseline, Champion, MeasurementRow, MetricName, Noise, OutcomeRow, Outcomes, Status, TrialRow,
};
