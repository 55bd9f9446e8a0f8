//! Race: every ask goes to whoever, by a draw from what is believed, has the most to give (Thompson 1933).
//!
//! Two draws make an ask. First the operator, by confirmed gain per cost ([`crate::Allocation`]). Then the node:
//!
//! - A node's own gain over the baseline is believed to be normal: its measured mean, shrunk towards the mean of all
//!   nodes by what replicate noise says of it (`w = t / (t + s/n)`, with s the variance of one replicate, n its
//!   replicates, t the variance between nodes; the estimator of James and Stein in its empirical Bayes form, Efron and
//!   Morris 1975). A lucky single run is thus no reason to go on from it.
//! - What a child adds is normal as well: the mean over all children of their parents' nodes, and more and more that of
//!   the node's own children as they come in. A child under way counts as one that added nothing, so that parallel
//!   asks spread over nodes. A step down counts as no longer than the longest step up so far: how bad a bad idea was says
//!   nothing of what the next may gain.
//!
//! Their sum is drawn for every node, and the largest is improved. Near misses take part with the gain they would have
//! had, and with the probability that repairs have had of succeeding.
//!
//! With a floor on diversity, an ask turns to a draft when the latest edits come from too few families.

use std::collections::{BTreeMap, VecDeque};

use empiric_core::{Ask, Event, Operator, Outcome, Record, Study, Trial, TrialNo, seed};
use rand::Rng;

use crate::{
    Policy,
    allocation::{Allocation, normal},
    memory::{Limits, Memory, REMEMBERED, noise},
    specialists::settle,
};

/// Drafts before anything else: fewer than AIDE's five, because a night of few trials cannot spare them.
const DRAFTS: u32 = 3;
/// Share of asks whose operator is left to chance.
const FLOOR: f64 = 0.08;
/// Children that what is believed of all children counts for.
const PRIOR_CHILDREN: f64 = 6.0;
/// Latest edits whose diversity is looked at.
const LATEST: usize = 24;
/// The whole recipe, as an arm beside its surfaces.
const WHOLE: &str = "";
/// How promising the whole is before anything was measured, and all surfaces together: to be held to one is a narrower
/// choice, and has to show that it pays.
const WIDE: f64 = 2.0;
const NARROW: f64 = 0.5;

/// Thompson sampling over nodes.
#[derive(Debug, Clone)]
pub struct Race {
    name: &'static str,
    /// Least diversity of the latest edits, bits of entropy over families.
    pub diversity: Option<f64>,
    memory: Memory,
    operators: Allocation,
    surfaces: Allocation,
    nodes: BTreeMap<TrialNo, Node>,
    /// Gains of improvements over their parents.
    steps: Moments,
    /// The largest of them, at least nothing.
    farthest: f64,
    latest: VecDeque<u32>,
}

/// A valid trial that may be improved.
#[derive(Debug, Clone, Default)]
struct Node {
    /// Gain over the baseline on the search split, and replicates behind it.
    gain: f64,
    replicates: f64,
    /// Gains of its children over it.
    children: Moments,
    running: f64,
}

/// Count, mean and sum of squared deviations (Welford 1962).
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let step = value - self.mean;
        self.mean += step / self.count;
        self.squares += step * (value - self.mean);
    }

    /// Variance; `otherwise` until there are two values.
    fn variance(&self, otherwise: f64) -> f64 {
        if self.count < 2.0 { otherwise } else { self.squares / (self.count - 1.0) }
    }
}

impl Default for Race {
    fn default() -> Self {
        Self {
            name: "race",
            diversity: None,
            memory: Memory::new(Limits { debug_depth: 3, repairs: true }),
            operators: Allocation::new(FLOOR),
            surfaces: Allocation::new(FLOOR),
            nodes: BTreeMap::new(),
            steps: Moments::default(),
            farthest: 0.0,
            latest: VecDeque::new(),
        }
    }
}

impl Race {
    /// Held to a least diversity of ideas: three families' worth.
    #[must_use]
    pub fn diverse() -> Self {
        Self { name: "race-diverse", diversity: Some(3_f64.log2()), ..Self::default() }
    }

    fn concluded(&mut self, study: &Study, trial: &Trial, outcome: &Outcome) {
        if trial.no != TrialNo::BASELINE {
            settle(&mut self.operators, &trial.ask.operator.to_string(), study, trial);
            settle(&mut self.surfaces, surface(&trial.ask), study, trial);
        }
        let parent = trial.parents().first().copied();
        if let Some(parent) = trial.ask.parents.first().and_then(|no| self.nodes.get_mut(no)) {
            parent.running = (parent.running - 1.0).max(0.0);
        }
        let Outcome::Valid { .. } = outcome else {
            let spared = matches!(outcome, Outcome::Failed(f) if f.blame.spares_the_trial());
            if !spared && let Some(node) = parent.and_then(|no| self.nodes.get_mut(&no)) {
                // A crash took a trial and added nothing.
                node.children.add(0.0_f64.min(self.steps.mean));
            }
            return;
        };
        if let Some(step) = study.gain_over_parent(trial) {
            // A step down is no longer than the longest up.
            let step = step.max(-self.farthest.max(noise(study)));
            self.farthest = self.farthest.max(step);
            self.steps.add(step);
            if let Some(node) = parent.and_then(|no| self.nodes.get_mut(&no)) {
                node.children.add(step);
            }
        }
        if let Some((gain, replicates)) = measured(study, trial) {
            self.nodes.insert(trial.no, Node { gain, replicates, ..Node::default() });
            self.forget(study.champion());
        }
    }

    /// Drops the node with the least to hope for once there are too many; never the champion.
    fn forget(&mut self, champion: TrialNo) {
        if self.nodes.len() <= REMEMBERED {
            return;
        }
        let worst = self
            .nodes
            .iter()
            .filter(|(no, node)| **no != champion && node.running == 0.0)
            .min_by(|(_, a), (_, b)| a.gain.total_cmp(&b.gain))
            .map(|(no, _)| *no);
        if let Some(worst) = worst {
            self.nodes.remove(&worst);
        }
    }

    /// The node with the largest draw.
    fn node(&self, study: &Study, rng: &mut impl Rng) -> TrialNo {
        let champion = study.champion();
        let replicate = noise(study).powi(2);
        let replicate = if replicate.is_finite() { replicate } else { 0.0 };
        let mut between = Moments::default();
        self.nodes.values().for_each(|node| between.add(node.gain));
        let spread = (between.variance(0.0) - replicate).max(0.05 * replicate);
        let usual = self.steps.variance(replicate);
        let mut best = (champion, f64::NEG_INFINITY);
        for (no, node) in &self.nodes {
            let own = replicate / node.replicates.max(1.0);
            let trust = if spread + own > 0.0 { spread / (spread + own) } else { 1.0 };
            // What was confirmed on fresh seeds is no luck.
            let trust = if *no == champion { 1.0 } else { trust };
            let mean = between.mean + trust * (node.gain - between.mean);
            let doubt = (trust * own).sqrt();
            let weight = PRIOR_CHILDREN + node.children.count + node.running;
            let seen = node.children.count * node.children.mean;
            let adds =
                (PRIOR_CHILDREN * self.steps.mean + seen + node.running * self.steps.mean.min(0.0))
                    / weight;
            let draw = mean + doubt * normal(rng) + adds + (usual / weight).sqrt() * normal(rng);
            if draw > best.1 {
                best = (*no, draw);
            }
        }
        best.0
    }

    /// Whether the latest edits come from fewer families than they should.
    fn monotonous(&self) -> bool {
        let Some(least) = self.diversity.filter(|_| self.latest.len() == LATEST) else {
            return false;
        };
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        self.latest.iter().for_each(|family| *counts.entry(*family).or_default() += 1);
        entropy(counts.into_values()) < least
    }
}

/// Gain over the baseline on the search split, and the replicates it rests on.
fn measured(study: &Study, trial: &Trial) -> Option<(f64, f64)> {
    let replicates = trial.replicates.iter().filter(|replicate| replicate.usable()).count();
    Some((study.gain_over(trial, TrialNo::BASELINE)?, replicates as f64))
}

/// Shannon entropy of counts, bits.
fn entropy(counts: impl IntoIterator<Item = u32>) -> f64 {
    let counts: Vec<f64> = counts.into_iter().map(f64::from).collect();
    let total: f64 = counts.iter().sum();
    -counts.iter().map(|count| count / total).map(|share| share * share.log2()).sum::<f64>()
}

fn surface(ask: &Ask) -> &str {
    ask.surface.as_deref().unwrap_or(WHOLE)
}

impl Policy for Race {
    fn name(&self) -> &'static str {
        self.name
    }

    fn tell(&mut self, study: &Study, record: &Record) {
        self.memory.tell(study, record);
        if let Event::Asked { trial, ask, .. } = &record.event {
            if *trial != TrialNo::BASELINE {
                self.operators.begins(&ask.operator.to_string());
                self.surfaces.begins(surface(ask));
            }
            if let Some(node) = ask.parents.first().and_then(|no| self.nodes.get_mut(no)) {
                node.running += 1.0;
            }
        } else if let Event::Proposed { edit, trial } = &record.event {
            if *trial != TrialNo::BASELINE {
                self.latest.push_back(edit.shape());
                if self.latest.len() > LATEST {
                    self.latest.pop_front();
                }
            }
        } else if let Event::Concluded { trial, outcome } = &record.event {
            if let Some(trial) = study.trial(*trial) {
                self.concluded(study, trial, outcome);
            }
        } else if let Event::SegmentOpened { .. } = &record.event {
            // Values of different segments are not compared.
            self.nodes.clear();
            self.steps = Moments::default();
            self.farthest = 0.0;
        }
    }

    fn ask(&self, study: &Study) -> Ask {
        let mut rng = seed::stream(study.settings().seed, "policy", study.next_trial());
        if self.memory.drafts < DRAFTS || self.monotonous() {
            return crate::ask(Operator::Draft, &[TrialNo::BASELINE]);
        }
        let near = self.memory.nearest();
        let buggy = self.memory.buggy.last().copied();
        let pair = self.memory.pair(study);
        // How promising each operator is before anything was measured: improvements are what most gains come from, a
        // near miss is nearly a gain already.
        let mut options = vec![(Operator::Improve, 2.0), (Operator::Ablate, 0.1)];
        options.extend(near.map(|_| (Operator::Repair, 1.5)));
        options.extend(buggy.map(|_| (Operator::Debug, 0.5)));
        options.extend(pair.map(|_| (Operator::Merge, 0.3)));
        let names: Vec<(String, f64)> =
            options.iter().map(|(operator, prior)| (operator.to_string(), *prior)).collect();
        let named: Vec<(&str, f64)> = names.iter().map(|(name, p)| (name.as_str(), *p)).collect();
        let (operator, _) = options[self.operators.choose(&named, &mut rng)];
        let parents = match (operator, near, buggy, pair) {
            (Operator::Repair, Some(near), ..) => vec![near],
            (Operator::Debug, _, Some(buggy), _) => vec![buggy],
            (Operator::Merge, _, _, Some((one, other))) => vec![one, other],
            _ => vec![self.node(study, &mut rng)],
        };
        let mut surface = None;
        if operator == Operator::Improve && study.task().surfaces.len() > 1 {
            let mut arms = vec![(WHOLE, WIDE)];
            let each = NARROW / study.task().surfaces.len() as f64;
            arms.extend(study.task().surfaces.iter().map(|surface| (surface.name.as_str(), each)));
            let (arm, _) = arms[self.surfaces.choose(&arms, &mut rng)];
            surface = Some(arm.to_owned()).filter(|arm| arm != WHOLE);
        }
        Ask { operator, parents, surface }
    }
}
