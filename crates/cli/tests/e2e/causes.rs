//! Every cause of failure that an edit, a recipe or an evaluator can bring about, brought about. The table of which test
//! produces which cause is in `xtask/src/walls/causes.rs`.

use std::collections::BTreeMap;

use empiric_core::TrialNo;
use empiric_ledger::{Inbox, Request, Submission};
use empiric_testkit::{
    Home,
    tasks::{TRAIN, patch},
};
use serde_json::Value;

use crate::{bare_home, words};

const TASK: &str = r#"schema = 1
name = "failing"

[recipe]
root = "recipe"
edit = ["train.sh", "*.py"]
max_file_size = "4KiB"

[[stage]]
name = "train"
run = ["sh", "train.sh"]
limits = { wall = "8s", cpu = "500ms", memory = "64MiB", processes = 32, output = "1MiB", disk = "16MiB" }

[evaluator]
run = ["sh", "evaluate.sh"]
limits = { wall = "1s" }

[metric]
name = "loss"
goal = "minimize"

[[gate]]
metric = "size"
max = 100

[[gate]]
metric = "artifact_bytes"
max = 10000
"#;

/// Does what the model says.
const EVALUATE: &str = r#"cd "$EMPIRIC_ARTIFACTS" || exit 1
[ -f model.toml ] || exit 3
grep -q crash model.toml && exit 1
grep -q slow model.toml && sleep 1000
grep -q garbage model.toml && { echo rubbish > "$EMPIRIC_RESULT"; exit 0; }
grep -q other model.toml && { echo '{"metrics": {"loss": 1}}' > "$EMPIRIC_RESULT"; exit 0; }
grep -q nan model.toml && { echo '{"metrics": {"loss": NaN, "size": 1}}' > "$EMPIRIC_RESULT"; exit 0; }
grep -q large model.toml && { echo '{"metrics": {"loss": 1, "size": 101}}' > "$EMPIRIC_RESULT"; exit 0; }
echo '{"metrics": {"loss": 1, "size": 1}}' > "$EMPIRIC_RESULT"
"#;

/// What is appended to the recipe's program, and the cause that must follow.
const RECIPES: [(&str, &str); 16] = [
    ("exception", "exit 9"),
    ("signal", "kill -SEGV $$"),
    ("out_of_memory", "tail -n 1 /dev/zero"),
    ("wall_limit", "sleep 1000000"),
    ("cpu_limit", "while :; do :; done"),
    ("output_flood", "head -c 10000000 /dev/zero"),
    ("disk_limit", "head -c 100000000 /dev/zero > \"$EMPIRIC_OUT/large\""),
    ("process_limit", "for i in $(seq 64); do sleep 20 & done; wait"),
    // A call of the kernel as 32-bit programs make it.
    (
        "denied",
        "exec python3 -c 'import ctypes, mmap; m = mmap.mmap(-1, 4096, prot=7); m.write(bytes.fromhex(\"b814000000cd80c3\")); \
         ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()'",
    ),
    ("bad_artifact", "rm \"$EMPIRIC_OUT/model.toml\""),
    ("artifact_too_large", "head -c 20000 /dev/zero > \"$EMPIRIC_OUT/large\""),
    ("evaluator_crash", "echo crash > \"$EMPIRIC_OUT/model.toml\""),
    ("evaluator_limit", "echo slow > \"$EMPIRIC_OUT/model.toml\""),
    ("malformed_result", "echo garbage > \"$EMPIRIC_OUT/model.toml\""),
    ("metric_missing", "echo other > \"$EMPIRIC_OUT/model.toml\""),
    ("non_finite_metric", "echo nan > \"$EMPIRIC_OUT/model.toml\""),
];

/// A study of the failing task whose baseline is measured.
fn studied() -> Home {
    let home = bare_home();
    let task = home.path().join("task");
    std::fs::create_dir_all(task.join("recipe")).unwrap();
    for (file, text) in [
        ("task.toml", TASK),
        ("evaluate.sh", EVALUATE),
        ("recipe/train.sh", TRAIN),
        ("recipe/knobs.toml", "rate = 1\n"),
        ("recipe/notes.py", "x = 1\n"),
    ] {
        std::fs::write(task.join(file), text).unwrap();
    }
    let said = home.say(words("run task --study study --trials 0 --slots 2 --no-check")).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.talk);
    home
}

/// What becomes of an edit in words, as a trial's row.
fn submitted(home: &Home, how: &str, text: &str) -> Value {
    std::fs::write(home.path().join("edit"), text).unwrap();
    let line = format!("submit study --parent t0 {how} edit --hypothesis x --wait --json");
    let said = home.say(words(&line)).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.talk);
    said.json().remove(0)
}

#[track_caller]
fn fails(row: &Value, cause: &str) {
    assert_eq!(row["outcome"]["cause"], cause, "{:#}", row["outcome"]);
    let signature = row["outcome"]["signature"]["text"].as_str().unwrap();
    assert!(signature.starts_with(cause), "{signature}");
}

#[test]
fn each_way_to_fail_as_it_runs_is_told_apart() {
    let home = studied();
    for (cause, does) in RECIPES {
        let row =
            submitted(&home, "--patch", &patch("train.sh", TRAIN, &format!("{TRAIN}{does}\n")));
        fails(&row, cause);
    }
    let row = submitted(
        &home,
        "--patch",
        &patch("train.sh", TRAIN, &format!("{TRAIN}echo large > \"$EMPIRIC_OUT/model.toml\"\n")),
    );
    fails(&row, "gate_miss");
    assert_eq!(row["outcome"]["margin"], -1.0);
    let status = home.say(words("status study --json")).unwrap().json().remove(0);
    assert_eq!(status["failures"].as_array().unwrap().len(), RECIPES.len() + 1, "{status:#}");
}

#[test]
fn each_way_to_be_refused_is_told_apart() {
    let home = studied();
    let block = |path: &str, search: &str, replace: &str| {
        format!("{path}\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n")
    };
    let first = TRAIN.lines().next().unwrap();
    let changed = block("train.sh", &format!("{first}\n"), &format!("{first}\nexit 9\n"));
    fails(&submitted(&home, "--edits", &changed), "exception");
    for (cause, edits) in [
        ("duplicate_tree", changed),
        ("protected_path", block("knobs.toml", "rate = 1\n", "rate = 2\n")),
        (
            "forbidden_file",
            block("train.sh", &format!("{first}\n"), &format!("{}\n", "# x".repeat(2000))),
        ),
        ("syntax", block("new.py", "", "def f(:\n")),
    ] {
        fails(&submitted(&home, "--edits", &edits), cause);
    }
    let said = home.say(words("submit study --parent t0 --edits edit --hypothesis x")).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.talk);
    std::fs::write(home.path().join("edit"), block("train.sh", "nowhere\n", "")).unwrap();
    let said = home.say(words("submit study --parent t0 --edits edit --hypothesis x")).unwrap();
    assert_eq!(said.code, Some(3));
    assert!(said.talk.contains("its lines are not in the file"), "{}", said.talk);

    // What `submit` itself would not hand in.
    let inbox = Inbox::of(&home.path().join("study"));
    for files in [
        BTreeMap::from([("nowhere.py".to_owned(), None)]),
        BTreeMap::from([("train.sh".to_owned(), Some(TRAIN.to_owned()))]),
    ] {
        let submission = Submission {
            files,
            parents: vec![TrialNo::BASELINE],
            hypothesis: "x".to_owned(),
            prediction: None,
        };
        inbox.post("user", Request::Submit { submission }, jiff::Timestamp::UNIX_EPOCH).unwrap();
    }
    let last = submitted(&home, "--edits", &block("train.sh", &format!("{first}\n"), "exit 8\n"));
    fails(&last, "exception");
    for cause in ["patch_does_not_apply", "empty_edit"] {
        let found =
            home.say(words(&format!("trials study --outcome {cause} --json"))).unwrap().json();
        assert_eq!(found.len(), 1, "{cause}");
        fails(&found[0], cause);
    }
}
