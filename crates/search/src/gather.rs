//! No gain is orphaned: what was found beside the champion's own line is offered to be merged with it, once.
//!
//! A keep that beats the champion without descending from it leaves the old champion's gain behind; a trial that was
//! undecided against one champion may hold a gain that the next one lacks. Whatever the policy, the next ask merges the
//! champion of the moment with such a trial, kept ones first, and never offers it again, whatever comes of it. Only
//! what infra or evaluator lost is offered anew.

use std::collections::BTreeMap;

use empiric_core::{
    Ask, Event, Operator, Outcome, Record, Study, Trial, TrialNo, Verdict, ablation::ABLATE,
};

use crate::{
    Policy,
    memory::{REMEMBERED, descends},
};

/// A policy whose asks wait for what is to be merged first.
pub(crate) struct Gather {
    policy: Box<dyn Policy>,
    /// Kept and undecided trials that were never offered, and that the champion does not descend from.
    aside: BTreeMap<TrialNo, Aside>,
    /// Merges under way, with what each was made for.
    offered: BTreeMap<TrialNo, (TrialNo, Aside)>,
}

/// A trial beside the champion's line, or that may come to be.
#[derive(Debug, Clone, Copy)]
struct Aside {
    /// Its gain over the champion that it was measured against; infinite for a keep.
    gain: f64,
    /// Whether neither it nor the champion descends from the other.
    due: bool,
}

impl Gather {
    pub(crate) fn new(policy: Box<dyn Policy>) -> Self {
        Self { policy, aside: BTreeMap::new(), offered: BTreeMap::new() }
    }

    fn asked(&mut self, study: &Study, trial: TrialNo, ask: &Ask) {
        let champion = study.champion();
        if ask.operator != Operator::Merge || !ask.parents.contains(&champion) {
            return;
        }
        for parent in ask.parents.iter().filter(|parent| **parent != champion) {
            if let Some(aside) = self.aside.remove(parent) {
                self.offered.insert(trial, (*parent, aside));
            }
        }
    }

    fn concluded(&mut self, study: &Study, trial: &Trial, outcome: &Outcome) {
        let offered = self.offered.remove(&trial.no);
        match outcome {
            Outcome::Valid { verdict: Verdict::Keep, .. } => {
                self.aside.insert(trial.no, Aside { gain: f64::INFINITY, due: false });
                self.settle(study);
            }
            // One that did not sustain its gain under quarantine has none to bring.
            Outcome::Valid { verdict: Verdict::Inconclusive, gain: Some(gain), .. }
                if *gain > 0.0 && trial.quarantine.is_none() && trial.arm != ABLATE =>
            {
                let due = separate(study, trial.no);
                self.aside.insert(trial.no, Aside { gain: *gain, due });
                self.forget();
            }
            Outcome::Failed(failure) if failure.blame.spares_the_trial() => {
                if let Some((parent, aside)) = offered {
                    let due = separate(study, parent);
                    self.aside.insert(parent, Aside { due, ..aside });
                }
            }
            Outcome::Valid { .. } | Outcome::Failed(_) => {}
        }
    }

    /// What stands aside of a new champion. The gain of its forebears lives on in it.
    fn settle(&mut self, study: &Study) {
        let champion = study.champion();
        self.aside.retain(|no, aside| {
            aside.due = separate(study, *no);
            *no == champion || !descends(study, champion, *no)
        });
        self.forget();
    }

    /// Drops what gained least once there is too much.
    fn forget(&mut self) {
        while self.aside.len() > REMEMBERED {
            let least =
                self.aside.iter().min_by(|(a, x), (b, y)| x.gain.total_cmp(&y.gain).then(b.cmp(a)));
            let Some(least) = least.map(|(no, _)| *no) else { return };
            self.aside.remove(&least);
        }
    }

    fn due(&self) -> Option<TrialNo> {
        self.aside
            .iter()
            .filter(|(_, aside)| aside.due)
            .max_by(|(a, x), (b, y)| x.gain.total_cmp(&y.gain).then(b.cmp(a)))
            .map(|(no, _)| *no)
    }
}

/// Whether neither `trial` nor the champion descends from the other.
fn separate(study: &Study, trial: TrialNo) -> bool {
    let champion = study.champion();
    trial != champion && !descends(study, champion, trial) && !descends(study, trial, champion)
}

impl Policy for Gather {
    fn name(&self) -> &'static str {
        self.policy.name()
    }

    fn tell(&mut self, study: &Study, record: &Record) {
        self.policy.tell(study, record);
        if let Event::Asked { trial, ask, .. } = &record.event {
            self.asked(study, *trial, ask);
        } else if let Event::Concluded { trial, outcome } = &record.event {
            if let Some(trial) = study.trial(*trial) {
                self.concluded(study, trial, outcome);
            }
        } else if let Event::SegmentOpened { .. } = &record.event {
            // What was undecided by values that are not comparable any more is nearly a gain no longer.
            self.aside.retain(|_, aside| aside.gain.is_infinite());
        }
    }

    fn ask(&self, study: &Study) -> Ask {
        match self.due() {
            Some(aside) => crate::ask(Operator::Merge, &[study.champion(), aside]),
            None => self.policy.ask(study),
        }
    }
}
