//! An RO-Crate 1.1 manifest (<https://w3id.org/ro/crate/1.1>): what lies in a directory, with hashes, and the study that
//! it came from.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use empiric_core::{Study, TrialNo};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Error;

/// What a file of a crate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A table of [`crate::tables`].
    Table,
    /// Every event, from which all else can be made again.
    Ledger,
    /// A report.
    Report,
    /// The champion's change.
    Patch,
    /// What was asked.
    Asked,
}

/// A file of a crate.
#[derive(Debug, Clone)]
pub struct Entity {
    /// Its path within the crate's directory.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
}

impl Kind {
    fn describes(self, path: &Path) -> (&'static str, String) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        match self {
            Self::Table => ("table of the study's rows", format!("table `{name}` of the study")),
            Self::Ledger => ("ledger", "every event of the study, hash-chained".to_owned()),
            Self::Report => (
                "report",
                "what was asked, what came, and what stands against believing it".to_owned(),
            ),
            Self::Patch => {
                ("patch", "the champion's change against the unedited recipe".to_owned())
            }
            Self::Asked => ("study.toml", "what was asked".to_owned()),
        }
    }
}

/// Writes `dir/ro-crate-metadata.json` for files that lie in `dir` already. `head` is the hash of the ledger's last
/// event, `version` that of Empiric, `at` when the crate is made.
///
/// # Errors
/// When a file cannot be read or the manifest cannot be written.
pub fn ro_crate(
    study: &Study,
    dir: &Path,
    files: &[Entity],
    head: &str,
    version: &str,
    at: Timestamp,
) -> Result<PathBuf, Error> {
    let task = study.task();
    let mut graph = vec![
        json!({
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "about": {"@id": "./"},
        }),
        json!({
            "@id": "./",
            "@type": "Dataset",
            "name": format!("Empiric study of {}", task.name),
            "description": if task.summary.is_empty() {
                format!("{} {}", task.metric.goal, task.metric.name)
            } else {
                task.summary.clone()
            },
            "datePublished": at.to_string(),
            "license": "not stated: the files are those of whoever ran the study",
            "identifier": study.id().to_string(),
            "hasPart": files.iter().map(|file| json!({"@id": id(&file.path)})).collect::<Vec<_>>(),
            "mentions": {"@id": "#study"},
        }),
        json!({
            "@id": "#empiric",
            "@type": "SoftwareApplication",
            "name": "Empiric",
            "softwareVersion": version,
        }),
    ];
    graph.extend(action(study, files, head, at));
    for file in files {
        let (bytes, hash) = hashed(&dir.join(&file.path))?;
        let (name, description) = file.kind.describes(&file.path);
        graph.push(json!({
            "@id": id(&file.path),
            "@type": "File",
            "name": name,
            "description": description,
            "encodingFormat": format(&file.path),
            "contentSize": bytes.to_string(),
            "sha256": hash,
        }));
    }
    let context = json!([
        "https://w3id.org/ro/crate/1.1/context",
        {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"},
    ]);
    let manifest = json!({"@context": context, "@graph": graph});
    let path = dir.join("ro-crate-metadata.json");
    let staging = dir.join("ro-crate-metadata.json.partial");
    fs_err::write(&staging, serde_json::to_string_pretty(&manifest)? + "\n")?;
    fs_err::rename(staging, &path)?;
    Ok(path)
}

/// The study, as the action that made the files, and what is told of it.
fn action(study: &Study, files: &[Entity], head: &str, at: Timestamp) -> Vec<Value> {
    let begun = study.trial(TrialNo::BASELINE).map_or(at, |trial| trial.asked_at);
    let ended = study.trials().iter().filter_map(|trial| trial.ended_at).max().unwrap_or(at);
    let mut facts = vec![
        ("seed", study.settings().seed.to_string()),
        ("arms", crate::arms(study)),
        ("sandbox", study.sandbox().to_owned()),
        ("events", study.seq().to_string()),
        ("ledger head (BLAKE3)", head.to_owned()),
        ("champion", study.champion().to_string()),
        ("vouched for by", study.task().provenance().to_string()),
    ];
    if let Some(fixed) = study.fixed() {
        facts.push(("evaluator (BLAKE3)", fixed.evaluator.to_string()));
        facts.push(("data (BLAKE3)", fixed.data.to_string()));
        facts.push(("environment (BLAKE3)", fixed.environment.to_string()));
    }
    let named: Vec<(String, &str, String)> = facts
        .into_iter()
        .map(|(name, value)| {
            let word = name.split(" (").next().unwrap_or_default();
            (format!("#study-{}", word.replace(' ', "-")), name, value)
        })
        .collect();
    let action = json!({
        "@id": "#study",
        "@type": "CreateAction",
        "name": format!("{} {} of {}", study.task().metric.goal, study.task().metric.name, study.task().name),
        "instrument": {"@id": "#empiric"},
        "result": files.iter().map(|file| json!({"@id": id(&file.path)})).collect::<Vec<_>>(),
        "startTime": begun.to_string(),
        "endTime": ended.to_string(),
        "additionalProperty": named.iter().map(|(id, ..)| json!({"@id": id})).collect::<Vec<_>>(),
    });
    // Entities stand beside one another; none lies within another.
    let properties = named.into_iter().map(|(id, name, value)| {
        json!({"@id": id, "@type": "PropertyValue", "name": name, "value": value})
    });
    std::iter::once(action).chain(properties).collect()
}

fn id(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn format(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl") => "application/jsonl",
        Some("json") => "application/json",
        Some("parquet") => "application/vnd.apache.parquet",
        Some("html") => "text/html",
        Some("md") => "text/markdown",
        Some("patch") => "text/x-diff",
        Some("toml") => "application/toml",
        Some(_) | None => "application/octet-stream",
    }
}

/// Size and SHA-256 of a file, hexadecimal.
fn hashed(path: &Path) -> Result<(u64, String), Error> {
    let mut file = fs_err::File::open(path)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        bytes += n as u64;
        hash.update(&buffer[..n]);
    }
    let hex = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, hex))
}
