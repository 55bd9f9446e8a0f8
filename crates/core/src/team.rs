//! Who proposes in an arm: roles, models, words. Recorded, so that what they did can be done again.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::BlobId;

/// A role that a model plays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// The surface it owns; without one, the whole recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// What it is about, and what to look for.
    pub brief: String,
    /// What is none of its business, in words; surfaces of others are refused by rule.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub off_limits: String,
    /// Lines that an edit may change, added and removed together; beyond, it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radius: Option<u32>,
}

/// Who proposes in an arm.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Team {
    /// The roles; at least one.
    pub roles: Vec<Role>,
    /// Models as `provider/model`; more than one are chosen among by what they gained.
    pub models: Vec<String>,
    /// Prompt files by name, as blobs.
    pub prompts: BTreeMap<String, BlobId>,
    /// Channels of the digest that are closed, by name, with the tools that would leak them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<String>,
    /// Hosts whose pages of the web may be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub web: Vec<String>,
    /// Most turns of one session.
    pub turns: u32,
    /// Most tokens that one reply may have.
    pub reply_tokens: u32,
    /// Characters of conversation beyond which it is made shorter.
    pub context: u32,
}
