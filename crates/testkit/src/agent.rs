//! A command-line agent that thinks with whatever model server it is pointed at: it is called as `claude -p` is, speaks
//! Messages to `$ANTHROPIC_BASE_URL`, has the tools `edit` and `shell`, and prints `stream-json`.
//!
//! It does what its model says, good or bad, which is what makes it useful.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// Turns after which it gives up.
const TURNS: usize = 20;

/// The whole program, for whoever needs it beside their tests.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own: its environment is where it is told of its model"
)]
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let env = |name: &str| std::env::var(name).ok();
    match run(&arguments, env, &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Runs it with these arguments; `env` answers for environment variables, `out` is its standard output.
fn run(
    arguments: &[String],
    env: impl Fn(&str) -> Option<String>,
    out: &mut dyn std::io::Write,
) -> Result<()> {
    if arguments.iter().any(|word| word == "--version") {
        return Ok(writeln!(out, "0.9.1 (Scripted Agent)")?);
    }
    let prompt = arguments.last().context("no prompt")?;
    let base = env("ANTHROPIC_BASE_URL").context("no model: set ANTHROPIC_BASE_URL")?;
    let key = env("ANTHROPIC_API_KEY").unwrap_or_default();
    let model = arguments
        .iter()
        .skip_while(|word| *word != "--model")
        .nth(1)
        .map_or("scripted", String::as_str);
    let session = "5c1ed0";
    let mut say = |mut line: Value| {
        line["session_id"] = session.into();
        writeln!(out, "{line}")
    };
    say(json!({"type": "system", "subtype": "init", "model": model, "tools": ["edit", "shell"]}))?;
    let mut messages = vec![json!({"role": "user", "content": prompt})];
    for _ in 0..TURNS {
        let body = json!({
            "model": model, "max_tokens": 4096, "messages": messages, "tools": [
                {"name": "edit", "description": "replaces text in a file",
                 "input_schema": {"type": "object"}},
                {"name": "shell", "description": "runs a command", "input_schema": {"type": "object"}},
            ],
        });
        let (status, reply) = post(&base, "/v1/messages", &key, &body)?;
        if status != 200 {
            let why = reply["error"]["message"].as_str().unwrap_or_default();
            let why = format!("API Error: {status} {why}");
            say(json!({"type": "result", "subtype": "success", "is_error": true, "result": why}))?;
            bail!(why);
        }
        say(json!({"type": "assistant", "message": reply}))?;
        let content = reply["content"].as_array().cloned().unwrap_or_default();
        let mut results = Vec::new();
        for part in content.iter().filter(|part| part["type"] == "tool_use") {
            let said = tool(part["name"].as_str().unwrap_or_default(), &part["input"]);
            results.push(json!({
                "type": "tool_result", "tool_use_id": part["id"], "is_error": said.is_err(),
                "content": said.unwrap_or_else(|error| format!("{error:#}")),
            }));
        }
        if results.is_empty() {
            let text =
                content.iter().rev().find_map(|part| part["text"].as_str()).unwrap_or_default();
            return Ok(say(
                json!({"type": "result", "subtype": "success", "is_error": false, "result": text}),
            )?);
        }
        messages.push(json!({"role": "assistant", "content": content}));
        let turn = json!({"role": "user", "content": results});
        say(json!({"type": "user", "message": turn}))?;
        messages.push(turn);
    }
    Ok(say(json!({"type": "result", "subtype": "error_max_turns", "is_error": true}))?)
}

fn tool(name: &str, input: &Value) -> Result<String> {
    let given = |name: &str| input[name].as_str().with_context(|| format!("`{name}` is missing"));
    match name {
        "edit" => {
            let path = given("path")?;
            let (search, replace) = (given("search")?, given("replace")?);
            let text = fs_err::read_to_string(path)?;
            if text.matches(search).count() != 1 {
                bail!("the text to replace is there {} times", text.matches(search).count());
            }
            fs_err::write(path, text.replacen(search, replace, 1))?;
            Ok("done".to_owned())
        }
        "shell" => {
            let output = Command::new("bash").args(["-c", given("command")?]).output()?;
            let [stdout, stderr] = [output.stdout, output.stderr]
                .map(|said| String::from_utf8_lossy(&said).into_owned());
            Ok(format!("{stdout}{stderr}"))
        }
        _ => bail!("there is no tool `{name}`"),
    }
}

/// One request over a connection of its own; status and body.
fn post(base: &str, path: &str, key: &str, body: &Value) -> Result<(u16, Value)> {
    let host = base
        .strip_prefix("http://")
        .context("a base URL begins with http://")?
        .trim_end_matches('/');
    let body = body.to_string();
    let mut connection = TcpStream::connect(host).with_context(|| format!("reach {host}"))?;
    write!(
        connection,
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {key}\r\nanthropic-version: 2023-06-01\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of head")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("the answer has no status")?;
    // What comes in chunks has their sizes between lines that are JSON.
    let body = if head.to_lowercase().contains("transfer-encoding: chunked") {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Ok((status, serde_json::from_str(&body).with_context(|| format!("read the answer {body:?}"))?))
}

fn unchunked(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some((chunk, after)) = more.split_at_checked(size).filter(|_| size > 0) else { break };
        whole.push_str(chunk);
        rest = after.strip_prefix("\r\n").unwrap_or(after);
    }
    whole
}
