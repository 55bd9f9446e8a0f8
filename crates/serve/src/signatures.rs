//! What failed trials are recognised by. Derived when it is asked for and never stored, so that a better rule groups
//! old failures better.

use std::collections::HashMap;

use empiric_core::Signature;

/// Signatures, each held once, and the trials that bear them.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    known: Vec<Signature>,
    places: HashMap<String, u32>,
    of: HashMap<u32, u32>,
}

impl Signatures {
    pub(crate) fn knows(&self, trial: u32) -> bool {
        self.of.contains_key(&trial)
    }

    pub(crate) fn put(&mut self, trial: u32, signature: Signature) {
        let place = match self.places.get(&signature.hash) {
            Some(place) => *place,
            None => {
                let place = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
                self.places.insert(signature.hash.clone(), place);
                self.known.push(signature);
                place
            }
        };
        self.of.insert(trial, place);
    }

    /// What `trial` is recognised by.
    pub(crate) fn of(&self, trial: u32) -> Option<&Signature> {
        self.known.get(*self.of.get(&trial)? as usize)
    }
}
