//! Keys, which nothing prints.

use std::{fmt, io, path::Path, sync::Arc};

/// A key. It has no `Display` and no JSON; debug output says that it is one and no more.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

/// What stands where a key was.
const REDACTED: &str = "[redacted]";
/// Most bytes of a key file.
const LONGEST: usize = 16 << 10;

impl Secret {
    /// The trimmed text as a key; none of an empty one, or of one with characters that no header may hold.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        (!text.is_empty() && plain).then(|| Self(text.into()))
    }

    /// The key in a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no key; the error names the file and nothing of what is in it.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs_err::read(path)?;
        let text = (bytes.len() <= LONGEST).then(|| std::str::from_utf8(&bytes).ok()).flatten();
        text.and_then(Self::new).ok_or_else(|| {
            io::Error::other(format!(
                "read {}: it should hold a key and nothing else",
                path.display()
            ))
        })
    }

    /// The key itself, for the header that carries it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` without the key, should it be in there.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        text.replace(&*self.0, REDACTED)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_key_shows_nowhere() {
        let secret = Secret::new("  sk-very-secret\n").unwrap();
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)).matches("secret").count(), 0);
        assert_eq!(secret.scrub("key sk-very-secret is bad"), "key [redacted] is bad");
        assert_eq!(Secret::new(" \n"), None);
        assert_eq!(Secret::new("two words"), None);
    }

    #[test]
    fn an_unfit_key_file_is_named_and_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs_err::write(&path, "sk-a\nsk-b\n").unwrap();
        let error = Secret::read(&path).unwrap_err().to_string();
        assert!(error.contains("key and nothing else") && !error.contains("sk-"), "{error}");
        fs_err::write(&path, "sk-a\n").unwrap();
        assert_eq!(Secret::read(&path).unwrap().reveal(), "sk-a");
    }
}
