//! The pages of the book that the program makes of itself are current, and the book's links lead somewhere.

use std::path::PathBuf;

use crate::{home, words};

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

#[test]
#[ignore = "until the pages are made again after the verbs have settled: cargo xtask book"]
fn generated_pages_are_current() {
    let home = home();
    for (page, line) in [
        ("cli.md", "completions markdown"),
        ("task.md", "schema task --md"),
        ("result.md", "schema result --md"),
    ] {
        let said = home.say(words(line)).unwrap();
        assert_eq!(said.code, Some(0), "{}", said.talk);
        let kept = std::fs::read_to_string(docs().join(page)).unwrap_or_default();
        assert!(
            kept == said.out,
            "docs/{page} is not what `empiric {line}` prints: cargo xtask book"
        );
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for entry in std::fs::read_dir(docs()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains(':') && !docs().join(file).exists() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}
