//! Tests over whole studies, folded from events as a ledger would hold them.

mod arms;
mod flow;
mod lab;
mod properties;
mod reported;
mod simulated;
mod statistics;
mod supervised;
