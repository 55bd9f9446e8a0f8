//! Error rates and power over simulated studies; the figures are printed (`--no-capture`) and bounded.

use empiric_core::{
    Goal, Outcome, Purpose, TrialNo, Verdict,
    study::{ErrorControl, Rules},
};

use super::lab::{Gaussian, Lab, task};

#[derive(Debug, Default)]
struct Figures {
    trials: f64,
    keeps: f64,
    studies_with_keep: f64,
    search: f64,
    all: f64,
}

/// `studies` studies of `trials` trials each, all with the same true effect over the *baseline*; a keep of a trial with
/// no effect is false.
fn simulate(studies: u64, trials: u32, effect: f64, shared: f64) -> Figures {
    let mut figures = Figures::default();
    for stream in 0..studies {
        let mut lab = Lab::with(
            task(Goal::Minimize, Vec::new()),
            Rules { error: ErrorControl::Fwer, ..Rules::default() },
            stream,
        );
        let mut machine = Gaussian::new(stream, shared);
        lab.settle(TrialNo::BASELINE, &mut machine);
        let mut kept = false;
        for no in 1..=trials {
            let trial = lab.propose(no);
            machine.effects.insert(trial, effect);
            let outcome = lab.settle(trial, &mut machine);
            figures.trials += 1.0;
            figures.search += lab.count(trial, |purpose| purpose == Purpose::Search) as f64;
            figures.all += lab.count(trial, |_| true) as f64;
            if matches!(outcome, Outcome::Valid { verdict: Verdict::Keep, .. }) {
                figures.keeps += 1.0;
                kept = true;
            }
        }
        figures.studies_with_keep += f64::from(u8::from(kept));
    }
    println!(
        "effect {effect} sd, seeds explain {shared}: kept {:.4} of {} trials, in {} of {studies} studies; \
         {:.2} search and {:.2} replicates per trial",
        figures.keeps / figures.trials,
        figures.trials,
        figures.studies_with_keep,
        figures.search / figures.trials,
        figures.all / figures.trials
    );
    figures
}

#[test]
fn noise_is_rarely_kept_and_cheap() {
    for shared in [0.0, 0.5, 0.9] {
        let found = simulate(200, 60, 0.0, shared);
        assert!(found.keeps / found.trials <= 0.0025, "{found:?}");
        assert!(found.search / found.trials < 1.45, "{found:?}");
    }
}

#[test]
fn a_worse_trial_stops_at_its_first_replicate() {
    let found = simulate(50, 60, -1.0, 0.0);
    assert!(found.keeps == 0.0 && found.all / found.trials < 1.1, "{found:?}");
}

#[test]
fn real_effects_are_found() {
    for (effect, shared, least) in
        [(1.0, 0.0, 0.07), (2.0, 0.0, 0.5), (4.0, 0.0, 0.97), (1.0, 0.9, 0.3), (2.0, 0.5, 0.7)]
    {
        let found = simulate(400, 1, effect, shared);
        assert!(found.keeps / found.trials >= least, "{effect} sd, {shared} shared: {found:?}");
    }
}
