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
    sync::Arc,
    time::Duration,
};

use empiric_agents::{
    Brief, CommandAgent, CommandOptions, Driver, Files, Proposer, SourceError, Sources,
};
use empiric_core::{Ask, Blame, Cause, Money, Operator, TrialNo};
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
    let room = tempfile::tempdir().unwrap();
    let agent = CommandAgent::new(CommandOptions {
        name: "claude".into(),
        driver: Driver::Claude,
        program: example("agent"),
        model: Some("m".into()),
        see: Vec::new(),
        room: room.path().join("agents"),
        exe: example("agent-unit"),
        level: Level::Bwrap,
        cgroup: found.cgroup,
        limits: empiric_sandbox::Limits { wall, ..CommandAgent::limits() },
        proxy: Arc::new(proxy),
        arm: "agents".into(),
        seed: 1,
    })
    .unwrap();
    Some(Kit { agent, purse, room })
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
    let failure = kit.agent.propose(&brief()).unwrap_err();
    assert_eq!((failure.blame, &failure.cause), (Blame::Infra, &Cause::ProposerFailed));
    assert!(failure.excerpt.contains("the budget of the study has no room"), "{failure:?}");
    assert_eq!(server.count(), 1);
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
        program: Path::new("/bin/true").into(),
        model: None,
        see: Vec::new(),
        room: std::env::temp_dir(),
        exe: example("agent-unit"),
        level: Level::Landlock,
        cgroup: probe().cgroup,
        limits: CommandAgent::limits(),
        proxy: Arc::new(Proxy::new(proxy).unwrap()),
        arm: "x".into(),
        seed: 1,
    });
    assert!(refused.err().unwrap().excerpt.contains("needs bubblewrap"));
}
