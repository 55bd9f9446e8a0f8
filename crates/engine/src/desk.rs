//! A study from outside: where other processes hand in trials, ask for things, and learn what became of them.
//!
//! A desk never writes to the ledger and decides nothing. What is handed in lies in the inbox until whoever is at work
//! on the study takes it; everything that is told comes from the ledger. Edits are brought into one form here, and tried
//! against the tree they start from, so that one which does not fit is turned away at once and with a remedy.

use std::{collections::BTreeMap, path::PathBuf};

use empiric_agents::{EditError, Edits, Files, ReplaceError, Replacement, replace};
use empiric_core::{
    Cause, Failure, Phase, Prediction, Study, TreeId, Trial, TrialNo,
    study::SUBMITTED,
    trial::{Direction, FileChange},
};
use empiric_ledger::{Answer, Clock, Inbox, Reader, Request, RequestId, Submission};
use empiric_lineage::{Import, Rules, Store};

use crate::Layout;

/// An edit in one of the forms that people and programs write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A unified or git diff.
    Patch(String),
    /// Search-and-replace blocks, see [`Edits`].
    Blocks(String),
    /// Texts to find and what comes in their places, in turn.
    Replacements(Vec<Replacement>),
    /// Whole new contents by path; none deletes the file.
    Files(BTreeMap<String, Option<String>>),
    /// A directory that holds the recipe as edited.
    Directory(PathBuf),
}

/// A trial as it is handed in.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The edit.
    pub form: Form,
    /// The trial it starts from; the champion where none is named.
    pub parent: Option<TrialNo>,
    /// Why it is worth measuring.
    pub hypothesis: String,
    /// How far the metric is expected to move, signed, in its unit.
    pub predict: Option<f64>,
}

/// A draft that fits its parent.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitting {
    /// The trial it starts from.
    pub parent: TrialNo,
    /// What changes, computed from trees.
    pub changes: Vec<FileChange>,
    /// The tree that it leads to.
    pub tree: TreeId,
    base: TreeId,
    submission: Submission,
}

/// Why something cannot be handed in or looked up.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// No such trial.
    #[error("there is no trial `{word}` in this study; the last is {last}")]
    NoTrial {
        /// What was asked for.
        word: String,
        /// The newest trial.
        last: TrialNo,
    },
    /// The trial has no tree.
    #[error("{0} has no tree: its edit was never made")]
    NoTree(TrialNo),
    /// The hypothesis is empty.
    #[error("the hypothesis is empty; say in a sentence or two why the edit is worth measuring")]
    NoHypothesis,
    /// The prediction is no number.
    #[error("the predicted change is not finite")]
    NoPrediction,
    /// A patch, or what it names, does not fit.
    #[error("the edit does not fit the tree of {parent}")]
    Unfit {
        /// The trial it was tried against.
        parent: TrialNo,
        /// Why.
        #[source]
        source: empiric_lineage::Error,
    },
    /// A block does not fit.
    #[error("the edit does not fit the tree of {parent}")]
    UnfitBlock {
        /// The trial it was tried against.
        parent: TrialNo,
        /// Why.
        #[source]
        source: EditError,
    },
    /// A replacement does not fit.
    #[error("the edit does not fit the tree of {parent}")]
    UnfitReplacement {
        /// The trial it was tried against.
        parent: TrialNo,
        /// Why.
        #[source]
        source: ReplaceError,
    },
    /// The directory cannot be read as a recipe.
    #[error("read the edited recipe")]
    Directory(#[source] empiric_lineage::Error),
    /// A changed file is not text.
    #[error("`{0}` is not UTF-8 text; an edit is made of text")]
    NotText(String),
    /// Nothing changes.
    #[error("the edit changes nothing against {0}")]
    Nothing(TrialNo),
    /// The ledger cannot be read, or the inbox not written.
    #[error(transparent)]
    Ledger(#[from] empiric_ledger::Error),
    /// The store cannot be read.
    #[error(transparent)]
    Lineage(#[from] empiric_lineage::Error),
}

impl DeskError {
    /// What to do about it, where the message does not say.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::NoTrial { .. } => Some("say t17, 17, `champion` or `baseline`".to_owned()),
            Self::Unfit { parent, .. }
            | Self::UnfitBlock { parent, .. }
            | Self::UnfitReplacement { parent, .. } => Some(format!(
                "read the files of {parent} and make the edit against them, or name the parent that it was made against"
            )),
            Self::NoTree(_)
            | Self::NoHypothesis
            | Self::NoPrediction
            | Self::Directory(_)
            | Self::NotText(_)
            | Self::Nothing(_)
            | Self::Ledger(_)
            | Self::Lineage(_) => None,
        }
    }
}

/// Where a trial that was handed in stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Nobody has taken it yet.
    Waiting,
    /// It was not taken.
    Refused(String),
    /// It is a trial, open or ended.
    Taken(Box<Trial>),
}

/// What names a trial from outside: its number once it has one, or the request that handed it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handle {
    /// Its number.
    Trial(TrialNo),
    /// The request.
    Request(RequestId),
}

/// The outside of one study.
#[derive(Clone)]
pub struct Desk {
    layout: Layout,
    clock: Clock,
}

impl Desk {
    /// The desk of the study in `layout`.
    #[must_use]
    pub fn new(layout: Layout, clock: Clock) -> Self {
        Self { layout, clock }
    }

    /// Where the study lies.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether a process is at work on the study, and so takes what is handed in.
    #[must_use]
    pub fn at_work(&self) -> bool {
        empiric_ledger::is_locked(self.layout.root())
    }

    /// The ledger.
    ///
    /// # Errors
    /// When there is none.
    pub fn reader(&self) -> Result<Reader, DeskError> {
        Ok(Reader::open(self.layout.root())?)
    }

    /// The study as of now.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn study(&self) -> Result<Study, DeskError> {
        Ok(self.reader()?.study()?)
    }

    /// The git store.
    ///
    /// # Errors
    /// When there is none.
    pub fn store(&self) -> Result<Store, DeskError> {
        Ok(Store::open(&self.layout.store())?)
    }

    /// Posts a request in the name of `by`.
    ///
    /// # Errors
    /// When the inbox cannot be written.
    pub fn post(&self, by: &str, request: Request) -> Result<RequestId, DeskError> {
        Ok(Inbox::of(self.layout.root()).post(by, request, (self.clock)())?)
    }

    /// What became of a request; nothing while it waits.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn answer(&self, request: RequestId) -> Result<Option<Answer>, DeskError> {
        Ok(self.reader()?.answer(request)?)
    }

    /// Tries a draft against the tree it starts from.
    ///
    /// # Errors
    /// When it does not fit, changes nothing, or is no text.
    pub fn fit(&self, study: &Study, draft: Draft) -> Result<Fitting, DeskError> {
        let Draft { form, parent, hypothesis, predict } = draft;
        if hypothesis.trim().is_empty() {
            return Err(DeskError::NoHypothesis);
        }
        if predict.is_some_and(|delta| !delta.is_finite()) {
            return Err(DeskError::NoPrediction);
        }
        let parent = parent.unwrap_or_else(|| study.champion());
        let base = tree(found(study, parent)?)?;
        let store = self.store()?;
        let unfit = |source| DeskError::Unfit { parent, source };
        let texts = || -> Result<Files, DeskError> {
            let files = store.files(base)?.into_iter();
            Ok(files
                .filter_map(|(path, bytes)| Some((path, std::str::from_utf8(&bytes).ok()?.into())))
                .collect())
        };
        let whole = |files: BTreeMap<String, Option<String>>| {
            let bytes = files.into_iter().map(|(path, text)| (path, text.map(String::into_bytes)));
            store.apply(base, &bytes.collect()).map_err(unfit)
        };
        let some = |files: BTreeMap<String, String>| {
            whole(files.into_iter().map(|(path, text)| (path, Some(text))).collect())
        };
        let tree = match form {
            Form::Patch(text) => store.apply_patch(base, &text).map_err(unfit)?,
            Form::Blocks(text) => {
                let files = texts()?;
                let changed = Edits::parse(&text).and_then(|edits| edits.apply(&files));
                some(changed.map_err(|source| DeskError::UnfitBlock { parent, source })?)?
            }
            Form::Replacements(all) => {
                let changed = replace(&texts()?, &all);
                some(changed.map_err(|source| DeskError::UnfitReplacement { parent, source })?)?
            }
            Form::Files(files) => whole(files)?,
            Form::Directory(dir) => {
                store.import(&dir, &Import::default()).map_err(DeskError::Directory)?
            }
        };
        let changes = store.diff(base, tree)?.files;
        if changes.is_empty() {
            return Err(DeskError::Nothing(parent));
        }
        let mut files = BTreeMap::new();
        for change in &changes {
            let text = match store.read(tree, &change.path)? {
                Some(bytes) => Some(
                    String::from_utf8(bytes)
                        .map_err(|_| DeskError::NotText(change.path.clone()))?,
                ),
                None => None,
            };
            files.insert(change.path.clone(), text);
        }
        let prediction = predict.map(|delta| predicted(study, delta));
        let submission = Submission { files, parents: vec![parent], hypothesis, prediction };
        Ok(Fitting { parent, changes, tree, base, submission })
    }

    /// What the static checks would end the trial with, and whether its tree was measured already. Asking costs nothing;
    /// whoever takes the trial checks again.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn check(&self, study: &Study, fitting: &Fitting) -> Result<Option<Failure>, DeskError> {
        let rules = Rules::new(study.task())?;
        let failure = rules.check(&self.store()?, fitting.base, fitting.tree, None)?;
        Ok(failure.or_else(|| {
            let of = crate::dispatcher::settled(&study.of_arm(SUBMITTED), fitting.tree)?;
            Some(Failure::new(Phase::Static, Cause::DuplicateTree { of }))
        }))
    }

    /// Hands a trial in.
    ///
    /// # Errors
    /// When the inbox cannot be written.
    pub fn submit(&self, by: &str, fitting: Fitting) -> Result<RequestId, DeskError> {
        self.post(by, Request::Submit { submission: fitting.submission })
    }

    /// Where a trial stands. Costs the same at any size of the study.
    ///
    /// # Errors
    /// When the ledger cannot be read, or there is no such trial.
    pub fn standing(&self, handle: Handle) -> Result<Standing, DeskError> {
        let reader = self.reader()?;
        let no = match handle {
            Handle::Trial(no) => no,
            Handle::Request(request) => match reader.answer(request)? {
                None => return Ok(Standing::Waiting),
                Some(Answer { trial: Some(no), .. }) => no,
                Some(Answer { refusal, .. }) => {
                    let why = refusal.unwrap_or_else(|| "it became no trial".to_owned());
                    return Ok(Standing::Refused(why));
                }
            },
        };
        match reader.trial(no)? {
            Some(trial) => Ok(Standing::Taken(Box::new(trial))),
            None => {
                let study = reader.study()?;
                Err(DeskError::NoTrial { word: no.to_string(), last: last(&study) })
            }
        }
    }

    /// The text files of a trial's tree, by path; others have none.
    ///
    /// # Errors
    /// When the trial has no tree, or the store cannot be read.
    pub fn files(&self, trial: &Trial) -> Result<BTreeMap<String, Option<String>>, DeskError> {
        let files = self.store()?.files(tree(trial)?)?;
        Ok(files
            .into_iter()
            .map(|(path, bytes)| (path, std::str::from_utf8(&bytes).ok().map(str::to_owned)))
            .collect())
    }

    /// What changed from `old` to `new`, as a unified diff.
    ///
    /// # Errors
    /// When one has no tree, or the store cannot be read.
    pub fn diff(&self, old: &Trial, new: &Trial) -> Result<String, DeskError> {
        Ok(self.store()?.diff(tree(old)?, tree(new)?)?.unified().to_owned())
    }
}

impl Standing {
    /// The trial, once it has ended.
    #[must_use]
    pub fn ended(&self) -> Option<&Trial> {
        match self {
            Self::Taken(trial) if trial.outcome.is_some() => Some(trial),
            Self::Waiting | Self::Refused(_) | Self::Taken(_) => None,
        }
    }
}

/// The trial that a word names: `t17`, `17`, `champion`, `baseline`.
///
/// # Errors
/// When there is no such trial.
pub fn named<'a>(study: &'a Study, word: &str) -> Result<&'a Trial, DeskError> {
    let no = match word.trim() {
        "champion" => Some(study.champion()),
        "baseline" => Some(TrialNo::BASELINE),
        word => word.parse().ok(),
    };
    let unknown =
        || DeskError::NoTrial { word: empiric_core::quote::line(word, 40), last: last(study) };
    study.trial(no.ok_or_else(unknown)?).map(AsRef::as_ref).ok_or_else(unknown)
}

fn found(study: &Study, no: TrialNo) -> Result<&Trial, DeskError> {
    let unknown = || DeskError::NoTrial { word: no.to_string(), last: last(study) };
    study.trial(no).map(AsRef::as_ref).ok_or_else(unknown)
}

fn tree(trial: &Trial) -> Result<TreeId, DeskError> {
    trial.edit.as_ref().map(|edit| edit.tree).ok_or(DeskError::NoTree(trial.no))
}

fn last(study: &Study) -> TrialNo {
    TrialNo(study.next_trial().0.saturating_sub(1))
}

/// A signed change of the study's metric as a prediction.
fn predicted(study: &Study, delta: f64) -> Prediction {
    let direction = match delta {
        0.0 => Direction::Unchanged,
        delta if delta > 0.0 => Direction::Increase,
        _ => Direction::Decrease,
    };
    Prediction { metric: study.task().metric.name.clone(), direction, size: Some(delta.abs()) }
}
