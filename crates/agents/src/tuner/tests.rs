//! The tuner on made-up recipes.

mod sim;

use std::sync::Arc;

use empiric_core::{Ask, Operator, TrialNo};
use proptest::prelude::*;

use self::sim::{Sim, World, random_search, tuner_search};
use super::{find, *};

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn it_beats_random_perturbation() {
    let list = |name: &str, usual: &str| {
        let text = std::env::var_os(name).map_or(usual.to_owned(), |t| t.into_string().unwrap());
        text.split(',').map(|n| n.parse::<u32>().unwrap()).collect::<Vec<_>>()
    };
    for world in [World::Quadratic, World::Gated] {
        for trials in list("SIM_TRIALS", "60") {
            let seeds = 0..u64::from(list("SIM_SEEDS", "20")[0]);
            let tuned: Vec<f64> = seeds.clone().map(|s| tuner_search(world, s, trials)).collect();
            let random: Vec<f64> = seeds.map(|s| random_search(world, s, trials)).collect();
            println!(
                "{world:?} {trials} trials: share of the possible gain, tuner {:.2} random {:.2}",
                mean(&tuned),
                mean(&random)
            );
        }
    }
}
