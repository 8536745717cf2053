//! Parses an injection file: JSON, YAML or CSV text becomes entries, each with its line.
//!
//! Three forms are supported: a list of objects, a plain list of values, and one object from values to weights.
//! `entries` interprets and checks the entries.

use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::text_file;

/// One entry of a file.
#[derive(Debug)]
pub(super) enum Entry {
    /// An object, or a row of a table: a value, a weight, and other keys.
    Object(Map<String, Value>),
    /// A value without a weight.
    Value(Value),
    /// A value and its weight, unchecked.
    Pair(String, Value),
}

/// The entries of a file.
#[derive(Debug)]
pub(super) struct InjectionFile {
    pub(super) entries: Vec<Entry>,
    /// Whether numbers are texts, as in CSV.
    pub(super) numbers_are_texts: bool,
    /// The line of each entry, from 1, as far as it is known.
    lines: Vec<usize>,
}

/// Why a file cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileError {
    /// From 1.
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

impl FileError {
    pub(super) fn new(line: Option<usize>, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }

    /// The error with the file's name in front: `tone.json:3`, in backticks.
    pub(super) fn in_file(&self, path: &str) -> String {
        match self.line {
            Some(line) => format!("`{path}:{line}`: {}", self.message),
            None => format!("`{path}`: {}", self.message),
        }
    }
}

impl InjectionFile {
    /// The line of the entry `index`, from 0.
    pub(super) fn line(&self, index: usize) -> Option<usize> {
        self.lines.get(index).copied()
    }
}

/// Parses the file at `path`; its extension determines the format.
pub(super) fn read(path: &str) -> Result<InjectionFile, FileError> {
    let fault = |message: String| FileError::new(None, message);
    let text = text_file::read(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    let text = text.as_str();
    let ending = Path::new(path).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if ending.eq_ignore_ascii_case("csv") {
        return rows(text);
    }
    let (value, pairs) = match ending.eq_ignore_ascii_case("json") {
        true => from_json(text)?,
        false => from_yaml(text)?,
    };
    let entries = match (value, pairs) {
        (Value::Array(list), _) => list.into_iter().map(entry).collect(),
        (_, Some(KeyValuePairs(pairs))) => {
            pairs.into_iter().map(|(name, value)| Entry::Pair(name, value)).collect()
        }
        (other, None) => {
            let message = format!("holds {}, expected {SHAPES}", kind(&other));
            return Err(FileError::new(None, message));
        }
    };
    Ok(InjectionFile { entries, numbers_are_texts: false, lines: lines(text) })
}

/// The line of each entry of a JSON or YAML text; none if unknown.
fn lines(text: &str) -> Vec<usize> {
    // Parsed as YAML, of which JSON is a subset except for unusual white space.
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins };
    serde_saphyr::from_str_with_options(text, options).map_or_else(|_| Vec::new(), |EntryLines(lines)| lines)
}

/// The supported forms.
const SHAPES: &str = "a list of objects, a plain list of values, or one object from values to weights";

fn entry(value: Value) -> Entry {
    match value {
        Value::Object(object) => Entry::Object(object),
        other => Entry::Value(other),
    }
}

fn from_json(text: &str) -> Result<(Value, Option<KeyValuePairs>), FileError> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let full = error.to_string();
        let message = full.split(" at line ").next().unwrap_or(&full);
        FileError::new(Some(error.line()), format!("is not JSON: {message} at column {}", error.column()))
    })?;
    let pairs = value.is_object().then(|| serde_json::from_str(text).ok()).flatten();
    Ok((value, pairs))
}

fn from_yaml(text: &str) -> Result<(Value, Option<KeyValuePairs>), FileError> {
    let value: Value = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map(|location| location.line() as usize);
        let full = error.to_string();
        let first = full.lines().next().unwrap_or_default();
        FileError::new(line, format!("is not YAML: {}", first.strip_prefix("error: ").unwrap_or(first)))
    })?;
    let pairs = value.is_object().then(|| serde_saphyr::from_str(text).ok()).flatten();
    Ok((value, pairs))
}

/// The rows of a CSV file. With one column only, its cells are a plain list named by the header.
fn rows(text: &str) -> Result<InjectionFile, FileError> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let wrong = |error: csv::Error| {
        let line = error.position().map(|position| line_at(text, position.byte()));
        FileError::new(line, format!("is not CSV: {}", csv_message(&error)))
    };
    let headers = reader.headers().map_err(wrong)?.clone();
    let (mut entries, mut lines) = (Vec::new(), Vec::new());
    for row in reader.records() {
        let row = row.map_err(wrong)?;
        lines.push(line_at(text, row.position().map_or(0, csv::Position::byte)));
        let cells = headers.iter().zip(row.iter());
        entries.push(Entry::Object(cells.map(|(key, cell)| (key.to_owned(), Value::from(cell))).collect()));
    }
    Ok(InjectionFile { entries, numbers_are_texts: true, lines })
}

fn csv_message(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} cells, the header has {expected_len}")
        }
        _ => error.to_string(),
    }
}

/// The line of the first non-empty text at or after `byte`.
fn line_at(text: &str, byte: u64) -> usize {
    let byte = usize::try_from(byte).unwrap_or(usize::MAX).min(text.len());
    let blank = text.as_bytes()[byte..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    text.as_bytes()[..byte + blank].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Describes the type of a value.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The keys and values of an object, including duplicate keys.
struct KeyValuePairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for KeyValuePairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = KeyValuePairs;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KeyValuePairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(KeyValuePairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The lines in which the elements of a list, or the keys of an object, begin.
struct EntryLines(Vec<usize>);

impl<'de> Deserialize<'de> for EntryLines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryLinesVisitor;
        impl<'de> Visitor<'de> for EntryLinesVisitor {
            type Value = EntryLines;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list or an object")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<EntryLines, A::Error> {
                let mut lines = Vec::new();
                while let Some(item) = list.next_element::<Spanned<IgnoredAny>>()? {
                    lines.push(item.defined.line() as usize);
                }
                Ok(EntryLines(lines))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EntryLines, A::Error> {
                let mut lines = Vec::new();
                while let Some((key, _)) = map.next_entry::<Spanned<String>, IgnoredAny>()? {
                    lines.push(key.defined.line() as usize);
                }
                Ok(EntryLines(lines))
            }
        }
        deserializer.deserialize_any(EntryLinesVisitor)
    }
}
