//! Optuna as a rival: its samplers propose from a Python process, the values are made here.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::literal::{Literal, Setting, Settings, Start};

const DRIVER: &str = include_str!("optuna.py");

/// The samplers compared with.
pub(crate) const METHODS: [&str; 3] = ["tpe", "cma-es", "random"];

/// A Python process that asks.
pub(crate) struct Optuna {
    child: Child,
    out: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Optuna {
    /// Starts one with this interpreter, which has Optuna.
    pub(crate) fn start(python: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(python)
            .args(["-c", DRIVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", python.display()))?;
        let out = child.stdin.take().context("Python has no standard input")?;
        let lines = BufReader::new(child.stdout.take().context("Python has no output")?).lines();
        Ok(Self { child, out, lines })
    }

    /// One search for the least value: what it ranks best after the unedited recipe and `trials` others. `value` is asked
    /// for the value of each in turn.
    pub(crate) fn search(
        &mut self,
        literals: &[Literal],
        method: &str,
        seed: u64,
        trials: u32,
        mut value: impl FnMut(u32, &Settings) -> anyhow::Result<f64>,
    ) -> anyhow::Result<Settings> {
        let space: Vec<Value> = literals.iter().map(|l| bounds(l.name, l.start)).collect();
        self.say(&json!({ "method": method, "seed": seed, "trials": trials, "space": space }))?;
        for n in 0.. {
            let heard = self.hear()?;
            if let Some(best) = heard.get("best") {
                return settings(best);
            }
            let asked = settings(heard.get("ask").context("Optuna asks for nothing")?)?;
            let value = value(n, &asked)?;
            self.say(&json!({ "value": value }))?;
        }
        bail!("Optuna does not end")
    }

    fn say(&mut self, message: &Value) -> anyhow::Result<()> {
        writeln!(self.out, "{message}")?;
        Ok(self.out.flush()?)
    }

    fn hear(&mut self) -> anyhow::Result<Value> {
        let line = self.lines.next().context("Optuna's process ended")??;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Optuna {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn bounds(name: &str, start: Start) -> Value {
    match start {
        Start::Real(start, low, high, log) => {
            json!({ "name": name, "kind": "real", "low": low, "high": high, "log": log, "start": start })
        }
        Start::Whole(start, low, high, log) => {
            json!({ "name": name, "kind": "whole", "low": low, "high": high, "log": log, "start": start })
        }
        Start::Switch(start) => {
            json!({ "name": name, "kind": "choice", "choices": [false, true], "start": start })
        }
        Start::Word(start, words) => {
            json!({ "name": name, "kind": "choice", "choices": words, "start": start })
        }
    }
}

fn settings(values: &Value) -> anyhow::Result<Settings> {
    let values: &Map<String, Value> = values.as_object().context("settings are no object")?;
    let settings = values.iter().filter_map(|(name, value)| {
        let setting = match value {
            Value::Number(number) => Setting::Number(number.as_f64()?),
            Value::Bool(on) => Setting::Switch(*on),
            Value::String(word) => Setting::Word(word.clone()),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((name.clone(), setting))
    });
    Ok(settings.collect())
}
