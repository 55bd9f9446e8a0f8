//! Names of models: `provider/model`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A model of a provider, written `provider/model`; the model's own name may hold further slashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId {
    provider: String,
    model: String,
}

impl ModelId {
    /// The provider's name, as in the catalogue.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// What the provider calls the model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }
}

/// Text that names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no model; write provider/model, such as anthropic/claude-sonnet-4-5 or ollama/qwen3"
)]
pub struct BadModelId(String);

impl FromStr for ModelId {
    type Err = BadModelId;

    fn from_str(text: &str) -> Result<Self, BadModelId> {
        let bad = || BadModelId(text.chars().filter(|c| !c.is_control()).take(80).collect());
        let (provider, model) = text.split_once('/').ok_or_else(bad)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let named = !provider.is_empty() && provider.chars().all(plain);
        let fine = |c: char| plain(c) || matches!(c, '/' | ':' | '@' | '+');
        if !named || model.is_empty() || model.len() > 200 || !model.chars().all(fine) {
            return Err(bad());
        }
        Ok(Self { provider: provider.to_owned(), model: model.to_owned() })
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.provider, self.model))
    }
}

impl Serialize for ModelId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModelId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::ModelId;

    #[test]
    fn models_are_named_with_their_provider() {
        let id: ModelId = "openrouter/meta-llama/llama-3:free".parse().unwrap();
        assert_eq!((id.provider(), id.model()), ("openrouter", "meta-llama/llama-3:free"));
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["gpt", "/gpt", "open ai/gpt", "openai/", "openai/a b", "openai/a\n", "a?b/c"] {
            assert!(bad.parse::<ModelId>().is_err(), "{bad}");
        }
    }
}
