//! The proposers that an arm can be given, by name. To add one: a module that implements [`Proposer`], and an [`Entry`].

use std::sync::Arc;

use empiric_core::{Failure, study::Arm};

use crate::{Null, Proposer, Random, Tuner};

/// What a proposer is made from. A proposer that needs more of its surroundings (a model, a program) is given it here.
#[derive(Debug, Clone, Copy)]
pub struct Workbench<'a> {
    /// The arm it is for. Each arm has a proposer of its own: what one remembers is no other's.
    pub arm: &'a Arm,
}

/// A kind of proposer.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// What `--arm` takes and the study records.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    /// The policy of an arm that names none, where it is not the study's.
    pub policy: Option<&'static str>,
    /// Makes one.
    pub make: fn(&Workbench<'_>) -> Result<Arc<dyn Proposer>, Failure>,
}

/// The proposers there are; the first is the default.
pub const PROPOSERS: [Entry; 3] = [
    Entry {
        name: "tuner",
        about: "moves literals, learning from every trial what that does; needs no model",
        policy: None,
        make: |_| Ok(Arc::new(Tuner::default())),
    },
    Entry {
        name: "random",
        about: "moves literals by chance and learns nothing: what tuner has to beat",
        policy: None,
        make: |_| Ok(Arc::new(Random)),
    },
    Entry {
        name: "null",
        about: "changes nothing but seeds, so that whatever it keeps is kept falsely",
        policy: Some("random"),
        make: |_| Ok(Arc::new(Null)),
    },
];

/// The kind of this name.
#[must_use]
pub fn entry(name: &str) -> Option<&'static Entry> {
    PROPOSERS.iter().find(|entry| entry.name == name)
}
