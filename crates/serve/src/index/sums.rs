//! What trials that have something in common amount to, kept up as they change: no look at a summary counts trials.

use std::collections::BTreeMap;

use super::{Mark, Name, Row};

/// What trials can have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    Arm,
    Operator,
    Surface,
    Proposer,
    Cause,
}

impl Column {
    const ALL: [Self; 5] = [Self::Arm, Self::Operator, Self::Surface, Self::Proposer, Self::Cause];

    fn of(self, row: &Row) -> Name {
        match self {
            Self::Arm => row.arm,
            Self::Operator => row.operator,
            Self::Surface => row.surface,
            Self::Proposer => row.proposer,
            Self::Cause => row.cause,
        }
    }
}

/// What some trials amount to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Sum {
    pub(crate) trials: usize,
    /// By the place of the mark in [`Mark::ALL`].
    marks: [usize; Mark::ALL.len()],
    /// Ended ones that count against a budget.
    pub(crate) spent: usize,
    pub(crate) replicates: u64,
    pub(crate) cpu_s: f64,
    pub(crate) gpu_s: f64,
    pub(crate) calls: u64,
    pub(crate) tokens: u64,
    pub(crate) usd: f64,
    /// Gains of kept ones, added up.
    pub(crate) gained: f64,
    /// The largest of them.
    pub(crate) best: Option<f64>,
}

impl Sum {
    pub(crate) fn mark(&self, mark: Mark) -> usize {
        self.marks[mark as usize]
    }

    fn add(&mut self, row: &Row) {
        self.trials += 1;
        self.marks[row.mark as usize] += 1;
        self.spent += usize::from(row.spent);
        self.replicates += u64::from(row.replicates);
        self.calls += u64::from(row.calls);
        self.tokens += row.tokens;
        self.money(row, 1.0);
        if let Some(gain) = row.gain().filter(|_| row.mark == Mark::Keep) {
            self.best = Some(self.best.map_or(gain, |best| best.max(gain)));
        }
    }

    /// Takes back what `row` was when it was added. What was kept stays so, and with it the largest gain.
    fn take(&mut self, row: &Row) {
        self.trials -= 1;
        self.marks[row.mark as usize] -= 1;
        self.spent -= usize::from(row.spent);
        self.replicates -= u64::from(row.replicates);
        self.calls -= u64::from(row.calls);
        self.tokens -= row.tokens;
        self.money(row, -1.0);
    }

    fn money(&mut self, row: &Row, sign: f64) {
        let add = |sum: &mut f64, own: f64| *sum = (*sum + sign * own).max(0.0);
        add(&mut self.cpu_s, f64::from(row.cpu_s));
        add(&mut self.gpu_s, f64::from(row.gpu_s));
        add(&mut self.usd, row.usd);
        if let Some(gain) = row.gain().filter(|_| row.mark == Mark::Keep) {
            self.gained += sign * gain;
        }
    }
}

/// All such sums.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    whole: Sum,
    /// The baseline is in none of them.
    by: BTreeMap<(Column, Name), Sum>,
}

impl Sums {
    /// Takes in what became of a trial that was `before`.
    pub(super) fn change(&mut self, before: Option<&Row>, row: &Row) {
        if let Some(before) = before {
            self.whole.take(before);
        }
        self.whole.add(row);
        for column in Column::ALL {
            if let Some(before) = before.filter(|before| before.mark != Mark::Baseline) {
                let key = (column, column.of(before));
                if let Some(sum) = self.by.get_mut(&key) {
                    sum.take(before);
                    if sum.trials == 0 {
                        self.by.remove(&key);
                    }
                }
            }
            if row.mark != Mark::Baseline {
                self.by.entry((column, column.of(row))).or_default().add(row);
            }
        }
    }

    /// Of all trials, the baseline among them.
    pub(crate) fn whole(&self) -> &Sum {
        &self.whole
    }

    /// By what they have in common in `column`.
    pub(crate) fn by(&self, column: Column) -> impl Iterator<Item = (Name, &Sum)> {
        let of = move |((found, name), sum): (&(Column, Name), _)| {
            (*found == column).then_some((*name, sum))
        };
        self.by.iter().filter_map(of)
    }
}
