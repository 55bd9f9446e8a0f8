//! The bundled tasks, really run: whole studies of the tuner beside Optuna's samplers.
//!
//! A rival's trial is one replicate, as such searches are used: all its trials share the study's first search seed, what
//! fails or misses a gate is told to it as the worst value seen, and its choice is the best single value. What each
//! search chose is then measured on report seeds that none of them has seen, the same for all; what fails there, or
//! misses a gate in the mean, has gained nothing.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, bail};
use empiric_core::{Blame, Goal, Purpose, Seed, Split, TrialNo, trial::Measured};
use empiric_engine::{Edited, Layout, LocalRunner, Rehearsal};
use empiric_evaluate::Installation;
use empiric_ledger::Reader;
use empiric_lineage::Store;
use empiric_tasks::Host;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    each::each_seed,
    journal::{Journal, Key, programs},
    literal::{Literal, Settings},
    optuna::{METHODS, Optuna},
    spaces::Space,
    table::Column,
    talk,
};

/// Replicates on report seeds of each choice.
const REPLICATES: u32 = 3;
/// Tries of a replicate that the machine spoils.
const TRIES: u32 = 3;
/// The name of ours among the columns.
const OURS: &str = "tuner";

/// What is needed to run them.
pub(crate) struct Ground<'a> {
    /// The program that people run.
    pub(crate) exe: &'a Path,
    /// The directory of the tasks.
    pub(crate) tasks: &'a Path,
    /// An interpreter that has Optuna.
    pub(crate) python: &'a Path,
    /// Trials of each search.
    pub(crate) trials: u32,
    /// Searches by each method.
    pub(crate) seeds: u64,
    /// What was measured before, and is not again.
    pub(crate) journal: &'a Journal,
}

/// What one method came to with one seed: the gain of its choice in the metric's unit, and the replicates it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Won {
    pub(crate) gain: f64,
    pub(crate) replicates: u32,
}

/// Columns of all methods, a row for each of `spaces`: share of the largest gain that any search had in it; and what that
/// gain was, a line each.
pub(crate) fn tasks(
    ground: &Ground<'_>,
    spaces: &[Space],
) -> anyhow::Result<(Vec<Column>, Vec<String>)> {
    let names = [OURS].into_iter().chain(METHODS);
    let mut columns: Vec<Column> = names.map(Column::new).collect();
    let mut lines = Vec::new();
    let programs = programs(ground.exe)?;
    for space in spaces {
        let key = |seed| {
            let (programs, task) = (programs.clone(), space.task.to_owned());
            Key { programs, task, trials: ground.trials, seed }
        };
        let unmeasured = (0..ground.seeds).filter(|seed| ground.journal.get(&key(*seed)).is_none());
        let measure = |bench: &mut Bench<'_>, seed| {
            let began = Instant::now();
            let won = bench.all(seed)?;
            let gains: Vec<String> = columns
                .iter()
                .zip(&won)
                .map(|(column, won)| format!("{} {:+.4}", column.name, won.gain))
                .collect();
            let (gains, took) = (gains.join(", "), began.elapsed().as_secs_f64());
            talk(format!("{} seed {seed}: {gains} ({took:.0} s)", space.task));
            ground.journal.add(key(seed), won)
        };
        each_seed(unmeasured, || Bench::new(ground, space), measure)?;
        let runs = (0..ground.seeds).filter_map(|seed| ground.journal.get(&key(seed)));
        let runs: Vec<Vec<Won>> = runs.collect();
        let largest = runs.iter().flatten().map(|won| won.gain).fold(0.0, f64::max);
        let means: Vec<String> = (0..columns.len())
            .map(|at| {
                let gains = runs.iter().map(|won| won[at].gain);
                let mean = gains.sum::<f64>() / runs.len() as f64;
                format!("{} {mean:+.4}", columns[at].name)
            })
            .collect();
        lines.push(format!(
            "  {}: largest gain {largest:.4}; mean gains {}",
            space.task,
            means.join(", ")
        ));
        for (at, column) in columns.iter_mut().enumerate() {
            let share = |won: &Vec<Won>| won[at].gain / largest.max(f64::MIN_POSITIVE);
            column.scores.push(runs.iter().map(share).collect());
            let replicates: u32 = runs.iter().map(|won| won[at].replicates).sum();
            column.evaluations.push(replicates / u32::try_from(runs.len().max(1))?);
        }
    }
    Ok((columns, lines))
}

/// One task, ready to be measured in a slot of its own.
struct Bench<'a> {
    ground: &'a Ground<'a>,
    space: &'a Space,
    installation: Installation,
    recipe: PathBuf,
    runtime: tokio::runtime::Runtime,
    rehearsal: Rehearsal,
    optuna: Optuna,
    dir: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    fn new(ground: &'a Ground<'a>, space: &'a Space) -> anyhow::Result<Self> {
        let found = empiric_sandbox::probe();
        let level = found.best().context("no sandbox to be had: `empiric doctor` says why")?;
        let root = ground.tasks.join(space.task);
        let dir = tempfile::Builder::new().prefix("empiric-arena-").tempdir()?;
        let host = Host::of(|name| std::env::var_os(name));
        let loaded = empiric_tasks::load(&root, &host)
            .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let mut go_on = |_: empiric_tasks::Step<'_>| ControlFlow::Continue(());
        let installation = empiric_tasks::install(&loaded, &host, &mut go_on)?.installation;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (exe, nobody) = (ground.exe.to_owned(), CancellationToken::new());
        let runner = LocalRunner::new(exe, level, found.cgroup, Arc::new(()), nobody);
        let opening =
            Rehearsal::open(dir.path(), installation.clone(), &loaded.recipe_dir, &[], runner);
        let rehearsal = runtime.block_on(opening)?;
        Ok(Self {
            ground,
            space,
            installation,
            recipe: loaded.recipe_dir,
            runtime,
            rehearsal,
            optuna: Optuna::start(ground.python)?,
            dir,
        })
    }

    /// What every method came to with `seed`, ours first.
    fn all(&mut self, seed: u64) -> anyhow::Result<Vec<Won>> {
        let (ours, replicates) = self.ours(seed)?;
        let mut choices = vec![Edited::new(), ours];
        for method in METHODS {
            choices.push(self.rival(method, seed)?);
        }
        let values = self.true_values(&choices, seed)?;
        let base = values[0].with_context(|| format!("{}: the baseline fails", self.space.task))?;
        let spent = |at: usize| if at == 0 { replicates } else { self.ground.trials + 1 };
        let won = values[1..].iter().enumerate().map(|(at, value)| Won {
            gain: value.map_or(0.0, |value| base - value),
            replicates: spent(at),
        });
        Ok(won.collect())
    }

    /// A whole study by the program that people run: its champion's files, and the replicates it took.
    fn ours(&self, seed: u64) -> anyhow::Result<(Edited, u32)> {
        let study = self.dir.path().join(format!("study-{seed}"));
        let ran = Command::new(self.ground.exe)
            .arg("run")
            .arg(self.ground.tasks.join(self.space.task))
            .args(["--trials", &self.ground.trials.to_string(), "--seed", &seed.to_string()])
            .args(["--slots", "1", "--no-check", "--json", "--study"])
            .arg(&study)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()?;
        if !ran.status.success() {
            bail!(
                "{} ended with {}: {}",
                study.display(),
                ran.status,
                String::from_utf8_lossy(&ran.stderr)
            );
        }
        let layout = Layout::new(&study);
        let found = Reader::open(layout.root())?.study()?;
        let mut replicates = 0;
        for trial in (0..found.next_trial().0).filter_map(|no| found.trial(TrialNo(no))) {
            replicates += u32::try_from(trial.replicates.len())?;
        }
        let tree = found.trial(found.champion()).and_then(|trial| Some(trial.edit.as_ref()?.tree));
        let files =
            Store::open(&layout.store())?.files(tree.context("the champion has no tree")?)?;
        let files = files
            .into_iter()
            .map(|(path, file)| Ok((path, std::str::from_utf8(&file)?.to_owned())))
            .collect::<anyhow::Result<BTreeMap<String, String>>>()?;
        fs::remove_dir_all(&study)?;
        Ok((changes(&self.recipe, files), replicates))
    }

    /// A search by one of Optuna's samplers: the edit that it chose.
    fn rival(&mut self, method: &str, seed: u64) -> anyhow::Result<Edited> {
        let Self { space, installation, recipe, runtime, rehearsal, optuna, ground, .. } = self;
        let first = Purpose::Search.seed(seed, 0);
        let mut worst: Option<f64> = None;
        let value = |_, settings: &Settings| {
            let edit = edited(recipe, &space.literals, settings)?;
            let measured = replicate(runtime, rehearsal, &edit, first)?;
            let value = loss(installation, &[measured], Split::Search);
            // The first is the recipe as it is.
            worst = value.into_iter().chain(worst).reduce(f64::max);
            value.or(worst).with_context(|| format!("{}: the baseline fails", space.task))
        };
        let best = optuna.search(&space.literals, method, seed, ground.trials, value)?;
        edited(&self.recipe, &self.space.literals, &best)
    }

    /// The mean of each choice on report seeds, less being better; none where it fails. They take turns, so that whatever
    /// changes with time meets all alike.
    fn true_values(&mut self, choices: &[Edited], seed: u64) -> anyhow::Result<Vec<Option<f64>>> {
        let mut all = vec![Vec::new(); choices.len()];
        for index in 0..REPLICATES {
            let seed = Purpose::Report.seed(seed, index);
            for (choice, all) in choices.iter().zip(&mut all) {
                all.push(replicate(&self.runtime, &mut self.rehearsal, choice, seed)?);
            }
        }
        Ok(all.iter().map(|all| loss(&self.installation, all, Split::Report)).collect())
    }
}

/// A replicate that says something of the recipe: what the machine spoils is run again.
///
/// # Errors
/// Where the machine fails every time: that is nobody's bad choice.
fn replicate(
    runtime: &tokio::runtime::Runtime,
    rehearsal: &mut Rehearsal,
    edit: &Edited,
    seed: Seed,
) -> anyhow::Result<Measured> {
    let mut tries = 0;
    loop {
        let measured = runtime.block_on(rehearsal.measure(some(edit.clone()), seed))?;
        tries += 1;
        match &measured.failure {
            Some(failure) if failure.blame == Blame::Infra && tries < TRIES => {}
            Some(failure) if failure.blame == Blame::Infra => {
                bail!("the machine spoilt {TRIES} tries of a replicate, the last by {failure}")
            }
            _ => return Ok(measured),
        }
    }
}

/// The mean of the task's metric over replicates, less being better; none where one failed or a gate is missed.
fn loss(installation: &Installation, replicates: &[Measured], split: Split) -> Option<f64> {
    let task = &installation.task;
    let mean = |metric: &str| {
        let values = replicates.iter().map(|replicate| replicate.value(metric, split));
        let sum: Option<f64> = values.sum();
        Some(sum? / replicates.len() as f64)
    };
    if task.gates.iter().any(|gate| mean(&gate.metric).is_none_or(|mean| gate.margin(mean) < 0.0)) {
        return None;
    }
    let value = mean(&task.metric.name)?;
    Some(if task.metric.goal == Goal::Minimize { value } else { -value })
}

/// What `settings` in place of the values of the literals of `recipe` change in it.
fn edited(recipe: &Path, literals: &[Literal], settings: &Settings) -> anyhow::Result<Edited> {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for literal in literals {
        let (file, name) = literal.name.split_once(':').context("a literal without its file")?;
        let setting = settings.get(literal.name).context("a literal without a value")?;
        let text = match files.remove(file) {
            Some(text) => text,
            None => fs::read_to_string(recipe.join(file))?,
        };
        let start = format!("{name} = ");
        let mut found = false;
        let mut edited = String::new();
        for line in text.split_inclusive('\n') {
            match line.strip_prefix(&start) {
                Some(rest) => {
                    found = true;
                    let comment = rest.find("  #").map_or("\n", |at| &rest[at..]);
                    edited.push_str(&format!("{start}{}{comment}", literal.start.written(setting)));
                }
                None => edited.push_str(line),
            }
        }
        anyhow::ensure!(found, "there is no {name} in {file}");
        files.insert(file, edited);
    }
    Ok(changes(recipe, files.into_iter().map(|(file, text)| (file.to_owned(), text))))
}

/// Those of `files` that are not as in `recipe`.
fn changes(recipe: &Path, files: impl IntoIterator<Item = (String, String)>) -> Edited {
    let mut changes = Edited::new();
    for (path, text) in files {
        if fs::read_to_string(recipe.join(&path)).ok().as_ref() != Some(&text) {
            changes.insert(path, Some(text));
        }
    }
    changes
}

/// What is measured of it: without any change, the recipe as it is.
fn some(edit: Edited) -> Option<Edited> {
    Some(edit).filter(|edit| !edit.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spaces::spaces;

    #[test]
    fn the_unedited_settings_give_the_unedited_recipe() {
        let tasks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tasks");
        for Space { task, literals } in spaces() {
            let start: Settings = literals
                .iter()
                .map(|literal| (literal.name.to_owned(), literal.start.setting()))
                .collect();
            let recipe = tasks.join(task).join("recipe");
            let edit = edited(&recipe, &literals, &start).unwrap();
            // Its numbers are written as Rust writes them: searches begin with the recipe itself.
            assert!(task != "golf" || edit.is_empty(), "{edit:?}");
            for (file, text) in edit {
                let before = fs::read_to_string(recipe.join(&file)).unwrap();
                let differ = |(a, b): &(&str, &str)| {
                    let value = |line: &str| {
                        let value = line.split_once(" = ")?.1.split("  #").next()?.to_owned();
                        value.parse::<f64>().ok()
                    };
                    a != b && value(a) != value(b)
                };
                let text = text.unwrap();
                assert_eq!(before.lines().zip(text.lines()).find(differ), None, "{task} {file}");
                assert_eq!(before.lines().count(), text.lines().count(), "{task} {file}");
            }
        }
    }
}
