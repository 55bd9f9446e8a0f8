//! References in Markdown, made of what the program itself knows: its words, and the published schemas.

use clap::{Arg, Command};
use serde_json::Value;

/// Every verb with its arguments.
pub(crate) fn verbs(mut command: Command) -> String {
    command.build();
    let mut text = "# Command line\n\n".to_owned();
    text.push_str("Made by `empiric completions markdown`. ");
    text.push_str(
        "Every verb has `--help`; standard output is data, talk goes to standard error.\n",
    );
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("\n## `empiric {}`\n\n{about}.\n\n", verb.get_name()));
        let usage = verb.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").trim();
        text.push_str(&format!("    {usage}\n\n"));
        let arguments: Vec<&Arg> =
            verb.get_arguments().filter(|argument| argument.get_id() != "help").collect();
        if !arguments.is_empty() {
            text.push_str("| argument | meaning |\n|---|---|\n");
        }
        for argument in arguments {
            text.push_str(&format!("| {} | {} |\n", name(argument), meaning(argument)));
        }
    }
    if let Some(after) = command.get_after_help() {
        text.push_str("\n## Exit codes and environment variables\n\n```text\n");
        text.push_str(&after.to_string());
        text.push_str("\n```\n");
    }
    text
}

fn name(argument: &Arg) -> String {
    let values: Vec<String> =
        argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let takes = argument.get_action().takes_values();
    match argument.get_long() {
        None => format!("`{}`", values.join(" ")),
        Some(long) if takes => format!("`--{long} {}`", values.join(" ")),
        Some(long) => format!("`--{long}`"),
    }
}

fn meaning(argument: &Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
    if argument.get_action().takes_values() {
        let defaults: Vec<String> = argument
            .get_default_values()
            .iter()
            .map(|value| format!("`{}`", value.to_string_lossy()))
            .collect();
        if !defaults.is_empty() {
            text.push_str(&format!("; default {}", defaults.join(", ")));
        }
        let values = argument.get_possible_values().into_iter().map(|value| {
            let help = value.get_help().map(|help| format!(": {help}")).unwrap_or_default();
            format!("<br>`{}`{help}", value.get_name())
        });
        text.extend(values);
    }
    cell(&text)
}

/// Every key of a schema, section by section.
pub(crate) fn keys(title: &str, made_by: &str, schema: &Value) -> String {
    let mut text = format!("# {title}\n\nMade by `{made_by}`.\n\n");
    text.push_str(&format!("{}\n", described(schema)));
    section("", schema, &mut text);
    text
}

/// A table of the keys at `path`, and below it one for each of them that has keys of its own.
fn section(path: &str, schema: &Value, text: &mut String) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    text.push_str("\n| key | kind | meaning |\n|---|---|---|\n");
    for (key, value) in properties {
        let must = if required.contains(&key.as_str()) { ", required" } else { "" };
        let example = value["examples"].get(0).map(|example| format!(" Such as `{example}`."));
        let words = format!("{}{}", described(value), example.unwrap_or_default());
        text.push_str(&format!("| `{key}` | {}{must} | {} |\n", kind(value), cell(&words)));
    }
    for (key, value) in properties {
        let (inner, open, close) = match value["items"].is_object() {
            true => (&value["items"], "[[", "]]"),
            false => (value, "[", "]"),
        };
        if inner["properties"].is_object() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            text.push_str(&format!("\n## `{open}{path}{close}`\n\n{}\n", described(value)));
            section(&path, inner, text);
        }
    }
}

fn described(value: &Value) -> String {
    let mut words = value["description"].as_str().unwrap_or_default().replace('\n', " ");
    for choice in value["oneOf"].as_array().into_iter().flatten() {
        if let Some(name) = choice["const"].as_str() {
            let about = choice["description"].as_str().unwrap_or_default();
            words.push_str(&format!(" `{name}`: {about}"));
        }
    }
    words
}

fn kind(value: &Value) -> String {
    if let Some(format @ ("duration" | "size")) = value["format"].as_str() {
        return format.to_owned();
    }
    if value["oneOf"].is_array() {
        return "one of".to_owned();
    }
    match &value["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", kind_of_items(value)),
        Value::String(kind) if kind == "object" => "table".to_owned(),
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "any".to_owned(),
    }
}

fn kind_of_items(value: &Value) -> String {
    match value["items"]["type"].as_str() {
        Some("object") => "tables".to_owned(),
        Some(kind) => format!("{kind}s"),
        None => "values".to_owned(),
    }
}

/// Text within a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
