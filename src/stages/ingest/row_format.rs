//! Rows in the formats that trainers read: converts their columns to the fields from which a sink writes that format.

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

    /// The rows of a file, with their columns converted to fields.
    pub(super) fn in_row_format(&self, rows: Rows) -> Rows {
        if self.rows == Format::Raw {
            return rows;
        }
        let format = self.row_format();
        Box::new(rows.map(move |(number, row)| (number, row.and_then(|row| format.read(row)))))
    }
}

/// The format of rows, with the columns' names in the file.
pub(super) struct RowFormat {
    format: Format,
    columns: BTreeMap<String, String>,
}

impl RowFormat {
    /// Converts a row to fields.
    pub(super) fn read(&self, row: Fields) -> Result<Fields, String> {
        self.format.read(with_names(row, &self.columns)?)
    }
}

/// Renames a row's columns to the format's names, given the file's names in `columns`.
fn with_names(mut row: Fields, columns: &BTreeMap<String, String>) -> Result<Fields, String> {
    let mut named = Vec::new();
    for (column, name) in columns {
        if let Some(value) = row.shift_remove(name) {
            named.push((column, value));
        }
    }
    for (column, value) in named {
        if row.insert(column.clone(), value).is_some() {
            return Err(format!(
                "the row has a column `{column}` beside the one that is named for it in `columns`"
            ));
        }
    }
    Ok(row)
}
