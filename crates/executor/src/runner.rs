//! Starts units as helper processes of this machine and waits for their ends.

use std::{path::PathBuf, sync::Arc};

use empiric_core::BlobId;
use empiric_evaluate::{Lost, Runner, UnitSpec};
use empiric_sandbox::{Cgroup, Launch, Level, Pipes, Report, Unit, pipe_pair};
use tokio::{io::AsyncWriteExt, process::Command};
use tokio_util::sync::CancellationToken;

/// Keeps bounded logs; content-addressed, so that keeping one twice costs nothing.
pub trait Logs: Send + Sync {
    /// Keeps `text`, and says under which id; none when it could not be kept, which loses a log and no measurement.
    fn keep(&self, text: &str) -> Option<BlobId>;
}

/// Runs units on this machine.
#[derive(Clone)]
pub struct LocalRunner {
    /// The program whose `__unit` verb is the helper.
    pub exe: PathBuf,
    /// The sandbox level.
    pub level: Level,
    /// What accounts for units.
    pub cgroup: Cgroup,
    /// Where logs go.
    pub logs: Arc<dyn Logs>,
    /// Ends every unit at once.
    pub cancel: CancellationToken,
}

impl Runner for LocalRunner {
    fn level(&self) -> Level {
        self.level
    }

    async fn run(&self, unit: UnitSpec) -> Result<Report, Lost> {
        self.unit(unit, None, &self.cancel).await
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
                let report = self.unit(first, Some(left), &self.cancel).await;
                drop(serving);
                report
            },
            self.unit(second, Some(right), &over),
        )
    }

    async fn keep_log(&self, text: String) -> Option<String> {
        self.logs.keep(&text).map(|id| id.to_string())
    }
}

impl LocalRunner {
    async fn unit(
        &self,
        spec: UnitSpec,
        pipes: Option<Pipes>,
        cancel: &CancellationToken,
    ) -> Result<Report, Lost> {
        let unit = Unit {
            policy: spec.policy,
            level: self.level,
            cgroup: self.cgroup.clone(),
            report: spec.report,
        };
        let Launch { command, request, report } = unit.launch(&self.exe, pipes).map_err(lost)?;
        let mut child = Command::from(command).spawn().map_err(lost)?;
        let mut input = child
            .stdin
            .take()
            .ok_or_else(|| Lost("the helper has no standard input".to_owned()))?;
        // A helper that is gone already shows in the missing report.
        input.write_all(&request).await.ok();
        let status = tokio::select! {
            status = child.wait() => status,
            () = cancel.cancelled() => {
                drop(input);
                child.wait().await
            }
        };
        let status = status.map_err(lost)?;
        let found = Report::read(&report).map_err(lost)?;
        found.ok_or_else(|| {
            Lost(format!("the unit's helper left no report and ended with {status}"))
        })
    }
}

fn lost(error: impl std::fmt::Display) -> Lost {
    Lost(error.to_string())
}
