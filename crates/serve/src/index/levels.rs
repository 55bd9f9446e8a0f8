//! The scores of all trials at every level of detail, kept up as they change: what a curve is drawn of, whatever the number
//! of trials. A cell stands for the trials of one kind in a stretch; a stretch of one level is two of the level below.

use std::collections::BTreeSet;

use super::{Mark, Name, Row};

/// Trials in a stretch of the finest level.
const FINEST: usize = 16;

/// What stands for trials of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    pub(crate) mark: Mark,
    pub(crate) arm: Name,
    /// The first one's number.
    pub(crate) at: u32,
    /// How many.
    pub(crate) trials: u32,
    /// How many of them have a score.
    pub(crate) scored: u32,
    /// Number and score of the first that has one; of the lowest; of the highest.
    first: (u32, f64),
    low: (u32, f64),
    high: (u32, f64),
}

impl Cell {
    fn of(row: &Row) -> Self {
        let score = (row.no, row.score);
        Self {
            mark: row.mark,
            arm: row.arm,
            at: row.no,
            trials: 1,
            scored: u32::from(row.score().is_some()),
            first: score,
            low: score,
            high: score,
        }
    }

    /// Adds one that lies to the right of it.
    fn add(&mut self, next: &Self) {
        self.trials += next.trials;
        if next.scored == 0 {
            return;
        }
        if self.scored == 0 {
            (self.first, self.low, self.high) = (next.first, next.low, next.high);
        } else {
            self.low = if next.low.1 < self.low.1 { next.low } else { self.low };
            self.high = if next.high.1 > self.high.1 { next.high } else { self.high };
        }
        self.scored += next.scored;
    }

    /// At most three points, by number: the lowest, the highest and the first, which stands for the rest. Each is a number, a
    /// score, and how many trials it stands for.
    pub(crate) fn points(&self) -> Vec<(u32, f64, u32)> {
        if self.scored == 0 {
            return Vec::new();
        }
        let mut chosen = vec![self.first, self.low, self.high];
        chosen.sort_by_key(|(no, _)| *no);
        chosen.dedup_by_key(|(no, _)| *no);
        let rest = self.scored - chosen.len() as u32;
        let counted = chosen.into_iter().enumerate();
        counted.map(|(at, (no, score))| (no, score, 1 + if at == 0 { rest } else { 0 })).collect()
    }
}

/// Cells of neighbours, put together by kind.
pub(crate) fn together(parts: impl IntoIterator<Item = Cell>) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for part in parts {
        match cells.iter_mut().find(|cell| (cell.mark, cell.arm) == (part.mark, part.arm)) {
            Some(cell) => cell.add(&part),
            None => cells.push(part),
        }
    }
    cells
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    /// By level and stretch.
    cells: Vec<Vec<Vec<Cell>>>,
    /// Stretches of the finest level that are not what they were.
    stale: BTreeSet<usize>,
}

impl Levels {
    /// Notes that the trial at `place` is not what it was.
    pub(super) fn touch(&mut self, place: usize) {
        self.stale.insert(place / FINEST);
    }

    /// Takes in what was touched.
    pub(super) fn settle(&mut self, rows: &[Row]) {
        let mut stale = std::mem::take(&mut self.stale);
        let mut stretches = rows.len().div_ceil(FINEST);
        let mut level = 0;
        while !stale.is_empty() {
            if self.cells.len() == level {
                // A new level takes in all of the one below.
                stale = (0..stretches).collect();
                self.cells.push(Vec::new());
            }
            let (below, from) = self.cells.split_at_mut(level);
            from[0].resize(stretches, Vec::new());
            for stretch in &stale {
                from[0][*stretch] = match below.last() {
                    None => together(rows.iter().skip(stretch * FINEST).take(FINEST).map(Cell::of)),
                    Some(below) => {
                        together(below.iter().skip(stretch * 2).take(2).flatten().copied())
                    }
                };
            }
            if stretches <= 1 {
                break;
            }
            stale = stale.into_iter().map(|stretch| stretch / 2).collect();
            stretches = stretches.div_ceil(2);
            level += 1;
        }
    }

    /// The trials from number `from` to `to`, in stretches of at least `wide` trials where there are so many: the cells of
    /// each. Where a stretch is cut by an end its trials are looked at themselves.
    pub(crate) fn stretches(&self, rows: &[Row], from: u32, to: u32, wide: u32) -> Vec<Vec<Cell>> {
        let (from, end) = (from as usize, (to as usize + 1).min(rows.len()));
        let level = (0..self.cells.len()).find(|level| FINEST << level >= wide as usize);
        let level = level.unwrap_or(self.cells.len().saturating_sub(1));
        let fine = (wide as usize) <= FINEST / 2 || self.cells.is_empty();
        let width = if fine { wide.max(1) as usize } else { FINEST << level };
        let mut found = Vec::new();
        let mut at = from;
        while at < end {
            let next = ((at / width + 1) * width).min(end);
            let whole = at.is_multiple_of(width) && next - at == width && !fine;
            found.push(if whole {
                self.cells[level][at / width].clone()
            } else {
                together(rows[at..next].iter().map(Cell::of))
            });
            at = next;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(no: u32, draw: u64) -> Row {
        let score = match draw % 5 {
            0 => f64::NAN,
            _ => (draw % 1009) as f64,
        };
        let mark = [Mark::Discard, Mark::Failed, Mark::Open][(draw / 7 % 3) as usize];
        Row { no, mark, score, arm: Name((draw / 3 % 2) as u16), ..Row::default() }
    }

    /// Of each kind: trials, scored ones, the lowest and the highest score.
    fn sums(cells: impl IntoIterator<Item = Cell>) -> Vec<(Mark, Name, u32, u32, [f64; 2])> {
        let mut found: Vec<_> = together(cells)
            .into_iter()
            .map(|cell| {
                let points = cell.points();
                let low = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
                let high = points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
                let counted: u32 = points.iter().map(|point| point.2).sum();
                assert_eq!(counted, cell.scored);
                assert!(points.is_sorted_by_key(|point| point.0));
                (cell.mark, cell.arm, cell.trials, cell.scored, [low, high])
            })
            .collect();
        found.sort_by_key(|(mark, arm, ..)| (*mark, *arm));
        found
    }

    #[test]
    fn every_level_says_of_any_part_what_its_trials_say() {
        let mut draw = 88_172_645_463_325_252_u64;
        let mut random = || {
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            draw
        };
        let mut levels = Levels::default();
        let mut rows: Vec<Row> = Vec::new();
        for round in 0..60 {
            for _ in 0..random() % 60 {
                let no = rows.len() as u32;
                levels.touch(rows.len());
                rows.push(row(no, random()));
            }
            for _ in 0..5 {
                let Some(place) = random().checked_rem(rows.len() as u64) else { continue };
                levels.touch(place as usize);
                rows[place as usize] = row(place as u32, random());
            }
            levels.settle(&rows);
            if rows.is_empty() {
                continue;
            }
            let last = rows.len() as u32 - 1;
            let (a, b) = (random() as u32 % (last + 1), random() as u32 % (last + 1));
            for (from, to) in [(0, last), (a.min(b), a.max(b))] {
                let truth = sums(rows[from as usize..=to as usize].iter().map(Cell::of));
                for wide in [1, 3, 16, 40, 500] {
                    let stretches = levels.stretches(&rows, from, to, wide);
                    let most = (to - from + 1).div_ceil(wide) + 2;
                    assert!(
                        stretches.len() <= most as usize,
                        "{round}: {} of {wide}",
                        stretches.len()
                    );
                    assert_eq!(
                        sums(stretches.into_iter().flatten()),
                        truth,
                        "{round}: {from} to {to} by {wide}"
                    );
                }
            }
        }
    }
}
