//! Globs as tasks write them, with one meaning everywhere: `*` stays within one directory, `**` crosses them, and a
//! leading `!` takes away what the others give.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A pattern that is no glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is no glob: {why}")]
pub struct GlobError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

/// A set of globs over paths relative to one directory, with `/`.
#[derive(Debug, Clone)]
pub struct Globs {
    include: GlobSet,
    exclude: GlobSet,
}

impl Globs {
    /// Compiles `patterns`.
    ///
    /// # Errors
    /// When one is no glob.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, GlobError> {
        let (mut include, mut exclude) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let fail = |pattern: &str, error: &globset::Error| GlobError {
            pattern: pattern.to_owned(),
            why: error.kind().to_string(),
        };
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let (set, glob) = match pattern.strip_prefix('!') {
                Some(taken) => (&mut exclude, taken),
                None => (&mut include, pattern),
            };
            let glob = GlobBuilder::new(glob).literal_separator(true).build();
            set.add(glob.map_err(|error| fail(pattern, &error))?);
        }
        let build = |set: &GlobSetBuilder| set.build().map_err(|error| fail("", &error));
        Ok(Self { include: build(&include)?, exclude: build(&exclude)? })
    }

    /// Whether `path` is given and not taken away.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.include.is_match(path) && !self.exclude.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_in_its_directory_and_an_exclamation_mark_takes_away() {
        let globs = Globs::new(["*.py", "lib/**", "!lib/secret.*"]).unwrap();
        for (path, expected) in [
            ("train.py", true),
            ("sub/train.py", false),
            ("lib/a/b.txt", true),
            ("lib/secret.py", false),
            ("other.txt", false),
        ] {
            assert_eq!(globs.matches(path), expected, "{path}");
        }
        assert_eq!(Globs::new(["a[b"]).unwrap_err().pattern, "a[b");
    }
}
