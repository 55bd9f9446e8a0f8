//! When a session goes in circles, by thresholds that are stated: first it is told so, then it ends.

use std::collections::{BTreeMap, BTreeSet};

/// Times that the same failure may come before the session is told, and before it ends.
pub(super) const SAME_FAILURE: [u32; 2] = [3, 5];
/// Turns without a change of the tree or any new evidence before the session is told, and before it ends.
pub(super) const NO_PROGRESS: [u32; 2] = [6, 10];
/// Turns without a tool call before the session is told, and before it ends.
pub(super) const IDLE: [u32; 2] = [1, 3];

/// What a turn calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing.
    Fine,
    /// The session is to be told what goes round, and how many more such turns it has.
    Warn(String, u32),
    /// The session is to end.
    End(String),
}

/// What was seen of one session.
#[derive(Debug, Default)]
pub(super) struct Watch {
    failures: BTreeMap<String, u32>,
    evidence: BTreeSet<[u8; 32]>,
    trees: BTreeSet<[u8; 32]>,
    without: u32,
    idle: u32,
}

impl Watch {
    /// A failure that a tool reported, by what it is recognised by.
    pub(super) fn failed(&mut self, signature: &str) -> Sign {
        let times = self.failures.entry(signature.to_owned()).or_default();
        *times += 1;
        let what = || format!("the same failure {times} times ({signature})");
        sign(*times, SAME_FAILURE, what)
    }

    /// The end of a turn: what tools answered, and the tree as it is now.
    pub(super) fn turn(&mut self, answers: &[String], tree: [u8; 32]) -> Sign {
        let hash = |text: &String| empiric_core::Digest::of(text.as_bytes()).0;
        self.idle = if answers.is_empty() { self.idle + 1 } else { 0 };
        let new = answers.iter().filter(|answer| self.evidence.insert(hash(answer))).count() > 0;
        let moved = self.trees.insert(tree);
        self.without = if new || moved { 0 } else { self.without + 1 };
        let idle = sign(self.idle, IDLE, || "no tool was called".to_owned());
        if idle != Sign::Fine {
            return idle;
        }
        let turns = self.without;
        sign(turns, NO_PROGRESS, || {
            format!("{turns} turns without a change or anything new to read")
        })
    }
}

fn sign(times: u32, [warn, end]: [u32; 2], what: impl Fn() -> String) -> Sign {
    if times >= end {
        Sign::End(what())
    } else if times >= warn {
        Sign::Warn(what(), end - times)
    } else {
        Sign::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::{IDLE, NO_PROGRESS, SAME_FAILURE, Sign, Watch};

    #[test]
    fn the_same_failure_is_told_and_then_ends_the_session() {
        let mut watch = Watch::default();
        for n in 1..=SAME_FAILURE[1] {
            let sign = watch.failed("outside_surface data.py");
            match n {
                n if n < SAME_FAILURE[0] => assert_eq!(sign, Sign::Fine),
                n if n < SAME_FAILURE[1] => {
                    assert!(matches!(sign, Sign::Warn(_, left) if left == SAME_FAILURE[1] - n))
                }
                _ => assert!(matches!(sign, Sign::End(_))),
            }
        }
        assert_eq!(watch.failed("another"), Sign::Fine);
    }

    #[test]
    fn reading_what_was_read_is_no_progress_and_a_new_tree_is() {
        let mut watch = Watch::default();
        let same = ["the file".to_owned()];
        assert_eq!(watch.turn(&same, [0; 32]), Sign::Fine);
        for n in 1..NO_PROGRESS[0] {
            assert_eq!(watch.turn(&same, [0; 32]), Sign::Fine, "{n}");
        }
        assert!(matches!(watch.turn(&same, [0; 32]), Sign::Warn(..)));
        assert_eq!(watch.turn(&same, [1; 32]), Sign::Fine);
        // Going back to an older tree is none.
        let mut last = Sign::Fine;
        for _ in 0..NO_PROGRESS[1] {
            last = watch.turn(&same, [0; 32]);
        }
        assert!(matches!(last, Sign::End(_)));
    }

    #[test]
    fn a_session_that_calls_no_tool_ends() {
        let mut watch = Watch::default();
        let signs: Vec<Sign> = (0..IDLE[1]).map(|_| watch.turn(&[], [0; 32])).collect();
        assert!(matches!(signs[..], [Sign::Warn(..), Sign::Warn(..), Sign::End(_)]), "{signs:?}");
    }
}
