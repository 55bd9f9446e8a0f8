//! What a digest costs and how large it is, by the size of the study. Prints figures; `cargo xtask bench digest` runs it.

#![expect(clippy::expect_used, reason = "a tale that cannot be told ends the bench that tells it")]

use std::{io::Write, time::Instant};

use empiric_agents::digest::{Channels, LIMIT, digest};

mod tale;

/// Digests made of each study.
const TIMES: u32 = 50;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "digest: at most {LIMIT} bytes")?;
    for trials in [10, 100, 1000, 10_000] {
        let study = tale::tale(trials, "wider layers, «so to speak»", 1);
        let mut bytes = 0;
        let mut longest = 0.0_f64;
        let began = Instant::now();
        for _ in 0..TIMES {
            let one = Instant::now();
            bytes = digest(&study, tale::ARM, None, &Channels::all()).len();
            longest = longest.max(one.elapsed().as_secs_f64());
        }
        let mean = began.elapsed().as_secs_f64() / f64::from(TIMES);
        writeln!(
            out,
            "  {trials:>6} trials: {bytes} bytes, {:.3} ms, longest {:.3} ms",
            1e3 * mean,
            1e3 * longest
        )?;
    }
    Ok(())
}
