//! Blobs come back as they were put, and any changed byte is found.

use empiric_core::BlobId;

use crate::{Blobs, Error};

#[test]
fn blobs_come_back_and_are_kept_once() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::of(dir.path());
    assert_eq!(blobs.ids().unwrap().count(), 0);
    let contents = [Vec::new(), b"hello".to_vec(), vec![b'x'; 3 << 20]];
    let mut ids: Vec<BlobId> = contents.iter().map(|bytes| blobs.put(bytes).unwrap()).collect();
    assert_eq!(blobs.put(b"hello").unwrap(), ids[1]);
    for (id, bytes) in ids.iter().zip(&contents) {
        assert_eq!(*id, BlobId::of(bytes));
        assert_eq!(blobs.get(*id).unwrap(), *bytes);
    }
    let mut found: Vec<BlobId> = blobs.ids().unwrap().collect();
    found.sort();
    ids.sort();
    assert_eq!(found, ids);
    assert!(matches!(blobs.get(BlobId::of(b"other")), Err(Error::BlobMissing(_))));
}

#[test]
fn many_threads_put_the_same_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::of(dir.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50_u8).for_each(|n| assert!(blobs.put(&[n; 100]).is_ok())));
        }
    });
    assert_eq!(blobs.ids().unwrap().count(), 50);
    assert!(blobs.ids().unwrap().all(|id| blobs.get(id).is_ok()));
}

#[test]
fn every_changed_or_missing_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::of(dir.path());
    let id =
        blobs.put(b"a log of some length, a log of some length, a log of some length").unwrap();
    let name = id.to_string();
    let path = dir.path().join("blobs").join(&name[..2]).join(&name[2..]);
    let good = fs_err::read(&path).unwrap();
    for place in 0..good.len() {
        for flip in [1, 0x80] {
            let mut bad = good.clone();
            bad[place] ^= flip;
            fs_err::write(&path, &bad).unwrap();
            assert!(matches!(blobs.get(id), Err(Error::BlobDamaged { .. })), "byte {place}");
        }
        fs_err::write(&path, &good[..place]).unwrap();
        assert!(matches!(blobs.get(id), Err(Error::BlobDamaged { .. })), "cut at {place}");
    }
    fs_err::write(&path, &good).unwrap();
    assert!(blobs.get(id).is_ok());
}
