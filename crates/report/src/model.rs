//! The report as facts and sentences: what the page, the Markdown and the JSON say, each in its own way.

mod cost;
mod failures;
mod finding;
mod keeps;
mod method;
mod predictions;

use empiric_core::{Provenance, Study, TrialNo, study::Arm};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::{Anytime, Curve, Status, anytime, page::text::flat};

pub(crate) use failures::failures;
pub(crate) use finding::{cautions, finding};
pub(crate) use keeps::{doubted, keeps, predicted};
pub(crate) use method::method;
pub(crate) use predictions::predictions;

pub use cost::{CostReport, PerPercent, PurposeCost};
pub use failures::FailureGroup;
pub use keeps::{Ablation, Doubt, KeepRow};
pub use method::Method;
pub use predictions::{Came, Checked, Predictions};

/// Version of the JSON form; bumped when anything is added.
pub const REPORT_SCHEMA: u32 = 1;
/// Most characters of all diffs.
const DIFFS: usize = 1_000_000;

/// What a report says and a study does not know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// Version of Empiric that writes the report.
    pub version: String,
    /// The machine that the study ran on.
    pub host: String,
    /// Hash of the ledger's last event, hexadecimal.
    pub ledger_head: Option<String>,
    /// The command line that makes the study again.
    pub command: String,
    /// The command line that checks the study.
    pub verify: String,
    /// When the report is written.
    pub generated_at: Timestamp,
}

/// A sentence with marks of Markdown; plain in JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Prose(pub(crate) String);

impl Serialize for Prose {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::prose::plain(&self.0))
    }
}

/// The finding in one line, and what it rests on.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// `shown`, `unsure` or `none`.
    pub class: &'static str,
    /// The line.
    pub claim: Prose,
    /// What it rests on.
    pub evidence: Prose,
}

/// What a reader must know before believing the finding.
#[derive(Debug, Clone, Serialize)]
pub struct Caution {
    /// In two or three words.
    pub name: &'static str,
    /// In full.
    pub text: Prose,
}

/// What was asked.
#[derive(Debug, Clone, Serialize)]
pub struct Question {
    /// The task's name.
    pub task: String,
    /// Its summary.
    pub summary: String,
    /// Gates, such as `accuracy >= 0.96`.
    pub gates: Vec<String>,
    /// Files that proposers may edit.
    pub edit: Vec<String>,
    /// Who vouches for the metric.
    pub provenance: Provenance,
}

/// What the study ran with.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// Its seed.
    pub seed: u64,
    /// The arms.
    pub arms: Vec<Arm>,
    /// BLAKE3 of the evaluator's files and command.
    pub evaluator: Option<String>,
    /// BLAKE3 of the data.
    pub data: Option<String>,
    /// BLAKE3 of the environment.
    pub environment: Option<String>,
    /// Events in the ledger.
    pub events: u64,
}

/// A study's report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`REPORT_SCHEMA`].
    pub schema: u32,
    /// What was asked.
    pub question: Question,
    /// What was found.
    pub finding: Finding,
    /// What stands against believing it.
    pub cautions: Vec<Caution>,
    /// Where the study stands: baseline, noise, champion, outcomes.
    pub status: Status,
    /// How it was measured and decided.
    pub method: Method,
    /// Every trial's score.
    pub curve: Curve,
    /// The confirmed gain of each arm, keep by keep.
    pub anytime: Vec<Anytime>,
    /// What was kept.
    pub keeps: Vec<KeepRow>,
    /// Keeps that are left out, the oldest.
    pub keeps_left_out: usize,
    /// What was doubted and not kept.
    pub doubted: Vec<Doubt>,
    /// What failed, the most frequent first.
    pub failures: Vec<FailureGroup>,
    /// Predictions against what came.
    pub predictions: Predictions,
    /// What it cost.
    pub cost: CostReport,
    /// What it ran with.
    pub environment: Environment,
    /// Who wrote the report, and how to check and repeat the study.
    pub facts: Facts,
    /// Notes: who, what.
    pub notes: Vec<(String, String)>,
}

impl Report {
    /// Who vouches for the metric.
    #[must_use]
    pub fn provenance(&self) -> Provenance {
        self.question.provenance
    }

    /// The report of `study`; the same for the same arguments.
    ///
    /// `diffs` gives a trial's change against its first parent as a unified diff; it is asked for kept trials alone.
    #[must_use]
    pub fn of(study: &Study, diffs: &dyn Fn(TrialNo) -> Option<String>, facts: &Facts) -> Self {
        let (task, settings, fixed) = (study.task(), study.settings(), study.fixed());
        let summary = empiric_decide::summary(study);
        let (mut kept, keeps_left_out) = keeps(study);
        let mut room = DIFFS;
        for keep in &mut kept {
            keep.diff = diffs(keep.trial).filter(|_| room > 0).map(|text| {
                let text: String = text.chars().take(room).collect();
                room -= text.chars().count();
                text
            });
        }
        Self {
            schema: REPORT_SCHEMA,
            question: Question {
                task: flat(&task.name, 80),
                summary: flat(&task.summary, 400),
                gates: task.gates.iter().map(ToString::to_string).collect(),
                edit: task.recipe.edit.clone(),
                provenance: task.provenance(),
            },
            finding: finding(study, &summary),
            cautions: cautions(study),
            status: Status::of(study),
            method: method(study, &summary),
            curve: Curve::of(study),
            anytime: anytime(study),
            keeps: kept,
            keeps_left_out,
            doubted: doubted(study),
            failures: failures(study),
            predictions: predictions(study),
            cost: CostReport::of(study, &summary),
            environment: Environment {
                seed: settings.seed,
                arms: settings.arms.clone(),
                evaluator: fixed.map(|fixed| fixed.evaluator.to_string()),
                data: fixed.map(|fixed| fixed.data.to_string()),
                environment: fixed.map(|fixed| fixed.environment.to_string()),
                events: study.seq(),
            },
            facts: facts.clone(),
            notes: study.notes().iter().cloned().collect(),
        }
    }
}
