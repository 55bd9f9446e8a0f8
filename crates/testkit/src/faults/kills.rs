//! `kill -9` at random moments of a study that the same command resumes each time.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{GRACE, Setting, Table, history::History, left_running, state, verified};

/// Kills a study of `trials` trials on two slots at `kills` random moments, and resumes it by the same command each time.
///
/// # Errors
/// When the program cannot be run, or its study not be read.
pub fn kills(setting: &Setting, trials: u32, kills: u32, table: &mut Table<'_>) -> Result<()> {
    let home = setting.home()?;
    let study = home.path().join("study");
    let words = setting.run(trials);
    // A trial is at least five events, so this many between two kills leave some for the last session.
    let most = 2 * 4 * trials / kills;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut seen = History::default();
    let mut struck = 0;
    let mut left = BTreeSet::new();
    for kill in 0..kills {
        let mut session = home.start(&words)?;
        let events = rng.random_range(0..=most);
        let ended = (0..events).any(|_| session.event().is_none());
        // Before the first event lies the opening, which takes longer than what is between two events.
        let ms = rng.random_range(0..if events == 0 { 150 } else { 20 });
        std::thread::sleep(Duration::from_millis(ms));
        session.kill()?;
        struck += u32::from(!ended);
        // Every other time the next session starts while the last one's units may still be ending.
        if kill % 2 == 0 {
            left.extend(home.left_running(GRACE).iter().map(ToString::to_string));
        }
        seen.look(&study)?;
    }
    let ended = home.start(&words)?.end()?;
    seen.look(&study)?;
    let fault = format!("kill -9 at {struck} moments");
    table.same(&fault, &format!("finished with {trials} trials"), &state(&ended));
    table.add("  moments", kills.to_string(), struck.to_string(), struck == kills);
    seen.tell(table);
    let left = left.into_iter().collect::<Vec<_>>().join(", ");
    let left = if left.is_empty() { left_running(&home) } else { left };
    table.same("  processes left", "none", &left);
    table.same("  verify", "ok", &verified(&home)?);
    Ok(())
}
