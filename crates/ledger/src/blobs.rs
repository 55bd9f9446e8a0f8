//! Content-addressed blobs: logs, requests, replies.
//!
//! A blob lies in `ab/cdef…` under the BLAKE3 hash of its bytes, as one zstd frame followed by a skippable frame that
//! holds the first 16 bytes of the BLAKE3 hash of the first frame: `zstd -dc` reads it, and any changed byte is found.
//! Blobs are made by writing beside and renaming, and are never overwritten. They are not forced to disk one by one: a
//! loss of power may take the newest, which [`crate::verify`] then names with the events that speak of them.

use std::{
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use empiric_core::BlobId;
use empiric_doors::{self as doors, Door};
use zstd::bulk::Compressor;

use crate::Error;

/// zstd's own default; higher levels save little on logs.
const LEVEL: i32 = 3;
/// Head of the skippable frame: magic number 0x184D2A50, then the length 16, both little endian.
const CHECK: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 16, 0, 0, 0];
/// Bytes of the skippable frame.
const CHECK_LEN: usize = CHECK.len() + 16;
/// Most bytes of a blob, so that a damaged one cannot fill the memory.
const MAX: u64 = 1 << 30;

/// A store of blobs. Cheap to clone; usable from many threads at once.
#[derive(Clone)]
pub struct Blobs {
    dir: Arc<Path>,
    /// Idle compressors: making one costs more than compressing a small log.
    compressors: Arc<Mutex<Vec<Compressor<'static>>>>,
    temporary: Arc<AtomicU64>,
}

impl Blobs {
    /// The store of the study in directory `study`. It need not exist yet.
    #[must_use]
    pub fn of(study: &Path) -> Self {
        Self {
            dir: study.join("blobs").into(),
            compressors: Arc::default(),
            temporary: Arc::default(),
        }
    }

    /// Keeps `bytes` and says under which id. Takes tens of microseconds for a log of a few kB, so an async task may
    /// call it directly; what is there already is only hashed.
    ///
    /// # Errors
    /// When it is larger than 1 GiB, or cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<BlobId, Error> {
        let id = BlobId::of(bytes);
        let path = self.path(id);
        if path.exists() {
            return Ok(id);
        }
        if bytes.len() as u64 > MAX {
            return Err(io::Error::other(format!(
                "keep a blob of {} bytes: more than 1 GiB",
                bytes.len()
            ))
            .into());
        }
        doors::before(Door::Blob);
        let frame = self.compress(bytes)?;
        let mut check = [0; CHECK_LEN];
        check[..CHECK.len()].copy_from_slice(&CHECK);
        check[CHECK.len()..].copy_from_slice(&blake3::hash(&frame).as_bytes()[..16]);
        let place = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_file_name(format!(".{}.{place}", std::process::id()));
        let mut file = match fs_err::File::create(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs_err::create_dir_all(path.parent().unwrap_or(&self.dir))?;
                fs_err::File::create(&temporary)?
            }
            other => other?,
        };
        let written = file.write_all(&frame).and_then(|()| file.write_all(&check));
        if let Err(error) = written.and_then(|()| fs_err::rename(&temporary, &path)) {
            drop(fs_err::remove_file(&temporary));
            return Err(error.into());
        }
        doors::after(Door::Blob);
        Ok(id)
    }

    /// The bytes of a blob, checked against its id.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or is not what its id says.
    pub fn get(&self, id: BlobId) -> Result<Vec<u8>, Error> {
        let damaged = |what: String| Error::BlobDamaged { id, what };
        let stored = match fs_err::read(self.path(id)) {
            Ok(stored) => stored,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::BlobMissing(id));
            }
            Err(error) => return Err(error.into()),
        };
        let (frame, check) = stored
            .split_at_checked(stored.len().wrapping_sub(CHECK_LEN))
            .ok_or_else(|| damaged("it is cut short".to_owned()))?;
        if check[..CHECK.len()] != CHECK
            || check[CHECK.len()..] != blake3::hash(frame).as_bytes()[..16]
        {
            return Err(damaged("its file was changed".to_owned()));
        }
        let mut bytes = Vec::new();
        zstd::Decoder::with_buffer(frame)
            .and_then(|decoder| decoder.take(MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| damaged(error.to_string()))?;
        if BlobId::of(&bytes) != id {
            return Err(damaged("its content has another id".to_owned()));
        }
        Ok(bytes)
    }

    /// Ids of all blobs, in no order. Files that are not named like blobs are passed over.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn ids(&self) -> Result<impl Iterator<Item = BlobId> + use<>, Error> {
        let shelves = match fs_err::read_dir(&*self.dir) {
            Ok(shelves) => Some(shelves),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        Ok(shelves.into_iter().flatten().filter_map(Result::ok).flat_map(|shelf| {
            let head = shelf.file_name().to_string_lossy().into_owned();
            fs_err::read_dir(shelf.path()).into_iter().flatten().filter_map(move |entry| {
                format!("{head}{}", entry.ok()?.file_name().to_str()?).parse().ok()
            })
        }))
    }

    fn compress(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let idle = self.compressors.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut compressor = match idle {
            Some(compressor) => compressor,
            None => Compressor::new(LEVEL)?,
        };
        let frame = compressor.compress(bytes)?;
        self.compressors.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
        Ok(frame)
    }

    fn path(&self, id: BlobId) -> PathBuf {
        let name = id.to_string();
        let (shelf, rest) = name.split_at(2);
        self.dir.join(shelf).join(rest)
    }
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Blobs").field(&self.dir).finish()
    }
}
