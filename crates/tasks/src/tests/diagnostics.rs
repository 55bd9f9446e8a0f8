//! What is said about each fault, and which line it points at.

use std::time::Duration;

use empiric_core::{
    Bound, Goal, Provenance,
    task::{Limits, Visible},
};

use super::{Fixture, GOOD, told};
use crate::{Quick, quick, schema};

/// What is said after `old` was replaced by `new` in the good file.
#[track_caller]
fn after(old: &str, new: &str) -> Vec<String> {
    assert!(GOOD.contains(old), "`{old}` is not in the good file");
    told(&Fixture::new(&GOOD.replacen(old, new, 1)).load().expect_err("a diagnostic"))
}

#[track_caller]
fn expect(old: &str, new: &str, problems: &[&str]) {
    assert_eq!(after(old, new), problems);
}

#[test]
fn a_good_file_says_what_it_means() {
    let fixture = Fixture::new(GOOD);
    let loaded = fixture.good();
    let task = &loaded.task;
    assert_eq!(task.name, "golf");
    assert_eq!(task.recipe.root, "recipe");
    assert_eq!(task.recipe.edit, ["*.py", "!fixed.py"]);
    assert_eq!(task.recipe.max_file_bytes, 1 << 20);
    assert_eq!(
        task.stages[0].command.limits,
        Limits { wall_s: 90.0, memory: Some(1 << 30), ..Limits::default() }
    );
    assert_eq!(task.data[1].visible, Visible::Evaluator);
    assert_eq!((task.metric.goal, task.provenance()), (Goal::Minimize, Provenance::Evaluator));
    assert_eq!(task.gates[0].bound, Bound::Max(5.0));
    assert_eq!(loaded.recipe_dir, loaded.root.join("recipe"));
    assert_eq!(loaded.trusted, ["evaluate.py", "task.toml"]);
    assert_eq!(loaded.prepare_wall, Duration::from_secs(600));
}

#[test]
fn trusted_files_are_watched_and_others_are_not() {
    let fixture = Fixture::new(GOOD);
    let loaded = fixture.good();
    fixture.write("recipe/train.py", "class Model: 1\n");
    fixture.write("data/hidden/a", "other");
    fixture.write("__pycache__/evaluate.pyc", "");
    assert_eq!(fixture.good().source_digest, loaded.source_digest);
    assert_eq!(loaded.current_digest().unwrap(), loaded.source_digest);
    fixture.write("evaluate.py", "print()");
    assert_ne!(loaded.current_digest().unwrap(), loaded.source_digest);
    assert_ne!(fixture.good().source_digest, loaded.source_digest);
}

#[test]
fn keys() {
    expect(
        "owns = [",
        "own = [",
        &[
            "7: `owns` of `surface` is missing | add `owns = [\"model.py\"]`",
            "9: unknown key `own` in `surface` | did you mean `owns`?",
        ],
    );
    expect(
        "[metric]",
        "[metrics]",
        &[
            "0: `metric` is missing | add `[metric]`",
            "21: unknown key `metrics` | did you mean `metric`?",
        ],
    );
    expect(
        "summary",
        "zebra",
        &[
            "3: unknown key `zebra` | the keys here are artifact, data, environment, evaluator, gate, metric, name, \
         objective, plausible, predictor, prepare, recipe, sandbox, schema, splits, stage, summary and surface",
        ],
    );
    expect("schema = 1\n", "", &["0: `schema` is missing | add `schema = 1`"]);
    expect(
        "schema = 1",
        "schema = 2",
        &["1: schema 2 is not known | write `schema = 1`, or use a newer Empiric"],
    );
    expect("name = \"golf\"", "name = \"a b\"", &["2: `a b` cannot be a name | -"]);
    expect("schema = 1", "schema = = 1", &["1: extra `=`, expected nothing | -"]);
}

#[test]
fn types_and_units() {
    expect(
        "\"1m30s\"",
        "20",
        &["18: `stage.limits.wall` must be a duration, not a bare number | write `wall = \"60s\"`"],
    );
    expect(
        "\"1m30s\"",
        "\"20\"",
        &[
            "18: `stage.limits.wall`: `20` has no unit; write such as \"20s\", \"5m\" or \"1h30m\" | -",
        ],
    );
    expect(
        "\"1m30s\"",
        "\"5 parsecs\"",
        &["18: `stage.limits.wall`: `parsecs` is not a unit of time; use ms, s, m, h or d | -"],
    );
    expect(
        "\"1GiB\"",
        "1024",
        &[
            "18: `stage.limits.memory` must be a size, not a bare number | write `memory = \"2GiB\"`",
        ],
    );
    expect(
        "\"1m30s\"",
        "\"0s\"",
        &["18: limit `wall` must be more than zero and less than a century | -"],
    );
    expect(
        "[\"python\", \"train.py\"]",
        "\"python train.py\"",
        &[
            "17: `stage.run` must be an array of strings, not a string | write `run = [\"python\", \"train.py\"]`",
        ],
    );
    expect(
        "[[stage]]",
        "[stage]",
        &["15: `stage` must be an array of tables, not a table | write `[[stage]]` above each one"],
    );
    expect(
        "[[stage]]\nname = \"train\"\nrun = [\"python\", \"train.py\"]",
        "[predictor]\nrun = [\"true\"]",
        &[
            "0: the task has no stage, so nothing would run | add `[[stage]]` with `name = \"train\"` and `run = [\"python\", \"train.py\"]`",
            "24: `train.cpu_seconds` is measured of a stage, and no stage is called `train` | declare it by `[[stage]]`",
        ],
    );
    expect(
        "memory = \"1GiB\"",
        "gpus = -1",
        &["18: `stage.limits.gpus` must be a whole number from 0 to 4294967295 | -"],
    );
    expect(
        "visible = \"evaluator\"",
        "visible = \"evaluators\"",
        &["14: `data.visible` cannot be `evaluators` | did you mean `evaluator`?"],
    );
}

#[test]
fn metrics_and_gates() {
    expect(
        "goal = \"minimize\"\n",
        "",
        &["21: `goal` of `metric` is missing | add `goal = \"minimize\"` or `goal = \"maximize\"`"],
    );
    expect(
        "\"minimize\"",
        "\"smaller\"",
        &["23: `metric.goal` cannot be `smaller` | write minimize or maximize"],
    );
    expect(
        "max = 5",
        "",
        &[
            "25: the gate on `train.cpu_seconds` has neither `min` nor `max` | add `max = ...` or `min = ...`",
        ],
    );
    expect(
        "max = 5",
        "max = 5\nmin = 1",
        &[
            "26: the gate on `train.cpu_seconds` has both `min` and `max` | write two gates, one for each bound",
        ],
    );
    expect("max = 5", "max = nan", &["26: the bound on `train.cpu_seconds` must be finite | -"]);
    expect(
        "train.cpu_seconds",
        "tran.cpu_seconds",
        &[
            "25: `tran.cpu_seconds` is measured of a stage, and no stage is called `tran` | did you mean `train`?",
        ],
    );
    expect(
        "train.cpu_seconds",
        "train.cpu_second",
        &["25: `cpu_second` is not measured of stages | did you mean `cpu_seconds`?"],
    );
    expect(
        "train.cpu_seconds",
        "artefact_bytes",
        &["25: metric `artefact_bytes` is not known | did you mean `artifact_bytes`?"],
    );
    expect(
        "goal = \"minimize\"",
        "goal = \"minimize\"\npattern = \"x([0-9]+)\"",
        &[
            "24: `metric.pattern` has no effect beside `[evaluator]` | the evaluator's result names its metrics; remove \
         one of the two",
        ],
    );
    let quick = |pattern: &str| {
        let text = GOOD.replace("[evaluator]\nrun = [\"python\", \"evaluate.py\"]\n", "");
        let text = text
            .replace("goal = \"minimize\"", &format!("goal = \"minimize\"\npattern = '{pattern}'"));
        told(&Fixture::new(&text).load().unwrap_err())
    };
    let help = "put parentheses around the value and nothing else: `loss is ([0-9.]+)`; `(?:...)` only groups";
    assert_eq!(
        quick("loss (.*"),
        [format!("22: the pattern is not a regular expression: unclosed group | {help}")]
    );
    assert_eq!(quick("loss"), [format!("22: the pattern has 0 groups instead of one | {help}")]);
}

#[test]
fn commands_and_stages() {
    expect(
        "[\"python\", \"train.py\"]",
        "[]",
        &[
            "17: the command is empty | write the program and its arguments, such as `run = [\"python\", \"train.py\"]`",
        ],
    );
    expect(
        "[\"python\", \"train.py\"]",
        "[\"python\", \"trian.py\"]",
        &["17: file `trian.py` does not exist in `recipe` | did you mean `train.py`?"],
    );
    expect(
        "\"evaluate.py\"",
        "\"score.py\"",
        &["20: file `score.py` does not exist in the task's directory | -"],
    );
    expect(
        "[evaluator]",
        "[[stage]]\nname = \"train\"\nrun = [\"true\"]\n[evaluator]",
        &[
            "20: stage `train` is declared twice | give it another name; metrics are called after stages",
        ],
    );
    expect(
        "[evaluator]",
        "[[stage]]\nname = \"predictor\"\nrun = [\"true\"]\n[evaluator]",
        &[
            "20: no stage can be called `predictor` | use `[predictor]` for that command, or another name",
        ],
    );
    expect(
        "\"evaluate.py\"",
        "\"recipe/train.py\"",
        &[
            "20: proposers may edit the evaluator's `recipe/train.py` | name it in `recipe.protect`, or move it out of the \
         recipe",
        ],
    );
}

#[test]
fn globs_and_surfaces() {
    expect(
        "\"*.py\"",
        "\"tra[in.py\"",
        &[
            "5: `tra[in.py` is not a glob: unclosed character class; missing ']' | -",
            "9: `train.py` may not be edited, so no surface can own it | add it to `recipe.edit`, or take it from the surface",
        ],
    );
    expect(
        "[\"*.py\"]",
        "[\"*.py\", \"lib\"]",
        &["5: glob `lib` matches no file of the recipe | for everything below it: `lib/**`"],
    );
    expect(
        "[\"*.py\"]",
        "[\"*.py\", \"*.rs\"]",
        &[
            "5: glob `*.rs` matches no file of the recipe | the recipe has fixed.py, lib/deep.py, train.py",
        ],
    );
    expect(
        "\"fixed.py\"",
        "\"../fixed.py\"",
        &[
            "6: glob `../fixed.py` must be relative to the recipe | to take files away from `edit`, name them in `protect`",
        ],
    );
    expect(
        "train.py#Model",
        "trian.py",
        &["9: `trian.py` matches no file of the recipe | did you mean `train.py`?"],
    );
    expect(
        "train.py#Model",
        "fixed.py",
        &[
            "9: `fixed.py` may not be edited, so no surface can own it | add it to `recipe.edit`, or take it from the surface",
        ],
    );
    expect(
        "train.py#Model",
        "train.py#Modle",
        &[
            "9: `train.py` has no symbol `Modle` | write one file and a name defined in it, such as `train.py#Model`",
        ],
    );
    expect(
        "[recipe]",
        "[recipe]\nroot = \"reciep\"",
        &[
            "5: recipe root `reciep` is not a directory | put the code to improve there, or set `recipe.root`",
        ],
    );
    expect(
        "[recipe]",
        "[recipe]\nroot = \"../x\"",
        &["5: recipe root `../x` is not below the task's directory | -"],
    );
    expect("[recipe]", "[recipe]\nrev = \"main\"", &["5: `recipe.rev` needs `git` | -"]);
}

#[test]
fn environment_and_data() {
    expect(
        "[[data]]",
        "[environment]\npython = \"three\"\nrequirements = \"req.txt\"\n[[data]]",
        &[
            "11: `three` is not a version of Python; write it like \">=3.10\" or \">=3.10,<3.14\" | -",
            "12: requirements file `req.txt` does not exist in the task's directory | -",
        ],
    );
    expect(
        "[[data]]",
        "[environment]\nvars = { EMPIRIC_SEED = \"1\" }\n[[data]]",
        &["11: variable `EMPIRIC_SEED` cannot be set | -"],
    );
    expect(
        "data/public",
        "data/none",
        &[
            "11: data `data/none` does not exist | create it, or add `[prepare]` with a command that makes it",
        ],
    );
    expect(
        "data/public",
        "/data",
        &[
            "11: data path `/data` is not below the task's directory | keep data inside the task, or link to it from there",
        ],
    );
    expect(
        "\"data/public\"",
        "\"data\"",
        &[
            "13: hidden and visible data overlap: `data/hidden` and `data` | name directories of which neither lies inside \
         the other",
        ],
    );
    expect(
        "\"data/hidden\"",
        "\"recipe/lib\"",
        &[
            "13: hidden data `recipe/lib` lies inside the recipe, which can read it | move it out of the recipe's directory",
        ],
    );
    expect(
        "[[data]]\npath = \"data/public\"",
        "[prepare]\nrun = [\"true\"]\n[[data]]\npath = \"public\"",
        &[
            "13: `[prepare]` cannot make `public` | it writes below $EMPIRIC_DATA, which `data/` stands for: `path = \
         \"data/public\"`",
        ],
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let text = GOOD
        .replace("\"1GiB\"", "\"1\"")
        .replace("summary", "sumary")
        .replace("\"*.py\"", "\"*.rs\"");
    let lines: Vec<_> =
        Fixture::new(&text).load().unwrap_err().iter().map(|p| p.position().unwrap().0).collect();
    assert_eq!(lines, [3, 5, 9, 18]);
}

#[test]
fn the_span_covers_the_fault() {
    let problems = Fixture::new(&GOOD.replace("summary", "sumary")).load().unwrap_err();
    let problem = &problems[0];
    assert_eq!(&problem.source[problem.span.clone().unwrap()], "sumary");
    assert!(
        problem
            .to_string()
            .ends_with("task.toml:3:1: unknown key `sumary`; did you mean `summary`?")
    );
}

#[test]
fn a_missing_file_is_named() {
    let fixture = Fixture::new(GOOD);
    let problems = crate::load(&fixture.root().join("recipe"), &fixture.host).unwrap_err();
    assert!(
        problems[0].message.starts_with("cannot read the task: failed to open file"),
        "{problems:?}"
    );
}

#[test]
fn whole_directory_as_recipe() {
    let text = "schema = 1\nname = \"flat\"\n[recipe]\nroot = \".\"\nedit = [\"*.py\"]\nprotect = [\"evaluate.py\"]\n\
                [[stage]]\nname = \"train\"\nrun = [\"./bench.sh\"]\n[evaluator]\nrun = [\"python\", \"evaluate.py\"]\n\
                [metric]\nname = \"x\"\ngoal = \"maximize\"\n";
    let fixture = Fixture::new(text);
    fixture.write("bench.sh", "");
    fixture.write("main.py", "");
    let loaded = fixture.good();
    assert!(
        loaded.trusted.contains(&"evaluate.py".to_owned())
            && loaded.trusted.contains(&"bench.sh".to_owned())
    );
    assert!(!loaded.trusted.contains(&"main.py".to_owned()));
}

#[test]
fn a_quick_start_is_self_reported() {
    let fixture = Fixture::new(GOOD);
    let mut asked = Quick {
        dir: fixture.root().join("recipe"),
        edit: vec!["**/*.py".to_owned()],
        eval: "python train.py --name 'a b'".to_owned(),
        metric: "loss:min".to_owned(),
        pattern: None,
        name: None,
        limits: Limits { wall_s: 7.0, ..Limits::default() },
    };
    let loaded = quick(&asked, &fixture.host).unwrap();
    let task = &loaded.task;
    assert_eq!(
        (task.name.as_str(), task.metric.goal, task.provenance()),
        ("recipe", Goal::Minimize, Provenance::Recipe)
    );
    assert_eq!(task.stages[0].command.run, ["python", "train.py", "--name", "a b"]);
    assert_eq!((task.stages[0].command.limits.wall_s, task.recipe.writable), (7.0, true));
    assert_eq!(loaded.recipe_dir, loaded.root);

    asked.eval = "FAST=1 ./bench.sh | tail -1".to_owned();
    assert_eq!(
        quick(&asked, &fixture.host).unwrap().task.stages[0].command.run,
        ["sh", "-c", &asked.eval]
    );

    asked.metric = "loss".to_owned();
    asked.eval = "no-such-program 'x".to_owned();
    assert_eq!(
        told(&quick(&asked, &fixture.host).unwrap_err()),
        [
            "0: metric `loss` does not say which way is better | write `loss:min` or `loss:max`",
            "0: command `no-such-program 'x` has a quote that does not end | -",
        ]
    );
    asked.metric = "loss:down".to_owned();
    asked.eval = "train.py".to_owned();
    assert_eq!(
        told(&quick(&asked, &fixture.host).unwrap_err()),
        [
            "0: metric `loss:down`: `down` is not a direction | write `loss:min` or `loss:max`",
            "0: no program `train.py` on PATH | for the file in the directory write `./train.py`",
        ]
    );
    asked.metric = "loss:max".to_owned();
    asked.eval = "./none.sh".to_owned();
    asked.edit = vec!["src/**".to_owned()];
    asked.pattern = Some("loss".to_owned());
    let said = told(&quick(&asked, &fixture.host).unwrap_err());
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said.iter().any(|line| line.starts_with("0: glob `src/**` matches no file")));
}

#[test]
fn bundled_tasks_load() {
    let tasks = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tasks");
    for name in ["golf", "digits-speed", "recall"] {
        let file = tasks.join(name).join(crate::FILE);
        if file.exists() {
            let host = Fixture::new(GOOD).host;
            let loaded =
                crate::load(&file, &host).unwrap_or_else(|problems| panic!("{problems:#?}"));
            assert_eq!(loaded.task.name, name);
        }
    }
}

#[test]
fn the_schema_describes_every_key() {
    fn described(schema: &serde_json::Value, path: &str) {
        for (key, field) in schema["properties"].as_object().into_iter().flatten() {
            assert!(field["description"].is_string(), "{path}.{key}");
            described(field, key);
            described(&field["items"], key);
        }
    }
    described(&schema(), "");
    assert!(!schema().to_string().contains("null"));
}

/// What is said of a file that has these lines at its end.
#[track_caller]
fn ending(text: &str) -> Vec<String> {
    let fixture = Fixture::new(&format!("{GOOD}{text}"));
    told(&fixture.load().expect_err("a diagnostic"))
}

#[test]
fn splits_are_of_items_that_nobody_sees_and_dealt_in_one_way() {
    let fixture =
        Fixture::new(&format!("{GOOD}[splits]\nitems = \"data/hidden/items.csv\"\nselect = 2\n"));
    let splits = fixture.good().task.splits.unwrap();
    assert_eq!((splits.id.as_str(), splits.weights), ("id", [1.0, 2.0, 1.0]));
    let problems = ending(
        "[splits]\nitems = \"data/public/items.csv\"\nsearch = 0\ntime = \"day\"\nstratify = \"label\"\n",
    );
    assert_eq!(
        problems,
        [
            "28: `data/public/items.csv` lies in no data of the evaluator's alone | put it below a `[[data]]` with `visible = \"evaluator\"`: who knows the table knows the splits",
            "29: 0 is no share | -",
            "31: `stratify` has no effect beside `time` | remove one of the two",
        ]
    );
}

#[test]
fn objectives_are_named_once() {
    let more = "[[objective]]\nmetric = \"artifact_bytes\"\ngoal = \"minimize\"\n";
    let task = Fixture::new(&format!("{GOOD}{more}")).good().task;
    let names: Vec<&str> = task.all_objectives().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["bpb", "artifact_bytes"]);
    assert_eq!(
        ending(&more.replace("artifact_bytes", "bpb")),
        [
            "28: `bpb` is an objective already | the metric is the first objective; `[[objective]]` names others"
        ]
    );
}
