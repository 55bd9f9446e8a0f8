//! From an arm's name to an agent: where its program is, which provider answers it, which model it is told to ask.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
};

use empiric_core::study::Arm;
use empiric_llm::{
    Catalogue, Dialect, KeySource, ModelId, Proxy, ProxyOptions, Purse, Secret, Tape,
};
use empiric_sandbox::{Cgroup, Level, Limits};

use super::{Brake, CommandAgent, CommandOptions, Driver, Held, Unfit, Version};
use crate::registry::Unready;

/// Most tokens of output that one request of an agent may ask for. Room for them is reserved before it is sent on, so more
/// would hold up others under a small cap; agents ask for as many.
const MOST_OUTPUT: u32 = 32_000;

/// What command-line agents need of this machine and of whoever pays; the same for all of a session.
#[derive(Clone)]
pub struct Outfit {
    /// Where programs are looked up, as in `PATH`.
    pub path: OsString,
    /// The command of the arm `command`: a program, and its arguments.
    pub command: Vec<String>,
    /// Models. Each agent asks the first whose provider speaks its language, and its own choice where there is none.
    pub models: Vec<ModelId>,
    /// Further directories that agents need to read.
    pub see: Vec<PathBuf>,
    /// A directory for work trees; nobody else's.
    pub room: PathBuf,
    /// The program whose `__unit` verb is the sandbox helper.
    pub exe: PathBuf,
    /// How agents are held.
    pub level: Level,
    /// What accounts for them.
    pub cgroup: Cgroup,
    /// What they may use besides models.
    pub limits: Limits,
    /// Providers and prices.
    pub catalogue: Catalogue,
    /// Their keys.
    pub keys: BTreeMap<String, Secret>,
    /// What pays.
    pub purse: Purse,
    /// Where calls are kept.
    pub tape: Arc<dyn Tape>,
    /// What tokens derive from.
    pub seed: u64,
    /// Ends all of them when a session does.
    pub brake: Brake,
}

/// Which provider answers an agent, in which language, and which model it is told to ask.
struct Answered {
    routes: BTreeMap<Dialect, String>,
    model: Option<String>,
}

impl Outfit {
    /// The agent of `arm`, ready to work.
    ///
    /// # Errors
    /// What is lacking.
    pub fn agent(&self, arm: &Arm, driver: Driver) -> Result<CommandAgent, Unready> {
        let (driver, program) = match driver {
            Driver::Other(_) => {
                let (program, words) = self.command.split_first().ok_or(Unready::NoCommand)?;
                (Driver::Other(words.to_vec()), program.clone())
            }
            named @ (Driver::Claude
            | Driver::Codex
            | Driver::Gemini
            | Driver::Opencode
            | Driver::Aider) => {
                let program = named.name().to_owned();
                (named, program)
            }
        };
        let program = found(&self.path, &program).ok_or(Unready::NoProgram { program })?;
        let Answered { routes, model } = self.answered(&driver)?;
        let proxy = Proxy::new(ProxyOptions {
            catalogue: self.catalogue.clone(),
            keys: self.keys.clone(),
            routes,
            purse: self.purse.clone(),
            tape: Some(Arc::clone(&self.tape)),
            timeouts: self.catalogue.timeouts(),
            most_output: MOST_OUTPUT,
        })
        .map_err(Unfit::Io)?;
        let agent = CommandAgent::new(CommandOptions {
            name: arm.proposer.clone(),
            driver,
            held: Held {
                program,
                see: self.see.clone(),
                exe: self.exe.clone(),
                level: self.level,
                cgroup: self.cgroup.clone(),
                limits: self.limits.clone(),
            },
            model,
            room: self.room.clone(),
            proxy: Arc::new(proxy),
            arm: arm.name.clone(),
            seed: self.seed,
            brake: self.brake.clone(),
        })?;
        Ok(agent)
    }

    /// Who answers: the provider of a model that was named, or those that usually do and have a key.
    fn answered(&self, driver: &Driver) -> Result<Answered, Unready> {
        let spoken = driver.dialects();
        let in_words = |(id, dialect): (&ModelId, Dialect)| {
            let key = self.key(id.provider());
            key.map(|()| Answered {
                routes: BTreeMap::from([(dialect, id.provider().to_owned())]),
                model: Some(driver.word(dialect, id.model())),
            })
        };
        let named = self.models.iter().find_map(|id| {
            let provider = self.catalogue.provider(id.provider())?;
            let (dialect, _) = spoken.iter().find(|(it, _)| provider.speaks(*it).is_some())?;
            Some((id, *dialect))
        });
        match named {
            Some(named) => return in_words(named),
            None if self.models.is_empty() => {}
            None => {
                let dialects = spoken.iter().map(|(dialect, _)| *dialect).collect();
                return Err(Unready::Language { agent: driver.name(), dialects });
            }
        }
        let mut lacking = None;
        let mut routes = BTreeMap::new();
        for (dialect, provider) in spoken {
            match self.key(provider) {
                Ok(()) => drop(routes.insert(*dialect, (*provider).to_owned())),
                Err(error) => drop(lacking.get_or_insert(error)),
            }
        }
        match lacking {
            Some(error) if routes.is_empty() => Err(error),
            Some(_) | None => Ok(Answered { routes, model: None }),
        }
    }

    /// Whether there is a key for a provider that needs one.
    fn key(&self, provider: &str) -> Result<(), Unready> {
        let place = match self.catalogue.provider(provider).map(|provider| &provider.key) {
            Some(KeySource::Env(variable)) => format!("the environment as {variable}"),
            Some(KeySource::File(path)) => path.display().to_string(),
            Some(KeySource::None) | None => return Ok(()),
        };
        if self.keys.contains_key(provider) {
            return Ok(());
        }
        Err(Unready::NoKey { provider: provider.to_owned(), place })
    }
}

/// An agent as it is found on a machine.
#[derive(Debug)]
pub struct Installed {
    /// Its name.
    pub name: &'static str,
    /// Its program, where it is on the path.
    pub program: Option<PathBuf>,
    /// What it says it is.
    pub version: Option<Result<Version, Unfit>>,
}

/// The agents that are known, as found on `path`; each is asked for its version in the sandbox.
pub fn installed<'a>(
    path: &'a OsStr,
    exe: &'a Path,
    level: Level,
    cgroup: &'a Cgroup,
) -> impl Iterator<Item = Installed> + use<'a> {
    Driver::KNOWN.iter().map(move |driver| {
        let program = found(path, driver.name());
        let version = program.clone().map(|program| {
            let (exe, cgroup) = (exe.to_owned(), cgroup.clone());
            let held =
                Held { program, see: Vec::new(), exe, level, cgroup, limits: Held::limits() };
            held.version(driver)
        });
        Installed { name: driver.name(), program, version }
    })
}

/// A program by its name or its path.
fn found(path: &OsStr, program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return std::path::absolute(program).ok().filter(|path| path.is_file());
    }
    std::env::split_paths(path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests;
