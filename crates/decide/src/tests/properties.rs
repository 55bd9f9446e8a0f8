//! Whatever is measured, in whatever order: nothing is asked for twice, and every trial ends.

use std::collections::BTreeSet;

use empiric_core::{
    Bound, Cause, Failure, Gate, Goal, Outcome, Phase, ReplicateId, Split, TrialNo, study::Rules,
    trial::Measured,
};
use proptest::prelude::*;

use super::lab::{Lab, failed, hash, normal, task, values};
use crate::{Closing, MAX_ATTEMPTS, Step, Wanted, closing, summary};

#[derive(Debug, Clone, Copy)]
enum Shape {
    Equal,
    Tiny,
    Huge,
    Noise,
    Coarse,
    Mixed,
}

#[derive(Debug, Clone, Copy)]
struct World {
    stream: u64,
    shape: Shape,
    failing: u64,
    rules: Rules,
    gate: bool,
}

fn worlds() -> impl Strategy<Value = World> {
    let shape = prop_oneof![
        Just(Shape::Equal),
        Just(Shape::Tiny),
        Just(Shape::Huge),
        Just(Shape::Noise),
        Just(Shape::Coarse),
        Just(Shape::Mixed),
    ];
    (any::<u64>(), shape, 0_u64..40, 0_u32..9, 0_u32..9, any::<bool>()).prop_map(
        |(stream, shape, failing, search_replicates, confirm_replicates, gate)| World {
            stream,
            shape,
            failing,
            gate,
            rules: Rules { search_replicates, confirm_replicates, ..Rules::default() },
        },
    )
}

impl World {
    fn run(self, wanted: Wanted, attempt: u64) -> Measured {
        let place = [
            self.stream,
            u64::from(wanted.trial.0),
            hash(&[format!("{:?}", wanted.purpose).len() as u64, u64::from(wanted.index)]),
        ];
        let luck = hash(&[place[0], place[1], place[2], attempt]);
        if wanted.trial != TrialNo::BASELINE && luck % 100 < self.failing {
            let cause = match luck / 100 % 4 {
                0 => Cause::WallLimit,
                1 => Cause::EvaluatorCrash,
                _ => Cause::SandboxFailed,
            };
            return failed(Failure::new(Phase::Train, cause));
        }
        let noise = normal(&place);
        let better = 0.7 * f64::from(wanted.trial.0);
        let loss = match self.shape {
            Shape::Equal => 1.0,
            Shape::Tiny => 1e-308 * (noise + better),
            Shape::Huge => (noise - better).signum() * f64::MAX,
            Shape::Noise => 100.0 + noise - better,
            Shape::Coarse => (noise - better).round(),
            Shape::Mixed => 10_f64.powf(40.0 * noise) * noise.signum(),
        };
        values(&[
            ("loss", Split::Search, loss),
            ("accuracy", Split::Search, 0.97 + 0.01 * normal(&[luck, 1])),
        ])
    }
}

struct Run {
    lab: Lab,
    world: World,
    in_flight: Vec<(ReplicateId, Wanted)>,
    usable: BTreeSet<Wanted>,
    attempts: u64,
}

impl Run {
    fn take(&mut self, wanted: Vec<Wanted>) {
        assert!(!wanted.is_empty());
        let mut asked = BTreeSet::new();
        for wanted in wanted {
            assert!(asked.insert(wanted), "{wanted:?} is asked for twice at once");
            assert!(!self.usable.contains(&wanted), "{wanted:?} is there");
            let flying = self.in_flight.iter().any(|(_, other)| *other == wanted);
            assert!(!flying, "{wanted:?} is under way");
            self.in_flight.push((self.lab.lease(wanted), wanted));
        }
    }

    fn finish_one(&mut self) {
        self.attempts += 1;
        let pick = hash(&[self.world.stream, self.attempts]) as usize % self.in_flight.len();
        let (replicate, wanted) = self.in_flight.swap_remove(pick);
        let result = self.world.run(wanted, self.attempts);
        if result.failure.is_none() {
            self.usable.insert(wanted);
        }
        self.lab.finish(replicate, wanted.trial, result);
    }

    /// Runs every open trial at once until all have ended.
    fn settle(&mut self) {
        for _ in 0..5000 {
            let open: Vec<TrialNo> = self.lab.study.open_trials().iter().copied().collect();
            if open.is_empty() {
                return;
            }
            for trial in open {
                let step = self.lab.step(trial);
                assert_eq!(step, self.lab.step(trial));
                match step {
                    Step::Measure { wanted } => self.take(wanted),
                    Step::Conclude(outcome) => {
                        check(&outcome);
                        self.lab.conclude(trial, outcome);
                    }
                    Step::Wait => {}
                }
            }
            if self.in_flight.is_empty() {
                let waiting = |trial: &TrialNo| self.lab.step(*trial) == Step::Wait;
                assert!(!self.lab.study.open_trials().iter().any(waiting), "a deadlock");
            } else {
                self.finish_one();
            }
        }
        panic!("trials do not end");
    }
}

fn check(outcome: &Outcome) {
    match outcome {
        Outcome::Valid { reason, gain, gain_interval, .. } => {
            assert!(gain.is_none_or(f64::is_finite));
            assert!(gain_interval.is_none_or(|ends| ends.iter().all(|end| end.is_finite())));
            assert!(reason.len() < 300, "{reason}");
        }
        Outcome::Failed(failure) => assert!(failure.margin.is_none_or(f64::is_finite)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn every_trial_ends_and_nothing_is_measured_twice(world in worlds()) {
        let gate = Gate { metric: "accuracy".to_owned(), bound: Bound::Min(0.967) };
        let gates = if world.gate { vec![gate] } else { Vec::new() };
        let mut lab = Lab::with(task(Goal::Minimize, gates), world.rules, world.stream);
        for tree in [1, 2, 3, 3, 4] {
            lab.propose(tree);
        }
        let (in_flight, usable) = (Vec::new(), BTreeSet::new());
        let mut run = Run { lab, world, in_flight, usable, attempts: 0 };
        run.settle();
        run.lab.propose(3);
        run.settle();
        while let Closing::Measure(wanted) = closing(&run.lab.study) {
            run.take(wanted);
            while !run.in_flight.is_empty() {
                run.finish_one();
            }
        }
        let rules = world.rules;
        let own = rules.search_replicates.max(1) + rules.confirm_replicates.max(2);
        for trial in run.lab.study.trials().iter().skip(1) {
            let own_purposes = |purpose| match purpose {
                empiric_core::Purpose::Search => true,
                empiric_core::Purpose::Confirm { of } => of == trial.no,
                empiric_core::Purpose::Report => false,
            };
            let kept = run.lab.study.keeps().contains(&trial.no);
            let count = run.lab.count(trial.no, own_purposes);
            prop_assert!(kept || count <= own as usize * MAX_ATTEMPTS);
        }
        let found = summary(&run.lab.study);
        if let Some(champion) = found.champion {
            prop_assert!(champion.gain.is_finite());
        }
    }
}
