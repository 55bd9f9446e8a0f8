//! Model calls as the ledger keeps them: who asked which model what, what came back, and what it cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BlobId, Cost, Failure, Spend, Usage};

/// One call of a model for one trial. Request and reply are blobs, so that the call can be made again without a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its place among the calls for its trial, from 0. One that was broken off is made again under the same number.
    pub index: u32,
    /// The role that asked.
    pub role: String,
    /// The model, as `provider/model`.
    pub model: String,
    /// The request, in the neutral form that it was made from.
    pub request: BlobId,
    /// What came back: a reply, or the error that the proposer went on from.
    pub answer: BlobId,
    /// Tokens billed, as far as the provider said.
    #[serde(default)]
    pub usage: Usage,
    /// What it was charged over all attempts; those whose bill is unknown at the worst that they can have cost.
    #[serde(default)]
    pub spend: Spend,
    /// Requests sent for it.
    #[serde(default)]
    pub attempts: u32,
    /// Why it gave nothing, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<CallFault>,
    /// Seconds from request to end.
    #[serde(default)]
    pub wall_s: f64,
}

impl Call {
    /// What it adds to what was spent.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let Spend { calls, tokens, money } = self.spend;
        Cost { calls, tokens, usd: money.usd(), ..Cost::default() }
    }
}

/// Why a call gave nothing: the classes that a model client knows, but for those that nothing was sent for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CallFault {
    /// Too many requests.
    RateLimited,
    /// The provider has trouble.
    Overloaded,
    /// The provider could not be reached, or the connection broke.
    Network,
    /// Nothing came for too long.
    Stalled,
    /// What came cannot be understood: garbage, cut off, or empty.
    Malformed,
    /// More input than the model takes.
    ContextOverflow,
    /// The model or its provider declines to answer.
    Declined,
    /// The key is missing or not accepted.
    Auth,
    /// A model or provider that is not known.
    Unknown,
    /// The provider does not accept the request as it is.
    Rejected,
    /// No price is known for the model, and money is capped.
    Unpriced,
    /// Another class of failure.
    Other,
}

impl CallFault {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::RateLimited,
        Self::Overloaded,
        Self::Network,
        Self::Stalled,
        Self::Malformed,
        Self::ContextOverflow,
        Self::Declined,
        Self::Auth,
        Self::Unknown,
        Self::Rejected,
        Self::Unpriced,
        Self::Other,
    ];

    /// Its stable name, as in the JSON form.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Network => "network",
            Self::Stalled => "stalled",
            Self::Malformed => "malformed",
            Self::ContextOverflow => "context_overflow",
            Self::Declined => "declined",
            Self::Auth => "auth",
            Self::Unknown => "unknown",
            Self::Rejected => "rejected",
            Self::Unpriced => "unpriced",
            Self::Other => "other",
        }
    }

    /// The class of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|fault| fault.name() == name).unwrap_or(Self::Other)
    }
}

/// A smoke stage that was run for a proposer before it handed in its edit. It decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// Its place among the rehearsals for its trial, from 0.
    pub index: u32,
    /// Why it did not end well, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What it cost.
    pub cost: Cost,
    /// What it printed, bounded, as a blob's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// A page of the web that a proposer asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// Its place among the pages asked for by the proposer of its trial, from 0.
    pub index: u32,
    /// Its address.
    pub url: String,
    /// Its text as the proposer was given it, as a blob; none where there was no page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<BlobId>,
    /// Why there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What calls amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Spending {
    /// Calls.
    pub calls: u64,
    /// Of them, those that gave nothing.
    pub faults: u64,
    /// Tokens billed.
    pub usage: Usage,
    /// What was charged.
    pub spend: Spend,
}

impl Spending {
    /// With one more call.
    pub(crate) fn add(&mut self, call: &Call) {
        self.calls += 1;
        self.faults += u64::from(call.fault.is_some());
        self.usage += call.usage;
        self.spend += call.spend;
    }
}

/// Who made calls: arm, role and model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// The arm.
    pub arm: String,
    /// The role.
    pub role: String,
    /// The model.
    pub model: String,
}
