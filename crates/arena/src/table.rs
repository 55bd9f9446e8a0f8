//! Figures as tables of words, and what they say of the claims.

use std::fmt::Write as _;

use empiric_decide::aggregate::{
    Interval, bootstrap, bootstrap_pair, interquartile_mean, probability_of_improvement,
};

/// Bootstrap draws.
const DRAWS: u32 = 2000;
/// A difference smaller than this, in shares of the possible gain, is none.
const NOTHING: f64 = 0.005;

/// What one method came to.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// Share of the gain that was to be had, by row and seed.
    pub(crate) scores: Vec<Vec<f64>>,
    /// Measurements made by row, on average.
    pub(crate) evaluations: Vec<u32>,
    /// Verdicts between ask and start, mean.
    pub(crate) staleness: f64,
}

impl Column {
    pub(crate) fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, scores: Vec::new(), evaluations: Vec::new(), staleness: 0.0 }
    }

    /// Interquartile mean over all rows and seeds.
    pub(crate) fn overall(&self) -> f64 {
        interquartile_mean(&self.scores)
    }
}

/// A row for each name and one for all of them.
pub(crate) fn table(rows: &[&str], columns: &[&Column]) -> String {
    let mut text = format!("  {:<12}", "");
    for column in columns {
        write!(text, " {:>21}", column.name).ok();
    }
    for (at, name) in rows.iter().enumerate() {
        write!(text, "\n  {name:<12}").ok();
        for column in columns {
            write!(text, " {:>21}", cell(&column.scores[at..=at])).ok();
        }
    }
    write!(text, "\n  {:<12}", "all").ok();
    for column in columns {
        write!(text, " {:>21}", cell(&column.scores)).ok();
    }
    write!(text, "\n  {:<12}", "measurements").ok();
    for column in columns {
        let mean = column.evaluations.iter().sum::<u32>() / column.evaluations.len().max(1) as u32;
        write!(text, " {mean:>21}").ok();
    }
    text
}

fn cell(scores: &[Vec<f64>]) -> String {
    let Interval { point, low, high } = bootstrap(scores, interquartile_mean, DRAWS, 0.95, 1);
    format!("{point:.3} [{low:.3} {high:.3}]")
}

/// Whether ours is not worse than the best rival in any row, and better in most.
pub(crate) fn comparison(rows: &[&str], ours: &Column, rivals: &[Column]) -> String {
    let mut text =
        String::from("  beside the best of them in each row: difference of interquartile means");
    let (mut worse, mut better) = (Vec::new(), 0);
    for (at, row) in rows.iter().enumerate() {
        let mean = |column: &Column| interquartile_mean(&column.scores[at..=at]);
        let Some(best) = rivals.iter().max_by(|a, b| mean(a).total_cmp(&mean(b))) else { continue };
        let difference = bootstrap_pair(
            &ours.scores[at..=at],
            &best.scores[at..=at],
            |own, other| interquartile_mean(own) - interquartile_mean(other),
            DRAWS,
            0.95,
            2,
        );
        let word = if difference.high < -NOTHING {
            worse.push(*row);
            "worse"
        } else if difference.low > 0.0 {
            better += 1;
            "better"
        } else {
            "not told apart"
        };
        let Interval { point, low, high } = difference;
        write!(
            text,
            "\n    {:<12} {point:+.3} [{low:+.3} {high:+.3}] {word} (than {})",
            row, best.name
        )
        .ok();
    }
    for rival in rivals {
        let improvement = bootstrap_pair(
            &ours.scores,
            &rival.scores,
            probability_of_improvement,
            DRAWS / 4,
            0.95,
            3,
        );
        let Interval { point, low, high } = improvement;
        write!(
            text,
            "\n  probability of improvement over {}: {point:.2} [{low:.2} {high:.2}]",
            rival.name
        )
        .ok();
    }
    let count = rows.len();
    let claim = |held: bool| if held { "holds" } else { "DOES NOT HOLD" };
    let which =
        if worse.is_empty() { String::new() } else { format!(": worse on {}", worse.join(", ")) };
    write!(text, "\n  not worse than the best on any: {}{which}", claim(worse.is_empty())).ok();
    write!(text, "\n  better on most: {} ({better} of {count})", claim(2 * better > count)).ok();
    text
}
