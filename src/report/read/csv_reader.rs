//! Reads a CSV file of records: each row becomes an object that maps column names to texts.
//!
//! The counterpart of `json_splitter`. A row that does not match the header does not affect the others. An unclosed quote
//! swallows the rows after it; the parser accepts that, so `QuoteTracker` follows the quotes and reports it at the end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value};

use crate::formats::json_splitter::MAX_VALUE_BYTES;

/// Reads the rows of a file.
pub(super) struct CsvReader {
    reader: csv::Reader<QuoteTracker<File>>,
    columns: Vec<String>,
    number: u64,
}

/// A row, or why it could not be read.
pub(super) type CsvRow = Result<Value, String>;

impl CsvReader {
    /// Returns whether the file name is that of a CSV file.
    pub(super) fn is_named(path: &Path) -> bool {
        path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"))
    }

    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = QuoteTracker { inner: File::open(path)?, state: CsvQuoteState::FieldStart, row: 0 };
        let mut reader = csv::Reader::from_reader(file);
        let header = reader.byte_headers().map_err(io::Error::from)?;
        let columns = header.iter().map(|name| {
            let name = String::from_utf8_lossy(name);
            name.trim_start_matches('\u{feff}').to_owned()
        });
        Ok(Self { columns: columns.collect(), reader, number: 0 })
    }

    /// Describes what is wrong with the file as a whole; known once the last row has been returned.
    pub(super) fn damage(&self) -> Option<&'static str> {
        let file = self.reader.get_ref();
        match file.state {
            _ if file.row > MAX_VALUE_BYTES => {
                Some("a row is longer than 16 MiB, and what follows was not read; is a quote left open?")
            }
            CsvQuoteState::Quoted => {
                Some("it ends inside a quote, so its last record may have swallowed rows")
            }
            _ => None,
        }
    }

    /// Returns the next row with its number, from 1 after the header.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, CsvRow)>> {
        let mut record = csv::StringRecord::new();
        let read = self.reader.read_record(&mut record);
        self.number += 1;
        match read {
            Ok(false) => Ok(None),
            Ok(true) => {
                let fields = self.columns.iter().cloned().zip(record.iter().map(Value::from));
                Ok(Some((self.number, Ok(Value::Object(fields.collect::<Map<String, Value>>())))))
            }
            Err(_) if self.reader.get_ref().row > MAX_VALUE_BYTES => Ok(None),
            Err(error) if error.is_io_error() => Err(error.into()),
            Err(error) => Ok(Some((self.number, Err(error.to_string())))),
        }
    }
}

/// A reader that tracks whether it is inside a quoted field, and the length of the current row.
struct QuoteTracker<R> {
    inner: R,
    state: CsvQuoteState,
    /// Bytes since the row began.
    row: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum CsvQuoteState {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote in a quoted field: it ended the field, or is the first of an escaped pair.
    Ended,
}

impl<R: Read> Read for QuoteTracker<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        for byte in &buffer[..count] {
            let ends_row = *byte == b'\n' && self.state != CsvQuoteState::Quoted;
            self.row = if ends_row { 0 } else { self.row + 1 };
            self.state = match (self.state, byte) {
                (CsvQuoteState::Quoted, b'"') => CsvQuoteState::Ended,
                (CsvQuoteState::Quoted, _) => CsvQuoteState::Quoted,
                (CsvQuoteState::FieldStart | CsvQuoteState::Ended, b'"') => CsvQuoteState::Quoted,
                (_, b',' | b'\n' | b'\r') => CsvQuoteState::FieldStart,
                _ => CsvQuoteState::Plain,
            };
            if self.row > MAX_VALUE_BYTES {
                return Err(io::Error::other("the row is too long"));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unclosed_quote_is_detected() {
        let check = |text: &str, expected: bool| {
            let mut watched =
                QuoteTracker { inner: text.as_bytes(), state: CsvQuoteState::FieldStart, row: 0 };
            io::copy(&mut watched, &mut io::sink()).unwrap();
            assert_eq!(watched.state == CsvQuoteState::Quoted, expected, "{text}");
        };
        check("a,b\n1,\"fine\"\n", false);
        check("a,b\n1,\"He said hi\n2,next\n", true);
        check("a\n\"with \"\"quotes\"\" in it\"\n", false);
        check("a\n5\" pipe\n", false);
    }
}
