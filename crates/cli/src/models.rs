//! Models on the command line: which, where they are, what they are told, and who pays.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use empiric_agents::{Kit, prompts::Prompts, roster};
use empiric_core::{Role, Study, Task};
use empiric_engine::{Layout, Recorder};
use empiric_llm::{
    Catalogue, Client, Limits, ModelId, Options, Patience, Purse, SystemClock, Timeouts,
};

use crate::{
    ambient,
    exit::{Failure, Kind},
};

/// The words that name models.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ModelArgs {
    /// A model that proposes, as provider/model; more than one are chosen among by what they gain for what they cost
    #[arg(long = "model", value_name = "PROVIDER/MODEL")]
    pub(crate) models: Vec<ModelId>,
    /// Where the providers of --model are, instead of where they usually are; a provider that is not known is taken to
    /// speak OpenAI's Chat Completions
    #[arg(long, value_name = "URL", requires = "models")]
    pub(crate) base_url: Option<String>,
    /// The environment variable that holds the key for --model, instead of the usual one
    #[arg(long, value_name = "VARIABLE", requires = "models")]
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
}

/// Models that are ready to be asked, and where their calls are kept.
pub(crate) struct Staffing {
    pub(crate) kit: Kit,
    pub(crate) recorder: Arc<Recorder>,
}

/// What the words ask for; nothing where no model is named, by them or by the study.
pub(crate) fn staffing(
    args: &ModelArgs,
    layout: &Layout,
    study: Option<&Study>,
    task: &Task,
    root: &Path,
    seed: u64,
) -> Result<Option<Staffing>, Failure> {
    let ids = match (args.models.is_empty(), study) {
        (false, _) => args.models.clone(),
        (true, Some(study)) => recorded(study)?,
        (true, None) => Vec::new(),
    };
    if ids.is_empty() {
        return Ok(None);
    }
    let catalogue = catalogue(args, &ids)?;
    let keys = catalogue.keys(ambient::secret)?;
    let recorder = Recorder::new(layout.root(), Purse::new(Limits::default()));
    let client = Client::new(Options {
        catalogue,
        keys,
        purse: recorder.purse().clone(),
        tape: Some(Arc::clone(&recorder) as _),
        patience: Patience::default(),
        timeouts: Timeouts::default(),
        clock: Arc::new(SystemClock::default()),
        seed,
    })?;
    let client = Arc::new(client);
    let off = Arc::clone(&client);
    recorder.calls_off(Arc::new(move || off.cancel()));
    let kit = Kit { ids, models: client, prompts: prompts(args)?, roles: roles(args, task, root)? };
    Ok(Some(Staffing { kit, recorder }))
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

fn catalogue(args: &ModelArgs, ids: &[ModelId]) -> Result<Catalogue, Failure> {
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
