//! The lineage: kept trials and whatever others start from, one row each, lanes between them as in `git log --graph`.
//! Trials that nothing came of hang on the row they started from, as marks.

use std::collections::{BTreeMap, BTreeSet};

use empiric_core::{Outcome, Trial, TrialNo};

use super::{
    svg::{self, Px},
    text::{counted, esc, flat, put, signed},
    view::{View, hover},
};
use crate::Mark;

/// Most rows.
const ROWS: usize = 60;
/// Height of a row, and of one with marks under its words.
const LOW: f64 = 24.0;
const HIGH: f64 = 40.0;
/// Between marks.
const STEP: f64 = 10.0;
/// Pixels of a character of these words, about.
const CHARACTER: f64 = 6.7;

pub(super) fn write(view: &View<'_>, out: &mut String) {
    out.push_str("<section id=\"lineage\">\n<h2>Lineage</h2>\n");
    if view.study.trials().len() < 2 {
        out.push_str("<p>There is the baseline alone.</p>\n</section>\n");
        return;
    }
    let graph = Graph::of(view);
    out.push_str("<figure>\n");
    graph.draw(view, "wide", 920.0, out);
    graph.draw(view, "narrow", 400.0, out);
    put!(out, "<figcaption>{}</figcaption>\n</figure>\n</section>\n", graph.caption(view));
}

/// A line from a row to a later one.
#[derive(Debug)]
struct Link {
    from: usize,
    to: usize,
    kind: &'static str,
}

#[derive(Debug)]
struct Row {
    no: TrialNo,
    lane: usize,
    /// Trials that start here and have no row, by outcome.
    leaves: BTreeMap<Mark, Vec<TrialNo>>,
    /// Whether first parents lead from the champion to it.
    trunk: bool,
}

#[derive(Debug)]
struct Graph {
    rows: Vec<Row>,
    links: Vec<Link>,
    lanes: usize,
    /// Kept trials and their ancestors without a row.
    skipped: usize,
    /// Trials that start from one without a row.
    deeper: usize,
}

impl Graph {
    fn of(view: &View<'_>) -> Self {
        let study = view.study;
        let mut trunk = BTreeSet::from([TrialNo::BASELINE]);
        let mut at = study.champion();
        while trunk.insert(at) {
            at = first_parent(view, at);
        }
        let stand = ancestors(view, study.keeps().iter().copied());
        let mut fertile = stand.clone();
        fertile.extend(study.trials().iter().flat_map(|trial| parents(trial)));
        let wanted = if fertile.len() <= ROWS { fertile } else { stand };
        let shown: BTreeSet<TrialNo> = if wanted.len() <= ROWS {
            wanted.clone()
        } else {
            let others = wanted.iter().rev().filter(|no| !trunk.contains(no));
            let newest = trunk.iter().rev().chain(others).take(ROWS - 1).copied();
            newest.chain([TrialNo::BASELINE]).collect()
        };
        let mut graph = Self {
            rows: shown
                .iter()
                .map(|no| Row {
                    no: *no,
                    lane: 0,
                    leaves: BTreeMap::new(),
                    trunk: trunk.contains(no),
                })
                .collect(),
            links: Vec::new(),
            lanes: 1,
            skipped: wanted.len() - shown.len(),
            deeper: 0,
        };
        graph.connect(view);
        graph.hang(view, &wanted);
        graph.allot();
        graph
    }

    fn place(&self, no: TrialNo) -> Option<usize> {
        self.rows.binary_search_by_key(&no, |row| row.no).ok()
    }

    fn connect(&mut self, view: &View<'_>) {
        for to in 0..self.rows.len() {
            let Some(trial) = view.study.trial(self.rows[to].no) else { continue };
            let mut seen = BTreeSet::new();
            for (index, parent) in parents(trial).enumerate() {
                let mut at = parent;
                while self.place(at).is_none() {
                    at = first_parent(view, at);
                }
                let kind = match (index, at == parent) {
                    (_, false) => "skip",
                    (0, true) => "line",
                    (_, true) => "merge",
                };
                if let Some(from) = self.place(at).filter(|from| seen.insert(*from)) {
                    self.links.push(Link { from, to, kind });
                }
            }
        }
    }

    fn hang(&mut self, view: &View<'_>, wanted: &BTreeSet<TrialNo>) {
        for trial in view.study.trials() {
            if trial.no == TrialNo::BASELINE || wanted.contains(&trial.no) {
                continue;
            }
            match self.place(parents(trial).next().unwrap_or(TrialNo::BASELINE)) {
                Some(row) => {
                    self.rows[row].leaves.entry(Mark::of(trial)).or_default().push(trial.no);
                }
                None => self.deeper += 1,
            }
        }
    }

    /// Gives every row a lane: the child that leads to the champion, else the last, goes on in its parent's; the others
    /// get the first lane that is free from their parent's row to their own.
    fn allot(&mut self) {
        let mut first: Vec<Option<usize>> = vec![None; self.rows.len()];
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); self.rows.len()];
        for link in &self.links {
            if first[link.to].is_none() {
                first[link.to] = Some(link.from);
                children[link.from].push(link.to);
            }
        }
        let mut busy_until: Vec<usize> = vec![0];
        for (row, children) in children.iter().enumerate() {
            let heir = children
                .iter()
                .copied()
                .find(|child| self.rows[*child].trunk)
                .or_else(|| children.last().copied());
            if let Some(heir) = heir {
                let lane = self.rows[row].lane;
                self.rows[heir].lane = lane;
                busy_until[lane] = busy_until[lane].max(heir);
            }
            for child in children.iter().copied().filter(|child| Some(*child) != heir) {
                let own = self.rows[row].lane;
                let free =
                    (0..busy_until.len()).find(|lane| *lane != own && busy_until[*lane] <= row);
                let lane = free.unwrap_or_else(|| {
                    busy_until.push(0);
                    busy_until.len() - 1
                });
                busy_until[lane] = child;
                self.rows[child].lane = lane;
            }
        }
        self.lanes = busy_until.len();
    }

    fn draw(&self, view: &View<'_>, class: &str, width: f64, out: &mut String) {
        let gap = (width * 0.3 / self.lanes as f64).min(18.0);
        let words = 24.0 + gap * self.lanes as f64;
        let mut places = Vec::with_capacity(self.rows.len());
        let mut y = 16.0;
        for row in &self.rows {
            places.push([12.0 + gap * row.lane as f64, y]);
            y += if row.leaves.is_empty() { LOW } else { HIGH };
        }
        let label = format!("{} of the lineage, oldest first", counted(self.rows.len(), "trial"));
        svg::open(out, class, [width, y], &label);
        for link in &self.links {
            let ([x1, y1], [x2, y2]) = (places[link.from], places[link.to]);
            let trunk = self.rows[link.from].trunk && self.rows[link.to].trunk;
            let class = if trunk && link.kind == "line" { "trunk" } else { link.kind };
            let (a, b, c, d) = (Px(x1), Px(y1), Px(x2), Px(y2));
            if x1 == x2 && link.kind != "merge" {
                put!(out, "<path class=\"{class}\" d=\"M{a} {b}V{d}\"/>\n");
            } else if link.kind == "merge" {
                // bows to the right, so that it does not run along the lane between
                let (bow, third) = (Px(x1.max(x2) + gap * 1.1), (y2 - y1) / 3.0);
                let (e, f) = (Px(y1 + third), Px(y2 - third));
                put!(out, "<path class=\"{class}\" d=\"M{a} {b}C{bow} {e} {bow} {f} {c} {d}\"/>\n");
            } else {
                let turn = Px(y1 + LOW.min(y2 - y1));
                put!(
                    out,
                    "<path class=\"{class}\" d=\"M{a} {b}C{a} {turn} {c} {b} {c} {turn}V{d}\"/>\n"
                );
            }
        }
        for (row, [x, y]) in self.rows.iter().zip(&places) {
            let Some(trial) = view.study.trial(row.no) else { continue };
            Mark::of(trial).draw(out, Px(*x), Px(*y), 5.0, "");
            caption_row(view, trial, [words, y + 4.0], width, out);
            strip(view, row, [words, y + 19.0], width, out);
        }
        out.push_str("</svg>\n");
    }

    fn caption(&self, view: &View<'_>) -> String {
        let mut text = "Oldest on top. The heavy line leads to the champion; dashed lines come from second parents of merges. Small \
                        marks are trials that started from the one above them and led nowhere."
            .to_owned();
        if self.skipped > 0 {
            put!(
                text,
                " {} older kept trials and ancestors are left out; dotted lines pass over them.",
                self.skipped
            );
        }
        if self.deeper > 0 {
            put!(
                text,
                " {} more of the {} trials start from one that is not drawn, and are left out.",
                self.deeper,
                view.study.trials().len()
            );
        }
        text
    }
}

/// What the trial is, in one line.
fn caption_row(view: &View<'_>, trial: &Trial, at: [f64; 2], width: f64, out: &mut String) {
    let mark = Mark::of(trial);
    let champion = mark == Mark::Keep && trial.no == view.study.champion();
    let (gain, name) = match &trial.outcome {
        Some(Outcome::Valid { gain, .. }) => (gain.map(signed), mark.name().to_owned()),
        Some(Outcome::Failed(failure)) => (None, failure.cause.name().replace('_', " ")),
        None => (None, mark.name().to_owned()),
    };
    let name = if champion { "champion".to_owned() } else { name };
    let head = match gain {
        Some(gain) => format!("{name} {gain}"),
        None => name,
    };
    let no = trial.no.to_string();
    let room = (width - at[0]) / CHARACTER - (no.len() + head.chars().count() + 5) as f64;
    let hypothesis = flat(View::hypothesis(trial), room.max(0.0) as usize);
    let (Px(x), Px(y)) = (Px(at[0]), Px(at[1]));
    let (x, y, head, hypothesis) = (Px(x), Px(y), esc(&head), esc(&hypothesis));
    put!(
        out,
        "<text class=\"row\" x=\"{x}\" y=\"{y}\"><tspan class=\"strong\">{no}</tspan> {head} <tspan \
         class=\"faint\">{hypothesis}</tspan></text>\n"
    );
}

/// The trials that led nowhere from here.
fn strip(view: &View<'_>, row: &Row, [mut x, y]: [f64; 2], width: f64, out: &mut String) {
    x += 5.0;
    let groups = row.leaves.len().max(1) as f64;
    let room = ((width - x) / groups - 34.0) / STEP;
    for (mark, trials) in &row.leaves {
        let most = room.clamp(1.0, 24.0) as usize;
        let drawn = if trials.len() <= most { trials.len() } else { most };
        for no in &trials[..drawn] {
            let Some(trial) = view.study.trial(*no) else { continue };
            mark.draw(out, Px(x), Px(y), 3.2, &hover(trial, None));
            x += STEP;
        }
        let rest = trials.len() - drawn;
        if rest > 0 {
            svg::words(out, "tick", [x - 2.0, y + 4.0], &format!("+{rest}"));
            x += 8.0 + 7.0 * rest.to_string().len() as f64;
        }
        x += 8.0;
    }
}

/// Parents that come before the trial, as all do in a sound ledger; without any, the baseline.
fn parents(trial: &Trial) -> impl Iterator<Item = TrialNo> {
    let earlier = trial.parents().iter().copied().filter(|parent| *parent < trial.no);
    let orphan = trial.no != TrialNo::BASELINE && earlier.clone().next().is_none();
    earlier.chain(orphan.then_some(TrialNo::BASELINE))
}

fn first_parent(view: &View<'_>, no: TrialNo) -> TrialNo {
    view.study.trial(no).and_then(|trial| parents(trial).next()).unwrap_or(TrialNo::BASELINE)
}

/// These trials, whatever they stand on, and the baseline.
fn ancestors(view: &View<'_>, of: impl IntoIterator<Item = TrialNo>) -> BTreeSet<TrialNo> {
    let mut found = BTreeSet::from([TrialNo::BASELINE]);
    let mut pending: Vec<TrialNo> = of.into_iter().collect();
    while let Some(no) = pending.pop() {
        if found.insert(no) {
            pending.extend(view.study.trial(no).into_iter().flat_map(|trial| parents(trial)));
        }
    }
    found
}
