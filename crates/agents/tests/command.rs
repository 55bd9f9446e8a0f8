//! Command-line agents in the sandbox, at the metering proxy, with the model server of the testkit for a mind.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test says what broke by panicking, and what it skips"
)]

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use empiric_agents::{
    Brake, Brief, Changes, CommandAgent, CommandOptions, Driver, Errands, Files, Halt, Held,
    Proposer, Rehearsed, SourceError, Sources, Unserved,
};
use empiric_core::{Ask, Blame, Cause, Failure, Insight, Money, Operator, Sketch, TrialNo};
use empiric_llm::{Caps, Catalogue, Dialect, Limits, Proxy, ProxyOptions, Purse, Scope, Timeouts};
use empiric_sandbox::{Level, probe};
use empiric_testkit::{
    model::{Asked, Fault, ModelServer, Said, Say, Script},
    story::{Story, task},
};
use serde_json::json;

const KEY: &str = "sk-real-5f4e3d2c";

/// A program of this crate's examples, which cargo builds with the tests.
fn example(name: &str) -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    deps.parent().unwrap().parent().unwrap().join("examples").join(name)
}

struct Trees;

impl Sources for Trees {
    fn files(&self, _: TrialNo) -> Result<Files, SourceError> {
        let files = [("model.py", "WIDTH = 4\n"), ("train.py", "import model\n")];
        Ok(files.into_iter().map(|(path, text)| (path.to_owned(), Arc::from(text))).collect())
    }

    fn merge(&self, one: TrialNo, _: TrialNo) -> Result<Files, SourceError> {
        self.files(one)
    }
}

struct Kit {
    agent: CommandAgent,
    purse: Purse,
    room: tempfile::TempDir,
    brake: Brake,
}

/// An agent before `url`; none where this machine cannot hold one.
fn kit(url: &str, limits: Limits, wall: Duration) -> Option<Kit> {
    let found = probe();
    if let Err(why) = &found.bwrap {
        eprintln!("SKIPPED: {why}");
        return None;
    }
    let models = format!(
        "[provider.fake]\nwire = \"messages\"\nurl = \"{url}\"\nkey_env = \"KEY\"\n[price]\n\"fake/m\" = {{ input = 1, output = 2 }}\n"
    );
    let catalogue = Catalogue::built_in().unwrap().with(&models, "test").unwrap();
    let keys = catalogue.keys(|name| (name == "KEY").then(|| KEY.to_owned())).unwrap();
    let purse = Purse::new(limits);
    let proxy = Proxy::new(ProxyOptions {
        catalogue,
        keys,
        routes: BTreeMap::from([(Dialect::Messages, "fake".to_owned())]),
        purse: purse.clone(),
        tape: None,
        timeouts: Timeouts::default(),
        most_output: 4_096,
    })
    .unwrap();
    let (room, brake) = (tempfile::tempdir().unwrap(), Brake::default());
    let agent = CommandAgent::new(CommandOptions {
        name: "claude".into(),
        driver: Driver::Claude,
        held: Held {
            program: example("agent"),
            see: Vec::new(),
            exe: example("agent-unit"),
            level: Level::Bwrap,
            cgroup: found.cgroup,
            limits: empiric_sandbox::Limits { wall, ..Held::limits() },
        },
        model: Some("m".into()),
        room: room.path().join("agents"),
        proxy: Arc::new(proxy),
        arm: "agents".into(),
        seed: 1,
        brake: brake.clone(),
    })
    .unwrap();
    Some(Kit { agent, purse, room, brake })
}

/// Does nothing, and remembers why no proposal could be made.
#[derive(Default)]
struct Halts(Mutex<Vec<Halt>>);

impl Errands for Halts {
    fn check(&self, no: TrialNo, changes: &Changes, surface: Option<&str>) -> Result<(), Failure> {
        Unserved.check(no, changes, surface)
    }

    fn rehearse(&self, parent: TrialNo, changes: &Changes) -> Result<Rehearsed, String> {
        Unserved.rehearse(parent, changes)
    }

    fn fetch(&self, url: &str, hosts: &[String]) -> Result<String, String> {
        Unserved.fetch(url, hosts)
    }

    fn patch(&self, files: &Files, patch: &str) -> Result<Files, String> {
        Unserved.patch(files, patch)
    }

    fn diff(&self, old: &Files, new: &Files) -> String {
        Unserved.diff(old, new)
    }

    fn idea(&self, by: &str, sketch: Sketch) -> Result<(), Failure> {
        Unserved.idea(by, sketch)
    }

    fn insight(&self, by: &str, insight: Insight) -> Result<(), Failure> {
        Unserved.insight(by, insight)
    }

    fn halt(&self, halt: Halt) -> Failure {
        self.0.lock().unwrap().push(halt.clone());
        Unserved.halt(halt)
    }
}

/// What halts a proposal of `kit`, after `cause`.
fn halted(kit: &Kit) -> Vec<Halt> {
    let halts = Arc::new(Halts::default());
    let brief = Brief { errands: Arc::clone(&halts) as _, ..brief() };
    let failure = kit.agent.propose(&brief).unwrap_err();
    assert_eq!(failure.cause, Cause::Cancelled, "{failure:?}");
    let halts = halts.0.lock().unwrap();
    halts.clone()
}

fn brief() -> Brief {
    let ask = Ask {
        operator: Operator::Improve,
        parents: vec![TrialNo(0)],
        surface: Some("model".into()),
    };
    Brief {
        trial: TrialNo(1),
        ask,
        study: Story::new(task()).study,
        sources: Arc::new(Trees),
        errands: Arc::new(empiric_agents::Unserved),
    }
}

/// Says `tools` one after the other, and then `last`.
fn mind(tools: Vec<Say>, last: &str) -> impl Fn(&Asked) -> Say + use<> {
    let last = last.to_owned();
    move |asked: &Asked| {
        tools.get(asked.results).cloned().unwrap_or_else(|| Say::text(last.clone()))
    }
}

fn shell(command: &str) -> Say {
    Say::tool("shell", json!({ "command": command }))
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn what_differs_in_the_tree_is_the_proposal_and_its_traffic_is_paid() {
    let edit = Say::tool(
        "edit",
        json!({"path": "model.py", "search": "WIDTH = 4", "replace": "WIDTH = 8"}),
    );
    let last = "HYPOTHESIS: width was the limit PREDICTION: bpb decrease 0.05";
    let server = ModelServer::start(mind(vec![edit], last)).unwrap();
    let Some(kit) = kit(&server.url(), Limits::default(), MINUTE) else { return };
    assert_eq!(kit.agent.version().to_string(), "0.9.1");
    let proposal = kit.agent.propose(&brief()).unwrap();
    let edits = BTreeMap::from([("model.py".to_owned(), Some("WIDTH = 8\n".to_owned()))]);
    assert_eq!(proposal.edits, edits);
    assert_eq!(proposal.hypothesis.text, "width was the limit");
    assert_eq!(proposal.hypothesis.prediction.unwrap().size, Some(0.05));
    assert_eq!(
        (&proposal.detail["calls"], &proposal.detail["agent"]),
        (&json!(2), &json!("claude"))
    );
    let spent = kit.purse.spent(&Scope::Trial(TrialNo(1)));
    assert_eq!(spent.calls, 2);
    assert!(spent.money > Money::ZERO);
    let asked = server.asked();
    assert!(asked.iter().all(|asked| asked.headers["x-api-key"] == KEY));
    let prompt = &asked[0].texts[0];
    assert!(prompt.contains("`bpb` will fall") && prompt.contains("surface `model`"), "{prompt}");
    assert_eq!(
        fs_err::read_dir(kit.room.path().join("agents")).unwrap().count(),
        0,
        "nothing is left lying"
    );
}

#[test]
fn an_agent_reaches_its_model_and_nothing_else() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let secret = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
    fs_err::write(secret.path(), "the answers").unwrap();
    let tries = format!(
        "(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo 'reached the machine'
         (exec 3<>/dev/tcp/1.1.1.1/443) 2>/dev/null && echo 'reached the world'
         cat {} 2>/dev/null
         touch /usr/x 2>/dev/null && echo wrote
         ls /home /root 2>/dev/null | grep -v -e agent -e : -e '^$'
         (env; cat /proc/*/environ) 2>/dev/null | tr '\\0' '\\n' | grep -a {KEY}
         setsid sleep 1000000 </dev/null >/dev/null 2>&1 &
         echo over",
        secret.path().display()
    );
    let server = ModelServer::start(mind(
        vec![shell(&tries), shell("rm train.py; ln -s /etc/passwd leak.py")],
        "done",
    ))
    .unwrap();
    let Some(kit) = kit(&server.url(), Limits::default(), MINUTE) else { return };
    let proposal = kit.agent.propose(&brief()).unwrap();
    let asked = server.asked();
    assert_eq!(asked[1].last().trim(), "over", "{:?}", asked[1].texts);
    // A link is no file; what is gone is gone, and the rules of the study judge that.
    assert_eq!(proposal.edits, BTreeMap::from([("train.py".to_owned(), None)]));
}

#[test]
fn an_agent_without_money_pauses_the_study_and_blames_no_idea() {
    let edit = Say::tool(
        "edit",
        json!({"path": "model.py", "search": "WIDTH = 4", "replace": "WIDTH = 8"}),
    );
    let server = ModelServer::start(mind(vec![edit], "done")).unwrap();
    // The first call may take half a cent and costs less; the second finds no room.
    let money = Caps { calls: Some(1), ..Caps::default() };
    let Some(kit) = kit(&server.url(), Limits { study: money, ..Limits::default() }, MINUTE) else {
        return;
    };
    let halts = halted(&kit);
    let [Halt::Budget(why)] = &halts[..] else { panic!("{halts:?}") };
    assert!(why.contains("the budget of the study has no room"), "{why}");
    assert_eq!(server.count(), 1);
}

#[test]
fn an_agent_whose_key_is_not_accepted_says_so_and_blames_no_idea() {
    let server = ModelServer::start(Script::always([Say::Fault(Fault::BadKey)])).unwrap();
    let Some(kit) = kit(&server.url(), Limits::default(), MINUTE) else { return };
    let halts = halted(&kit);
    let [Halt::Setup(why)] = &halts[..] else { panic!("{halts:?}") };
    assert!(why.contains("key is missing or not accepted") && !why.contains(KEY), "{why}");
}

#[test]
fn an_agent_ends_with_its_session_and_none_begins_after() {
    let server = ModelServer::start(mind(vec![shell("sleep 1000000")], "never said")).unwrap();
    let Some(kit) = kit(&server.url(), Limits::default(), MINUTE) else { return };
    std::thread::scope(|scope| {
        let working = scope.spawn(|| halted(&kit));
        // It has asked once, and is about to sleep or does.
        while server.count() == 0 {
            std::thread::yield_now();
        }
        kit.brake.pull();
        assert_eq!(working.join().unwrap(), [Halt::Cancelled]);
    });
    assert_eq!(halted(&kit), [Halt::Cancelled]);
    assert_eq!(server.count(), 1);
    let left = fs_err::read_dir(kit.room.path().join("agents")).unwrap().count();
    assert_eq!(left, 0, "nothing is left lying");
}

#[test]
fn what_an_agent_of_an_earlier_session_left_is_cleared_away() {
    let server = ModelServer::start(Script::always([Say::text("no idea")])).unwrap();
    let Some(kit) = kit(&server.url(), Limits::default(), MINUTE) else { return };
    let (left, other) = ("agents/proposal-t7-x/tree", "agents/somebody's");
    fs_err::create_dir_all(kit.room.path().join(left)).unwrap();
    fs_err::create_dir_all(kit.room.path().join(other)).unwrap();
    kit.agent.propose(&brief()).unwrap_err();
    assert!(!kit.room.path().join("agents/proposal-t7-x").exists());
    assert!(kit.room.path().join(other).exists());
}

#[test]
fn an_agent_that_changes_nothing_has_no_proposal_and_one_without_a_model_is_not_to_blame() {
    let idle = ModelServer::start(Script::always([Say::text("I would not know what")])).unwrap();
    let Some(kit_of_idle) = kit(&idle.url(), Limits::default(), MINUTE) else { return };
    let failure = kit_of_idle.agent.propose(&brief()).unwrap_err();
    assert_eq!((failure.blame, &failure.cause), (Blame::Edit, &Cause::NoProposal), "{failure:?}");
    assert!(failure.excerpt.contains("I would not know what"), "{failure:?}");
    let broken = ModelServer::start(Script::always([Say::Fault(Fault::Overloaded)])).unwrap();
    let failure =
        kit(&broken.url(), Limits::default(), MINUTE).unwrap().agent.propose(&brief()).unwrap_err();
    assert_eq!(
        (failure.blame, &failure.cause),
        (Blame::Infra, &Cause::ProposerFailed),
        "{failure:?}"
    );
    assert!(failure.excerpt.contains("529"), "{failure:?}");
}

#[test]
fn an_agent_that_does_not_end_is_ended_and_what_it_had_done_counts() {
    let edit = Say::tool("edit", json!({"path": "model.py", "search": "4", "replace": "16"}));
    let server =
        ModelServer::start(mind(vec![edit, shell("sleep 1000000")], "never said")).unwrap();
    let Some(kit) = kit(&server.url(), Limits::default(), Duration::from_secs(3)) else { return };
    let proposal = kit.agent.propose(&brief()).unwrap();
    assert_eq!(proposal.edits["model.py"].as_deref(), Some("WIDTH = 16\n"));
    assert_eq!(proposal.detail["ending"], "wall limit");
}

#[test]
fn many_agents_at_once_each_have_their_own_door() {
    let server = ModelServer::on(0, true, |asked: &Asked| match asked.results {
        0 => Say::tool("edit", json!({"path": "model.py", "search": "4", "replace": "5"})),
        _ => Say::Reply(Said { text: "done".into(), ..Said::default() }),
    })
    .unwrap();
    let Some(kit) = kit(&server.url(), Limits::default(), MINUTE) else { return };
    std::thread::scope(|scope| {
        let running: Vec<_> = (1..=4)
            .map(|no| {
                let agent = &kit.agent;
                scope
                    .spawn(move || agent.propose(&Brief { trial: TrialNo(no), ..brief() }).unwrap())
            })
            .collect();
        for proposal in running {
            assert_eq!(proposal.join().unwrap().edits.len(), 1);
        }
    });
    for no in 1..=4 {
        assert_eq!(kit.purse.spent(&Scope::Trial(TrialNo(no))).calls, 2, "each pays for itself");
    }
}

#[test]
fn without_bubblewrap_nothing_would_keep_it_to_its_door() {
    let proxy = ProxyOptions {
        catalogue: Catalogue::built_in().unwrap(),
        keys: BTreeMap::new(),
        routes: BTreeMap::new(),
        purse: Purse::default(),
        tape: None,
        timeouts: Timeouts::default(),
        most_output: 1,
    };
    let refused = CommandAgent::new(CommandOptions {
        name: "x".into(),
        driver: Driver::Other(Vec::new()),
        held: Held {
            program: Path::new("/bin/true").into(),
            see: Vec::new(),
            exe: example("agent-unit"),
            level: Level::Landlock,
            cgroup: probe().cgroup,
            limits: Held::limits(),
        },
        model: None,
        room: std::env::temp_dir(),
        proxy: Arc::new(Proxy::new(proxy).unwrap()),
        arm: "x".into(),
        seed: 1,
        brake: Brake::default(),
    });
    assert!(refused.err().unwrap().to_string().contains("needs bubblewrap"));
}
