//! How the search goes: quantities that policies steer by and reports show, folded from the same events as the study.

use imbl::OrdMap;

use crate::{Ask, Edit, Event, Outcome, Purpose, Record, Task, Trial, TrialNo, Verdict};

/// How much thought an edit of a node is to be given, by how often the node was tried before.
///
/// The thresholds are those of aira-dojo (AI Research Agents for Machine Learning, arXiv 2507.02554): simple below two
/// children, normal below four, complex from there on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complexity {
    /// The plain thing first.
    Simple,
    /// What a careful person would try next.
    Normal,
    /// The plain things were tried.
    Complex,
}

impl Complexity {
    /// For a node with this many children.
    #[must_use]
    pub fn of(children: u32) -> Self {
        match children {
            0..2 => Self::Simple,
            2..4 => Self::Normal,
            4.. => Self::Complex,
        }
    }
}

/// How many edits came from each family.
#[derive(Debug, Clone, Default)]
pub struct Families<K: Ord + Clone> {
    counts: OrdMap<K, u32>,
    total: u32,
    /// Sum of `c log2 c` over families.
    weighted: f64,
}

impl<K: Ord + Clone> Families<K> {
    fn add(&mut self, family: K) {
        let count = self.counts.get(&family).copied().unwrap_or(0);
        let weight = |c: u32| if c == 0 { 0.0 } else { f64::from(c) * f64::from(c).log2() };
        self.weighted += weight(count + 1) - weight(count);
        self.total += 1;
        self.counts.insert(family, count + 1);
    }

    /// Shannon entropy of the families' shares, bits (ideation diversity as in arXiv 2511.15593, over all edits instead
    /// of the first five).
    #[must_use]
    pub fn entropy(&self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        let total = f64::from(self.total);
        (total.log2() - self.weighted / total).max(0.0)
    }

    /// Families seen.
    #[must_use]
    pub fn families(&self) -> usize {
        self.counts.len()
    }

    /// Edits seen.
    #[must_use]
    pub fn edits(&self) -> u32 {
        self.total
    }
}

/// Verdicts that came in between a trial's ask and its first replicate: how old the knowledge was that it was asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Staleness {
    /// Trials that have started.
    pub trials: u32,
    /// Sum over them.
    pub total: u64,
    /// Largest of one trial.
    pub most: u32,
}

impl Staleness {
    /// Mean over trials that have started; 0 before the first.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.trials == 0 { 0.0 } else { self.total as f64 / f64::from(self.trials) }
    }
}

/// How the search goes.
#[derive(Debug, Clone, Default)]
pub struct Course {
    surfaces: Families<String>,
    contents: Families<u32>,
    staleness: Staleness,
    children: OrdMap<TrialNo, u32>,
    /// Conclusions so far, and how many there were when each trial that has not started was asked for.
    concluded: u32,
    waiting: OrdMap<TrialNo, u32>,
    drought: u32,
    /// Lines that a discarded trial brought and no kept one has, with that trial.
    dropped: OrdMap<u32, TrialNo>,
    revisits: OrdMap<TrialNo, TrialNo>,
}

impl Course {
    /// Takes in an event that fits; `trial` is the one it speaks of, after it.
    pub(crate) fn take(&mut self, task: &Task, record: &Record, trial: Option<&Trial>) {
        match (&record.event, trial) {
            (Event::Asked { trial, ask, .. }, _) if *trial != TrialNo::BASELINE => {
                self.asked(*trial, ask);
            }
            (Event::Proposed { trial, edit }, _) if *trial != TrialNo::BASELINE => {
                self.proposed(task, *trial, edit);
            }
            (Event::Leased { trial, purpose: Purpose::Search, .. }, _) => self.started(*trial),
            (Event::Concluded { outcome, .. }, Some(trial)) if trial.no != TrialNo::BASELINE => {
                self.concluded(trial, outcome);
            }
            _ => {}
        }
    }

    fn asked(&mut self, trial: TrialNo, ask: &Ask) {
        self.waiting.insert(trial, self.concluded);
        if let Some(parent) = ask.parents.first() {
            *self.children.entry(*parent).or_default() += 1;
        }
    }

    fn proposed(&mut self, task: &Task, trial: TrialNo, edit: &Edit) {
        self.surfaces.add(surface_of(task, edit));
        self.contents.add(edit.shape());
        let mut added = edit.files.iter().flat_map(|file| &file.lines.added).peekable();
        if added.peek().is_some() {
            let dropped: Option<Vec<TrialNo>> =
                added.map(|line| self.dropped.get(line).copied()).collect();
            if let Some(latest) = dropped.and_then(|trials| trials.into_iter().max()) {
                self.revisits.insert(trial, latest);
            }
        }
    }

    fn started(&mut self, trial: TrialNo) {
        if let Some(asked) = self.waiting.remove(&trial) {
            let stale = self.concluded - asked;
            self.staleness.trials += 1;
            self.staleness.total += u64::from(stale);
            self.staleness.most = self.staleness.most.max(stale);
        }
    }

    fn concluded(&mut self, trial: &Trial, outcome: &Outcome) {
        self.waiting.remove(&trial.no);
        self.concluded += 1;
        let lines =
            trial.edit.iter().flat_map(|edit| &edit.files).flat_map(|file| &file.lines.added);
        match outcome {
            Outcome::Valid { verdict: Verdict::Keep, .. } => {
                self.drought = 0;
                lines.for_each(|line| {
                    self.dropped.remove(line);
                });
            }
            Outcome::Valid { verdict: Verdict::Discard, .. } => {
                self.drought += 1;
                lines.for_each(|line| {
                    self.dropped.insert(*line, trial.no);
                });
            }
            Outcome::Valid { .. } => self.drought += 1,
            Outcome::Failed(failure) => {
                self.drought += u32::from(!failure.blame.spares_the_trial());
            }
        }
    }

    /// Edits by surface; where the task has none, by the files they touch.
    #[must_use]
    pub fn surfaces(&self) -> &Families<String> {
        &self.surfaces
    }

    /// Edits by their content with numbers struck out.
    #[must_use]
    pub fn contents(&self) -> &Families<u32> {
        &self.contents
    }

    /// How old the knowledge is that trials are asked with.
    #[must_use]
    pub fn staleness(&self) -> Staleness {
        self.staleness
    }

    /// Trials asked for that start from this one, those under way among them.
    #[must_use]
    pub fn children(&self, trial: TrialNo) -> u32 {
        self.children.get(&trial).copied().unwrap_or(0)
    }

    /// Spent trials since the last keep.
    #[must_use]
    pub fn drought(&self) -> u32 {
        self.drought
    }

    /// The trial that dropped what `trial` brings back: every telling line that its edit adds was added before by
    /// trials that were measured and discarded, of which this is the latest.
    #[must_use]
    pub fn revisits(&self, trial: TrialNo) -> Option<TrialNo> {
        self.revisits.get(&trial).copied()
    }

    /// How many trials bring back what was measured and dropped.
    #[must_use]
    pub fn revisited(&self) -> usize {
        self.revisits.len()
    }
}

fn surface_of(task: &Task, edit: &Edit) -> String {
    match &edit.surface {
        Some(surface) => surface.clone(),
        None if task.surfaces.is_empty() || edit.files.is_empty() => {
            let files: Vec<&str> = edit.files.iter().map(|file| file.path.as_str()).collect();
            files.join(" ")
        }
        None => "the whole recipe".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_the_shares() {
        let mut families = Families::default();
        assert_eq!(families.entropy(), 0.0);
        for family in ["a", "a", "b", "c"] {
            families.add(family);
        }
        // 1/2, 1/4, 1/4.
        assert!((families.entropy() - 1.5).abs() < 1e-12);
        assert_eq!((families.families(), families.edits()), (3, 4));
    }

    #[test]
    fn the_cue_grows_with_the_number_of_children() {
        let cues: Vec<Complexity> = [0, 1, 2, 3, 4, 40].map(Complexity::of).to_vec();
        use Complexity::{Complex, Normal, Simple};
        assert_eq!(cues, [Simple, Simple, Normal, Normal, Complex, Complex]);
    }
}
