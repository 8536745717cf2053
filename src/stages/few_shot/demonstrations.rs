//! The demonstrations of a file or another run, and which of them are excluded for a record.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::journal::ItemLines;
use crate::stages::ingest::rows;
use crate::stages::ingest::run::SinkLines;

/// The maximum number of rows: all of them are kept in memory.
const MOST_ROWS: usize = 200_000;

/// A row of the file.
#[derive(Debug)]
pub(super) struct Demonstration {
    /// Its line, from 1; of a run's lines its number in the order of items.
    pub(super) line: u64,
    pub(super) fields: Map<String, Value>,
    /// The groups it belongs to: the keys in its group field, or the name that `ingest` assigns to the row.
    groups: Vec<String>,
    /// Its text, normalized for comparison.
    text: Option<String>,
}

/// Reads a file, which must have rows; the error says which line cannot be used.
pub(super) fn of_file(path: &str, group: &str, field: Option<&str>) -> Result<Vec<Demonstration>, String> {
    let found = read(path, rows::jsonl(path)?, group, field)?;
    if found.is_empty() { Err("has no rows".to_owned()) } else { Ok(found) }
}

/// Reads the lines of a run's sink, in the order of its items; there may be none.
pub(super) fn of_run(
    lines: &Arc<ItemLines>,
    group: &str,
    field: Option<&str>,
) -> Result<Vec<Demonstration>, String> {
    let path = lines.path.display().to_string();
    let rows = SinkLines::open(&path, lines).map_err(|error| error.to_string())?;
    read(&path, rows, group, field)
}

/// Reads numbered rows of the file `path`.
fn read(
    path: &str,
    rows: impl Iterator<Item = (u64, Result<Map<String, Value>, String>)>,
    group: &str,
    field: Option<&str>,
) -> Result<Vec<Demonstration>, String> {
    let mut found = Vec::new();
    for (line, row) in rows {
        let fields = row.map_err(|error| format!("line {line}: {error}"))?;
        if found.len() == MOST_ROWS {
            return Err(format!("more than {MOST_ROWS} rows"));
        }
        let groups = match inside(&fields, group) {
            Some(keys) => keys_of(keys),
            None => vec![format!("{}:{line}", path.trim_start_matches("./"))],
        };
        let text = match field {
            None => None,
            Some(field) => match inside(&fields, field) {
                Some(Value::String(text)) => Some(same_form(text)),
                _ => return Err(format!("line {line}: `{field}` is not a text")),
            },
        };
        found.push(Demonstration { line, fields, groups, text });
    }
    Ok(found)
}

/// The groups and text of a record, which exclude demonstrations.
pub(super) struct Own {
    groups: HashSet<String>,
    text: Option<String>,
}

impl Own {
    /// `group` is the record's group, `text` the text that demonstrations are compared with.
    pub(super) fn new(group: Option<&Value>, text: Option<&str>) -> Self {
        let keys = group.map(keys_of).unwrap_or_default();
        let groups = keys.into_iter().map(|key| key.trim_start_matches("./").to_owned()).collect();
        Self { groups, text: text.map(same_form) }
    }

    /// Whether the demonstration is the record itself or belongs to one of its groups.
    pub(super) fn has(&self, demonstration: &Demonstration) -> bool {
        let is_same = self.text.is_some() && self.text == demonstration.text;
        is_same || demonstration.groups.iter().any(|key| self.groups.contains(key))
    }
}

/// The value at a dotted path.
pub(super) fn inside<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = fields.get(name) {
        return Some(value);
    }
    let (top, rest) = name.split_once('.')?;
    rest.split('.').try_fold(fields.get(top)?, |value, part| value.get(part))
}

/// The keys of a group: a text, a number, or a list of them.
fn keys_of(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(list) => list.iter().flat_map(keys_of).collect(),
        _ => Vec::new(),
    }
}

/// A text in lower case with single spaces.
fn same_form(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
