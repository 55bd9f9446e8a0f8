//! All about one trial, as lines of a page.

use empiric_core::{BlobId, Study, Trial, TrialNo};
use empiric_engine::Layout;
use empiric_ledger::Blobs;

use crate::{look, words};

/// Most lines of a diff, and of the end of a log.
const DIFF: usize = 2000;
const LOG: usize = 60;

/// What a line is, which decides how it is painted; its first character says so too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Head,
    Plain,
    Added,
    Removed,
    Hunk,
}

/// A page about one trial.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) no: TrialNo,
    pub(super) lines: Vec<(Kind, String)>,
}

impl Detail {
    /// The page of `trial`: what `empiric show` says, its diff, and the end of what its last replicate printed.
    pub(super) fn of(layout: &Layout, study: &Study, trial: &Trial) -> Self {
        let parent = trial.parents().first().and_then(|no| study.trial(*no));
        let diff = parent.filter(|_| trial.edit.is_some()).map(|parent| {
            look::unified(layout, parent, trial).unwrap_or_else(|failure| failure.message())
        });
        let mut page = Self::told(study, trial, diff.as_deref());
        let blobs = Blobs::of(layout.root());
        let last = trial.replicates.iter().rev().find_map(|replicate| replicate.result.as_ref());
        for unit in last.iter().flat_map(|result| &result.units) {
            let Some(id) = unit.log.as_deref().and_then(|id| id.parse::<BlobId>().ok()) else {
                continue;
            };
            page.head(format!("{} printed, in the last replicate", unit.name));
            match blobs.get(id) {
                Ok(bytes) => {
                    let text = words::clean(&String::from_utf8_lossy(&bytes));
                    let lines: Vec<&str> = text.lines().collect();
                    let skip = lines.len().saturating_sub(LOG);
                    if skip > 0 {
                        page.plain(format!("… {skip} lines before"));
                    }
                    lines[skip..].iter().for_each(|line| page.plain((*line).to_owned()));
                }
                Err(error) => page.plain(error.to_string()),
            }
        }
        page
    }

    /// The part of the page that needs no file.
    pub(super) fn told(study: &Study, trial: &Trial, diff: Option<&str>) -> Self {
        let mut page = Self { no: trial.no, lines: Vec::new() };
        words::clean(&words::trial_page(study, trial))
            .lines()
            .for_each(|line| page.plain(line.to_owned()));
        if let Some(diff) = diff {
            page.head("change against its first parent".to_owned());
            page.diff(&words::clean(diff));
        }
        page
    }

    fn head(&mut self, text: String) {
        self.plain(String::new());
        self.lines.push((Kind::Head, text));
    }

    fn plain(&mut self, text: String) {
        self.lines.push((Kind::Plain, text));
    }

    fn diff(&mut self, text: &str) {
        let mut in_hunk = false;
        let total = text.lines().count();
        for line in text.lines().take(DIFF) {
            in_hunk = !line.starts_with("diff --git") && (in_hunk || line.starts_with("@@"));
            let kind = match line.as_bytes().first() {
                Some(b'@') => Kind::Hunk,
                Some(b'+') if in_hunk => Kind::Added,
                Some(b'-') if in_hunk => Kind::Removed,
                _ => Kind::Plain,
            };
            self.lines.push((kind, line.to_owned()));
        }
        if total > DIFF {
            self.plain(format!("… {} lines more: empiric diff", total - DIFF));
        }
    }
}

/// `text` in pieces of at most `width` characters; later ones are indented by `hang`.
pub(super) fn wrapped(text: &str, width: usize, hang: usize) -> Vec<String> {
    let text = text.replace('\t', "    ");
    let hang = if hang + 10 > width { 0 } else { hang };
    let mut rest: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    loop {
        let indent = if pieces.is_empty() { 0 } else { hang };
        let room = width.saturating_sub(indent).max(1);
        let pad = " ".repeat(indent);
        if rest.len() <= room {
            pieces.push(pad + &rest.iter().collect::<String>());
            return pieces;
        }
        // At a space in the second half, where there is one.
        let space = rest[..=room].iter().rposition(|c| *c == ' ').filter(|at| *at > room / 2);
        let at = space.unwrap_or(room);
        pieces.push(pad + rest[..at].iter().collect::<String>().trim_end());
        rest.drain(..at + usize::from(space.is_some()));
    }
}
