//! The walls of the house, as tests: who may use whom, who owns which dependency, and how large things may grow.
//!
//! A test that fails here is a question, not an order: widen a rule when the house needs it, on purpose and in the open.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::tools::root;

mod causes;

/// The crates of the house, and which of the others each may use.
const EDGES: [(&str, &[&str]); 23] = [
    ("core", &[]),
    ("doors", &[]),
    ("sandbox", &[]),
    ("supervise", &["core"]),
    ("decide", &["core", "supervise"]),
    ("search", &["core"]),
    ("ledger", &["core", "doors"]),
    ("lineage", &["core", "doors"]),
    ("tasks", &["core", "evaluate"]),
    ("llm", &["core"]),
    ("agents", &["core", "llm", "sandbox", "search"]),
    ("evaluate", &["core", "doors", "sandbox"]),
    ("executor", &["core", "doors", "evaluate", "sandbox"]),
    ("export", &["core", "llm", "report"]),
    ("report", &["core", "decide", "lineage"]),
    (
        "engine",
        &[
            "agents",
            "core",
            "decide",
            "doors",
            "evaluate",
            "executor",
            "ledger",
            "lineage",
            "llm",
            "sandbox",
            "search",
            "supervise",
        ],
    ),
    ("mcp", &["agents", "core", "engine", "ledger", "report"]),
    ("serve", &["core", "decide", "evaluate", "ledger", "lineage", "llm", "mcp", "report"]),
    (
        "cli",
        &[
            "agents", "core", "decide", "doors", "engine", "evaluate", "export", "ledger",
            "lineage", "llm", "mcp", "report", "sandbox", "search", "serve", "tasks",
        ],
    ),
    (
        "arena",
        &[
            "agents", "core", "decide", "engine", "evaluate", "ledger", "lineage", "sandbox",
            "search", "tasks",
        ],
    ),
    ("bench", &["agents", "core", "engine", "ledger", "llm", "sandbox", "tasks", "testkit"]),
    (
        "testkit",
        &[
            "agents", "core", "decide", "doors", "evaluate", "ledger", "lineage", "llm", "report",
            "tasks",
        ],
    ),
    ("xtask", &[]),
];

/// The crates that do no I/O, and all that they may use from elsewhere.
const PURE: [(&str, &[&str]); 4] = [
    (
        "core",
        &[
            "blake3",
            "globset",
            "imbl",
            "jiff",
            "rand_chacha",
            "schemars",
            "serde",
            "serde_json",
            "thiserror",
            "uuid",
        ],
    ),
    ("decide", &["statrs"]),
    ("search", &["rand", "thiserror"]),
    ("supervise", &["tree-sitter", "tree-sitter-python"]),
];

/// What the sources of a pure crate do not name.
const IMPURE: [&str; 8] = [
    "std::fs",
    "std::io",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "std::time",
    "Timestamp::now",
];

/// Dependencies that belong to one crate, or to a few.
const OWNED: [(&str, &[&str]); 25] = [
    ("anyhow", &["cli", "arena", "bench", "testkit", "xtask"]),
    ("axum", &["serve"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("csv", &["tasks"]),
    ("diffy", &["lineage"]),
    ("gix", &["lineage"]),
    ("imara-diff", &["lineage"]),
    ("indicatif", &["cli"]),
    ("landlock", &["sandbox"]),
    ("libc", &["sandbox"]),
    ("miette", &["cli"]),
    ("nix", &["sandbox", "bench"]),
    ("parquet", &["export"]),
    ("ratatui", &["cli"]),
    ("reqwest", &["export", "llm"]),
    ("rmcp", &["mcp"]),
    ("rusqlite", &["ledger"]),
    ("rustls", &["export", "llm"]),
    ("seccompiler", &["sandbox"]),
    ("signal-hook", &["cli"]),
    // The ledger takes one-shot replies from it, no runtime.
    (
        "tokio",
        &[
            "arena", "bench", "cli", "engine", "executor", "export", "ledger", "llm", "mcp",
            "serve", "testkit",
        ],
    ),
    ("toml_edit", &["agents"]),
    ("tree-sitter", &["agents", "lineage", "supervise"]),
];

/// Packages in `Cargo.lock`, our own among them.
const PACKAGES: usize = 500;
/// Lines of a source file; around 400 are comfortable.
const LINES: usize = 600;

/// A crate of the house.
struct Room {
    name: String,
    dir: PathBuf,
    manifest: String,
    /// What it is built with; not what its tests use.
    uses: BTreeSet<String>,
}

/// The crates by their short names.
fn house() -> BTreeMap<String, Room> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(root());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rooms = metadata["packages"].as_array().unwrap().iter().map(|package| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let used = dependencies.filter(|dependency| dependency["kind"].is_null());
        let uses = used.map(|dependency| short(&dependency["name"])).collect();
        let room = Room {
            name: short(&package["name"]),
            dir: manifest.parent().unwrap().to_owned(),
            manifest: fs_err::read_to_string(manifest).unwrap(),
            uses,
        };
        (room.name.clone(), room)
    });
    rooms.collect()
}

fn short(name: &Value) -> String {
    let name = name.as_str().unwrap();
    name.strip_prefix("empiric-").unwrap_or(name).to_owned()
}

impl Room {
    /// Its source files with their texts.
    fn sources(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        let mut dirs = vec![self.dir.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs_err::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs_err::read_to_string(&path).unwrap();
                    found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
                }
            }
        }
        found
    }
}

/// Places of `needles` in sources outside the crates in `except`.
fn places(needles: &[String], except: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for room in house().values().filter(|room| !except.contains(&room.name.as_str())) {
        for (path, text) in room.sources() {
            for (n, line) in text.lines().enumerate() {
                if needles.iter().any(|needle| line.contains(needle)) {
                    found.push(format!("{}:{}: {}", path.display(), n + 1, line.trim()));
                }
            }
        }
    }
    found
}

#[test]
fn crates_use_only_those_they_may() {
    let house = house();
    let edges = BTreeMap::from(EDGES);
    let mut wrong = Vec::new();
    for (name, room) in &house {
        let Some(allowed) = edges.get(name.as_str()) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        let used = room.uses.iter().filter(|used| house.contains_key(*used));
        let strange = used.filter(|used| !allowed.contains(&used.as_str()));
        wrong.extend(strange.map(|used| format!("{name} uses {used}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn pure_crates_do_no_io() {
    let house = house();
    let mut wrong = Vec::new();
    for (name, allowed) in PURE {
        let room = &house[name];
        let outside = room.uses.iter().filter(|used| !house.contains_key(*used));
        let strange = outside.filter(|used| !allowed.contains(&used.as_str()));
        wrong.extend(strange.map(|used| format!("{name} uses {used}")));
        // An example is a program of its own.
        let sources = room.sources().into_iter();
        let library = sources.filter(|(path, _)| path.iter().all(|part| part != "examples"));
        for (path, text) in library {
            let named = IMPURE.iter().filter(|impure| text.contains(*impure));
            wrong.extend(named.map(|impure| format!("{} names {impure}", path.display())));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn dependencies_stay_with_their_owners() {
    let mut wrong = Vec::new();
    for room in house().values() {
        for (dependency, owners) in OWNED {
            if room.uses.contains(dependency) && !owners.contains(&room.name.as_str()) {
                wrong.push(format!("{} uses {dependency}", room.name));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_crate_is_behind_the_lint_wall() {
    let open: Vec<String> = house()
        .into_values()
        .filter(|room| !room.manifest.contains("[lints]\nworkspace = true\n"))
        .map(|room| room.name)
        .collect();
    assert_eq!(open, Vec::<String>::new());
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let forms = ["#[", "#!["].map(|open| format!("{open}{}(", "allow"));
    assert_eq!(places(&forms, &[]), Vec::<String>::new());
}

#[test]
fn only_the_sandbox_is_unsafe() {
    let lint = ["unsafe", "code"].join("_");
    assert_eq!(places(&[lint], &["sandbox"]), Vec::<String>::new());
}

#[test]
fn files_tell_one_story() {
    let mut long = Vec::new();
    for room in house().values() {
        for (path, text) in room.sources() {
            let lines = text.lines().count();
            if lines > LINES {
                long.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert_eq!(long, Vec::<String>::new(), "at most {LINES} lines");
}

#[test]
fn dependencies_stay_few() {
    let lock = fs_err::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock.lines().filter(|line| *line == "[[package]]").count();
    assert!(packages <= PACKAGES, "{packages} packages in Cargo.lock, at most {PACKAGES}");
}
