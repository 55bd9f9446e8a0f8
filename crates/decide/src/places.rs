//! What is known at each place of a trial's seed streams: a value, a replicate under way, failures, nothing.

use std::{
    collections::BTreeMap,
    ops::{Range, RangeBounds},
};

use empiric_core::{
    Blame, Cause, Failure, Phase, Purpose, Replicate, Split, Study, Task, Trial, TrialNo,
};

use crate::step::{MAX_ATTEMPTS, Step, Wanted};

/// One place in a seed stream.
#[derive(Debug, Default)]
struct Place<'a> {
    usable: Option<&'a Replicate>,
    in_flight: bool,
    failures: Vec<Failure>,
}

impl Place<'_> {
    fn exhausted(&self) -> bool {
        self.usable.is_none() && self.failures.len() >= MAX_ATTEMPTS
    }

    fn settled(&self) -> bool {
        self.usable.is_some() || self.exhausted()
    }
}

/// The places of one trial and purpose in the segment in force.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    trial: TrialNo,
    purpose: Purpose,
    places: BTreeMap<u32, Place<'a>>,
}

impl<'a> Places<'a> {
    pub(crate) fn of(study: &Study, trial: &'a Trial, purpose: Purpose) -> Self {
        let mut places: BTreeMap<u32, Place<'a>> = BTreeMap::new();
        let ours = |replicate: &&Replicate| {
            replicate.purpose == purpose && replicate.segment == study.segment()
        };
        for replicate in trial.replicates.iter().filter(ours) {
            let place = places.entry(replicate.index).or_default();
            let Some(result) = &replicate.result else {
                place.in_flight = true;
                continue;
            };
            match result.failure.clone().or_else(|| unmeasured(study.task(), replicate)) {
                Some(failure) => place.failures.push(failure),
                None => place.usable = place.usable.or(Some(replicate)),
            }
        }
        Self { trial: trial.no, purpose, places }
    }

    /// Takes over what `earlier`, a trial with the same tree, has measured where this one has not.
    pub(crate) fn pool(&mut self, earlier: &Places<'a>) {
        for (index, place) in &earlier.places {
            if place.usable.is_some() {
                let own = self.places.entry(*index).or_default();
                own.usable = own.usable.or(place.usable);
            }
        }
    }

    /// The first place that nothing is known of, nor of any after it.
    pub(crate) fn end(&self) -> u32 {
        self.places.last_key_value().map_or(0, |(index, _)| index + 1)
    }

    /// The failure that ends the trial: the earliest that it answers for, or that came at every attempt.
    pub(crate) fn fault(&self) -> Option<&Failure> {
        self.places.values().filter(|place| place.usable.is_none()).find_map(|place| {
            let own = place.failures.iter().find(|failure| !failure.blame.spares_the_trial());
            own.or_else(|| place.failures.last().filter(|_| place.exhausted()))
        })
    }

    /// The last failure of a place that will not be tried again.
    pub(crate) fn given_up(&self) -> Option<&Failure> {
        self.places.values().find(|place| place.exhausted())?.failures.last()
    }

    pub(crate) fn usable(&self, index: u32) -> Option<&'a Replicate> {
        self.places.get(&index)?.usable
    }

    /// Usable replicates at places in `range`, by place.
    pub(crate) fn usable_in(
        &self,
        range: impl RangeBounds<u32>,
    ) -> impl Iterator<Item = (u32, &'a Replicate)> {
        self.places.range(range).filter_map(|(index, place)| Some((*index, place.usable?)))
    }

    /// How many places from 0 on are usable without a gap.
    pub(crate) fn run(&self) -> u32 {
        (0..).take_while(|index| self.usable(*index).is_some()).count() as u32
    }
}

/// A finished replicate that lacks a metric it must have.
fn unmeasured(task: &Task, replicate: &Replicate) -> Option<Failure> {
    let metrics =
        std::iter::once(&task.metric.name).chain(task.gates.iter().map(|gate| &gate.metric));
    let metric = metrics.into_iter().find(|m| replicate.value(m, Split::Select).is_none())?;
    let blame = if task.is_harness_metric(metric) {
        Blame::Infra
    } else if task.evaluator.is_some() {
        Blame::Evaluator
    } else {
        Blame::Recipe
    };
    let cause = Cause::MetricMissing { metric: metric.clone() };
    let excerpt = format!("a replicate finished without a value of {metric}");
    Some(Failure::new(Phase::Score, cause).blame(blame).excerpt(excerpt))
}

/// Replicates that a decision waits for.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    list: Vec<Wanted>,
    waiting: bool,
}

impl Wants {
    /// Asks for whatever is missing of `range` and was not asked for before.
    pub(crate) fn need(&mut self, places: &Places<'_>, range: Range<u32>) {
        for index in range {
            let place = places.places.get(&index);
            if place.is_some_and(Place::settled) {
                continue;
            }
            if place.is_some_and(|place| place.in_flight) {
                self.waiting = true;
                continue;
            }
            let wanted = Wanted { trial: places.trial, purpose: places.purpose, index };
            if !self.list.contains(&wanted) {
                self.list.push(wanted);
            }
        }
    }

    /// Asks for both sides of the places in `range`, pair by pair, each side first in turn: whatever moves with time
    /// while they run moves both alike.
    pub(crate) fn need_pairs(&mut self, a: &Places<'_>, b: &Places<'_>, range: Range<u32>) {
        for index in range {
            let (first, second) = if index.is_multiple_of(2) { (a, b) } else { (b, a) };
            self.need(first, index..index + 1);
            self.need(second, index..index + 1);
        }
    }

    /// What to do before deciding; none when everything is there.
    pub(crate) fn step(&mut self) -> Option<Step> {
        if !self.list.is_empty() {
            Some(Step::Measure { wanted: std::mem::take(&mut self.list) })
        } else {
            self.waiting.then_some(Step::Wait)
        }
    }
}
