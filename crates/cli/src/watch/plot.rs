//! The score curve in cells: a shape for each outcome, the best confirmed level as a line, the baseline's noise as two dotted ones.

use empiric_core::{Goal, TrialNo};
use empiric_report::{Curve, Mark};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Style},
    widgets::Widget,
};

use super::draw::Paint;
use crate::words;

/// How an outcome is drawn.
pub(super) fn glyph(mark: Mark) -> &'static str {
    match mark {
        Mark::Baseline => "■",
        Mark::Keep => "●",
        Mark::Inconclusive => "◇",
        Mark::Discard => "·",
        Mark::Failed => "×",
        Mark::Open => "○",
    }
}

/// The colour of an outcome; its shape says the same.
pub(super) fn colour(mark: Mark) -> Color {
    match mark {
        Mark::Baseline => Color::Blue,
        Mark::Keep => Color::Green,
        Mark::Inconclusive => Color::Yellow,
        Mark::Discard => Color::Reset,
        Mark::Failed => Color::Red,
        Mark::Open => Color::Cyan,
    }
}

/// A curve to draw. Its last two rows hold failures and the axis.
pub(super) struct Plot<'a> {
    pub(super) curve: &'a Curve,
    pub(super) goal: Goal,
    pub(super) selected: Option<TrialNo>,
    pub(super) paint: Paint,
}

/// Where values and trials lie.
struct Place {
    area: Rect,
    low: f64,
    high: f64,
    last: u32,
}

impl Place {
    fn x(&self, trial: u32) -> u16 {
        let room = f64::from(self.area.width.saturating_sub(1));
        let way = f64::from(trial) / f64::from(self.last.max(1));
        self.area.x + (room * way).round() as u16
    }

    /// The row of a value; at the edge beyond it.
    fn y(&self, value: f64) -> u16 {
        let room = f64::from(self.area.height.saturating_sub(1));
        let way = ((self.high - value) / (self.high - self.low)).clamp(0.0, 1.0);
        let way = if way.is_nan() { 0.5 } else { way };
        self.area.y + (room * way).round() as u16
    }
}

impl Widget for Plot<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        if area.height < 4 || area.width < 24 {
            return;
        }
        let Some([low, high]) = self.curve.limits else {
            buf.set_string(area.x, area.y, "nothing has been measured yet", self.paint.faint());
            return;
        };
        let (low, high) = if high > low { (low, high) } else { (low - 1.0, high + 1.0) };
        let rows = area.height - 2;
        let value = |row: u16| high - (high - low) * f64::from(row) / f64::from(rows.max(2) - 1);
        let labelled = [0, rows / 2, rows - 1];
        let labels = labelled.map(|row| words::number(value(row)));
        let left = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0) as u16 + 1;
        for (row, label) in labelled.into_iter().zip(&labels) {
            let pad = left - 1 - label.chars().count() as u16;
            buf.set_string(area.x + pad, area.y + row, label, self.paint.faint());
        }
        let inner = Rect { x: area.x + left, y: area.y, width: area.width - left, height: rows };
        let place = Place { area: inner, low, high, last: self.curve.last };
        self.bands(&place, buf);
        self.levels(&place, buf);
        self.dots(&place, buf);
        self.axis(&place, buf);
    }
}

impl Plot<'_> {
    fn put(&self, buf: &mut Buffer, at: (u16, u16), text: &str, style: Style) {
        if let Some(cell) = buf.cell_mut(at) {
            cell.set_symbol(text).set_style(style);
        }
    }

    fn bands(&self, place: &Place, buf: &mut Buffer) {
        for band in &self.curve.bands {
            let ends = [place.y(band.mean - 2.0 * band.sd), place.y(band.mean + 2.0 * band.sd)];
            let (top, bottom) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            for x in place.x(band.from)..=place.x(band.to) {
                for y in [top, bottom] {
                    self.put(buf, (x, y), "┈", self.paint.faint());
                }
            }
        }
    }

    fn levels(&self, place: &Place, buf: &mut Buffer) {
        let style = self.paint.of(Color::Cyan);
        let ends = self.curve.levels.iter().skip(1).map(|level| level.from);
        let ends = ends.chain([self.curve.last]);
        let mut before: Option<u16> = None;
        for (level, to) in self.curve.levels.iter().zip(ends) {
            let Some(mean) = level.mean else {
                before = None;
                continue;
            };
            let (from, to, y) = (place.x(level.from), place.x(to), place.y(mean));
            (from..=to).for_each(|x| self.put(buf, (x, y), "─", style));
            match before.filter(|_| !self.curve.seams.contains(&level.from)) {
                Some(above) if above < y => {
                    (above + 1..y).for_each(|row| self.put(buf, (from, row), "│", style));
                    self.put(buf, (from, above), "╮", style);
                    self.put(buf, (from, y), "╰", style);
                }
                Some(below) if below > y => {
                    (y + 1..below).for_each(|row| self.put(buf, (from, row), "│", style));
                    self.put(buf, (from, below), "╯", style);
                    self.put(buf, (from, y), "╭", style);
                }
                Some(_) | None => {}
            }
            before = Some(y);
        }
        for seam in &self.curve.seams {
            let x = place.x(*seam);
            for y in place.area.top()..place.area.bottom() {
                self.put(buf, (x, y), "┊", self.paint.faint());
            }
        }
    }

    fn dots(&self, place: &Place, buf: &mut Buffer) {
        // The many and dull first, so that the few lie on top.
        for mark in Mark::ALL.iter().rev().filter(|mark| **mark != Mark::Keep) {
            for dot in self.curve.dots.iter().filter(|dot| dot.mark == *mark) {
                self.mark(buf, (place.x(dot.no.0), place.y(dot.score)), *mark);
            }
        }
        for kept in &self.curve.kept {
            self.mark(buf, (place.x(kept.no.0), place.y(kept.mean)), Mark::Keep);
        }
        let foot = place.area.bottom();
        for no in &self.curve.failed {
            self.mark(buf, (place.x(no.0), foot), Mark::Failed);
        }
    }

    fn mark(&self, buf: &mut Buffer, at: (u16, u16), mark: Mark) {
        self.put(buf, at, glyph(mark), self.paint.of(colour(mark)));
    }

    fn axis(&self, place: &Place, buf: &mut Buffer) {
        let y = place.area.bottom() + 1;
        let last = format!("t{}", self.curve.last);
        let right = place.area.right().saturating_sub(last.len() as u16);
        let better = match self.goal {
            Goal::Minimize => "lower is better",
            Goal::Maximize => "higher is better",
        };
        buf.set_string(place.area.x, y, "t0", self.paint.faint());
        let middle = place.area.x + place.area.width / 2;
        let at = middle.saturating_sub(better.len() as u16 / 2);
        buf.set_string(at, y, better, self.paint.faint());
        let mark = self.selected.filter(|no| no.0 <= self.curve.last).map(|no| place.x(no.0));
        if mark.is_none_or(|x| x < right) {
            buf.set_string(right, y, &last, self.paint.faint());
        }
        if let Some(x) = mark {
            self.put(buf, (x, y), "▲", self.paint.strong());
        }
    }
}
