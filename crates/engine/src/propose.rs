//! From an ask to a commit: the proposer makes an edit, the store makes it a tree, the rules check the tree.

use std::{collections::BTreeMap, sync::Arc};

use empiric_agents::{Brief, Errands, Files, Proposal, Proposer, SourceError, Sources};
use empiric_core::{
    Ablation, Ask, Cause, CommitId, Edit, Failure, Hypothesis, Inspection, Operator, Phase,
    Prediction, Study, Task, TreeId, TrialNo, ablation::ABLATE, trial::Direction,
};
use empiric_ledger::Submission;
use empiric_lineage::{CommitSpec, Merge, Rules, Store};
use jiff::Timestamp;

/// What an edit is held to besides the task's rules.
#[derive(Default)]
struct Within<'a> {
    /// The surface that it stays in.
    surface: Option<&'a str>,
    /// Whether it may change nothing.
    placebo: bool,
}

/// What every proposal needs; the same for a whole session.
pub(crate) struct Workshop {
    pub(crate) store: Arc<Store>,
    pub(crate) rules: Arc<Rules>,
}

impl Workshop {
    /// Asks a proposer and makes its edit a commit; `study` is what the trial's arm sees. Blocks.
    pub(crate) fn propose(
        &self,
        proposer: &dyn Proposer,
        trial: TrialNo,
        ask: &Ask,
        study: &Study,
        at: Timestamp,
        errands: Arc<dyn Errands>,
    ) -> Result<Edit, Failure> {
        let edit = self.draft(proposer, trial, ask, study, errands)?;
        self.seal(trial, edit, study, at)
    }

    /// The same without the commit.
    pub(crate) fn draft(
        &self,
        proposer: &dyn Proposer,
        trial: TrialNo,
        ask: &Ask,
        study: &Study,
        errands: Arc<dyn Errands>,
    ) -> Result<Edit, Failure> {
        let trees = Trees {
            store: Arc::clone(&self.store),
            rules: Arc::clone(&self.rules),
            study: study.clone(),
        };
        let (ask, study) = (ask.clone(), study.clone());
        let brief = Brief { trial, ask, study, sources: Arc::new(trees), errands };
        let proposal = proposer.propose(&brief)?;
        let Brief { ask, study, .. } = &brief;
        let Proposal { operator, parents, surface, hypothesis, edits, thought, by, detail } =
            proposal;
        let edits =
            edits.into_iter().map(|(path, text)| (path, text.map(String::into_bytes))).collect();
        let name = proposer.name();
        let by = by.map_or_else(|| name.to_owned(), |role| format!("{name}/{role}"));
        let draft = Edit {
            proposer: by,
            operator,
            parents,
            surface: surface.or_else(|| ask.surface.clone()),
            hypothesis,
            tree: TreeId([0; 20]),
            commit: CommitId([0; 20]),
            files: Vec::new(),
            thought,
            inspection: Inspection::default(),
            detail,
        };
        // Whoever was asked for nothing in particular is held to the surface it claims.
        let surface = ask.surface.clone().or_else(|| draft.surface.clone());
        let within = Within { surface: surface.as_deref(), placebo: proposer.placebo() };
        self.tree(draft, &edits, &within, study)
    }

    /// Makes a submission a commit. Blocks.
    pub(crate) fn submit(
        &self,
        trial: TrialNo,
        ask: &Ask,
        by: String,
        submission: Submission,
        study: &Study,
        at: Timestamp,
    ) -> Result<Edit, Failure> {
        let draft = Edit {
            proposer: by,
            operator: ask.operator,
            parents: ask.parents.clone(),
            surface: None,
            hypothesis: Hypothesis {
                text: submission.hypothesis,
                prediction: submission.prediction,
            },
            tree: TreeId([0; 20]),
            commit: CommitId([0; 20]),
            files: Vec::new(),
            thought: None,
            inspection: Inspection::default(),
            detail: serde_json::Value::Null,
        };
        let edits = submission
            .files
            .into_iter()
            .map(|(path, text)| (path, text.map(String::into_bytes)))
            .collect();
        let edit = self.tree(draft, &edits, &Within::default(), study)?;
        self.seal(trial, edit, study, at)
    }

    /// Makes another trial of an edit that was made before. Blocks.
    pub(crate) fn again(
        &self,
        trial: TrialNo,
        edit: Edit,
        study: &Study,
        at: Timestamp,
    ) -> Result<Edit, Failure> {
        self.seal(trial, edit, study, at)
    }

    /// Takes hunks of a champion away and makes what is left a commit. Blocks.
    pub(crate) fn take_away(
        &self,
        trial: TrialNo,
        ask: &Ask,
        ablation: &Ablation,
        study: &Study,
        at: Timestamp,
    ) -> Result<Edit, Failure> {
        let Ablation { champion, hunks, margin, .. } = ablation;
        let without = ablation.without(trial, ask);
        let (old, new) = (parent(study, TrialNo::BASELINE)?.tree, parent(study, *champion)?.tree);
        let tree = self.store.without(old, new, &without).map_err(|error| harness(&error))?;
        let named = without.iter().filter_map(|at| hunks.get(*at));
        let named: Vec<String> = named.map(ToString::to_string).collect();
        let prediction = Prediction {
            metric: study.task().metric.name.clone(),
            direction: Direction::Unchanged,
            size: Some(*margin),
        };
        let singles = ask.parents.iter().copied().filter(|no| no != champion);
        let draft = Edit {
            proposer: ABLATE.to_owned(),
            operator: Operator::Ablate,
            parents: std::iter::once(*champion).chain(singles).collect(),
            surface: None,
            hypothesis: Hypothesis {
                text: format!("{champion} does as well without {}", named.join(", ")),
                prediction: Some(prediction),
            },
            tree,
            commit: CommitId([0; 20]),
            files: Vec::new(),
            thought: None,
            inspection: Inspection::default(),
            detail: serde_json::Value::Null,
        };
        let edit = self.checked(draft, new, &Within::default(), study)?;
        self.seal(trial, edit, study, at)
    }

    /// The edit with its tree, once the rules have let it pass.
    fn tree(
        &self,
        mut edit: Edit,
        edits: &BTreeMap<String, Option<Vec<u8>>>,
        within: &Within<'_>,
        study: &Study,
    ) -> Result<Edit, Failure> {
        for no in &edit.parents {
            parent(study, *no)?;
        }
        let first = edit.parents.first().ok_or_else(|| harness(&"an edit needs a parent"))?;
        let base = tree_of(study, *first)?;
        edit.tree = self.store.apply(base, edits).map_err(|error| {
            Failure::new(Phase::Apply, Cause::PatchDoesNotApply).excerpt(error.to_string())
        })?;
        self.checked(edit, base, within, study)
    }

    /// The edit with what it changes of `base`, once the rules have let its tree pass.
    fn checked(
        &self,
        mut edit: Edit,
        base: TreeId,
        within: &Within<'_>,
        study: &Study,
    ) -> Result<Edit, Failure> {
        match self.rules.check(&self.store, base, edit.tree, within.surface) {
            Ok(None) => {}
            Ok(Some(failure)) if within.placebo && failure.cause == Cause::EmptyEdit => {}
            Ok(Some(failure)) => return Err(failure),
            Err(error) => return Err(harness(&error)),
        }
        edit.files = self.store.diff(base, edit.tree).map_err(|error| harness(&error))?.files;
        let baseline = parent(study, TrialNo::BASELINE)?.tree;
        edit.inspection = inspect(&self.store, study.task(), baseline, edit.tree)
            .map_err(|error| harness(&error))?;
        Ok(edit)
    }

    /// The edit with its commit.
    fn seal(
        &self,
        trial: TrialNo,
        mut edit: Edit,
        study: &Study,
        at: Timestamp,
    ) -> Result<Edit, Failure> {
        let parents =
            edit.parents.iter().map(|no| parent(study, *no)).collect::<Result<Vec<_>, _>>()?;
        let message = format!(
            "{trial} {}: {}\n\nproposer: {}\n",
            edit.operator, edit.hypothesis.text, edit.proposer
        );
        let commits: Vec<CommitId> = parents.iter().map(|parent| parent.commit).collect();
        let spec = CommitSpec { tree: edit.tree, parents: &commits, message: &message, at, trial };
        edit.commit = self.store.commit(&spec).map_err(|error| harness(&error))?;
        Ok(edit)
    }
}

/// What the supervisor reads out of a tree, against the baseline's.
pub(crate) fn inspect(
    store: &Store,
    task: &Task,
    baseline: TreeId,
    tree: TreeId,
) -> Result<Inspection, empiric_lineage::Error> {
    Ok(empiric_supervise::inspect(task, &store.files(baseline)?, &store.files(tree)?))
}

fn parent(study: &Study, no: TrialNo) -> Result<&Edit, Failure> {
    let trial = study.trial(no).and_then(|trial| trial.edit.as_ref());
    trial.ok_or_else(|| {
        Failure::new(Phase::Apply, Cause::PatchDoesNotApply).excerpt(format!("{no} has no tree"))
    })
}

/// The tree of a trial.
pub(crate) fn tree_of(study: &Study, no: TrialNo) -> Result<TreeId, Failure> {
    parent(study, no).map(|edit| edit.tree)
}

fn harness(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Phase::Apply, Cause::HarnessFailed).excerpt(error.to_string())
}

/// The store as proposers read it: editable text files only.
struct Trees {
    store: Arc<Store>,
    rules: Arc<Rules>,
    study: Study,
}

impl Trees {
    fn edit(&self, no: TrialNo) -> Result<&Edit, SourceError> {
        let trial = self.study.trial(no).and_then(|trial| trial.edit.as_ref());
        trial.ok_or(SourceError::NoTree { trial: no })
    }

    fn read(&self, trial: TrialNo, tree: TreeId) -> Result<Files, SourceError> {
        let fail = |why: &dyn std::fmt::Display| SourceError::Store { trial, why: why.to_string() };
        let files = self.store.files(tree).map_err(|error| fail(&error))?;
        let editable = files.into_iter().filter(|(path, _)| self.rules.editable(path));
        Ok(editable
            .filter_map(|(path, bytes)| Some((path, Arc::from(std::str::from_utf8(&bytes).ok()?))))
            .collect())
    }
}

impl Sources for Trees {
    fn files(&self, trial: TrialNo) -> Result<Files, SourceError> {
        self.read(trial, self.edit(trial)?.tree)
    }

    fn merge(&self, one: TrialNo, other: TrialNo) -> Result<Files, SourceError> {
        let fail =
            |why: &dyn std::fmt::Display| SourceError::Store { trial: other, why: why.to_string() };
        let (ours, theirs) = (self.edit(one)?, self.edit(other)?);
        let base =
            self.store.merge_base(ours.commit, theirs.commit).map_err(|error| fail(&error))?;
        let base = base.ok_or_else(|| fail(&"the two have no common ancestor"))?;
        let base = self.store.tree_of(base).map_err(|error| fail(&error))?;
        match self.store.merge(base, ours.tree, theirs.tree).map_err(|error| fail(&error))? {
            Merge::Clean(tree) => self.read(one, tree),
            Merge::Conflicts(paths) => Err(SourceError::Conflict {
                one,
                other,
                path: paths.into_iter().next().unwrap_or_default(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
