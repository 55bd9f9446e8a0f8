//! Every trial of a study in a few words of memory: what lists, curves and graphs are worked out of without asking the
//! database. About a hundred bytes a trial; brought up to date by what changed.

mod levels;
mod sums;

use std::collections::{BTreeSet, HashMap};

use empiric_core::TrialNo;
use empiric_ledger::Brief;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use self::{
    levels::Cell,
    sums::{Column, Sum},
};
use self::{levels::Levels, sums::Sums};

/// How a trial stands, as it is drawn.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mark {
    /// The unedited recipe.
    Baseline,
    /// Confirmed to be better than the champion of its moment.
    Keep,
    /// The evidence does not decide.
    Inconclusive,
    /// Not better, or not worth more replicates.
    Discard,
    /// Not measured to the end.
    Failed,
    /// Under way.
    #[default]
    Open,
}

impl Mark {
    pub(crate) const ALL: [Self; 6] =
        [Self::Baseline, Self::Keep, Self::Inconclusive, Self::Discard, Self::Failed, Self::Open];

    fn of(brief: &Brief) -> Self {
        match brief.verdict.as_deref() {
            _ if brief.no == TrialNo::BASELINE => Self::Baseline,
            Some("baseline") => Self::Baseline,
            Some("keep") => Self::Keep,
            Some("inconclusive") => Self::Inconclusive,
            Some(_) => Self::Discard,
            None if brief.cause.is_some() => Self::Failed,
            None => Self::Open,
        }
    }
}

/// A name that many trials share, by its place in [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Name(u16);

/// Names, each held once. The first is the empty one, which stands for none.
#[derive(Debug)]
pub(crate) struct Names {
    texts: Vec<String>,
    places: HashMap<String, Name>,
}

impl Names {
    fn new() -> Self {
        let mut names = Self { texts: Vec::new(), places: HashMap::new() };
        names.put("");
        names
    }

    fn put(&mut self, text: &str) -> Name {
        if let Some(name) = self.places.get(text) {
            return *name;
        }
        // Proposers choose some of them; whoever sends more than there is room for gets the last one's.
        let Ok(place) = u16::try_from(self.texts.len()) else { return Name(u16::MAX) };
        self.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), Name(place));
        Name(place)
    }

    /// The name, where it is one.
    pub(crate) fn get(&self, name: Name) -> Option<&str> {
        self.texts.get(usize::from(name.0)).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Where `text` is held, if any trial bears it.
    pub(crate) fn find(&self, text: &str) -> Option<Name> {
        self.places.get(text).copied()
    }
}

/// A trial.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) no: u32,
    pub(crate) mark: Mark,
    pub(crate) arm: Name,
    pub(crate) operator: Name,
    pub(crate) surface: Name,
    pub(crate) proposer: Name,
    pub(crate) cause: Name,
    pub(crate) blame: Name,
    pub(crate) phase: Name,
    pub(crate) parents: Box<[u32]>,
    /// Not a number where there is none.
    pub(crate) score: f64,
    pub(crate) score_n: u32,
    /// Not a number where there is none.
    pub(crate) gain: f64,
    pub(crate) replicates: u32,
    pub(crate) cpu_s: f32,
    pub(crate) gpu_s: f32,
    /// Calls of models.
    pub(crate) calls: u32,
    pub(crate) tokens: u64,
    pub(crate) usd: f64,
    /// Whether it counts against a budget of trials.
    pub(crate) spent: bool,
    /// Microseconds since 1970.
    pub(crate) asked_at: i64,
    /// The same; 0 while it is open.
    pub(crate) ended_at: i64,
    /// The event that ended it; 0 while it is open.
    pub(crate) seq_ended: u64,
}

impl Row {
    pub(crate) fn trial(&self) -> TrialNo {
        TrialNo(self.no)
    }

    pub(crate) fn score(&self) -> Option<f64> {
        Some(self.score).filter(|score| score.is_finite())
    }

    pub(crate) fn gain(&self) -> Option<f64> {
        Some(self.gain).filter(|gain| gain.is_finite())
    }
}

/// All trials.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) rows: Vec<Row>,
    pub(crate) names: Names,
    levels: Levels,
    sums: Sums,
    children: Vec<Vec<u32>>,
    /// Kept trials in the order of their conclusions, as `(event, trial)`.
    keeps: BTreeSet<(u64, u32)>,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            rows: Vec::new(),
            names: Names::new(),
            levels: Levels::default(),
            sums: Sums::default(),
            children: Vec::new(),
            keeps: BTreeSet::new(),
        }
    }

    /// Takes a trial in, or what became of one; [`Index::settle`] is due after the last of them.
    pub(crate) fn take(&mut self, brief: &Brief) {
        let mut name = |text: &Option<String>| self.names.put(text.as_deref().unwrap_or_default());
        let mark = Mark::of(brief);
        let spared = matches!(brief.blame.as_deref(), Some("infra" | "evaluator"));
        let row = Row {
            no: brief.no.0,
            mark,
            spent: !matches!(mark, Mark::Open | Mark::Baseline) && !spared,
            calls: u32::try_from(brief.calls).unwrap_or(u32::MAX),
            tokens: brief.tokens,
            usd: brief.usd,
            surface: name(&brief.surface),
            proposer: name(&brief.proposer),
            cause: name(&brief.cause),
            blame: name(&brief.blame),
            phase: name(&brief.phase),
            arm: self.names.put(&brief.arm),
            operator: self.names.put(&brief.operator),
            parents: brief.parents.iter().map(|parent| parent.0).collect(),
            score: brief.score.unwrap_or(f64::NAN),
            score_n: brief.score_n,
            gain: brief.gain.unwrap_or(f64::NAN),
            replicates: brief.replicates,
            cpu_s: brief.cpu_s as f32,
            gpu_s: brief.gpu_s as f32,
            asked_at: brief.asked_at.as_microsecond(),
            ended_at: brief.ended_at.map_or(0, |at| at.as_microsecond()),
            seq_ended: brief.seq_ended.unwrap_or(0),
        };
        let place = row.no as usize;
        if row.mark == Mark::Keep {
            self.keeps.insert((row.seq_ended, row.no));
        }
        // The numbers of a ledger's trials have no gaps.
        if place == self.rows.len() {
            self.sums.change(None, &row);
            self.levels.touch(place);
            self.rows.push(row);
            self.children.push(Vec::new());
            self.adopt(place);
        } else if let Some(held) = self.rows.get_mut(place) {
            self.sums.change(Some(held), &row);
            self.levels.touch(place);
            let moved = held.parents != row.parents;
            let before = std::mem::replace(held, row);
            if moved {
                for parent in &before.parents {
                    if let Some(of) = self.children.get_mut(*parent as usize) {
                        of.retain(|child| *child != before.no);
                    }
                }
                self.adopt(place);
            }
        }
    }

    /// Brings the levels of detail up to what was taken in.
    pub(crate) fn settle(&mut self) {
        self.levels.settle(&self.rows);
    }

    /// The trials from number `from` to `to` in stretches of about `wide`, see [`Levels::stretches`].
    pub(crate) fn stretches(&self, from: u32, to: u32, wide: u32) -> Vec<Vec<Cell>> {
        self.levels.stretches(&self.rows, from, to, wide)
    }

    /// What all trials amount to, the baseline among them.
    pub(crate) fn whole(&self) -> &Sum {
        self.sums.whole()
    }

    /// What trials amount to that have something in common; the baseline is not among them.
    pub(crate) fn by(&self, column: Column) -> impl Iterator<Item = (Name, &Sum)> {
        self.sums.by(column)
    }

    fn adopt(&mut self, place: usize) {
        for parent in &self.rows[place].parents {
            if let Some(of) = self.children.get_mut(*parent as usize) {
                of.push(self.rows[place].no);
            }
        }
    }

    pub(crate) fn row(&self, no: TrialNo) -> Option<&Row> {
        self.rows.get(no.0 as usize)
    }

    /// Trials that start from this one, in the order in which they became known.
    pub(crate) fn children(&self, no: u32) -> &[u32] {
        self.children.get(no as usize).map_or(&[], Vec::as_slice)
    }

    /// Kept trials, in the order of their conclusions.
    pub(crate) fn keeps(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.keeps.iter().map(|(_, no)| *no)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn brief(no: u32, parents: &[u32]) -> Brief {
        Brief {
            no: TrialNo(no),
            arm: "tuner".to_owned(),
            operator: "tune".to_owned(),
            parents: parents.iter().copied().map(TrialNo).collect(),
            surface: None,
            proposer: None,
            verdict: None,
            cause: None,
            blame: None,
            phase: None,
            gain: None,
            score: None,
            score_n: 0,
            replicates: 0,
            wall_s: 0.0,
            cpu_s: 0.0,
            gpu_s: 0.0,
            calls: 0,
            tokens: 0,
            usd: 0.0,
            asked_at: Timestamp::UNIX_EPOCH,
            ended_at: None,
            seq_ended: None,
        }
    }

    #[test]
    fn children_follow_the_parents_that_an_edit_turns_out_to_have() {
        let mut index = Index::new();
        for (no, parents) in [(0, &[][..]), (1, &[0]), (2, &[0])] {
            index.take(&brief(no, parents));
        }
        assert_eq!(index.children(0), [1, 2]);
        index.take(&brief(2, &[1]));
        index.take(&brief(2, &[1]));
        assert_eq!((index.children(0), index.children(1)), (&[1][..], &[2][..]));
    }

    #[test]
    fn keeps_are_in_the_order_of_their_conclusions() {
        let mut index = Index::new();
        let keep = |no, seq| Brief {
            verdict: Some("keep".to_owned()),
            seq_ended: Some(seq),
            ..brief(no, &[0])
        };
        index.take(&brief(0, &[]));
        for brief in [keep(1, 40), keep(2, 30), brief(3, &[1])] {
            index.take(&brief);
        }
        assert_eq!(index.keeps().collect::<Vec<_>>(), [2, 1]);
        assert_eq!(index.row(TrialNo(3)).map(|row| row.mark), Some(Mark::Open));
        assert_eq!(index.row(TrialNo(0)).map(|row| row.mark), Some(Mark::Baseline));
    }
}
