//! Configuration: scalars of TOML, JSON and YAML files, by their spans.

use std::ops::Range;

use toml_edit::{Document, Item, Value as TomlValue};

use super::Found;
use crate::tuner::knob::{Knob, Spelling, Value, off_limits, parse_number};

/// Deepest nesting read.
const DEEPEST: usize = 32;

/// Adds a scalar whose source text is `text[span]`, quotes included.
fn scalar(found: &mut Found, path: &str, text: &str, keys: &[String], span: Range<usize>) {
    let Some(name) = keys.iter().rev().find(|key| !key.starts_with('[')) else { return };
    let Some(source) = text.get(span.clone()) else { return };
    let quoted = source.len() >= 2
        && (source.starts_with('"') && source.ends_with('"')
            || source.starts_with('\'') && source.ends_with('\''));
    let (value, span) = match source {
        "true" | "True" => (Value::Bool(true), span),
        "false" | "False" => (Value::Bool(false), span),
        _ if quoted => {
            let inner = &source[1..source.len() - 1];
            if inner.contains(['\\', '"', '\'']) {
                return;
            }
            (Value::Text(inner.to_owned()), span.start + 1..span.end - 1)
        }
        _ => match parse_number(source) {
            Some(number) => (number, span),
            // YAML's bare words.
            None if source.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) => {
                (Value::Text(source.to_owned()), span)
            }
            None => return,
        },
    };
    if keys.iter().any(|key| off_limits(key, 0)) {
        return;
    }
    let spelling =
        if matches!(source, "True" | "False") { Spelling::Python } else { Spelling::Lower };
    found.knobs.push(Knob {
        id: format!("{path}:{}", keys.join(".").replace(".[", "[")),
        name: name.clone(),
        file: path.to_owned(),
        span,
        value,
        spelling,
        tier: 0,
        choices: Vec::new(),
    });
}

/// Scalars of a TOML file.
pub(super) fn toml(path: &str, text: &str) -> Found {
    let mut found = Found::default();
    if let Ok(document) = Document::parse(text) {
        let mut keys = Vec::new();
        toml_item(&mut found, path, text, document.as_item(), &mut keys);
    }
    found
}

fn toml_item(found: &mut Found, path: &str, text: &str, item: &Item, keys: &mut Vec<String>) {
    match item {
        Item::None => {}
        Item::Value(value) => toml_value(found, path, text, value, keys),
        Item::Table(table) => {
            for (key, item) in table {
                keys.push(key.to_owned());
                toml_item(found, path, text, item, keys);
                keys.pop();
            }
        }
        Item::ArrayOfTables(tables) => {
            for (i, table) in tables.iter().enumerate() {
                keys.push(format!("[{i}]"));
                for (key, item) in table {
                    keys.push(key.to_owned());
                    toml_item(found, path, text, item, keys);
                    keys.pop();
                }
                keys.pop();
            }
        }
    }
}

fn toml_value(
    found: &mut Found,
    path: &str,
    text: &str,
    value: &TomlValue,
    keys: &mut Vec<String>,
) {
    if keys.len() > DEEPEST {
        return;
    }
    match value {
        TomlValue::Array(array) => {
            for (i, value) in array.iter().enumerate() {
                keys.push(format!("[{i}]"));
                toml_value(found, path, text, value, keys);
                keys.pop();
            }
        }
        TomlValue::InlineTable(table) => {
            for (key, value) in table {
                keys.push(key.to_owned());
                toml_value(found, path, text, value, keys);
                keys.pop();
            }
        }
        TomlValue::Datetime(_) => {}
        TomlValue::String(_)
        | TomlValue::Integer(_)
        | TomlValue::Float(_)
        | TomlValue::Boolean(_) => {
            if let Some(span) = value.span() {
                scalar(found, path, text, keys, span);
            }
        }
    }
}

/// Scalars of a JSON file.
pub(super) fn json(path: &str, text: &str) -> Found {
    let mut found = Found::default();
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        let mut reader = Json { path, text, at: 0, keys: Vec::new(), found: &mut found };
        reader.value();
    }
    found
}

/// Walks text that is known to be JSON.
struct Json<'a> {
    path: &'a str,
    text: &'a str,
    at: usize,
    keys: Vec<String>,
    found: &'a mut Found,
}

impl Json<'_> {
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// The source of the string that starts here, quotes included.
    fn string(&mut self) -> Range<usize> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        while self.at < bytes.len() && bytes[self.at] != b'"' {
            self.at += if bytes[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at = (self.at + 1).min(bytes.len());
        start..self.at
    }

    fn value(&mut self) {
        match self.peek() {
            Some(b'{') => self.members(b'}'),
            Some(b'[') => self.members(b']'),
            Some(b'"') => {
                let span = self.string();
                scalar(self.found, self.path, self.text, &self.keys, span);
            }
            Some(_) => {
                let start = self.at;
                let rest = &self.text.as_bytes()[start..];
                self.at += rest
                    .iter()
                    .take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
                    .count()
                    .max(1);
                if self.text.get(start..self.at) != Some("null") {
                    scalar(self.found, self.path, self.text, &self.keys, start..self.at);
                }
            }
            None => {}
        }
    }

    fn members(&mut self, end: u8) {
        self.at += 1;
        let mut i = 0;
        while let Some(byte) = self.peek() {
            if byte == end {
                break;
            }
            if byte == b',' {
                self.at += 1;
                continue;
            }
            if end == b'}' {
                let key = self.string();
                self.keys.push(self.text[key.start + 1..key.end - 1].to_owned());
                self.peek();
                self.at += 1;
            } else {
                self.keys.push(format!("[{i}]"));
            }
            self.value();
            self.keys.pop();
            i += 1;
        }
        self.at += 1;
    }
}

/// Scalars of a YAML file's `key: scalar` lines. Flow collections, anchors and block texts are left alone.
pub(super) fn yaml(path: &str, text: &str) -> Found {
    let mut found = Found::default();
    // Enclosing keys with their indentation.
    let mut stack: Vec<(usize, String)> = Vec::new();
    let mut block: Option<usize> = None;
    let mut start = 0;
    // List items of the whole file are counted through.
    let mut items = 0_usize;
    for line in text.split_inclusive('\n') {
        let here = start;
        start += line.len();
        let body = line.trim_end();
        let trimmed = body.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let mut indent = body.len() - trimmed.len();
        if block.is_some_and(|outer| indent > outer) {
            continue;
        }
        block = None;
        let mut rest = trimmed;
        let mut item = false;
        let dash = indent;
        while let Some(inner) = rest.strip_prefix("- ") {
            indent += 2 + inner.len() - inner.trim_start().len();
            rest = inner.trim_start();
            item = true;
        }
        let Some((key, value)) = rest.split_once(':') else { continue };
        let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !plain || !(value.is_empty() || value.starts_with([' ', '\t'])) {
            continue;
        }
        // A list may start in the column of its own key.
        stack.retain(|(outer, _)| *outer < if item { dash + 1 } else { indent });
        if item {
            items += 1;
            stack.push((dash + 1, format!("[{items}]")));
        }
        stack.push((indent, key.to_owned()));
        let value = value.split(" #").next().unwrap_or("").trim();
        if value.starts_with(['|', '>']) {
            block = Some(indent);
        } else if !value.is_empty() && !value.starts_with(['&', '*', '!', '[', '{', '#']) {
            let offset = body.len() - rest.len() + key.len() + 1;
            let lead = body[offset..].len() - body[offset..].trim_start().len();
            let at = here + offset + lead;
            let keys: Vec<String> = stack.iter().map(|(_, key)| key.clone()).collect();
            if !matches!(value, "null" | "~" | "yes" | "no" | "on" | "off") {
                scalar(&mut found, path, text, &keys, at..at + value.len());
            }
        }
    }
    found
}
