//! What other processes ask of a study while it runs.

use empiric_testkit::tasks::{TRAIN, patch};

use crate::{
    contract::{self, holds},
    home, words,
};

const RUN: &str = "run task --study study --slots 1 --trials 100000 --json";

#[test]
fn a_running_study_is_paused_resumed_given_trials_and_notes_and_stopped() {
    let home = home();
    let say = |line: &str| {
        let said = home.say(words(line)).unwrap();
        assert_eq!(said.code, Some(0), "`empiric {line}` says: {}", said.talk);
        said.json().remove(0)
    };
    let session = home.start(words(RUN)).unwrap();
    session.until("concluded").unwrap();

    // One process at a time.
    let second = home.say(words(RUN)).unwrap();
    assert_eq!((second.code, &second.out[..]), (Some(4), ""));
    let error = serde_json::from_str(second.talk.lines().last().unwrap()).unwrap();
    holds(&error, contract::ERROR);
    assert_eq!(error["kind"], "study");

    assert_eq!(say("pause study --json")["answered"], true);
    session.until("paused").unwrap();
    assert_eq!(say("status study --json")["state"], "paused");
    let edit = patch("train.sh", TRAIN, &format!("{TRAIN}: # no change\n"));
    std::fs::write(home.path().join("edit.patch"), edit).unwrap();
    let submit = "submit study --parent t0 --patch edit.patch --hypothesis same --predict 0 --json";
    let waiting = home.say(words(&format!("{submit} --wait"))).unwrap();
    assert_eq!(waiting.code, Some(4), "waited for a study that is paused: {}", waiting.talk);
    assert_eq!(say("resume study --json")["answered"], true);
    session.until("resumed").unwrap();

    let edit = patch("train.sh", TRAIN, &format!("{TRAIN}: # nor here\n"));
    std::fs::write(home.path().join("edit.patch"), edit).unwrap();
    let row = say(&format!("{submit} --by somebody --wait"));
    holds(&row, contract::TRIAL);
    assert_eq!(row["outcome"]["kind"], "valid", "{row:#}");
    assert_eq!(row["proposer"], "somebody");
    assert_eq!(row["parents"], serde_json::json!(["t0"]));
    assert_eq!(row["hypothesis"], "same");
    assert_eq!(row["prediction"]["direction"], "unchanged");
    assert_ne!(row["outcome"]["verdict"], "keep");

    assert_eq!(say("note study hello --json")["answered"], true);
    assert_eq!(session.until("noted").unwrap()["text"], "hello");
    assert_eq!(say("stop study --json")["answered"], true);
    let ended = session.end().unwrap();
    assert_eq!(ended.code, Some(130), "{}", ended.talk);
    let summary = ended.events.last().unwrap();
    assert_eq!(
        (&summary["event"], &summary["state"]),
        (&"study_summary".into(), &"stopped".into())
    );
    assert_eq!(say("verify study --json")["ok"], true);

    // Nobody is at work any more: there is nothing to stop, and what is handed in is measured by who waits for it.
    assert_eq!(home.say(words("stop study")).unwrap().code, Some(4));
    let edit = patch("train.sh", TRAIN, &format!("{TRAIN}exit 17\n"));
    std::fs::write(home.path().join("edit.patch"), edit).unwrap();
    let row = say(&format!("{submit} --wait"));
    assert_eq!(row["outcome"]["cause"], "exception", "{row:#}");
    assert_eq!(say("verify study --json")["ok"], true);
}

#[test]
fn trials_are_pinned_and_measured_once_more_by_hand_and_the_ledger_says_by_whom() {
    let home = home();
    let say = |line: &str| {
        let said = home.say(words(line)).unwrap();
        assert_eq!(said.code, Some(0), "`empiric {line}` says: {}", said.talk);
        said.json().remove(0)
    };
    let refused = |code: i32, line: &str, why: &str| {
        let said = home.say(words(line)).unwrap();
        assert_eq!(said.code, Some(code), "`empiric {line}` says: {}", said.talk);
        assert!(said.talk.contains(why), "{}", said.talk);
    };
    let evaluator = home.path().join("task/evaluate.sh");
    let text = std::fs::read_to_string(&evaluator).unwrap();
    let crashes = "grep -q crash \"$EMPIRIC_ARTIFACTS/model.toml\" && exit 1\n";
    std::fs::write(evaluator, format!("{crashes}{text}")).unwrap();
    let session = home.start(words(RUN)).unwrap();
    session.until("concluded").unwrap();
    assert_eq!(say("pin study baseline --json")["answered"], true);
    let pinned = session.until("pinned").unwrap();
    assert_eq!((&pinned["trial"], &pinned["by"]), (&"t0".into(), &"user".into()));
    let asked = session.until("asked").unwrap();
    assert_eq!(asked["ask"]["parents"], serde_json::json!(["t0"]));
    assert_eq!(asked["ask"]["operator"], "draft");
    refused(4, "unpin study t1", "t1 is not pinned");
    refused(4, "requeue study t0", "as often as it needs");
    refused(3, "pin study t9999", "there is no trial `t9999`");
    assert_eq!(say("budget study --trials 90000 --budget 9h --json")["answered"], true);
    let set = session.until("budget_set").unwrap();
    assert_eq!((&set["budget"]["trials"], &set["by"]), (&90_000.into(), &"user".into()));
    assert_eq!(say("stop study --json")["answered"], true);
    assert_eq!(session.end().unwrap().code, Some(130));

    // What makes the evaluator fail may succeed when it is measured again, so that can be asked for, also while nobody is
    // at work.
    let edit =
        patch("train.sh", TRAIN, &format!("{TRAIN}echo crash > \"$EMPIRIC_OUT/model.toml\"\n"));
    std::fs::write(home.path().join("edit.patch"), edit).unwrap();
    let submit = "submit study --parent t0 --patch edit.patch --hypothesis lost --wait --json";
    let lost = say(submit);
    assert_eq!(
        (&lost["outcome"]["blame"], &lost["outcome"]["retryable"]),
        (&"evaluator".into(), &true.into()),
        "{lost:#}"
    );
    let no = lost["trial"].as_str().unwrap();
    assert_eq!(say(&format!("requeue study {no} --json"))["answered"], false);
    // Whoever measures next answers what waits.
    let edit = patch("train.sh", TRAIN, &format!("{TRAIN}: # no change\n"));
    std::fs::write(home.path().join("edit.patch"), edit).unwrap();
    say(submit);
    let said = home.say(words("watch study --json")).unwrap();
    let events = said.json();
    let requeued = events.iter().find(|event| event["event"] == "requeued").unwrap();
    assert_eq!((&requeued["trial"], &requeued["by"]), (&lost["trial"], &"user".into()));
    let rows = home.say(words("trials study --json")).unwrap().json();
    let trees: Vec<_> = rows.iter().filter(|row| row["tree"] == lost["tree"]).collect();
    assert_eq!(trees.len(), 2, "{trees:#?}");
    assert_eq!(trees[1]["hypothesis"], "lost");
    assert_eq!(say("verify study --json")["ok"], true);
}

/// Runs a command on a terminal that then goes away, with the signal of that ignored, as under `nohup`.
const HANG_UP: &str = r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time
pid, terminal = pty.fork()
if pid == 0:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.environ["TERM"] = "xterm"
    os.execv(sys.argv[2], sys.argv[2:])
rows = int(sys.argv[1])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, rows * 3, 0, 0))
os.kill(pid, signal.SIGWINCH)
seen = b""
while (b"tiny" if rows else b"[") not in seen:
    if not select.select([terminal], [], [], 20)[0]:
        os.kill(pid, signal.SIGKILL)
        sys.exit(f"nothing is drawn: {seen}")
    seen += os.read(terminal, 4096)
os.close(terminal)
for _ in range(100):
    if os.waitpid(pid, os.WNOHANG)[0]:
        sys.exit(0)
    time.sleep(0.1)
os.kill(pid, signal.SIGKILL)
sys.exit("it goes on without a terminal")
"#;

#[test]
fn a_view_whose_terminal_went_away_ends() {
    let home = home();
    let made = home.say(words("run task --study study --trials 1 --no-check")).unwrap();
    assert_eq!(made.code, Some(0), "{made:?}");
    // Where there is room nothing can be drawn any more; where there is none, nothing would be.
    for rows in ["24", "0"] {
        let watch = home.command(["watch", "study"]);
        let mut python = std::process::Command::new("python3");
        python.args(["-c", HANG_UP, rows]).arg(watch.get_program()).args(watch.get_args());
        python.current_dir(home.path()).env("HOME", home.path());
        let ended = python.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{rows} rows: {said}");
    }
}
