//! What an idea says it would touch: read before anybody spends a trial on it.
//!
//! Words can only be read, not measured, so this refuses what names the evaluator's own things or the choice of seeds,
//! and nothing else. The edit that an idea leads to meets every check there is.

use empiric_core::{Concern, RedLine, Severity, Task, task::Visible};

use crate::concern;

/// Ways to say that chance is to be chosen.
const SEEDS: [&str; 7] = [
    "best seed",
    "lucky seed",
    "seed search",
    "search over seeds",
    "choose the seed",
    "pick the seed",
    "tune the seed",
];

/// What is held against an idea before it is tried: that it names the evaluator, data that only the evaluator may read, or
/// the choice of seeds. A person may restore what was refused.
#[must_use]
pub fn idea(task: &Task, text: &str) -> Option<Concern> {
    let text = text.to_lowercase();
    let names = |path: &str| {
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path).to_lowercase();
        // A short or common word would be found everywhere.
        (name.contains('.') || name.contains('_')) && word(&text, &name)
    };
    let evaluator = task.evaluator.iter().flat_map(|command| command.run.iter().skip(1));
    if let Some(file) = evaluator.into_iter().find(|file| names(file)) {
        let why = format!("the idea names `{file}`, which is the evaluator's");
        return Some(concern(RedLine::Evaluator, Severity::Fail, why));
    }
    let hidden = task.data.iter().filter(|data| data.visible == Visible::Evaluator);
    if let Some(data) =
        hidden.into_iter().find(|data| word(&text, &data.path.to_lowercase()) || names(&data.path))
    {
        let why = format!("the idea names `{}`, which only the evaluator may read", data.path);
        return Some(concern(RedLine::ProtectedData, Severity::Fail, why));
    }
    let seed = SEEDS.iter().find(|way| text.contains(**way))?;
    let why = format!("the idea speaks of `{seed}`: chance comes from the seed that is given");
    Some(concern(RedLine::Seed, Severity::Fail, why))
}

/// Whether `name` stands in `text` by itself.
fn word(text: &str, name: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    text.match_indices(name).any(|(at, found)| {
        let before = text[..at].chars().next_back().is_some_and(joins);
        let after = text[at + found.len()..]
            .chars()
            .next()
            .is_some_and(|c| c.is_alphanumeric() || c == '_');
        !before && !after
    })
}
