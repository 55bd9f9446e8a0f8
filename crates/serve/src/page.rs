//! The page: built by `cargo xtask web`, held within the binary. It is served from memory, by exact name, so there is no
//! path to go astray on.

use axum::{
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rust_embed::Embed;

use crate::problem::Problem;

#[derive(Embed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Built;

/// What is said where the page was not built.
const NOT_BUILT: &str = "This program was built without its page. In a checkout of Empiric:\n\n    cargo xtask web\n    \
                         cargo build --release\n\nThe REST interface is there all the same: /api/openapi.json\n";

/// A file of the page; every other address is the page itself, which knows what to show there.
pub(crate) async fn page(method: Method, uri: Uri) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        let mut response =
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the page can only be read");
        response.hint = None;
        let mut response = response.into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = uri.path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") {
        return Problem::missing("there is no such thing in this interface").into_response();
    }
    if let Some(file) = Built::get(path).filter(|_| !path.is_empty()) {
        return sent(path, file.data.into_owned());
    }
    // A file that is not there is not the page.
    if path.starts_with("assets/") {
        return Problem::missing("there is no such file").into_response();
    }
    match Built::get("index.html") {
        Some(index) => sent("index.html", index.data.into_owned()),
        None => {
            let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            (kind, NOT_BUILT).into_response()
        }
    }
}

fn sent(path: &str, bytes: Vec<u8>) -> Response {
    let kind = match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json" | "webmanifest") => "application/json",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    };
    // The name of an asset changes with its content.
    let keep = if path.starts_with("assets/") {
        "private, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], bytes).into_response()
}
