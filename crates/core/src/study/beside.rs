//! What a study knows beside its search: how often its report split was opened, what an ablation came to, which trials no
//! other one beats on several objectives, how many replicates have finished.

use std::sync::Arc;

use super::Study;
use crate::{Ablation, Pareto};

impl Study {
    /// A study that goes on after its closing comparison needs another one.
    pub(super) fn report_voided(&mut self) {
        let names: Vec<Arc<str>> = self.arms.keys().map(Arc::clone).collect();
        for name in names {
            if let Some(own) = self.arms.get_mut(&*name) {
                Arc::make_mut(own).report_voided();
            }
        }
    }

    /// How often the report split was opened. Only the first time nothing had been chosen by it.
    #[must_use]
    pub fn report_openings(&self) -> u32 {
        self.openings
    }

    /// The last ablation, under way or ended.
    #[must_use]
    pub fn ablation(&self) -> Option<&Ablation> {
        self.ablation.as_deref()
    }

    /// The trials that no other one beats on all objectives of the task.
    #[must_use]
    pub fn pareto(&self) -> &Pareto {
        &self.pareto
    }

    /// Replicates that have finished, usable or not.
    #[must_use]
    pub fn finished_replicates(&self) -> u32 {
        self.finished
    }
}
