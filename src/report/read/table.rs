//! Reads a CSV file of records: each row is an object of its columns' names and texts.
//!
//! Stands where `pieces` stands for JSON. A row that does not fit costs itself alone.

use std::fs::File;
use std::io;
use std::path::Path;

use serde_json::{Map, Value};

/// The rows of a file.
pub(super) struct Table {
    reader: csv::Reader<File>,
    columns: Vec<String>,
    number: u64,
}

/// A row, or why it is none.
pub(super) type Row = Result<Value, String>;

impl Table {
    /// Whether the name is that of a CSV file.
    pub(super) fn is_named(path: &Path) -> bool {
        path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"))
    }

    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut reader = csv::Reader::from_reader(File::open(path)?);
        let header = reader.byte_headers().map_err(io::Error::from)?;
        let columns = header.iter().map(|name| {
            let name = String::from_utf8_lossy(name);
            name.trim_start_matches('\u{feff}').to_owned()
        });
        Ok(Self { columns: columns.collect(), reader, number: 0 })
    }

    /// The next row with its number, from 1 behind the header.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Row)>> {
        let mut record = csv::StringRecord::new();
        let read = self.reader.read_record(&mut record);
        self.number += 1;
        match read {
            Ok(false) => Ok(None),
            Ok(true) => {
                let fields = self.columns.iter().cloned().zip(record.iter().map(Value::from));
                Ok(Some((self.number, Ok(Value::Object(fields.collect::<Map<String, Value>>())))))
            }
            Err(error) if error.is_io_error() => Err(error.into()),
            Err(error) => Ok(Some((self.number, Err(error.to_string())))),
        }
    }
}
