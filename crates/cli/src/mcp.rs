//! `empiric mcp`: a study as a server of the Model Context Protocol on standard input and output, and the session that
//! measures what its client hands in when no other process does.

use std::sync::{Arc, Mutex, PoisonError};

use empiric_engine::{Control, Desk, Ended, Engine, Layout, Options};
use empiric_ledger::Inbox;
use empiric_mcp::{Measurer, Service};
use tokio::{
    signal::unix,
    sync::{Notify, mpsc},
};
use tokio_util::sync::CancellationToken;

use crate::{args::Mcp, exit::Failure, look, run, runtime::runtime};

pub(crate) fn mcp(args: &Mcp) -> Result<(), Failure> {
    let desk = look::desk(&args.study)?;
    // What cannot be read is said before a client is answered.
    desk.study()?;
    let runtime = runtime()?;
    let served = runtime.block_on(serve(desk, args.name.clone()));
    // A read of standard input that nothing ends would hold the runtime up.
    runtime.shutdown_background();
    served
}

/// Serves until the client goes away or a signal comes; whatever is measured here then ends, and is measured again by
/// the next session.
async fn serve(desk: Desk, name: Option<String>) -> Result<(), Failure> {
    let cancel = CancellationToken::new();
    let attendant = Arc::new(Attendant::default());
    let mut attending = std::pin::pin!(Arc::clone(&attendant).attend(desk.clone(), cancel.clone()));
    let service = Service::new(desk, Some(attendant), name);
    let mut client = std::pin::pin!(empiric_mcp::stdio(service, cancel.clone()));
    let mut interrupts = unix::signal(unix::SignalKind::interrupt())?;
    let mut terminations = unix::signal(unix::SignalKind::terminate())?;
    let ended = tokio::select! {
        ended = &mut client => ended,
        () = &mut attending => Ok(()),
        _ = interrupts.recv() => Ok(()),
        _ = terminations.recv() => Ok(()),
    };
    cancel.cancel();
    attending.await;
    Ok(ended?)
}

/// Measures what is handed in while nobody else is at work on the study.
#[derive(Default)]
struct Attendant {
    woken: Notify,
    trouble: Mutex<Option<String>>,
}

impl Measurer for Attendant {
    fn wake(&self) {
        self.woken.notify_one();
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Attendant {
    /// Runs a session whenever something waits, one at a time, until `cancel`. Each ends when nothing does, so that the
    /// study is free for others meanwhile.
    async fn attend(self: Arc<Self>, desk: Desk, cancel: CancellationToken) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.woken.notified() => {}
            }
            let trouble = match session(desk.clone(), &cancel).await {
                Ok(()) => None,
                // Another process took the study up: it measures.
                Err(_) if desk.at_work() => None,
                Err(failure) => {
                    let hints = failure.hints.iter().map(|hint| format!("; {hint}"));
                    Some(format!("{}{}", failure.message(), hints.collect::<String>()))
                }
            };
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        }
    }
}

/// A session that answers what waits and asks for no trials of its own.
async fn session(desk: Desk, cancel: &CancellationToken) -> Result<(), Failure> {
    let made = tokio::task::spawn_blocking(move || options(desk.layout()));
    let Some(options) = made.await.map_err(anyhow::Error::from).map_err(internal)?? else {
        return Ok(());
    };
    let (observer, notices) = mpsc::unbounded_channel();
    // Nobody watches it here.
    drop(notices);
    let (control, controls) = mpsc::unbounded_channel();
    let engine = Engine::open(options, observer).await?;
    let mut running = std::pin::pin!(engine.run(controls));
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = cancel.cancelled() => {
            control.send(Control::Kill).ok();
            running.await
        }
    };
    match ended? {
        Ended::Finished(_) | Ended::Stopped(_) | Ended::Paused(_) => Ok(()),
        Ended::Broken(why) | Ended::Unasked(why) => Err(internal(anyhow::Error::msg(why))),
    }
}

fn internal(error: anyhow::Error) -> Failure {
    Failure::new(crate::exit::Kind::Internal, error)
}

/// Everything a session needs, if there is anything to measure or to answer.
fn options(layout: &Layout) -> Result<Option<Options>, Failure> {
    let study = empiric_ledger::Reader::open(layout.root())?.study()?;
    if study.open_trials().is_empty() && !Inbox::of(layout.root()).has_requests()? {
        return Ok(None);
    }
    run::answering(layout, &study).map(Some)
}
