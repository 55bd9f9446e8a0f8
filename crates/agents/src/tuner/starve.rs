//! An edit that is known to be worse before it is measured: a recipe with its settings cut to next to nothing.

use std::collections::BTreeMap;

use super::{
    find::{Recipe, find, parses},
    knob::{Assignment, Value},
};
use crate::Files;

/// What a real number is divided by.
const FIFTIETH: f64 = 50.0;

/// The files that change when every named number of a recipe is starved: whole numbers become 1, real ones a fiftieth.
/// Empty when there is no such number. It costs less to measure than the recipe itself.
#[must_use]
pub fn starved(files: &Files) -> BTreeMap<String, String> {
    let found: Vec<_> = files.iter().map(|(path, text)| find(path, text).into()).collect();
    let recipe = Recipe::new(files.clone(), &found);
    let set: Assignment = recipe
        .knobs
        .values()
        .filter(|knob| knob.tier == 0)
        .filter_map(|knob| {
            let starved = match knob.value {
                Value::Int(number) if number > 1 => Value::Int(1),
                Value::Float(number) if number != 0.0 => Value::Float(number / FIFTIETH),
                Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Text(_) => return None,
            };
            Some((knob.id.clone(), starved))
        })
        .collect();
    let mut edited = recipe.edit(&set, None);
    edited.retain(|path, text| parses(path, text));
    edited
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn named_numbers_are_starved_and_nothing_else_moves() {
        let files = Files::from([
            (
                "model.py".to_owned(),
                Arc::from("WIDTH = 32\nRATE = 0.5\nSEED = 7\nON = True\nONE = 1\n"),
            ),
            ("notes.md".to_owned(), Arc::from("nothing to set\n")),
        ]);
        let expected = "WIDTH = 1\nRATE = 0.01\nSEED = 7\nON = True\nONE = 1\n";
        assert_eq!(starved(&files), BTreeMap::from([("model.py".to_owned(), expected.to_owned())]));
    }
}
