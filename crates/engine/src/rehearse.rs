//! A rehearsal: edits go through store, rules and one replicate each, without a study.
//!
//! Nothing of it enters a ledger; what it finds is for whoever is about to spend a night.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use empiric_core::{Seed, TreeId, trial::Measured};
use empiric_evaluate::Installation;
use empiric_executor::{LocalRunner, Pool, Slot};
use empiric_lineage::{Import, Rules, Store};

use crate::{Error, dispatcher::blocking};

/// What each path becomes; none is a file taken away.
pub type Edited = BTreeMap<String, Option<String>>;

/// An unedited recipe in a store of its own, and one slot to run edits of it in.
pub struct Rehearsal {
    installation: Installation,
    rules: Arc<Rules>,
    store: Arc<Store>,
    base: TreeId,
    slot: Slot,
    runner: LocalRunner,
}

impl Rehearsal {
    /// Imports `recipe` and makes a slot, both in `dir`, which the caller removes.
    ///
    /// # Errors
    /// When the recipe cannot be imported, `dir` not be written, or GPUs are lacking.
    pub async fn open(
        dir: &Path,
        installation: Installation,
        recipe: &Path,
        gpus: &[u32],
        runner: LocalRunner,
    ) -> Result<Self, Error> {
        let rules = Arc::new(Rules::new(&installation.task)?);
        let each = installation.task.gpus() as usize;
        let slots = dir.join("slots");
        let (path, recipe) = (dir.join("store.git"), recipe.to_owned());
        let (store, base) = blocking(move || {
            let store = Store::init(&path)?;
            let base = store.import(&recipe, &Import::default())?;
            Ok::<_, Error>((Arc::new(store), base))
        })
        .await??;
        let mut pool = Pool::local(&slots, 1, each, gpus)?;
        let slot = pool.take(base).ok_or_else(|| std::io::Error::other("there is no slot"))?;
        Ok(Self { installation, rules, store, base, slot, runner })
    }

    /// Measures the recipe with `edit` in it once, under `seed`; without any edit, the recipe as it is.
    ///
    /// # Errors
    /// When the edit does not fit, or a directory cannot be written. What becomes of the edit is in the result.
    pub async fn measure(&mut self, edit: Option<Edited>, seed: Seed) -> Result<Measured, Error> {
        let (store, rules) = (Arc::clone(&self.store), Arc::clone(&self.rules));
        let (base, recipe) = (self.base, self.slot.dirs.recipe.clone());
        let refused = blocking(move || {
            let (tree, refused) = match edit {
                None => (base, None),
                Some(edit) => {
                    let bytes = |text: Option<String>| text.map(String::into_bytes);
                    let edit = edit.into_iter().map(|(path, text)| (path, bytes(text)));
                    let tree = store.apply(base, &edit.collect())?;
                    (tree, rules.check(&store, base, tree, None)?)
                }
            };
            if refused.is_none() {
                store.materialize(tree, &recipe, None)?;
            }
            Ok::<_, Error>(refused)
        })
        .await??;
        Ok(match refused {
            Some(_) => Measured { failure: refused, ..Measured::default() },
            None => {
                let (installation, dirs) = (&self.installation, &self.slot.dirs);
                empiric_evaluate::measure(&self.runner, installation, dirs, seed).await
            }
        })
    }
}
