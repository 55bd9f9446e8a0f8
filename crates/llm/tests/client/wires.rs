//! The same conversation over every protocol.

use empiric_core::{Money, Usage};
use empiric_llm::{Choice, Content, Format, Models, Role, Stop, Thinking, Tool, Turn, Wire};
use empiric_testkit::model::{ModelServer, Said, Say, ToolUse};
use serde_json::{Value, json};

use crate::kit::{WAYS, call, kit, origin};

fn tool() -> Tool {
    Tool {
        name: "edit".into(),
        description: "replaces text".into(),
        parameters: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
    }
}

#[test]
fn every_protocol_carries_thought_text_tools_and_counts_alike() {
    let said = Said {
        thinking: "perhaps a wider layer… ŵ".into(),
        text: "I widen it: “ä”.".into(),
        calls: vec![
            ToolUse {
                name: "edit".into(),
                arguments: json!({"path": "model.py", "text": "x\n\"y\""}),
            },
            ToolUse { name: "edit".into(), arguments: json!({"path": "b.py"}) },
        ],
        cached: 40,
        written: 0,
        input: Some(60),
        output: Some(25),
        ..Said::default()
    };
    let server = ModelServer::start(move |_: &_| Say::Reply(said.clone())).unwrap();
    let kit = kit(&server.url());
    for way in WAYS {
        let mut call = call(way, "go on");
        call.request.tools = vec![tool()];
        let reply = kit.client.call(&call).unwrap();
        assert_eq!(reply.text(), "I widen it: “ä”.", "{way}");
        assert_eq!(reply.stop, Stop::Tools, "{way}");
        assert_eq!(reply.usage, Usage { input: 60, cached: 40, written: 0, output: 25 }, "{way}");
        let arguments: Vec<&Value> = reply.calls().map(|call| &call.arguments).collect();
        assert_eq!(
            arguments,
            [&json!({"path": "model.py", "text": "x\n\"y\""}), &json!({"path": "b.py"})],
            "{way}"
        );
        assert!(matches!(reply.content[0], Content::Thinking { .. }), "{way}");
    }
    // 60 at 1, 40 at 0.1 and 25 at 2 dollars a million are 114 millionths.
    let spent = kit.purse.spent(&empiric_llm::Scope::Study);
    assert_eq!((spent.calls, spent.tokens, spent.money), (6, 6 * 125, Money(6 * 114_000_000)));
}

#[test]
fn thoughts_and_results_go_back_as_they_came() {
    let server = ModelServer::start(|asked: &empiric_testkit::model::Asked| match asked.results {
        0 => Say::Reply(Said {
            thinking: "hm".into(),
            calls: vec![ToolUse { name: "edit".into(), arguments: json!({"path": "a"}) }],
            ..Said::default()
        }),
        _ => Say::text("done"),
    })
    .unwrap();
    let kit = kit(&server.url());
    for way in WAYS {
        let mut call = call(way, "go");
        call.request.tools = vec![tool()];
        call.request.thinking = Some(Thinking::Low);
        let reply = kit.client.call(&call).unwrap();
        let id = reply.calls().next().unwrap().id.clone();
        call.request.turns.push(reply.turn());
        call.request.turns.push(Turn::results([Content::Result {
            call: id.clone(),
            text: "no such file".into(),
            failed: true,
        }]));
        call.origin = origin(1, 1);
        assert_eq!(kit.client.call(&call).unwrap().text(), "done", "{way}");
        let body = server.asked().pop().unwrap().body;
        match way.split('-').next().unwrap() {
            "chat" => {
                assert_eq!(body["messages"][2]["reasoning_content"], "hm");
                assert_eq!(
                    body["messages"][2]["tool_calls"][0]["function"]["arguments"],
                    "{\"path\":\"a\"}"
                );
                let result = json!({"role": "tool", "tool_call_id": id, "content": "no such file"});
                assert_eq!(body["messages"][3], result);
            }
            "responses" => {
                assert_eq!(body["input"][1]["encrypted_content"], "sealed:hm");
                assert_eq!(body["input"][2]["call_id"], json!(id));
                let result = json!({"type": "function_call_output", "call_id": id, "output": "no such file"});
                assert_eq!(body["input"][3], result);
                assert_eq!(
                    (&body["store"], &body["reasoning"]["effort"]),
                    (&json!(false), &json!("low"))
                );
            }
            _ => {
                let thought =
                    json!({"type": "thinking", "thinking": "hm", "signature": "signed:2"});
                assert_eq!(body["messages"][1]["content"][0], thought);
                assert_eq!(body["messages"][2]["content"][0]["is_error"], true);
            }
        }
    }
}

#[test]
fn a_thought_of_another_provider_stays_at_home() {
    let server = ModelServer::start(|_: &_| Say::text("fine")).unwrap();
    let kit = kit(&server.url());
    for (way, other) in
        [("chat", Wire::Messages), ("responses", Wire::Chat), ("messages", Wire::Responses)]
    {
        let mut call = call(way, "go");
        let block =
            json!({"type": "thinking", "thinking": "secret thought", "encrypted_content": "x"});
        let content =
            vec![Content::Thinking { wire: other, block }, Content::Text { text: "I see".into() }];
        call.request.turns.push(Turn { role: Role::Model, content, cache: false });
        call.request.turns.push(Turn::user("and?"));
        kit.client.call(&call).unwrap();
        let body = server.asked().pop().unwrap().body.to_string();
        assert!(body.contains("I see") && !body.contains("secret thought"), "{way}: {body}");
    }
}

#[test]
fn shapes_images_marks_and_choices_are_said_in_each_protocols_words() {
    let server = ModelServer::start(|_: &_| Say::text("{\"idea\": 1}")).unwrap();
    let kit = kit(&server.url());
    for way in ["chat", "responses", "messages"] {
        let mut call = call(way, "look");
        let image = Content::Image { media_type: "image/png".into(), data: "aGk=".into() };
        call.request.turns[0].content.push(image);
        call.request.turns[0].cache = true;
        call.request.cache = true;
        call.request.tools = vec![tool()];
        call.request.choice = Choice::Required;
        call.request.temperature = Some(0.5);
        call.request.format =
            Some(Format { name: "idea".into(), schema: json!({"type": "object"}) });
        kit.client.call(&call).unwrap();
        let asked = server.asked().pop().unwrap();
        let body = asked.body;
        match way {
            "chat" => {
                assert_eq!(
                    body["messages"][1]["content"][1]["image_url"]["url"],
                    "data:image/png;base64,aGk="
                );
                assert_eq!(body["response_format"]["json_schema"]["name"], "idea");
                assert_eq!(
                    (&body["tool_choice"], &body["max_tokens"]),
                    (&json!("required"), &json!(500))
                );
                assert_eq!(asked.headers["authorization"], format!("Bearer {}", crate::kit::KEY));
            }
            "responses" => {
                assert_eq!(body["input"][0]["content"][1]["type"], "input_image");
                assert_eq!(body["text"]["format"]["schema"], json!({"type": "object"}));
                assert_eq!(body["instructions"], "You improve recipes.");
            }
            _ => {
                assert_eq!(body["messages"][0]["content"][1]["source"]["data"], "aGk=");
                assert_eq!(body["messages"][0]["content"][1]["cache_control"]["type"], "ephemeral");
                assert_eq!(body["system"][0]["cache_control"]["type"], "ephemeral");
                assert_eq!(body["tool_choice"]["type"], "any");
                assert_eq!(body["output_config"]["format"]["type"], "json_schema");
                assert_eq!(asked.headers["x-api-key"], crate::kit::KEY);
                assert_eq!(asked.headers["anthropic-version"], "2023-06-01");
            }
        }
        assert_eq!(body["temperature"], 0.5, "{way}");
    }
}

#[test]
fn what_ran_into_the_cap_is_a_reply_and_says_so() {
    let said =
        Said { text: "half a sen".into(), cut_short: true, unmetered: true, ..Said::default() };
    let server = ModelServer::start(move |_: &_| Say::Reply(said.clone())).unwrap();
    let kit = kit(&server.url());
    for way in WAYS {
        let reply = kit.client.call(&call(way, "go")).unwrap();
        assert_eq!((reply.stop, reply.text().as_str()), (Stop::Length, "half a sen"), "{way}");
        // What nobody metered is taken for all that it can have been.
        assert!(reply.usage.input > 80 && reply.usage.output > 10, "{way}: {:?}", reply.usage);
    }
}
