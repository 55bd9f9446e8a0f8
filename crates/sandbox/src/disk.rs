//! Counts the bytes that the writable views hold.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes allocated below `root`, following no link and leaving out what cannot be read or has just gone.
pub(crate) fn allocated(root: &Path) -> u64 {
    // `st_blocks` counts units of 512 bytes whatever the file system: stat(2).
    let own = root.symlink_metadata().map_or(0, |data| data.blocks() * 512);
    let entries = fs_err::read_dir(root).into_iter().flatten().flatten();
    own + entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => allocated(&entry.path()),
            Ok(_) => entry.metadata().map_or(0, |data| data.blocks() * 512),
            Err(_) => 0,
        })
        .sum::<u64>()
}
