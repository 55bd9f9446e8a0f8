//! Keeps the head and the tail of a stream in bounded memory.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};

use crate::report::Captured;

/// One stream of a running unit.
#[derive(Debug)]
pub(crate) struct Capture {
    /// `None` once the stream has ended.
    pub(crate) source: Option<std::io::PipeReader>,
    kept: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    pub(crate) total: u64,
}

impl Capture {
    /// Captures `source`, which must not block, keeping `kept` bytes of each end.
    pub(crate) fn new(source: Option<std::io::PipeReader>, kept: usize) -> Self {
        Self { source, kept, head: Vec::new(), tail: VecDeque::new(), total: 0 }
    }

    /// Takes what is there now, up to the stream's end or `budget` bytes.
    pub(crate) fn drain(&mut self, buffer: &mut [u8], mut budget: u64) -> std::io::Result<()> {
        while budget > 0
            && let Some(source) = &mut self.source
        {
            match source.read(buffer) {
                Ok(0) => self.source = None,
                Ok(n) => {
                    self.push(&buffer[..n]);
                    budget = budget.saturating_sub(n as u64);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(self.kept - self.head.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.kept)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(self.kept);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    pub(crate) fn finish(self) -> Captured {
        let kept = (self.head.len() + self.tail.len()) as u64;
        Captured {
            head: String::from_utf8_lossy(&self.head).into_owned(),
            tail: String::from_utf8_lossy(&Vec::from(self.tail)).into_owned(),
            total_bytes: self.total,
            dropped_bytes: self.total - kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_both_ends_and_counts_the_rest() {
        let mut capture = Capture::new(None, 4);
        for piece in ["ab", "cdef", "ghijklmnop", "q"] {
            capture.push(piece.as_bytes());
        }
        let expected = Captured {
            head: "abcd".into(),
            tail: "nopq".into(),
            total_bytes: 17,
            dropped_bytes: 9,
        };
        let got = capture.finish();
        assert_eq!(got, expected);
        assert_eq!(got.text(), "abcd\n[... 9 bytes not kept ...]\nnopq");
    }
}
