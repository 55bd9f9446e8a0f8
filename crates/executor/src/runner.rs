//! Starts units as helper processes of this machine and waits for their ends.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use empiric_core::BlobId;
use empiric_doors::{self as doors, Door};
use empiric_evaluate::{Lost, Runner, UnitSpec};
use empiric_sandbox::{
    Cgroup, Ending, Launch, Level, Network, Pipes, Report, Unit, Zygote, answered, pipe_pair,
    reap_orphans,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use tokio_util::sync::CancellationToken;

/// Keeps bounded logs; content-addressed, so that keeping one twice costs nothing.
pub trait Logs: Send + Sync {
    /// Keeps `text`, and says under which id; none when it could not be kept, which loses a log and no measurement.
    fn keep(&self, text: &str) -> Option<BlobId>;
}

/// Nobody reads them.
impl Logs for () {
    fn keep(&self, _: &str) -> Option<BlobId> {
        None
    }
}

/// Runs units on this machine.
#[derive(Clone)]
pub struct LocalRunner {
    exe: PathBuf,
    zygotes: Arc<Mutex<HashMap<Line, Arc<Zygote>>>>,
    level: Level,
    cgroup: Cgroup,
    logs: Arc<dyn Logs>,
    cancel: CancellationToken,
}

/// Units that follow each other, and can have one zygote: those of a slot, or those beside them.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Line {
    /// Where the slot records its units.
    slot: PathBuf,
    beside: bool,
    /// Whether they have the machine's network, and so cannot stand apart from it.
    network: bool,
}

impl Runner for LocalRunner {
    fn level(&self) -> Level {
        self.level
    }

    async fn run(&self, unit: UnitSpec) -> Result<Report, Lost> {
        self.unit(unit, None, false, &self.cancel).await
    }

    async fn run_joined(
        &self,
        first: UnitSpec,
        second: UnitSpec,
    ) -> Result<(Report, Report), Lost> {
        let (left, right) = pipe_pair().map_err(|error| Lost(error.to_string()))?;
        // The second serves the first: once the first has ended, nobody listens any more.
        let over = self.cancel.child_token();
        let serving = over.clone().drop_guard();
        tokio::try_join!(
            async {
                let report = self.unit(first, Some(left), false, &self.cancel).await;
                drop(serving);
                report
            },
            async {
                let mut report = self.unit(second, Some(right), true, &over).await?;
                // Who fails at the end of a pipe that nobody holds any more is not at fault for that.
                let deserted = over.is_cancelled() && !self.cancel.is_cancelled();
                if deserted && matches!(report.ending, Ending::Exit(1..) | Ending::Signal(_)) {
                    report.ending = Ending::Cancelled;
                }
                Ok(report)
            },
        )
    }

    async fn keep_log(&self, text: String) -> Option<String> {
        self.logs.keep(&text).map(|id| id.to_string())
    }
}

impl LocalRunner {
    /// Units run at `level`, accounted for by `cgroup`, with helpers that are forks of `exe`, the program with the verb
    /// `__unit`. `cancel` ends all of them at once.
    pub fn new(
        exe: PathBuf,
        level: Level,
        cgroup: Cgroup,
        logs: Arc<dyn Logs>,
        cancel: CancellationToken,
    ) -> Self {
        Self { exe, zygotes: Arc::default(), level, cgroup, logs, cancel }
    }

    /// Ends every unit, and lets none begin.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    fn zygote(&self, spec: &UnitSpec, beside: bool) -> Arc<Zygote> {
        let network = self.level == Level::None || spec.policy.network == Network::Full;
        let slot = spec.record.parent().unwrap_or(Path::new("/")).to_owned();
        let mut zygotes = self.zygotes.lock().unwrap_or_else(PoisonError::into_inner);
        let zygote = zygotes.entry(Line { slot, beside, network }).or_insert_with(|| {
            let zygote = Zygote::new(&self.exe);
            Arc::new(if network { zygote } else { zygote.apart() })
        });
        Arc::clone(zygote)
    }

    async fn unit(
        &self,
        spec: UnitSpec,
        pipes: Option<Pipes>,
        beside: bool,
        cancel: &CancellationToken,
    ) -> Result<Report, Lost> {
        let zygote = self.zygote(&spec, beside);
        let unit = Unit {
            policy: spec.policy,
            level: self.level,
            cgroup: self.cgroup.clone(),
            record: spec.record,
        };
        doors::before(Door::UnitStart);
        let Launch { connection, request } = zygote.launch(&unit, pipes).map_err(lost)?;
        connection.set_nonblocking(true).map_err(lost)?;
        let mut connection = UnixStream::from_std(connection).map_err(lost)?;
        let (mut helper, mut harness) = connection.split();
        // A helper that is gone already shows in the missing report.
        harness.write_all(&request).await.ok();
        doors::after(Door::UnitStart);
        let mut answer = Vec::new();
        let heard = tokio::select! {
            heard = helper.read_to_end(&mut answer) => heard,
            () = cancel.cancelled() => {
                harness.shutdown().await.ok();
                helper.read_to_end(&mut answer).await
            }
        };
        doors::before(Door::UnitEnd);
        let report = heard.map_err(lost).and_then(|_| answered(&answer).map_err(lost));
        doors::after(Door::UnitEnd);
        match report {
            Ok(report) => Ok(report),
            Err(gone) => Err(abandoned(unit.record, gone).await),
        }
    }
}

/// Ends what a unit has left whose helper died before it could. The slot's next unit would write over its record, and
/// nobody would find it any more.
async fn abandoned(record: PathBuf, gone: Lost) -> Lost {
    match tokio::task::spawn_blocking(move || reap_orphans(&record)).await {
        Ok(Ok(())) => gone,
        Ok(Err(error)) => Lost(format!("{}; then: {error}", gone.0)),
        Err(error) => Lost(format!("{}; then: {error}", gone.0)),
    }
}

fn lost(error: impl std::fmt::Display) -> Lost {
    Lost(error.to_string())
}
