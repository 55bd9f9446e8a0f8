//! Which arm is asked for a trial next, whether there is room for one at all, and the proposal that follows.

use std::sync::Arc;

use empiric_core::{Event, Failure, TrialNo, study::State};

use crate::{
    Error,
    budget::{self, Room},
    dispatcher::{BREAKER, Engine, Input},
};

/// Proposals in a row that came to nothing, after which a proposer is exhausted.
const EXHAUSTED: u32 = 20;

/// An arm that might be asked.
struct Turn<'a> {
    arm: &'a str,
    /// The part of its budget that is spent or reserved.
    spent: f64,
    /// How much of it one of its trials takes.
    step: f64,
    /// Whether its proposer takes another brief.
    free: bool,
}

impl Engine {
    /// Whether any arm has room for a trial.
    pub(crate) fn room(&self) -> Room {
        if self.study.state() == State::Finished {
            return Room::Spent("it has ended already; a larger budget goes on".to_owned());
        }
        let measured =
            self.study.trial(TrialNo::BASELINE).is_some_and(|trial| trial.outcome.is_some());
        if !measured {
            return Room::Reserved;
        }
        if let Some(why) = self.reached() {
            return Room::Spent(why);
        }
        let arms = self.study.settings().arms.iter();
        Room::of_all(arms.map(|arm| (arm.name.as_str(), self.room_of(&arm.name))))
    }

    fn room_of(&self, arm: &str) -> Room {
        if self.barren.get(arm).is_some_and(|barren| *barren >= EXHAUSTED) {
            return Room::Spent(format!(
                "the proposer has nothing left to try ({EXHAUSTED} proposals came to nothing)"
            ));
        }
        if let Some(failure) = self.mute(arm) {
            return Room::Spent(unproposed(failure));
        }
        match empiric_search::dry(&self.study.of_arm(arm)) {
            Some(why) => Room::Spent(why),
            None => self.meter.room(&self.study, arm, self.pool.names().len(), self.askers()),
        }
    }

    /// Ends the session when no arm has anybody left who can be asked; says why. Where one can, those that cannot have no
    /// room (see [`Self::room`]).
    pub(crate) async fn unproposable(&mut self) -> Result<Option<String>, Error> {
        let arms = self.study.settings().arms.iter();
        let failures: Option<Vec<&Failure>> = arms.map(|arm| self.mute(&arm.name)).collect();
        let Some([failure, ..]) = failures.as_deref() else { return Ok(None) };
        let why = unproposed(failure);
        self.give_up(&why).await?;
        Ok(Some(why))
    }

    /// The last failure of an arm that could not be asked so often that it is asked no more.
    fn mute(&self, arm: &str) -> Option<&Failure> {
        let failures = self.unproposed.get(arm)?;
        failures.last().filter(|_| failures.len() >= BREAKER)
    }

    /// How many arms ask models.
    fn askers(&self) -> usize {
        self.options.proposers.values().filter(|proposer| proposer.asks_models()).count()
    }

    /// What was good enough, if anything is: one arm that reaches it ends the study.
    fn reached(&self) -> Option<String> {
        self.study.budget().target?;
        self.study.champions().into_iter().find_map(|champion| {
            let found = empiric_decide::summary(&self.study.own(champion)).champion?;
            empiric_search::reached(&self.study, champion, found.mean)
        })
    }

    /// Asks for trials until enough are under way that no slot will wait for a proposal.
    pub(crate) async fn ask(&mut self, unstarted: usize) -> Result<(), Error> {
        while let Some(arm) = self.next_arm(unstarted) {
            let trial = self.study.next_trial();
            let ask = self.policies.ask(&self.study, &arm);
            let ask = ask.ok_or_else(|| Error::Harness(format!("arm `{arm}` has no policy")))?;
            self.commit(vec![Event::Asked { trial, arm, ask }]).await?;
            self.start_proposal(trial);
        }
        Ok(())
    }

    /// The arm to ask for a trial, if one is to be asked for: of those with room, the one that has spent the least part of
    /// its budget, so that whatever changes with time meets all alike. An arm whose proposer is at its limit is waited
    /// for, by the others as well, once they are ahead by as many trials as there are slots.
    fn next_arm(&self, unstarted: usize) -> Option<String> {
        let (slots, askers) = (self.pool.names().len(), self.askers());
        if self.study.state() == State::Finished || self.room() != Room::Open {
            return None;
        }
        let arms = self.study.settings().arms.iter();
        let mut arms: Vec<Turn<'_>> = arms
            .filter(|arm| self.room_of(&arm.name) == Room::Open)
            .filter_map(|arm| {
                let proposer = self.options.proposers.get(&arm.name)?;
                let busy = self.proposing.values().filter(|of| **of == arm.name).count();
                let (spent, step) = budget::part(&self.study, &arm.name, slots, askers);
                let free = proposer.ahead(slots) + self.pool.free() > busy + unstarted;
                Some(Turn { arm: &arm.name, spent, step, free })
            })
            .collect();
        arms.sort_by(|a, b| a.spent.total_cmp(&b.spent));
        let least = arms.first()?.spent;
        let turn = arms.iter().find(|turn| turn.free)?;
        let far = turn.spent > least + slots as f64 * turn.step;
        (!far).then(|| turn.arm.to_owned())
    }

    /// Whether every trial has ended, but for those that nobody here can propose.
    pub(crate) fn all_ended(&self) -> bool {
        let open = self.study.open_trials().len();
        open == 0 || (!self.options.search && self.unproposed().len() == open)
    }

    /// Trials that were asked for and have no edit and nobody making one.
    pub(crate) fn unproposed(&self) -> Vec<TrialNo> {
        let open = self.study.open_trials().iter().copied();
        open.filter(|no| self.study.trial(*no).is_some_and(|trial| trial.edit.is_none())).collect()
    }

    /// Starts proposals that are asked for and that nobody makes: what an earlier session left, or what a cap held up. They
    /// are made again from the same asks.
    pub(crate) fn start_unproposed(&mut self) {
        for no in self.unproposed() {
            if !self.proposing.contains_key(&no) {
                self.start_proposal(no);
            }
        }
    }

    pub(crate) fn start_proposal(&mut self, no: TrialNo) {
        let Some(trial) = self.study.trial(no).cloned() else { return };
        let Some(proposer) = self.options.proposers.get(&trial.arm).map(Arc::clone) else { return };
        self.proposing.insert(no, trial.arm.clone());
        let workshop = Arc::clone(&self.workshop);
        // A proposal that an earlier session began is made from what was known then.
        let asked = self.asked.entry(no).or_insert_with(|| self.study.clone());
        let study = asked.of_arm(&trial.arm);
        let counter = self.counter(no, &study, &trial);
        let inputs = self.inputs.0.clone();
        let at = (self.options.clock)();
        tokio::task::spawn_blocking(move || {
            let made = workshop.propose(&*proposer, no, &trial.ask, &study, at, counter);
            inputs.send(Input::Proposed(no, made)).ok();
        });
    }
}

/// Why an arm is asked no more.
fn unproposed(failure: &Failure) -> String {
    format!("{BREAKER} trials in a row could not be proposed: {}", told(failure))
}

/// A failure, with what it says.
pub(crate) fn told(failure: &Failure) -> String {
    match failure.excerpt.trim() {
        "" => failure.to_string(),
        excerpt => format!("{failure}: {excerpt}"),
    }
}
