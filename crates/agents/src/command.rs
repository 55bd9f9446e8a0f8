//! Command-line agents as proposers: somebody else's coding agent works in a tree of its own, and what is different
//! afterwards is the edit.
//!
//! It runs in the sandbox and sees the recipe's editable files, a home directory that is empty, and the program that it
//! is. Its network is one door, behind which the metering proxy sits: that holds the key, pays from the purse and records
//! what is said. Nothing that the agent prints is believed but as words; the edit is read from the tree.

mod brake;
mod driver;
mod outfit;
mod transcript;
mod tree;

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use empiric_core::{Blame, Cause, Failure, Hypothesis, Operator, Phase, TrialNo};
use empiric_llm::{Origin, Proxy, Secret, Tally};
use empiric_sandbox::{
    Access, Cgroup, DOOR, Ending, Level, Limits, Network, Policy, Report, Unit, View, Zygote,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

pub use brake::Brake;
pub use driver::{Driver, Version};
pub use outfit::{Installed, Outfit, installed};
pub use transcript::Transcript;

use crate::{Brief, Proposal, Proposer, errands::Halt};

/// Where an agent finds its work tree and its home in bubblewrap; no place where programs are installed.
const WORK: &str = "/agent/tree";
const HOME: &str = "/agent/home";
/// Most bytes of a transcript that are kept of each end.
const KEPT: usize = 2 << 20;
/// What a proposal's place is called, before its trial.
const PLACE: &str = "proposal-";

/// Everything that a command-line agent needs.
pub struct CommandOptions {
    /// What is recorded with its edits.
    pub name: String,
    /// Which agent it is.
    pub driver: Driver,
    /// Where the program is, and how it is held.
    pub held: Held,
    /// The model, in the agent's words; its own choice where none.
    pub model: Option<String>,
    /// A directory for work trees; nobody else's.
    pub room: PathBuf,
    /// The way to its model.
    pub proxy: Arc<Proxy>,
    /// The arm that pays.
    pub arm: String,
    /// What tokens derive from; they are good for one visit.
    pub seed: u64,
    /// Ends all runs when a session does.
    pub brake: Brake,
}

/// A program, and how it is held.
#[derive(Debug, Clone)]
pub struct Held {
    /// The program, an absolute path.
    pub program: PathBuf,
    /// Further directories that the program needs to read.
    pub see: Vec<PathBuf>,
    /// The program whose `__unit` verb is the sandbox helper.
    pub exe: PathBuf,
    /// How it is held.
    pub level: Level,
    /// What accounts for it.
    pub cgroup: Cgroup,
    /// What it may use besides models.
    pub limits: Limits,
}

/// A command-line agent.
pub struct CommandAgent {
    options: CommandOptions,
    version: Version,
    zygote: Zygote,
}

/// Why a program is no agent here.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// At this level nothing would keep it to its own door.
    #[error(
        "a command-line agent needs bubblewrap: at sandbox level landlock nothing keeps it to its own door"
    )]
    Landlock,
    /// It does not run, or not to a good end.
    #[error("ask {program} for its version: {why}", program = program.display())]
    Dumb {
        /// The program.
        program: PathBuf,
        /// How it ended.
        why: String,
    },
    /// The machine refuses.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What came of one run.
struct Ran {
    transcript: Transcript,
    tally: Tally,
    report: Report,
}

impl Held {
    /// What an agent may use besides models, unless said otherwise.
    #[must_use]
    pub fn limits() -> Limits {
        Limits {
            wall: Duration::from_mins(30),
            memory: Some(8 << 30),
            processes: Some(512),
            disk: Some(4 << 30),
            output: 256 << 20,
            kept: KEPT,
            ..Limits::default()
        }
    }

    /// The version that the program says it is, asked in a sandbox without any network.
    ///
    /// # Errors
    /// When the sandbox cannot hold it, or the program does not run or does not say what it is.
    pub fn version(&self, driver: &Driver) -> Result<Version, Unfit> {
        if self.level == Level::Landlock {
            return Err(Unfit::Landlock);
        }
        let dumb = |why: String| Unfit::Dumb { program: self.program.clone(), why };
        let place = tempfile::Builder::new().prefix("empiric-agent-").tempdir()?;
        let mut unit = self.unit(place.path(), driver.probe(&self.program), BTreeMap::new())?;
        unit.policy.network = Network::None;
        unit.policy.limits.wall = Duration::from_mins(1);
        let ran = Zygote::new(&self.exe)
            .launch(&unit, None)
            .and_then(empiric_sandbox::Launch::run)
            .map_err(|error| dumb(error.to_string()))?;
        let said = format!("{}\n{}", ran.stdout.text(), ran.stderr.text());
        match (ran.ending, Version::find(&said)) {
            (Ending::Exit(0), Some(version)) => Ok(version),
            // A program of one's own need not know the question.
            (Ending::Exit(_), found) if matches!(driver, Driver::Other(_)) => {
                Ok(found.unwrap_or_default())
            }
            (Ending::Exit(0), None) => Err(dumb(format!("it says none: {}", said.trim()))),
            (ending, _) => Err(dumb(format!("{ending}: {}", said.trim()))),
        }
    }

    /// A unit of the program whose tree and home are in `place`.
    fn unit(
        &self,
        place: &Path,
        argv: Vec<String>,
        env: BTreeMap<String, String>,
    ) -> Result<Unit, std::io::Error> {
        let Self { level, cgroup, limits, see, program, .. } = self;
        for part in ["tree", "home"] {
            fs_err::create_dir_all(place.join(part))?;
        }
        let tree = View { host: place.join("tree"), inside: WORK.into(), access: Access::Write };
        let home = View { host: place.join("home"), inside: HOME.into(), access: Access::Write };
        let mut policy = Policy::new(argv, level.path(&tree));
        let dir = program.parent().unwrap_or(Path::new("/")).display();
        policy.env.insert("PATH".into(), format!("{dir}:/usr/local/bin:/usr/bin:/bin"));
        policy.env.insert("HOME".into(), level.path(&home).display().to_string());
        policy.env.extend(env);
        policy.views = driver::installation(program)?
            .into_iter()
            .chain(see.iter().cloned())
            .map(|path| View::same(path, Access::Read))
            .collect();
        policy.views.extend([tree, home]);
        policy.limits = limits.clone();
        Ok(Unit { policy, level: *level, cgroup: cgroup.clone(), record: record(place) })
    }
}

/// Where one proposal is made. It goes with everything in it, whatever an agent did to its permissions.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        empiric_sandbox::remove(&self.0).ok();
    }
}

/// Where the sandbox writes down what runs in `place`.
fn record(place: &Path) -> PathBuf {
    place.join("agent.alive")
}

impl CommandAgent {
    /// An agent that is what its program says it is.
    ///
    /// # Errors
    /// As [`Held::version`].
    pub fn new(options: CommandOptions) -> Result<Self, Unfit> {
        let version = options.held.version(&options.driver)?;
        let zygote = Zygote::new(&options.held.exe);
        Ok(Self { options, version, zygote })
    }

    /// The version that the program says it is.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    fn place(&self, trial: TrialNo) -> std::io::Result<Place> {
        let room = &self.options.room;
        self.options.brake.sweep(room)?;
        fs_err::create_dir_all(room)?;
        let dir = tempfile::Builder::new().prefix(&format!("{PLACE}{trial}-")).tempdir_in(room)?;
        Ok(Place(dir.keep()))
    }

    fn run(&self, brief: &Brief, place: &Path, prompt: &str) -> Result<Ran, Failure> {
        let CommandOptions { driver, held, model, proxy, arm, name, seed, brake, .. } =
            &self.options;
        let nth = brief.errands.called();
        let token = token(*seed, brief.trial, nth);
        let secret = Secret::new(&token).ok_or_else(|| infra("make a token"))?;
        let own = match held.level {
            Level::Bwrap => None,
            Level::Landlock | Level::None => {
                Some(TcpListener::bind("127.0.0.1:0").map_err(|error| infra(&error))?)
            }
        };
        let port = match &own {
            Some(listener) => listener.local_addr().map_err(|error| infra(&error))?.port(),
            None => DOOR,
        };
        let base = format!("http://127.0.0.1:{port}");
        let command = driver.command(&held.program, model.as_deref(), prompt, &base, &token);
        let mut unit =
            held.unit(place, command.argv, command.env).map_err(|error| infra(&error))?;
        unit.policy.network = if own.is_some() { Network::Full } else { Network::Door };
        let mut launch = self.zygote.launch(&unit, None).map_err(|error| infra(&error))?;
        let Some(_held) = brake.hold(&launch).map_err(|error| infra(&error))? else {
            return Err(infra("the session ends"));
        };
        let listener = match own {
            Some(listener) => listener,
            None => launch.door().map_err(|error| infra(&error))?,
        };
        let origin = Origin { arm: arm.clone(), role: name.clone(), trial: brief.trial, nth };
        let visit = proxy.admit(listener, origin, secret).map_err(|error| infra(&error))?;
        let report = launch.run().map_err(|error| {
            // A helper that died before it could end its unit leaves that to whoever has its record.
            empiric_sandbox::reap_orphans(&unit.record).ok();
            infra(&error)
        });
        let tally = visit.end();
        let report = report?;
        let transcript = driver.read(&report.stdout.text(), &report.stderr.text());
        Ok(Ran { transcript, tally, report })
    }
}

impl Proposer for CommandAgent {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn asks_models(&self) -> bool {
        true
    }

    fn propose(&self, brief: &Brief) -> Result<Proposal, Failure> {
        let parents = if brief.ask.parents.is_empty() {
            vec![TrialNo::BASELINE]
        } else {
            brief.ask.parents.clone()
        };
        let (base, operator) = match (brief.ask.operator, parents.as_slice()) {
            (Operator::Merge, [one, other, ..]) => {
                (brief.sources.merge(*one, *other)?, Operator::Merge)
            }
            (operator, [one, ..]) => (brief.sources.files(*one)?, operator),
            (operator, []) => (brief.sources.files(TrialNo::BASELINE)?, operator),
        };
        let place = self.place(brief.trial).map_err(|error| infra(&error))?;
        let root = place.0.join("tree");
        tree::write(&root, &base).map_err(|error| infra(&error))?;
        let prompt = driver::prompt(brief, &base);
        let ran = self.run(brief, &place.0, &prompt);
        // What is there when an agent's money or its session ends in the midst of work is not its idea.
        let ended = !matches!(&ran, Ok(Ran { report, .. }) if report.ending != Ending::Cancelled);
        if ended && self.options.brake.is_pulled() {
            return Err(brief.errands.halt(Halt::Cancelled));
        }
        let Ran { transcript, tally, report } = ran?;
        if let Some(refused) = &tally.refused {
            return Err(brief.errands.halt(Halt::Budget(refused.to_string())));
        }
        let edits = tree::difference(&root, &base).map_err(|error| {
            Failure::new(Phase::Propose, Cause::ProposerFailed)
                .excerpt(format!("read the agent's tree: {error}"))
        })?;
        if edits.is_empty() {
            if let Some(why) = &tally.setup {
                return Err(brief.errands.halt(Halt::Setup(why.clone())));
            }
            return Err(barren(&transcript, &tally, &report));
        }
        let (text, prediction) = transcript.hypothesis();
        let usage = tally.usage;
        Ok(Proposal {
            operator,
            parents,
            surface: brief.ask.surface.clone(),
            hypothesis: Hypothesis { text, prediction },
            edits,
            thought: None,
            by: None,
            detail: json!({
                "agent": self.options.driver.name(),
                "version": self.version.to_string(),
                "model": self.options.model,
                "command": self.options.driver.words(),
                "session": transcript.session,
                "ending": report.ending.to_string(),
                "steps": transcript.steps,
                "calls": tally.calls,
                "tokens": usage.total(),
                "usd": tally.spend.money.usd(),
                "trouble": tally.trouble,
            }),
        })
    }
}

/// A run that changed nothing: whose fault it is.
fn barren(transcript: &Transcript, tally: &Tally, report: &Report) -> Failure {
    let mut words = vec![format!("the agent ended ({}) and changed nothing", report.ending)];
    words.extend(transcript.error.clone());
    words.extend(tally.trouble.last().cloned());
    let last = transcript.last_words();
    words.extend((!last.is_empty()).then_some(last));
    let failed = report.ending != Ending::Exit(0) || transcript.error.is_some();
    let cause = if failed { Cause::ProposerFailed } else { Cause::NoProposal };
    let failure = Failure::new(Phase::Propose, cause).excerpt(words.join("\n"));
    // No idea is to blame when its model could not be had.
    let deserted = failed && (tally.calls == 0 || !tally.trouble.is_empty());
    if deserted
        || matches!(report.ending, Ending::Lost(_) | Ending::NotExecutable(_) | Ending::Cancelled)
    {
        return failure.blame(Blame::Infra);
    }
    failure
}

fn infra(error: &(impl std::fmt::Display + ?Sized)) -> Failure {
    Failure::new(Phase::Propose, Cause::ProposerFailed)
        .blame(Blame::Infra)
        .excerpt(error.to_string())
}

/// A token that is good for one visit. It guards nothing but the proxy's door.
fn token(seed: u64, trial: TrialNo, nth: u32) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(trial.0) << 32 | u64::from(nth));
    format!("sk-ant-empiric-{:032x}", rng.random::<u128>())
}
