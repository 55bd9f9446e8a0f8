//! Whether there is room for one more trial: what is spent, what is reserved for trials under way, and what the closing
//! comparison will need.

use empiric_core::{Budget, Cost, Study, study::Progress};
use empiric_decide::reserve;

/// Running means of what a replicate costs, from which reservations are made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    replicates: u32,
    total: Cost,
}

/// Whether a new trial may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes.
    Open,
    /// Not before something under way has ended.
    Reserved,
    /// No: this cap is spent.
    Spent(String),
}

impl Meter {
    /// Learns what one replicate cost.
    pub(crate) fn observe(&mut self, cost: &Cost) {
        self.replicates += 1;
        self.total += *cost;
    }

    /// Mean of `part` over replicates.
    fn mean(&self, part: impl Fn(&Cost) -> f64) -> f64 {
        if self.replicates == 0 { 0.0 } else { part(&self.total) / f64::from(self.replicates) }
    }

    /// Whether the caps leave `arm` room for one more trial, with `slots` slots.
    ///
    /// Trials under way and the closing comparison are reserved for (see [`reserve`]). What is left when the baseline is
    /// paid and the closing comparison reserved, each arm may spend an equal part of; of the caps on models, each of the
    /// `askers` that ask any.
    pub(crate) fn room(&self, study: &Study, arm: &str, slots: usize, askers: usize) -> Room {
        let (budget, seen) = (study.budget(), study.of_arm(arm));
        let arms = study.settings().arms.len().max(1);
        let under_way = |study: &Study| study.open_trials().iter().filter(|no| no.0 != 0).count();
        if let Some(cap) = budget.trials {
            if seen.spent_trials() >= cap {
                let each = if arms > 1 { " in each arm" } else { "" };
                return Room::Spent(format!("{cap} trials{each}"));
            }
            if seen.spent_trials() as usize + under_way(&seen) >= cap as usize {
                return Room::Reserved;
            }
        }
        let reserved = reserve::reserved(study, None);
        if let Some((what, cap)) = reserve::exceeded(study, reserved + 1.0) {
            return Room::Spent(format!("{cap:.0} s of {what}"));
        }
        let own = under_way(&seen) as f64;
        let cost = |arm: &str| study.arm(arm).map_or(Cost::default(), Progress::cost);
        let (paid, slots) = (cost(arm), slots as f64);
        for (unit, cap, part) in parts(budget).into_iter().filter(|_| arms > 1) {
            let Some(cap) = cap else { continue };
            let closing = ((1 + arms) * study.settings().rules.report_replicates as usize) as f64;
            let (spent, paid, mean) = (part(&study.cost()), part(&paid), self.mean(part));
            let share = if unit == WALL {
                cap * slots / arms as f64
            } else {
                let asked = study.settings().arms.iter();
                let in_arms: f64 = asked.map(|asked| part(&cost(&asked.name))).sum();
                (cap - closing * mean - (spent - in_arms)) / arms as f64
            };
            if paid + own * mean >= share {
                return Room::Spent(format!("its part of {cap:.0} {unit}"));
            }
        }
        // Proposals under way are taken to cost what the arm's trials cost so far.
        let whole = 1.0 + own / f64::from(seen.spent_trials().max(1));
        for (unit, cap, part) in models(budget).into_iter().filter(|_| askers > 1) {
            let Some(cap) = cap else { continue };
            let share = cap / askers as f64;
            if part(&paid) >= share {
                return Room::Spent(format!("its part of {cap} {unit}"));
            }
            if whole * part(&paid) >= share {
                return Room::Reserved;
            }
        }
        Room::Open
    }
}

const WALL: &str = "s of wall time";

/// A kind of cost.
type Part = fn(&Cost) -> f64;

/// The caps on what replicates cost.
fn parts(budget: &Budget) -> [(&'static str, Option<f64>, Part); 3] {
    [
        (WALL, budget.wall_s, |cost| cost.wall_s),
        ("s of CPU time", budget.cpu_s, |cost| cost.cpu_s),
        ("s of GPU time", budget.gpu_s, |cost| cost.gpu_s),
    ]
}

/// The caps on what models cost.
fn models(budget: &Budget) -> [(&'static str, Option<f64>, Part); 3] {
    let real = |cap: Option<u64>| cap.map(|cap| cap as f64);
    [
        ("usd", budget.usd, |cost| cost.usd),
        ("tokens", real(budget.tokens), |cost| cost.tokens as f64),
        ("calls", real(budget.calls), |cost| cost.calls as f64),
    ]
}

/// What part of its budget an arm has spent or reserved, and what part one of its trials takes; counted in trials where
/// nothing is capped. Of several caps, the one that binds it most.
pub(crate) fn part(study: &Study, arm: &str, slots: usize, askers: usize) -> (f64, f64) {
    let (budget, seen) = (study.budget(), study.of_arm(arm));
    let arms = study.settings().arms.len().max(1) as f64;
    let ended = f64::from(seen.spent_trials());
    let trials = ended + seen.open_trials().len() as f64;
    let cost = study.arm(arm).map_or(Cost::default(), Progress::cost);
    // What is under way is taken to cost what the arm's trials cost so far.
    let cost = |part: Part| part(&cost) * trials / ended.max(1.0);
    let timed = parts(budget).into_iter().filter_map(|(unit, cap, part)| {
        let whole = cap? * if unit == WALL { slots as f64 } else { 1.0 };
        Some(cost(part) / (whole / arms))
    });
    let asked = models(budget).into_iter();
    let asked = asked.filter_map(|(_, cap, part)| Some(cost(part) / (cap? / askers.max(1) as f64)));
    let counted = budget.trials.map(|cap| trials / f64::from(cap.max(1)));
    let spent = timed.chain(asked).chain(counted).reduce(f64::max).unwrap_or(trials);
    (spent, spent / trials.max(1.0))
}

impl Room {
    /// Whether any of several arms has room.
    pub(crate) fn of_all<'a>(arms: impl Iterator<Item = (&'a str, Self)>) -> Self {
        let mut reasons: Vec<(&str, String)> = Vec::new();
        let mut reserved = false;
        for (arm, room) in arms {
            match room {
                Self::Open => return Self::Open,
                Self::Reserved => reserved = true,
                Self::Spent(why) => reasons.push((arm, why)),
            }
        }
        match reasons.first() {
            _ if reserved => Self::Reserved,
            None => Self::Spent("no arm searches".to_owned()),
            Some((_, first)) if reasons.iter().all(|(_, why)| why == first) => {
                Self::Spent(first.clone())
            }
            Some(_) => {
                let each: Vec<String> =
                    reasons.iter().map(|(arm, why)| format!("{arm}: {why}")).collect();
                Self::Spent(each.join("; "))
            }
        }
    }
}
