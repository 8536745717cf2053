//! Reads two fields of each record of an input for `--agree`: of a file, or of a run's first file that has both.
//!
//! A dotted name reaches inside a field, as in pipelines.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{ReadError, ValueFile, parsed_record};
use crate::journal::{Manifest, SINKS};
use crate::report::findings::Turn;

/// Two fields that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPair {
    /// The first field.
    pub first: String,
    /// The second field.
    pub second: String,
}

/// The two values of one record as texts; equal numbers have equal texts.
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
    let manifest = path.join("manifest.json");
    let bytes = std::fs::read(&manifest).map_err(|_| ReadError::NoRun(path.to_owned()))?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| ReadError::Manifest { path: manifest, message: error.to_string() })?;
    Ok(manifest.files.iter().skip(SINKS).map(|name| path.join(name)).filter(|file| file.exists()).collect())
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
