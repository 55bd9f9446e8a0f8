//! Which Python: version requirements, the interpreters there are, and what they say of themselves.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Deserialize;

use crate::process::{command, find};

/// Text that is not a version requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version of Python; write it like \">=3.10\" or \">=3.10,<3.14\"")]
pub struct RequirementError(String);

/// A requirement on Python's version such as `>=3.10,<3.14`. Bare versions, `==` and `!=` compare as many parts as are
/// written: `3.11` is any 3.11.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    text: String,
    clauses: Vec<(Comparison, Vec<u32>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    AtLeast,
    AtMost,
    More,
    Less,
    Compatible,
}

/// Longer signs first, so that `>=` is not taken for `>`.
const COMPARISONS: [(&str, Comparison); 7] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("~=", Comparison::Compatible),
    (">", Comparison::More),
    ("<", Comparison::Less),
];

impl Requirement {
    /// Whether a version satisfies all clauses.
    #[must_use]
    pub fn matches(&self, version: [u32; 3]) -> bool {
        self.clauses.iter().all(|(comparison, wanted)| {
            let mut padded = [0; 3];
            padded.iter_mut().zip(wanted).for_each(|(part, wanted)| *part = *wanted);
            let prefix = |length: usize| version[..length] == wanted[..length];
            match comparison {
                Comparison::Equal => prefix(wanted.len()),
                Comparison::NotEqual => !prefix(wanted.len()),
                Comparison::AtLeast => version >= padded,
                Comparison::AtMost => version <= padded,
                Comparison::More => version > padded,
                Comparison::Less => version < padded,
                Comparison::Compatible => version >= padded && prefix(wanted.len() - 1),
            }
        })
    }
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || RequirementError(text.to_owned());
        let mut clauses = Vec::new();
        for clause in text.split(',').map(str::trim) {
            let (comparison, version) = COMPARISONS
                .iter()
                .find_map(|(sign, comparison)| Some((*comparison, clause.strip_prefix(sign)?)))
                .unwrap_or((Comparison::Equal, clause));
            let version = version.trim();
            let exact = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
            let version =
                if exact { version.strip_suffix(".*").unwrap_or(version) } else { version };
            let parts: Vec<u32> =
                version.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| fail())?;
            let enough = if comparison == Comparison::Compatible { 2 } else { 1 };
            if !(enough..=3).contains(&parts.len()) {
                return Err(fail());
            }
            clauses.push((comparison, parts));
        }
        Ok(Self { text: text.to_owned(), clauses })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What an interpreter says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Python {
    pub(crate) executable: PathBuf,
    pub(crate) version: [u32; 3],
    pub(crate) implementation: String,
    /// Where its packages are: a virtual environment or the installation.
    pub(crate) prefix: PathBuf,
    /// Where the installation is.
    pub(crate) base_prefix: PathBuf,
    /// Directories that modules are imported from.
    pub(crate) path: Vec<PathBuf>,
    /// Where the user's own packages are, when there are any.
    pub(crate) user_base: Option<String>,
    /// Installed packages as `name==version`, sorted.
    pub(crate) packages: Vec<String>,
}

const PROBE: &str = r#"
import json, os, site, sys
from importlib.metadata import distributions
user = site.ENABLE_USER_SITE and os.path.isdir(site.getusersitepackages())
print(json.dumps({
    "executable": sys.executable,
    "version": sys.version_info[:3],
    "implementation": sys.implementation.name,
    "prefix": sys.prefix,
    "base_prefix": sys.base_prefix,
    "path": [path for path in sys.path if os.path.isdir(path)],
    "user_base": site.getuserbase() if user else None,
    "packages": sorted({"%s==%s" % (d.metadata["Name"], d.version) for d in distributions()}),
}))
"#;

impl Python {
    /// Asks the interpreter at `executable`; none when it is not Python 3.8 or newer, or does not work.
    fn probe(executable: &Path, path: &OsStr) -> Option<Self> {
        let output = command(executable, path)
            .args(["-E", "-B", "-c", PROBE])
            .current_dir("/")
            .output()
            .ok()?;
        output.status.success().then(|| serde_json::from_slice(&output.stdout).ok())?
    }

    /// Version as `3.11.7`.
    pub(crate) fn version(&self) -> String {
        let [major, minor, micro] = self.version;
        format!("{major}.{minor}.{micro}")
    }

    /// The first interpreter of `path` that satisfies `requirement`: `python`, `python3`, then the newest
    /// `python3.x`. Otherwise the versions of those that do not.
    pub(crate) fn find(
        requirement: Option<&Requirement>,
        path: &OsStr,
    ) -> Result<Self, Vec<String>> {
        let mut seen = Vec::new();
        for name in candidates(path) {
            let Some(python) =
                find(&name, path).and_then(|executable| Self::probe(&executable, path))
            else {
                continue;
            };
            if requirement.is_none_or(|requirement| requirement.matches(python.version)) {
                return Ok(python);
            }
            if !seen.contains(&python.version()) {
                seen.push(python.version());
            }
        }
        Err(seen)
    }
}

/// Names that an interpreter may have, in order of preference.
fn candidates(path: &OsStr) -> Vec<String> {
    let mut minors: Vec<u32> = std::env::split_paths(path)
        .filter_map(|dir| fs_err::read_dir(dir).ok())
        .flatten()
        .filter_map(|entry| {
            entry.ok()?.file_name().to_str()?.strip_prefix("python3.")?.parse().ok()
        })
        .collect();
    minors.sort_unstable_by(|a, b| b.cmp(a));
    minors.dedup();
    let fixed = ["python", "python3"].map(str::to_owned);
    fixed.into_iter().chain(minors.into_iter().map(|minor| format!("python3.{minor}"))).collect()
}
