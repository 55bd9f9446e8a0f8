//! Decisions made again: every ask and every verdict, from the events before it.

use empiric_core::{Event, Record, Study, Task, TrialNo, ablation::ABLATE, study::SUBMITTED};
use empiric_decide::{
    Step,
    ablate::{Ablating, ablating},
};
use empiric_search::Policies;

/// Follows a ledger from its start and compares each recorded decision with the one it makes itself.
pub(crate) struct Replay {
    study: Study,
    policies: Policies,
    pub(crate) asks: u64,
    pub(crate) verdicts: u64,
    /// A trial that is measured once more, and the one that it is measured as.
    again: Option<(TrialNo, TrialNo)>,
}

impl Replay {
    /// Starts at a study's opening; none when that is damaged or its policy is unknown.
    pub(crate) fn open(first: &Record) -> Option<Self> {
        let study = Study::open(first).ok()?;
        let policies = Policies::of(study.settings()).ok()?;
        Some(Self { study, policies, asks: 0, verdicts: 0, again: None })
    }

    /// What the study is asked.
    pub(crate) fn task(&self) -> &Task {
        self.study.task()
    }

    /// Takes in the next event; says what is wrong with it, if anything is.
    pub(crate) fn step(
        &mut self,
        record: &Record,
    ) -> Result<Option<String>, empiric_core::study::OutOfOrder> {
        let mut wrong = None;
        if let Event::Requeued { trial, .. } = &record.event {
            self.again = Some((*trial, self.study.next_trial()));
        }
        let again = |no: &TrialNo| self.again.filter(|(_, new)| new == no).map(|(old, _)| old);
        if let Event::Proposed { trial, edit } = &record.event
            && let Some(old) = again(trial)
        {
            let tree =
                self.study.trial(old).and_then(|old| old.edit.as_ref()).map(|edit| edit.tree);
            let same = tree == Some(edit.tree);
            wrong = (!same).then(|| format!("{trial} measures {old} once more, and not its tree"));
        }
        if let Event::Asked { trial, arm, ask } = &record.event
            && let Some(old) = again(trial)
        {
            self.asks += 1;
            let same = self.study.trial(old).is_some_and(|old| old.arm == *arm && old.ask == *ask);
            wrong = (!same).then(|| format!("{trial} does not ask for what {old} asked for"));
        } else if let Event::Asked { trial, arm, ask } = &record.event
            && *trial != TrialNo::BASELINE
            && arm == ABLATE
        {
            self.asks += 1;
            let again = ablating(&self.study);
            let same = matches!(&again, Ablating::Try(asks) if asks.first() == Some(ask));
            wrong = (!same).then(|| format!("the ablation's ask for {trial} replays as {again:?}"));
        } else if let Event::Asked { trial, arm, ask } = &record.event
            && *trial != TrialNo::BASELINE
            && arm != SUBMITTED
        {
            self.asks += 1;
            wrong = match self.policies.ask(&self.study, arm) {
                Some(again) if again == *ask => None,
                Some(again) => {
                    Some(format!("the policy's ask for {trial} replays as {again:?}, not {ask:?}"))
                }
                None => Some(format!("{trial} is of arm `{arm}`, which the study does not have")),
            };
        }
        if let Event::Concluded { trial, outcome } = &record.event
            && self.decided(*trial, outcome)
        {
            self.verdicts += 1;
            let again = empiric_decide::next_step(&self.study, *trial);
            if again != Step::Conclude(outcome.clone()) {
                wrong =
                    Some(format!("the outcome of {trial} replays as {again:?}, not {outcome:?}"));
            }
        }
        if let Event::Quarantined { trial, quarantine } = &record.event {
            self.verdicts += 1;
            let again = empiric_decide::next_step(&self.study, *trial);
            let concerns = quarantine.concerns.clone();
            if again != (Step::Quarantine { concerns }) {
                wrong = Some(format!("the quarantine of {trial} replays as {again:?}"));
            }
        }
        if let Event::Leased { replicate, trial, purpose, index, seed, .. } = &record.event {
            let again = self.study.seed(*trial, *purpose, *index);
            if again != *seed {
                wrong = Some(format!(
                    "the seed of replicate {replicate} is {}, and derives as {}",
                    seed.0, again.0
                ));
            }
        }
        self.study.apply(record)?;
        self.policies.tell(&self.study, record);
        Ok(wrong)
    }

    /// Whether this conclusion was decided from measurements, not reported by a proposer or a static check.
    fn decided(&self, trial: TrialNo, outcome: &empiric_core::Outcome) -> bool {
        use empiric_core::{Cause, Outcome};
        match outcome {
            Outcome::Valid { .. } => true,
            Outcome::Failed(failure) => {
                !matches!(failure.cause, Cause::DuplicateTree { .. })
                    && self.study.trial(trial).is_some_and(|trial| trial.edit.is_some())
            }
        }
    }
}
