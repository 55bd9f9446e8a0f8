//! What ends every agent of a session at once, and clears away what those of an earlier one left.

use std::{
    collections::BTreeMap,
    io,
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use empiric_sandbox::Launch;

use super::{PLACE, record};

/// Ends all runs of agents that it holds, and lets none begin any more.
#[derive(Debug, Clone, Default)]
pub struct Brake(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    swept: OnceLock<()>,
}

#[derive(Debug, Default)]
struct State {
    pulled: bool,
    next: u64,
    lines: BTreeMap<u64, UnixStream>,
}

/// A run that the brake holds, until this is dropped.
pub(super) struct Holding {
    brake: Brake,
    no: u64,
}

impl Brake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what runs. Whoever is about to begin is turned back.
    pub fn pull(&self) {
        let mut state = self.state();
        state.pulled = true;
        for line in state.lines.values() {
            // Half of a closed line is how a unit is cancelled; one that is gone already needs none.
            line.shutdown(Shutdown::Write).ok();
        }
    }

    /// Whether it is pulled.
    pub(super) fn is_pulled(&self) -> bool {
        self.state().pulled
    }

    /// Holds a run; none when the brake is pulled.
    pub(super) fn hold(&self, launch: &Launch) -> io::Result<Option<Holding>> {
        let line = launch.connection.try_clone()?;
        let mut state = self.state();
        if state.pulled {
            return Ok(None);
        }
        let no = state.next;
        state.next += 1;
        state.lines.insert(no, line);
        Ok(Some(Holding { brake: self.clone(), no }))
    }

    /// Ends what agents of an earlier session left running in `room`, and removes their places; once.
    pub(super) fn sweep(&self, room: &Path) -> io::Result<()> {
        let mut swept = Ok(());
        self.0.swept.get_or_init(|| swept = sweep(room));
        swept
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.brake.state().lines.remove(&self.no);
    }
}

fn sweep(room: &Path) -> io::Result<()> {
    let entries = match fs_err::read_dir(room) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(entries) => entries,
    };
    for entry in entries {
        let place = entry?;
        if !place.file_name().to_string_lossy().starts_with(PLACE) {
            continue;
        }
        empiric_sandbox::reap_orphans(&record(&place.path())).map_err(io::Error::other)?;
        empiric_sandbox::remove(&place.path()).map_err(io::Error::other)?;
    }
    Ok(())
}
