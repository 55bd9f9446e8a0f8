//! Knobs: literals of a recipe that may be moved, with an identity that survives edits.

use std::{collections::BTreeMap, ops::Range};

use serde_json::{Number, Value as Json};

/// Value of a literal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A whole number.
    Int(i64),
    /// A finite real number.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// One of a closed set of words.
    Text(String),
}

impl Value {
    /// As a number, where it is one.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(int) => Some(*int as f64),
            Self::Float(float) => Some(*float),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }

    /// As recorded in a trial's detail.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Int(int) => Json::from(*int),
            Self::Float(float) => Number::from_f64(*float).map_or(Json::Null, Json::Number),
            Self::Bool(bool) => Json::from(*bool),
            Self::Text(text) => Json::from(text.as_str()),
        }
    }

    /// Back from a trial's detail.
    pub(crate) fn from_json(json: &Json) -> Option<Self> {
        match json {
            Json::Bool(bool) => Some(Self::Bool(*bool)),
            Json::Number(number) => {
                number.as_i64().map(Self::Int).or_else(|| number.as_f64().map(Self::Float))
            }
            Json::String(text) => Some(Self::Text(text.clone())),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }

    /// As shown in a hypothesis.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Int(int) => int.to_string(),
            Self::Float(float) => render_float(*float),
            Self::Bool(bool) => if *bool { "on" } else { "off" }.to_owned(),
            Self::Text(text) => format!("`{text}`"),
        }
    }
}

/// A value per knob identity; what a trial sets apart from the baseline.
pub(crate) type Assignment = BTreeMap<String, Value>;

/// How booleans are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// `True`, `False`.
    Python,
    /// `true`, `false`.
    Lower,
}

/// A literal that may be moved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Knob {
    /// File, symbol path and name, and a count where that repeats: stable while other code moves about.
    pub(crate) id: String,
    /// The name alone.
    pub(crate) name: String,
    /// Its file.
    pub(crate) file: String,
    /// Bytes of the literal; of a string, what lies between the quotes.
    pub(crate) span: Range<usize>,
    /// Its value.
    pub(crate) value: Value,
    /// Spelling of booleans.
    pub(crate) spelling: Spelling,
    /// How much it looks like something meant to be tuned: 0 named constants and configuration, 1 defaults, 2 others.
    pub(crate) tier: u8,
    /// Words a text may be set to, in order; empty for other values.
    pub(crate) choices: Vec<String>,
}

impl Knob {
    /// Source text of `value` in this knob's place.
    pub(crate) fn render(&self, value: &Value) -> String {
        match value {
            Value::Int(int) => int.to_string(),
            Value::Float(float) => render_float(*float),
            Value::Bool(bool) => match (self.spelling, bool) {
                (Spelling::Python, true) => "True",
                (Spelling::Python, false) => "False",
                (Spelling::Lower, true) => "true",
                (Spelling::Lower, false) => "false",
            }
            .to_owned(),
            Value::Text(text) => text.clone(),
        }
    }
}

/// A float that every reader takes for a float: with a point always, and a signed exponent that YAML 1.1 needs.
pub(crate) fn render_float(value: f64) -> String {
    if value == 0.0 {
        return "0.0".to_owned();
    }
    if (1e-4..1e7).contains(&value.abs()) {
        let text = value.to_string();
        return if text.contains('.') { text } else { format!("{text}.0") };
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{digits}{point}e{sign}{exponent}")
}

/// A number in one of the usual spellings of programming languages; hexadecimal and the like are no knobs.
pub(crate) fn parse_number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !digits.chars().all(|c| c.is_ascii_digit() || ".eE+-_".contains(c))
    {
        return None;
    }
    let plain = text.replace('_', "");
    if plain.contains(['.', 'e', 'E']) {
        return plain.parse().ok().filter(|float: &f64| float.is_finite()).map(Value::Float);
    }
    // A leading zero means octal, a date or a code.
    (digits == "0" || !digits.starts_with('0'))
        .then(|| plain.parse().ok().map(Value::Int))
        .flatten()
}

/// Parts of a name that settle wherever they stand that it is none of the tuner's business. Seeds above all: choosing
/// one's seeds is a red line.
const ANYWHERE: [&str; 5] = ["seed", "version", "verbose", "smoke", "random_state"];
/// Parts of names of what the data are, which no setting changes.
const GIVEN: [&str; 4] = ["vocab", "classes", "num_labels", "n_labels"];
/// Whole names of bookkeeping, input and output.
const NEVER: [&str; 16] = [
    "debug",
    "device",
    "dtype",
    "encoding",
    "file",
    "path",
    "dir",
    "url",
    "host",
    "port",
    "timeout",
    "log_interval",
    "world_size",
    "workers",
    "num_workers",
    "name",
];
/// Names of arguments that are array geometry and modes of library calls; as a constant each may well be a setting.
const ARGUMENTS: [&str; 29] = [
    "axis",
    "axes",
    "dim",
    "ndim",
    "keepdims",
    "indent",
    "exist_ok",
    "base",
    "minlength",
    "atol",
    "rtol",
    "mode",
    "newline",
    "level",
    "flush",
    "nargs",
    "required",
    "copy",
    "inplace",
    "check",
    "index",
    "ord",
    "date",
    "print",
    "rank",
    "train",
    "training",
    "strict",
    "parents",
];

/// Whether a name is off limits for a knob of this tier.
pub(crate) fn off_limits(name: &str, tier: u8) -> bool {
    let lower = name.to_ascii_lowercase().replace('-', "_");
    lower.starts_with("__")
        || ANYWHERE.iter().chain(&GIVEN).any(|part| lower.contains(part))
        || NEVER.contains(&lower.as_str())
        || ["_path", "_dir", "_file", "_url", "_port", "_every"]
            .iter()
            .any(|end| lower.ends_with(end))
        || (tier > 0 && ARGUMENTS.contains(&lower.as_str()))
}

/// Gives every knob of one file its identity: the second and later uses of one base name are counted.
pub(crate) fn number_repeats(knobs: &mut [Knob]) {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for knob in knobs {
        let count = seen.entry(knob.id.clone()).or_default();
        *count += 1;
        if *count > 1 {
            knob.id = format!("{}~{count}", knob.id);
        }
    }
}
