//! The short form: every seed, and mutations of it that are the same on every machine.

use std::path::{Path, PathBuf};

use fs_err as fs;
use rand::{RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Mutations of each seed.
const MUTATIONS: u64 = 60;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The seeds of a target, by name.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = repository().join("fuzz/seeds").join(target);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// `seed` with a few bytes, words or stretches changed, doubled, moved, or taken from `other`.
fn mutated(seed: &[u8], other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=data.len());
        let end = (at + rng.random_range(0..24)).min(data.len());
        let piece = data[at..end].to_vec();
        match rng.random_range(0..6) {
            0 => drop(data.splice(at..end, [])),
            1 => drop(data.splice(at..at, piece)),
            2 => drop(data.splice(at..end, [rng.random()])),
            3 => data.truncate(at),
            4 => {
                let from = rng.random_range(0..=other.len());
                let to = (from + rng.random_range(0..40)).min(other.len());
                data.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                let words: [&[u8]; 8] = [
                    b"\0",
                    b"\n",
                    b"\r\n",
                    b"1e308",
                    b"-0",
                    b"../",
                    "\u{fffd}\u{1b}[".as_bytes(),
                    b"=======\n",
                ];
                data.splice(at..at, words.choose(rng).unwrap().iter().copied());
            }
        }
    }
    data
}

fn holds(target: &str) {
    let seeds = seeds(target);
    assert!(!seeds.is_empty());
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for (path, seed) in &seeds {
        let told = std::panic::catch_unwind(|| run(target, seed));
        assert!(told.is_ok(), "the seed {}", path.display());
        for n in 0..MUTATIONS {
            let other = &seeds.choose(&mut rng).unwrap().1;
            let data = mutated(seed, other, &mut rng);
            let told = std::panic::catch_unwind(|| run(target, &data));
            assert!(told.is_ok(), "mutation {n} of {}: {}", path.display(), data.escape_ascii());
        }
    }
}

#[test]
fn task_files_are_understood_or_refused() {
    holds("task");
}

#[test]
fn results_are_understood_or_refused() {
    holds("result");
}

#[test]
fn events_are_taken_in_or_refused() {
    holds("events");
}

#[test]
fn patches_apply_or_are_refused() {
    holds("patch");
}

#[test]
fn edits_apply_or_are_refused() {
    holds("edits");
}

#[test]
fn printed_metrics_are_read() {
    holds("printed");
}

#[test]
fn globs_match_or_are_refused() {
    holds("globs");
}

#[test]
fn every_target_has_its_driver_and_its_seeds() {
    for (name, _) in TARGETS {
        let driver = repository().join(format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(fs::read_to_string(driver).unwrap().contains(&format!("run(\"{name}\"")));
        assert!(seeds(name).len() >= 4, "{name}");
    }
    let drivers = fs::read_dir(repository().join("fuzz/fuzz_targets")).unwrap().count();
    assert_eq!(drivers, TARGETS.len());
}

/// They are bodies of a ledger (`sqlite3 ledger.db 'select body from event'`) and made anew when the format changes.
#[test]
fn seeds_of_events_are_of_the_present_format() {
    for (path, seed) in seeds("events").iter().filter(|(_, seed)| seed.starts_with(b"{")) {
        for line in seed.split(|byte| *byte == b'\n') {
            if let Err(error) = serde_json::from_slice::<empiric_core::Event>(line) {
                panic!("{}: {error}", path.display());
            }
        }
    }
}

#[test]
fn a_seed_is_accepted_so_that_what_follows_is_reached() {
    let (dir, root) = texts::task_dir();
    for seed in ["full", "quickly", "tiny"] {
        fs::copy(repository().join("fuzz/seeds/task").join(seed), root.join("task.toml")).unwrap();
        fs::write(root.join("evaluate.sh"), "").unwrap();
        let host = empiric_tasks::Host { cache: dir.path().join("cache"), path: "/bin".into() };
        empiric_tasks::load(&root, &host).unwrap_or_else(|problems| panic!("{seed}: {problems:?}"));
    }
}
