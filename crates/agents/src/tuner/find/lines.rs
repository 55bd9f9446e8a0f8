//! Any other language: assignment lines of obvious constants.

use std::sync::LazyLock;

use regex::Regex;

use super::Found;
use crate::tuner::knob::{Knob, Spelling, Value, off_limits, parse_number};

/// Kinds of files that are read line by line.
const EXTENSIONS: [&str; 22] = [
    "sh", "bash", "env", "c", "h", "cc", "cpp", "cxx", "hpp", "cu", "cuh", "lua", "jl", "rs", "go",
    "js", "ts", "r", "R", "ini", "cfg", "conf",
];

/// `[words] NAME [: type] = literal [;] [comment]`, and `#define NAME literal`.
static ASSIGNMENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^(?P<indent>\s*)
        (?:\#define\s+(?P<macro>[A-Za-z_]\w*)\s+
          |(?:[A-Za-z_][\w:<>]*\s+){0,4}(?P<name>[A-Za-z_]\w*)\s*(?::\s*\w+\s*)?(?::?=|<-)\s*)
        (?P<value>-?[0-9][0-9._eE+-]*|-?\.[0-9][0-9_eE+-]*|true|false)
        (?:[fFLuU]|usize|u32|u64|i32|i64|f32|f64)*\s*[;,]?\s*(?:(?:\#|//|--|/\*).*)?$",
    )
    .ok()
});

/// Knobs of a file of another language.
pub(super) fn find(path: &str, text: &str) -> Found {
    let mut found = Found::default();
    let known = path.rsplit_once('.').is_some_and(|(_, end)| EXTENSIONS.contains(&end));
    let Some(pattern) = ASSIGNMENT.as_ref().filter(|_| known) else { return found };
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some(captures) = pattern.captures(line.trim_end())
            && let Some(name) = captures.name("name").or_else(|| captures.name("macro"))
            && let Some(literal) = captures.name("value")
        {
            let value = match literal.as_str() {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                text => parse_number(text),
            };
            // Indented lower-case names are variables, not constants.
            let constant = captures.name("indent").is_some_and(|indent| indent.is_empty())
                || !name.as_str().contains(|c: char| c.is_ascii_lowercase());
            if let Some(value) = value.filter(|_| constant && !off_limits(name.as_str(), 0)) {
                found.knobs.push(Knob {
                    id: format!("{path}:{}", name.as_str()),
                    name: name.as_str().to_owned(),
                    file: path.to_owned(),
                    span: start + literal.start()..start + literal.end(),
                    value,
                    spelling: Spelling::Lower,
                    tier: 0,
                    choices: Vec::new(),
                });
            }
        }
        start += line.len();
    }
    found
}
