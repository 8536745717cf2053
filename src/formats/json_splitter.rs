//! Splits a file into its JSON values, one at a time: the lines of a JSONL file, or the elements of a JSON array.
//!
//! Looks at brackets and quotes only and leaves parsing to the caller, so that one damaged value does not affect the others.
//! Damage to the file as a whole, such as an array that is not closed, is reported at the end.

use std::io::{self, BufRead};
use std::path::Path;

use crate::journal;

/// The largest value that is kept, in bytes. Once parsed, small values take about thirty times their size in the file.
pub(crate) const MAX_VALUE_BYTES: usize = 16 << 20;

/// The bytes of one JSON value, unparsed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct RawJson {
    /// The line, or the index in the array, from 1.
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
    /// Whether the file ended within the line or element, which may thus be incomplete.
    pub(crate) torn: bool,
    /// Whether it is longer than `MAX_VALUE_BYTES`; its bytes are then not kept.
    pub(crate) too_large: bool,
}

/// Splits a file into JSON values.
pub(crate) struct JsonSplitter<R> {
    reader: R,
    layout: Layout,
    number: u64,
    damage: Option<ArrayDamage>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    Lines,
    Array,
    Ended,
}

/// What is wrong with an array as a whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ArrayDamage {
    /// The file ends before the array does.
    Unclosed,
    /// Something follows the end of the array.
    Trailing,
}

impl JsonSplitter<Box<dyn BufRead + Send>> {
    /// Opens a file; one named `*.zst` is decompressed, up to a torn frame at its end if `torn_end` is set. A name that
    /// ends in `.jsonl`, before `.zst`, means lines; else a file that begins with `[` is an array, unless its first
    /// line is whole in itself and more lines follow.
    pub(crate) fn open(path: &Path, torn_end: bool) -> io::Result<Self> {
        let is = |path: &Path, endings: &[&str]| {
            path.extension().is_some_and(|found| endings.iter().any(|ending| found == *ending))
        };
        let name = if is(path, &["zst"]) { path.with_extension("") } else { path.to_owned() };
        Self::new(journal::line_reader(path, torn_end)?, is(&name, &["jsonl", "ndjson"]))
    }
}

impl<R: BufRead> JsonSplitter<R> {
    pub(crate) fn new(mut reader: R, lines: bool) -> io::Result<Self> {
        if reader.fill_buf()?.starts_with(b"\xEF\xBB\xBF") {
            reader.consume(3);
        }
        let layout = if !lines && is_array(reader.fill_buf()?) { Layout::Array } else { Layout::Lines };
        let mut pieces = Self { reader, layout, number: 0, damage: None };
        if layout == Layout::Array {
            pieces.skip_to_bracket()?;
        }
        Ok(pieces)
    }

    /// Returns how many values were returned.
    pub(crate) fn count(&self) -> u64 {
        self.number
    }

    /// Returns what is wrong with the file as a whole; known once the last value has been returned.
    pub(crate) fn damage(&self) -> Option<ArrayDamage> {
        self.damage
    }

    /// Returns the next value; skips empty lines.
    pub(crate) fn next(&mut self) -> io::Result<Option<RawJson>> {
        match self.layout {
            Layout::Lines => self.line(),
            Layout::Array => self.element(),
            Layout::Ended => Ok(None),
        }
    }

    fn line(&mut self) -> io::Result<Option<RawJson>> {
        loop {
            let mut piece = RawJson { number: self.number + 1, ..RawJson::default() };
            let mut read = 0;
            loop {
                let available = self.reader.fill_buf()?;
                if available.is_empty() {
                    piece.torn = true;
                    break;
                }
                let end = memchr::memchr(b'\n', available);
                let taken = end.map_or(available.len(), |end| end + 1);
                read += taken;
                if piece.bytes.len() <= MAX_VALUE_BYTES {
                    piece.bytes.extend_from_slice(&available[..end.unwrap_or(taken)]);
                }
                self.reader.consume(taken);
                if end.is_some() {
                    break;
                }
            }
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            piece.drop_if_too_large();
            if piece.too_large || !piece.bytes.trim_ascii().is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    fn element(&mut self) -> io::Result<Option<RawJson>> {
        let mut piece = RawJson { number: self.number + 1, ..RawJson::default() };
        let mut scanner = ElementScanner::default();
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                self.layout = Layout::Ended;
                self.damage = Some(ArrayDamage::Unclosed);
                piece.torn = true;
                break;
            }
            let end = available.iter().position(|byte| scanner.ends_at(*byte));
            let taken = end.unwrap_or(available.len());
            if piece.bytes.len() <= MAX_VALUE_BYTES {
                piece.bytes.extend_from_slice(&available[..taken]);
            }
            if let Some(end) = end {
                let closes = available[end] == b']';
                self.reader.consume(end + 1);
                if closes {
                    self.layout = Layout::Ended;
                    self.check_trailing()?;
                }
                break;
            }
            self.reader.consume(taken);
        }
        self.number += 1;
        piece.drop_if_too_large();
        // Blanks in an empty array, or after the last comma, are not an element.
        let blank = !piece.too_large && piece.bytes.trim_ascii().is_empty();
        Ok((!(blank && self.layout == Layout::Ended)).then_some(piece))
    }

    fn check_trailing(&mut self) -> io::Result<()> {
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                return Ok(());
            }
            if !available.trim_ascii().is_empty() {
                self.damage = Some(ArrayDamage::Trailing);
                return Ok(());
            }
            let blank = available.len();
            self.reader.consume(blank);
        }
    }

    fn skip_to_bracket(&mut self) -> io::Result<()> {
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                return Ok(());
            }
            let at = available.iter().position(|byte| *byte == b'[');
            let taken = at.map_or(available.len(), |at| at + 1);
            self.reader.consume(taken);
            if at.is_some() {
                return Ok(());
            }
        }
    }
}

impl RawJson {
    fn drop_if_too_large(&mut self) {
        if self.bytes.len() > MAX_VALUE_BYTES {
            self.bytes = Vec::new();
            self.too_large = true;
        }
    }
}

/// Tracks nesting and strings within an element.
#[derive(Default)]
struct ElementScanner {
    depth: usize,
    string: bool,
    escaped: bool,
}

impl ElementScanner {
    /// Advances by a byte; returns whether it ends the element: a comma or the bracket that closes the array.
    fn ends_at(&mut self, byte: u8) -> bool {
        if self.escaped {
            self.escaped = false;
            return false;
        }
        match byte {
            b'\\' if self.string => self.escaped = true,
            b'"' => self.string = !self.string,
            _ if self.string => {}
            b',' if self.depth == 0 => return true,
            b']' | b'}' if self.depth == 0 => return byte == b']',
            b']' | b'}' => self.depth -= 1,
            b'[' | b'{' => self.depth += 1,
            _ => {}
        }
        false
    }
}

fn is_array(start: &[u8]) -> bool {
    if !start.trim_ascii_start().starts_with(b"[") {
        return false;
    }
    // One array per line: JSONL of conversations.
    let Some(end) = start.iter().position(|byte| *byte == b'\n') else { return true };
    let whole = serde_json::from_slice::<serde::de::IgnoredAny>(&start[..end]).is_ok();
    !(whole && start[end..].trim_ascii_start().starts_with(b"["))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn pieces(bytes: &[u8], lines: bool, capacity: usize) -> Vec<String> {
        let reader = BufReader::with_capacity(capacity, bytes);
        let mut pieces = JsonSplitter::new(reader, lines).unwrap();
        let mut found = Vec::new();
        while let Some(piece) = pieces.next().unwrap() {
            let text = String::from_utf8_lossy(&piece.bytes).trim().to_owned();
            found.push(format!("{}{} {text}", piece.number, if piece.torn { "~" } else { "" }));
        }
        found.extend(pieces.damage().map(|damage| format!("{damage:?}")));
        found
    }

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(pieces(text.as_bytes(), false, 1 << 16), expected, "{text}");
    }

    #[test]
    fn lines_and_arrays() {
        check("\u{feff}{\"a\":1}\r\n\n{\"b\":2}\n", &["1 {\"a\":1}", "3 {\"b\":2}"]);
        check("{\"a\":1}\n{\"b\"", &["1 {\"a\":1}", "2~ {\"b\""]);
        check(
            "[\n  \"a, b]\",\n {\"x\": [1, \"\\\"]\"]}\n]\n",
            &["1 \"a, b]\"", "2 {\"x\": [1, \"\\\"]\"]}"],
        );
        check("[]", &[]);
        check("", &[]);
        check("[[1],[2]] \n", &["1 [1]", "2 [2]"]);
        check("[[1],[2]]", &["1 [1]", "2 [2]"]);
        check("[{\"role\":1}]\n[{\"role\":2}]\n", &["1 [{\"role\":1}]", "2 [{\"role\":2}]"]);
    }

    #[test]
    fn an_unclosed_array_and_trailing_content_are_reported() {
        check("[1, 2", &["1 1", "2~ 2", "Unclosed"]);
        check("[1, ", &["1 1", "Unclosed"]);
        check("[", &["Unclosed"]);
        check("[{\"a\": \"b", &["1~ {\"a\": \"b", "Unclosed"]);
        check("[1,\n2]\n[3]", &["1 1", "2 2", "Trailing"]);
        check("[1]]", &["1 1", "Trailing"]);
    }

    #[test]
    fn values_that_are_too_large_are_not_kept() {
        let long = format!("\"{}\"", "x".repeat(MAX_VALUE_BYTES));
        for (text, lines) in [(format!("{long}\n2\n"), true), (format!("[{long},2]"), false)] {
            let mut pieces = JsonSplitter::new(BufReader::new(text.as_bytes()), lines).unwrap();
            let first = pieces.next().unwrap().unwrap();
            assert!(first.too_large && first.bytes.is_empty() && !first.torn);
            let second = pieces.next().unwrap().unwrap();
            assert_eq!((second.number, second.bytes.as_slice(), second.too_large), (2, &b"2"[..], false));
        }
    }

    #[test]
    fn values_do_not_depend_on_the_buffer_size() {
        let text = b"[\"one\", {\"two\": [2, 3]}, \"th\\\"ree\"]";
        assert_eq!(pieces(text, false, 1), pieces(text, false, 1 << 16));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), lines: bool) {
            pieces(&bytes, lines, 16);
        }

        #[test]
        fn any_punctuation_can_be_read(text in "[\\[\\]{}\",\\\\ \n1]{0,60}", lines: bool) {
            pieces(text.as_bytes(), lines, 7);
        }
    }
}
