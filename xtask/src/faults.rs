//! `cargo xtask faults`: breaks studies on purpose. The work is done by `empiric-faults`, a program of the test kit, so
//! that xtask itself stays quick to build.

use std::{path::Path, process::ExitCode};

use crate::tools::{build, command};

/// Breaks studies made by the program at `exe`; ends with what `empiric-faults` ends with.
pub(crate) fn run(short: bool, exe: &Path) -> anyhow::Result<ExitCode> {
    let faults = build("empiric-testkit", "empiric-faults", !short)?;
    let mut faults = command(faults, [exe]);
    if short {
        faults.arg("--short");
    }
    let status = faults.status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
