//! Which command runs in which view of the machine: the policies of stages, predictor and evaluator.
//!
//! | unit | recipe | data | output | artefacts | task directory | result |
//! |---|---|---|---|---|---|---|
//! | stage | read | visible ones | write | | | |
//! | predictor | read | | | read | | |
//! | evaluator | read | all | | read | read | write |

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use empiric_core::{
    Seed, Task,
    task::{Command, Network, Visible},
};
use empiric_sandbox::{Access, Level, Limits, PIPE_READ, PIPE_WRITE, Policy, System, View};

use crate::{contract, items::Dealt};

/// A task made ready on this machine: where its files, its data and its programs are. The same for every replicate.
#[derive(Debug, Clone)]
pub struct Installation {
    /// What is asked.
    pub task: Arc<Task>,
    /// The task's directory.
    pub root: PathBuf,
    /// Directories put before the system's on `PATH`.
    pub path: Vec<PathBuf>,
    /// Directories outside the system's that programs need to run, such as a virtual environment.
    pub read: Vec<PathBuf>,
    /// Variables that the environment needs.
    pub vars: BTreeMap<String, String>,
    /// What stages and predictor run in instead, where they must not read what is installed.
    pub bare: Option<Bare>,
    /// Data, by the name it is seen under.
    pub data: Vec<DataEntry>,
    /// The directory that holds the data; what `EMPIRIC_DATA` is where files cannot be moved.
    pub data_dir: PathBuf,
    /// The splits that Empiric made, where the task asks for them.
    pub splits: Option<Arc<Dealt>>,
}

/// An environment for recipe code that shows nothing of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bare {
    /// Directories on `PATH`; there are no others.
    pub path: Vec<PathBuf>,
    /// Files and directories that programs need to run.
    pub read: Vec<PathBuf>,
    /// Variables besides the installation's.
    pub vars: BTreeMap<String, String>,
}

/// One piece of data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataEntry {
    /// Its name below `$EMPIRIC_DATA`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Who may read it.
    pub visible: Visible,
}

/// The directories of one slot, all absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotDirs {
    /// The slot's name.
    pub name: String,
    /// The trial's tree.
    pub recipe: PathBuf,
    /// What stages write.
    pub out: PathBuf,
    /// Where the evaluator writes; no recipe code ever sees it.
    pub result: PathBuf,
    /// Where live units are recorded.
    pub units: PathBuf,
    /// GPUs of the slot.
    pub gpus: Vec<u32>,
}

impl SlotDirs {
    /// The directories below `root`.
    #[must_use]
    pub fn new(name: &str, root: &Path, gpus: Vec<u32>) -> Self {
        Self {
            name: name.to_owned(),
            recipe: root.join("recipe"),
            out: root.join("out"),
            result: root.join("result"),
            units: root.join("units"),
            gpus,
        }
    }
}

/// File name of the result within its directory.
pub(crate) const RESULT_FILE: &str = "result.json";

/// Builds the policies of one replicate.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) dirs: &'a SlotDirs,
    pub(crate) level: Level,
    pub(crate) seed: Seed,
}

impl Plan<'_> {
    /// The policy of a stage: recipe code.
    pub(crate) fn stage(&self, command: &Command) -> Policy {
        let access = if self.task().recipe.writable { Access::Write } else { Access::Read };
        let recipe = view(&self.dirs.recipe, "/empiric/recipe", access);
        let out = view(&self.dirs.out, "/empiric/out", Access::Write);
        let mut policy = self.recipe(command, &recipe);
        self.grant(&mut policy, contract::OUT, out);
        self.grant_data(&mut policy, Visible::All);
        policy.network = network(self.task().network);
        policy
    }

    /// The policy of the predictor: recipe code that sees no data.
    pub(crate) fn predictor(&self, command: &Command) -> Policy {
        let recipe = view(&self.dirs.recipe, "/empiric/recipe", Access::Read);
        let mut policy = self.recipe(command, &recipe);
        self.grant(
            &mut policy,
            contract::ARTIFACTS,
            view(&self.dirs.out, "/empiric/artifacts", Access::Read),
        );
        self.join_pipe(&mut policy);
        policy
    }

    /// The policy of the evaluator: the task author's code.
    pub(crate) fn evaluator(&self, command: &Command) -> Policy {
        let task = view(&self.installation.root, "/empiric/task", Access::Read);
        let result = view(&self.dirs.result, "/empiric/result", Access::Write);
        let mut policy = self.policy(command, &task);
        self.grant(
            &mut policy,
            contract::RECIPE,
            view(&self.dirs.recipe, "/empiric/recipe", Access::Read),
        );
        self.grant(
            &mut policy,
            contract::ARTIFACTS,
            view(&self.dirs.out, "/empiric/artifacts", Access::Read),
        );
        self.grant_data(&mut policy, Visible::Evaluator);
        if let Some(dealt) = &self.installation.splits {
            let splits = view(&dealt.path, "/empiric/splits.json", Access::Read);
            self.grant(&mut policy, contract::SPLITS, splits);
        }
        let file = self.level.path(&result).join(RESULT_FILE);
        policy.env.insert(contract::RESULT.to_owned(), text(&file));
        policy.views.push(result);
        if self.task().predictor.is_some() {
            self.join_pipe(&mut policy);
        }
        policy
    }

    fn task(&self) -> &Task {
        &self.installation.task
    }

    /// What recipe code has: what every unit has, or a bare environment instead.
    fn recipe(&self, command: &Command, home: &View) -> Policy {
        let mut policy = self.policy(command, home);
        if let Some(bare) = &self.installation.bare {
            let path: Vec<String> = bare.path.iter().map(|dir| text(dir)).collect();
            policy.env.insert("PATH".to_owned(), path.join(":"));
            policy.env.extend(bare.vars.clone());
            policy.views = bare.read.iter().map(|path| View::same(path, Access::Read)).collect();
            policy.views.push(home.clone());
            policy.system = System::Nothing;
        }
        policy
    }

    /// What every unit has: its command in the directory `home`, the environment's programs, the seed.
    fn policy(&self, command: &Command, home: &View) -> Policy {
        let mut policy = Policy::new(command.run.iter().cloned(), self.level.path(home));
        let system = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
        let path: Vec<String> =
            self.installation.path.iter().chain(&system).map(|dir| text(dir)).collect();
        let fixed = [
            ("PATH", path.join(":")),
            ("HOME", "/tmp".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            (contract::SEED, self.seed.0.to_string()),
            (contract::SLOT, self.dirs.name.clone()),
        ];
        policy.env = self.installation.vars.clone();
        policy.env.extend(self.task().environment.vars.clone());
        policy.env.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
        policy.views.extend(self.installation.read.iter().map(|dir| View::same(dir, Access::Read)));
        policy.views.push(home.clone());
        let limits = &command.limits;
        policy.limits = Limits {
            wall: Duration::from_secs_f64(limits.wall_s),
            cpu: limits.cpu_s.map(Duration::from_secs_f64),
            memory: limits.memory,
            processes: limits.processes,
            disk: limits.disk,
            output: limits.output,
            ..Limits::default()
        };
        policy.gpus = self.dirs.gpus.iter().copied().take(limits.gpus as usize).collect();
        policy
    }

    fn grant(&self, policy: &mut Policy, variable: &str, view: View) {
        policy.env.insert(variable.to_owned(), text(self.level.path(&view)));
        policy.views.push(view);
    }

    fn grant_data(&self, policy: &mut Policy, reader: Visible) {
        let inside = Path::new("/empiric/data");
        let root = View {
            host: self.installation.data_dir.clone(),
            inside: inside.to_owned(),
            access: Access::Read,
        };
        policy.env.insert(contract::DATA.to_owned(), text(self.level.path(&root)));
        let readable =
            |entry: &&DataEntry| entry.visible == Visible::All || reader == Visible::Evaluator;
        policy.views.extend(self.installation.data.iter().filter(readable).map(|entry| View {
            host: entry.path.clone(),
            inside: inside.join(&entry.name),
            access: Access::Read,
        }));
    }

    #[expect(clippy::unused_self, reason = "reads as a step of the plan")]
    fn join_pipe(&self, policy: &mut Policy) {
        policy.env.insert(contract::PIPE_IN.to_owned(), PIPE_READ.to_string());
        policy.env.insert(contract::PIPE_OUT.to_owned(), PIPE_WRITE.to_string());
    }
}

fn view(host: &Path, inside: &str, access: Access) -> View {
    View { host: host.to_owned(), inside: PathBuf::from(inside), access }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn network(network: Network) -> empiric_sandbox::Network {
    match network {
        Network::None => empiric_sandbox::Network::None,
        Network::Loopback => empiric_sandbox::Network::Loopback,
        Network::Full => empiric_sandbox::Network::Full,
    }
}
