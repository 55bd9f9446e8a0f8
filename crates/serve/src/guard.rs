//! Who may ask: whoever knows the token, from a page of this server's own, under this server's own name.
//!
//! A browser sends requests on behalf of any page. What keeps others' pages out: `Host` must be a name that this server
//! was told of (so a foreign name that resolves to this machine gets nothing), `Origin` must be this server's where there
//! is one, and the token comes in a cookie that no other site's request carries, or as a bearer. Each check is made on
//! every route.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

use crate::problem::Problem;

/// What scripts of the page may do: nothing that does not come from here, and nothing inline.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                   connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A secret that whoever holds it may look at the studies and steer them.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new one, of 256 random bits.
    ///
    /// # Errors
    /// When the kernel has no randomness to give.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0_u8; 32];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += rustix::rand::getrandom(
                &mut bytes[filled..],
                rustix::rand::GetRandomFlags::empty(),
            )?;
        }
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// It, to be told to whoever may know it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `other` is it. How long that takes does not tell how much of it is right.
    fn is(&self, other: &str) -> bool {
        blake3::hash(self.0.as_bytes()) == blake3::hash(other.as_bytes())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What is checked against.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    token: Token,
    /// Names by which this server may be called, with their ports, as in `Host`.
    hosts: Vec<String>,
    /// Origins of its own pages.
    origins: Vec<String>,
    cookie: String,
    secure: bool,
}

impl Guard {
    /// For a server that listens at `address`. `public` is the origin that a proxy shows it under.
    pub(crate) fn new(token: Token, address: SocketAddr, tls: bool, public: Option<&str>) -> Self {
        let port = address.port();
        let mut hosts = vec![address.to_string()];
        if address.ip().is_loopback() {
            hosts.extend(["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{port}")));
        }
        let scheme = if tls { "https" } else { "http" };
        let usual = if tls { 443 } else { 80 };
        if port == usual {
            let bare: Vec<String> = hosts
                .iter()
                .filter_map(|host| host.rsplit_once(':').map(|(name, _)| name.to_owned()))
                .collect();
            hosts.extend(bare);
        }
        let mut origins: Vec<String> =
            hosts.iter().map(|host| format!("{scheme}://{host}")).collect();
        if let Some(public) = public {
            let public = public.trim_end_matches('/').to_ascii_lowercase();
            if let Some((_, host)) = public.split_once("://") {
                hosts.push(host.to_owned());
            }
            origins.push(public);
        }
        let secure = tls || public.is_some_and(|origin| origin.starts_with("https://"));
        // Cookies know no ports: two servers on one machine must not take each other's.
        Self { token, hosts, origins, cookie: format!("empiric-{port}"), secure }
    }

    /// Hosts and origins that are let in.
    pub(crate) fn known(&self) -> (Vec<String>, Vec<String>) {
        (self.hosts.clone(), self.origins.clone())
    }

    fn host(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let named = headers.get_all(header::HOST);
        let mut named =
            named.iter().map(|host| host.to_str().unwrap_or_default().to_ascii_lowercase());
        let known = |host: &str| self.hosts.iter().any(|known| known == host);
        let asked = uri.authority().is_none_or(|authority| known(authority.as_str()));
        // Exactly one: what takes the first and what takes the last must not see two.
        asked && named.next().is_some_and(|host| known(&host)) && named.next().is_none()
    }

    fn origin(&self, headers: &HeaderMap) -> bool {
        let mut named = headers.get_all(header::ORIGIN).iter();
        let own = named.all(|origin| {
            origin
                .to_str()
                .is_ok_and(|origin| self.origins.iter().any(|own| own.eq_ignore_ascii_case(origin)))
        });
        let site = headers.get("sec-fetch-site").map(|site| site.to_str().unwrap_or_default());
        own && site.is_none_or(|site| matches!(site, "same-origin" | "none"))
    }

    fn bearer(&self, headers: &HeaderMap) -> bool {
        let word = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = word.and_then(|word| word.split_once(' '));
        token.is_some_and(|(kind, token)| {
            kind.eq_ignore_ascii_case("bearer") && self.token.is(token.trim())
        })
    }

    fn cookie(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(header::COOKIE);
        let cookies = cookies.iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.cookie).then_some(value)
        });
        pairs.any(|value| self.token.is(value))
    }

    /// The token in the query, as the printed URL has it: exchanged for a cookie, so that it stays out of the page's
    /// address, of histories and of `Referer`.
    fn exchanged(&self, request: &Request) -> Option<Response> {
        let query = request.uri().query()?;
        let token = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
        if request.method() != Method::GET || !self.token.is(token) {
            return None;
        }
        let secure = if self.secure { "; Secure" } else { "" };
        let cookie = format!(
            "{}={}; Path=/; HttpOnly; SameSite=Strict{secure}",
            self.cookie,
            self.token.reveal()
        );
        // Only its path: what follows two slashes would be another host.
        let path = format!("/{}", request.uri().path().trim_start_matches('/'));
        let mut response = Redirect::to(&path).into_response();
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_str(&cookie).ok()?);
        Some(response)
    }

    fn check(&self, request: &Request) -> Result<(), Box<Response>> {
        let headers = request.headers();
        if !self.host(headers, request.uri()) {
            let why = "this server is not known under that Host";
            return Err(Box::new(Problem::new(StatusCode::FORBIDDEN, why).into_response()));
        }
        if !self.origin(headers) {
            let why = "requests from other origins are refused";
            return Err(Box::new(Problem::new(StatusCode::FORBIDDEN, why).into_response()));
        }
        if self.bearer(headers) {
            return Ok(());
        }
        if !self.cookie(headers) {
            return Err(Box::new(self.exchanged(request).unwrap_or_else(unknown)));
        }
        // A cookie is sent by the browser; whoever changes something must say which page asks.
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        if changes && headers.get(header::ORIGIN).is_none() {
            let why = "a request that changes something and bears a cookie must name its Origin";
            return Err(Box::new(Problem::new(StatusCode::FORBIDDEN, why).into_response()));
        }
        Ok(())
    }
}

fn unknown() -> Response {
    let mut problem = Problem::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
    problem.hint = Some("open the URL that `empiric serve` printed".to_owned());
    let mut response = problem.into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Checks the request, and says in the reply's headers what the browser must not do with it.
pub(crate) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => *refusal,
    };
    let headers = response.headers_mut();
    for (name, value) in
        [(header::CONTENT_SECURITY_POLICY, CSP), (header::CACHE_CONTROL, "no-store")]
    {
        // A handler that knows better says so itself.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
