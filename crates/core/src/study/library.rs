//! What proposers leave behind and read again: ideas, insights, teams, what calls cost, and what each arm has learnt.

use std::sync::Arc;

use imbl::{OrdMap, Vector};

use crate::{
    Caller, Event, Idea, IdeaChange, IdeaNo, IdeaStatus, Insight, Lore, Outcome, Record, Spending,
    Study, Team, Trial, TrialNo, Verdict,
};

/// Ideas, insights, teams, spending and lore of a study.
#[derive(Debug, Clone, Default)]
pub struct Library {
    ideas: OrdMap<IdeaNo, Arc<Idea>>,
    /// Ideas that nobody tries and that may be tried.
    pending: imbl::OrdSet<IdeaNo>,
    insights: Vector<Arc<Learned>>,
    teams: OrdMap<String, Arc<Team>>,
    spending: OrdMap<Caller, Spending>,
    lore: OrdMap<String, Lore>,
}

/// An insight, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// The arm that learnt it.
    pub arm: String,
    /// Who says so.
    pub by: String,
    /// What, and what shows it.
    pub insight: Insight,
}

impl Library {
    /// What is wrong with an event, if it does not fit.
    pub(crate) fn refuses(&self, study: &Study, event: &Event) -> Option<String> {
        match event {
            Event::Called { trial, call } => {
                // A call that was broken off is made again under its number.
                let due = study.trial(*trial).map(|trial| trial.calls.len());
                let fits = due.is_some_and(|due| call.index as usize <= due);
                (!fits).then(|| format!("call {} of {trial} is not its next", call.index))
            }
            Event::Rehearsed { trial, rehearsal } => {
                let due = study.trial(*trial).map(|trial| trial.rehearsals.len());
                (due != Some(rehearsal.index as usize))
                    .then(|| format!("rehearsal {} of {trial} is not its next", rehearsal.index))
            }
            Event::Fetched { trial, fetch } => {
                let due = study.trial(*trial).map(|trial| trial.fetches.len());
                (due != Some(fetch.index as usize))
                    .then(|| format!("page {} of {trial} is not its next", fetch.index))
            }
            Event::IdeaAdded { idea, .. } => {
                let due = self.next_idea();
                (*idea != due).then(|| format!("expected idea {due}"))
            }
            Event::IdeaChanged { idea, .. } => {
                (!self.ideas.contains_key(idea)).then(|| format!("there is no idea {idea}"))
            }
            Event::Learned { insight, .. } => {
                let ended =
                    |no: &TrialNo| study.trial(*no).is_some_and(|trial| trial.outcome.is_some());
                let open = insight.trials.iter().find(|no| !ended(no));
                open.map(|no| format!("an insight rests on {no}, which has not ended"))
            }
            Event::StudyOpened { .. }
            | Event::SessionStarted { .. }
            | Event::SegmentOpened { .. }
            | Event::BudgetSet { .. }
            | Event::Asked { .. }
            | Event::Staffed { .. }
            | Event::Proposed { .. }
            | Event::Leased { .. }
            | Event::Measured { .. }
            | Event::Fenced { .. }
            | Event::Quarantined { .. }
            | Event::Concluded { .. }
            | Event::ReportOpened { .. }
            | Event::AblationOpened { .. }
            | Event::Noted { .. }
            | Event::Paused { .. }
            | Event::Pinned { .. }
            | Event::Unpinned { .. }
            | Event::Requeued { .. }
            | Event::Resumed { .. }
            | Event::Stopped { .. }
            | Event::Finished { .. } => None,
        }
    }

    /// Takes in an event that `study` has applied; `trial` is the one it speaks of.
    pub(crate) fn take(&mut self, study: &Study, record: &Record, trial: Option<&Trial>) {
        match &record.event {
            Event::Staffed { arm, team } => {
                self.teams.insert(arm.clone(), Arc::new(team.clone()));
            }
            Event::IdeaAdded { idea, arm, by, sketch } => {
                let added = Idea {
                    no: *idea,
                    arm: arm.clone(),
                    by: by.clone(),
                    sketch: sketch.clone(),
                    status: IdeaStatus::Pending,
                    reason: String::new(),
                    trials: Vec::new(),
                };
                self.ideas.insert(*idea, Arc::new(added));
                self.pending.insert(*idea);
            }
            Event::IdeaChanged { idea, change, .. } => self.changed(*idea, change),
            Event::Learned { arm, by, insight } => {
                let (arm, by, insight) = (arm.clone(), by.clone(), insight.clone());
                self.insights.push_back(Arc::new(Learned { arm, by, insight }));
            }
            Event::Called { call, .. } => {
                let arm = trial.map(|trial| trial.arm.clone()).unwrap_or_default();
                let caller = Caller { arm, role: call.role.clone(), model: call.model.clone() };
                self.spending.entry(caller).or_default().add(call);
            }
            Event::Proposed { trial, edit } => {
                if let Some(idea) = edit.thought.and_then(|thought| thought.idea) {
                    self.settle(idea, IdeaStatus::Trying, |idea| idea.trials.push(*trial));
                }
            }
            Event::Concluded { outcome, .. } => {
                let tried = trial.and_then(|trial| trial.edit.as_ref()?.thought?.idea);
                if let Some(idea) = tried {
                    self.settle(idea, became(outcome), |_| {});
                }
            }
            Event::StudyOpened { .. }
            | Event::SessionStarted { .. }
            | Event::SegmentOpened { .. }
            | Event::BudgetSet { .. }
            | Event::Asked { .. }
            | Event::Rehearsed { .. }
            | Event::Fetched { .. }
            | Event::Leased { .. }
            | Event::Measured { .. }
            | Event::Fenced { .. }
            | Event::Quarantined { .. }
            | Event::ReportOpened { .. }
            | Event::AblationOpened { .. }
            | Event::Noted { .. }
            | Event::Paused { .. }
            | Event::Pinned { .. }
            | Event::Unpinned { .. }
            | Event::Requeued { .. }
            | Event::Resumed { .. }
            | Event::Stopped { .. }
            | Event::Finished { .. } => {}
        }
        if let Some(trial) = trial.filter(|trial| trial.no != TrialNo::BASELINE)
            && matches!(record.event, Event::Called { .. } | Event::Concluded { .. })
        {
            self.lore.entry(trial.arm.clone()).or_default().take(study, record, trial);
        }
    }

    fn changed(&mut self, no: IdeaNo, change: &IdeaChange) {
        let Some(idea) = self.ideas.get_mut(&no).map(Arc::make_mut) else { return };
        match change {
            IdeaChange::Dropped { reason } => {
                (idea.status, idea.reason) = (IdeaStatus::Dropped, reason.clone());
            }
            IdeaChange::Refused { reason } => {
                (idea.status, idea.reason) = (IdeaStatus::Refused, reason.clone());
            }
            IdeaChange::Restored => {
                (idea.status, idea.reason) = (IdeaStatus::Pending, String::new())
            }
            IdeaChange::Ranked { priority } => idea.sketch.priority = *priority,
        }
        self.listed(no);
    }

    /// What a trial makes of an idea; one that somebody took off the list stays off.
    fn settle(&mut self, no: IdeaNo, status: IdeaStatus, also: impl FnOnce(&mut Idea)) {
        let Some(idea) = self.ideas.get_mut(&no).map(Arc::make_mut) else { return };
        also(idea);
        if !matches!(idea.status, IdeaStatus::Dropped | IdeaStatus::Refused | IdeaStatus::Worked) {
            idea.status = status;
        }
        self.listed(no);
    }

    fn listed(&mut self, no: IdeaNo) {
        if self.ideas.get(&no).is_some_and(|idea| idea.status == IdeaStatus::Pending) {
            self.pending.insert(no);
        } else {
            self.pending.remove(&no);
        }
    }

    /// All ideas, by number.
    #[must_use]
    pub fn ideas(&self) -> &OrdMap<IdeaNo, Arc<Idea>> {
        &self.ideas
    }

    /// One idea.
    #[must_use]
    pub fn idea(&self, no: IdeaNo) -> Option<&Arc<Idea>> {
        self.ideas.get(&no)
    }

    /// Ideas that wait to be tried in `arm`, by number.
    pub fn pending<'a>(&'a self, arm: &'a str) -> impl Iterator<Item = &'a Arc<Idea>> + 'a {
        let waiting = self.pending.iter().filter_map(|no| self.ideas.get(no));
        waiting.filter(move |idea| idea.arm.as_deref().is_none_or(|of| of == arm))
    }

    /// The number the next idea gets.
    #[must_use]
    pub fn next_idea(&self) -> IdeaNo {
        IdeaNo(u32::try_from(self.ideas.len()).unwrap_or(u32::MAX))
    }

    /// Insights, oldest first.
    #[must_use]
    pub fn insights(&self) -> &Vector<Arc<Learned>> {
        &self.insights
    }

    /// Who proposes in an arm, where models do.
    #[must_use]
    pub fn team(&self, arm: &str) -> Option<&Arc<Team>> {
        self.teams.get(arm)
    }

    /// What model calls cost, by arm, role and model.
    #[must_use]
    pub fn spending(&self) -> &OrdMap<Caller, Spending> {
        &self.spending
    }

    /// What an arm has learnt.
    #[must_use]
    pub fn lore(&self, arm: &str) -> Lore {
        self.lore.get(arm).cloned().unwrap_or_default()
    }
}

/// What an idea has come to by the end of a trial of it.
fn became(outcome: &Outcome) -> IdeaStatus {
    match outcome {
        Outcome::Valid { verdict: Verdict::Keep, .. } => IdeaStatus::Worked,
        // Undecided, or spoilt by the machine: it may be tried again.
        Outcome::Valid { verdict: Verdict::Inconclusive, .. } => IdeaStatus::Pending,
        Outcome::Failed(failure) if failure.blame.spares_the_trial() => IdeaStatus::Pending,
        Outcome::Valid { .. } | Outcome::Failed(_) => IdeaStatus::Failed,
    }
}
