//! Prompts: short files with `{{names}}` in them, part of the program, and each can be replaced by a file of the same name.
//!
//! A study records the text of every one by its hash, so that what was said to a model can be said again.

use std::collections::BTreeMap;

use empiric_core::Operator;

/// A prompt: its name, its text, and the names that may stand in it.
type Embedded = (&'static str, &'static str, &'static [&'static str]);

const EMBEDDED: [Embedded; 13] = [
    (
        "system",
        include_str!("../prompts/system.md"),
        &["role", "task", "goal", "gates", "owns", "brief", "off_limits", "radius"],
    ),
    ("draft", include_str!("../prompts/draft.md"), &["parents", "complexity"]),
    ("improve", include_str!("../prompts/improve.md"), &["parents", "complexity", "siblings"]),
    ("debug", include_str!("../prompts/debug.md"), &["parents", "failure", "ancestors"]),
    ("merge", include_str!("../prompts/merge.md"), &["parents", "partners"]),
    ("ablate", include_str!("../prompts/ablate.md"), &["parents", "ancestors"]),
    ("repair", include_str!("../prompts/repair.md"), &["parents", "failure"]),
    ("leap", include_str!("../prompts/leap.md"), &[]),
    ("honeymoon", include_str!("../prompts/honeymoon.md"), &["leap", "left"]),
    ("idea", include_str!("../prompts/idea.md"), &["idea"]),
    ("ideate", include_str!("../prompts/ideate.md"), &[]),
    ("compacted", include_str!("../prompts/compacted.md"), &["notes"]),
    ("stuck", include_str!("../prompts/stuck.md"), &["what", "left"]),
];

/// Most bytes of a prompt file.
pub const LARGEST: usize = 16 << 10;

/// The prompts in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompts(BTreeMap<String, String>);

/// A prompt file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// No prompt has this name.
    #[error("there is no prompt `{name}`; prompts are {known}", known = Prompts::names().join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// A name stands in it that nothing is put in for.
    #[error("prompt `{name}` names {{{{{placeholder}}}}}, and what can stand in it is: {known}")]
    Placeholder {
        /// The prompt.
        name: String,
        /// What stands in it.
        placeholder: String,
        /// What may.
        known: String,
    },
    /// It is too large.
    #[error("prompt `{name}` has {bytes} bytes; at most {LARGEST} are taken")]
    TooLarge {
        /// The prompt.
        name: String,
        /// Its size.
        bytes: usize,
    },
}

impl Default for Prompts {
    fn default() -> Self {
        Self(
            EMBEDDED
                .iter()
                .map(|(name, text, _)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
        )
    }
}

impl Prompts {
    /// The names of all prompts.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        EMBEDDED.iter().map(|(name, ..)| *name).collect()
    }

    /// With other texts for some of them.
    ///
    /// # Errors
    /// When a name is not known, a text too large, or something stands in it that nothing is put in for.
    pub fn with(mut self, texts: BTreeMap<String, String>) -> Result<Self, PromptError> {
        for (name, text) in texts {
            let Some((.., known)) = EMBEDDED.iter().find(|(known, ..)| *known == name) else {
                return Err(PromptError::Unknown { name });
            };
            if text.len() > LARGEST {
                return Err(PromptError::TooLarge { name, bytes: text.len() });
            }
            if let Some(placeholder) = placeholders(&text).find(|found| !known.contains(found)) {
                let (placeholder, known) = (placeholder.to_owned(), known.join(", "));
                return Err(PromptError::Placeholder { name, placeholder, known });
            }
            self.0.insert(name, text);
        }
        Ok(self)
    }

    /// Name and text of each.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The prompt of this name with what is put in for its names; each is put in once, and nothing that is put in is read
    /// again.
    #[must_use]
    pub fn say(&self, name: &str, put: &[(&str, &str)]) -> String {
        let template = self.0.get(name).map_or("", String::as_str);
        let mut text = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((inside, end)) = after.split_once("}}") else { break };
            text.push_str(before);
            text.push_str(
                put.iter().find(|(name, _)| *name == inside).map_or("", |(_, value)| value),
            );
            rest = end;
        }
        text.push_str(rest);
        let lines = text.trim_end().lines().map(str::trim_end);
        // What was empty leaves no hole.
        let mut said = String::new();
        let mut blank = false;
        for line in lines {
            if line.is_empty() && blank {
                continue;
            }
            blank = line.is_empty();
            said.push_str(line);
            said.push('\n');
        }
        said
    }
}

/// The prompt of an operator; moving literals is an improvement like any other to a model.
pub(crate) fn of(operator: Operator) -> &'static str {
    match operator {
        Operator::Draft => "draft",
        Operator::Improve | Operator::Tune => "improve",
        Operator::Debug => "debug",
        Operator::Merge => "merge",
        Operator::Ablate => "ablate",
        Operator::Repair => "repair",
    }
}

/// What stands between double braces.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).filter_map(|part| Some(part.split_once("}}")?.0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{EMBEDDED, PromptError, Prompts, placeholders};

    #[test]
    fn what_stands_in_a_prompt_is_what_is_declared() {
        for (name, text, known) in EMBEDDED {
            let found: std::collections::BTreeSet<&str> = placeholders(text).collect();
            assert_eq!(found, known.iter().copied().collect(), "{name}");
        }
    }

    #[test]
    fn what_is_put_in_is_not_read_again() {
        let said =
            Prompts::default().say("honeymoon", &[("leap", "{{left}} }} {{"), ("left", "4")]);
        assert!(said.starts_with("{{left}} }} {{ was a leap"), "{said}");
        assert!(said.contains("for 4 more trials"), "{said}");
    }

    #[test]
    fn a_file_replaces_a_prompt_or_is_refused() {
        let with = |name: &str, text: &str| {
            Prompts::default().with(BTreeMap::from([(name.to_owned(), text.to_owned())]))
        };
        assert_eq!(with("leap", "Jump.").unwrap().say("leap", &[]), "Jump.\n");
        assert!(matches!(with("lap", ""), Err(PromptError::Unknown { .. })));
        let wrong = with("debug", "{{failure}} {{score}}").unwrap_err().to_string();
        assert!(wrong.contains("{{score}}") && wrong.contains("failure"), "{wrong}");
        assert!(matches!(with("leap", &"x".repeat(20_000)), Err(PromptError::TooLarge { .. })));
    }
}
