//! The artefact: what a recipe leaves in its output directory, counted by Empiric and opened by nobody as code.

use std::{
    fs::{FileTimes, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::SystemTime,
};

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

/// Largest artefact that is written anew, bytes.
const SMALL: u64 = 64 << 20;

/// Writes `from`, which holds plain files and directories, anew as `to`.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    let mut entries = fs::read_dir(from)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            // Not by the call for copying, which keeps holes on some file systems.
            fs::write(&to, fs::read(&from)?)?;
        }
    }
    Ok(())
}

/// Makes times and permissions of everything below `out` the same.
fn level(out: &Path) -> Result<(), ArtifactError> {
    let times =
        FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH).set_modified(SystemTime::UNIX_EPOCH);
    let mut pending = vec![out.to_owned()];
    let mut seen = Vec::new();
    while let Some(path) = pending.pop() {
        let directory = path.is_dir();
        fs::set_permissions(&path, Permissions::from_mode(if directory { 0o755 } else { 0o644 }))?;
        if directory {
            for entry in fs::read_dir(&path)? {
                pending.push(entry?.path());
            }
        }
        seen.push(path);
    }
    for path in seen {
        fs::File::open(&path)?.into_file().set_times(times)?;
    }
    Ok(())
}

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

    /// Leaves of everything below `out` nothing but names and contents, so that nothing can be stored for free in
    /// whatever else a file system knows of a file: times, permissions, flags, numbers of inodes, room that was
    /// allocated, holes, links. A small artefact is written anew, in order of name, by way of `aside`, a directory beside
    /// `out`. Of a large one only times and permissions are made the same: the rest is little beside what it may hold.
    ///
    /// For an artefact that has been counted, whose writers have ended.
    ///
    /// # Errors
    /// When an entry cannot be read or written.
    pub fn settle(&self, out: &Path, aside: &Path) -> Result<(), ArtifactError> {
        if self.bytes > SMALL {
            return level(out);
        }
        empiric_sandbox::remove(aside)?;
        copy(out, aside)?;
        level(aside)?;
        empiric_sandbox::remove(out)?;
        Ok(fs::rename(aside, out)?)
    }

    /// Adds the files of `recipe` that `code` matches, each with the bytes of its path.
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
                let name =
                    path.strip_prefix(recipe).unwrap_or(&path).to_string_lossy().into_owned();
                if kind.is_dir() {
                    pending.push(path);
                } else if kind.is_file() && code.matches(&name) {
                    self.bytes += entry.metadata()?.len() + name.len() as u64;
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
        assert_eq!(artifact.with_code(&recipe, &code).unwrap(), Artifact { bytes: 31, files: 4 });
    }

    #[test]
    fn a_file_tells_nothing_but_its_name_and_content() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (out, aside) = (dir.path().join("out"), dir.path().join("aside"));
        let (sub, file, twin) = (out.join("sub"), out.join("sub/a"), out.join("b"));
        fs::create_dir_all(&sub).unwrap();
        // The second name of one file, with a hole, room beyond its end, and no permission to write it.
        fs::write(&file, "x").unwrap();
        let written = fs::File::options().write(true).open(&file).unwrap().into_file();
        written.set_len(1 << 20).unwrap();
        let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&written, keep, 2 << 20, 1 << 20).ok();
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_234_567_891);
        written.set_times(FileTimes::new().set_accessed(time).set_modified(time)).unwrap();
        fs::hard_link(&file, &twin).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o421)).unwrap();
        fs::set_permissions(&sub, Permissions::from_mode(0o1700)).unwrap();

        let artifact = Artifact::count(&out).unwrap();
        artifact.settle(&out, &aside).unwrap();
        assert!(!aside.exists());
        let told = |path| {
            let found = fs::metadata(path).unwrap();
            let times = (found.mtime(), found.mtime_nsec(), found.atime(), found.atime_nsec());
            (found.mode() & 0o7777, times)
        };
        let epoch = (0, 0, 0, 0);
        assert_eq!([told(&file), told(&sub)], [(0o644, epoch), (0o755, epoch)]);
        let room = |path| {
            let found = fs::metadata(path).unwrap();
            (found.nlink(), found.blocks(), found.size())
        };
        let plain = out.join("plain");
        fs::write(&plain, fs::read(&file).unwrap()).unwrap();
        assert_eq!([room(&file), room(&twin)], [room(&plain), room(&plain)]);
        fs::remove_file(plain).unwrap();
        assert_eq!(Artifact::count(&out).unwrap(), artifact);
    }

    #[test]
    fn a_link_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("labels")).unwrap();
        let error = Artifact::count(dir.path()).unwrap_err();
        assert!(error.to_string().contains("`labels` is not a plain file"));
    }
}
