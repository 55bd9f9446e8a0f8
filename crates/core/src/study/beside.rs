//! What a study knows beside its search: how often its report split was opened, what an ablation came to, which trials no
//! other one beats on several objectives, how many replicates have finished.

use super::Study;
use crate::{Ablation, Pareto};

impl Study {
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
