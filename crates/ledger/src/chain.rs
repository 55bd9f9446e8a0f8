//! The hash chain: how an event becomes bytes, and how its hash follows from the one before.

use empiric_core::{Digest, Event, Record};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, types::ValueRef};

use crate::Error;

/// The last event of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its place; 0 while there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
}

impl Head {
    /// The head of an empty ledger.
    pub const START: Self = Self { seq: 0, hash: Digest([0; 32]) };

    /// The head after an event with this time (microseconds since 1970) and body.
    #[must_use]
    pub fn then(self, at: i64, body: &[u8]) -> Self {
        let seq = self.seq + 1;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.hash.0);
        hasher.update(&seq.to_le_bytes());
        hasher.update(&at.to_le_bytes());
        hasher.update(body);
        Self { seq, hash: Digest(*hasher.finalize().as_bytes()) }
    }

    /// The head as stored.
    pub(crate) fn read(db: &Connection) -> Result<Self, Error> {
        let last = db
            .prepare_cached("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1")?
            .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?)))
            .optional()?;
        Ok(last.map_or(Self::START, |(seq, hash)| Self {
            seq: seq.cast_unsigned(),
            hash: Digest(hash),
        }))
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "event {} ({})", self.seq, self.hash)
    }
}

/// The JSON form of `event`, refused unless it decodes to an equal event: what is replayed is what was decided on.
/// (JSON has no NaN and no infinity.)
pub(crate) fn encode(event: &Event) -> Result<String, Error> {
    let unfit = |what: String| Error::Unfit { name: event.name(), what };
    let body = serde_json::to_string(event).map_err(|error| unfit(error.to_string()))?;
    match serde_json::from_str::<Event>(&body) {
        Ok(back) if back == *event => Ok(body),
        Ok(_) => {
            Err(unfit("a value in it changes when written as JSON (NaN or infinite?)".to_owned()))
        }
        Err(error) => {
            Err(unfit(format!("its JSON cannot be read back (NaN or infinite?): {error}")))
        }
    }
}

/// The record stored as these columns.
pub(crate) fn decode(seq: u64, at: i64, body: &[u8]) -> Result<Record, Error> {
    let fail = |what: String| Error::Undecodable { seq, what };
    Ok(Record {
        seq,
        at: time(at).map_err(fail)?,
        event: serde_json::from_slice(body).map_err(|error| fail(error.to_string()))?,
    })
}

/// The time that is `at` microseconds after 1970.
pub(crate) fn time(at: i64) -> Result<Timestamp, String> {
    Timestamp::from_microsecond(at).map_err(|error| error.to_string())
}

/// The bytes of a text column, whatever they are.
pub(crate) fn text(value: ValueRef<'_>) -> Option<&[u8]> {
    if let ValueRef::Text(bytes) = value { Some(bytes) } else { None }
}

/// The record in a row of `seq, at, body`.
pub(crate) fn record(row: &rusqlite::Row<'_>) -> Result<Record, Error> {
    let seq = row.get::<_, i64>(0)?.cast_unsigned();
    let body = text(row.get_ref(2)?)
        .ok_or(Error::Undecodable { seq, what: "its body is not text".to_owned() })?;
    decode(seq, row.get(1)?, body)
}
