//! Tests over whole studies, folded from events as a ledger would hold them.

mod ablation;
mod arms;
mod by_item;
mod caps;
mod flow;
mod lab;
mod properties;
mod reported;
mod simulated;
mod statistics;
mod supervised;
