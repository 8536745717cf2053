//! One injection file: a list of values with their frequency scores, in JSON, YAML or CSV.
//!
//! People write these files by hand, so every complaint names the entry it is about and what would be right.
//! Which files are read is decided in `files`.

use std::path::Path;

use serde_json::{Map, Value};

use super::weighted::{Weighted, text_of};
use crate::config::nearest;

/// The key of an entry's weight, with `_` for spaces.
const SCORE: &str = "frequency_score";
/// Problems told of one file.
const MOST_PROBLEMS: usize = 10;

/// An entry of a file, and whether its numbers come as text, as in CSV.
type Entry = Map<String, Value>;

/// The attribute of the file at `path`, whose name without ending is `stem`: its name and values, or what is
/// wrong with the file.
pub(super) fn read(path: &str, stem: &str) -> Result<(String, Weighted), Vec<String>> {
    let bytes = std::fs::read(path).map_err(|error| vec![format!("cannot be read: {error}")])?;
    let text = String::from_utf8(bytes).map_err(|_| vec!["is not UTF-8 text".to_owned()])?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let entries = match Path::new(path).extension().and_then(|ending| ending.to_str()) {
        Some(ending) if ending.eq_ignore_ascii_case("csv") => csv_entries(text),
        Some(ending) if ending.eq_ignore_ascii_case("json") => {
            serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}")).and_then(list)
        }
        _ => serde_saphyr::from_str(text)
            .map_err(|error| format!("is not YAML: {}", first_line(&error.to_string())))
            .and_then(list),
    };
    weighted(&entries.map_err(|problem| vec![problem])?, &folded(stem))
}

/// Spaces and hyphens become `_`, so that a name can be written in templates.
pub(super) fn folded(name: &str) -> String {
    name.trim().replace([' ', '-'], "_")
}

fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line)
}

/// The objects of a list.
fn list(value: Value) -> Result<Vec<Entry>, String> {
    let Value::Array(list) = value else {
        return Err(format!("holds {}, expected a list of objects", kind(&value)));
    };
    let mut entries = Vec::with_capacity(list.len());
    for (index, entry) in list.into_iter().enumerate() {
        match entry {
            Value::Object(entry) => entries.push(entry),
            other => return Err(format!("entry {} is {}, expected an object", index + 1, kind(&other))),
        }
    }
    Ok(entries)
}

fn csv_entries(text: &str) -> Result<Vec<Entry>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let wrong = |error: csv::Error| format!("is not CSV: {error}");
    let headers = reader.headers().map_err(wrong)?.clone();
    let mut entries = Vec::new();
    for row in reader.records() {
        let row = row.map_err(wrong)?;
        let cells = headers.iter().zip(row.iter());
        entries.push(cells.map(|(key, cell)| (key.to_owned(), csv_value(key, cell))).collect());
    }
    Ok(entries)
}

/// A cell's value; scores are numbers where they can be read as such.
fn csv_value(key: &str, cell: &str) -> Value {
    let number = cell.trim().parse().ok().and_then(serde_json::Number::from_f64);
    match number {
        Some(number) if folded(key) == SCORE => Value::Number(number),
        _ => Value::from(cell),
    }
}

/// Checks the entries and makes an attribute of them.
fn weighted(entries: &[Entry], stem: &str) -> Result<(String, Weighted), Vec<String>> {
    let name = attribute_name(entries, stem);
    let mut problems = Vec::new();
    let (mut values, mut scores, mut texts) = (Vec::new(), Vec::new(), Vec::<String>::new());
    for (number, entry) in (1_usize..).zip(entries) {
        let value = value(entry, &name);
        match &value {
            Ok(value) => {
                let text = text_of(value);
                if let Some(first) = texts.iter().position(|known| *known == text) {
                    problems
                        .push(format!("entry {number} has the same value as entry {}: `{text}`", first + 1));
                }
                texts.push(text);
            }
            Err(problem) => {
                problems.push(format!("entry {number} {problem}"));
                // Numbers of entries must go on to be right.
                texts.push(format!("\0{number}"));
            }
        }
        let score = score(entry).map_err(|problem| problems.push(format!("entry {number} {problem}")));
        if let (Ok(value), Ok(score)) = (value, score) {
            values.push(value);
            scores.push(score);
        }
    }
    if problems.len() > MOST_PROBLEMS {
        let more = problems.len() - MOST_PROBLEMS;
        problems.truncate(MOST_PROBLEMS);
        problems.push(format!("{more} more entries are wrong"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Weighted::new(values, &scores).map(|weighted| (name, weighted)).map_err(|error| vec![error.to_string()])
}

/// The file's name, or its singular where the entries use that: the first layout had `topics.json` with the
/// key `topic`.
fn attribute_name(entries: &[Entry], stem: &str) -> String {
    let has = |name: &str| entries.iter().any(|entry| entry.keys().any(|key| folded(key) == name));
    match stem.strip_suffix('s') {
        Some(singular) if !has(stem) && has(singular) => singular.to_owned(),
        _ => stem.to_owned(),
    }
}

fn value(entry: &Entry, name: &str) -> Result<Value, String> {
    let Some((_, value)) = entry.iter().find(|(key, _)| folded(key) == name) else {
        let keys: Vec<&str> = entry.keys().map(String::as_str).collect();
        let hint = nearest(name, keys.iter().copied().filter(|key| folded(key) != SCORE));
        let hint = hint.map_or_else(String::new, |near| format!("; did you mean it by `{near}`?"));
        let found = if keys.is_empty() { "no key".to_owned() } else { format!("`{}`", keys.join("`, `")) };
        return Err(format!("has no key `{name}`, which is the file's name; it has {found}{hint}"));
    };
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(value.clone()),
        other => Err(format!("has {} under `{name}`, expected a text", kind(other))),
    }
}

fn score(entry: &Entry) -> Result<f64, String> {
    let Some((key, value)) = entry.iter().find(|(key, _)| folded(key) == SCORE) else {
        let hint = nearest("frequency score", entry.keys().map(String::as_str));
        let hint = hint.map_or_else(String::new, |near| format!("; did you mean it by `{near}`?"));
        return Err(format!("has no key `frequency score`{hint}"));
    };
    match value.as_f64() {
        Some(score) if score < 0.0 => Err(format!("has the `{key}` {value}, expected 0 or more")),
        Some(score) if score.is_finite() => Ok(score),
        _ => {
            let found = match value {
                Value::String(text) => format!("the text `{text}`"),
                other => kind(other).to_owned(),
            };
            Err(format!("has {found} as `{key}`, expected a number"))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
