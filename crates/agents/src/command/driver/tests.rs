//! Each driver by recorded transcripts of the documented forms.

use super::*;

fn command(driver: &Driver, model: Option<&str>) -> Command {
    driver.command(
        Path::new("/opt/x/bin/agent"),
        model,
        "do it\nnow",
        "http://127.0.0.1:8421",
        "sk-dummy",
    )
}

fn argv(driver: &Driver) -> Vec<String> {
    command(driver, Some("m-1")).argv
}

#[test]
fn each_is_called_in_its_own_way() {
    let claude = argv(&Driver::Claude).join(" ");
    assert_eq!(
        claude,
        "/opt/x/bin/agent -p --output-format stream-json --verbose --dangerously-skip-permissions --model m-1 -- do it\nnow"
    );
    let codex = argv(&Driver::Codex);
    assert_eq!(
        codex[1..5],
        ["exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    );
    assert!(codex.contains(&"model_provider=\"empiric\"".to_owned()), "{codex:?}");
    assert!(
        codex.iter().any(|word| word.contains("base_url=\"http://127.0.0.1:8421/v1\"")),
        "{codex:?}"
    );
    assert_eq!(
        argv(&Driver::Gemini)[1..],
        ["--output-format", "json", "--yolo", "--model", "m-1", "--prompt", "do it\nnow"]
    );
    assert_eq!(
        argv(&Driver::Opencode)[1..],
        ["run", "--format", "json", "--model", "m-1", "--", "do it\nnow"]
    );
    let aider = argv(&Driver::Aider);
    assert!(
        aider.ends_with(&["--model", "m-1", "--message", "do it\nnow"].map(str::to_owned)),
        "{aider:?}"
    );
    let plain = command(&Driver::Aider, None).argv;
    assert!(!plain.contains(&"--model".to_owned()), "its own choice");
}

#[test]
fn any_other_program_is_given_the_prompt_where_it_wants_it() {
    let other = |words: &[&str]| {
        argv(&Driver::Other(words.iter().map(|word| (*word).to_owned()).collect()))
    };
    assert_eq!(other(&["--ask={prompt}", "-y"])[1..], ["--ask=do it\nnow", "-y"]);
    assert_eq!(other(&["-y"])[1..], ["-y", "do it\nnow"]);
    assert_eq!(other(&["--model", "x/{model}"])[1..], ["--model", "x/m-1", "do it\nnow"]);
}

#[test]
fn every_one_is_sent_to_the_proxy_with_a_token_and_no_key_of_ours() {
    for (driver, name, url) in [
        (Driver::Claude, "ANTHROPIC_BASE_URL", "http://127.0.0.1:8421"),
        (Driver::Codex, "OPENAI_BASE_URL", "http://127.0.0.1:8421/v1"),
        (Driver::Gemini, "GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:8421"),
        (Driver::Aider, "ANTHROPIC_API_BASE", "http://127.0.0.1:8421"),
        (Driver::Other(Vec::new()), "OPENAI_API_BASE", "http://127.0.0.1:8421/v1"),
    ] {
        let env = command(&driver, None).env;
        assert_eq!(env[name], url, "{}", driver.name());
        assert!(
            env.iter().all(|(name, value)| !name.ends_with("_KEY") || value == "sk-dummy"),
            "{env:?}"
        );
    }
    let config = &command(&Driver::Opencode, None).env["OPENCODE_CONFIG_CONTENT"];
    let config: serde_json::Value = serde_json::from_str(config).unwrap();
    assert_eq!(config["provider"]["anthropic"]["options"]["baseURL"], "http://127.0.0.1:8421/v1");
    assert_eq!(config["provider"]["google"]["options"]["apiKey"], "sk-dummy");
}

#[test]
fn versions_are_found_in_what_each_prints() {
    for (said, numbers, text) in [
        ("2.1.45 (Claude Code)\n", vec![2, 1, 45], "2.1.45"),
        ("codex-cli 0.98.0\n", vec![0, 98, 0], "0.98.0"),
        ("0.30.0-preview.1\n", vec![0, 30, 0], "0.30.0-preview.1"),
        ("opencode v1.2.3\n", vec![1, 2, 3], "1.2.3"),
        ("aider 0.86.2\n", vec![0, 86, 2], "0.86.2"),
    ] {
        let version = Version::find(said).unwrap();
        assert_eq!((version.numbers(), version.to_string().as_str()), (numbers.as_slice(), text));
    }
    assert_eq!(Version::find("command not found: 127"), None);
    assert!(Version::find("1.10.0").unwrap() > Version::find("1.9.9").unwrap());
}

const CLAUDE: &str = r#"{"type":"system","subtype":"init","cwd":"/work","session_id":"6f0c","tools":["Read","Edit"],"model":"claude-sonnet-4-6","permissionMode":"bypassPermissions","apiKeySource":"ANTHROPIC_API_KEY"}
{"type":"assistant","message":{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"I look at model.py."},{"type":"tool_use","id":"toolu_1","name":"Read","input":{"file_path":"/recipe/model.py"}}],"usage":{"input_tokens":3,"output_tokens":9}},"session_id":"6f0c"}
{"type":"user","message":{"role":"user","content":[{"tool_use_id":"toolu_1","type":"tool_result","content":"depth = 4"}]},"session_id":"6f0c"}
not json at all
{"type":"assistant","message":{"content":[{"type":"tool_use","id":"toolu_2","name":"Edit","input":{}}]},"session_id":"6f0c"}
{"type":"result","subtype":"success","is_error":false,"duration_ms":5120,"num_turns":3,"result":"Done.\n\nHYPOTHESIS: A deeper model fits more. PREDICTION: `bpb` decrease 0.05.","session_id":"6f0c","total_cost_usd":0.0123,"usage":{"input_tokens":120,"output_tokens":60}}
"#;

#[test]
fn claude_ends_with_a_result() {
    let read = Driver::Claude.read(CLAUDE, "");
    assert_eq!((read.steps, read.session.as_deref(), &read.error), (2, Some("6f0c"), &None));
    let (text, prediction) = read.hypothesis();
    assert_eq!(text, "A deeper model fits more.");
    let prediction = prediction.unwrap();
    assert_eq!((prediction.metric.as_str(), prediction.size), ("bpb", Some(0.05)));
    let failed = r#"{"type":"result","subtype":"error_max_turns","is_error":true,"num_turns":9,"session_id":"x"}"#;
    assert_eq!(Driver::Claude.read(failed, "").error.as_deref(), Some("error_max_turns"));
    let refused = r#"{"type":"result","subtype":"success","is_error":true,"result":"API Error: 402 budget","session_id":"x"}"#;
    assert_eq!(Driver::Claude.read(refused, "").error.as_deref(), Some("API Error: 402 budget"));
}

const CODEX: &str = r#"{"type":"thread.started","thread_id":"0199-a"}
{"type":"turn.started"}
{"type":"error","message":"Reconnecting... 1/5"}
{"type":"item.completed","item":{"id":"item_0","type":"reasoning","text":"**Reading**"}}
{"type":"item.started","item":{"id":"item_1","type":"command_execution","command":"bash -lc ls","status":"in_progress"}}
{"type":"item.completed","item":{"id":"item_1","type":"command_execution","command":"bash -lc ls","aggregated_output":"model.py\n","exit_code":0,"status":"completed"}}
{"type":"item.completed","item":{"id":"item_2","type":"file_change","changes":[{"path":"model.py","kind":"update"}],"status":"completed"}}
{"type":"item.completed","item":{"id":"item_3","type":"agent_message","text":"HYPOTHESIS: wider is better"}}
{"type":"turn.completed","usage":{"input_tokens":24763,"cached_input_tokens":24448,"output_tokens":122}}
"#;

#[test]
fn codex_tells_of_items_and_turns() {
    let read = Driver::Codex.read(CODEX, "");
    assert_eq!((read.steps, read.session.as_deref(), &read.error), (2, Some("0199-a"), &None));
    assert_eq!(read.hypothesis(), ("wider is better".to_owned(), None));
    let failed =
        r#"{"type":"turn.failed","error":{"message":"unexpected status 402 Payment Required"}}"#;
    assert_eq!(
        Driver::Codex.read(failed, "").error.as_deref(),
        Some("unexpected status 402 Payment Required")
    );
}

#[test]
fn gemini_prints_one_object() {
    let said = r#"Loaded cached credentials.
{"session_id":"g-1","response":"I changed it.\nHYPOTHESIS: less noise PREDICTION: acc increase","stats":{"models":{"gemini-2.5-pro":{"api":{"totalRequests":2},"tokens":{"prompt":24939,"candidates":20,"total":25113,"cached":21263,"thoughts":154,"tool":0}}},"tools":{"totalCalls":1,"totalSuccess":1}}}"#;
    let read = Driver::Gemini.read(said, "");
    assert_eq!((read.steps, read.session.as_deref()), (1, Some("g-1")));
    let (text, prediction) = read.hypothesis();
    assert_eq!((text.as_str(), prediction.unwrap().size), ("less noise", None));
    let failed = r#"{"error":{"type":"ApiError","message":"quota","code":402}}"#;
    assert_eq!(Driver::Gemini.read(failed, "").error.as_deref(), Some("quota"));
    assert_eq!(Driver::Gemini.read("", "no key\n").error.as_deref(), Some("no key"));
}

#[test]
fn opencode_prints_events() {
    let said = r#"{"type":"step_start","timestamp":1,"sessionID":"ses_1","part":{"type":"step-start"}}
{"type":"tool_use","timestamp":2,"sessionID":"ses_1","part":{"type":"tool","tool":"edit","state":{"status":"completed"}}}
{"type":"text","timestamp":3,"sessionID":"ses_1","part":{"type":"text","text":"HYPOTHESIS: a warm-up helps"}}
{"type":"step_finish","timestamp":4,"sessionID":"ses_1","part":{"type":"step-finish","reason":"stop","cost":0.01,"tokens":{"input":671,"output":8,"reasoning":0,"cache":{"read":21415,"write":0}}}}
"#;
    let read = Driver::Opencode.read(said, "");
    assert_eq!((read.steps, read.session.as_deref()), (1, Some("ses_1")));
    assert_eq!(read.hypothesis().0, "a warm-up helps");
    let failed = r#"{"type":"error","sessionID":"ses_1","error":{"name":"APIError","data":{"message":"402"}}}"#;
    assert_eq!(Driver::Opencode.read(failed, "").error.as_deref(), Some("402"));
}

#[test]
fn aider_prints_words_for_people() {
    let said = "Aider v0.86.2\nMain model: anthropic/claude-sonnet-4-6 with diff edit format\nGit repo: none\nRepo-map: disabled\n\n\
                I make it wider.\n\nmodel.py\n```python\n<<<<<<< SEARCH\nwidth = 4\n=======\nwidth = 8\n>>>>>>> REPLACE\n```\n\n\
                HYPOTHESIS: width was the limit\n\nTokens: 2.1k sent, 120 received. Cost: $0.0081 message, $0.0081 session.\n\
                Applied edit to model.py\n";
    let read = Driver::Aider.read(said, "");
    assert_eq!((read.steps, read.error.as_ref()), (1, None));
    assert_eq!(read.hypothesis().0, "width was the limit");
    let failed = "Aider v0.86.2\nlitellm.AuthenticationError: AnthropicException - 401\n";
    assert!(
        Driver::Aider.read(failed, "").error.unwrap().starts_with("litellm.AuthenticationError")
    );
}

#[test]
fn an_installation_is_its_package_or_prefix_and_never_a_home() {
    let dir = tempfile::tempdir().unwrap();
    let make = |path: &str| {
        let path = dir.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, "").unwrap();
        path
    };
    let real = fs_err::canonicalize(dir.path()).unwrap();
    let npm = make("lib/node_modules/codex/bin/codex.js");
    assert_eq!(installation(&npm).unwrap(), [real.join("lib/node_modules/codex")]);
    let tool = make("tools/aider/bin/aider");
    assert_eq!(installation(&tool).unwrap(), [real.join("tools/aider")]);
    let plain = make("somewhere/agent");
    assert_eq!(installation(&plain).unwrap(), [real.join("somewhere")]);
    assert_eq!(installation(Path::new("/usr/bin/true")).unwrap(), [] as [PathBuf; 0]);
    let link = dir.path().join("bin/agent");
    fs_err::create_dir(dir.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(&plain, &link).unwrap();
    assert_eq!(installation(&link).unwrap(), [dir.path().join("bin"), real.join("somewhere")]);
    assert!(installation(Path::new("/no/such/agent")).is_err());
}
