//! The closed set of things that happen in a study. Everything else is a projection of them.
//!
//! Adding an event: a variant here, an arm in [`crate::Study::apply`], an arm in the ledger's projection, a line in the
//! CLI's reporter, and a bump of [`SCHEMA`].

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Ask, Budget, Call, Edit, Fetch, Hunk, IdeaChange, IdeaNo, Insight, Outcome, Purpose,
    Quarantine, Rehearsal, ReplicateId, Seed, Sketch, StudyId, Task, Team, TrialNo,
    study::{Fixed, Settings},
    trial::Measured,
};

/// Version of the event format; bumped whenever a field or a variant is added. A newer ledger can be read, never
/// written, by an older Empiric.
pub const SCHEMA: u32 = 6;

/// An event with its place and time in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Place, from 1, without gaps.
    pub seq: u64,
    /// When it was appended; informative, nothing is ordered by it.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A study begins.
    StudyOpened {
        /// Its id.
        study: StudyId,
        /// What is asked.
        task: Arc<Task>,
        /// How it is asked.
        settings: Settings,
    },
    /// An Empiric process takes up the study.
    SessionStarted {
        /// Its version.
        version: String,
        /// Host name.
        host: String,
        /// Sandbox level that units run at: `bwrap`, `landlock`, `none`.
        sandbox: String,
        /// What meters and limits memory: `cgroup-v2`, `cgroup-v1`, `watchdog`.
        cgroup: String,
        /// Slot names.
        slots: Vec<String>,
    },
    /// Measurements from here on are comparable with one another, and with none before.
    SegmentOpened {
        /// Its number, from 0.
        segment: u32,
        /// What holds as long as the segment does.
        fixed: Fixed,
        /// Why.
        reason: String,
    },
    /// A cap was changed.
    BudgetSet {
        /// The new caps.
        budget: Budget,
        /// Who set it; empty where an older Empiric wrote it down.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
    },
    /// A policy asks for a trial. Replayable from the events before it.
    Asked {
        /// The new trial's number.
        trial: TrialNo,
        /// The arm.
        arm: String,
        /// What is asked.
        ask: Ask,
    },
    /// Who proposes in an arm, with which models and in which words; recorded when it is not what it was.
    Staffed {
        /// The arm.
        arm: String,
        /// The team.
        team: Team,
    },
    /// A model was called for a trial that is being proposed.
    Called {
        /// The trial.
        trial: TrialNo,
        /// The call.
        call: Call,
    },
    /// A smoke stage was run for a proposer before it handed in its edit.
    Rehearsed {
        /// The trial.
        trial: TrialNo,
        /// What came of it.
        rehearsal: Rehearsal,
    },
    /// A proposer asked for a page of the web.
    Fetched {
        /// The trial.
        trial: TrialNo,
        /// What came of it.
        fetch: Fetch,
    },
    /// An idea enters the library.
    IdeaAdded {
        /// Its number.
        idea: IdeaNo,
        /// The arm it is for; none means every arm.
        arm: Option<String>,
        /// Who had it.
        by: String,
        /// What it says.
        sketch: Sketch,
    },
    /// An idea is dropped, refused, restored or ranked anew. What trials make of it is told by the trials.
    IdeaChanged {
        /// The idea.
        idea: IdeaNo,
        /// Who says so.
        by: String,
        /// What.
        change: IdeaChange,
    },
    /// Something was learnt from trials that ended.
    Learned {
        /// The arm that learnt it.
        arm: String,
        /// Who says so.
        by: String,
        /// What, and what shows it.
        insight: Insight,
    },
    /// A proposer has made the edit and it passed the static checks.
    Proposed {
        /// The trial.
        trial: TrialNo,
        /// The edit.
        edit: Edit,
    },
    /// A replicate takes a slot.
    Leased {
        /// The replicate.
        replicate: ReplicateId,
        /// The trial whose tree runs.
        trial: TrialNo,
        /// What for.
        purpose: Purpose,
        /// Place in the purpose's seed stream.
        index: u32,
        /// The seed.
        seed: Seed,
        /// The slot.
        slot: String,
    },
    /// A replicate has finished, usable or not.
    Measured {
        /// The replicate.
        replicate: ReplicateId,
        /// Its trial.
        trial: TrialNo,
        /// What it yielded.
        result: Measured,
    },
    /// A lease ended without a result; whatever it left is void and its seed runs again.
    Fenced {
        /// The replicate.
        replicate: ReplicateId,
        /// Its trial.
        trial: TrialNo,
        /// Why.
        reason: String,
    },
    /// A trial that would be kept is put under quarantine. Its concerns are replayable from the events before it.
    Quarantined {
        /// The trial.
        trial: TrialNo,
        /// Why, and what the seeds of its second measurement derive from.
        quarantine: Quarantine,
    },
    /// A trial has ended. Verdicts are replayable from the events before it.
    Concluded {
        /// The trial.
        trial: TrialNo,
        /// How.
        outcome: Outcome,
    },
    /// The report split is opened: the closing comparison starts.
    ReportOpened {
        /// The champions compared with the baseline and with one another, one of each arm that has one.
        champions: Vec<TrialNo>,
    },
    /// The champion is taken apart: each hunk of it is taken away by a trial, and what does not earn its place goes.
    AblationOpened {
        /// The champion.
        champion: TrialNo,
        /// How much worse a simpler trial may be, in the metric's unit.
        margin: f64,
        /// What it changes of the baseline.
        hunks: Vec<Hunk>,
    },
    /// A person or an agent wrote something down.
    Noted {
        /// Who.
        by: String,
        /// What.
        text: String,
    },
    /// From here on the trial's arm starts every new trial from it, whatever its policy would, until the arm keeps one or the
    /// pin is taken away. Verdicts know nothing of it. The baseline is pinned for every arm.
    Pinned {
        /// The trial.
        trial: TrialNo,
        /// Who asked.
        by: String,
    },
    /// The pin is taken away; policies choose again.
    Unpinned {
        /// The trial.
        trial: TrialNo,
        /// Who asked.
        by: String,
    },
    /// A trial that ended undecided is measured once more, as a trial of its own: the `asked` that follows asks for the
    /// same, and its tree is the same.
    Requeued {
        /// The trial.
        trial: TrialNo,
        /// Who asked.
        by: String,
    },
    /// No new trials until resumed.
    Paused {
        /// Who asked, or which cap.
        by: String,
    },
    /// Trials go on.
    Resumed {
        /// Who asked.
        by: String,
    },
    /// This session ends before the study does; the same command goes on.
    Stopped {
        /// Who asked, or why.
        by: String,
    },
    /// The study has spent its budget and made its closing comparison.
    Finished {
        /// Why it ended.
        reason: String,
    },
}

impl Event {
    /// Every event's name.
    pub const NAMES: [&'static str; 28] = [
        "study_opened",
        "session_started",
        "segment_opened",
        "budget_set",
        "asked",
        "staffed",
        "called",
        "rehearsed",
        "fetched",
        "idea_added",
        "idea_changed",
        "learned",
        "proposed",
        "leased",
        "measured",
        "fenced",
        "quarantined",
        "concluded",
        "report_opened",
        "ablation_opened",
        "noted",
        "pinned",
        "unpinned",
        "requeued",
        "paused",
        "resumed",
        "stopped",
        "finished",
    ];

    /// Its stable name, as in the JSON form.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::StudyOpened { .. } => "study_opened",
            Self::SessionStarted { .. } => "session_started",
            Self::SegmentOpened { .. } => "segment_opened",
            Self::BudgetSet { .. } => "budget_set",
            Self::Asked { .. } => "asked",
            Self::Staffed { .. } => "staffed",
            Self::Called { .. } => "called",
            Self::Rehearsed { .. } => "rehearsed",
            Self::Fetched { .. } => "fetched",
            Self::IdeaAdded { .. } => "idea_added",
            Self::IdeaChanged { .. } => "idea_changed",
            Self::Learned { .. } => "learned",
            Self::Proposed { .. } => "proposed",
            Self::Leased { .. } => "leased",
            Self::Measured { .. } => "measured",
            Self::Fenced { .. } => "fenced",
            Self::Quarantined { .. } => "quarantined",
            Self::Concluded { .. } => "concluded",
            Self::ReportOpened { .. } => "report_opened",
            Self::AblationOpened { .. } => "ablation_opened",
            Self::Noted { .. } => "noted",
            Self::Pinned { .. } => "pinned",
            Self::Unpinned { .. } => "unpinned",
            Self::Requeued { .. } => "requeued",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::Stopped { .. } => "stopped",
            Self::Finished { .. } => "finished",
        }
    }

    /// The trial it speaks of.
    #[must_use]
    pub fn trial(&self) -> Option<TrialNo> {
        match self {
            Self::Asked { trial, .. }
            | Self::Called { trial, .. }
            | Self::Rehearsed { trial, .. }
            | Self::Fetched { trial, .. }
            | Self::Proposed { trial, .. }
            | Self::Leased { trial, .. }
            | Self::Measured { trial, .. }
            | Self::Fenced { trial, .. }
            | Self::Quarantined { trial, .. }
            | Self::Concluded { trial, .. }
            | Self::Pinned { trial, .. }
            | Self::Unpinned { trial, .. }
            | Self::Requeued { trial, .. } => Some(*trial),
            Self::StudyOpened { .. }
            | Self::SessionStarted { .. }
            | Self::SegmentOpened { .. }
            | Self::BudgetSet { .. }
            | Self::Staffed { .. }
            | Self::IdeaAdded { .. }
            | Self::IdeaChanged { .. }
            | Self::Learned { .. }
            | Self::ReportOpened { .. }
            | Self::AblationOpened { .. }
            | Self::Noted { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::Stopped { .. }
            | Self::Finished { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json_form() {
        let unknown = serde_json::from_str::<Event>(r#"{"event": "?"}"#).unwrap_err().to_string();
        let expected = unknown.split_once("expected one of ").map(|(_, list)| list);
        let named: Vec<&str> = expected.into_iter().flat_map(|list| list.split('`')).collect();
        let known: Vec<&str> = named.into_iter().skip(1).step_by(2).collect();
        assert_eq!(known, Event::NAMES);
    }
}
