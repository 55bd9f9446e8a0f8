//! A champion taken apart, and splits that Empiric makes.

use empiric_testkit::{
    Home,
    tasks::{TRAIN, WINNING_KNOBS},
};
use serde_json::Value;

use crate::{home, words};

fn say(home: &Home, line: &str) -> Vec<Value> {
    let said = home.say(words(line)).unwrap();
    assert_eq!(said.code, Some(0), "`empiric {line}` says: {}", said.talk);
    said.json()
}

#[test]
fn a_champion_is_taken_apart_and_taken_home_without_what_it_does_not_need() {
    let home = home();
    say(&home, "run task --study study --slots 1 --arm null --trials 1 --no-check --json");
    let nothing = home.say(words("ablate study")).unwrap();
    assert_eq!(nothing.code, Some(3), "there is no champion yet: {}", nothing.talk);
    // Better knobs, and two lines that do nothing.
    let edited = home.path().join("edited");
    std::fs::create_dir(&edited).unwrap();
    std::fs::write(edited.join("knobs.toml"), WINNING_KNOBS).unwrap();
    std::fs::write(edited.join("train.sh"), format!(": first\n{TRAIN}: last\n")).unwrap();
    let row = say(&home, "submit study --parent t0 --dir edited --hypothesis all --wait --json");
    assert_eq!(row[0]["outcome"]["verdict"], "keep", "{row:#?}");
    let champion = row[0]["trial"].as_str().unwrap();

    let mut events = say(&home, "ablate study --json");
    let found = events.pop().unwrap();
    assert_eq!(found["event"], "ablation_summary");
    assert_eq!((found["champion"].as_str(), found["done"].as_bool()), (Some(champion), Some(true)));
    let standing: Vec<(&str, &str, bool)> = found["hunks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hunk| {
            let word = |key: &str| hunk[key].as_str().unwrap();
            (word("hunk"), word("standing"), hunk["gone"].as_bool().unwrap())
        })
        .collect();
    let expected = [
        ("knobs.toml:1-3", "earns", false),
        ("train.sh:1", "goes", true),
        ("train.sh:4", "goes", true),
    ];
    assert_eq!(standing, expected, "{found:#}");

    // The simplified champion is the study's; the report split was opened for it.
    let status = say(&home, "status study --json").remove(0);
    assert_eq!(status["champion"]["trial"], found["simplified"], "{status:#}");
    assert_eq!(status["champion"]["basis"], "report");
    assert!(status["report_openings"].as_u64().unwrap() >= 1);
    assert_eq!(status["ablation"]["simplified"], found["simplified"]);
    assert_eq!(say(&home, "verify study --json")[0]["ok"], true);

    // Once more there is nothing left to do.
    let again = say(&home, "ablate study --json").pop().unwrap();
    assert_eq!(again, found);
    assert_eq!(say(&home, "status study --json")[0]["trials"], status["trials"]);

    let patch = home.say(words("export study --simplified --patch -")).unwrap().out;
    assert!(patch.contains("+rate = 0.05") && !patch.contains("train.sh"), "{patch}");
    assert_eq!(home.say(words("report study")).unwrap().code, Some(0));
    let page = std::fs::read_to_string(home.path().join("study/report.html")).unwrap();
    assert!(page.contains("earns its place") && page.contains("train.sh:4"));
}

const SPLITS: &str = r#"
[[data]]
path = "data/hidden"
visible = "evaluator"

[splits]
items = "data/hidden/items.csv"
stratify = "kind"

[[objective]]
metric = "artifact_bytes"
goal = "minimize"
"#;

/// Scores every item by itself, and knows no split.
const EVALUATE: &str = r#"[ -f "$EMPIRIC_SPLITS" ] || exit 9
awk -v seed="$EMPIRIC_SEED" '
  $2 == "=" { knob[$1] = $3 }
  END {
    srand(seed)
    printf "{\"scores\": {\"loss\": {"
    for (i = 1; i <= 60; i++) printf "%s\"i%d\": %.6f", (i > 1 ? ", " : ""), i, knob["rate"] + i + rand() / 100
    printf "}}}\n"
  }' "$EMPIRIC_ARTIFACTS/model.toml" > "$EMPIRIC_RESULT"
"#;

#[test]
fn splits_are_made_for_an_evaluator_that_scores_item_by_item() {
    let home = home();
    let task = home.path().join("task");
    let text = std::fs::read_to_string(task.join("task.toml")).unwrap();
    std::fs::write(task.join("task.toml"), format!("{text}{SPLITS}")).unwrap();
    std::fs::create_dir_all(task.join("data/hidden")).unwrap();
    let items: String = (1..=60).map(|i| format!("i{i},{}\n", i % 4)).collect();
    std::fs::write(task.join("data/hidden/items.csv"), format!("id,kind\n{items}")).unwrap();
    std::fs::write(task.join("evaluate.sh"), EVALUATE).unwrap();
    // A recipe is told nothing of them.
    std::fs::write(
        task.join("recipe/train.sh"),
        "[ -z \"$EMPIRIC_SPLITS\" ] || exit 7\n[ ! -e \"$EMPIRIC_DATA/hidden\" ] || exit 8\ncp knobs.toml \"$EMPIRIC_OUT/model.toml\"\n",
    )
    .unwrap();
    say(&home, "run task --study study --slots 1 --trials 2 --no-check --json");
    let baseline = say(&home, "show study t0 --json").remove(0);
    let values = |split: &str| -> Vec<f64> {
        let all = baseline["measurements"].as_array().unwrap().iter();
        all.filter(|m| m["metric"] == "loss" && m["split"] == split)
            .map(|m| m["value"].as_f64().unwrap())
            .collect()
    };
    // Means over a third of the items each: together they are the mean over all.
    let all: f64 = ["search", "select", "report"].iter().map(|split| values(split)[0]).sum();
    assert!((all / 3.0 - 0.2 - 30.5).abs() < 0.02, "{all}");
    assert_ne!(values("search")[0], values("select")[0]);
    let result = &baseline["replicates"][0]["result"];
    assert_eq!(result["items"].as_array().unwrap().len(), 20);
    assert_eq!(
        result["testimony"]["samples"],
        serde_json::json!({"search": 20, "select": 20, "report": 20})
    );

    let front = say(&home, "trials study --pareto --json");
    assert!(!front.is_empty());
    assert_eq!(front[0]["objectives"][1]["metric"], "artifact_bytes");
    let status = say(&home, "status study --json").remove(0);
    assert_eq!(status["pareto"], serde_json::json!(front));
    assert_eq!(say(&home, "verify study --json")[0]["ok"], true);
}
