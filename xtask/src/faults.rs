//! `cargo xtask faults`: breaks studies on purpose. The work is done by `empiric-faults`, a program of the test kit, so
//! that xtask itself stays quick to build.

use std::{path::Path, process::ExitCode};

use anyhow::ensure;

use crate::tools::{build, command};

/// The variable that ends a program at one of its doors, where it was built with debug assertions.
const CRASH_AT: &[u8] = b"EMPIRIC_CRASH_AT";

/// Breaks studies made by the program at `exe`, which is built for use unless `short`; ends with what `empiric-faults`
/// ends with. Hard exits at its doors are made of `crashable`, the same program with debug assertions.
pub(crate) fn run(short: bool, exe: &Path, crashable: &Path) -> anyhow::Result<ExitCode> {
    let holds =
        |path| anyhow::Ok(fs_err::read(path)?.windows(CRASH_AT.len()).any(|at| at == CRASH_AT));
    ensure!(holds(crashable)?, "{} cannot be ended at its doors", crashable.display());
    ensure!(short || !holds(exe)?, "{} could be crashed by its environment", exe.display());
    let faults = build("empiric-testkit", "empiric-faults", !short)?;
    let mut faults = command(faults, [exe, crashable]);
    if short {
        faults.arg("--short");
    }
    let status = faults.status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
