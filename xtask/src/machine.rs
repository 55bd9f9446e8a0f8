//! What a machine must have besides Rust, and how it gets there.

use std::os::unix::fs::MetadataExt;

use anyhow::bail;

use crate::tools::{command, must, say, works};

/// Something needed: how to see that it is there, and the Debian packages that bring it.
struct Need {
    program: &'static str,
    arguments: &'static [&'static str],
    packages: &'static [&'static str],
}

const NEEDS: [Need; 3] = [
    Need { program: "bwrap", arguments: &["--version"], packages: &["bubblewrap"] },
    Need {
        program: "python3",
        arguments: &["-c", "import venv, ensurepip"],
        packages: &["python3", "python3-venv"],
    },
    Need { program: "git", arguments: &["--version"], packages: &["git"] },
];

/// What the page is built with.
const NODE: [Need; 2] = [
    Need { program: "node", arguments: &["--version"], packages: &["nodejs"] },
    Need { program: "npm", arguments: &["--version"], packages: &["npm"] },
];

/// What the page is tried in.
const BROWSER: [Need; 1] =
    [Need { program: "chromium", arguments: &["--version"], packages: &["chromium"] }];

/// Installs what is missing, or says how.
pub(crate) fn ready() -> anyhow::Result<()> {
    have(&NEEDS)
}

/// The same, of what the page is built with.
pub(crate) fn node() -> anyhow::Result<()> {
    have(&NODE)
}

/// The same, of what the page is tried in.
pub(crate) fn browser() -> anyhow::Result<()> {
    have(&BROWSER)
}

fn have(needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| !works(need.program, need.arguments))
        .flat_map(|need| need.packages.iter().copied())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !works("apt-get", &["--version"]) {
        bail!("these are missing (by their Debian names): {list}; install them and try again");
    }
    if fs_err::metadata("/proc/self")?.uid() != 0 {
        bail!(
            "these packages are missing; install them and try again:\n  sudo apt-get update && sudo apt-get install --yes {list}"
        );
    }
    say(format!("installing {list}"));
    must(&mut apt(&["update"]))?;
    must(&mut apt(&[&["install", "--yes", "--no-install-recommends"], &missing[..]].concat()))
}

fn apt(words: &[&str]) -> std::process::Command {
    let mut apt = command("apt-get", words);
    apt.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    apt
}
