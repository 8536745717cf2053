//! Rows in the formats that trainers read: their columns become the fields of which a sink makes such rows.

use std::collections::BTreeMap;

use super::rows::{Fields, Rows};
use super::{Ingest, IngestFormat};
use crate::formats::Format;
use crate::pipeline::CheckContext;
use crate::pipeline::document::join;

impl Ingest {
    /// Checks the options about the format of rows.
    pub(super) fn check_row_format(&self, context: &mut CheckContext<'_>) {
        if self.rows != Format::Raw && self.format == IngestFormat::Document {
            context
                .problem("/rows", "`rows` is the format of rows, and `format` says that files are documents")
                .on_key();
        }
        let own = self.rows.keys();
        for (column, name) in &self.columns {
            let at = join("/columns", column);
            if !own.contains(&column.as_str()) {
                let problem = context.problem(&at, format!("the format has no column `{column}`")).on_key();
                match own {
                    [] => problem.hint("`rows` says in which format the rows are"),
                    own => problem.expected(format!("one of `{}`", own.join("`, `"))),
                };
            } else if self.columns.iter().any(|(other, named)| other != column && named == name) {
                context.problem(&at, format!("two columns have the name `{name}`"));
            }
        }
    }

    pub(super) fn row_format(&self) -> RowFormat {
        RowFormat { format: self.rows, columns: self.columns.clone() }
    }

    /// The rows of a file with the fields that their format stands for.
    pub(super) fn in_row_format(&self, rows: Rows) -> Rows {
        if self.rows == Format::Raw {
            return rows;
        }
        let format = self.row_format();
        Box::new(rows.map(move |(number, row)| (number, row.and_then(|row| format.read(row)))))
    }
}

/// The format of rows, with own names of its columns.
pub(super) struct RowFormat {
    format: Format,
    columns: BTreeMap<String, String>,
}

impl RowFormat {
    /// The fields of a row.
    pub(super) fn read(&self, row: Fields) -> Result<Fields, String> {
        self.format.read(with_names(row, &self.columns)?)
    }
}

/// A row with the format's names of its columns, of which `columns` has the file's.
fn with_names(mut row: Fields, columns: &BTreeMap<String, String>) -> Result<Fields, String> {
    let mut named = Vec::new();
    for (column, name) in columns {
        if let Some(value) = row.shift_remove(name) {
            named.push((column, value));
        }
    }
    for (column, value) in named {
        if row.insert(column.clone(), value).is_some() {
            return Err(format!("the row has a column `{column}` beside the one that stands for it"));
        }
    }
    Ok(row)
}
