//! Every line crossed once, and what comes near it and does not cross.

mod edits;
mod ideas;
mod measured;
