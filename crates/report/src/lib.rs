//! What a study says of itself: the stable JSON shapes, the closing words, and the self-contained page.
//!
//! Reads a [`Study`](empiric_core::Study) and nothing else; decides nothing; knows no terminal.

mod status;

pub use status::{
    Baseline, Champion, MeasurementRow, MetricName, OutcomeRow, Outcomes, Status, TrialRow,
};
