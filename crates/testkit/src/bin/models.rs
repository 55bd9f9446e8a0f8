//! `empiric-models RULES [PORT]`: a model server on loopback that answers by the rules in a JSON file, a list of
//! `{"when": {"contains": ["…"]}, "say": [{"reply": {"text": "…"}}, {"fault": "overloaded"}]}`. Prints its base URL and
//! serves until it is ended.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use empiric_testkit::model::{ModelServer, Rule, Script};

fn main() -> Result<()> {
    const USAGE: &str = "usage: empiric-models RULES [PORT]";
    let mut words = std::env::args().skip(1);
    let path = words.next().context(USAGE)?;
    let port = words.next().map_or(Ok(0), |port| port.parse()).context(USAGE)?;
    let rules: Vec<Rule> = serde_json::from_str(&fs_err::read_to_string(&path)?)
        .with_context(|| format!("read the rules in {path}"))?;
    let server = ModelServer::on(port, false, Script::new(rules))?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", server.url())?;
    out.flush()?;
    server.wait();
    Ok(())
}
