//! A table as a Parquet file: one row group, flat optional columns, uncompressed with dictionaries. Read by DuckDB, Polars
//! and everything else that reads Parquet.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parquet::{
    basic::{LogicalType, Repetition, TimeUnit, Type as Physical},
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::{ParquetError, Result},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::{Type, TypePtr},
};

use crate::{Error, Table, Values};

/// Writes `table` to `dir/<name>.parquet`; the file appears whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn parquet(table: &Table, dir: &Path) -> std::result::Result<PathBuf, Error> {
    let path = dir.join(format!("{}.parquet", table.name));
    let staging = dir.join(format!("{}.parquet.partial", table.name));
    let file = fs_err::File::create(&staging)?.into_parts().0;
    write(table, file).map_err(|source| Error::Parquet { path: path.clone(), source })?;
    fs_err::rename(staging, &path)?;
    Ok(path)
}

fn write(table: &Table, file: std::fs::File) -> Result<()> {
    let fields = table.columns.iter().map(|column| field(column.name, &column.values));
    let fields = fields.collect::<Result<Vec<TypePtr>>>()?;
    let schema = Arc::new(Type::group_type_builder(table.name).with_fields(fields).build()?);
    let properties = WriterProperties::builder()
        .set_created_by(concat!("empiric ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for column in &table.columns {
        let mut out = group
            .next_column()?
            .ok_or_else(|| ParquetError::General(format!("no place for `{}`", column.name)))?;
        put(out.untyped(), &column.values)?;
        out.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

fn field(name: &str, values: &Values) -> Result<TypePtr> {
    let (physical, logical) = match values {
        Values::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Values::Real(_) => (Physical::DOUBLE, None),
        Values::Whole(_) => (Physical::INT64, None),
        Values::Truth(_) => (Physical::BOOLEAN, None),
        Values::Time(_) => {
            let unit = TimeUnit::MICROS;
            (Physical::INT64, Some(LogicalType::timestamp(true, unit)))
        }
    };
    let field = Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical);
    Ok(Arc::new(field.build()?))
}

fn put(out: &mut ColumnWriter<'_>, values: &Values) -> Result<()> {
    match (out, values) {
        (ColumnWriter::ByteArrayColumnWriter(out), Values::Text(values)) => {
            let (levels, values) = split(values, |text| ByteArray::from(text.as_str()));
            out.write_batch(&values, Some(&levels), None)?;
        }
        (ColumnWriter::DoubleColumnWriter(out), Values::Real(values)) => {
            let (levels, values) = split(values, |value| *value);
            out.write_batch(&values, Some(&levels), None)?;
        }
        (ColumnWriter::Int64ColumnWriter(out), Values::Whole(values)) => {
            let (levels, values) = split(values, |value| *value);
            out.write_batch(&values, Some(&levels), None)?;
        }
        (ColumnWriter::BoolColumnWriter(out), Values::Truth(values)) => {
            let (levels, values) = split(values, |value| *value);
            out.write_batch(&values, Some(&levels), None)?;
        }
        (ColumnWriter::Int64ColumnWriter(out), Values::Time(values)) => {
            let (levels, values) = split(values, |at| at.as_microsecond());
            out.write_batch(&values, Some(&levels), None)?;
        }
        _ => return Err(ParquetError::General("a column is not of its schema's kind".to_owned())),
    }
    Ok(())
}

/// Definition levels (1 where there is a value), and the values that are there.
fn split<T, U>(values: &[Option<T>], of: impl Fn(&T) -> U) -> (Vec<i16>, Vec<U>) {
    let levels = values.iter().map(|value| i16::from(value.is_some())).collect();
    (levels, values.iter().flatten().map(of).collect())
}
