//! Command-line agents as arms: a scripted one, found where `claude` would be, with a model server behind the metering
//! proxy. From the words of the command line to the ledger and back.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use empiric_testkit::{
    Home, Said, Session,
    model::{Asked, Fault, ModelServer, Say},
    tasks,
};
use serde_json::{Value, json};

use crate::{bare_home, models::events, words};

const KEY: &str = "sk-real-7a1b2c3d";

/// The scripted agent, which cargo builds with the tests.
fn agent() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    deps.parent().unwrap().parent().unwrap().join("examples/scripted-agent")
}

/// Whether an agent can be held here; elsewhere there is nothing to test.
fn held() -> bool {
    let found = empiric_sandbox::probe();
    found.bwrap.is_ok()
}

/// A home with the tiny task, the agent on its path as `claude`, and a list of models that names `url`.
fn home(url: &str) -> Home {
    let home = bare_home();
    tasks::tiny(&home.path().join("task")).unwrap();
    fs_err::create_dir(home.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(agent(), home.path().join("bin/claude")).unwrap();
    let models = format!(
        "[provider.fake]\nwire = \"messages\"\nurl = \"{url}\"\nkey_env = \"FAKE_KEY\"\n[price]\n\"fake/m\" = {{ input = 1, output = 2 }}\n"
    );
    fs_err::write(home.path().join("models.toml"), models).unwrap();
    home
}

fn command(home: &Home, line: &str) -> Command {
    let mut command = home.command(words(line));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", home.path().join("bin").display());
    command.env("PATH", path).env("FAKE_KEY", KEY);
    command
}

fn say(home: &Home, line: &str) -> Said {
    let output = command(home, line).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), talk: text(&output.stderr) }
}

const RUN: &str = "run task --study s --no-check --seed 1 --models-file models.toml";

/// Sets the rate to what nobody has tried, and says why.
fn turner() -> impl Fn(&Asked) -> Say {
    let turned = AtomicU64::new(0);
    move |asked: &Asked| match asked.results {
        0 => {
            let n = turned.fetch_add(1, Ordering::SeqCst);
            let rate = 0.05 + n as f64 / 1e4;
            let edit = format!("sed -i 's/^rate = .*/rate = {rate}/' knobs.toml");
            Say::tool("shell", json!({ "command": edit }))
        }
        _ => Say::text("Done.\nHYPOTHESIS: the rate was too high PREDICTION: loss decrease 0.3"),
    }
}

/// The trials' edits, the baseline's left out.
fn edits(events: &[Value]) -> Vec<&Value> {
    let made = events.iter().filter(|event| event["event"] == "proposed" && event["trial"] != "t0");
    made.map(|event| &event["edit"]).collect()
}

#[test]
fn an_agent_finishes_a_study_whose_calls_are_paid_kept_and_read_again() {
    if !held() {
        return;
    }
    let server = ModelServer::start(turner()).unwrap();
    let home = home(&server.url());
    let run = format!("{RUN} --arm claude --agent-model fake/m --trials 4 --slots 2 --budget 1usd");
    let said = say(&home, &run);
    assert_eq!(said.code, Some(0), "{said:?}");
    let asked = server.asked();
    drop(server);
    assert!(asked.iter().all(|asked| asked.headers["x-api-key"] == KEY && asked.model == "m"));
    let prompt = asked[0].text();
    assert!(prompt.contains("what this study has measured so far: data"), "{prompt}");
    let events = events(&home.path().join("s"));
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!(named("called"), asked.len());
    assert_eq!(asked.len(), 8, "two calls for each trial");
    let edits = edits(&events);
    assert_eq!(edits.len(), 4, "{edits:?}");
    for edit in &edits {
        assert_eq!(edit["proposer"], "claude", "{edit}");
        assert_eq!(edit["files"][0]["path"], "knobs.toml", "{edit}");
        assert_eq!(edit["detail"]["version"], "0.9.1", "{edit}");
        assert_eq!((&edit["detail"]["model"], &edit["detail"]["calls"]), (&json!("m"), &json!(2)));
        assert_eq!(edit["hypothesis"]["text"], "the rate was too high", "{edit}");
    }
    let kept = events.iter().filter(|event| event["outcome"]["verdict"] == "keep").count();
    assert!(kept > 0, "a rate of 0.05 is worth 0.4");
    let status = &say(&home, "status s --json").json()[0];
    assert!(status["cost"]["usd"].as_f64().unwrap() > 0.0, "{status}");
    assert_eq!(status["cost"]["calls"], 8, "{status}");
    let whole = fs_err::read_dir(home.path().join("s")).unwrap().map(|entry| entry.unwrap().path());
    for path in whole.filter(|path| path.is_file()) {
        let bytes = fs_err::read(&path).unwrap();
        assert!(!bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes()), "{path:?}");
    }
    // What passed to models is read again; what the agent did between its calls is taken as it is recorded.
    let verified = &say(&home, "verify s --replay --json").json()[0];
    assert_eq!(verified["ok"], true, "{verified}");
    assert_eq!(
        verified["replayed"],
        json!({"proposals": 0, "calls": 0, "taken": 4, "passed": 8}),
        "{verified}"
    );
    let plain = say(&home, "verify s --replay").out;
    assert!(plain.contains("4 edits of command-line agents taken as recorded; 8 of"), "{plain}");
    let shown = say(&home, "show s t1 --calls").out;
    assert!(shown.contains("sed -i") && shown.contains("HYPOTHESIS"), "{shown}");
    let left = fs_err::read_dir(home.path().join("s/agents")).unwrap().count();
    assert_eq!(left, 0, "no work tree is left");
}

#[test]
fn an_empty_purse_pauses_the_study_and_more_of_it_goes_on() {
    if !held() {
        return;
    }
    let server = ModelServer::start(turner()).unwrap();
    let home = home(&server.url());
    let run = format!("{RUN} --arm claude --agent-model fake/m --trials 3 --slots 1 --budget");
    let paused = say(&home, &format!("{run} 3calls"));
    assert_eq!(paused.code, Some(0), "{paused:?}");
    assert!(paused.talk.contains("paused: ") && paused.talk.contains("--budget"), "{paused:?}");
    assert_eq!(server.count(), 3);
    let status = &say(&home, "status s --json").json()[0];
    assert_eq!(status["state"], "paused", "{status}");
    assert_eq!(status["outcomes"]["failed"], json!({}), "no trial is spoilt: {status}");
    let done = say(&home, &format!("{run} 100calls"));
    assert_eq!(done.code, Some(0), "{done:?}");
    let events = events(&home.path().join("s"));
    assert_eq!(events.last().unwrap()["event"], "finished");
    assert_eq!(edits(&events).len(), 3);
    // A proposal that is made again goes on counting.
    let mut calls: Vec<(String, u64)> = Vec::new();
    for event in events.iter().filter(|event| event["event"] == "called") {
        let call = (event["trial"].to_string(), event["call"]["index"].as_u64().unwrap());
        assert!(!calls.contains(&call), "{call:?} twice");
        calls.push(call);
    }
    assert_eq!(calls.len() as u64, server.count());
    let verified = say(&home, "verify s --replay");
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn a_command_of_ones_own_is_an_arm_beside_others() {
    if !held() {
        return;
    }
    let server = ModelServer::start(turner()).unwrap();
    let home = home(&server.url());
    let line = format!("{RUN} --arm command --arm tuner --agent-model fake/m --trials 2 --slots 1");
    let mut run = command(&home, &line);
    run.args(["--agent-cmd", "claude --model {model} -- {prompt}"]);
    let output = run.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let events = events(&home.path().join("s"));
    let ours: Vec<_> =
        edits(&events).into_iter().filter(|edit| edit["proposer"] == "command").collect();
    assert_eq!(ours.len(), 2);
    assert_eq!(ours[0]["detail"]["command"], json!(["--model", "{model}", "--", "{prompt}"]));
    assert_eq!(say(&home, "verify s --replay").code, Some(0));
}

#[test]
fn an_interrupt_ends_an_agent_at_work_and_its_trial_is_proposed_again() {
    if !held() {
        return;
    }
    let server = ModelServer::start(|asked: &Asked| {
        if asked.results == 0 {
            Say::tool("shell", json!({"command": "sleep 1000000"}))
        } else {
            Say::text("done")
        }
    })
    .unwrap();
    let home = home(&server.url());
    let run = format!("{RUN} --arm claude --agent-model fake/m --trials 1 --slots 1 --json");
    let session = Session::start(command(&home, &run)).unwrap();
    session.until("called").unwrap();
    session.interrupt();
    let ended = session.end().unwrap();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(home.left_running(Duration::from_secs(10)).is_empty());
    drop(server);
    let status = &say(&home, "status s --json").json()[0];
    assert_eq!((&status["state"], &status["outcomes"]["failed"]), (&json!("stopped"), &json!({})));
    // Elsewhere, with another server: the same trial.
    let server = ModelServer::start(turner()).unwrap();
    let list = fs_err::read_to_string(home.path().join("models.toml")).unwrap();
    let moved = format!("url = \"{}\"", server.url());
    let line = list.lines().find(|line| line.starts_with("url")).unwrap();
    fs_err::write(home.path().join("models.toml"), list.replace(line, &moved)).unwrap();
    let said = say(&home, &run);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(edits(&events(&home.path().join("s"))).len(), 1);
}

#[test]
fn an_agent_that_cannot_be_had_is_said_before_anything_begins() {
    let home = home("http://127.0.0.1:9/v1");
    let none = |name: &str| !Path::new(&home.path().join("s")).join(name).exists();
    for (line, code, says) in [
        ("--arm codex", 3, "arm `codex`: `codex` is not on PATH"),
        ("--arm command", 2, "--agent-cmd"),
        ("--arm claude", 3, "put it into the environment as ANTHROPIC_API_KEY"),
        ("--arm claude --agent-model openai/gpt-5", 2, "claude speaks messages"),
        ("--arm claude --agent-model fake/m --agent-see nowhere", 3, "nowhere"),
        ("--arm claude --agent-model fake/m --agent-wall soon", 2, "90s, 10m or 1h"),
        ("--arm command --agent-cmd '", 2, "quotes that are opened must be closed"),
        (
            "--arm command --agent-cmd nothing-of-that-name --agent-model fake/m",
            3,
            "nothing-of-that-name",
        ),
    ] {
        let said = say(&home, &format!("{RUN} {line}"));
        assert_eq!(said.code, Some(code), "{line}: {said:?}");
        assert!(said.talk.contains(says), "{line}: {said:?}");
        assert!(none("ledger.db"), "{line}");
    }
    if empiric_sandbox::probe().landlock.is_ok() {
        let said =
            say(&home, &format!("{RUN} --arm claude --agent-model fake/m --sandbox landlock"));
        assert_eq!(said.code, Some(6), "{said:?}");
        assert!(said.talk.contains("needs bubblewrap") && said.talk.contains("doctor"), "{said:?}");
    }
}

#[test]
fn an_agent_whose_key_is_not_accepted_ends_the_session_and_blames_no_idea() {
    if !held() {
        return;
    }
    let server = ModelServer::start(|_: &Asked| Say::Fault(Fault::BadKey)).unwrap();
    let home = home(&server.url());
    let said = say(&home, &format!("{RUN} --arm claude --agent-model fake/m --slots 1"));
    assert_eq!(said.code, Some(7), "{said:?}");
    assert!(said.talk.contains("key is missing or not accepted"), "{said:?}");
    assert!(!said.talk.contains("mend the recipe"), "{said:?}");
    let status = &say(&home, "status s --json").json()[0];
    assert_eq!(status["outcomes"]["failed"], json!({}), "{status}");
}

#[test]
fn the_doctor_names_the_agents_that_are_there() {
    if !held() {
        return;
    }
    let home = home("http://127.0.0.1:9/v1");
    let said = say(&home, "doctor");
    let found = format!("claude 0.9.1 at {}", home.path().join("bin/claude").display());
    assert!(said.out.contains(&found), "{said:?}");
    assert!(said.out.contains("no other of codex, gemini, opencode, aider"), "{said:?}");
}
