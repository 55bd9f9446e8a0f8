//! The difference between two trees, hunk by hunk, and the tree without some of them.

use std::collections::BTreeMap;

use empiric_core::{Hunk, TreeId};
use imara_diff::{Algorithm, InternedInput};

use crate::{
    Result, Store,
    diff::text,
    store::{blob, object_id, put_blob, tree_id},
    tree::{Change, Leaf, Put, changes, rewrite},
};

impl Store {
    /// What tree `b` changes of tree `a`: one hunk for each stretch of changed lines with an unchanged line on either side,
    /// and one for each file that is added, deleted, binary or of another mode; in order of path and line.
    ///
    /// # Errors
    /// When an object is missing or damaged.
    pub fn hunks(&self, a: TreeId, b: TreeId) -> Result<Vec<Hunk>> {
        let repo = self.repo();
        let mut hunks = Vec::new();
        for (path, change) in changes(&repo, Some(object_id(a)), Some(object_id(b)))? {
            let lines = |range: &std::ops::Range<u32>| [range.start + 1, range.len() as u32];
            match Texts::of(&repo, change)? {
                None => hunks.push(Hunk { path, before: [0, 0], after: [0, 0] }),
                Some(texts) => hunks.extend(texts.hunks().iter().map(|hunk| Hunk {
                    path: path.clone(),
                    before: lines(&hunk.before),
                    after: lines(&hunk.after),
                })),
            }
        }
        Ok(hunks)
    }

    /// Tree `b` without those of its hunks against `a` whose places are in `drop`: there it is as `a`.
    ///
    /// # Errors
    /// When an object is missing or damaged.
    pub fn without(&self, a: TreeId, b: TreeId, drop: &[usize]) -> Result<TreeId> {
        let repo = self.repo();
        let mut puts = BTreeMap::new();
        let mut at = 0;
        for (path, change) in changes(&repo, Some(object_id(a)), Some(object_id(b)))? {
            match Texts::of(&repo, change)? {
                None => {
                    if drop.contains(&at) {
                        puts.insert(path, change.old.map_or(Put::Delete, Put::Leaf));
                    }
                    at += 1;
                }
                Some(texts) => {
                    let hunks = texts.hunks();
                    let dropped: Vec<bool> =
                        (at..at + hunks.len()).map(|place| drop.contains(&place)).collect();
                    at += hunks.len();
                    if dropped.contains(&true) {
                        let id = put_blob(&repo, texts.without(&hunks, &dropped).as_bytes())?;
                        puts.insert(path, Put::Leaf(Leaf { mode: texts.mode, id }));
                    }
                }
            }
        }
        tree_id(&rewrite(&repo, Some(object_id(b)), &puts)?)
    }
}

/// Both sides of a changed text.
struct Texts {
    mode: crate::Mode,
    old: String,
    new: String,
}

impl Texts {
    /// None where one of them is no text, or anything but text changes.
    fn of(repo: &gix::Repository, change: Change) -> Result<Option<Self>> {
        let (Some(old), Some(new)) = (change.old, change.new) else { return Ok(None) };
        if old.mode != new.mode || !new.mode.is_file() {
            return Ok(None);
        }
        let (before, after) = (blob(repo, old.id)?, blob(repo, new.id)?);
        let texts = text(&before).zip(text(&after));
        Ok(texts.map(|(old, after)| Self {
            mode: new.mode,
            old: old.to_owned(),
            new: after.to_owned(),
        }))
    }

    fn hunks(&self) -> Vec<imara_diff::Hunk> {
        let input = InternedInput::new(&*self.old, &*self.new);
        let mut diff = imara_diff::Diff::compute(Algorithm::Histogram, &input);
        diff.postprocess_lines(&input);
        diff.hunks().collect()
    }

    fn without(&self, hunks: &[imara_diff::Hunk], dropped: &[bool]) -> String {
        let lines = |text: &'_ str| -> Vec<String> {
            text.split_inclusive('\n').map(ToOwned::to_owned).collect()
        };
        let (old, new) = (lines(&self.old), lines(&self.new));
        let mut out = String::with_capacity(self.new.len());
        let mut at = 0;
        for (hunk, dropped) in hunks.iter().zip(dropped) {
            let (from, to) = (hunk.after.start as usize, hunk.after.end as usize);
            out.extend(new[at..from].iter().map(String::as_str));
            let kept = if *dropped {
                &old[hunk.before.start as usize..hunk.before.end as usize]
            } else {
                &new[from..to]
            };
            out.extend(kept.iter().map(String::as_str));
            at = to;
        }
        out.extend(new[at..].iter().map(String::as_str));
        out
    }
}
