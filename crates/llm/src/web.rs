//! Pages of the web, read for proposers: from hosts that a person named and from no others, bounded, as text.
//!
//! What a page says is data of a stranger; whoever shows it quotes it. Nothing is sent but the address: no key, no cookie.

use std::time::Duration;

use reqwest::{
    Response, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, LOCATION, USER_AGENT},
};

use crate::http::{Timeouts, client, collect, network};

/// Most bytes of a page that are read.
const PAGE: usize = 2 << 20;
/// Most bytes of a page that are kept.
const TEXT: usize = 256 << 10;
/// Redirects followed.
const HOPS: usize = 5;
/// How long a page is waited for.
const WAIT: Duration = Duration::from_secs(20);
/// What is asked for.
const KINDS: &str = "text/html, text/plain, text/*, application/json, application/xml";
/// Elements whose content is no text.
const SILENT: [&str; 3] = ["script", "style", "template"];

/// What `text` names as a host, with a port where it is not the usual one.
///
/// # Errors
/// What is wrong with it.
pub fn host(text: &str) -> Result<String, String> {
    let whole = format!("https://{text}/");
    let url = Url::parse(&whole).map_err(|error| format!("it is no host: {error}"))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    match named(&url) {
        Some(host) if bare && !signed(&url) => Ok(host),
        _ => Err("it is no host, such as arxiv.org or localhost:8000".to_owned()),
    }
}

/// The text of the page at `url`, whose host is one of `hosts`, and so is every host that it leads to.
///
/// # Errors
/// Why there is none, in words for whoever asked.
pub async fn page(url: &str, hosts: &[String]) -> Result<String, String> {
    let timed = tokio::time::timeout(WAIT, follow(url, hosts)).await;
    timed.unwrap_or_else(|_| Err(format!("there was no page within {} s", WAIT.as_secs())))
}

async fn follow(url: &str, hosts: &[String]) -> Result<String, String> {
    let client = client(Timeouts::default()).map_err(|error| network(&error).message)?;
    let mut at = allowed(url, hosts)?;
    for _ in 0..=HOPS {
        let asked = client
            .get(at.clone())
            .header(ACCEPT, KINDS)
            .header(USER_AGENT, concat!("empiric/", env!("CARGO_PKG_VERSION")));
        let response = asked.send().await.map_err(|error| network(&error).message)?;
        if response.status().is_redirection()
            && let Some(to) = header(response.headers(), &LOCATION)
        {
            let next = at.join(to).map_err(|_| "it leads to what is no address".to_owned())?;
            at = allowed(next.as_str(), hosts)?;
        } else if response.status().is_success() {
            return text(response).await;
        } else {
            return Err(format!("the server answers {}", response.status()));
        }
    }
    Err(format!("it leads on more than {HOPS} times"))
}

/// The address, if it may be read.
fn allowed(url: &str, hosts: &[String]) -> Result<Url, String> {
    let url = Url::parse(url).map_err(|error| format!("it is no address: {error}"))?;
    let host = named(&url).ok_or("it names no host")?;
    if !hosts.contains(&host) {
        return Err(format!("{host} is none of the hosts that may be read: {}", hosts.join(", ")));
    }
    // Whoever is on the way could put anything into a page that comes in the clear.
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() != "https" && !(url.scheme() == "http" && here) {
        return Err("pages are read over https alone".to_owned());
    }
    if signed(&url) {
        return Err("no name or password is sent to anybody".to_owned());
    }
    Ok(url)
}

/// Whether an address says who asks.
fn signed(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// The host of an address, with its port where that is not the scheme's own.
fn named(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn header<'a>(headers: &'a HeaderMap, name: &reqwest::header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

async fn text(response: Response) -> Result<String, String> {
    let kind = header(response.headers(), &CONTENT_TYPE).unwrap_or("text/plain");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let readable = kind.starts_with("text/") || kind.ends_with("json") || kind.ends_with("xml");
    if !readable {
        return Err(format!("it is {kind:?}, which is not read here"));
    }
    let bytes = match collect(response.bytes_stream(), PAGE, WAIT).await {
        Ok(bytes) => bytes,
        // What is too long is cut.
        Err((bytes, _)) if bytes.len() > PAGE => bytes,
        Err((_, fault)) => return Err(fault.message),
    };
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if kind.contains("html") {
        text = plain(&text);
    }
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.push_str("\n(the rest is left out)\n");
    }
    Ok(text)
}

/// The words of a page of HTML, in one pass however it is made: without its elements, and without what no reader sees.
/// Good enough to be read by a model, and no more than that.
fn plain(html: &str) -> String {
    let mut text = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let inside = &rest[1..];
        let named = inside.strip_prefix('/').unwrap_or(inside);
        if !named.starts_with(|first: char| first.is_ascii_alphabetic() || first == '!') {
            text.push('<');
            rest = inside;
            continue;
        }
        let Some(end) = inside.find('>') else {
            rest = "";
            break;
        };
        let name: String = named.chars().take(12).take_while(char::is_ascii_alphanumeric).collect();
        let name = name.to_ascii_lowercase();
        rest = &inside[end + 1..];
        if SILENT.contains(&&*name) && !inside.starts_with('/') {
            let close = format!("</{name}");
            let low = rest.as_bytes().windows(close.len());
            let end = low.into_iter().position(|at| at.eq_ignore_ascii_case(close.as_bytes()));
            rest = end.map_or("", |end| &rest[end..]);
        }
        let inline = ["a", "b", "i", "em", "strong", "span", "code", "sub", "sup", "tt", "u"];
        if !inline.contains(&&*name) {
            text.push('\n');
        }
    }
    text.push_str(rest);
    let known = [
        ("&nbsp;", " "),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    let text = known.iter().fold(text, |text, (entity, meant)| text.replace(entity, meant));
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_named_hosts_are_read_and_only_safely() {
        let hosts = ["arxiv.org".to_owned(), "localhost:8000".to_owned()];
        let refused = |url: &str| allowed(url, &hosts).unwrap_err();
        assert!(allowed("https://arxiv.org/abs/1911.05507", &hosts).is_ok());
        assert!(allowed("https://ARXIV.org:443/x?y=z", &hosts).is_ok());
        assert!(allowed("http://localhost:8000/x", &hosts).is_ok());
        for other in [
            "https://arxiv.org.evil.example/",
            "https://export.arxiv.org/",
            "https://arxiv.org:8443/",
            "http://localhost/",
            "http://169.254.169.254/latest/meta-data",
        ] {
            assert!(refused(other).contains("none of the hosts"), "{other}");
        }
        assert!(refused("http://arxiv.org/").contains("https"));
        assert!(refused("https://me:secret@arxiv.org/").contains("password"));
        assert!(refused("file:///etc/passwd").contains("names no host"));
        assert!(refused("arxiv.org/abs").contains("no address"));
    }

    #[test]
    fn a_host_is_a_host_and_nothing_more() {
        assert_eq!(host("ArXiv.org").unwrap(), "arxiv.org");
        assert_eq!(host("localhost:8000").unwrap(), "localhost:8000");
        for wrong in ["", "https://arxiv.org", "arxiv.org/abs", "a@b", "arxiv.org?x", "a b"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn of_a_page_its_words_are_left() {
        let html = "<!doctype html><title>A  title</title><script>if (a<b) {}</SCRIPT >\
            <style>p{}</style><!-- <p>no --><p>One <b>bold</b> word &amp;lt; 3 &lt; 4\n<p>two<br>three <unclosed";
        assert_eq!(plain(html), "A title\nOne bold word &lt; 3 < 4\ntwo\nthree\n");
        assert_eq!(plain("a < b <3"), "a < b <3\n");
    }

    proptest! {
        #[test]
        fn whatever_a_page_is_it_is_read(html in "(<|>|/|!|-|a|script|style|&|;|é| |\n){0,60}") {
            plain(&html);
        }
    }

    #[test]
    fn the_worst_pages_take_no_longer_than_others() {
        for piece in ["<", "<a", "<a>", "<!--", "<script>", "</", "<style></s", "&lt"] {
            let page = piece.repeat(PAGE / piece.len());
            let text = plain(&page);
            assert!(text.len() <= page.len() + 1, "{piece}");
        }
    }
}
