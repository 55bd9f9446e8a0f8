//! Who answers which agent, and what is said where something lacks.

use empiric_core::BlobId;
use empiric_llm::{Exchange, Limits as Caps, Origin, TapeError};

use super::*;

struct NoTape;

impl Tape for NoTape {
    fn recorded(&self, _: &Origin, _: &BlobId) -> Result<Option<Vec<u8>>, TapeError> {
        Ok(None)
    }

    fn record(&self, _: Exchange) -> Result<(), TapeError> {
        Ok(())
    }
}

fn outfit(models: &[&str], keys: &[&str]) -> Outfit {
    let desk = "[provider.desk]\nwire = \"chat\"\nurl = \"http://127.0.0.1:8000/v1\"\n";
    let catalogue = Catalogue::built_in().unwrap().with(desk, "test").unwrap();
    let keys = catalogue.keys(|name| keys.contains(&name).then(|| "k".to_owned())).unwrap();
    Outfit {
        path: "/nowhere".into(),
        command: Vec::new(),
        models: models.iter().map(|model| model.parse().unwrap()).collect(),
        see: Vec::new(),
        room: "/nowhere".into(),
        exe: "/nowhere".into(),
        level: Level::None,
        cgroup: empiric_sandbox::probe().cgroup,
        limits: Held::limits(),
        catalogue,
        keys,
        purse: Purse::new(Caps::default()),
        tape: Arc::new(NoTape),
        seed: 0,
        brake: Brake::default(),
    }
}

/// A model in an agent's words, and who answers which language.
type Told = (Option<String>, Vec<(Dialect, String)>);

/// What an agent is told to ask, and who answers it.
fn told(models: &[&str], keys: &[&str], driver: &Driver) -> Result<Told, String> {
    let answered = outfit(models, keys).answered(driver);
    answered
        .map(|Answered { routes, model }| (model, routes.into_iter().collect()))
        .map_err(|error| error.to_string())
}

const ALL: [&str; 3] = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"];

#[test]
fn an_agent_without_a_model_is_answered_by_who_usually_does_and_has_a_key() {
    let route = |dialect, name: &str| (dialect, name.to_owned());
    for (driver, routes) in [
        (Driver::Claude, vec![route(Dialect::Messages, "anthropic")]),
        (Driver::Codex, vec![route(Dialect::Responses, "openai")]),
        (Driver::Gemini, vec![route(Dialect::Gemini, "google")]),
        (
            Driver::Aider,
            vec![route(Dialect::Chat, "openai-chat"), route(Dialect::Messages, "anthropic")],
        ),
    ] {
        assert_eq!(told(&[], &ALL, &driver), Ok((None, routes)), "{driver:?}");
    }
    let alone = told(&[], &["OPENAI_API_KEY"], &Driver::Opencode).unwrap();
    assert_eq!(alone, (None, vec![route(Dialect::Responses, "openai")]));
    let none = told(&[], &["OPENAI_API_KEY"], &Driver::Claude).unwrap_err();
    assert!(none.contains("anthropic") && none.contains("ANTHROPIC_API_KEY"), "{none}");
}

#[test]
fn a_model_is_said_in_the_agents_words_and_its_provider_alone_answers() {
    let models = ["anthropic/claude-sonnet-5", "openai/gpt-5.2", "desk/qwen3"];
    for (driver, word, dialect, provider) in [
        (Driver::Claude, "claude-sonnet-5", Dialect::Messages, "anthropic"),
        (Driver::Codex, "gpt-5.2", Dialect::Responses, "openai"),
        (Driver::Opencode, "anthropic/claude-sonnet-5", Dialect::Messages, "anthropic"),
        (Driver::Aider, "anthropic/claude-sonnet-5", Dialect::Messages, "anthropic"),
    ] {
        let routes = vec![(dialect, provider.to_owned())];
        assert_eq!(told(&models, &ALL, &driver), Ok((Some(word.to_owned()), routes)), "{driver:?}");
    }
    let local = vec![(Dialect::Chat, "desk".to_owned())];
    let aider = told(&["desk/qwen3"], &[], &Driver::Aider);
    assert_eq!(aider, Ok((Some("openai/qwen3".to_owned()), local)));
    let codex = told(&["desk/qwen3"], &ALL, &Driver::Codex).unwrap_err();
    assert!(codex.contains("codex speaks responses"), "{codex}");
    let keyless = told(&models, &[], &Driver::Claude).unwrap_err();
    assert!(keyless.contains("ANTHROPIC_API_KEY"), "{keyless}");
}

#[test]
fn what_is_lacking_is_said_with_its_remedy() {
    let arm = Arm::of("claude", "race");
    let mut outfit = outfit(&[], &ALL);
    let error = outfit.agent(&arm, Driver::Claude).err().unwrap().to_string();
    assert!(error.contains("`claude` is not on PATH"), "{error}");
    let error = outfit.agent(&arm, Driver::Other(Vec::new())).err().unwrap().to_string();
    assert!(error.contains("--agent-cmd"), "{error}");
    outfit.command = vec!["/nowhere/agent".to_owned()];
    let error = outfit.agent(&arm, Driver::Other(Vec::new())).err().unwrap().to_string();
    assert!(error.contains("`/nowhere/agent`"), "{error}");
    outfit.command = vec!["/bin/true".to_owned()];
    outfit.level = Level::Landlock;
    let error = outfit.agent(&arm, Driver::Other(Vec::new())).err().unwrap().to_string();
    assert!(error.contains("bubblewrap"), "{error}");
}
