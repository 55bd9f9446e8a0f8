//! A table as JSON Lines: one object per row, absent values as `null`.

use std::{
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{Error, Table, Values};

/// Writes `table` to `dir/<name>.jsonl`; the file appears whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn jsonl(table: &Table, dir: &Path) -> Result<PathBuf, Error> {
    let path = dir.join(format!("{}.jsonl", table.name));
    let staging = dir.join(format!("{}.jsonl.partial", table.name));
    let mut out = BufWriter::new(fs_err::File::create(&staging)?);
    for row in 0..table.rows() {
        let cells = table.columns.iter();
        let object = cells.map(|column| (column.name.to_owned(), value(&column.values, row)));
        serde_json::to_writer(&mut out, &object.collect::<Map<_, _>>())?;
        out.write_all(b"\n")?;
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    fs_err::rename(staging, &path)?;
    Ok(path)
}

fn value(values: &Values, row: usize) -> Value {
    let found = match values {
        Values::Text(values) => values.get(row).cloned().flatten().map(Value::from),
        Values::Real(values) => values.get(row).copied().flatten().map(Value::from),
        Values::Whole(values) => values.get(row).copied().flatten().map(Value::from),
        Values::Truth(values) => values.get(row).copied().flatten().map(Value::from),
        Values::Time(values) => {
            values.get(row).copied().flatten().map(|at| Value::from(at.to_string()))
        }
    };
    found.unwrap_or(Value::Null)
}
