//! Monte-Carlo tree search over trials by upper confidence bounds (UCT), as published for AIRA.
//!
//! Source: AI Research Agents for Machine Learning, arXiv 2507.02554, section 3 and appendix (facebookresearch/aira-dojo):
//! `h(v|u) = Q(v) + c sqrt(ln N(u) / N(v))` with c = 0.25 and Q the mean fitness of the branch, min-max normalised over
//! the values seen; a leaf is expanded with 5 children, `draft` at the root and `improve` elsewhere; a buggy child is
//! debugged in a chain of at most 20 steps; `N += 1`, `Q += (F - Q) / N` along the path. There a branch without a value is
//! never entered again, and it has used up one of its parent's five places: one crash condemns it. The other mode gives
//! the place back.
//!
//! Published, it expands five children, waits, and backs all of them up. Here it is steady-state: an ask is one child,
//! and children under way count as visits without a value (virtual loss), so that parallel asks spread out.

use std::collections::BTreeMap;

use empiric_core::{Ask, Event, Operator, Outcome, Record, Study, Trial, TrialNo, seed};
use rand::RngExt;

use crate::{
    Policy,
    memory::{Limits, Memory},
};

/// Deepest node that is expanded, which bounds the cost of an ask.
const DEPTH: u32 = 64;

/// Search by upper confidence bounds.
#[derive(Debug, Clone)]
pub struct Mcts {
    name: &'static str,
    /// Weight of exploration.
    pub c: f64,
    /// Children asked of a node before the search goes below it.
    pub children: u32,
    /// Whether a child that crashed has used up its place.
    pub condemns: bool,
    memory: Memory,
    /// By number: those of its arm, which has not every trial of the study.
    nodes: BTreeMap<TrialNo, Node>,
    /// Worst and best score seen; larger is better.
    range: Option<(f64, f64)>,
}

/// A trial in the tree.
#[derive(Debug, Clone, Default)]
struct Node {
    parent: Option<TrialNo>,
    children: Vec<TrialNo>,
    depth: u32,
    /// Trials below and at this node that were asked for.
    visits: f64,
    /// Sum of their scores, and how many have one.
    sum: f64,
    scored: f64,
    /// It was measured and its gates hold, so that it may be improved.
    valid: bool,
    /// Places among its parent's children given back, because what was there crashed or was lost.
    spared: u32,
}

impl Default for Mcts {
    fn default() -> Self {
        Self::new("mcts", false, 3)
    }
}

impl Mcts {
    /// The published rule.
    #[must_use]
    pub fn published() -> Self {
        Self::new("mcts-published", true, 20)
    }

    fn new(name: &'static str, condemns: bool, debug_depth: u32) -> Self {
        Self {
            name,
            c: 0.25,
            children: 5,
            condemns,
            memory: Memory::new(Limits { debug_depth, repairs: !condemns }),
            nodes: BTreeMap::new(),
            range: None,
        }
    }

    fn node(&self, no: TrialNo) -> Option<&Node> {
        self.nodes.get(&no)
    }

    fn asked(&mut self, trial: TrialNo, ask: &Ask) {
        let parent = ask.parents.first().copied().filter(|_| trial != TrialNo::BASELINE);
        let depth = parent.and_then(|no| self.node(no)).map_or(0, |parent| parent.depth + 1);
        self.nodes.insert(trial, Node { parent, depth, ..Node::default() });
        if let Some(parent) = parent.and_then(|no| self.nodes.get_mut(&no)) {
            parent.children.push(trial);
        }
        self.up(trial, |node| node.visits += 1.0);
    }

    /// Changes a node and all above it.
    fn up(&mut self, from: TrialNo, change: impl Fn(&mut Node)) {
        let mut at = Some(from);
        while let Some(node) = at.and_then(|no| self.nodes.get_mut(&no)) {
            change(node);
            at = node.parent;
        }
    }

    fn concluded(&mut self, study: &Study, trial: &Trial, outcome: &Outcome) {
        match outcome {
            Outcome::Valid { .. } => {
                let metric = &study.task().metric;
                let Some(score) = trial.search_score(&metric.name) else { return };
                let score = metric.goal.gain(score, 0.0);
                let (low, high) = self.range.unwrap_or((score, score));
                self.range = Some((low.min(score), high.max(score)));
                if let Some(node) = self.nodes.get_mut(&trial.no) {
                    node.valid = true;
                }
                self.up(trial.no, |node| {
                    node.sum += score;
                    node.scored += 1.0;
                });
            }
            Outcome::Failed(failure) => {
                let lost = failure.blame.spares_the_trial();
                if lost {
                    self.up(trial.no, |node| node.visits -= 1.0);
                }
                if (lost || !self.condemns)
                    && let Some(parent) = self.node(trial.no).and_then(|node| node.parent)
                    && let Some(parent) = self.nodes.get_mut(&parent)
                {
                    parent.spared += 1;
                }
            }
        }
    }

    /// Mean score of a branch between 0 and 1; 0.5 while all are equal, none before the first.
    fn quality(&self, node: &Node) -> Option<f64> {
        let (low, high) = self.range.filter(|_| node.scored > 0.0)?;
        let mean = node.sum / node.scored;
        Some(if high > low { (mean - low) / (high - low) } else { 0.5 })
    }

    /// Walks down from the root to the node to expand.
    fn select(&self) -> TrialNo {
        let mut at = TrialNo::BASELINE;
        while let Some(node) = self.node(at) {
            let used = node.children.len() as u32;
            // Below a failure there is what debugging made of it.
            let open = node.valid && used < self.children + node.spared;
            if open || node.depth >= DEPTH {
                break;
            }
            let best = node
                .children
                .iter()
                .filter_map(|no| Some((*no, self.node(*no)?)))
                .filter_map(|(no, child)| {
                    let doubt = (node.visits.max(1.0).ln() / child.visits.max(1.0)).sqrt();
                    Some((no, self.quality(child)? + self.c * doubt))
                })
                .max_by(|(_, a), (_, b)| a.total_cmp(b));
            // Where nothing has come back yet, one more is asked of the node itself. A branch without a score, because all
            // of it failed, is never entered.
            let Some((next, _)) = best else { break };
            at = next;
        }
        at
    }
}

impl Policy for Mcts {
    fn name(&self) -> &'static str {
        self.name
    }

    fn tell(&mut self, study: &Study, record: &Record) {
        self.memory.tell(study, record);
        if let Event::Asked { trial, ask, .. } = &record.event {
            self.asked(*trial, ask);
        } else if let Event::Concluded { trial, outcome } = &record.event {
            if let Some(trial) = study.trial(*trial) {
                self.concluded(study, trial, outcome);
            }
        } else if let Event::SegmentOpened { .. } = &record.event {
            // Values of different segments are not compared.
            self.range = None;
            for node in self.nodes.values_mut() {
                (node.sum, node.scored) = (0.0, 0.0);
            }
        }
    }

    fn ask(&self, study: &Study) -> Ask {
        let mut rng = seed::stream(study.settings().seed, "policy", study.next_trial());
        if let Some(near) = self.memory.nearest()
            && rng.random_bool(0.5)
        {
            return crate::ask(Operator::Repair, &[near]);
        }
        // A failed child is debugged before its siblings are made, the latest first.
        if let Some(leaf) = self.memory.buggy.last() {
            return crate::ask(Operator::Debug, &[*leaf]);
        }
        let node = self.select();
        // Everything starts from the root, and later on too: five ideas, not one, are had of it.
        let operator = if node == TrialNo::BASELINE { Operator::Draft } else { Operator::Improve };
        crate::ask(operator, &[node])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_of_other_arms_between_its_own_leave_the_tree_as_it_is() {
        let mut tree = Mcts::default();
        let below = |parent| Ask {
            operator: Operator::Improve,
            parents: vec![TrialNo(parent)],
            surface: None,
        };
        for (trial, parent) in [(0, 0), (4, 0), (9, 4), (10, 0)] {
            tree.asked(TrialNo(trial), &below(parent));
        }
        let seen =
            |no| tree.node(TrialNo(no)).map(|node| (node.depth, node.visits, node.children.len()));
        assert_eq!(seen(0), Some((0, 4.0, 2)));
        assert_eq!(seen(4), Some((1, 2.0, 1)));
        assert_eq!(seen(9), Some((2, 1.0, 0)));
        assert_eq!(seen(1), None);
    }
}
