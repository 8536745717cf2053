//! Reads two fields of each record of an input, for `--agree`: of a file, of the first file of a run that has both, or of
//! two files of a run that are joined by record id, so that what is compared need not stand in what is trained on.
//!
//! A dotted name reaches inside a field, as in pipelines.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::files::item;
use super::{ReadError, ValueFile, parsed_record};
use crate::journal::{Manifest, PROVENANCE, SINKS};
use crate::report::findings::Turn;

/// Two fields that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPair {
    /// The first field.
    pub first: String,
    /// The second field.
    pub second: String,
}

/// Three fields that are compared with a fourth: the answers of a weak model, a student and a ceiling with the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldGap {
    /// The field of the weak model.
    pub weak: String,
    /// The field of the student.
    pub student: String,
    /// The field of the ceiling.
    pub ceiling: String,
    /// The field of the truth.
    pub truth: String,
}

/// The two values of one record, as texts; numbers that are equal have equal texts.
pub(in crate::report) struct PairOfValues {
    pub(in crate::report) first: String,
    pub(in crate::report) second: String,
    /// The record, for display.
    record: Value,
    place: String,
}

impl PairOfValues {
    /// Returns the record's id, or `file:line`, and its texts.
    pub(in crate::report) fn shown(self) -> (String, Vec<Turn>) {
        let parsed = parsed_record::parse(self.record).unwrap_or_default();
        (parsed.id.unwrap_or(self.place), parsed.turns)
    }
}

/// The files of an input, in the order of the pipeline's sinks.
pub(in crate::report) fn files(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let manifest = manifest(path)?;
    Ok(manifest.files.iter().skip(SINKS).map(|name| path.join(name)).filter(|file| file.exists()).collect())
}

fn manifest(root: &Path) -> Result<Manifest, ReadError> {
    let path = root.join("manifest.json");
    let bytes = std::fs::read(&path).map_err(|_| ReadError::NoRun(root.to_owned()))?;
    serde_json::from_slice(&bytes).map_err(|error| ReadError::Manifest { path, message: error.to_string() })
}

/// Calls `see` with the two values of each record of a file. Returns the number of records that lack one of them.
pub(in crate::report) fn for_each_pair(
    file: &Path,
    pair: &FieldPair,
    mut see: impl FnMut(PairOfValues),
) -> Result<u64, ReadError> {
    let mut values = ValueFile::open(file, true)?;
    let mut left_out = 0;
    while let Some((number, record)) = values.next()? {
        let (first, second) = (category(&record, &pair.first), category(&record, &pair.second));
        let (Some(first), Some(second)) = (first, second) else {
            left_out += 1;
            continue;
        };
        let place = format!("{}:{number}", file.file_name().unwrap_or_default().to_string_lossy());
        see(PairOfValues { first, second, record, place });
    }
    Ok(left_out)
}

/// Calls `see` with the two values of each record of a run of which one of `files` has the first field and another the
/// second, with the record's id. Returns these two files and the number of records that only one of them has; `None` if
/// there are no such files.
///
/// A run writes all lines of an item at once, so provenance and its files hold the items in the same order: they are read
/// side by side, with one item in memory.
pub(in crate::report) fn for_each_joined_pair(
    root: &Path,
    files: &[PathBuf],
    pair: &FieldPair,
    mut see: impl FnMut(PairOfValues),
) -> Result<Option<([PathBuf; 2], u64)>, ReadError> {
    let Some(first) = FileWithField::find(files, &pair.first)? else { return Ok(None) };
    let Some(second) = FileWithField::find(files, &pair.second)? else { return Ok(None) };
    let manifest = manifest(root)?;
    let Some(name) = manifest.files.get(PROVENANCE) else { return Ok(None) };
    let mut provenance = ValueFile::open(&root.join(name), true)?;
    let (mut first, mut second) = (first, second);
    let (mut left_out, mut last) = (0, None);
    while let Some((_, line)) = provenance.next()? {
        let Some(key) = line.get("id").and_then(Value::as_str).and_then(item) else { continue };
        if last.as_deref() == Some(key) {
            continue;
        }
        last = Some(key.to_owned());
        let (ones, mut others) = (first.of_item(key)?, second.of_item(key)?);
        for (id, value, record) in ones {
            match others.iter().position(|(other, ..)| *other == id) {
                Some(at) => {
                    let (_, other, _) = others.swap_remove(at);
                    see(PairOfValues { first: value, second: other, record, place: id });
                }
                None => left_out += 1,
            }
        }
        left_out += others.len() as u64;
    }
    Ok(Some(([first.path, second.path], left_out)))
}

/// Lines that are looked at to find out whether a file has a field.
const PEEK: usize = 1000;

/// A file whose records have a field, read item by item.
struct FileWithField {
    path: PathBuf,
    field: String,
    values: ValueFile,
    /// The first record of a later item, with its id.
    next: Option<(String, Value)>,
}

impl FileWithField {
    /// Opens the first of the files in which a record has an id and the field.
    fn find(files: &[PathBuf], field: &str) -> Result<Option<Self>, ReadError> {
        for path in files {
            let mut values = ValueFile::open(path, true)?;
            for _ in 0..PEEK {
                let Some((_, record)) = values.next()? else { break };
                if category(&record, field).is_some() && record_id(&record).is_some() {
                    let values = ValueFile::open(path, true)?;
                    return Ok(Some(Self {
                        path: path.clone(),
                        field: field.to_owned(),
                        values,
                        next: None,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// The records of an item that have the field, with their ids and values.
    fn of_item(&mut self, key: &str) -> Result<Vec<(String, String, Value)>, ReadError> {
        let mut found = Vec::new();
        loop {
            if self.next.is_none() {
                self.next = self.read()?;
            }
            let is_of_item = |(id, _): &mut (String, Value)| item(id) == Some(key);
            let Some((id, record)) = self.next.take_if(is_of_item) else { return Ok(found) };
            if let Some(value) = category(&record, &self.field) {
                found.push((id, value, record));
            }
        }
    }

    fn read(&mut self) -> Result<Option<(String, Value)>, ReadError> {
        while let Some((_, record)) = self.values.next()? {
            if let Some(id) = record_id(&record) {
                return Ok(Some((id, record)));
            }
        }
        Ok(None)
    }
}

/// The id that the run gave a record, if the line has it.
fn record_id(record: &Value) -> Option<String> {
    let id = |name: &str| record.get(name).and_then(Value::as_str).filter(|id| item(id).is_some());
    id("record_id").or_else(|| id("id")).map(str::to_owned)
}

/// A field's value as a category; `None` where it has none.
fn category(record: &Value, name: &str) -> Option<String> {
    let inside = || name.split('.').try_fold(record, |value, part| value.get(part));
    match record.get(name).or_else(inside)? {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        // `4` and `4.0` are one value.
        Value::Number(number) => Some(number.as_f64()?.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_compared_as_what_they_mean() {
        let check = |value: Value, expected: Option<&str>| {
            let record = json!({"ratings": {"clear": value}});
            assert_eq!(category(&record, "ratings.clear").as_deref(), expected, "{value}");
        };
        check(json!(4), Some("4"));
        check(json!(4.0), Some("4"));
        check(json!(0.5), Some("0.5"));
        check(json!("4 "), Some("4 "));
        check(json!(true), Some("true"));
        check(json!(null), None);
        check(json!([4]), None);
        assert_eq!(category(&json!({"a.b": 1}), "a.b").as_deref(), Some("1"));
        assert_eq!(category(&json!({"a": 1}), "b"), None);
    }
}
