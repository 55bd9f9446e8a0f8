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

/// How ours stands beside the best rival of each row.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    rows: usize,
    better: usize,
    /// Names of the rows where it is worse.
    worse: Vec<String>,
}

impl Standing {
    /// Of the rows of both.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.rows += other.rows;
        self.better += other.better;
        self.worse.extend(other.worse);
        self
    }

    /// Whether ours is not worse in any row, and better in most.
    pub(crate) fn claims(&self) -> String {
        let Self { rows, better, worse } = self;
        let claim = |held: bool| if held { "holds" } else { "DOES NOT HOLD" };
        let which = if worse.is_empty() {
            String::new()
        } else {
            format!(": worse on {}", worse.join(", "))
        };
        format!(
            "  not worse than the best on any: {}{which}\n  better on most: {} ({better} of {rows})",
            claim(worse.is_empty()),
            claim(2 * better > *rows)
        )
    }
}

/// Ours beside the best rival of each row, in words, and how it stands.
pub(crate) fn comparison(rows: &[&str], ours: &Column, rivals: &[Column]) -> (String, Standing) {
    let mut text =
        String::from("  beside the best of them in each row: difference of interquartile means");
    let mut standing = Standing { rows: rows.len(), ..Standing::default() };
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
            standing.worse.push((*row).to_owned());
            "worse"
        } else if difference.low > 0.0 {
            standing.better += 1;
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
    write!(text, "\n{}", standing.claims()).ok();
    (text, standing)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A column whose seeds score about as much as is said of their row.
    fn column(name: &str, rows: &[f64]) -> Column {
        let seeds = |score: &f64| (0..10).map(|at| score + f64::from(at) / 1000.0).collect();
        Column { scores: rows.iter().map(seeds).collect(), ..Column::new(name) }
    }

    #[test]
    fn a_claim_over_two_tables_counts_the_rows_of_both() {
        let rivals = [column("a", &[0.5, 0.8]), column("b", &[0.6, 0.2])];
        let (text, ahead) = comparison(&["one", "two"], &column("own", &[0.9, 0.8]), &rivals);
        assert!(text.contains("one          +0.300 ["), "{text}");
        assert!(text.contains("better (than b)"), "{text}");
        assert!(text.contains("not told apart (than a)"), "{text}");
        assert!(text.ends_with(&ahead.claims()), "{text}");
        assert_eq!(
            ahead.claims(),
            "  not worse than the best on any: holds\n  better on most: DOES NOT HOLD (1 of 2)"
        );
        let (_, behind) = comparison(&["three"], &column("own", &[0.1]), &[column("a", &[0.5])]);
        let (_, well) = comparison(&["four", "five"], &column("own", &[0.9, 0.9]), &rivals);
        assert_eq!(
            ahead.and(behind).and(well).claims(),
            "  not worse than the best on any: DOES NOT HOLD: worse on three\n  better on most: holds (3 of 5)"
        );
    }
}
