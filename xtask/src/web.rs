//! The page of `empiric serve`: built, and tried in a browser with a study that runs.

use std::{process::ExitCode, time::SystemTime};

use anyhow::bail;

use crate::{
    machine,
    tools::{build, command, must, root, say, works},
};

/// What takes the built page into the program.
const HOLDER: &str = "crates/serve/src/page.rs";

/// Builds the page from the locked packages.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    build_page()?;
    Ok(ExitCode::SUCCESS)
}

/// Builds `web/dist` and has the next build of the program take it in.
pub(crate) fn build_page() -> anyhow::Result<()> {
    machine::node()?;
    let web = root().join("web");
    let stamp = web.join("node_modules/.package-lock.json");
    let modified =
        |path: &std::path::Path| fs_err::metadata(path).and_then(|found| found.modified());
    let fresh = modified(&web.join("package-lock.json"))?;
    if !modified(&stamp).is_ok_and(|installed| installed >= fresh) {
        must(command("npm", ["ci", "--no-audit", "--no-fund"]).current_dir(&web))?;
    }
    must(command("npm", ["run", "--silent", "build"]).current_dir(&web))?;
    // Cargo does not look into the page's directory: it sees that it must take it in again.
    let holder = fs_err::OpenOptions::new().append(true).open(root().join(HOLDER))?;
    #[expect(clippy::disallowed_methods, reason = "a file's time, for cargo")]
    let now = SystemTime::now();
    holder.file().set_modified(now)?;
    say("built web/dist");
    Ok(())
}

/// Watches a study from beginning to end in a browser, uses every control, and looks at every page; `shots` keeps the
/// pictures.
pub(crate) fn try_in_a_browser(shots: Option<&str>) -> anyhow::Result<ExitCode> {
    machine::ready()?;
    build_page()?;
    machine::browser()?;
    let exe = build("empiric-cli", "empiric", false)?;
    let mut node = command("node", ["web/tests/run.mjs"]);
    node.arg(exe);
    if let Some(dir) = shots {
        node.arg(dir);
    }
    must(&mut node)?;
    Ok(ExitCode::SUCCESS)
}

/// Hands the interface whatever its document allows, and much that it does not, through Schemathesis.
pub(crate) fn schemathesis(words: &[&str]) -> anyhow::Result<ExitCode> {
    machine::ready()?;
    let exe = build("empiric-cli", "empiric", false)?;
    let home = root().join("target/schemathesis");
    let program = home.join("bin/schemathesis");
    let name = program.to_string_lossy().into_owned();
    if !works(&name, &["--version"]) {
        say("making a virtual environment with Schemathesis");
        must(command("python3", ["-m", "venv"]).arg(&home))?;
        must(&mut command(
            home.join("bin/python"),
            ["-m", "pip", "install", "--quiet", "schemathesis"],
        ))?;
    }
    if !works(&name, &["--version"]) {
        bail!(
            "Schemathesis cannot be had here (python3 with venv, and a package index, are needed)"
        );
    }
    let mut python = command("python3", ["web/tests/schemathesis.py"]);
    python.arg(exe).arg(program).args(words);
    must(&mut python)?;
    Ok(ExitCode::SUCCESS)
}
