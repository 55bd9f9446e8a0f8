//! Starts units as helper processes of this machine and waits for their ends.

use std::sync::Arc;

use empiric_core::BlobId;
use empiric_evaluate::{Lost, Runner, UnitSpec};
use empiric_sandbox::{Cgroup, Launch, Level, Pipes, Report, Unit, Zygote, answered, pipe_pair};
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

/// Runs units on this machine.
#[derive(Clone)]
pub struct LocalRunner {
    /// Where the helpers come from.
    pub zygote: Arc<Zygote>,
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
            record: spec.record,
        };
        let Launch { connection, request } = self.zygote.launch(&unit, pipes).map_err(lost)?;
        connection.set_nonblocking(true).map_err(lost)?;
        let mut connection = UnixStream::from_std(connection).map_err(lost)?;
        let (mut helper, mut harness) = connection.split();
        // A helper that is gone already shows in the missing report.
        harness.write_all(&request).await.ok();
        let mut answer = Vec::new();
        let heard = tokio::select! {
            heard = helper.read_to_end(&mut answer) => heard,
            () = cancel.cancelled() => {
                harness.shutdown().await.ok();
                helper.read_to_end(&mut answer).await
            }
        };
        heard.map_err(lost)?;
        answered(&answer).map_err(lost)
    }
}

fn lost(error: impl std::fmt::Display) -> Lost {
    Lost(error.to_string())
}
