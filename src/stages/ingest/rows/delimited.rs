//! CSV and TSV: rows of texts between delimiters, whose first row names the fields.
//!
//! The csv crate splits the rows; what it accepts silently is reported here: misplaced quotes (`quotes`), a
//! column without a name, a header split at the wrong character.

use std::io::Read;

use csv::{ErrorKind, StringRecord};
use encoding_rs::Encoding;
use serde_json::Value;

use super::quotes::QuoteChecker;
use super::{Fields, ROW_LIMIT, Rows, is_utf16, row_file};

/// The delimiter of CSV.
pub(in crate::stages) const COMMA: u8 = b',';
/// The delimiter of TSV.
pub(in crate::stages) const TAB: u8 = b'\t';

/// How a file of delimited rows is written.
#[derive(Debug, Clone, Copy)]
pub(in crate::stages) struct DelimitedFormat {
    pub(in crate::stages) delimiter: u8,
    /// `None` if quotes are ordinary characters.
    pub(in crate::stages) quote: Option<u8>,
    /// `None` for UTF-8.
    pub(in crate::stages) encoding: Option<&'static Encoding>,
}

/// Opens a CSV file with commas, in UTF-8.
pub(in crate::stages) fn csv(path: &str) -> Result<Rows, String> {
    delimited(path, DelimitedFormat { delimiter: COMMA, quote: Some(b'"'), encoding: None })
}

/// Opens a file of delimited rows.
pub(in crate::stages) fn delimited(path: &str, format: DelimitedFormat) -> Result<Rows, String> {
    let DelimitedFormat { delimiter, quote, encoding } = format;
    let file = match encoding {
        Some(encoding) => row_file::open_in(path, encoding)?,
        None => row_file::open(path)?,
    };
    let watched = GuardedFile { file, read: 0, utf16: None, quotes: QuoteChecker::new(delimiter, quote) };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .quote(quote.unwrap_or_default())
        .quoting(quote.is_some())
        .from_reader(watched);
    let headers = reader.headers().cloned();
    if reader.get_ref().utf16 == Some(true) {
        return Err("is UTF-16; hint: set `dialect: {encoding: utf-16le}` or `utf-16be`".to_owned());
    }
    let headers = headers.map_err(|error| explain(&error))?;
    if let Some(wrong) = reader.get_mut().quotes.take(0) {
        return Err(format!("the header row cannot be read: {wrong}"));
    }
    let columns = columns(&headers, delimiter)?;
    let nameless: Vec<String> = columns
        .iter()
        .enumerate()
        .filter(|(_, name)| name.is_none())
        .map(|(column, _)| (column + 1).to_string())
        .collect();
    if !nameless.is_empty() {
        tracing::warn!(
            "`{path}`: left out, as the header row has no name for it: column {}",
            nameless.join(", ")
        );
    }
    Ok(Box::new(DelimitedRows { reader, columns, encoding, number: 0, done: false }))
}

/// The names of the columns; `None` for one that the header does not name.
fn columns(headers: &StringRecord, delimiter: u8) -> Result<Vec<Option<String>>, String> {
    if headers.iter().all(|name| name.trim().is_empty()) {
        return Err("has no header row".to_owned());
    }
    if let (1, Some(only)) = (headers.len(), headers.get(0)) {
        let other =
            [';', '\t', ',', '|'].into_iter().find(|c| *c != char::from(delimiter) && only.contains(*c));
        if let Some(other) = other {
            let option = if other == '\t' { "\"\\t\"".to_owned() } else { format!("\"{other}\"") };
            return Err(format!(
                "the header row is one column, `{only}`: if other characters stand between its columns, set \
                 `dialect: {{delimiter: {option}}}`"
            ));
        }
    }
    for (column, name) in headers.iter().enumerate() {
        if !name.trim().is_empty() && headers.iter().take(column).any(|earlier| earlier == name) {
            return Err(format!("two columns have the name `{name}`"));
        }
    }
    Ok(headers.iter().map(|name| (!name.trim().is_empty()).then(|| name.to_owned())).collect())
}

struct DelimitedRows {
    reader: csv::Reader<GuardedFile>,
    columns: Vec<Option<String>>,
    encoding: Option<&'static Encoding>,
    number: u64,
    done: bool,
}

impl Iterator for DelimitedRows {
    type Item = (u64, Result<Fields, String>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        self.reader.get_mut().read = 0;
        let mut row = StringRecord::new();
        let read = self.reader.read_record(&mut row);
        if matches!(read, Ok(false)) {
            self.done = true;
            return None;
        }
        self.number += 1;
        if let Err(error) = &read {
            self.done = error.is_io_error();
        }
        // A row with misplaced quotes is split at the wrong places, whatever else is wrong with it.
        if let Some(wrong) = self.reader.get_mut().quotes.take(self.number) {
            return Some((self.number, Err(wrong)));
        }
        let row = match read {
            Ok(_) => self.fields(&row),
            Err(error) => Err(explain(&error)),
        };
        Some((self.number, row))
    }
}

impl DelimitedRows {
    fn fields(&self, row: &StringRecord) -> Result<Fields, String> {
        if let Some(encoding) = self.encoding
            && let Some(column) = row.iter().position(|text| text.contains(char::REPLACEMENT_CHARACTER))
        {
            return Err(format!("not text: no {} in column {}", encoding.name(), column + 1));
        }
        let named = self.columns.iter().zip(row.iter());
        Ok(named.filter_map(|(name, text)| Some((name.clone()?, Value::from(text)))).collect())
    }
}

/// Describes an error. The line numbers of the csv crate are one too low where lines end in CRLF, so they are
/// left out.
fn explain(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} fields, the header has {expected_len}")
        }
        ErrorKind::Utf8 { err, .. } => {
            let column = err.field() + 1;
            format!(
                "not text: no UTF-8 in column {column}; hint: set `dialect: {{encoding: windows-1252}}` or another"
            )
        }
        ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// A reader that fails when one row has no end, as one with a quote left open.
struct GuardedFile {
    file: Box<dyn Read + Send>,
    /// Bytes read since the last row.
    read: u64,
    /// Whether it is UTF-16; unknown before its first bytes.
    utf16: Option<bool>,
    quotes: QuoteChecker,
}

impl Read for GuardedFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.read > ROW_LIMIT {
            let message = format!("a row is longer than {ROW_LIMIT} bytes: is a quote left open?");
            return Err(std::io::Error::other(message));
        }
        let count = self.file.read(buffer)?;
        let mut bytes = &buffer[..count];
        if self.utf16.is_none() {
            self.utf16 = Some(is_utf16(bytes));
            bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        }
        self.read += count as u64;
        self.quotes.read(bytes);
        if count == 0 {
            self.quotes.end();
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use serde_json::json;

    #[test]
    fn csv_rows_have_the_headers_names() {
        check(
            csv,
            b"\xef\xbb\xbfid,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n2\r\n3,\xff\r\n4,d\r\n",
            json!([
                [1, {"id": "1", "text": "a, \"b\"\nc"}],
                [2, "the row has 1 fields, the header has 2"],
                [3, "not text: no UTF-8 in column 2; hint: set `dialect: {encoding: windows-1252}` or another"],
                [4, {"id": "4", "text": "d"}],
            ]),
        );
        check(
            |path| delimited(path, DelimitedFormat { delimiter: TAB, ..CSV }),
            b"a\tb\n1\tx, y\n",
            json!([[1, {"a": "1", "b": "x, y"}]]),
        );
    }

    const CSV: DelimitedFormat = DelimitedFormat { delimiter: COMMA, quote: Some(b'"'), encoding: None };

    #[test]
    fn other_quotes_and_encodings_are_read_as_told() {
        check(
            |path| delimited(path, DelimitedFormat { delimiter: b';', quote: Some(b'\''), ..CSV }),
            b"a;b\n'x;''y''';\"z\n",
            json!([[1, {"a": "x;'y'", "b": "\"z"}]]),
        );
        check(
            |path| delimited(path, DelimitedFormat { quote: None, ..CSV }),
            b"a,b\n5\" disk,\"x\n",
            json!([[1, {"a": "5\" disk", "b": "\"x"}]]),
        );
        check(
            |path| delimited(path, DelimitedFormat { encoding: Some(encoding_rs::WINDOWS_1252), ..CSV }),
            b"a,b\ncaf\xe9,\x80 5\n",
            json!([[1, {"a": "café", "b": "€ 5"}]]),
        );
        let utf16: Vec<u8> = "\u{feff}a,b\r\n1,é\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        check(
            |path| delimited(path, DelimitedFormat { encoding: Some(encoding_rs::UTF_16LE), ..CSV }),
            &utf16,
            json!([[1, {"a": "1", "b": "é"}]]),
        );
        check(
            |path| delimited(path, DelimitedFormat { encoding: Some(encoding_rs::SHIFT_JIS), ..CSV }),
            b"a,b\n\x93\xfa,1\n\xff\xff,2\n",
            json!([[1, {"a": "日", "b": "1"}], [2, "not text: no Shift_JIS in column 1"]]),
        );
    }

    #[test]
    fn rows_with_misplaced_quotes_are_reported() {
        check(
            csv,
            b"id,text\n1,fine\n2,\"He said hi\n3,next\n4,last\n",
            json!([
                [1, {"id": "1", "text": "fine"}],
                [2, "the quote that opens in line 3 is never closed: all that follows is in it"],
            ]),
        );
        check(
            csv,
            b"id,text\n1,fine\n2,\"He said hi\n3,next\n4,\"bye now\n5,last\n",
            json!([
                [1, {"id": "1", "text": "fine"}],
                [2, "text follows the closing quote in line 5; the quote opens in line 3: is one left open or not \
                     doubled?"],
                [3, {"id": "5", "text": "last"}],
            ]),
        );
        check(
            csv,
            b"\xef\xbb\xbf\"id\",\"text\n1,x\n",
            json!(
                "the header row cannot be read: the quote that opens in line 1 is never closed: all that \
                   follows is in it"
            ),
        );
    }

    #[test]
    fn a_long_file_is_watched_across_its_buffers() {
        let mut text = "id,text\n".to_owned();
        for row in 0..5_000 {
            text.push_str(&if row % 1_000 == 7 {
                "x,\"a\" b\n".to_owned()
            } else {
                format!("{row},\"a\n\"\n")
            });
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let wrong: Vec<u64> = csv(path.to_str().unwrap())
            .unwrap()
            .filter(|(_, row)| row.is_err())
            .map(|(row, _)| row)
            .collect();
        assert_eq!(wrong, [8, 1_008, 2_008, 3_008, 4_008]);
    }

    #[test]
    fn columns_without_a_name_are_left_out() {
        check(csv, b",text\n0,first\n1,second\n", json!([[1, {"text": "first"}], [2, {"text": "second"}]]));
        check(csv, b"a,b,\n1,2,\n", json!([[1, {"a": "1", "b": "2"}]]));
        check(csv, b"a,,b\n1,x,2\n", json!([[1, {"a": "1", "b": "2"}]]));
    }

    #[test]
    fn implausible_headers_are_refused() {
        check(csv, b"", json!("has no header row"));
        check(csv, b",,\n1,2,3\n", json!("has no header row"));
        check(csv, b"a,b,a\n", json!("two columns have the name `a`"));
        check(
            csv,
            b"\xff\xfea\0,\0b\0\n\0",
            json!("is UTF-16; hint: set `dialect: {encoding: utf-16le}` or `utf-16be`"),
        );
        check(
            csv,
            b"id;text\n1;x, y\n",
            json!(
                "the header row is one column, `id;text`: if other characters stand between its columns, set \
                   `dialect: {delimiter: \";\"}`"
            ),
        );
    }
}
