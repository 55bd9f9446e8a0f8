//! Finds knobs and cut sites in a recipe's files.

mod config;
mod lines;
mod python;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::knob::{Assignment, Knob, Value, number_repeats};
use crate::Files;

#[cfg(test)]
mod tests;

/// A piece of code that can be taken out with the rest still parsing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cut {
    /// File, symbol path and the code itself: stable while other code moves about.
    pub(crate) id: String,
    /// Its file.
    pub(crate) file: String,
    /// Bytes replaced.
    pub(crate) span: Range<usize>,
    /// What takes their place.
    pub(crate) with: String,
    /// The code, on one line and bounded, for a hypothesis.
    pub(crate) code: String,
}

/// What one file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Found {
    pub(crate) knobs: Vec<Knob>,
    pub(crate) cuts: Vec<Cut>,
    /// Words that a name is compared with or looked up among, by name.
    pub(crate) words: BTreeMap<String, BTreeSet<String>>,
}

/// What the file at `path` holds; nothing when its kind is unknown or it does not parse.
pub(crate) fn find(path: &str, text: &str) -> Found {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let mut found = match extension {
        "py" => python::find(path, text),
        "toml" => config::toml(path, text),
        "json" => config::json(path, text),
        "yaml" | "yml" => config::yaml(path, text),
        _ => lines::find(path, text),
    };
    number_repeats(&mut found.knobs);
    found
}

/// Whether the file still parses, where that can be told.
pub(crate) fn parses(path: &str, text: &str) -> bool {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "py" => python::parse(text).is_some(),
        "toml" => text.parse::<toml_edit::DocumentMut>().is_ok(),
        "json" => serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
        _ => true,
    }
}

/// A tree's files with everything that was found in them.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) files: Files,
    pub(crate) knobs: BTreeMap<String, Knob>,
    pub(crate) cuts: Vec<Cut>,
}

impl Recipe {
    /// Puts the files of a tree together. Texts stay knobs only where the code names alternatives.
    pub(crate) fn new(files: Files, found: &[Arc<Found>]) -> Self {
        let mut words: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, known) in found.iter().flat_map(|found| &found.words) {
            words.entry(name).or_default().extend(known.iter().map(String::as_str));
        }
        let mut knobs = BTreeMap::new();
        for knob in found.iter().flat_map(|found| &found.knobs) {
            let mut knob = knob.clone();
            if let Value::Text(text) = &knob.value {
                let Some(known) = words.get(knob.name.as_str()) else { continue };
                if known.len() < 2 || !known.contains(text.as_str()) {
                    continue;
                }
                knob.choices = known.iter().map(|&word| word.to_owned()).collect();
            }
            knobs.insert(knob.id.clone(), knob);
        }
        let cuts = found.iter().flat_map(|found| found.cuts.clone()).collect();
        Self { files, knobs, cuts }
    }

    /// New content of the files that `set` and `cut` change; nothing else in them moves.
    pub(crate) fn edit(&self, set: &Assignment, cut: Option<&Cut>) -> BTreeMap<String, String> {
        let mut patches: BTreeMap<&str, Vec<(Range<usize>, String)>> = BTreeMap::new();
        for (id, value) in set {
            if let Some(knob) = self.knobs.get(id)
                && knob.value != *value
            {
                patches
                    .entry(&knob.file)
                    .or_default()
                    .push((knob.span.clone(), knob.render(value)));
            }
        }
        if let Some(cut) = cut {
            let inside = patches.entry(&cut.file).or_default();
            inside.retain(|(span, _)| span.end <= cut.span.start || span.start >= cut.span.end);
            inside.push((cut.span.clone(), cut.with.clone()));
        }
        let mut edited = BTreeMap::new();
        for (file, mut patches) in patches {
            let Some(text) = self.files.get(file) else { continue };
            let mut text = text.to_string();
            patches.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
            for (span, with) in patches {
                text.replace_range(span, &with);
            }
            edited.insert(file.to_owned(), text);
        }
        edited
    }
}
