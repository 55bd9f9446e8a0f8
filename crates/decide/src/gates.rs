//! Hard constraints, held by the mean over a trial's replicates.

use empiric_core::{Cause, Failure, Gate, Phase, Replicate, Split, task::ARTIFACT_BYTES};

use crate::{stats::Sample, words};

/// A miss by more standard errors than this needs no further replicates.
const CLEAR_MISS: f64 = 3.0;

/// How a trial stands with all gates of its task.
#[derive(Debug)]
pub(crate) enum Standing {
    /// Every mean is inside its limit.
    Hold,
    /// A mean is outside, by no more than noise.
    Near(Failure),
    /// A mean is clearly outside.
    Miss(Failure),
}

/// Where the means over `replicates` stand; `baseline` gives the noise of each gate's metric.
pub(crate) fn standing(
    gates: &[Gate],
    replicates: &[&Replicate],
    baseline: &[&Replicate],
    phase: Phase,
) -> Standing {
    let mut standing = Standing::Hold;
    for gate in gates {
        let own = Sample::of(&values(gate, replicates));
        let margin = gate.margin(own.mean);
        if own.n == 0 || margin >= 0.0 {
            continue;
        }
        let se = Sample::of(&values(gate, baseline)).sd().unwrap_or(0.0) / (own.n as f64).sqrt();
        let failure = failure(gate, &own, margin, phase);
        if -margin <= CLEAR_MISS * se {
            if matches!(standing, Standing::Hold) {
                standing = Standing::Near(failure);
            }
        } else {
            return Standing::Miss(failure);
        }
    }
    standing
}

fn values(gate: &Gate, replicates: &[&Replicate]) -> Vec<f64> {
    replicates.iter().filter_map(|replicate| replicate.value(&gate.metric, Split::Select)).collect()
}

fn failure(gate: &Gate, own: &Sample, margin: f64, phase: Phase) -> Failure {
    let cause = if gate.metric == ARTIFACT_BYTES {
        Cause::ArtifactTooLarge
    } else {
        Cause::GateMiss { metric: gate.metric.clone() }
    };
    let failure = Failure::new(phase, cause).excerpt(format!(
        "mean {} {} over {}, the gate is {gate}",
        gate.metric,
        words::plain(own.mean),
        words::counted(own.n, "replicate"),
    ));
    if margin.is_finite() { failure.margin(margin) } else { failure }
}
