//! Which providers and prices are known: those built in, and a models file of the user's that overrides them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{Dialect, ModelId, Patience, Price, Secret, Timeouts, Wire, price::Listed};

/// The providers and prices that come with this version.
const BUILT_IN: &str = include_str!("models.toml");

/// Providers by name, and prices by model.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogue {
    version: String,
    providers: BTreeMap<String, Provider>,
    prices: BTreeMap<String, Price>,
    timeouts: Timeouts,
    patience: Patience,
}

/// A server that is asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The protocol.
    pub wire: Wire,
    /// What comes before `/chat/completions`, `/responses` or `/messages`; no slash at its end.
    pub url: String,
    /// Where it speaks Google's own language, if it does; no slash at its end.
    pub gemini: Option<String>,
    /// Where its key is.
    pub key: KeySource,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// Whether answers are streamed, so that a silence is noticed.
    pub stream: bool,
    /// Whether the cap on output is called `max_completion_tokens`.
    pub completion_tokens: bool,
    /// Whether it costs nothing, as one's own machine does.
    pub free: bool,
    /// The provider whose prices apply, where not its own.
    pub prices_of: Option<String>,
}

impl Provider {
    /// Where it answers requests in `dialect`, if it does.
    #[must_use]
    pub fn speaks(&self, dialect: Dialect) -> Option<&str> {
        match dialect.wire() {
            Some(wire) => (wire == self.wire).then_some(&self.url),
            None => self.gemini.as_deref(),
        }
    }
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// None is needed.
    None,
    /// In an environment variable of this name.
    Env(String),
    /// In a file.
    File(PathBuf),
}

/// A models file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("read models from {origin}: {why}")]
pub struct CatalogueError {
    origin: String,
    why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Option<String>,
    #[serde(default)]
    provider: BTreeMap<String, Entry>,
    #[serde(default)]
    price: BTreeMap<String, Listed>,
    #[serde(default)]
    waiting: Waiting,
}

/// How long is waited for what, seconds; what is absent stays as it was.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    /// For a connection.
    connect_s: Option<f64>,
    /// For an answer that is not streamed.
    answer_s: Option<f64>,
    /// For the next piece of one that is.
    idle_s: Option<f64>,
    /// Before the first further try of what failed; each wait that follows is twice as long.
    first_s: Option<f64>,
    /// The longest wait before a further try.
    longest_s: Option<f64>,
    /// All waits of a call together.
    total_s: Option<f64>,
}

/// A provider as written; what is absent stays as it was.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    wire: Option<Wire>,
    url: Option<String>,
    gemini: Option<String>,
    key_env: Option<String>,
    key_file: Option<PathBuf>,
    headers: Option<BTreeMap<String, String>>,
    stream: Option<bool>,
    completion_tokens: Option<bool>,
    free: Option<bool>,
    prices_of: Option<String>,
}

impl Catalogue {
    /// What comes with this version.
    ///
    /// # Errors
    /// Never, as a test holds.
    pub fn built_in() -> Result<Self, CatalogueError> {
        let empty = Self {
            version: String::new(),
            providers: BTreeMap::new(),
            prices: BTreeMap::new(),
            timeouts: Timeouts::default(),
            patience: Patience::default(),
        };
        empty.with(BUILT_IN, "the built-in list")
    }

    /// With a models file over it; `origin` names it in errors.
    ///
    /// # Errors
    /// When the text is no models file; the message says where.
    pub fn with(mut self, text: &str, origin: &str) -> Result<Self, CatalogueError> {
        let fail = |why: String| CatalogueError { origin: origin.to_owned(), why };
        let file: File = toml::from_str(text).map_err(|error| fail(error.to_string()))?;
        for (name, entry) in file.provider {
            let known = self.providers.remove(&name);
            let provider =
                entry.over(known).map_err(|why| fail(format!("provider {name}: {why}")))?;
            self.providers.insert(name, provider);
        }
        for (id, listed) in file.price {
            id.parse::<ModelId>().map_err(|error| fail(error.to_string()))?;
            let price = listed.price();
            let price = price.ok_or_else(|| {
                fail(format!("price of {id}: prices are dollars per million tokens, from 0"))
            })?;
            self.prices.insert(id, price);
        }
        file.waiting.over(&mut self.timeouts, &mut self.patience).map_err(fail)?;
        if let Some(version) = file.version {
            self.version = match self.version.as_str() {
                "" => version,
                before => format!("{before}, {version}"),
            };
        }
        Ok(self)
    }

    /// With the models file at `path` over it.
    ///
    /// # Errors
    /// When it cannot be read or is no models file.
    pub fn with_file(self, path: &Path) -> Result<Self, CatalogueError> {
        let origin = path.display().to_string();
        let text = fs_err::read_to_string(path)
            .map_err(|error| CatalogueError { origin: origin.clone(), why: error.to_string() })?;
        self.with(&text, &origin)
    }

    /// The versions of the lists it is made of.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How long is waited for what.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// How often what fails is tried again.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// A provider by name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.get(name)
    }

    /// The names of all providers.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// What a model costs. A name that ends in a date (`-20250929`, `-2025-04-14`) or `-latest` costs what the name without
    /// it does; no other name is taken for another's.
    #[must_use]
    pub fn price(&self, id: &ModelId) -> Option<Price> {
        let provider = self.providers.get(id.provider())?;
        if provider.free {
            return Some(Price::FREE);
        }
        let lender = provider.prices_of.as_deref().unwrap_or(id.provider());
        let named = |model: &str| self.prices.get(&format!("{lender}/{model}")).copied();
        named(id.model()).or_else(|| named(undated(id.model())?))
    }

    /// The keys of all providers, as far as they are found; `env` answers for environment variables.
    ///
    /// # Errors
    /// When a key file is named and cannot be read.
    pub fn keys(
        &self,
        env: impl Fn(&str) -> Option<String>,
    ) -> std::io::Result<BTreeMap<String, Secret>> {
        let mut keys = BTreeMap::new();
        for (name, provider) in &self.providers {
            let key = match &provider.key {
                KeySource::None => None,
                KeySource::Env(variable) => env(variable).and_then(|text| Secret::new(&text)),
                KeySource::File(path) => Some(Secret::read(path)?),
            };
            keys.extend(key.map(|key| (name.clone(), key)));
        }
        Ok(keys)
    }
}

impl Waiting {
    fn over(&self, timeouts: &mut Timeouts, patience: &mut Patience) -> Result<(), String> {
        for (name, given, held) in [
            ("connect_s", self.connect_s, &mut timeouts.connect),
            ("answer_s", self.answer_s, &mut timeouts.answer),
            ("idle_s", self.idle_s, &mut timeouts.idle),
            ("first_s", self.first_s, &mut patience.first),
            ("longest_s", self.longest_s, &mut patience.longest),
            ("total_s", self.total_s, &mut patience.total),
        ] {
            let Some(seconds) = given else { continue };
            let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
            *held = time.ok_or_else(|| format!("waiting: {name} is no time above 0"))?;
        }
        Ok(())
    }
}

impl Entry {
    fn over(self, known: Option<Provider>) -> Result<Provider, String> {
        let (wire, url) = known
            .as_ref()
            .map_or((None, None), |known| (Some(known.wire), Some(known.url.clone())));
        // Who moves a provider moves all of it.
        let gemini = match (self.gemini, &self.url, &known) {
            (None, None, Some(known)) => known.gemini.clone(),
            (gemini, ..) => gemini,
        };
        let url = self.url.or(url).ok_or("it needs a `url`")?;
        for url in [Some(&url), gemini.as_ref()].into_iter().flatten() {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err(format!("`{url}` is no URL; it begins with http:// or https://"));
            }
        }
        let key = match (self.key_env, self.key_file) {
            (Some(_), Some(_)) => return Err("give `key_env` or `key_file`, not both".to_owned()),
            (Some(variable), None) => KeySource::Env(variable),
            (None, Some(path)) => KeySource::File(path),
            (None, None) => known.as_ref().map_or(KeySource::None, |known| known.key.clone()),
        };
        let known = known.as_ref();
        Ok(Provider {
            wire: self.wire.or(wire).ok_or("it needs a `wire`: chat, responses or messages")?,
            url: url.trim_end_matches('/').to_owned(),
            gemini: gemini.map(|url| url.trim_end_matches('/').to_owned()),
            key,
            headers: self
                .headers
                .or_else(|| known.map(|known| known.headers.clone()))
                .unwrap_or_default(),
            stream: self.stream.or_else(|| known.map(|known| known.stream)).unwrap_or(true),
            completion_tokens: self
                .completion_tokens
                .or_else(|| known.map(|known| known.completion_tokens))
                .unwrap_or(false),
            free: self.free.or_else(|| known.map(|known| known.free)).unwrap_or(false),
            prices_of: self.prices_of.or_else(|| known.and_then(|known| known.prices_of.clone())),
        })
    }
}

/// A model's name without its date.
fn undated(model: &str) -> Option<&str> {
    if let Some(name) = model.strip_suffix("-latest") {
        return Some(name);
    }
    let (name, last) = model.rsplit_once('-')?;
    let digits =
        |word: &str, n: usize| word.len() == n && word.bytes().all(|byte| byte.is_ascii_digit());
    if digits(last, 8) {
        return Some(name);
    }
    let (name, month) = name.rsplit_once('-')?;
    let (name, year) = name.rsplit_once('-')?;
    (digits(last, 2) && digits(month, 2) && digits(year, 4)).then_some(name)
}

#[cfg(test)]
mod tests {
    use empiric_core::Money;

    use super::*;

    fn id(text: &str) -> ModelId {
        text.parse().unwrap()
    }

    #[test]
    fn the_built_in_list_is_sound_and_every_price_has_its_provider() {
        let list = Catalogue::built_in().unwrap();
        assert_eq!(list.version(), "2026-08");
        for name in list.prices.keys() {
            assert!(list.price(&id(name)).is_some(), "{name}");
        }
        assert_eq!(list.price(&id("ollama/anything")), Some(Price::FREE));
        assert_eq!(list.price(&id("openai-chat/gpt-5")), list.price(&id("openai/gpt-5")));
    }

    #[test]
    fn dated_names_cost_what_the_plain_one_does_and_no_other_name_does() {
        let list = Catalogue::built_in().unwrap();
        let plain = list.price(&id("openai/gpt-4.1")).unwrap();
        assert_eq!(list.price(&id("openai/gpt-4.1-2025-04-14")), Some(plain));
        assert!(list.price(&id("anthropic/claude-haiku-4-5-20251001")).is_some());
        assert_eq!(list.price(&id("openai/gpt-5-pro")), None, "twelve times as dear as gpt-5");
        assert_eq!(list.price(&id("nobody/gpt-5")), None);
    }

    #[test]
    fn a_file_of_ones_own_adds_and_overrides() {
        let mine = r#"
            version = "mine"
            [provider.openai]
            url = "https://proxy.example/v1/"
            [provider.desk]
            wire = "chat"
            url = "http://10.0.0.7:8000/v1"
            key_env = "DESK_KEY"
            [price]
            "desk/qwen3" = { input = 0.1, output = 0.2 }
        "#;
        let list = Catalogue::built_in().unwrap().with(mine, "models.toml").unwrap();
        let openai = list.provider("openai").unwrap();
        assert_eq!(
            (openai.url.as_str(), openai.wire),
            ("https://proxy.example/v1", Wire::Responses)
        );
        assert_eq!(openai.key, KeySource::Env("OPENAI_API_KEY".into()));
        assert_eq!(list.price(&id("desk/qwen3")).unwrap().usual.cached, Money(100_000));
        assert_eq!(list.version(), "2026-08, mine");
        let keys = list.keys(|name| (name == "DESK_KEY").then(|| "k".to_owned())).unwrap();
        assert_eq!(keys.keys().collect::<Vec<_>>(), ["desk"]);
    }

    #[test]
    fn waits_and_where_google_speaks_its_own_language_can_be_said() {
        let list = Catalogue::built_in().unwrap();
        let google = list.provider("google").unwrap();
        assert!(google.speaks(Dialect::Gemini).unwrap().ends_with("/v1beta"));
        assert!(
            google.speaks(Dialect::Chat).is_some() && google.speaks(Dialect::Messages).is_none()
        );
        let moved = "[provider.google]\nurl = \"http://10.0.0.7/v1\"\n[waiting]\nidle_s = 1.5\n";
        let list = list.with(moved, "models.toml").unwrap();
        assert_eq!(list.provider("google").unwrap().speaks(Dialect::Gemini), None);
        assert_eq!(list.timeouts().idle, Duration::from_millis(1500));
        assert_eq!(list.timeouts().answer, Timeouts::default().answer);
        assert_eq!(list.patience(), Patience::default());
    }

    #[test]
    fn mistakes_name_their_place() {
        for (text, expected) in [
            ("[provider.x]\nwire = \"chat\"", "provider x: it needs a `url`"),
            ("[provider.x]\nwire = \"chat\"\nurl = \"x:1\"", "begins with http"),
            ("[provider.x]\nurl = \"http://x\"", "it needs a `wire`"),
            ("[provider.x]\nwire = \"soap\"", "unknown variant"),
            ("[price]\n\"x/y\" = { input = -1, output = 0 }", "price of x/y"),
            ("[price]\ny = { input = 1, output = 0 }", "names no model"),
            ("[prices]", "unknown field"),
            ("[waiting]\nidle_s = 0", "idle_s is no time above 0"),
            ("[waiting]\nidle = 2", "unknown field"),
        ] {
            let error =
                Catalogue::built_in().unwrap().with(text, "mine.toml").unwrap_err().to_string();
            assert!(
                error.starts_with("read models from mine.toml: ") && error.contains(expected),
                "{error}"
            );
        }
    }
}
