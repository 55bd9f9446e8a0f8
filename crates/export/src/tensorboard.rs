//! A study as TensorBoard event files: one run per arm, one step per trial.
//!
//! A file is a sequence of records (length, CRC of the length, data, CRC of the data) of `Event` messages. Both forms are
//! small and fixed, so they are written here; `cargo xtask interop` reads them back with TensorBoard's own reader.
//! Formats: TensorFlow's `core/lib/io/record_writer.h`, `core/util/event.proto`, `core/framework/summary.proto`.

use std::{
    collections::BTreeMap,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use empiric_core::{Outcome, Purpose, Split, Study, Trial, Verdict};
use jiff::Timestamp;

use crate::Error;

/// Writes one event file per arm to `dir/<arm>/`; `at` names the files.
///
/// # Errors
/// When a file cannot be written.
pub fn tensorboard(study: &Study, dir: &Path, at: Timestamp) -> Result<Vec<PathBuf>, Error> {
    let mut arms: BTreeMap<&str, Vec<&Trial>> = BTreeMap::new();
    for trial in study.trials() {
        arms.entry(&trial.arm).or_default().push(trial);
    }
    let mut paths = Vec::new();
    for (arm, trials) in arms {
        let dir = dir.join(plain(arm));
        fs_err::create_dir_all(&dir)?;
        let name = format!("events.out.tfevents.{:010}.empiric", at.as_second());
        let staging = dir.join(format!("{name}.partial"));
        let mut out = BufWriter::new(fs_err::File::create(&staging)?);
        record(&mut out, &version(seconds(at)))?;
        let mut cpu_s = 0.0;
        for trial in trials {
            cpu_s += trial
                .replicates
                .iter()
                .filter_map(|replicate| replicate.result.as_ref())
                .map(|result| result.cost.cpu_s)
                .sum::<f64>();
            let wall = seconds(trial.ended_at.unwrap_or(trial.asked_at));
            for (tag, value) in scalars(study, trial, cpu_s) {
                record(&mut out, &scalar(wall, i64::from(trial.no.0), &tag, value as f32))?;
            }
        }
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        let path = dir.join(name);
        fs_err::rename(staging, &path)?;
        paths.push(path);
    }
    Ok(paths)
}

/// What is drawn of a trial.
fn scalars(study: &Study, trial: &Trial, cpu_s: f64) -> Vec<(String, f64)> {
    let metric = &study.task().metric.name;
    let mut found = Vec::new();
    let mut add = |tag: String, value: Option<f64>| {
        found.extend(value.filter(|value| value.is_finite()).map(|value| (tag, value)));
    };
    add(format!("search/{metric}"), trial.search_score(metric));
    if let Some(Outcome::Valid { verdict: Verdict::Keep, gain, .. }) = &trial.outcome {
        let own = Purpose::Confirm { of: trial.no };
        let fresh = trial.values(metric, Split::Select, own, study.segment());
        let n = fresh.len() as f64;
        let mean = fresh.iter().map(|(_, value)| value).sum::<f64>() / n;
        add(format!("confirmed/{metric}"), Some(mean));
        add("gain/kept".to_owned(), *gain);
    }
    add("cost/cpu_s".to_owned(), Some(cpu_s));
    found
}

/// A name as one directory.
fn plain(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    name.chars().map(keep).collect()
}

fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}

/// `Event { wall_time: 1, file_version: 3 }`.
fn version(wall: f64) -> Vec<u8> {
    let mut event = Vec::new();
    double(&mut event, 1, wall);
    bytes(&mut event, 3, b"brain.Event:2");
    event
}

/// `Event { wall_time: 1, step: 2, summary: 5 { value: 1 { tag: 1, simple_value: 2 } } }`.
fn scalar(wall: f64, step: i64, tag: &str, value: f32) -> Vec<u8> {
    let (mut named, mut summary, mut event) = (Vec::new(), Vec::new(), Vec::new());
    bytes(&mut named, 1, tag.as_bytes());
    named.push(2 << 3 | 5);
    named.extend(value.to_le_bytes());
    bytes(&mut summary, 1, &named);
    double(&mut event, 1, wall);
    event.push(2 << 3);
    varint(&mut event, step.cast_unsigned());
    bytes(&mut event, 5, &summary);
    event
}

fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(field << 3 | 1);
    out.extend(value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn record(out: &mut impl Write, data: &[u8]) -> std::io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked(&length).to_le_bytes())?;
    out.write_all(data)?;
    out.write_all(&masked(data).to_le_bytes())
}

/// CRC-32C, rotated and moved, so that a CRC of data that holds CRCs is none of them.
fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), RFC 3720, appendix B.4.
fn crc32c(data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    };
    !data.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // The check value of the catalogue of parametrised CRCs, and RFC 3720's 32 zero bytes.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_scalar_is_the_message_that_protobuf_writes() {
        let expected = [
            0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, // wall_time 1.5
            0x10, 0xac, 0x02, // step 300
            0x2a, 0x0a, 0x0a, 0x08, 0x0a, 0x01, b'a', 0x15, 0, 0, 0x80,
            0x3f, // summary: a = 1.0
        ];
        assert_eq!(scalar(1.5, 300, "a", 1.0), expected);
    }
}
