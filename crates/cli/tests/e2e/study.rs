//! A study from its first run to the patch that is taken home.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    contract::{self, holds},
    home, words,
};

#[test]
fn a_study_runs_is_read_goes_on_and_is_taken_home() {
    let home = home();
    let say = |line: &str| {
        let said = home.say(words(line)).unwrap();
        assert_eq!(said.code, Some(0), "`empiric {line}` says: {}", said.talk);
        said
    };

    let run = "run task --study study --slots 1 --json --trials";
    let mut events = say(&format!("{run} 12")).json();
    let summary = events.pop().unwrap();
    assert_eq!(events[0]["event"], "study_opened");
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());

    let status = say("status study --json").json().remove(0);
    let mut told = status.clone();
    told["event"] = json!("study_summary");
    assert_eq!(summary, told);
    holds(&status, contract::STATUS);
    holds(&status["champion"], contract::CHAMPION);
    assert_eq!(status["state"], "finished");
    assert_eq!(status["trials"], 12);
    assert_eq!(status["champion"]["provenance"], "evaluator");
    assert!(status["champion"]["gain_interval"][0].as_f64().unwrap() > 0.0, "{status:#}");

    let trials = say("trials study --json").json();
    let names: Vec<_> = trials.iter().map(|trial| trial["trial"].as_str().unwrap()).collect();
    let numbers: Vec<_> = (0..=12).map(|no| format!("t{no}")).collect();
    assert_eq!(names, numbers);
    for trial in &trials {
        holds(trial, contract::TRIAL);
        for measurement in trial["measurements"].as_array().unwrap() {
            holds(measurement, contract::MEASUREMENT);
        }
    }
    assert_eq!(trials[0]["outcome"]["verdict"], "baseline");
    let keeps = say("trials study --outcome keep --json").json();
    assert_eq!(json!(keeps.len()), status["outcomes"]["keep"]);

    let champion = status["champion"]["trial"].as_str().unwrap();
    let shown = say(&format!("show study {champion} --json --logs")).json().remove(0);
    let listed = trials.iter().find(|trial| trial["trial"] == champion).unwrap();
    for (key, value) in listed.as_object().unwrap() {
        assert_eq!(&shown[key], value, "`show` and `trials` differ in `{key}`");
    }
    assert_eq!(shown["files"][0]["path"], "knobs.toml");
    let output = &shown["replicates"][0]["result"]["units"][0]["output"];
    assert!(output.as_str().unwrap().starts_with("training under seed "), "{output}");
    assert!(say("show study champion").out.contains(champion));

    let diff = say("diff study baseline champion").out;
    assert!(diff.contains("--- a/knobs.toml\n+++ b/knobs.toml\n"), "{diff}");
    assert_eq!(say("export study --patch -").out, diff);
    assert_eq!(say("diff study t0 champion --json").json()[0]["diff"], diff);
    let lineage = say("lineage study --json").json();
    assert_eq!(lineage.len(), trials.len());
    assert!(say("lineage study").out.contains(champion));

    let verification = say("verify study --json").json().remove(0);
    holds(&verification, contract::VERIFICATION);
    assert_eq!(verification["ok"], true);
    assert_eq!(verification["events"], json!(events.len()));
    assert_eq!(verification["faults"], json!([]));

    say("report study");
    let page = std::fs::read_to_string(home.path().join("study/report.html")).unwrap();
    assert!(page.to_lowercase().starts_with("<!doctype html>"));
    assert!(say("report study --md -o -").out.starts_with("# tiny: study report\n"));
    let report = say("report study --json").json().remove(0);
    assert_eq!(report["status"]["champion"]["trial"], champion);
    assert!(report["keeps"][0]["diff"].as_str().unwrap().contains("+++ b/knobs.toml"));

    // Followed from a pipe: every event, and the summary.
    let followed = say("watch study --json").json();
    assert_eq!(followed[..events.len()], events[..]);
    assert_eq!(followed[events.len()]["event"], "study_summary");
    let lines = say("watch study");
    assert!(lines.talk.contains("no terminal"), "{}", lines.talk);
    assert_eq!(lines.out, say("status study").out);

    // It is over: the same command has nothing to add.
    let again = say(&format!("{run} 12")).json();
    let called: Vec<_> = again.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(called, ["session_started", "study_summary"]);
    events.push(again[0].clone());

    // What was asked of a study at rest waits for its next session; the same command goes on from where it was.
    let noted = home.say(["note", "study", "look at the rate", "--json"]).unwrap();
    assert_eq!(noted.json()[0]["answered"], false);
    let more = say(&format!("{run} 14")).json();
    assert_eq!(more[0]["event"], "session_started");
    assert_eq!(more[0]["seq"], json!(events.len() + 1));
    assert!(more.iter().any(|event| event["text"] == "look at the rate"));
    assert_eq!(more.last().unwrap()["trials"], 14);
    let fixed = |trial: &Value| json!([trial["trial"], trial["commit"], trial["outcome"]]);
    let after = say("trials study --json").json();
    let (was, is): (Vec<_>, Vec<_>) =
        (trials.iter().map(fixed).collect(), after.iter().map(fixed).collect());
    assert_eq!(is[..was.len()], was);
    assert_eq!(say("verify study --json").json()[0]["ok"], true);
}

#[test]
fn a_recipe_without_anything_to_try_ends_its_study_once() {
    let home = home();
    let recipe = home.path().join("task/recipe");
    let train = "echo 'rate = 0.2\nwidth = 12\ndecay = 0.5' > \"$EMPIRIC_OUT/model.toml\"\n";
    std::fs::write(recipe.join("train.sh"), train).unwrap();
    std::fs::remove_file(recipe.join("knobs.toml")).unwrap();
    let run = || home.start(words("run task --study study --json")).unwrap().end().unwrap();
    let first = run();
    assert_eq!(first.code, Some(0), "{}", first.talk);
    let summary = first.events.last().unwrap();
    assert_eq!(summary["state"], "finished");
    assert!(summary["outcomes"]["failed"]["no_proposal"].as_u64().unwrap() > 0, "{summary:#}");
    let second = run();
    assert_eq!((second.code, second.events.len()), (Some(0), 2), "{:#?}", second.events);
}

#[test]
fn a_champion_becomes_a_branch_of_the_repository_that_holds_the_recipe() {
    let home = home();
    let task = home.path().join("task");
    git(&task, "init --quiet");
    git(&task, "add .");
    git(&task, "-c user.name=a -c user.email=a@b commit --quiet --message before");
    let run = home.say(words("run task --study study --slots 1 --trials 8 --json")).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.talk);
    let patch = home.say(words("export study --patch -")).unwrap().out;

    let export = home.say(words("export study --branch better --json")).unwrap();
    assert_eq!(export.code, Some(0), "{}", export.talk);
    assert_eq!(git(&task, "rev-parse better").trim(), export.json()[0]["commit"]);
    let changed = |text: &str| -> Vec<String> {
        let line = |line: &&str| line.starts_with(['+', '-']) && !line.contains("knobs.toml");
        text.lines().filter(line).map(str::to_owned).collect()
    };
    let branch = git(&task, "diff HEAD better");
    assert!(branch.contains("recipe/knobs.toml"), "{branch}");
    assert_eq!(changed(&branch), changed(&patch));
    assert_eq!(git(&task, "status --porcelain"), "");

    let again = home.say(words("export study --branch better")).unwrap();
    assert_ne!(again.code, Some(0), "an existing branch was replaced without --force");
}

fn git(dir: &Path, line: &str) -> String {
    let output = Command::new("git").args(words(line)).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "git {line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_check_tries_edits_whose_outcome_is_known() {
    let home = home();
    let said = home.say(words("check task --json")).unwrap();
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.talk);
    let check = said.json().remove(0);
    holds(&check, contract::CHECK);
    assert_eq!(check["ok"], true);
    let canaries = check["canaries"].as_array().unwrap();
    assert!(!canaries.is_empty());
    canaries.iter().for_each(|canary| holds(canary, contract::CANARY));
    assert!(check["noise_sd"].as_f64().unwrap() > 0.0);
}
