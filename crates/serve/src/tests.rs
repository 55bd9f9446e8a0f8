//! The server as a client meets it, without a socket.

mod agents;
mod detail;
mod looking;
mod safety;
mod steering;
mod tls;

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use empiric_testkit::story::Story;
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{Options, Source, Token, guard::Guard, router};

const HOST: &str = "127.0.0.1:8377";

/// A served directory.
struct Served {
    router: Router,
    token: Token,
    cancel: CancellationToken,
}

/// What came back.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Served {
    fn of(path: &Path) -> Self {
        Self::outside(path, false, None)
    }

    fn outside(path: &Path, tls: bool, public: Option<&str>) -> Self {
        let token = Token::random().unwrap();
        let address: SocketAddr = HOST.parse().unwrap();
        let options = Options {
            source: Source::at(path).unwrap(),
            bind: address.ip(),
            port: address.port(),
            outside: None,
            token: token.clone(),
            user: "ann".to_owned(),
            clock: Arc::new(Timestamp::now),
        };
        let cancel = CancellationToken::new();
        let guard = Guard::new(token.clone(), address, tls, public);
        Self { router: router(options, guard, cancel.clone()), token, cancel }
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token.reveal())
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Reply {
        let request = Request::get(path)
            .header(header::HOST, HOST)
            .header(header::AUTHORIZATION, self.bearer());
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.body);
        reply.json()
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, HOST)
            .header(header::AUTHORIZATION, self.bearer())
            .header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
}

/// Writes a story down; the ledger's writer is waited for, which no thread of a runtime may do.
fn write(story: &Story, dir: &Path) {
    std::thread::scope(|scope| scope.spawn(|| story.write(dir).unwrap()).join().unwrap());
}

#[test]
fn the_checked_in_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let kept = fs_err::read_to_string(path).unwrap_or_default();
    let current = crate::document();
    if kept != current {
        let place = std::env::temp_dir().join("empiric-openapi.json");
        fs_err::write(&place, current).unwrap();
        panic!(
            "docs/openapi.json is not what the interface is: `empiric schema api > docs/openapi.json`; it is in {}",
            place.display()
        );
    }
}
