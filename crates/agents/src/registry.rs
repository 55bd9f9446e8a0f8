//! The proposers that an arm can be given, by name. To add one: a module that implements [`Proposer`], and an [`Entry`].

use std::sync::Arc;

use empiric_core::{Role, Task, study::Arm};
use empiric_llm::{Dialect, ModelId, Models};

use crate::{
    Driver, Null, Outfit, Proposer, Random, Specialists, Tuner, Unfit, digest::Channels,
    prompts::Prompts, roster,
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
    /// What command-line agents need, where there are any.
    pub outfit: Option<&'a Outfit>,
}

/// What a proposer lacks.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// A model.
    #[error("it needs a model: name one with --model provider/model")]
    NoModel,
    /// A command.
    #[error(
        "it needs a command: --agent-cmd 'PROGRAM ARGUMENT...', with {{prompt}} where the prompt goes"
    )]
    NoCommand,
    /// A program.
    #[error("`{program}` is not on PATH; install it, or put its directory there")]
    NoProgram {
        /// The program.
        program: String,
    },
    /// A key.
    #[error(
        "there is no key for {provider}: put it into {place}, or name another provider with --agent-model"
    )]
    NoKey {
        /// The provider.
        provider: String,
        /// Where it belongs.
        place: String,
    },
    /// A model that it can talk with.
    #[error(
        "{agent} speaks {}, and no provider of --agent-model does",
        dialects.iter().map(|dialect| dialect.name()).collect::<Vec<_>>().join(", ")
    )]
    Language {
        /// The agent.
        agent: &'static str,
        /// What it speaks.
        dialects: Vec<Dialect>,
    },
    /// A program that is one, or a sandbox to hold it in.
    #[error(transparent)]
    Unfit(#[from] Unfit),
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
    /// Hosts whose pages of the web they may read.
    pub web: Vec<String>,
}

impl Workbench<'_> {
    /// Models in the roles that `usual` gives where nobody wrote others.
    fn team(
        &self,
        usual: fn(&Task) -> Vec<Role>,
        channels: Channels,
    ) -> Result<Arc<dyn Proposer>, Unready> {
        let kit = self.kit.ok_or(Unready::NoModel)?;
        let roles = kit.roles.clone().unwrap_or_else(|| usual(self.task));
        let (prompts, models) = (kit.prompts.clone(), Arc::clone(&kit.models));
        let team = Specialists::new(&self.arm.proposer, roles, &kit.ids, prompts, channels, models);
        Ok(Arc::new(team.reading(kit.web.clone())))
    }

    /// One role for everything, whatever roster was written.
    fn alone(&self) -> Result<Arc<dyn Proposer>, Unready> {
        let kit = self.kit.map(|kit| Kit { roles: Some(roster::generalist()), ..kit.clone() });
        Workbench { kit: kit.as_ref(), ..*self }.team(|_| roster::generalist(), Channels::all())
    }

    /// A command-line agent.
    fn agent(&self, driver: Driver) -> Result<Arc<dyn Proposer>, Unready> {
        let outfit = self.outfit.ok_or(Unready::NoCommand)?;
        Ok(Arc::new(outfit.agent(self.arm, driver)?))
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
    /// Whether a program of somebody else's makes its edits.
    pub command: bool,
    /// Makes one.
    pub make: fn(&Workbench<'_>) -> Result<Arc<dyn Proposer>, Unready>,
}

/// An arm of a command-line agent.
macro_rules! agent {
    ($name:literal, $about:literal, $driver:expr) => {
        Entry {
            name: $name,
            about: $about,
            policy: None,
            command: true,
            make: |bench| bench.agent($driver),
        }
    };
}

/// The proposers there are; the first is the default.
pub const PROPOSERS: [Entry; 12] = [
    Entry {
        name: "tuner",
        about: "moves literals, learning from every trial what that does; needs no model",
        policy: None,
        command: false,
        make: |_| Ok(Arc::new(Tuner::default())),
    },
    Entry {
        name: "random",
        about: "moves literals by chance and learns nothing: what tuner has to beat",
        policy: None,
        command: false,
        make: |_| Ok(Arc::new(Random)),
    },
    Entry {
        name: "null",
        about: "changes nothing but seeds, so that whatever it keeps is kept falsely",
        policy: Some("random"),
        command: false,
        make: |_| Ok(Arc::new(Null)),
    },
    Entry {
        name: "specialists",
        about: "models in roles, each of which owns a surface and reads what the arm has learnt; needs --model",
        policy: Some("specialists"),
        command: false,
        make: |bench| bench.team(roster::roster, Channels::all()),
    },
    Entry {
        name: "generalist",
        about: "models in one role that owns everything: the control for specialists; needs --model",
        policy: None,
        command: false,
        make: |bench| bench.alone(),
    },
    Entry {
        name: "no-lineage",
        about: "specialists that see the best recipe and nothing of any trial: the control for lineage; needs --model",
        policy: Some("specialists"),
        command: false,
        make: |bench| bench.team(roster::roster, Channels::without_lineage()),
    },
    agent!("claude", "the command-line agent `claude -p`, held in the sandbox", Driver::Claude),
    agent!("codex", "the command-line agent `codex exec`, held in the sandbox", Driver::Codex),
    agent!("gemini", "the command-line agent `gemini`, held in the sandbox", Driver::Gemini),
    agent!(
        "opencode",
        "the command-line agent `opencode run`, held in the sandbox",
        Driver::Opencode
    ),
    agent!("aider", "the command-line agent `aider`, held in the sandbox", Driver::Aider),
    agent!(
        "command",
        "any other agent that is a program; needs --agent-cmd",
        Driver::Other(Vec::new())
    ),
];

/// The kind of this name.
#[must_use]
pub fn entry(name: &str) -> Option<&'static Entry> {
    PROPOSERS.iter().find(|entry| entry.name == name)
}
