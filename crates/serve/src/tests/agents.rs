//! Coding agents over HTTP: let in as everybody else is, and shown the study.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use empiric_testkit::story::Story;
use serde_json::{Value, json};

use super::{HOST, Reply, Served, write};

fn call(served: &Served, path: &str) -> axum::http::request::Builder {
    Request::post(path)
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, served.bearer())
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header(header::CONTENT_TYPE, "application/json")
}

fn initialize() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "coder", "version": "1"},
    }})
}

/// The message in a reply, which comes as the one event of a stream.
fn message(reply: &Reply) -> Value {
    let data = reply.body.lines().filter_map(|line| line.strip_prefix("data:"));
    let mut found = data.filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok());
    found.next_back().unwrap_or_else(|| panic!("no message in {}", reply.body))
}

#[tokio::test]
async fn an_agent_is_shown_the_study_over_http() {
    let dir = tempfile::tempdir().unwrap();
    write(&Story::sixty(), &dir.path().join("golf"));
    let served = Served::of(dir.path());
    let path = "/mcp/golf";
    let opened = call(&served, path).body(Body::from(initialize().to_string()));
    let opened = served.send(opened.unwrap()).await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.body);
    assert_eq!(message(&opened)["result"]["serverInfo"]["name"], "empiric");
    let session = opened.headers["mcp-session-id"].clone();
    let next = |body: Value| {
        let request = call(&served, path).header("mcp-session-id", session.clone());
        let request = request.header("mcp-protocol-version", "2025-06-18");
        served.send(request.body(Body::from(body.to_string())).unwrap())
    };
    let ready = next(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    assert_eq!(ready.status, StatusCode::ACCEPTED, "{}", ready.body);
    let get = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": "list_trials", "arguments": {}}});
    let told = message(&next(get).await);
    assert!(told["result"].to_string().contains("t60"), "{told}");
    served.cancel.cancel();
}

#[tokio::test]
async fn nobody_else_speaks_to_a_study() {
    let dir = tempfile::tempdir().unwrap();
    write(&Story::many(3), &dir.path().join("golf"));
    write(&Story::many(3), &dir.path().join("digits"));
    let served = Served::of(dir.path());
    let body = initialize();
    let post = |path: &str, change: &dyn Fn(&mut axum::http::HeaderMap)| {
        let request = call(&served, path).body(Body::from(body.to_string()));
        let mut request = request.unwrap();
        change(request.headers_mut());
        served.send(request)
    };
    let bare = post("/mcp/golf", &|headers| drop(headers.remove(header::AUTHORIZATION))).await;
    assert_eq!(bare.status, StatusCode::UNAUTHORIZED);
    for (name, value) in [(header::HOST, "evil.example"), (header::ORIGIN, "http://evil.example")] {
        let foreign = post("/mcp/golf", &|headers| {
            headers.insert(name.clone(), value.parse().unwrap());
        });
        assert_eq!(foreign.await.status, StatusCode::FORBIDDEN, "{name}");
    }
    for path in ["/mcp/none", "/mcp/..%2fgolf", "/mcp"] {
        assert_eq!(post(path, &|_| {}).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    // One study that is served alone needs no name.
    let alone = Served::of(&dir.path().join("golf"));
    let request = call(&alone, "/mcp").body(Body::from(body.to_string())).unwrap();
    assert_eq!(alone.send(request).await.status, StatusCode::OK);
}
