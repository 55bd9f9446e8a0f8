//! The artefact: what a recipe leaves in its output directory, counted by Empiric and opened by nobody as code.

use std::path::Path;

use empiric_core::Globs;
use fs_err as fs;

/// The artefact's size and shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Artifact {
    /// Bytes of all files, including the recipe files that count as part of it.
    pub bytes: u64,
    /// Number of files.
    pub files: u64,
}

/// Why an artefact cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Something other than a plain file or a directory.
    #[error("`{0}` is not a plain file; an artefact holds plain files and directories only")]
    NotAFile(String),
    /// More entries than an artefact may have.
    #[error("more than {LIMIT} files")]
    TooMany,
    /// Reading a directory failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Most entries of an artefact.
const LIMIT: u64 = 100_000;

impl Artifact {
    /// Counts everything below `out`, following no link.
    ///
    /// Each entry also counts the bytes of its name, so that nothing can be stored in names for free.
    ///
    /// # Errors
    /// When something is neither file nor directory, or a directory cannot be read.
    pub fn count(out: &Path) -> Result<Self, ArtifactError> {
        let mut artifact = Self::default();
        let mut pending = vec![out.to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                artifact.files += 1;
                artifact.bytes += entry.file_name().len() as u64;
                if artifact.files > LIMIT {
                    return Err(ArtifactError::TooMany);
                }
                if kind.is_dir() {
                    pending.push(entry.path());
                } else if kind.is_file() {
                    artifact.bytes += entry.metadata()?.len();
                } else {
                    let path = entry.path();
                    let path = path.strip_prefix(out).unwrap_or(&path);
                    return Err(ArtifactError::NotAFile(path.display().to_string()));
                }
            }
        }
        Ok(artifact)
    }

    /// Adds the files of `recipe` that `code` matches.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn with_code(mut self, recipe: &Path, code: &Globs) -> Result<Self, ArtifactError> {
        let mut pending = vec![recipe.to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                let path = entry.path();
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    pending.push(path);
                } else if kind.is_file()
                    && code.matches(&path.strip_prefix(recipe).unwrap_or(&path).to_string_lossy())
                {
                    self.bytes += entry.metadata()?.len();
                    self.files += 1;
                }
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_names_contents_and_chosen_code() {
        let dir = tempfile::tempdir().unwrap();
        let (out, recipe) = (dir.path().join("out"), dir.path().join("recipe"));
        fs::create_dir_all(out.join("sub")).unwrap();
        fs::create_dir(&recipe).unwrap();
        fs::write(out.join("a"), [0; 10]).unwrap();
        fs::write(out.join("sub/b"), [0; 5]).unwrap();
        fs::write(recipe.join("m.py"), [0; 7]).unwrap();
        fs::write(recipe.join("notes.md"), [0; 100]).unwrap();
        let code = Globs::new(["*.py"]).unwrap();

        let artifact = Artifact::count(&out).unwrap();
        assert_eq!(artifact, Artifact { bytes: 10 + 1 + 3 + 5 + 1, files: 3 });
        assert_eq!(artifact.with_code(&recipe, &code).unwrap(), Artifact { bytes: 27, files: 4 });
    }

    #[test]
    fn a_link_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("labels")).unwrap();
        let error = Artifact::count(dir.path()).unwrap_err();
        assert!(error.to_string().contains("`labels` is not a plain file"));
    }
}
