//! Row files, read one row at a time: `json_lines`, `json_array` and `delimited` (CSV and TSV), plain or compressed
//! (`row_file`).

mod delimited;
mod json_array;
mod json_lines;
mod numbers;
mod quotes;
mod row_file;

use serde_json::{Map, Value};

pub(in crate::stages) use delimited::{COMMA, DelimitedFormat, TAB, csv, delimited};
pub(in crate::stages) use json_array::{is_json_array, json_array};
pub(in crate::stages) use json_lines::{json_line, jsonl};
pub(in crate::stages) use row_file::without_compression;

/// The maximum length of a line of JSON or a row of CSV.
pub(in crate::stages) const ROW_LIMIT: u64 = 64 * 1024 * 1024;

/// The fields of one row.
pub(in crate::stages) type Fields = Map<String, Value>;

/// The rows of one file: the number of each, from 1, with its fields or why it cannot be read. The number is the
/// line in a JSONL file; in an array it counts the elements, and in a CSV file the rows below the header.
pub(in crate::stages) type Rows = Box<dyn Iterator<Item = (u64, Result<Fields, String>)> + Send>;

/// Whether a file begins with the byte order mark of UTF-16, which none of the readers supports.
fn is_utf16(start: &[u8]) -> bool {
    start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff])
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Rows;
    use serde_json::{Value, json};

    /// Checks number and fields, or number and error, of every row.
    pub(super) fn check(open: fn(&str) -> Result<Rows, String>, bytes: &[u8], expected: Value) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        std::fs::write(&path, bytes).unwrap();
        let rows = match open(path.to_str().unwrap()) {
            Ok(rows) => rows,
            Err(error) => return assert_eq!(Value::from(error), expected),
        };
        let found: Value = rows
            .map(|(number, row)| match row {
                Ok(fields) => json!([number, fields]),
                Err(error) => json!([number, error]),
            })
            .collect();
        assert_eq!(found, expected);
    }
}
