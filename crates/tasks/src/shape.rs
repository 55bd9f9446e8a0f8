//! Checks a parsed file against the published schema: names of keys, their types and units. Every fault is reported
//! and then cut out, so that what remains can be deserialized and validated in the same pass.

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use crate::{
    diagnostic::{Problems, did_you_mean, one_of},
    units,
};

/// Cuts everything from `table` that `schema` does not allow, telling `problems` why.
pub(crate) fn check(table: &mut Spanned<DeTable<'_>>, schema: &Value, problems: &mut Problems) {
    let span = table.span();
    fields(table.get_mut(), schema, span, "", problems);
}

fn fields(
    table: &mut DeTable<'_>,
    schema: &Value,
    span: std::ops::Range<usize>,
    path: &str,
    problems: &mut Problems,
) {
    let known = schema["properties"].as_object();
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !table.contains_key(key) {
            let whole = path.is_empty();
            let place = if whole { String::new() } else { format!(" of `{path}`") };
            problems
                .add((!whole).then(|| span.clone()), format!("`{key}`{place} is missing"))
                .label(format!("needs `{key}`"))
                .help(format!("add {}", remedy(key, &schema["properties"][key])));
        }
    }
    for (key, mut value) in std::mem::take(table) {
        let name = key.get_ref();
        let inner = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        let free = Some(&schema["additionalProperties"]).filter(|schema| schema.is_object());
        if let Some(schema) = known.and_then(|known| known.get(&**name)).or(free) {
            if allowed(&mut value, schema, &inner, problems) {
                table.insert(key, value);
            }
            continue;
        }
        let names = || known.into_iter().flat_map(|known| known.keys().map(String::as_str));
        let place = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
        problems
            .add(Some(key.span()), format!("unknown key `{name}`{place}"))
            .label("unknown key")
            .help(format!("the keys here are {}", one_of(names()).replace(" or ", " and ")))
            .help_if(did_you_mean(name, names()));
    }
}

/// Whether `value` may stay.
fn allowed(
    value: &mut Spanned<DeValue<'_>>,
    schema: &Value,
    path: &str,
    problems: &mut Problems,
) -> bool {
    let span = value.span();
    let choices = choices(schema);
    let expected = schema["type"].as_str().unwrap_or("string");
    match (expected, value.get_mut()) {
        ("object", DeValue::Table(table)) => {
            fields(table, schema, span, path, problems);
            true
        }
        ("array", DeValue::Array(items)) => {
            for mut item in std::mem::replace(items, DeArray::new()) {
                if allowed(&mut item, &schema["items"], path, problems) {
                    items.push(item);
                }
            }
            true
        }
        ("string", DeValue::String(text)) => {
            let fault = match schema["format"].as_str() {
                Some("duration") => units::duration(text).err(),
                Some("size") => units::size(text).err(),
                _ => None,
            };
            if let Some(fault) = fault {
                problems
                    .add(Some(span), format!("`{path}`: {fault}"))
                    .label(format!("not a {}", kind(schema)));
                return false;
            }
            if !choices.is_empty() && !choices.contains(&&**text) {
                problems
                    .add(Some(span), format!("`{path}` cannot be `{text}`"))
                    .label("unknown value")
                    .help(format!("write {}", one_of(choices.iter().copied())))
                    .help_if(did_you_mean(text, choices.iter().copied()));
                return false;
            }
            true
        }
        ("integer", DeValue::Integer(number)) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            let (low, high) = match schema["format"].as_str() {
                Some("uint32") => (0, i64::from(u32::MAX)),
                _ => (i64::MIN, i64::MAX),
            };
            let fits = number.is_ok_and(|n| (low..=high).contains(&n));
            if !fits {
                problems.add(
                    Some(span),
                    format!("`{path}` must be a whole number from {low} to {high}"),
                );
            }
            fits
        }
        ("number", DeValue::Integer(_) | DeValue::Float(_)) | ("boolean", DeValue::Boolean(_)) => {
            true
        }
        (_, found) => {
            problems
                .add(
                    Some(span.clone()),
                    format!("`{path}` must be {}, not {}", article(kind(schema)), name_of(found)),
                )
                .label(format!("expected {}", article(kind(schema))))
                .help(format!("write {}", remedy(path.rsplit('.').next().unwrap_or(path), schema)));
            // `[stage]` for `[[stage]]`: one is meant, so go on with one.
            let single = schema["items"]["type"] == "object" && found.is_table();
            if single && let Some(DeValue::Array(items)) = wrap(value) {
                return items
                    .iter_mut()
                    .all(|item| allowed(item, &schema["items"], path, problems));
            }
            false
        }
    }
}

/// Makes an array of one out of a value.
fn wrap<'a, 'i>(value: &'a mut Spanned<DeValue<'i>>) -> Option<&'a mut DeValue<'i>> {
    let span = value.span();
    let inner = std::mem::replace(value.get_mut(), DeValue::Array(DeArray::new()));
    let DeValue::Array(items) = value.get_mut() else { return None };
    items.push(Spanned::new(span, inner));
    Some(value.get_mut())
}

/// The allowed values, where a schema lists them.
fn choices(schema: &Value) -> Vec<&str> {
    schema["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|choice| choice["const"].as_str())
        .collect()
}

/// An example line for `key`.
fn remedy(key: &str, schema: &Value) -> String {
    let choices = choices(schema);
    if !choices.is_empty() {
        let lines: Vec<_> =
            choices.iter().map(|choice| format!("`{key} = \"{choice}\"`")).collect();
        return one_of(lines.iter().map(String::as_str));
    }
    match schema["type"].as_str() {
        Some("object") => format!("`[{key}]`"),
        Some("array") if schema["items"]["type"] == "object" => {
            format!("`[[{key}]]` above each one")
        }
        Some("boolean") => format!("`{key} = true` or `{key} = false`"),
        // JSON and TOML agree on strings, numbers and flat arrays.
        _ => match &schema["examples"][0] {
            Value::Null => format!("`{key}` as {}", article(kind(schema))),
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(Value::to_string).collect();
                format!("`{key} = [{}]`", items.join(", "))
            }
            example @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                format!("`{key} = {example}`")
            }
        },
    }
}

fn kind(schema: &Value) -> &'static str {
    match (schema["format"].as_str(), schema["type"].as_str()) {
        (Some("duration"), _) => "duration",
        (Some("size"), _) => "size",
        (_, Some("object")) => "table",
        (_, Some("array")) if schema["items"]["type"] == "object" => "array of tables",
        (_, Some("array")) => "array of strings",
        (_, Some("integer")) => "whole number",
        (_, Some("number")) => "number",
        (_, Some("boolean")) => "boolean",
        _ => "string",
    }
}

fn article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'i', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

fn name_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a bare number",
        DeValue::Float(_) => "a bare number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
