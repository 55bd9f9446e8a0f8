//! What the tuner keeps between proposals. All of it can be rebuilt from the study and the trees, and none of it changes
//! what is proposed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use empiric_core::{Digest, Globs, Study, StudyId, Trial, TrialNo};

use super::{
    find::{Found, Recipe, find},
    history::{Made, Point},
};
use crate::{Files, SourceError, Sources};

/// Parsed files kept.
const FILES: usize = 256;
/// Parsed trees kept.
const TREES: usize = 16;

/// Parsed files and trees, and the points tried.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    study: Option<StudyId>,
    files: Recent<Digest, Found>,
    trees: Recent<TrialNo, Recipe>,
    tried: BTreeMap<String, Vec<TrialNo>>,
    /// How many trials, from the first on, are in `tried` and `made`.
    followed: usize,
    /// What the tuner made, by trial.
    made: BTreeMap<TrialNo, Option<Arc<Made>>>,
}

impl Memo {
    /// Forgets another study's trees and takes in the points tried since last time.
    pub(crate) fn follow(&mut self, study: &Study) {
        if self.study != Some(study.id()) {
            *self = Self { study: Some(study.id()), ..Self::default() };
        }
        while let Some(trial) = study.trials().get(self.followed) {
            if trial.edit.is_none() && trial.outcome.is_none() && trial.no != TrialNo::BASELINE {
                break;
            }
            let made = Made::of(trial).map(Arc::new);
            if let Some(made) = &made {
                self.tried.entry(made.point.fingerprint()).or_default().push(trial.no);
            }
            self.made.insert(trial.no, made);
            self.followed += 1;
        }
    }

    /// What the tuner made in this trial, as far as the trial's own snapshot knows.
    pub(crate) fn made(&self, trial: &Trial) -> Option<Arc<Made>> {
        if trial.edit.is_none() && trial.no != TrialNo::BASELINE {
            return None;
        }
        match self.made.get(&trial.no) {
            Some(made) => made.clone(),
            None => Made::of(trial).map(Arc::new),
        }
    }

    /// Whether a trial of the snapshot is at this point already.
    pub(crate) fn tried(&self, study: &Study, point: &Point) -> bool {
        let fingerprint = point.fingerprint();
        let known = |no: &TrialNo| {
            *no == TrialNo::BASELINE || study.trial(*no).is_some_and(|trial| trial.edit.is_some())
        };
        self.tried.get(&fingerprint).is_some_and(|trials| trials.iter().any(known))
            || (self.followed..study.trials().len())
                .filter_map(|place| study.trials().get(place))
                .filter_map(|trial| Made::of(trial))
                .any(|other| other.point.fingerprint() == fingerprint)
    }

    /// The parsed tree of a trial.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn recipe(
        &mut self,
        sources: &dyn Sources,
        trial: TrialNo,
        editable: &Globs,
    ) -> Result<Arc<Recipe>, SourceError> {
        if let Some(recipe) = self.trees.get(&trial) {
            return Ok(recipe);
        }
        let recipe = self.parse(sources.files(trial)?, editable);
        Ok(self.trees.put(trial, recipe, TREES))
    }

    /// Parses a tree, leaving files that were seen before alone.
    pub(crate) fn parse(&mut self, files: Files, editable: &Globs) -> Recipe {
        let mut all = Vec::new();
        for (path, text) in files.iter().filter(|(path, _)| editable.matches(path)) {
            let key = Digest::of(format!("{path}\0{text}").as_bytes());
            let found = self
                .files
                .get(&key)
                .unwrap_or_else(|| self.files.put(key, find(path, text), FILES));
            all.push(found);
        }
        Recipe::new(files, &all)
    }
}

/// A map that forgets what was put in first.
#[derive(Debug)]
struct Recent<K, V> {
    held: BTreeMap<K, Arc<V>>,
    order: VecDeque<K>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { held: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<K: Ord + Copy, V> Recent<K, V> {
    fn get(&self, key: &K) -> Option<Arc<V>> {
        self.held.get(key).cloned()
    }

    fn put(&mut self, key: K, value: V, most: usize) -> Arc<V> {
        let value = Arc::new(value);
        self.held.insert(key, Arc::clone(&value));
        self.order.push_back(key);
        if self.order.len() > most
            && let Some(oldest) = self.order.pop_front()
        {
            self.held.remove(&oldest);
        }
        value
    }
}
