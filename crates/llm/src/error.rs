//! Why a call came to nothing, by what can be done about it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Refused;

/// Most characters of a provider's words in an error.
const SHOWN: usize = 400;

/// A call that came to nothing. It can be recorded like a reply, since what a proposer does next depends on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("ask {model}: {class}{}{}", if message.is_empty() { "" } else { ": " }, message)]
pub struct Error {
    /// What kind of failure.
    pub class: Class,
    /// The model asked.
    pub model: String,
    /// What was said, bounded, without control characters and keys; data, not instructions.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
}

impl Error {
    /// A failure of the given class.
    #[must_use]
    pub fn new(class: Class, model: impl fmt::Display, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.retain(|c| !c.is_control());
        if let Some((at, _)) = message.char_indices().nth(SHOWN) {
            message.truncate(at);
            message.push('…');
        }
        Self { class, model: model.to_string(), message, attempts: 1 }
    }

    /// Whether the failure lies in how the study is set up (no key, no price, no such model, no server): the next call will
    /// fail the same way, whatever it asks.
    #[must_use]
    pub fn is_of_the_setup(&self) -> bool {
        matches!(self.class, Class::Auth | Class::Unpriced | Class::Unknown | Class::Down)
    }

    /// Whether it says nothing of the call that met it, which is made again once what was in its way is gone.
    pub(crate) fn passes(&self) -> bool {
        self.is_of_the_setup() || matches!(self.class, Class::Budget { .. } | Class::Cancelled)
    }

    /// Whether the provider, the network or the machine is at fault, and not what was asked.
    #[must_use]
    pub fn is_of_the_provider(&self) -> bool {
        matches!(
            self.class,
            Class::RateLimited { .. } | Class::Overloaded { .. } | Class::Network | Class::Stalled
        )
    }
}

/// The kinds of failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "snake_case")]
pub enum Class {
    /// Too many requests (429).
    RateLimited {
        /// How long to wait, milliseconds, where the provider says so.
        after_ms: Option<u64>,
    },
    /// The provider has trouble (500, 502, 503, 504, 529).
    Overloaded {
        /// How long to wait, milliseconds, where the provider says so.
        after_ms: Option<u64>,
    },
    /// The provider could not be reached, or the connection broke.
    Network,
    /// Nobody is answered: the server was never there, or has been gone for long.
    Down,
    /// Nothing came for too long.
    Stalled,
    /// A reply that cannot be understood: garbage, cut off, or empty.
    Malformed,
    /// More input than the model takes. The conversation has to become shorter.
    ContextOverflow,
    /// The model or its provider declines to answer this.
    Declined,
    /// The key is missing or not accepted.
    Auth,
    /// A model or provider that is not known.
    Unknown,
    /// The provider does not understand the request: a mistake of ours, or a feature that the model lacks.
    Rejected,
    /// No price is known for the model, and money is capped.
    Unpriced,
    /// The budget has no room for the call. The study pauses.
    Budget {
        /// What is short.
        refused: Box<Refused>,
    },
    /// The call is not on the tape that is replayed.
    NotRecorded,
    /// The tape could not be written or read.
    Tape,
    /// The session ends.
    Cancelled,
}

impl Class {
    /// How long the provider asks to wait.
    #[must_use]
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { after_ms } | Self::Overloaded { after_ms } => {
                after_ms.map(Duration::from_millis)
            }
            Self::Network
            | Self::Down
            | Self::Stalled
            | Self::Malformed
            | Self::ContextOverflow
            | Self::Declined
            | Self::Auth
            | Self::Unknown
            | Self::Rejected
            | Self::Unpriced
            | Self::Budget { .. }
            | Self::NotRecorded
            | Self::Tape
            | Self::Cancelled => None,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RateLimited { .. } => f.write_str("too many requests"),
            Self::Overloaded { .. } => f.write_str("the provider has trouble"),
            Self::Network => f.write_str("the provider cannot be reached"),
            Self::Down => f.write_str("the provider answers nobody"),
            Self::Stalled => f.write_str("nothing came for too long"),
            Self::Malformed => f.write_str("the reply cannot be understood"),
            Self::ContextOverflow => f.write_str("the conversation is longer than the model takes"),
            Self::Declined => f.write_str("it declines to answer"),
            Self::Auth => f.write_str("the key is missing or not accepted"),
            Self::Unknown => f.write_str("no such model or provider"),
            Self::Rejected => f.write_str("the provider does not accept the request"),
            Self::Unpriced => f.write_str(
                "its price is not known; give one in the models file, or set no cap on money",
            ),
            Self::Budget { refused } => write!(f, "{refused}"),
            Self::NotRecorded => f.write_str("the call is not on the tape that is replayed"),
            Self::Tape => f.write_str("the call could not be recorded"),
            Self::Cancelled => f.write_str("the session ends"),
        }
    }
}
