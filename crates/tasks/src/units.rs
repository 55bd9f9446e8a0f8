//! Durations and sizes as people write them: a number and a unit, never a bare number.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Text that is not a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// A number alone.
    #[error("`{text}` has no unit; write {examples}")]
    NoUnit {
        /// What was written.
        text: String,
        /// How to write it.
        examples: &'static str,
    },
    /// A unit that does not exist.
    #[error("`{unit}` is not a unit of {kind}; use {units}")]
    UnknownUnit {
        /// What was written after the number.
        unit: String,
        /// `time` or `size`.
        kind: &'static str,
        /// The units there are.
        units: &'static str,
    },
    /// Something else.
    #[error("`{text}` is not a {kind}; write {examples}")]
    NotANumber {
        /// What was written.
        text: String,
        /// `duration` or `size`.
        kind: &'static str,
        /// How to write it.
        examples: &'static str,
    },
    /// More than can be counted.
    #[error("`{text}` is too large")]
    TooLarge {
        /// What was written.
        text: String,
    },
}

/// Examples of durations, for messages.
pub(crate) const DURATIONS: &str = "such as \"20s\", \"5m\" or \"1h30m\"";
/// Examples of sizes, for messages.
pub(crate) const SIZES: &str = "such as \"512KiB\", \"16kB\" or \"2GiB\"";

/// Seconds from text such as `250ms`, `20s`, `5m`, `2h`, `1h30m` or `1.5d`.
///
/// # Errors
/// When a number lacks its unit, a unit is unknown, or the text is something else.
pub fn duration(text: &str) -> Result<f64, UnitError> {
    let mut seconds = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(UnitError::NotANumber {
            text: text.to_owned(),
            kind: "duration",
            examples: DURATIONS,
        });
    }
    while !rest.is_empty() {
        let (number, unit, after) = part(rest).ok_or_else(|| UnitError::NotANumber {
            text: text.to_owned(),
            kind: "duration",
            examples: DURATIONS,
        })?;
        let scale = match unit {
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            "" => return Err(UnitError::NoUnit { text: text.to_owned(), examples: DURATIONS }),
            _ => {
                return Err(UnitError::UnknownUnit {
                    unit: unit.to_owned(),
                    kind: "time",
                    units: "ms, s, m, h or d",
                });
            }
        };
        seconds += number * scale;
        rest = after.trim_start();
    }
    if !seconds.is_finite() {
        return Err(UnitError::TooLarge { text: text.to_owned() });
    }
    Ok(seconds)
}

/// Bytes from text such as `100B`, `16kB` (16,000) or `512KiB` (524,288).
///
/// # Errors
/// When the number lacks its unit, the unit is unknown, or the text is something else.
pub fn size(text: &str) -> Result<u64, UnitError> {
    let wrong = || UnitError::NotANumber { text: text.to_owned(), kind: "size", examples: SIZES };
    let (number, unit, after) = part(text.trim()).ok_or_else(wrong)?;
    if !after.is_empty() {
        return Err(wrong());
    }
    let scale: u64 = match unit {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000_u64.pow(2),
        "GB" => 1000_u64.pow(3),
        "TB" => 1000_u64.pow(4),
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "" => return Err(UnitError::NoUnit { text: text.to_owned(), examples: SIZES }),
        _ => {
            return Err(UnitError::UnknownUnit {
                unit: unit.to_owned(),
                kind: "size",
                units: "B, kB, MB, GB, TB, KiB, MiB, GiB or TiB",
            });
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "scales are exact in f64")]
    let bytes = (number * scale as f64).round();
    if bytes >= 9e15 {
        return Err(UnitError::TooLarge { text: text.to_owned() });
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 0..9e15, checked above"
    )]
    let bytes = bytes as u64;
    Ok(bytes)
}

/// A leading number, the unit after it, and what follows.
fn part(text: &str) -> Option<(f64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    let rest = text[digits..].trim_start();
    let unit = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    Some((number, &rest[..unit], &rest[unit..]))
}

/// Seconds, written with a unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seconds(pub(crate) f64);

/// Bytes, written with a unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes(pub(crate) u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        size(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

impl JsonSchema for Seconds {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration", "pattern": r"^\s*([0-9.]+\s*(ms|s|m|h|d)\s*)+$" })
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "size", "pattern": r"^\s*[0-9.]+\s*(B|[kKMGT]B|[KMGT]iB)\s*$" })
    }
}
