//! Identifiers: one type per kind of thing, so that none can be passed for another.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// Text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}; expected {expected}")]
pub struct ParseIdError {
    kind: &'static str,
    expected: &'static str,
    text: String,
}

impl ParseIdError {
    pub(crate) fn new(kind: &'static str, expected: &'static str, text: &str) -> Self {
        Self { kind, expected, text: shown(text) }
    }
}

/// As much of `text` as a message may hold.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

uuid_id!(
    /// A study, for ever (UUIDv7).
    StudyId
);
uuid_id!(
    /// One execution of a trial under one seed (UUIDv7).
    ReplicateId
);

/// A trial's small number within its study, written `t17`. `t0` is the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrialNo(pub u32);

impl TrialNo {
    /// The unedited recipe.
    pub const BASELINE: Self = Self(0);
}

impl fmt::Display for TrialNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("t{}", self.0))
    }
}

impl FromStr for TrialNo {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('t').unwrap_or(text);
        // A number may bear a sign, a name may not.
        let no = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        no.map(Self).ok_or_else(|| ParseIdError {
            kind: "trial",
            expected: "`t` and a number, such as t17",
            text: shown(text),
        })
    }
}

impl Serialize for TrialNo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TrialNo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $kind:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let fail = || ParseIdError { kind: $kind, expected: $expected, text: shown(text) };
                let mut bytes = [0; $bytes];
                if text.len() != 2 * $bytes || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(fail());
                }
                for (i, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| fail())?;
                }
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

hex_id!(
    /// A BLAKE3 hash of anything: a task's files, an environment, an event.
    Digest, 32, "digest", "64 hexadecimal digits"
);
hex_id!(
    /// The BLAKE3 hash of a blob's uncompressed bytes.
    BlobId, 32, "blob id", "64 hexadecimal digits"
);
hex_id!(
    /// A git tree (SHA-1).
    TreeId, 20, "tree id", "40 hexadecimal digits"
);
hex_id!(
    /// A git commit (SHA-1).
    CommitId, 20, "commit id", "40 hexadecimal digits"
);

impl Digest {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl BlobId {
    /// The id of a blob holding `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}
