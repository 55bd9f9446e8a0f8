//! A table in memory: named columns of one kind each, any value of which may be absent.

use jiff::Timestamp;

/// A column's values, one per row.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Text.
    Text(Vec<Option<String>>),
    /// Real numbers.
    Real(Vec<Option<f64>>),
    /// Whole numbers.
    Whole(Vec<Option<i64>>),
    /// True or false.
    Truth(Vec<Option<bool>>),
    /// Points in time.
    Time(Vec<Option<Timestamp>>),
}

impl Values {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Real(values) => values.len(),
            Self::Whole(values) => values.len(),
            Self::Truth(values) => values.len(),
            Self::Time(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name, in snake case.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// A table. All its columns are of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name, which is the file's too.
    pub name: &'static str,
    /// Its columns.
    pub columns: Vec<Column>,
}

impl Table {
    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.values.len())
    }
}

/// A way to make one column of things of type `T`.
pub(crate) enum Make<T> {
    Text(fn(&T) -> Option<String>),
    Real(fn(&T) -> Option<f64>),
    Whole(fn(&T) -> Option<i64>),
    Truth(fn(&T) -> Option<bool>),
    Time(fn(&T) -> Option<Timestamp>),
}

/// The table `name` of `rows`, by columns.
pub(crate) fn table<T>(
    name: &'static str,
    rows: &[T],
    columns: &[(&'static str, Make<T>)],
) -> Table {
    let columns = columns.iter().map(|(name, make)| {
        let values = match make {
            Make::Text(of) => Values::Text(rows.iter().map(of).collect()),
            Make::Real(of) => Values::Real(
                rows.iter().map(|row| of(row).filter(|value| value.is_finite())).collect(),
            ),
            Make::Whole(of) => Values::Whole(rows.iter().map(of).collect()),
            Make::Truth(of) => Values::Truth(rows.iter().map(of).collect()),
            Make::Time(of) => Values::Time(rows.iter().map(of).collect()),
        };
        Column { name, values }
    });
    Table { name, columns: columns.collect() }
}
