//! Splits that Empiric makes itself: how they are declared, and which item is in which.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Split;

/// How the items of an evaluation are dealt to the splits; once, before anything is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Splits {
    /// The table of items, one a line under a line of column names, in data that recipe code does not see.
    pub items: String,
    /// The column that tells items apart.
    pub id: String,
    /// Shares of search, select and report, in proportion.
    pub weights: [f64; 3],
    /// Column whose values are dealt evenly.
    pub stratify: Option<String>,
    /// Column whose equal values stay together.
    pub group: Option<String>,
    /// Column to order by: the earliest items are for search, the latest for the report.
    pub time: Option<String>,
    /// Column that names each item's split; nothing is dealt then.
    pub column: Option<String>,
    /// What the dealing derives from, beside the table itself.
    pub seed: u64,
}

/// Which item is in which split: ids, in the order they were dealt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Items whose scores proposers see.
    pub search: Vec<String>,
    /// Items that verdicts are made on.
    pub select: Vec<String>,
    /// Items of the closing comparison.
    pub report: Vec<String>,
}

impl Assignment {
    /// The items of `split`.
    #[must_use]
    pub fn of(&self, split: Split) -> &[String] {
        match split {
            Split::Search => &self.search,
            Split::Select => &self.select,
            Split::Report => &self.report,
        }
    }

    /// The items of `split`, to add to.
    pub fn of_mut(&mut self, split: Split) -> &mut Vec<String> {
        match split {
            Split::Search => &mut self.search,
            Split::Select => &mut self.select,
            Split::Report => &mut self.report,
        }
    }
}
