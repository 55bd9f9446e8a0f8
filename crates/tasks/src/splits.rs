//! Deals the items of an evaluation to the splits: once, after the data are made, the same for every study of the task.
//!
//! What the order derives from is the declared seed and the table itself, which recipe code does not see; so nobody who
//! knows the task's files but not that table can say which item is where.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use empiric_core::{Assignment, Digest, Split, Splits};

use crate::{Error, Host, Loaded, files};

/// Most items that can be dealt.
const ITEMS: usize = 200_000;

const SPLITS: [Split; 3] = [Split::Search, Split::Select, Split::Report];

/// The splits of a task, as its evaluator is given them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dealt {
    /// A JSON file that holds the assignment.
    pub(crate) path: PathBuf,
    /// Which item is where.
    pub(crate) assignment: Assignment,
}

impl Dealt {
    /// Hash of the file as it is now.
    pub(crate) fn digest(&self) -> io::Result<Digest> {
        files::digest(Path::new(""), self.path.to_str())
    }
}

/// Deals the items of the table at `table` and keeps the result in the cache.
pub(crate) fn splits(
    loaded: &Loaded,
    declared: &Splits,
    table: &Path,
    host: &Host,
) -> Result<Dealt, Error> {
    let unusable = |why: String| Error::Splits { items: declared.items.clone(), why };
    let bytes = fs_err::read(table)?;
    let rows = rows(&bytes, declared).map_err(unusable)?;
    let assignment = assign(&rows, declared, &key(declared, &bytes)).map_err(unusable)?;
    let text = serde_json::to_string(&assignment).map_err(io::Error::other)?;
    let dir = host.cache.join("splits");
    fs_err::create_dir_all(&dir)?;
    let dir = fs_err::canonicalize(dir)?;
    let name = files::digest_of(["splits 1", &loaded.task.name, &text]).to_string();
    let path = dir.join(format!("{}.json", &name[..16]));
    let there = fs_err::read(&path).is_ok_and(|found| found == text.as_bytes());
    if !there {
        let staging = dir.join(format!("{}.{}.partial", &name[..16], std::process::id()));
        fs_err::write(&staging, &text)?;
        fs_err::rename(&staging, &path)?;
    }
    Ok(Dealt { path, assignment })
}

fn key(declared: &Splits, table: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&declared.seed.to_le_bytes());
    hasher.update(table);
    *hasher.finalize().as_bytes()
}

/// One item, with what of it matters for dealing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    id: String,
    stratum: String,
    group: Option<String>,
    time: String,
    split: Option<Split>,
}

fn rows(bytes: &[u8], declared: &Splits) -> Result<Vec<Row>, String> {
    let delimiter = if declared.items.ends_with(".tsv") { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(bytes);
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let column = |name: &str| {
        header.iter().position(|known| known.trim() == name).ok_or_else(|| {
            let known: Vec<&str> = header.iter().take(12).map(str::trim).collect();
            format!("there is no column `{name}` among {}", known.join(", "))
        })
    };
    let optional = |name: &Option<String>| name.as_deref().map(column).transpose();
    let id = column(&declared.id)?;
    let stratify = optional(&declared.stratify)?;
    let (group, time) = (optional(&declared.group)?, optional(&declared.time)?);
    let named = optional(&declared.column)?;
    let mut rows = Vec::new();
    let mut seen = BTreeSet::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |at: usize| record.get(at).unwrap_or_default().trim().to_owned();
        let id = cell(id);
        if id.is_empty() || !seen.insert(id.clone()) {
            return Err(format!("line {line}: the id `{id}` is empty or appears twice"));
        }
        let split = match named.map(cell).as_deref() {
            None => None,
            Some("search") => Some(Split::Search),
            Some("select") => Some(Split::Select),
            Some("report") => Some(Split::Report),
            Some(other) => {
                return Err(format!(
                    "line {line}: `{other}` is no split; expected search, select or report"
                ));
            }
        };
        rows.push(Row {
            id,
            stratum: stratify.map(cell).unwrap_or_default(),
            group: group.map(cell),
            time: time.map(cell).unwrap_or_default(),
            split,
        });
        if rows.len() > ITEMS {
            return Err(format!("it has more than {ITEMS} items"));
        }
    }
    Ok(rows)
}

fn assign(rows: &[Row], declared: &Splits, key: &[u8; 32]) -> Result<Assignment, String> {
    let assignment = if declared.column.is_some() {
        named(rows, key)
    } else if declared.time.is_some() {
        in_time(rows, &declared.weights)
    } else {
        dealt(rows, &declared.weights, key)
    };
    for (split, weight) in SPLITS.into_iter().zip(declared.weights) {
        let needed = weight > 0.0 && (declared.column.is_none() || split != Split::Report);
        if needed && assignment.of(split).is_empty() {
            let name = format!("{split:?}").to_lowercase();
            return Err(format!("its {} items leave none for the {name} split", rows.len()));
        }
    }
    Ok(assignment)
}

/// A place in an order that nobody knows who does not know the key.
fn place(key: &[u8; 32], text: &str) -> [u8; 32] {
    *blake3::keyed_hash(key, text.as_bytes()).as_bytes()
}

fn named(rows: &[Row], key: &[u8; 32]) -> Assignment {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by_cached_key(|row| place(key, &row.id));
    let mut assignment = Assignment::default();
    for row in sorted {
        assignment.of_mut(row.split.unwrap_or(Split::Search)).push(row.id.clone());
    }
    assignment
}

/// The earliest for search, the latest for the report; what is of one time stays together. Times are numbers where all
/// of them are, else text, in which ISO dates sort well.
fn in_time(rows: &[Row], weights: &[f64; 3]) -> Assignment {
    let numbers: Option<Vec<f64>> =
        rows.iter().map(|row| row.time.parse().ok().filter(|t: &f64| t.is_finite())).collect();
    let mut sorted: Vec<usize> = (0..rows.len()).collect();
    match &numbers {
        Some(numbers) => sorted.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b])),
        None => sorted.sort_by(|a, b| rows[*a].time.cmp(&rows[*b].time)),
    }
    let total: f64 = weights.iter().sum();
    let search = weights[0] / total * rows.len() as f64;
    let select = (weights[0] + weights[1]) / total * rows.len() as f64;
    let mut assignment = Assignment::default();
    let mut before: Option<(&str, Split)> = None;
    for (at, row) in sorted.into_iter().map(|row| &rows[row]).enumerate() {
        let split = match before {
            Some((time, split)) if time == row.time => split,
            _ if (at as f64) < search => Split::Search,
            _ if (at as f64) < select => Split::Select,
            _ => Split::Report,
        };
        before = Some((&row.time, split));
        assignment.of_mut(split).push(row.id.clone());
    }
    assignment
}

/// Deals groups, or single items, the largest first and else in an order that the key gives.
///
/// Each stratum has a whole quota of each split. A group goes where most of its items find room in these quotas; where
/// several splits have as much, or none has any, to the split that is furthest from its share of all items.
fn dealt(rows: &[Row], weights: &[f64; 3], key: &[u8; 32]) -> Assignment {
    let total: f64 = weights.iter().sum();
    let share = weights.map(|weight| weight / total);
    let mut strata: BTreeMap<&str, u32> = BTreeMap::new();
    let mut groups: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        *strata.entry(&row.stratum).or_default() += 1;
        groups.entry(row.group.as_deref().unwrap_or(&row.id)).or_default().push(row);
    }
    let mut room: BTreeMap<&str, [i64; 3]> = strata
        .iter()
        .map(|(stratum, n)| (*stratum, share.map(|share| (share * f64::from(*n) + 1e-9) as i64)))
        .collect();
    let mut short = share.map(|share| share * rows.len() as f64);
    let mut sorted: Vec<(&str, Vec<&Row>)> = groups.into_iter().collect();
    sorted.sort_by_cached_key(|(name, rows)| (std::cmp::Reverse(rows.len()), place(key, name)));
    let mut assignment = Assignment::default();
    for (_, members) in sorted {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for row in &members {
            *counts.entry(&row.stratum).or_default() += 1;
        }
        let fits = |split: usize| -> i64 {
            let of = |stratum: &str| room.get(stratum).map_or(0, |room| room[split].max(0));
            counts.iter().map(|(stratum, n)| of(stratum).min(*n)).sum()
        };
        let open = (0..3).filter(|split| share[*split] > 0.0);
        let best = open.max_by(|a, b| {
            fits(*a).cmp(&fits(*b)).then(short[*a].total_cmp(&short[*b])).then(b.cmp(a))
        });
        let best = best.unwrap_or(0);
        short[best] -= members.len() as f64;
        for (stratum, n) in counts {
            if let Some(room) = room.get_mut(stratum) {
                room[best] -= n;
            }
        }
        let ids = members.iter().map(|row| row.id.clone());
        assignment.of_mut(SPLITS[best]).extend(ids);
    }
    assignment
}

#[cfg(test)]
mod tests;
