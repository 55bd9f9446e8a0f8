//! Which paths a recipe may hold: plain relative ones that mean the same everywhere and never reach git's own files.

use gix::validate::path::component;

/// Why a path may not be in a recipe, or an edit of it cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It is empty, or one of its components is.
    #[error("has an empty component; write it as `dir/file`")]
    Empty,
    /// It starts at the root.
    #[error("is absolute; write it relative to the recipe")]
    Absolute,
    /// It has a `.` or `..` component.
    #[error("has a `.` or `..` component; write it relative to the recipe")]
    Relative,
    /// It has a component that some file system takes for `.git`.
    #[error("reaches into git's own directory")]
    GitDirectory,
    /// It has a backslash, a colon, a control character, or one that is not seen.
    #[error(
        "has a backslash, a colon, a control character or one that is not seen; use letters, digits, `-`, `_`, `.` and `/`"
    )]
    Character,
    /// It is longer than file systems allow, or deeper than is sane.
    #[error(
        "is longer than 255 bytes in one component or 4000 in all, or deeper than 64 directories"
    )]
    TooLong,
    /// It is not UTF-8.
    #[error("is not UTF-8; rename it")]
    NotUtf8,
    /// There is no such file.
    #[error("no such file in the parent's tree")]
    Missing,
    /// A directory stands where a file is meant.
    #[error("is a directory; name a file")]
    IsDirectory,
    /// A file stands where a directory is needed.
    #[error("a file stands where it needs a directory; delete that file in the same edit")]
    BelowFile,
}

/// Whether `path` may be a file of a recipe.
///
/// Refuses whatever any common file system could take for `.git`: other case, `git~1`, code points that HFS+ ignores,
/// trailing dots and spaces, alternate streams.
///
/// # Errors
/// The first fault found.
pub fn check_path(path: &str) -> Result<(), PathFault> {
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    if path.len() > 4000 || path.matches('/').count() > 64 {
        return Err(PathFault::TooLong);
    }
    if path.contains(['\\', ':']) || path.chars().any(char::is_control) {
        return Err(PathFault::Character);
    }
    path.split('/').try_for_each(check_component)?;
    if empiric_core::quote::clean(path) == path { Ok(()) } else { Err(PathFault::Character) }
}

fn check_component(name: &str) -> Result<(), PathFault> {
    if name.len() > 255 {
        return Err(PathFault::TooLong);
    }
    let options = component::Options { protect_windows: false, ..Default::default() };
    match gix::validate::path::component(name.into(), None, options) {
        Ok(_) => Ok(()),
        Err(component::Error::Empty) => Err(PathFault::Empty),
        Err(component::Error::Relative) => Err(PathFault::Relative),
        Err(component::Error::DotGitDir) => Err(PathFault::GitDirectory),
        Err(_) => Err(PathFault::Character),
    }
}
