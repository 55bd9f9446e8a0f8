//! Command-line agents as proposers: somebody else's coding agent works in a tree of its own, and what is different
//! afterwards is the edit.
//!
//! It runs in the sandbox and sees the recipe's editable files, a home directory that is empty, and the program that it
//! is. Its network is one door, behind which the metering proxy sits: that holds the key, pays from the purse and records
//! what is said. Nothing that the agent prints is believed but as words; the edit is read from the tree.

mod driver;
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

pub use driver::{Driver, Version};
pub use transcript::Transcript;

use crate::{Brief, Proposal, Proposer};

/// Where an agent finds its work tree and its home in bubblewrap; no place where programs are installed.
const WORK: &str = "/agent/tree";
const HOME: &str = "/agent/home";
/// Most bytes of a transcript that are kept of each end.
const KEPT: usize = 2 << 20;

/// Everything that a command-line agent needs.
pub struct CommandOptions {
    /// What is recorded with its edits.
    pub name: String,
    /// Which agent it is.
    pub driver: Driver,
    /// The program, an absolute path.
    pub program: PathBuf,
    /// The model, in the agent's words; its own choice where none.
    pub model: Option<String>,
    /// Further directories that the program needs to read.
    pub see: Vec<PathBuf>,
    /// A directory for work trees; nobody else's.
    pub room: PathBuf,
    /// The program whose `__unit` verb is the sandbox helper.
    pub exe: PathBuf,
    /// How it is held.
    pub level: Level,
    /// What accounts for it.
    pub cgroup: Cgroup,
    /// What it may use besides models.
    pub limits: Limits,
    /// The way to its model.
    pub proxy: Arc<Proxy>,
    /// The arm that pays.
    pub arm: String,
    /// What tokens derive from; they are good for one visit.
    pub seed: u64,
}

/// A command-line agent.
pub struct CommandAgent {
    options: CommandOptions,
    version: Version,
    zygote: Zygote,
}

/// What came of one run.
struct Ran {
    transcript: Transcript,
    tally: Tally,
    report: Report,
}

impl CommandAgent {
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

    /// Finds out which version the program is, in a sandbox without any network.
    ///
    /// # Errors
    /// When the sandbox cannot give it a door of its own, or the program does not run or does not say what it is.
    pub fn new(options: CommandOptions) -> Result<Self, Failure> {
        if options.level == Level::Landlock {
            let why = "a command-line agent needs bubblewrap: at level landlock nothing keeps it to its own door";
            return Err(infra(why));
        }
        let zygote = Zygote::new(&options.exe);
        let mut agent = Self { options, version: Version::default(), zygote };
        let probe = agent.options.driver.probe(&agent.options.program);
        let ran = agent.place("probe").and_then(|place| {
            let mut unit = agent.unit(&place, probe, BTreeMap::new())?;
            unit.policy.network = Network::None;
            unit.policy.limits.wall = Duration::from_mins(1);
            agent
                .zygote
                .launch(&unit, None)
                .and_then(empiric_sandbox::Launch::run)
                .map_err(|error| infra(&error))
        })?;
        let said = format!("{}\n{}", ran.stdout.text(), ran.stderr.text());
        let program = agent.options.program.display();
        if ran.ending != Ending::Exit(0) {
            return Err(infra(&format!(
                "ask {program} for its version: {}: {}",
                ran.ending,
                said.trim()
            )));
        }
        agent.version = Version::find(&said).ok_or_else(|| {
            infra(&format!("ask {program} for its version: it says none: {}", said.trim()))
        })?;
        Ok(agent)
    }

    /// The version that the program says it is.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    fn place(&self, what: &str) -> Result<tempfile::TempDir, Failure> {
        let room = &self.options.room;
        let place = fs_err::create_dir_all(room)
            .and_then(|()| tempfile::Builder::new().prefix(&format!("{what}-")).tempdir_in(room))
            .map_err(|error| infra(&error))?;
        for part in ["tree", "home"] {
            fs_err::create_dir(place.path().join(part)).map_err(|error| infra(&error))?;
        }
        Ok(place)
    }

    fn unit(
        &self,
        place: &tempfile::TempDir,
        argv: Vec<String>,
        env: BTreeMap<String, String>,
    ) -> Result<Unit, Failure> {
        let CommandOptions { level, cgroup, limits, see, program, .. } = &self.options;
        let tree =
            View { host: place.path().join("tree"), inside: WORK.into(), access: Access::Write };
        let home =
            View { host: place.path().join("home"), inside: HOME.into(), access: Access::Write };
        let mut policy = Policy::new(argv, level.path(&tree));
        let dir = program.parent().unwrap_or(Path::new("/")).display();
        policy.env.insert("PATH".into(), format!("{dir}:/usr/local/bin:/usr/bin:/bin"));
        policy.env.insert("HOME".into(), level.path(&home).display().to_string());
        policy.env.extend(env);
        let seen = driver::installation(program).map_err(|error| infra(&error))?;
        policy.views = seen
            .into_iter()
            .chain(see.iter().cloned())
            .map(|path| View::same(path, Access::Read))
            .collect();
        policy.views.extend([tree, home]);
        policy.limits = limits.clone();
        Ok(Unit {
            policy,
            level: *level,
            cgroup: cgroup.clone(),
            record: place.path().join("agent.alive"),
        })
    }

    fn run(&self, brief: &Brief, place: &tempfile::TempDir, prompt: &str) -> Result<Ran, Failure> {
        let CommandOptions { driver, program, model, level, proxy, arm, name, seed, .. } =
            &self.options;
        let token = token(*seed, brief.trial);
        let secret = Secret::new(&token).ok_or_else(|| infra("make a token"))?;
        let own = match level {
            Level::Bwrap => None,
            Level::Landlock | Level::None => {
                Some(TcpListener::bind("127.0.0.1:0").map_err(|error| infra(&error))?)
            }
        };
        let port = match &own {
            Some(listener) => listener.local_addr().map_err(|error| infra(&error))?.port(),
            None => DOOR,
        };
        let command = driver.command(
            program,
            model.as_deref(),
            prompt,
            &format!("http://127.0.0.1:{port}"),
            &token,
        );
        let mut unit = self.unit(place, command.argv, command.env)?;
        unit.policy.network = if own.is_some() { Network::Full } else { Network::Door };
        let mut launch = self.zygote.launch(&unit, None).map_err(|error| infra(&error))?;
        let listener = match own {
            Some(listener) => listener,
            None => launch.door().map_err(|error| infra(&error))?,
        };
        let origin = Origin { arm: arm.clone(), role: name.clone(), trial: brief.trial, nth: 0 };
        let visit = proxy.admit(listener, origin, secret).map_err(|error| infra(&error))?;
        let report = launch.run().map_err(|error| infra(&error))?;
        let tally = visit.end();
        let transcript = driver.read(&report.stdout.text(), &report.stderr.text());
        Ok(Ran { transcript, tally, report })
    }
}

impl Proposer for CommandAgent {
    fn name(&self) -> &str {
        &self.options.name
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
        let place = self.place(&brief.trial.to_string())?;
        let root = place.path().join("tree");
        tree::write(&root, &base).map_err(|error| infra(&error))?;
        let prompt = driver::prompt(brief, &base);
        let ran = self.run(brief, &place, &prompt)?;
        let edits = tree::difference(&root, &base).map_err(|error| {
            Failure::new(Phase::Propose, Cause::ProposerFailed)
                .excerpt(format!("read the agent's tree: {error}"))
        })?;
        let Ran { transcript, tally, report } = ran;
        if let Some(refused) = &tally.refused {
            // What an agent leaves behind when its money ends in the midst of work is not its idea.
            return Err(infra(&refused));
        }
        if edits.is_empty() {
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

/// A token that is good for one trial's visit. It guards nothing but the proxy's door.
fn token(seed: u64, trial: TrialNo) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(trial.0.into());
    format!("sk-ant-empiric-{:032x}", rng.random::<u128>())
}
