//! What a whole tree does: the facts of its files put together.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    edit::Files,
    python::{self, Facts, Scope, Seed},
};

/// A word of more bytes is no word.
pub(crate) const DENSE_WORD: usize = 80;

/// Files that hold code or settings in another language than Python: their literals are not told from their code.
const CODE: [&str; 22] = [
    "c", "cc", "cfg", "cpp", "cu", "cuh", "go", "h", "hpp", "ini", "java", "jl", "js", "md", "r",
    "rs", "sh", "sql", "toml", "ts", "yaml", "yml",
];

/// What a tree does.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Contents of string literals.
    pub(crate) strings: BTreeSet<String>,
    /// String literals that stand where a component of a path stands.
    pub(crate) components: BTreeSet<String>,
    /// Calls that start a generator from a seed written in the code, with their files.
    pub(crate) written_seeds: BTreeMap<String, String>,
    /// Expressions that make many seeds a few, with their files.
    pub(crate) chosen_seeds: BTreeMap<String, String>,
    /// Whether random numbers are drawn; none when there is no source that can be read.
    pub(crate) draws: Option<bool>,
    /// Bytes of data that come with the code.
    pub(crate) data: u64,
}

impl Source {
    /// Of a tree whose programs start in the files that `words`, the command lines, name.
    pub(crate) fn of(files: &Files, words: &[&str]) -> Self {
        let mut source = Self::default();
        let mut read = Vec::new();
        for (path, bytes) in files {
            let text = std::str::from_utf8(bytes).ok();
            let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
            match (extension, text) {
                ("py", Some(text)) => match python::facts(text) {
                    Some(facts) => read.push((path, facts)),
                    None => source.data += dense(text),
                },
                (extension, Some(text)) if CODE.contains(&extension) => source.data += dense(text),
                _ => source.data += bytes.len() as u64,
            }
        }
        // A name is constant when nothing in the tree gives it another value.
        let variables: BTreeSet<&String> =
            read.iter().flat_map(|(_, facts)| &facts.variables).collect();
        let constant = |name: &String| {
            !variables.contains(name)
                && read.iter().any(|(_, facts)| facts.constants.contains(name))
        };
        source.draws = (!read.is_empty()).then(|| draws(&read, words));
        for (path, facts) in &read {
            for (call, seed) in &facts.seedings {
                if let Seed::Written(names) = seed
                    && names.iter().all(constant)
                {
                    source.written_seeds.insert(call.clone(), (*path).clone());
                }
            }
            let chosen = facts.chosen.iter().map(|found| (found.clone(), (*path).clone()));
            source.chosen_seeds.extend(chosen);
        }
        for (_, facts) in read {
            let Facts { strings, components, data, .. } = facts;
            source.strings.extend(strings);
            source.components.extend(components);
            source.data += data;
        }
        source
    }

    /// Whether the seed that is given is asked for.
    pub(crate) fn reads_seed(&self) -> bool {
        self.strings.contains("EMPIRIC_SEED")
    }
}

/// Whether code that may be run draws random numbers: names are followed from where programs start, through functions,
/// classes and modules of that name. Code that lies about unused does nothing.
fn draws(files: &[(&String, Facts)], words: &[&str]) -> bool {
    let module = |path: &str| {
        let path = path.trim_end_matches(".py").trim_end_matches("/__init__");
        format!("{}.py", path.rsplit('/').next().unwrap_or_default())
    };
    let mut named: BTreeMap<String, Vec<&Scope>> = BTreeMap::new();
    for (path, facts) in files {
        for (name, scope) in &facts.scopes {
            let name = if name.is_empty() { module(path) } else { name.clone() };
            named.entry(name).or_default().push(scope);
        }
    }
    let starts = files.iter().filter(|(path, _)| words.contains(&path.as_str()));
    let mut pending: Vec<String> = starts.map(|(path, _)| module(path)).collect();
    if pending.is_empty() {
        pending = named.keys().cloned().collect();
    }
    let mut seen = BTreeSet::new();
    while let Some(name) = pending.pop() {
        for scope in named.get(&name).into_iter().flatten() {
            if scope.draws {
                return true;
            }
            pending.extend(scope.names.iter().filter(|name| seen.insert((*name).clone())).cloned());
        }
    }
    false
}

/// Bytes of `text` in words that are longer than words are.
pub(crate) fn dense(text: &str) -> u64 {
    text.split_whitespace().map(str::len).filter(|length| *length >= DENSE_WORD).sum::<usize>()
        as u64
}
