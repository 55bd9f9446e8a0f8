//! Which idea is next and how bold to be: AutoSOTA's scheduler as functions of the study.
//!
//! Source: AutoSOTA (arXiv 2604.05550; the rules are those of its published prompts). Three moods:
//!
//! - *normal*: ideas in the order algorithm, code, parameter, the most urgent first; what is risky waits until something
//!   is known.
//! - *leap*: after [`TIRED`] trials in a row that only moved parameters, something the recipe does not have at all.
//! - *honeymoon*: a leap that was measured and not kept stays the base for [`HONEYMOON`] trials, in which parameters may
//!   be moved too; a keep ends it, else the champion is the base again.
//!
//! There it is a model that counts, remembers and obeys. Here it is this file.

use std::{cmp::Reverse, sync::Arc};

use empiric_core::{
    Ask, Idea, IdeaNo, Operator, Outcome, Reach, Record, Study, Trial, TrialNo, Verdict,
    idea::Level,
};

use crate::Policy;

/// Parameter trials in a row after which a leap is due; never among the first so many.
pub const TIRED: usize = 3;
/// Trials that a leap is given.
pub const HONEYMOON: u32 = 5;
/// Ended trials before ideas of medium risk are taken, and before those of high risk.
const CAUTION: [u32; 2] = [3, 8];
/// Pending ideas looked at.
const LOOKED_AT: usize = 400;

/// How bold the next trial of an arm is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// One step from the champion.
    Normal,
    /// Something new.
    Leap,
    /// A leap is given time.
    Honeymoon {
        /// The leap.
        of: TrialNo,
        /// Trials that are left to it.
        left: u32,
    },
}

/// How bold the next trial of `arm` is to be.
#[must_use]
pub fn mood(study: &Study, arm: &str) -> Mood {
    let lore = study.library().lore(arm);
    let ended: Vec<&Trial> =
        lore.recent().iter().rev().filter_map(|no| study.trial(*no)).map(AsRef::as_ref).collect();
    // Newest first: what came after the last leap belongs to its honeymoon.
    for (place, trial) in ended.iter().enumerate() {
        if kept(trial) {
            break;
        }
        if reach(trial) == Some(Reach::Leap) && measured(trial) {
            let after = u32::try_from(place).unwrap_or(u32::MAX);
            if after < HONEYMOON {
                return Mood::Honeymoon { of: trial.no, left: HONEYMOON - after };
            }
            break;
        }
    }
    let tired = ended.len() >= TIRED
        && ended.iter().take(TIRED).all(|trial| reach(trial) == Some(Reach::Parameter));
    if tired { Mood::Leap } else { Mood::Normal }
}

/// The idea that the next trial of `arm` should try, on `surface` where it is held to one; `place` ideas before it are
/// claimed by trials that are being thought of.
#[must_use]
pub fn idea(
    study: &Study,
    arm: &str,
    surface: Option<&str>,
    mood: Mood,
    place: usize,
) -> Option<IdeaNo> {
    let ended = study.library().lore(arm).surfaces().values().map(|tally| tally.tried).sum::<u32>();
    let bearable = match ended {
        n if n < CAUTION[0] => Level::Low,
        n if n < CAUTION[1] => Level::Medium,
        _ => Level::High,
    };
    let fits = |idea: &&Arc<Idea>| {
        let own = idea.sketch.surface.as_deref();
        surface.is_none() || own.is_none() || own == surface
    };
    let mut waiting: Vec<&Arc<Idea>> =
        study.library().pending(arm).filter(fits).take(LOOKED_AT).collect();
    if mood == Mood::Leap {
        waiting.retain(|idea| idea.sketch.reach == Reach::Leap);
    } else {
        waiting.retain(|idea| idea.sketch.reach != Reach::Leap && idea.sketch.risk <= bearable);
    }
    waiting.sort_by_key(|idea| {
        (turn(idea.sketch.reach, mood), Reverse(idea.sketch.priority), idea.sketch.risk, idea.no)
    });
    waiting.get(place).map(|idea| idea.no)
}

/// Whose turn comes first: algorithm, code, parameter; in a honeymoon what makes the leap work is as good.
fn turn(reach: Reach, mood: Mood) -> u8 {
    match (reach, mood) {
        (Reach::Leap, _) => 0,
        (_, Mood::Honeymoon { .. }) => 1,
        (Reach::Algorithm, _) => 1,
        (Reach::Code, _) => 2,
        (Reach::Parameter, _) => 3,
    }
}

fn reach(trial: &Trial) -> Option<Reach> {
    Some(trial.edit.as_ref()?.thought?.reach)
}

fn kept(trial: &Trial) -> bool {
    matches!(trial.outcome, Some(Outcome::Valid { verdict: Verdict::Keep, .. }))
}

fn measured(trial: &Trial) -> bool {
    matches!(trial.outcome, Some(Outcome::Valid { .. }))
}

/// Ideas in their order, one step at a time from the champion, with leaps that are given time.
#[derive(Debug, Clone, Default)]
pub struct Ideas;

impl Policy for Ideas {
    fn name(&self) -> &'static str {
        "ideas"
    }

    fn tell(&mut self, _: &Study, _: &Record) {}

    fn ask(&self, study: &Study) -> Ask {
        let base = match mood(study, study.seen().unwrap_or_default()) {
            Mood::Honeymoon { of, .. } => of,
            Mood::Normal | Mood::Leap => study.champion(),
        };
        crate::ask(Operator::Improve, &[base])
    }
}
