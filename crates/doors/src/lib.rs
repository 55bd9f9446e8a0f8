//! The doors of a study: every place where it goes from one state on disk to the next, and where a test may end the
//! process as `kill -9` would.
//!
//! A door is passed by [`before`] and [`after`] around whatever changes. Without debug assertions both are empty and
//! [`arm`] is not there, so that what is built for use holds no way to be crashed. [`ALL`] is the registry: a test walks
//! it from end to end and fails where a door is never passed.

use std::{fmt, str::FromStr};

/// One door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `study.toml` is written.
    StudyFile,
    /// What an earlier session left running is ended.
    Recover,
    /// An event of this name is appended: before it is written, and after the transaction it is in.
    Append(&'static str),
    /// The objects of an edited tree are written into the git store.
    Tree,
    /// A trial's commit and its ref are written into the git store.
    Commit,
    /// Slots are given to replicates.
    Lease,
    /// A tree is brought into a slot.
    Materialize,
    /// A unit is started.
    UnitStart,
    /// A unit has ended and its report is read.
    UnitEnd,
    /// A log is kept.
    Blob,
    /// The evaluator's result is read.
    Result,
    /// A trial's outcome is recorded.
    Verdict,
    /// Another process's request is answered.
    Request,
    /// An answered request leaves the inbox.
    Answered,
    /// The session is told to stop; after: nothing runs any more.
    Stop,
    /// The ledger is sealed.
    Seal,
    /// Champion and baseline meet once more; after: they have.
    Closing,
}

/// Every door, in the order of a study's life.
pub const ALL: [Door; 44] = [
    Door::StudyFile,
    Door::Recover,
    Door::Append("study_opened"),
    Door::Append("session_started"),
    Door::Append("segment_opened"),
    Door::Append("staffed"),
    Door::Lease,
    Door::Append("leased"),
    Door::Materialize,
    Door::UnitStart,
    Door::Append("fenced"),
    Door::UnitEnd,
    Door::Blob,
    Door::Result,
    Door::Append("measured"),
    Door::Verdict,
    Door::Append("concluded"),
    Door::Append("asked"),
    Door::Append("called"),
    Door::Append("rehearsed"),
    Door::Append("fetched"),
    Door::Append("idea_added"),
    Door::Append("idea_changed"),
    Door::Append("learned"),
    Door::Tree,
    Door::Commit,
    Door::Append("proposed"),
    Door::Request,
    Door::Append("quarantined"),
    Door::Append("noted"),
    Door::Answered,
    Door::Append("budget_set"),
    Door::Append("pinned"),
    Door::Append("unpinned"),
    Door::Append("paused"),
    Door::Append("resumed"),
    Door::Stop,
    Door::Append("stopped"),
    Door::Seal,
    Door::Append("requeued"),
    Door::Append("report_opened"),
    Door::Closing,
    Door::Append("finished"),
    Door::Append("ablation_opened"),
];

/// Which side of a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Nothing of it is done yet.
    Before,
    /// All of it is done.
    After,
}

/// One side of one door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Which side.
    pub side: Side,
    /// Of which door.
    pub door: Door,
}

impl Point {
    /// Both sides of every door, in the order of a study's life.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.into_iter().flat_map(|door| [Side::Before, Side::After].map(|side| Self { side, door }))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        if let Door::Append(event) = self.door {
            write!(f, "{side} append {event}")
        } else {
            write!(f, "{side} {}", format!("{:?}", self.door).to_lowercase())
        }
    }
}

/// A text that names no point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no side of a door", self.0)
    }
}

impl std::error::Error for Unknown {}

impl FromStr for Point {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::all().find(|point| point.to_string() == text).ok_or_else(|| Unknown(text.to_owned()))
    }
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;

    use super::{Door, Point, Side};

    static POINT: OnceLock<Point> = OnceLock::new();

    /// From here on, the first to reach `point` ends the process as `kill -9` would. Said once; later words are lost.
    pub fn arm(point: Point) {
        POINT.set(point).ok();
    }

    /// The state before `door`.
    pub fn before(door: Door) {
        pass(Point { side: Side::Before, door });
    }

    /// The state after `door`.
    pub fn after(door: Door) {
        pass(Point { side: Side::After, door });
    }

    fn pass(point: Point) {
        if POINT.get() == Some(&point) {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).ok();
        }
    }
}

#[cfg(debug_assertions)]
pub use armed::{after, arm, before};

#[cfg(not(debug_assertions))]
mod open {
    use super::Door;

    /// Nothing: there is no way to be crashed here.
    #[inline]
    pub fn before(_: Door) {}

    /// Nothing: there is no way to be crashed here.
    #[inline]
    pub fn after(_: Door) {}
}

#[cfg(not(debug_assertions))]
pub use open::{after, before};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_event_has_a_door_and_every_point_a_name_of_its_own() {
        let appended: BTreeSet<&str> = ALL
            .into_iter()
            .filter_map(|door| if let Door::Append(event) = door { Some(event) } else { None })
            .collect();
        assert_eq!(appended, BTreeSet::from(empiric_core::Event::NAMES));
        for point in Point::all() {
            assert_eq!(point.to_string().parse(), Ok(point));
        }
        assert!("before breakfast".parse::<Point>().is_err());
    }
}
