//! What can be asked of a study, whole or as one of its arms sees it.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};

use super::{Contest, Counts, Fixed, Library, Progress, Seen, Settings, State, Study, Won};
use crate::{
    Budget, Cost, Course, Noise, Purpose, ReplicateId, Sample, Seed, StudyId, Task, TreeId, Trial,
    TrialNo, ablation::ABLATE,
};

impl Study {
    /// The study as `arm` sees it: of trials, the baseline and its own; its own champion, keeps, counts and course.
    /// Noise, segment and budget are shared. Policies, proposers and verdicts are handed this, so that what one arm finds
    /// cannot help another.
    #[must_use]
    pub fn of_arm(&self, arm: &str) -> Self {
        let (arm, own) = self.arms.get_key_value(arm).map_or_else(
            || (Arc::from(arm), Arc::clone(&self.bare)),
            |(name, own)| (Arc::clone(name), Arc::clone(own)),
        );
        let champion = own.champion();
        Self { seen: Some(Seen { arm, own, champion }), ..self.clone() }
    }

    /// The study as the arm of `trial` sees it; whole, for the baseline's.
    #[must_use]
    pub fn own(&self, trial: TrialNo) -> Self {
        let found = self.trials.get(trial.0 as usize).filter(|_| trial != TrialNo::BASELINE);
        found.map_or_else(|| self.clone(), |found| self.of_arm(&found.arm))
    }

    /// The study as its leading arm sees it; through an arm, as that one does.
    #[must_use]
    pub fn in_front(&self) -> Self {
        if self.seen.is_some() { self.clone() } else { self.of_arm(self.lead()) }
    }

    /// The study as a verdict on `trial` sees it: as its arm does, with the champion that the trial meets.
    #[must_use]
    pub fn of_trial(&self, trial: TrialNo) -> Self {
        let mut study = self.own(trial);
        if let (Some(seen), Some(champion)) = (&mut study.seen, self.meets(trial)) {
            seen.champion = champion;
        }
        study
    }

    /// The champion that a trial meets: of an ablation, the one taken apart; else its arm's, unless it builds on what another arm kept, as a trial made by someone who
    /// sees the whole study can, and that is the better one. What it builds on is no gain of its own.
    pub(super) fn meets(&self, challenger: TrialNo) -> Option<TrialNo> {
        let trial = self.trials.get(challenger.0 as usize)?;
        if trial.arm == ABLATE {
            return Some(self.ablation()?.champion);
        }
        let own = self.arms.get(&*trial.arm)?.champion();
        let foreign = |no: &TrialNo| {
            self.trials.get(no.0 as usize).is_some_and(|parent| parent.arm != trial.arm)
        };
        let above =
            trial.parents().first().copied().filter(foreign).filter(|parent| {
                self.won(*parent).is_some_and(|won| won.gain > self.standing(own))
            });
        Some(above.unwrap_or(own))
    }

    /// How a kept trial became champion; none of any other.
    #[must_use]
    pub fn won(&self, no: TrialNo) -> Option<Won> {
        self.won.get(&no).copied()
    }

    /// Confirmed gain over the baseline; 0 of what was not kept.
    pub(super) fn standing(&self, no: TrialNo) -> f64 {
        self.won(no).map_or(0.0, |won| won.gain)
    }

    /// The progress that accessors speak of.
    pub(super) fn here(&self) -> &Progress {
        self.seen.as_ref().map_or(&self.whole, |seen| &seen.own)
    }

    /// The names of all arms: those asked for in their order, then others that made trials.
    #[must_use]
    pub fn arms(&self) -> Vec<&str> {
        let asked = self.settings.arms.iter().map(|arm| arm.name.as_str());
        let others = self.arms.keys().map(|name| &**name);
        asked.chain(others.filter(|name| self.settings.arm(name).is_none())).collect()
    }

    /// How far an arm has come; none of one that is not in the study.
    #[must_use]
    pub fn arm(&self, name: &str) -> Option<&Progress> {
        self.arms.get(name).map(|own| &**own)
    }

    /// The arm whose champion is the study's: of those that kept anything, the one with the largest confirmed gain over the
    /// baseline; the first where there is nothing to choose between, but a simplified champion before the one it simplifies.
    ///
    /// It is chosen before the closing comparison and not by it, so that what that says of the champion is not biased by
    /// the choice.
    #[must_use]
    pub fn lead(&self) -> &str {
        let mut best: Option<(&str, f64)> = None;
        let names = self.arms();
        for name in &names {
            if let Some(won) = self.arm(name).and_then(|own| self.won(own.champion()))
                && best.is_none_or(|(_, gain)| {
                    won.gain > gain || (*name == ABLATE && won.gain >= gain)
                })
            {
                best = Some((name, won.gain));
            }
        }
        best.map(|(name, _)| name).or_else(|| names.first().copied()).unwrap_or_default()
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> StudyId {
        self.id
    }

    /// What is asked.
    #[must_use]
    pub fn task(&self) -> &Arc<Task> {
        &self.task
    }

    /// How it is asked.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The caps in force.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The last event taken in.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The segment in force.
    #[must_use]
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// What the segment in force was opened with.
    #[must_use]
    pub fn fixed(&self) -> Option<Fixed> {
        self.fixed
    }

    /// The sandbox level of the last session.
    #[must_use]
    pub fn sandbox(&self) -> &str {
        &self.sandbox
    }

    /// All trials, by number; through an arm, the baseline and its own.
    #[must_use]
    pub fn trials(&self) -> Trials<'_> {
        Trials { all: &self.trials, own: self.seen.as_ref().map(|seen| seen.own.trials()) }
    }

    /// One trial, if it may be seen.
    #[must_use]
    pub fn trial(&self, no: TrialNo) -> Option<&Arc<Trial>> {
        let found = self.trials.get(no.0 as usize)?;
        let seen = match &self.seen {
            Some(seen) => no == TrialNo::BASELINE || no == seen.champion || *found.arm == *seen.arm,
            None => true,
        };
        seen.then_some(found)
    }

    /// The number the next trial gets, whichever arm asks for it.
    #[must_use]
    pub fn next_trial(&self) -> TrialNo {
        TrialNo(u32::try_from(self.trials.len()).unwrap_or(u32::MAX))
    }

    /// Trials that have not ended.
    #[must_use]
    pub fn open_trials(&self) -> &OrdSet<TrialNo> {
        self.here().open_trials()
    }

    /// Replicates that hold a slot, with their trials.
    #[must_use]
    pub fn leases(&self) -> &OrdMap<ReplicateId, TrialNo> {
        &self.leases
    }

    /// The contest of a challenger with a champion, once it has begun in the segment in force.
    #[must_use]
    pub fn contest(&self, challenger: TrialNo, champion: TrialNo) -> Option<&Contest> {
        self.contests.get(&(challenger, champion))
    }

    /// How many contests have begun: hypotheses that may spend some of the study's error. Through an arm, those in its row.
    #[must_use]
    pub fn contests(&self) -> u32 {
        match &self.seen {
            Some(seen) => self.row(&seen.arm).places,
            None => self.rows.iter().map(|row| row.places).sum(),
        }
    }

    /// The places, in the arm's row, whose error its next contest may spend.
    #[must_use]
    pub fn next_shares(&self) -> Vec<u32> {
        let row = self.row(self.seen.as_ref().map_or("", |seen| &seen.arm));
        let own = row.places.saturating_add(1);
        row.returned.iter().copied().chain(std::iter::once(own)).collect()
    }

    /// Among how many rows of contests the study's level is dealt out.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// How many contests in the arm's row have ended in a keep.
    #[must_use]
    pub fn row_keeps(&self) -> u32 {
        self.row(self.seen.as_ref().map_or("", |seen| &seen.arm)).keeps
    }

    /// Gain of a trial over another on the search split: what proposers see.
    #[must_use]
    pub fn gain_over(&self, trial: &Trial, other: TrialNo) -> Option<f64> {
        let metric = &self.task().metric;
        let other = self.trial(other)?.search_score(&metric.name)?;
        Some(metric.goal.gain(trial.search_score(&metric.name)?, other))
    }

    /// The same over its first parent.
    #[must_use]
    pub fn gain_over_parent(&self, trial: &Trial) -> Option<f64> {
        self.gain_over(trial, *trial.parents().first()?)
    }

    /// Running sums over all values that verdicts see of one trial, in the segment in force.
    #[must_use]
    pub fn spread(&self, no: TrialNo) -> Sample {
        self.trial(no).and_then(|_| self.spread.get(&no)).copied().unwrap_or_default()
    }

    /// Such sums of every measured trial, whatever its arm: noise is shared.
    pub fn spreads(&self) -> impl Iterator<Item = (TrialNo, Sample)> {
        self.spread.iter().map(|(no, sums)| (*no, *sums))
    }

    /// Noise of one replicate in the segment in force, pooled over the baseline and all that was kept.
    #[must_use]
    pub fn noise(&self) -> Noise {
        self.noise
    }

    /// Whether any tree has given two values in the segment in force.
    #[must_use]
    pub fn varied(&self) -> bool {
        self.varied
    }

    /// The arm through whose eyes this is looked at, if it is.
    #[must_use]
    pub fn seen(&self) -> Option<&str> {
        self.seen.as_ref().map(|seen| &*seen.arm)
    }

    /// What proposers left behind and read again.
    #[must_use]
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// The first trial with this tree.
    #[must_use]
    pub fn with_tree(&self, tree: TreeId) -> Option<TrialNo> {
        self.here().with_tree(tree)
    }

    /// Kept trials, oldest first.
    #[must_use]
    pub fn keeps(&self) -> &Vector<TrialNo> {
        self.here().keeps()
    }

    /// The best confirmed trial: through an arm, its last keep, else the baseline; of the whole study, that of
    /// [`Study::lead`].
    #[must_use]
    pub fn champion(&self) -> TrialNo {
        match &self.seen {
            Some(seen) => seen.champion,
            None => self.arm(self.lead()).map_or(TrialNo::BASELINE, Progress::champion),
        }
    }

    /// The champions of all arms that kept anything, each once; through an arm, its own.
    #[must_use]
    pub fn champions(&self) -> Vec<TrialNo> {
        let all: Vec<TrialNo> = match &self.seen {
            Some(seen) => vec![seen.champion],
            None => self.arms().iter().filter_map(|arm| Some(self.arm(arm)?.champion())).collect(),
        };
        all.into_iter().filter(|no| *no != TrialNo::BASELINE).collect()
    }

    /// The trial of the closing comparison, once that has begun: the arm's; of the whole study, that of [`Study::lead`].
    #[must_use]
    pub fn report(&self) -> Option<TrialNo> {
        match &self.seen {
            Some(seen) => seen.own.report(),
            None => self.arm(self.lead()).and_then(Progress::report),
        }
    }

    /// Notes, oldest first: who, what.
    #[must_use]
    pub fn notes(&self) -> &Vector<(String, String)> {
        &self.notes
    }

    /// Concluded trials by outcome.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        self.here().counts()
    }

    /// Trials that count against the trial budget: ended ones that infra and evaluator do not answer for.
    #[must_use]
    pub fn spent_trials(&self) -> u32 {
        self.here().spent_trials()
    }

    /// What the whole study has spent.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// How the search goes: diversity, staleness, droughts, what was tried before.
    #[must_use]
    pub fn course(&self) -> &Course {
        self.here().course()
    }

    /// Whether a trial has the baseline's tree: it is measured under seeds of its own, for under the baseline's it would be
    /// the baseline once more.
    #[must_use]
    pub fn is_placebo(&self, no: TrialNo) -> bool {
        let tree = |no: TrialNo| Some(self.trials.get(no.0 as usize)?.edit.as_ref()?.tree);
        no != TrialNo::BASELINE && tree(no).is_some() && tree(no) == tree(TrialNo::BASELINE)
    }

    /// The seed of `trial` at place `index` in the stream of `purpose`.
    #[must_use]
    pub fn seed(&self, trial: TrialNo, purpose: Purpose, index: u32) -> Seed {
        let nonce = match purpose {
            Purpose::Audit { of } => self
                .trials
                .get(of.0 as usize)
                .and_then(|trial| trial.quarantine.as_ref())
                .map(|held| held.nonce),
            Purpose::Search | Purpose::Confirm { .. } | Purpose::Report => None,
        };
        let study = nonce.unwrap_or(self.settings.seed);
        let study = if self.is_placebo(trial) { crate::seed::apart(study, trial) } else { study };
        purpose.seed(study, index)
    }
}

/// The trials of a study that may be seen, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct Trials<'a> {
    all: &'a Vector<Arc<Trial>>,
    /// Numbers of those that may be seen; none where all may.
    own: Option<&'a Vector<TrialNo>>,
}

impl<'a> Trials<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.own.map_or(self.all.len(), Vector::len)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one at this place among them; in a whole study, the one with this number.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&'a Arc<Trial>> {
        let at = self.own.map_or(Some(place), |own| Some(own.get(place)?.0 as usize))?;
        self.all.get(at)
    }

    /// All of them.
    pub fn iter(&self) -> Box<dyn DoubleEndedIterator<Item = &'a Arc<Trial>> + 'a> {
        let all = self.all;
        match self.own {
            Some(own) => Box::new(own.iter().filter_map(|no| all.get(no.0 as usize))),
            None => Box::new(all.iter()),
        }
    }
}

impl<'a> IntoIterator for Trials<'a> {
    type Item = &'a Arc<Trial>;
    type IntoIter = Box<dyn DoubleEndedIterator<Item = &'a Arc<Trial>> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Trials<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}
