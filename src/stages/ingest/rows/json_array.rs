//! A JSON array of objects: each element is a row.
//!
//! The array is split while it is read (`formats::json_splitter`), so that a file of any size takes little memory, and one
//! damaged element does not affect the others.

use std::io::{BufRead, BufReader};

use super::json_lines::json_line;
use super::{Fields, Rows, row_file};
use crate::formats::json_splitter::{ArrayDamage, JsonSplitter, MAX_VALUE_BYTES, RawJson};

/// Opens a file that holds one JSON array.
pub(in crate::stages) fn json_array(path: &str) -> Result<Rows, String> {
    let mut file = BufReader::with_capacity(64 * 1024, row_file::open(path)?);
    let start = file.fill_buf().map_err(|error| error.to_string())?;
    if super::is_utf16(start) {
        return Err("is UTF-16; JSON is read as UTF-8".to_owned());
    }
    let first = start.strip_prefix("\u{feff}".as_bytes()).unwrap_or(start).trim_ascii_start().first();
    match first {
        Some(b'[') => {}
        Some(b'{') => {
            return Err(
                "is no JSON array but an object; hint: `format: jsonl` reads an object per line".to_owned()
            );
        }
        _ => return Err("is no JSON array".to_owned()),
    }
    let elements = JsonSplitter::new(file, false).map_err(|error| error.to_string())?;
    Ok(Box::new(ArrayElements { elements, done: false }))
}

/// Whether a file begins like a JSON array. False if it cannot be read.
pub(in crate::stages) fn is_json_array(path: &str) -> bool {
    let Ok(file) = row_file::open(path) else { return false };
    let mut file = BufReader::with_capacity(4096, file);
    let Ok(start) = file.fill_buf() else { return false };
    let start = start.strip_prefix("\u{feff}".as_bytes()).unwrap_or(start);
    start.trim_ascii_start().first() == Some(&b'[')
}

struct ArrayElements<R> {
    elements: JsonSplitter<R>,
    done: bool,
}

impl<R: BufRead> Iterator for ArrayElements<R> {
    type Item = (u64, Result<Fields, String>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let last = self.elements.count();
        match self.elements.next() {
            Ok(Some(element)) => Some((element.number, fields(&element))),
            Ok(None) => {
                self.done = true;
                let damage = match self.elements.damage()? {
                    ArrayDamage::Unclosed => "the file ends before the array does",
                    ArrayDamage::Trailing => "the array ends, and something follows that is not read",
                };
                Some((last + 1, Err(damage.to_owned())))
            }
            Err(error) => {
                self.done = true;
                Some((last + 1, Err(error.to_string())))
            }
        }
    }
}

fn fields(element: &RawJson) -> Result<Fields, String> {
    match element {
        RawJson { too_large: true, .. } => Err(format!("the element is longer than {MAX_VALUE_BYTES} bytes")),
        RawJson { torn: true, .. } => Err("the file ends within the element".to_owned()),
        RawJson { bytes, .. } => json_line(bytes.trim_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use serde_json::json;

    #[test]
    fn elements_are_rows() {
        check(
            json_array,
            b"\xef\xbb\xbf [\n {\"a\": 1}, 2,\n {\"a\": [\"x, ]\"]}, {\"a\" 1}\n]\n",
            json!([
                [1, {"a": 1}],
                [2, "not a JSON object but a number"],
                [3, {"a": ["x, ]"]}],
                [4, "not JSON: expected `:` at column 6"],
            ]),
        );
        check(json_array, b"[]", json!([]));
        check(
            json_array,
            b"{\"a\": 1}\n",
            json!("is no JSON array but an object; hint: `format: jsonl` reads an object per line"),
        );
        check(json_array, b"", json!("is no JSON array"));
    }

    #[test]
    fn a_damaged_end_is_reported_after_the_rows_before_it() {
        check(
            json_array,
            b"[{\"a\": 1}, {\"a\": ",
            json!([
                [1, {"a": 1}],
                [2, "the file ends within the element"],
                [3, "the file ends before the array does"],
            ]),
        );
        check(
            json_array,
            b"[{\"a\": 1}] {\"a\": 2}",
            json!([[1, {"a": 1}], [2, "the array ends, and something follows that is not read"]]),
        );
    }
}
