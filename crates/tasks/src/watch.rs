//! Whether what measurements rest on is still what it was: the evaluator's files, the data, the environment.
//!
//! Asked before and after every replicate, so it must cost little: files are told apart by their stamps (size, inode,
//! times of change), and read again only where a stamp differs. The time of inode change cannot be set by programs.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use empiric_core::{Digest, study::Fixed};

use crate::{Bare, Data, Environment, Loaded, files};

/// Watches one task's evaluator, data and environment.
#[derive(Debug)]
pub struct Watch {
    loaded: Loaded,
    data: Data,
    environment: Digest,
    /// The virtual environment and its compiled copy, where there are any; other interpreters belong to the system.
    installed: Vec<PathBuf>,
    seen: Mutex<Seen>,
}

/// What was there when last looked at in full.
#[derive(Debug, Clone, Copy)]
struct Seen {
    stamps: Stamps,
    fixed: Fixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamps {
    evaluator: Digest,
    data: Digest,
    environment: Digest,
}

impl Watch {
    /// Starts to watch; what is there now counts as unchanged.
    ///
    /// # Errors
    /// When a file cannot be looked at.
    pub(crate) fn new(
        loaded: &Loaded,
        data: &Data,
        environment: &Environment,
        bare: Option<&Bare>,
    ) -> io::Result<Self> {
        let installed = environment.bin.as_ref().and_then(|bin| bin.parent());
        let installed = installed.filter(|dir| dir.join("pyvenv.cfg").is_file());
        let copy = bare.map(|bare| bare.root.as_path());
        let installed = installed.into_iter().chain(copy).map(Path::to_owned).collect();
        let nothing = Digest([0; 32]);
        let fixed = Fixed {
            evaluator: loaded.source_digest,
            data: data.digest,
            environment: environment.digest,
        };
        let stamps = Stamps { evaluator: nothing, data: nothing, environment: nothing };
        let watch = Self {
            loaded: loaded.clone(),
            data: data.clone(),
            environment: environment.digest,
            installed,
            seen: Mutex::new(Seen { stamps, fixed }),
        };
        let seen = Seen { stamps: watch.stamps()?, fixed };
        *watch.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(watch)
    }

    /// The hashes of what is there now.
    ///
    /// # Errors
    /// When a file cannot be read, or one of the evaluator's is gone.
    pub fn fixed(&self) -> io::Result<Fixed> {
        let stamps = self.stamps()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if stamps.evaluator != seen.stamps.evaluator {
            seen.fixed.evaluator = self.loaded.current_digest()?;
        }
        if stamps.data != seen.stamps.data {
            seen.fixed.data = self.data.current_digest()?;
        }
        if stamps.environment != seen.stamps.environment {
            let mut parts = vec![self.environment.to_string()];
            for dir in &self.installed {
                let all = files::list_all(dir)?;
                parts.push(files::digest(dir, all.iter().map(String::as_str))?.to_string());
            }
            seen.fixed.environment = files::digest_of(parts.iter().map(String::as_str));
        }
        seen.stamps = stamps;
        Ok(seen.fixed)
    }

    fn stamps(&self) -> io::Result<Stamps> {
        let mut evaluator = blake3::Hasher::new();
        for name in &self.loaded.trusted {
            stamp(&mut evaluator, &self.loaded.root.join(name))?;
        }
        let mut data = blake3::Hasher::new();
        for entry in &self.data.entries {
            stamp_all(&mut data, &entry.path)?;
        }
        if let Some(splits) = &self.data.splits {
            stamp(&mut data, &splits.path)?;
        }
        let mut environment = blake3::Hasher::new();
        for dir in &self.installed {
            stamp_all(&mut environment, dir)?;
        }
        let [evaluator, data, environment] =
            [evaluator, data, environment].map(|hasher| Digest(*hasher.finalize().as_bytes()));
        Ok(Stamps { evaluator, data, environment })
    }
}

/// Stamps `path` and, where it is a directory, everything below it.
fn stamp_all(hasher: &mut blake3::Hasher, path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        return stamp(hasher, path);
    }
    for name in files::list_all(path)? {
        files::field(hasher, name.as_bytes());
        stamp(hasher, &path.join(name))?;
    }
    Ok(())
}

fn stamp(hasher: &mut blake3::Hasher, path: &Path) -> io::Result<()> {
    let found = fs_err::symlink_metadata(path)?;
    let numbers = [
        found.dev().cast_signed(),
        found.ino().cast_signed(),
        found.size().cast_signed(),
        i64::from(found.mode()),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ];
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Environments, prepare,
        tests::{Fixture, GOOD, on},
    };

    #[test]
    fn a_changed_evaluator_or_datum_is_seen_and_an_untouched_one_is_not() {
        let fixture = Fixture::new(GOOD);
        let loaded = fixture.good();
        let environment = Environments::new(&fixture.host).ensure(&loaded, &mut on).unwrap();
        let data = prepare(&loaded, &environment, &fixture.host, &mut on).unwrap();
        let watch = Watch::new(&loaded, &data, &environment, None).unwrap();
        let before = watch.fixed().unwrap();
        assert_eq!(before, watch.fixed().unwrap());

        // Written again with the same content: other stamps, the same hash.
        fs_err::remove_file(fixture.root().join("evaluate.py")).unwrap();
        fixture.write("evaluate.py", "");
        assert_eq!(before, watch.fixed().unwrap());

        fixture.write("evaluate.py", "print('better')");
        let after = watch.fixed().unwrap();
        assert_ne!(before.evaluator, after.evaluator);
        assert_eq!(before.data, after.data);

        fixture.write("data/hidden/b", "one more label");
        assert_ne!(before.data, watch.fixed().unwrap().data);
    }
}
