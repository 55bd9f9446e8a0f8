//! The proposers that an arm can be given, by name. To add one: a module that implements [`Proposer`], and an [`Entry`].

use std::sync::Arc;

use empiric_core::{Cause, Failure, Phase, Role, Task, study::Arm};
use empiric_llm::{ModelId, Models};

use crate::{
    Null, Proposer, Random, Specialists, Tuner, digest::Channels, prompts::Prompts, roster,
};

/// What a proposer is made from. A proposer that needs more of its surroundings (a model, a program) is given it here.
#[derive(Clone, Copy)]
pub struct Workbench<'a> {
    /// The arm it is for. Each arm has a proposer of its own: what one remembers is no other's.
    pub arm: &'a Arm,
    /// The task.
    pub task: &'a Task,
    /// Models, where any are named.
    pub kit: Option<&'a Kit>,
}

/// What models need to propose.
#[derive(Clone)]
pub struct Kit {
    /// The models, chosen among by what they gain.
    pub ids: Vec<ModelId>,
    /// Who asks them.
    pub models: Arc<dyn Models>,
    /// What they are told.
    pub prompts: Prompts,
    /// The roles, where somebody wrote them; else they come from the task.
    pub roles: Option<Vec<Role>>,
}

impl Workbench<'_> {
    /// Models in the roles that `usual` gives where nobody wrote others.
    fn team(
        &self,
        usual: fn(&Task) -> Vec<Role>,
        channels: Channels,
    ) -> Result<Arc<dyn Proposer>, Failure> {
        let kit = self.kit.ok_or_else(|| {
            Failure::new(Phase::Propose, Cause::NoProposal)
                .excerpt("it needs a model: name one with --model provider/model")
        })?;
        let roles = kit.roles.clone().unwrap_or_else(|| usual(self.task));
        let (prompts, models) = (kit.prompts.clone(), Arc::clone(&kit.models));
        let team = Specialists::new(&self.arm.proposer, roles, &kit.ids, prompts, channels, models);
        Ok(Arc::new(team))
    }

    /// One role for everything, whatever roster was written.
    fn alone(&self) -> Result<Arc<dyn Proposer>, Failure> {
        let kit = self.kit.map(|kit| Kit { roles: Some(roster::generalist()), ..kit.clone() });
        Workbench { kit: kit.as_ref(), ..*self }.team(|_| roster::generalist(), Channels::all())
    }
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
pub const PROPOSERS: [Entry; 6] = [
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
    Entry {
        name: "specialists",
        about: "models in roles, each of which owns a surface and reads what the arm has learnt; needs --model",
        policy: Some("specialists"),
        make: |bench| bench.team(roster::roster, Channels::all()),
    },
    Entry {
        name: "generalist",
        about: "models in one role that owns everything: the control for specialists; needs --model",
        policy: None,
        make: |bench| bench.alone(),
    },
    Entry {
        name: "no-lineage",
        about: "specialists that see the best recipe and nothing of any trial: the control for lineage; needs --model",
        policy: Some("specialists"),
        make: |bench| bench.team(roster::roster, Channels::without_lineage()),
    },
];

/// The kind of this name.
#[must_use]
pub fn entry(name: &str) -> Option<&'static Entry> {
    PROPOSERS.iter().find(|entry| entry.name == name)
}
