//! Models on the command line: which, where they are, what they are told, and who pays.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{ArgGroup, Args};
use empiric_agents::{Brake, Held, Kit, Outfit, prompts::Prompts, roster};
use empiric_core::{Role, Study, Task, study::Arm};
use empiric_engine::{Layout, Recorder};
use empiric_llm::{Catalogue, Client, Limits, ModelId, Options, Purse, SystemClock};
use empiric_sandbox::{Cgroup, Level};

use crate::{
    ambient,
    exit::{Failure, Kind},
};

/// The words that name models, and agents that bring their own.
#[derive(Debug, Clone, Default, Args)]
#[command(group = ArgGroup::new("named").multiple(true).args(["models", "agent_models"]))]
pub(crate) struct ModelArgs {
    /// A model that proposes, as provider/model; more than one are chosen among by what they gain for what they cost
    #[arg(long = "model", value_name = "PROVIDER/MODEL")]
    pub(crate) models: Vec<ModelId>,
    /// Where the providers of --model and --agent-model are, instead of where they usually are; a provider that is not known
    /// is taken to speak OpenAI's Chat Completions
    #[arg(long, value_name = "URL", requires = "named")]
    pub(crate) base_url: Option<String>,
    /// The environment variable that holds the key for --model and --agent-model, instead of the usual one
    #[arg(long, value_name = "VARIABLE", requires = "named")]
    pub(crate) key_env: Option<String>,
    /// A file of providers and prices, over those that are built in
    #[arg(long, value_name = "FILE")]
    pub(crate) models_file: Option<PathBuf>,
    /// A directory of prompt files (system.md, improve.md, …), each in place of the built-in one
    #[arg(long, value_name = "DIR")]
    pub(crate) prompts: Option<PathBuf>,
    /// A file of roles, in place of those that the task's surfaces give [default: roster.toml beside task.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) roster: Option<PathBuf>,
    /// A host whose pages models may read while they propose, such as arxiv.org; each page is kept in the study
    #[arg(long, value_name = "HOST", value_parser = empiric_llm::web::host, requires = "models")]
    pub(crate) web: Vec<String>,
    /// The agent of `--arm command`: a program and its arguments, with {prompt} and {model} where they go
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    pub(crate) agent_cmd: Option<Words>,
    /// A model for command-line agents; of several, each agent asks the first whose provider speaks its language, and that
    /// provider alone [default: the agent's own choice]
    #[arg(long = "agent-model", value_name = "PROVIDER/MODEL")]
    pub(crate) agent_models: Vec<ModelId>,
    /// A further directory that command-line agents may read, such as one that holds their libraries
    #[arg(long, value_name = "DIR")]
    pub(crate) agent_see: Vec<PathBuf>,
    /// How long a command-line agent may work on one trial, such as 10m [default: 30m]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) agent_wall: Option<Duration>,
}

/// The words of a command.
#[derive(Debug, Clone)]
pub(crate) struct Words(Vec<String>);

fn command(text: &str) -> Result<Words, String> {
    let words = shlex::split(text).filter(|words| !words.is_empty());
    words.map(Words).ok_or_else(|| "it is no command; quotes that are opened must be closed".into())
}

fn time(text: &str) -> Result<Duration, String> {
    let seconds = empiric_tasks::units::duration(text).ok().filter(|seconds| *seconds > 0.0);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "it is no time, such as 90s, 10m or 1h".to_owned())
}

/// Models and agents that are ready to be asked, and where their calls are kept.
pub(crate) struct Staffing {
    pub(crate) kit: Option<Kit>,
    pub(crate) outfit: Option<Outfit>,
    pub(crate) recorder: Arc<Recorder>,
}

/// What the words are about.
pub(crate) struct For<'a> {
    pub(crate) layout: &'a Layout,
    /// The study as it is, if it is there.
    pub(crate) study: Option<&'a Study>,
    pub(crate) arms: &'a [Arm],
    pub(crate) task: &'a Task,
    /// The task's directory.
    pub(crate) root: &'a Path,
    pub(crate) seed: u64,
    pub(crate) level: Level,
    pub(crate) cgroup: &'a Cgroup,
}

/// What the words ask for; nothing where no model and no agent is named, by them or by the study.
pub(crate) fn staffing(args: &ModelArgs, about: &For<'_>) -> Result<Option<Staffing>, Failure> {
    let ids = match (args.models.is_empty(), about.study) {
        (false, _) => args.models.clone(),
        (true, Some(study)) => recorded(study)?,
        (true, None) => Vec::new(),
    };
    let entries = about.arms.iter().filter_map(|arm| empiric_agents::entry(&arm.proposer));
    let agents = entries.into_iter().any(|entry| entry.command);
    if ids.is_empty() && !agents {
        return Ok(None);
    }
    let catalogue = catalogue(args, ids.iter().chain(&args.agent_models))?;
    let keys = catalogue.keys(ambient::secret).map_err(|error| Failure::new(Kind::Input, error))?;
    let recorder = Recorder::new(about.layout.root(), Purse::new(Limits::default()));
    let kit = if ids.is_empty() {
        None
    } else {
        let client = Arc::new(Client::new(Options {
            patience: catalogue.patience(),
            timeouts: catalogue.timeouts(),
            catalogue: catalogue.clone(),
            keys: keys.clone(),
            purse: recorder.purse().clone(),
            tape: Some(Arc::clone(&recorder) as _),
            clock: Arc::new(SystemClock::default()),
            seed: about.seed,
        })?);
        let off = Arc::clone(&client);
        recorder.calls_off(Arc::new(move || off.cancel()));
        let roles = roles(args, about.task, about.root)?;
        let web = args.web.clone();
        Some(Kit { ids, models: client, prompts: prompts(args)?, roles, web })
    };
    let outfit = if agents {
        let brake = Brake::default();
        let off = brake.clone();
        recorder.calls_off(Arc::new(move || off.pull()));
        let limits = Held::limits();
        let see = args
            .agent_see
            .iter()
            .map(|dir| fs_err::canonicalize(dir).map_err(|error| Failure::new(Kind::Input, error)));
        Some(Outfit {
            path: ambient::host().path,
            command: args.agent_cmd.clone().map(|Words(words)| words).unwrap_or_default(),
            models: args.agent_models.clone(),
            see: see.collect::<Result<_, _>>()?,
            room: about.layout.agents(),
            exe: std::env::current_exe()?,
            level: about.level,
            cgroup: about.cgroup.clone(),
            limits: empiric_sandbox::Limits {
                wall: args.agent_wall.unwrap_or(limits.wall),
                ..limits
            },
            catalogue,
            keys,
            purse: recorder.purse().clone(),
            tape: Arc::clone(&recorder) as _,
            seed: about.seed,
            brake,
        })
    } else {
        None
    };
    Ok(Some(Staffing { kit, outfit, recorder }))
}

/// The models that the study was begun with.
fn recorded(study: &Study) -> Result<Vec<ModelId>, Failure> {
    let arms = study.settings().arms.iter();
    let team = arms.filter_map(|arm| study.library().team(&arm.name)).next();
    let models = team.iter().flat_map(|team| &team.models);
    models
        .map(|model| {
            model.parse().map_err(|error| Failure::new(Kind::Study, anyhow::Error::new(error)))
        })
        .collect()
}

fn catalogue<'a>(
    args: &ModelArgs,
    ids: impl Iterator<Item = &'a ModelId>,
) -> Result<Catalogue, Failure> {
    let input = |error: empiric_llm::CatalogueError| Failure::new(Kind::Input, error);
    let mut catalogue = Catalogue::built_in().map_err(input)?;
    if let Some(path) = &args.models_file {
        catalogue = catalogue.with_file(path).map_err(input)?;
    }
    if args.base_url.is_none() && args.key_env.is_none() {
        return Ok(catalogue);
    }
    let mut tables = BTreeMap::new();
    for id in ids {
        let mut table = toml::Table::new();
        if catalogue.provider(id.provider()).is_none() {
            table.insert("wire".to_owned(), "chat".into());
        }
        table.extend(args.base_url.iter().map(|url| ("url".to_owned(), url.as_str().into())));
        table.extend(args.key_env.iter().map(|name| ("key_env".to_owned(), name.as_str().into())));
        tables.insert(id.provider().to_owned(), table);
    }
    let text = toml::to_string(&BTreeMap::from([("provider", tables)]))
        .map_err(|error| Failure::new(Kind::Internal, error))?;
    catalogue.with(&text, "--base-url").map_err(|error| Failure::new(Kind::Usage, error))
}

fn prompts(args: &ModelArgs) -> Result<Prompts, Failure> {
    let Some(dir) = &args.prompts else { return Ok(Prompts::default()) };
    let mut texts = BTreeMap::new();
    for entry in fs_err::read_dir(dir).map_err(|error| Failure::new(Kind::Input, error))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        if let Some(name) =
            name.filter(|_| path.extension().is_some_and(|extension| extension == "md"))
        {
            let text =
                fs_err::read_to_string(&path).map_err(|error| Failure::new(Kind::Input, error))?;
            texts.insert(name.to_owned(), text);
        }
    }
    Prompts::default().with(texts).map_err(|error| Failure::new(Kind::Input, error))
}

fn roles(args: &ModelArgs, task: &Task, root: &Path) -> Result<Option<Vec<Role>>, Failure> {
    let beside = root.join("roster.toml");
    let path = match &args.roster {
        Some(path) => path.clone(),
        None if beside.is_file() => beside,
        None => return Ok(None),
    };
    let text = fs_err::read_to_string(&path).map_err(|error| Failure::new(Kind::Input, error))?;
    let written = roster::written(&text, task);
    written.map(Some).map_err(|why| Failure::say(Kind::Input, format!("{}: {why}", path.display())))
}
