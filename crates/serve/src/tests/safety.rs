//! Who gets in, and what a browser is told of what it gets.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use empiric_core::Event;
use empiric_testkit::story::Story;
use serde_json::json;

use super::{HOST, Served, write};

fn ask(served: &Served) -> axum::http::request::Builder {
    Request::get("/api/studies")
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, served.bearer())
}

fn served() -> (tempfile::TempDir, Served) {
    let dir = tempfile::tempdir().unwrap();
    write(&Story::sixty(), &dir.path().join("golf"));
    let served = Served::of(dir.path());
    (dir, served)
}

#[tokio::test]
async fn nobody_gets_in_without_the_token_anywhere() {
    let (_dir, served) = served();
    for path in [
        "/",
        "/api/studies",
        "/api/openapi.json",
        "/assets/x.js",
        "/s/golf",
        "/api/studies/golf/live",
        "/no",
    ] {
        let bare = Request::get(path).header(header::HOST, HOST);
        let reply = served.send(bare.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(!reply.body.contains("golf"), "{}", reply.body);
    }
    for wrong in ["", "Bearer", "Bearer ", "Bearer 0", "Basic Og==", "Bearer é"] {
        let request = Request::get("/api/studies").header(header::HOST, HOST);
        let request = request.header(header::AUTHORIZATION, wrong.as_bytes());
        let reply = served.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let token = served.token.reveal();
    let cut = format!("Bearer {}", &token[1..]);
    let request =
        Request::get("/api/studies").header(header::HOST, HOST).header(header::AUTHORIZATION, cut);
    assert_eq!(
        served.send(request.body(Body::empty()).unwrap()).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(served.get("/api/studies").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused_on_every_route_whatever_the_token() {
    let (_dir, served) = served();
    for path in ["/", "/api/studies", "/api/studies/golf/live", "/nothing"] {
        for host in [
            "evil.example",
            "evil.example:8377",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1:8377.evil.example",
            "",
        ] {
            let request = Request::get(path)
                .header(header::HOST, host)
                .header(header::AUTHORIZATION, served.bearer());
            let reply = served.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path} {host}");
        }
        for origin in [
            "http://evil.example",
            "null",
            "https://127.0.0.1:8377",
            "http://127.0.0.1:8378",
            "http://localhost",
        ] {
            let request = Request::get(path)
                .header(header::HOST, HOST)
                .header(header::AUTHORIZATION, served.bearer())
                .header(header::ORIGIN, origin);
            let reply = served.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path} {origin}");
        }
    }
    let twice = ask(&served).header(header::HOST, "evil.example");
    assert_eq!(served.send(twice.body(Body::empty()).unwrap()).await.status, StatusCode::FORBIDDEN);
    let none = Request::get("/api/studies").header(header::AUTHORIZATION, served.bearer());
    assert_eq!(served.send(none.body(Body::empty()).unwrap()).await.status, StatusCode::FORBIDDEN);
    let absolute = Request::get("http://evil.example/api/studies")
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, served.bearer());
    assert_eq!(
        served.send(absolute.body(Body::empty()).unwrap()).await.status,
        StatusCode::FORBIDDEN
    );
    let embedded = ask(&served).header("sec-fetch-site", "cross-site");
    assert_eq!(
        served.send(embedded.body(Body::empty()).unwrap()).await.status,
        StatusCode::FORBIDDEN
    );
    let own = ask(&served).header(header::ORIGIN, "http://localhost:8377");
    assert_eq!(served.send(own.body(Body::empty()).unwrap()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_printed_url_is_exchanged_for_a_cookie_that_no_other_site_sends() {
    let (_dir, served) = served();
    let path = format!("/s/golf?token={}", served.token.reveal());
    let reply = served
        .send(Request::get(&path).header(header::HOST, HOST).body(Body::empty()).unwrap())
        .await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!(reply.headers[header::LOCATION], "/s/golf");
    let cookie = reply.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    let with = |method: Method| {
        Request::builder()
            .method(method)
            .uri("/api/studies")
            .header(header::HOST, HOST)
            .header(header::COOKIE, pair)
    };
    assert_eq!(
        served.send(with(Method::GET).body(Body::empty()).unwrap()).await.status,
        StatusCode::OK
    );
    // A cookie alone steers nothing: which page asks must be said.
    let note = json!({"ask": {"kind": "note", "text": "x"}}).to_string();
    let post = |origin: Option<&str>| {
        let request = Request::post("/api/studies/golf/requests")
            .header(header::HOST, HOST)
            .header(header::COOKIE, pair);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = match origin {
            Some(origin) => request.header(header::ORIGIN, origin),
            None => request,
        };
        request.body(Body::from(note.clone())).unwrap()
    };
    assert_eq!(served.send(post(None)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(served.send(post(Some("http://evil.example"))).await.status, StatusCode::FORBIDDEN);
    assert_eq!(served.send(post(Some("http://127.0.0.1:8377"))).await.status, StatusCode::ACCEPTED);
    // Not to another host, whatever the path says.
    let path = format!("//evil.example/?token={}", served.token.reveal());
    let reply = served
        .send(Request::get(&path).header(header::HOST, HOST).body(Body::empty()).unwrap())
        .await;
    assert!(
        reply.headers.get(header::LOCATION).is_none_or(|to| to == "/evil.example/"),
        "{:?}",
        reply.headers
    );
}

#[tokio::test]
async fn behind_tls_or_a_proxy_the_cookie_is_secure_and_its_origin_is_known() {
    let dir = tempfile::tempdir().unwrap();
    write(&Story::sixty(), dir.path());
    let served = Served::outside(dir.path(), false, Some("https://lab.example"));
    let path = format!("/?token={}", served.token.reveal());
    let reply = served
        .send(Request::get(&path).header(header::HOST, "lab.example").body(Body::empty()).unwrap())
        .await;
    assert!(reply.headers[header::SET_COOKIE].to_str().unwrap().ends_with("; Secure"));
    let own = Request::get("/api/studies")
        .header(header::HOST, "lab.example")
        .header(header::AUTHORIZATION, served.bearer());
    let own = own.header(header::ORIGIN, "https://lab.example");
    assert_eq!(served.send(own.body(Body::empty()).unwrap()).await.status, StatusCode::OK);
    let clear = Request::get("/api/studies")
        .header(header::HOST, "lab.example")
        .header(header::AUTHORIZATION, served.bearer());
    let clear = clear.header(header::ORIGIN, "http://lab.example");
    assert_eq!(served.send(clear.body(Body::empty()).unwrap()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn no_path_leads_out_of_what_is_served() {
    let (dir, served) = served();
    fs_err::write(dir.path().join("secret"), "do not tell").unwrap();
    fs_err::create_dir(dir.path().join("golf/inner")).unwrap();
    fs_err::copy(dir.path().join("golf/ledger.db"), dir.path().join("golf/inner/ledger.db"))
        .unwrap();
    for path in [
        "/../secret",
        "/assets/../../secret",
        "/assets/..%2f..%2fsecret",
        "/%2e%2e/secret",
        "/secret",
        "/api/studies/..",
        "/api/studies/.",
        "/api/studies/%2e%2e",
        "/api/studies/..%2fgolf",
        "/api/studies/golf%2finner",
        "/api/studies/golf%2f..%2fgolf",
        "/api/studies/%2fetc",
        "/api/studies/golf%00",
        "/api/studies/golf/trials/..%2f..%2fsecret",
        "/api/studies/golf/replicates/t1/logs/..%2f..%2f..%2fsecret",
        "/api/studies/golf/requests/..%2f..%2fsecret",
        "/api/studies/golf/report/../../secret",
        "/api/studies/%ff",
    ] {
        let reply = served.get(path).await;
        assert!(!reply.body.contains("do not tell"), "{path}: {}", reply.body);
        if path.starts_with("/api") {
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn every_reply_tells_the_browser_what_it_must_not_do() {
    let (_dir, served) = served();
    for path in ["/", "/api/studies", "/api/studies/none", "/api/studies/golf/trials/t1"] {
        let reply = served.get(path).await;
        let policy = reply.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(reply.headers[header::X_FRAME_OPTIONS], "DENY");
        assert_eq!(reply.headers[header::REFERRER_POLICY], "no-referrer");
        assert!(reply.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
    }
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/api/studies/golf/requests")
        .header(header::HOST, HOST)
        .header(header::ORIGIN, "http://evil.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
    let reply = served.send(preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(reply.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
}

#[tokio::test]
async fn what_a_stranger_wrote_is_json_text_and_a_report_runs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let study = dir.path().join("<img src=x onerror=alert(1)>");
    let mut story = Story::sixty();
    let script = "<script>alert(1)</script>";
    story.push(Event::Noted { by: script.to_owned(), text: script.to_owned() });
    write(&story, &study);
    fs_err::write(study.join("report.html"), script).unwrap();
    let served = Served::of(dir.path());
    let id = "%3Cimg%20src=x%20onerror=alert(1)%3E";
    for path in [
        "/api/studies".to_owned(),
        format!("/api/studies/{id}"),
        format!("/api/studies/{id}/notes"),
    ] {
        let reply = served.get(&path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.body);
        assert_eq!(reply.headers[header::CONTENT_TYPE], "application/json");
    }
    let notes = served.json(&format!("/api/studies/{id}/notes")).await;
    assert_eq!(notes["notes"][0]["text"], script);
    let report = served.get(&format!("/api/studies/{id}/report")).await;
    let policy = report.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("sandbox;") && !policy.contains("script-src"), "{policy}");
}
