//! The server over HTTP: who is let in.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio_util::sync::CancellationToken;

use super::*;

fn knock(host: &str, origin: Option<&str>) -> Request<Full<Bytes>> {
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a browser", "version": "1"},
    }});
    let mut request = Request::post("/mcp")
        .header("host", host)
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    request.body(Full::from(initialize.to_string())).unwrap()
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), |dir| study(dir, None));
    let desk = Desk::new(Layout::new(dir.path()), Arc::new(jiff::Timestamp::now));
    let service = crate::http(
        Service::new(desk, None, None),
        &["127.0.0.1:8600".to_owned()],
        &["http://127.0.0.1:8600".to_owned()],
        CancellationToken::new(),
    );
    for (host, origin, status) in [
        ("127.0.0.1:8600", None, StatusCode::OK),
        ("127.0.0.1:8600", Some("http://127.0.0.1:8600"), StatusCode::OK),
        ("127.0.0.1:8601", None, StatusCode::FORBIDDEN),
        ("evil.example", None, StatusCode::FORBIDDEN),
        ("127.0.0.1:8600", Some("http://evil.example"), StatusCode::FORBIDDEN),
        ("127.0.0.1:8600", Some("http://127.0.0.1:9"), StatusCode::FORBIDDEN),
        ("127.0.0.1:8600", Some("null"), StatusCode::FORBIDDEN),
    ] {
        let answer = service.handle(knock(host, origin)).await;
        assert_eq!(answer.status(), status, "{host} {origin:?}");
    }
}
