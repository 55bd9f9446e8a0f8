//! Scores by item: what a gain owes to the luck of which items there are.
//!
//! Seeds say how a trial does on *these* items. Whether it would on others drawn like them is a question to the differences
//! item by item, averaged over the pairs of replicates: their mean moves by the luck of the draw as much as their spread
//! says. A keep must stand out from both. So the differences seed by seed are taken less what the items' luck exceeds
//! with half of the contest's level, and their evidence has the other half: by the union bound the level holds, whatever the
//! two lucks have to do with each other. A metric without noise has only the luck of the items, and the whole level for it.

use empiric_core::Replicate;
use statrs::distribution::{Binomial, DiscreteCDF};

use crate::stats::{Contrast, Sample, quantile};

/// Fewest items for a statement about their luck.
const FEW: usize = 8;

/// Score of the trial minus that of its champion, item by item, over `pairs` of replicates; none where one of them has
/// no scores by item. `sign` is 1 where larger is better, else -1.
pub(crate) fn differences(pairs: &[(&Replicate, &Replicate)], sign: f64) -> Option<Vec<f64>> {
    let items = |replicate: &Replicate| replicate.result.as_ref().map_or(0, |r| r.items.len());
    let n = items(pairs.first()?.0);
    if n < FEW {
        return None;
    }
    let mut sums = vec![0.0; n];
    for (own, champion) in pairs {
        let (own, champion) = (own.result.as_ref()?, champion.result.as_ref()?);
        if own.items.len() != n || champion.items.len() != n {
            return None;
        }
        for ((sum, own), champion) in sums.iter_mut().zip(&own.items).zip(&champion.items) {
            *sum += f64::from(*own) - f64::from(*champion);
        }
    }
    sums.iter_mut().for_each(|sum| *sum *= sign / pairs.len() as f64);
    Some(sums)
}

/// The contrast of differences by item: their mean is the gain, and its standard error that of drawing other items.
pub(crate) fn contrast(differences: &[f64]) -> Contrast {
    let sample = Sample::of(differences);
    let se = sample.sd().unwrap_or(0.0) / (sample.n as f64).sqrt();
    Contrast { gain: sample.mean, se, df: sample.df() }
}

/// What the luck of the items alone exceeds with probability `level`: a gain up to this may be none elsewhere.
#[must_use]
pub fn luck(differences: &[f64], level: f64) -> f64 {
    let contrast = contrast(differences);
    contrast.se * quantile(1.0 - level, contrast.df)
}

/// One-sided p value of "no better on items drawn like these". Where all that differ differ by as much, as right and
/// wrong answers do, it is exact: as many of them or more would be won by throws of a coin (McNemar, Note on the
/// sampling error of the difference between correlated proportions or percentages, Psychometrika 12, 1947, in its exact
/// form); else the paired t test over items.
#[must_use]
pub fn p(differences: &[f64]) -> f64 {
    let contrast = contrast(differences);
    let size = differences.iter().map(|d| d.abs()).find(|d| *d > 0.0);
    let Some(size) = size else { return 1.0 };
    let steps = differences.iter().all(|d| *d == 0.0 || (d.abs() - size).abs() < 1e-6 * size);
    if !steps {
        return contrast.p();
    }
    let won = differences.iter().filter(|d| **d > 0.0).count() as u64;
    let lost = differences.iter().filter(|d| **d < 0.0).count() as u64;
    match (won.checked_sub(1), Binomial::new(0.5, won + lost)) {
        (Some(less), Ok(coin)) => coin.sf(less),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(won: usize, lost: usize, same: usize) -> Vec<f64> {
        let mut all = vec![1.0; won];
        all.extend(vec![-1.0; lost]);
        all.extend(vec![0.0; same]);
        all
    }

    #[test]
    fn right_and_wrong_answers_are_tested_exactly() {
        // scipy.stats.binomtest(9, 10, alternative="greater").pvalue, and 6 of 6
        assert!((p(&answers(9, 1, 500)) - 0.010_742_187_5).abs() < 1e-12);
        assert!((p(&answers(6, 0, 0)) - 0.015_625).abs() < 1e-12);
        assert_eq!(p(&answers(0, 0, 40)), 1.0);
        assert_eq!(p(&answers(0, 3, 40)), 1.0);
    }

    #[test]
    fn other_scores_are_tested_by_their_mean() {
        let scores: Vec<f64> = (0..40).map(|i| f64::from(i % 7) - 2.0).collect();
        let contrast = contrast(&scores);
        assert!((p(&scores) - contrast.p()).abs() < 1e-15);
        // The luck at a level is where the test would just reach it.
        let luck = luck(&scores, 0.01);
        let shifted: Vec<f64> = scores.iter().map(|d| d - contrast.gain + luck).collect();
        assert!((p(&shifted) - 0.01).abs() < 1e-9);
    }
}
