//! Edits: whole files put into or taken out of a tree.

use std::collections::BTreeMap;

use empiric_core::TreeId;
use empiric_doors::{self as doors, Door};

use crate::{
    Error, Result, Store, check_path,
    store::{object_id, put_blob, tree_id},
    tree::{Put, rewrite},
};

impl Store {
    /// The tree that `base` becomes when each path gets the given content, or goes away where there is none.
    ///
    /// A file keeps its mode; a new one is plain.
    ///
    /// # Errors
    /// When a path is unsafe, a deleted file is not there, or a file and a directory would stand in the same place.
    pub fn apply(&self, base: TreeId, edits: &BTreeMap<String, Option<Vec<u8>>>) -> Result<TreeId> {
        for path in edits.keys() {
            check_path(path).map_err(|fault| Error::path(path, fault))?;
        }
        doors::before(Door::Tree);
        let repo = self.repo();
        let puts = edits
            .iter()
            .map(|(path, content)| {
                let put = match content {
                    Some(bytes) => Put::Content(put_blob(&repo, bytes)?),
                    None => Put::Delete,
                };
                Ok((path.clone(), put))
            })
            .collect::<Result<_>>()?;
        let tree = rewrite(&repo, Some(object_id(base)), &puts)?;
        doors::after(Door::Tree);
        tree_id(&tree)
    }
}
