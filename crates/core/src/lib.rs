//! The words every other crate speaks: ids, tasks, trials, outcomes, measurements, budgets, events, and the study
//! that a sequence of events amounts to.
//!
//! Pure by rule: no I/O, no clock, no environment, no threads. Whatever is decided from these types can be decided
//! again from the ledger alone.

pub mod ablation;
pub mod budget;
pub mod call;
pub mod course;
pub mod event;
pub mod figures;
pub mod globs;
pub mod id;
pub mod idea;
pub mod lines;
pub mod lore;
pub mod measure;
pub mod outcome;
pub mod pareto;
pub mod quote;
pub mod redline;
pub mod sample;
pub mod seed;
pub mod signature;
pub mod spend;
pub mod splits;
pub mod study;
pub mod task;
pub mod team;
pub mod trial;

pub use ablation::{Ablation, Hunk};
pub use budget::{Budget, Cost};
pub use call::{Call, CallFault, Caller, Fetch, Rehearsal, Spending};
pub use course::{Complexity, Course};
pub use event::{Event, Record};
pub use globs::Globs;
pub use id::{BlobId, CommitId, Digest, ReplicateId, StudyId, TreeId, TrialNo};
pub use idea::{Idea, IdeaChange, IdeaNo, IdeaStatus, Insight, Reach, Sketch, Thought};
pub use lines::Lines;
pub use lore::Lore;
pub use measure::{Bound, Gate, Goal, Measurement, Metric, Provenance, Split};
pub use outcome::{Blame, Cause, Failure, Outcome, Phase, Verdict};
pub use pareto::Pareto;
pub use redline::{Concern, Inspection, Quarantine, RedLine, Severity};
pub use sample::{Noise, Sample};
pub use seed::{Purpose, Seed};
pub use signature::Signature;
pub use spend::{Money, Spend, Usage};
pub use splits::{Assignment, Splits};
pub use study::Study;
pub use task::Task;
pub use team::{Role, Team};
pub use trial::{Ask, Edit, Hypothesis, Operator, Prediction, Replicate, Trial};
