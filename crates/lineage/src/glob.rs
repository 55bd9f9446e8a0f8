//! Globs as tasks write them: `*` stays within one directory, `**` crosses them.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::{Error, Result};

pub(crate) fn compile<'a>(patterns: impl IntoIterator<Item = &'a String>) -> Result<GlobSet> {
    let fail = |pattern: &str, error: &globset::Error| Error::Pattern {
        pattern: pattern.to_owned(),
        why: error.kind().to_string(),
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        set.add(glob.map_err(|error| fail(pattern, &error))?);
    }
    set.build().map_err(|error| fail("", &error))
}
