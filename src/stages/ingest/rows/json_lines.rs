//! JSON lines: each line is one object. A line that would silently be read as something else is refused: a number
//! that does not fit into 64 bits, a duplicate field.

use std::io::{BufRead, BufReader, Read};

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{Fields, ROW_LIMIT, Rows, is_utf16, numbers, row_file};

/// Larger buffers are freed after a long line.
const KEEP: usize = 1024 * 1024;

/// Opens a JSONL file.
pub(in crate::stages) fn jsonl(path: &str) -> Result<Rows, String> {
    let mut reader = BufReader::with_capacity(64 * 1024, row_file::open(path)?);
    let start = reader.fill_buf().map_err(|error| error.to_string())?;
    if is_utf16(start) {
        return Err("is UTF-16; JSON lines are read as UTF-8".to_owned());
    }
    if start.starts_with("\u{feff}".as_bytes()) {
        reader.consume(3);
    }
    let lines = JsonLines { reader, line: Vec::new(), number: 0, limit: ROW_LIMIT, done: false };
    Ok(Box::new(PrecisionWarner { lines, path: path.to_owned(), warned: false }))
}

/// Parses one line that a run wrote.
pub(in crate::stages) fn json_line(line: &[u8]) -> Result<Fields, String> {
    let fields = object(line.trim_ascii_end())?;
    if numbers::has_float(&fields) {
        numbers::check(&String::from_utf8_lossy(line))?;
    }
    Ok(fields)
}

/// Logs one warning per file in which decimal numbers have more digits than are kept.
struct PrecisionWarner<R> {
    lines: JsonLines<R>,
    path: String,
    warned: bool,
}

impl<R: BufRead> Iterator for PrecisionWarner<R> {
    type Item = (u64, Result<Fields, String>);

    fn next(&mut self) -> Option<Self::Item> {
        let (number, row) = self.lines.next()?;
        let row = row.and_then(|fields| {
            if !numbers::has_float(&fields) {
                return Ok(fields);
            }
            let text = String::from_utf8_lossy(&self.lines.line);
            if let Some((written, kept)) = numbers::check(&text)?
                && !self.warned
            {
                self.warned = true;
                let path = &self.path;
                tracing::warn!(
                    "`{path}:{number}`: {written} is read as {kept}: decimal numbers keep 17 digits; write it as \
                     a text where each digit counts"
                );
            }
            Ok(fields)
        });
        Some((number, row))
    }
}

struct JsonLines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
    limit: u64,
    done: bool,
}

/// The result of reading one line.
enum LineRead {
    Whole,
    TooLong,
    End,
}

impl<R: BufRead> JsonLines<R> {
    fn read_line(&mut self) -> std::io::Result<LineRead> {
        self.line.clear();
        self.line.shrink_to(KEEP);
        let mut reader = (&mut self.reader).take(self.limit.saturating_add(1));
        if reader.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(LineRead::End);
        }
        if self.line.len() as u64 > self.limit && !self.line.ends_with(b"\n") {
            self.reader.skip_until(b'\n')?;
            return Ok(LineRead::TooLong);
        }
        Ok(LineRead::Whole)
    }
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = (u64, Result<Fields, String>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let line = self.read_line();
            self.number += 1;
            match line {
                Ok(LineRead::Whole) if self.line.trim_ascii().is_empty() => {}
                Ok(LineRead::Whole) => return Some((self.number, object(self.line.trim_ascii_end()))),
                Ok(LineRead::TooLong) => {
                    return Some((self.number, Err(format!("the line is longer than {} bytes", self.limit))));
                }
                Ok(LineRead::End) => self.done = true,
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
    let mut reader = serde_json::Deserializer::from_str(text);
    let row = StrictObject.deserialize(&mut reader).and_then(|row| reader.end().map(|()| row));
    match row {
        Ok(ParsedRow::Object(fields)) => Ok(fields),
        Ok(ParsedRow::Other(what)) => Err(format!("not a JSON object but {what}")),
        Ok(ParsedRow::Twice(name)) => Err(format!("the field `{name}` stands in it twice")),
        Err(error) => {
            // The error's own line number is always 1, which misleads.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            Err(format!("not JSON: {message} at column {}", error.column()))
        }
    }
}

/// The content of a line.
enum ParsedRow {
    Object(Fields),
    /// A duplicate field, of which only one could be kept.
    Twice(String),
    Other(&'static str),
}

/// Deserializes an object, and detects duplicate fields.
struct StrictObject;

impl<'de> DeserializeSeed<'de> for StrictObject {
    type Value = ParsedRow;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<ParsedRow, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictObject {
    type Value = ParsedRow;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<ParsedRow, A::Error> {
        let (mut fields, mut twice) = (Map::new(), None);
        while let Some((name, value)) = entries.next_entry::<String, Value>()? {
            if fields.contains_key(&name) {
                twice.get_or_insert(name);
            } else {
                fields.insert(name, value);
            }
        }
        Ok(twice.map_or(ParsedRow::Object(fields), ParsedRow::Twice))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut elements: A) -> Result<ParsedRow, A::Error> {
        while elements.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(ParsedRow::Other("an array"))
    }

    fn visit_unit<E: Error>(self) -> Result<ParsedRow, E> {
        Ok(ParsedRow::Other("null"))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<ParsedRow, E> {
        Ok(ParsedRow::Other("true or false"))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<ParsedRow, E> {
        Ok(ParsedRow::Other("a number"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<ParsedRow, E> {
        Ok(ParsedRow::Other("a number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<ParsedRow, E> {
        Ok(ParsedRow::Other("a number"))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<ParsedRow, E> {
        Ok(ParsedRow::Other("a text"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use serde_json::json;

    #[test]
    fn json_lines_are_objects() {
        check(jsonl, b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n{\"b\":[2]}", json!([[1, {"a": 1}], [4, {"b": [2]}]]));
        check(jsonl, b"", json!([]));
        check(
            jsonl,
            b"[1]\n{\"a\":\n\"x\"\n{}\n\xff\nnull\n-1.5\n{} {}\n",
            json!([
                [1, "not a JSON object but an array"],
                [2, "not JSON: EOF while parsing a value at column 5"],
                [3, "not a JSON object but a text"],
                [4, {}],
                [5, "not text: no UTF-8 at byte 0 of the line"],
                [6, "not a JSON object but null"],
                [7, "not a JSON object but a number"],
                [8, "not JSON: trailing characters at column 4"],
            ]),
        );
        check(jsonl, b"\xff\xfe{\0", json!("is UTF-16; JSON lines are read as UTF-8"));
    }

    #[test]
    fn a_row_that_would_be_read_as_something_else_is_refused() {
        let bytes = b"{\"a\":18446744073709551616}\n{\"a\":1,\"b\":2,\"a\":3}\n{\"a\":1e400}\n\
                      {\"a\":18446744073709551615,\"b\":-9223372036854775808}\n";
        let large = "the number 18446744073709551616 does not fit into 64 bits; written as a text, \
                     `\"18446744073709551616\"`, it is kept";
        check(
            jsonl,
            bytes,
            json!([
                [1, large],
                [2, "the field `a` stands in it twice"],
                [3, "not JSON: number out of range at column 10"],
                [4, {"a": u64::MAX, "b": i64::MIN}],
            ]),
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let bytes: &[u8] = b"{\"a\":1}\n{\"a\":\"long\"}\n{\"a\":2}\n{\"a\":\"long\"}";
        let lines = JsonLines { reader: bytes, line: Vec::new(), number: 0, limit: 8, done: false };
        let found: Vec<(u64, bool)> = lines.map(|(number, row)| (number, row.is_ok())).collect();
        assert_eq!(found, [(1, true), (2, false), (3, true), (4, false)]);
    }
}
