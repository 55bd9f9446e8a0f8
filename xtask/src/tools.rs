//! Running cargo and other programs in the repository.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::Value;

/// Says something to whoever watches; a closed standard error loses it.
pub(crate) fn say(text: impl AsRef<str>) {
    writeln!(std::io::stderr().lock(), "{}", text.as_ref()).ok();
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// `program` with `arguments`, to be run in the repository.
pub(crate) fn command(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Runs it and fails when it does.
pub(crate) fn must(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// Whether it can be started and ends well; what it prints is not shown.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = command(program, arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Builds the program `binary` of `package` and says where it is. Cargo shows its own progress. For development it
/// is built as tests build it: dependencies whose features the workspace adds to are then built once, not per package.
pub(crate) fn build(package: &str, binary: &str, release: bool) -> anyhow::Result<PathBuf> {
    let which = if release {
        &["--release", "--package", package, "--bin", binary][..]
    } else {
        &["--workspace", "--all-targets"]
    };
    let mut arguments = vec!["build", "--message-format=json-render-diagnostics"];
    arguments.extend(which);
    let mut cargo = command("cargo", arguments).stdout(Stdio::piped()).spawn()?;
    let messages = cargo.stdout.take().context("cargo has no standard output")?;
    let mut executable = None;
    for line in BufReader::new(messages).lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        if message["target"]["name"] == binary
            && message["profile"]["test"] == false
            && let Some(path) = message["executable"].as_str()
        {
            executable = Some(PathBuf::from(path));
        }
    }
    let status = cargo.wait()?;
    executable
        .filter(|_| status.success())
        .with_context(|| format!("{package} could not be built; cargo ended with {status}"))
}
