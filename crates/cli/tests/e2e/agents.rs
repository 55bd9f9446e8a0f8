//! Agents that take part: over the Model Context Protocol on standard input and output, and told how by `AGENTS.md`.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use empiric_testkit::{Home, tasks::TRAIN};
use serde_json::{Value, json};

use crate::{bare_home, home, words};

/// A client that speaks the protocol by hand.
struct Client {
    server: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    asked: u64,
}

impl Client {
    fn connect(home: &Home, name: &str) -> Self {
        let mut command = home.command(["mcp", "study"]);
        let mut server = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let mut client = Self { input: server.stdin.take(), server, lines, asked: 0 };
        let told = client.ask(
            "initialize",
            &json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": name, "version": "1"}}),
        );
        assert_eq!(told["serverInfo"]["name"], "empiric");
        client.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        client
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        self.say(&json!({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params}));
        let answer: Value = serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["id"], self.asked, "{answer}");
        answer["result"].clone()
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let result = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        assert_ne!(result["isError"], true, "{tool} {arguments}: {result}");
        result["structuredContent"].clone()
    }

    /// Goes away; the server ends by itself.
    fn leave(mut self) {
        drop(self.input.take());
        assert_eq!(self.server.wait().unwrap().code(), Some(0));
    }
}

/// The change of one knob, as an edit.
fn knob(from: &str, to: &str) -> Value {
    json!([{"path": "knobs.toml", "search": from, "replace": to}])
}

#[test]
fn a_client_reads_a_study_hands_trials_in_and_waits_for_them() {
    let home = home();
    let run = |trials: &str| {
        let line = format!("run task --study study --slots 1 --no-check --json --trials {trials}");
        home.say(words(&line)).unwrap()
    };
    assert_eq!(home.say(words("mcp study")).unwrap().code, Some(3), "there is no study yet");
    assert_eq!(run("0").code, Some(0));

    // Nobody is at work: the server measures.
    let mut client = Client::connect(&home, "somebody's agent");
    let task = client.call("get_task", &json!({}));
    assert_eq!((&task["task"], &task["at_work"]), (&json!("tiny"), &json!(false)));
    let good = json!({
        "hypothesis": "a smaller rate is nearer to the best one", "predict": -0.3,
        "edits": knob("rate = 0.2", "rate = 0.06"), "wait_seconds": 120,
    });
    let told = client.call("propose_trial", &good);
    assert_eq!(
        (&told["state"], &told["outcome"]["verdict"]),
        (&json!("ended"), &json!("keep")),
        "{told:#}"
    );
    assert_eq!((&told["by"], &told["arm"]), (&json!("somebody's agent"), &json!("submitted")));
    assert!(told["better_than_its_parent"]["by"].as_f64().unwrap() > 0.1, "{told:#}");

    // Two at a time, the second on the first's parent; a failure says what to do.
    let bad =
        json!({"hypothesis": "it crashes", "files": {"train.sh": format!("{TRAIN}exit 17\n")}});
    let first = client.call("propose_trial", &bad);
    let other =
        json!({"hypothesis": "wider", "parent": "t0", "edits": knob("width = 12", "width = 16")});
    let second = client.call("propose_trial", &other);
    let failed = client.call("wait_trial", &json!({"trial": first["trial"], "seconds": 120}));
    assert_eq!(failed["outcome"]["failed"], "exception", "{failed:#}");
    assert!(failed["outcome"]["remedy"].is_string());
    let ended = client.call("wait_trial", &json!({"trial": second["trial"], "seconds": 120}));
    assert_eq!(ended["state"], "ended", "{ended:#}");
    assert_eq!(client.call("note", &json!({"text": "rates matter"}))["written"], true);
    client.leave();
    assert!(home.left_running(Duration::from_secs(10)).is_empty());

    // A session is at work: it measures what another client hands in.
    let session = home
        .start(words("run task --study study --slots 1 --no-check --json --trials 100000"))
        .unwrap();
    session.until("asked").unwrap();
    let mut client = Client::connect(&home, "another agent");
    let asked = json!({"hypothesis": "less decay", "edits": knob("decay = 0.5", "decay = 0.2"), "wait_seconds": 300});
    let told = client.call("propose_trial", &asked);
    assert_eq!(
        (&told["state"], &told["by"]),
        (&json!("ended"), &json!("another agent")),
        "{told:#}"
    );
    assert_eq!(client.call("get_task", &json!({}))["at_work"], true);
    client.leave();
    assert_eq!(home.say(words("stop study")).unwrap().code, Some(0));
    assert_eq!(session.end().unwrap().code, Some(130));

    // Killed in the middle: nothing is left running, and what was handed in is measured by whoever comes next.
    let mut client = Client::connect(&home, "a third agent");
    let asked = json!({"hypothesis": "clip more", "edits": knob("clip = 2.0", "clip = 1.5"), "parent": "t0"});
    let told = client.call("propose_trial", &asked);
    client.server.kill().unwrap();
    client.server.wait().unwrap();
    assert!(home.left_running(Duration::from_secs(10)).is_empty());
    let mut client = Client::connect(&home, "a fourth agent");
    let found = client.call("wait_trial", &json!({"request": told["request"], "seconds": 120}));
    assert_eq!(
        (&found["state"], &found["by"]),
        (&json!("ended"), &json!("a third agent")),
        "{found:#}"
    );
    client.leave();
    assert_eq!(home.say(words("verify study --json")).unwrap().code, Some(0));

    // The same by shell.
    let no = found["trial"].as_str().unwrap();
    let shown = home.say(["show", "study", no, "--file", "knobs.toml"]).unwrap();
    assert!(shown.out.contains("clip = 1.5"), "{shown:?}");
    let same =
        home.say(["show", "study", told["request"].as_str().unwrap(), "--json", "--wait"]).unwrap();
    assert_eq!(same.json()[0]["trial"], no);
    std::fs::write(
        home.path().join("edits"),
        "knobs.toml\n<<<<<<< SEARCH\nclip = 2.0\n=======\nclip = 1.5\n>>>>>>> REPLACE\n",
    )
    .unwrap();
    let check = "submit study --edits edits --parent t0 --hypothesis again --check --json";
    let refused = home.say(words(check)).unwrap();
    assert_eq!(refused.code, Some(3));
    assert!(refused.talk.contains("measured already"), "{}", refused.talk);
}

#[test]
fn a_repository_tells_agents_how_to_take_part() {
    let home = bare_home();
    std::fs::create_dir(home.path().join("code")).unwrap();
    let line = "init code --agents --study studies/mine --json";
    let said = home.say(words(line)).unwrap();
    assert_eq!(said.json()[0]["study"], "studies/mine");
    let text = std::fs::read_to_string(home.path().join("code/AGENTS.md")).unwrap();
    // Every verb and flag that it names is one.
    for line in text.lines().filter_map(|line| line.trim().strip_prefix("empiric ")) {
        let told = line.split('#').next().unwrap();
        let mut parts = told.split_whitespace();
        let help = home.say([parts.next().unwrap(), "--help"]).unwrap().out;
        for flag in parts.filter(|part| part.starts_with("--")) {
            assert!(help.contains(flag), "`empiric {line}`: there is no {flag}");
        }
    }
    assert_eq!(home.say(words(line)).unwrap().code, Some(0), "again");
    assert_eq!(std::fs::read_to_string(home.path().join("code/AGENTS.md")).unwrap(), text);
}
