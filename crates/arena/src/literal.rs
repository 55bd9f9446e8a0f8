//! Literals of a recipe, and where they may lie.

use std::collections::BTreeMap;

/// A literal and where it may lie. Only searches that need bounds are told them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Literal {
    /// Its name in the recipe, after its file and a colon where there is more than one.
    pub(crate) name: &'static str,
    /// What it is before any edit.
    pub(crate) start: Start,
}

/// The literal of the unedited recipe, with its bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    /// A real number: value, low, high, and whether it is a magnitude (searched on a log scale).
    Real(f64, f64, f64, bool),
    /// A whole number, in the same way.
    Whole(i64, i64, i64, bool),
    /// A switch.
    Switch(bool),
    /// One word of a list.
    Word(&'static str, &'static [&'static str]),
}

impl Start {
    /// It, as a value.
    pub(crate) fn setting(&self) -> Setting {
        match *self {
            Self::Real(value, ..) => Setting::Number(value),
            Self::Whole(value, ..) => Setting::Number(value as f64),
            Self::Switch(on) => Setting::Switch(on),
            Self::Word(word, _) => Setting::Word(word.to_owned()),
        }
    }

    /// `setting` as Python writes it where this stands.
    pub(crate) fn written(&self, setting: &Setting) -> String {
        match (self, setting) {
            (Self::Whole(..), Setting::Number(value)) => value.to_string(),
            (_, Setting::Number(value)) => format!("{value:?}"),
            (_, Setting::Switch(on)) => if *on { "True" } else { "False" }.to_owned(),
            (_, Setting::Word(word)) => format!("\"{word}\""),
        }
    }
}

/// A value of a literal as it stands in a recipe.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Setting {
    Number(f64),
    Switch(bool),
    Word(String),
}

/// The literals of one recipe by name.
pub(crate) type Settings = BTreeMap<String, Setting>;
