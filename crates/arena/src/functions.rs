//! Standard test functions written as recipes: their parameters are literals of a Python file, as in real recipes.
//!
//! Sources: Surjanovic and Bingham, Virtual Library of Simulation Experiments (Branin, Hartmann, Rosenbrock, Rastrigin,
//! Ackley); the mixed recipe is made up here. Domains are shifted so that literals are positive, as settings mostly are.

use std::{f64::consts::PI, fmt::Write as _};

use crate::literal::{Literal, Setting, Settings, Start};

/// A function to be minimised.
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its parameters.
    pub(crate) literals: Vec<Literal>,
    /// Its least value.
    pub(crate) least: f64,
    /// Standard deviation of one measurement, as a share of the distance from the start to the least value.
    pub(crate) noise: f64,
    truth: fn(&[f64], &Settings) -> f64,
}

impl Function {
    /// The recipe's file before any edit.
    pub(crate) fn recipe(&self) -> String {
        let mut text = format!("\"\"\"{}, written as a recipe.\"\"\"\n\n", self.name);
        for literal in &self.literals {
            let value = literal.start.setting();
            writeln!(text, "{} = {}", literal.name, literal.start.written(&value)).ok();
        }
        for literal in &self.literals {
            if let Start::Word(_, words) = literal.start {
                let table: Vec<String> =
                    words.iter().map(|word| format!("\"{word}\": done")).collect();
                writeln!(
                    text,
                    "\n\ndef chosen(done):\n    return {{{}}}[{}]",
                    table.join(", "),
                    literal.name
                )
                .ok();
            }
        }
        text
    }

    /// The settings of a recipe's text; none where one is missing or is not what it was.
    pub(crate) fn read(&self, text: &str) -> Option<Settings> {
        let mut settings = Settings::new();
        for literal in &self.literals {
            let prefix = format!("{} = ", literal.name);
            let value = text.lines().find_map(|line| line.strip_prefix(&prefix))?.trim();
            let setting = match literal.start {
                Start::Real(..) | Start::Whole(..) => Setting::Number(value.parse().ok()?),
                Start::Switch(_) => Setting::Switch(value == "True"),
                Start::Word(..) => Setting::Word(value.trim_matches('"').to_owned()),
            };
            settings.insert(literal.name.to_owned(), setting);
        }
        Some(settings)
    }

    /// The settings before any edit.
    pub(crate) fn start(&self) -> Settings {
        self.read(&self.recipe()).unwrap_or_default()
    }

    /// The true value.
    pub(crate) fn truth(&self, settings: &Settings) -> f64 {
        let numbers: Vec<f64> = self
            .literals
            .iter()
            .filter_map(|literal| match settings.get(literal.name) {
                Some(Setting::Number(value)) => Some(*value),
                Some(Setting::Switch(_) | Setting::Word(_)) | None => None,
            })
            .collect();
        (self.truth)(&numbers, settings)
    }

    /// Standard deviation of one measurement.
    pub(crate) fn noise_sd(&self) -> f64 {
        self.noise * (self.truth(&self.start()) - self.least)
    }

    /// Share of the possible gain that these settings truly have: 0 at the start, 1 at the least value.
    pub(crate) fn share(&self, settings: &Settings) -> f64 {
        let start = self.truth(&self.start());
        (start - self.truth(settings)) / (start - self.least)
    }
}

fn magnitudes(names: &[(&'static str, f64)]) -> Vec<Literal> {
    let literal = |(name, start): &(&'static str, f64)| Literal {
        name,
        start: Start::Real(*start, start / 16.0, start * 16.0, true),
    };
    names.iter().map(literal).collect()
}

fn reals(names: &[&'static str], start: f64, low: f64, high: f64) -> Vec<Literal> {
    let literal =
        |name: &&'static str| Literal { name, start: Start::Real(start, low, high, false) };
    names.iter().map(literal).collect()
}

/// Doublings from `base`.
fn doublings(value: f64, base: f64) -> f64 {
    (value.max(1e-300) / base).log2()
}

/// All of them.
pub(crate) fn functions() -> Vec<Function> {
    vec![
        Function {
            name: "sphere",
            literals: magnitudes(&[
                ("LEARNING_RATE", 0.01),
                ("WEIGHT_DECAY", 5e-4),
                ("CLIP", 5.0),
                ("GAIN", 1.0),
                ("TEMPERATURE", 2.0),
                ("EPSILON", 1e-3),
            ]),
            least: 0.0,
            noise: 0.05,
            truth: |x, _| {
                let base = [0.01, 5e-4, 5.0, 1.0, 2.0, 1e-3];
                let best = [1.6, -2.0, 0.7, -1.1, 2.4, 0.4];
                let far = x.iter().zip(base).map(|(x, base)| doublings(*x, base));
                far.zip(best).map(|(x, best)| (x - best).powi(2)).sum()
            },
        },
        Function {
            name: "ellipsoid",
            literals: magnitudes(&[
                ("LEARNING_RATE", 0.01),
                ("WEIGHT_DECAY", 5e-4),
                ("CLIP", 5.0),
                ("GAIN", 1.0),
                ("TEMPERATURE", 2.0),
                ("EPSILON", 1e-3),
                ("STRENGTH", 3.0),
                ("SHARPNESS", 8.0),
                ("INIT_SCALE", 0.02),
                ("MARGIN", 0.5),
            ]),
            least: 0.0,
            noise: 0.03,
            truth: |x, _| {
                let base = [0.01, 5e-4, 5.0, 1.0, 2.0, 1e-3, 3.0, 8.0, 0.02, 0.5];
                let best = [1.6, -2.0, 0.7, -1.1, 2.4, 0.4, -1.5, 1.2, -0.6, 1.9];
                let far = x.iter().zip(base).map(|(x, base)| doublings(*x, base));
                // Condition 100, as in the ellipsoid of the BBOB suite but milder.
                far.zip(best)
                    .enumerate()
                    .map(|(i, (x, best))| 100_f64.powf(i as f64 / 9.0) * (x - best).powi(2))
                    .sum()
            },
        },
        Function {
            name: "rosenbrock",
            literals: reals(&["ALPHA", "BETA_SCALE", "GAMMA", "DELTA"], 1.7, 0.5, 4.5),
            least: 0.0,
            noise: 0.02,
            truth: |x, _| {
                let x: Vec<f64> = x.iter().map(|x| x - 2.5).collect();
                x.windows(2)
                    .map(|pair| {
                        100.0 * (pair[1] - pair[0] * pair[0]).powi(2) + (1.0 - pair[0]).powi(2)
                    })
                    .sum()
            },
        },
        Function {
            name: "rastrigin",
            literals: reals(&["ALPHA", "GAMMA", "DELTA"], 9.2, 0.88, 11.12),
            least: 0.0,
            noise: 0.03,
            truth: |x, _| {
                let term = |x: &f64| (x - 6.0).powi(2) - 10.0 * (2.0 * PI * (x - 6.0)).cos() + 10.0;
                x.iter().map(term).sum()
            },
        },
        Function {
            name: "ackley",
            literals: reals(&["ALPHA", "GAMMA", "DELTA", "KAPPA"], 9.0, 0.5, 14.0),
            least: 0.0,
            noise: 0.03,
            truth: |x, _| {
                let x: Vec<f64> = x.iter().map(|x| x - 5.0).collect();
                let n = x.len() as f64;
                let squares = x.iter().map(|x| x * x).sum::<f64>() / n;
                let waves = x.iter().map(|x| (2.0 * PI * x).cos()).sum::<f64>() / n;
                -20.0 * (-0.2 * squares.sqrt()).exp() - waves.exp() + 20.0 + std::f64::consts::E
            },
        },
        Function {
            name: "branin",
            literals: reals(&["ALPHA", "GAMMA"], 7.0, 0.05, 15.0),
            least: 0.397_887,
            noise: 0.05,
            truth: |x, _| {
                let (a, b) = (x[0] - 5.0, x[1]);
                let inner = b - 5.1 / (4.0 * PI * PI) * a * a + 5.0 / PI * a - 6.0;
                inner * inner + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * a.cos() + 10.0
            },
        },
        Function {
            name: "hartmann6",
            literals: reals(
                &["MIX_RATIO", "KEEP_PROB", "BLEND_SHARE", "WARMUP_FRAC", "DROPOUT", "SMOOTHING"],
                0.5,
                0.01,
                0.99,
            ),
            least: -3.322_37,
            noise: 0.05,
            truth: |x, _| hartmann6(x),
        },
        Function {
            name: "mixed",
            literals: vec![
                Literal { name: "LEARNING_RATE", start: Start::Real(0.01, 1e-4, 1.0, true) },
                Literal { name: "MOMENTUM", start: Start::Real(0.9, 0.5, 0.999, false) },
                Literal { name: "WEIGHT_DECAY", start: Start::Real(5e-4, 1e-6, 0.1, true) },
                Literal { name: "DROPOUT", start: Start::Real(0.1, 0.01, 0.7, false) },
                Literal { name: "WIDTH", start: Start::Whole(64, 8, 512, true) },
                Literal { name: "DEPTH", start: Start::Whole(3, 1, 12, false) },
                Literal { name: "BATCH", start: Start::Whole(32, 4, 512, true) },
                Literal { name: "AUGMENT", start: Start::Switch(false) },
                Literal { name: "NESTEROV", start: Start::Switch(true) },
                Literal {
                    name: "SCHEDULE",
                    start: Start::Word("linear", &["linear", "cosine", "constant", "step"]),
                },
            ],
            least: 1.0,
            noise: 0.05,
            truth: mixed,
        },
    ]
}

/// Hartmann's function of six dimensions.
fn hartmann6(x: &[f64]) -> f64 {
    const ALPHA: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
    const A: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const P: [[f64; 6]; 4] = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ];
    let hill = |i: usize| {
        let far: f64 = (0..6).map(|j| A[i][j] * (x[j] - P[i][j]).powi(2)).sum();
        ALPHA[i] * (-far).exp()
    };
    -(0..4).map(hill).sum::<f64>()
}

/// A loss with the habits of training: magnitudes that matter in doublings, an interaction of rate and batch size,
/// switches, and a word.
fn mixed(x: &[f64], settings: &Settings) -> f64 {
    let odds = |p: f64| (p.clamp(1e-9, 1.0 - 1e-9) / (1.0 - p.clamp(1e-9, 1.0 - 1e-9))).log2();
    let rate = doublings(x[0], 0.01);
    let batch = doublings(x[6], 32.0);
    let on = |name: &str| settings.get(name) == Some(&Setting::Switch(true));
    let schedule = match settings.get("SCHEDULE") {
        Some(Setting::Word(word)) if word == "cosine" => 0.0,
        Some(Setting::Word(word)) if word == "step" => 0.02,
        Some(Setting::Word(word)) if word == "linear" => 0.05,
        _ => 0.12,
    };
    1.0 + 0.040 * (rate - 1.5 - 0.5 * (batch + 1.0)).powi(2)
        + 0.015 * (batch + 1.0).powi(2)
        + 0.020 * (odds(x[1]) - odds(0.95)).powi(2)
        + 0.006 * (doublings(x[2], 5e-4) - 2.0).powi(2)
        + 0.010 * (odds(x[3]) - odds(0.05)).powi(2)
        + 0.020 * (doublings(x[4], 64.0) - 1.2).powi(2)
        + 0.020 * (doublings(x[5], 3.0) - 0.9).powi(2)
        + if on("AUGMENT") { 0.0 } else { 0.06 }
        + if on("NESTEROV") { 0.01 } else { 0.0 }
        + schedule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_read_back_as_written() {
        for function in functions() {
            let settings = function.start();
            assert_eq!(settings.len(), function.literals.len(), "{}", function.name);
            assert_eq!(function.share(&settings), 0.0, "{}", function.name);
            assert!(function.noise_sd() > 0.0, "{}", function.name);
        }
    }

    fn at(name: &str, values: &[f64]) -> f64 {
        let functions = functions();
        let function = functions.iter().find(|function| function.name == name).unwrap();
        (function.truth)(values, &function.start())
    }

    #[test]
    fn least_values_are_where_the_literature_has_them() {
        assert!(at("rosenbrock", &[3.5; 4]).abs() < 1e-12);
        assert!(at("rastrigin", &[6.0; 3]).abs() < 1e-12);
        assert!(at("ackley", &[5.0; 4]).abs() < 1e-12);
        assert!((at("branin", &[5.0 + PI, 2.275]) - 0.397_887).abs() < 1e-6);
        let best = [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573];
        assert!((at("hartmann6", &best) + 3.32237).abs() < 1e-5);
        let base = [0.01, 5e-4, 5.0, 1.0, 2.0, 1e-3];
        let far = [1.6, -2.0, 0.7, -1.1, 2.4, 0.4_f64];
        let best: Vec<f64> = base.iter().zip(far).map(|(base, far)| base * far.exp2()).collect();
        assert!(at("sphere", &best).abs() < 1e-12);
    }
}
