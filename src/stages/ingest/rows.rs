//! Files of rows, read one row at a time: JSON lines and CSV.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::{ErrorKind, StringRecord};
use serde_json::{Map, Value};

/// A longer line of JSON or row of CSV is refused.
const ROW_LIMIT: u64 = 64 * 1024 * 1024;
/// Buffers larger than this are given back after a long line.
const KEEP: usize = 1024 * 1024;

/// The fields of one row.
pub(in crate::stages) type Fields = Map<String, Value>;

/// The rows of one file: the number of each, from 1, with its fields or why it cannot be read. The number is
/// the line in a JSONL file, and in a CSV file counts the rows below the header.
pub(in crate::stages) type Rows = Box<dyn Iterator<Item = (u64, Result<Fields, String>)> + Send>;

/// Opens a JSONL file.
pub(in crate::stages) fn jsonl(path: &str) -> Result<Rows, String> {
    let mut reader =
        BufReader::with_capacity(64 * 1024, File::open(path).map_err(|error| error.to_string())?);
    let start = reader.fill_buf().map_err(|error| error.to_string())?;
    if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
        return Err("is UTF-16; JSON lines are read as UTF-8".to_owned());
    }
    if start.starts_with("\u{feff}".as_bytes()) {
        reader.consume(3);
    }
    Ok(Box::new(JsonLines { reader, line: Vec::new(), number: 0, limit: ROW_LIMIT, done: false }))
}

/// Opens a CSV file; its first row names the fields.
pub(in crate::stages) fn csv(path: &str) -> Result<Rows, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let read = Arc::new(AtomicU64::new(0));
    let mut reader = csv::Reader::from_reader(Metered { file, read: Arc::clone(&read) });
    let headers = reader.headers().map_err(|error| explain(&error))?.clone();
    check_headers(&headers)?;
    Ok(Box::new(CsvRows { reader, headers, read, number: 0, done: false }))
}

fn check_headers(headers: &StringRecord) -> Result<(), String> {
    if headers.is_empty() {
        return Err("has no header row".to_owned());
    }
    for (column, name) in headers.iter().enumerate() {
        if name.trim().is_empty() {
            return Err(format!("column {} has no name in the header row", column + 1));
        }
        if headers.iter().take(column).any(|earlier| earlier == name) {
            return Err(format!("two columns have the name `{name}`"));
        }
    }
    Ok(())
}

struct JsonLines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
    limit: u64,
    done: bool,
}

/// What reading one line came to.
enum Line {
    Whole,
    TooLong,
    End,
}

impl<R: BufRead> JsonLines<R> {
    fn read_line(&mut self) -> std::io::Result<Line> {
        self.line.clear();
        self.line.shrink_to(KEEP);
        let mut reader = (&mut self.reader).take(self.limit.saturating_add(1));
        if reader.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(Line::End);
        }
        if self.line.len() as u64 > self.limit && !self.line.ends_with(b"\n") {
            self.reader.skip_until(b'\n')?;
            return Ok(Line::TooLong);
        }
        Ok(Line::Whole)
    }
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = (u64, Result<Fields, String>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let line = self.read_line();
            self.number += 1;
            match line {
                Ok(Line::Whole) if self.line.trim_ascii().is_empty() => {}
                Ok(Line::Whole) => return Some((self.number, object(self.line.trim_ascii_end()))),
                Ok(Line::TooLong) => {
                    return Some((self.number, Err(format!("the line is longer than {} bytes", self.limit))));
                }
                Ok(Line::End) => self.done = true,
                Err(error) => {
                    self.done = true;
                    return Some((self.number, Err(error.to_string())));
                }
            }
        }
        None
    }
}

fn object(line: &[u8]) -> Result<Fields, String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("not text: no UTF-8 at byte {} of the line", error.valid_up_to()))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(value) => Err(format!("not a JSON object but {}", kind(&value))),
        Err(error) => {
            // The error's own line number is always 1, which misleads.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            Err(format!("not JSON: {message} at column {}", error.column()))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

struct CsvRows {
    reader: csv::Reader<Metered>,
    headers: StringRecord,
    /// Bytes read since the last row.
    read: Arc<AtomicU64>,
    number: u64,
    done: bool,
}

impl Iterator for CsvRows {
    type Item = (u64, Result<Fields, String>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        self.read.store(0, Ordering::Relaxed);
        let mut row = StringRecord::new();
        match self.reader.read_record(&mut row) {
            Ok(false) => {
                self.done = true;
                None
            }
            Ok(true) => {
                self.number += 1;
                let names = self.headers.iter().map(str::to_owned);
                Some((self.number, Ok(names.zip(row.iter().map(Value::from)).collect())))
            }
            Err(error) => {
                self.number += 1;
                self.done = error.is_io_error();
                Some((self.number, Err(explain(&error))))
            }
        }
    }
}

/// The error in words. The line numbers of the csv crate are one too low where lines end in CRLF, so none
/// are told.
fn explain(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} fields, the header has {expected_len}")
        }
        ErrorKind::Utf8 { err, .. } => {
            format!("not text: no UTF-8 in column {}", err.field() + 1)
        }
        ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// A file that stops being read when one row, such as one with a quote left open, has no end.
struct Metered {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.read.load(Ordering::Relaxed) > ROW_LIMIT {
            let message = format!("a row is longer than {ROW_LIMIT} bytes: is a quote left open?");
            return Err(std::io::Error::other(message));
        }
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Checks number and fields, or number and error, of every row.
    fn check(open: fn(&str) -> Result<Rows, String>, bytes: &[u8], expected: Value) {
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

    #[test]
    fn json_lines_are_objects() {
        check(jsonl, b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n{\"b\":[2]}", json!([[1, {"a": 1}], [4, {"b": [2]}]]));
        check(jsonl, b"", json!([]));
        check(
            jsonl,
            b"[1]\n{\"a\":\n\"x\"\n{}\n\xff\n",
            json!([
                [1, "not a JSON object but an array"],
                [2, "not JSON: EOF while parsing a value at column 5"],
                [3, "not a JSON object but a text"],
                [4, {}],
                [5, "not text: no UTF-8 at byte 0 of the line"],
            ]),
        );
        check(jsonl, b"\xff\xfe{\0", json!("is UTF-16; JSON lines are read as UTF-8"));
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let bytes: &[u8] = b"{\"a\":1}\n{\"a\":\"long\"}\n{\"a\":2}\n{\"a\":\"long\"}";
        let lines = JsonLines { reader: bytes, line: Vec::new(), number: 0, limit: 8, done: false };
        let found: Vec<(u64, bool)> = lines.map(|(number, row)| (number, row.is_ok())).collect();
        assert_eq!(found, [(1, true), (2, false), (3, true), (4, false)]);
    }

    #[test]
    fn csv_rows_have_the_headers_names() {
        check(
            csv,
            b"\xef\xbb\xbfid,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n2\r\n3,\xff\r\n4,d\r\n",
            json!([
                [1, {"id": "1", "text": "a, \"b\"\nc"}],
                [2, "the row has 1 fields, the header has 2"],
                [3, "not text: no UTF-8 in column 2"],
                [4, {"id": "4", "text": "d"}],
            ]),
        );
    }

    #[test]
    fn csv_headers_must_name_every_column_once() {
        check(csv, b"", json!("has no header row"));
        check(csv, b"a,,b\n", json!("column 2 has no name in the header row"));
        check(csv, b"a,b,a\n", json!("two columns have the name `a`"));
    }
}
