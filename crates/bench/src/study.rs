//! One study of the trivial task, from its opening to its end, watched.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use empiric_agents::Proposer;
use empiric_core::{
    Budget,
    study::{Arm, Rules, Settings},
};
use empiric_engine::{Ended, Engine, Layout, Notice, Options, Recorder};
use empiric_tasks::{Loaded, Step};
use tokio::sync::mpsc;

use crate::task;

/// What is run.
pub(crate) struct Bench {
    pub(crate) loaded: Loaded,
    pub(crate) dir: PathBuf,
    pub(crate) exe: PathBuf,
    pub(crate) slots: usize,
    pub(crate) trials: u32,
    pub(crate) proposer: Arc<dyn Proposer>,
    /// Where its calls are kept, where it makes any.
    pub(crate) recorder: Option<Arc<Recorder>>,
}

impl Bench {
    /// Runs the study and hands every notice to `watch` as it comes.
    pub(crate) fn run(self, mut watch: impl FnMut(&Notice)) -> anyhow::Result<Layout> {
        let layout = Layout::new(&self.dir);
        let options = self.options()?;
        // As the command line does it.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let ended = runtime.block_on(async move {
            let (observer, mut notices) = mpsc::unbounded_channel();
            let (_control, controls) = mpsc::unbounded_channel();
            let engine = Engine::open(options, observer).await?;
            let mut engine = std::pin::pin!(engine.run(controls));
            let ended = loop {
                tokio::select! {
                    biased;
                    Some(notice) = notices.recv() => watch(&notice),
                    ended = &mut engine => break ended,
                }
            };
            while let Ok(notice) = notices.try_recv() {
                watch(&notice);
            }
            ended
        })?;
        match ended {
            Ended::Finished(_) => Ok(layout),
            Ended::Stopped(why) | Ended::Paused(why) | Ended::Broken(why) | Ended::Unasked(why) => {
                bail!("the study did not finish: {why}")
            }
        }
    }

    fn options(self) -> anyhow::Result<Options> {
        let found = empiric_sandbox::probe();
        let level = found.best().context("no sandbox to be had: `empiric doctor` says why")?;
        let host = task::host(&self.loaded.root);
        let mut go_on = |_: Step<'_>| ControlFlow::Continue(());
        let installed = empiric_tasks::install(&self.loaded, &host, &mut go_on)?;
        Ok(Options {
            layout: Layout::new(&self.dir),
            recipe: self.loaded.recipe_dir,
            fixed: Arc::new(move || installed.watch.fixed()),
            installation: installed.installation,
            settings: Settings {
                seed: 0,
                budget: Budget { trials: Some(self.trials), ..Budget::default() },
                arms: vec![Arm::of(self.proposer.name(), "greedy")],
                rules: Rules::default(),
            },
            slots: self.slots,
            gpus: Vec::new(),
            exe: self.exe,
            level,
            cgroup: found.cgroup,
            proposers: BTreeMap::from([(self.proposer.name().to_owned(), self.proposer)]),
            recorder: self.recorder,
            clock: Arc::new(jiff::Timestamp::now),
            host: "bench".to_owned(),
            search: true,
            ablate: None,
        })
    }
}

/// Bytes below `path`: as written, and as the file system keeps them.
pub(crate) fn bytes_below(path: &Path) -> anyhow::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = fs_err::symlink_metadata(path)?;
    let mut sum = (if found.is_dir() { 0 } else { found.len() }, found.blocks() * 512);
    if found.is_dir() {
        for entry in fs_err::read_dir(path)? {
            let (apparent, allocated) = bytes_below(&entry?.path())?;
            sum = (sum.0 + apparent, sum.1 + allocated);
        }
    }
    Ok(sum)
}
