//! One injection file: values with the weights by which they are drawn.
//!
//! People write these files by hand, in whatever form they know from elsewhere; an error names the line, the
//! entry and what is expected. `written` parses a file, `files` selects the files.

use serde_json::{Map, Value};

use super::weighted::{WeightedValues, text_of};
use super::written::{self, Entry, FileError, InjectionFile, kind};
use crate::nearest::nearest;

/// The keys that an entry's weight may have, with `_` for spaces; if there are several, the first is used.
const FREQUENCY_SCORE: &str = "frequency_score";
const WEIGHTS: [&str; 6] = [FREQUENCY_SCORE, "frequency", "score", "weight", "share", "probability"];
/// The maximum number of invalid entries that are listed by number.
const MOST_NUMBERS: usize = 8;

/// Reads the attribute of the file at `path`, whose name without extension is `stem`: its name and values, or
/// what is wrong with the file, in one message that begins with its location.
pub(super) fn read(path: &str, stem: &str) -> Result<(String, WeightedValues), String> {
    written::read(path)
        .and_then(|written| weighted(&written, &folded(stem)))
        .map_err(|fault| fault.in_file(path))
}

/// Replaces spaces and hyphens by `_`, so that a name can be used in templates.
pub(super) fn folded(name: &str) -> String {
    name.trim().replace([' ', '-'], "_")
}

fn is_weight(key: &str) -> bool {
    WEIGHTS.contains(&folded(key).to_lowercase().as_str())
}

/// Checks the entries and makes an attribute of them.
fn weighted(written: &InjectionFile, stem: &str) -> Result<(String, WeightedValues), FileError> {
    let name = attribute_name(&written.entries, stem);
    let plain = matches!(written.entries.first(), Some(Entry::Value(_)));
    let mut wrong: Vec<(usize, String)> = Vec::new();
    let (mut values, mut weights, mut texts) = (Vec::new(), Vec::new(), Vec::<String>::new());
    for (index, entry) in written.entries.iter().enumerate() {
        match read_entry(entry, &name, plain, written.numbers_are_texts) {
            Ok((value, weight)) => {
                let text = text_of(&value);
                if let Some(first) = texts.iter().position(|known| *known == text) {
                    wrong.push((index, format!("has the same value as entry {}: `{text}`", first + 1)));
                }
                texts.push(text);
                values.push(value);
                weights.push(weight);
            }
            Err(problem) => {
                wrong.push((index, problem));
                // The numbering of entries must stay correct.
                texts.push(format!("\0{index}"));
            }
        }
    }
    if let Some((index, problem)) = wrong.first() {
        let message = format!("entry {} {problem}{}", index + 1, others(&wrong[1..]));
        return Err(FileError::new(written.line(*index), message));
    }
    match WeightedValues::new(values, &weights) {
        Ok(weighted) => Ok((name, weighted)),
        Err(error) => Err(FileError::new(None, error.to_string())),
    }
}

/// Lists the other invalid entries, for the end of a message.
fn others(wrong: &[(usize, String)]) -> String {
    let mut numbers: Vec<String> =
        wrong.iter().take(MOST_NUMBERS).map(|(index, _)| (index + 1).to_string()).collect();
    if wrong.len() > MOST_NUMBERS {
        numbers.push("...".to_owned());
    }
    match wrong {
        [] => String::new(),
        [_] => format!("; entry {} is wrong too", numbers.join("")),
        more => format!("; {} more entries are wrong: {}", more.len(), numbers.join(", ")),
    }
}

/// The value and the weight of one entry; `plain` means that the file is a plain list.
fn read_entry(entry: &Entry, name: &str, plain: bool, texts: bool) -> Result<(Value, f64), String> {
    match entry {
        Entry::Value(value) if plain => match value {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok((value.clone(), 1.0)),
            other => Err(format!("is {}, expected a text", kind(other))),
        },
        Entry::Value(value) => Err(format!("is {}, expected an object like the first", kind(value))),
        Entry::Object(_) if plain => Err("is an object, expected a text like the first".to_owned()),
        Entry::Pair(value, weight) => Ok((Value::from(value.as_str()), number(value, weight, false)?)),
        Entry::Object(object) => {
            let found = value_of(object, name);
            let key = found.as_ref().map_or("", |(key, _)| key);
            // A table of one column is a plain list.
            let weight = if texts && object.len() == 1 { Ok(1.0) } else { weight_of(object, key, texts) };
            let (value, weight) = match (found, weight) {
                (Ok((_, value)), Ok(weight)) => (value, weight),
                (Ok(_), Err(problem)) | (Err(problem), Ok(_)) => return Err(problem),
                (Err(value), Err(weight)) => return Err(format!("{value}; and it {weight}")),
            };
            Ok((value, weight))
        }
    }
}

/// The file's name, or its singular if the entries use that: the first layout had `topics.json` with the key
/// `topic`. Files without such a key are named after the file.
fn attribute_name(entries: &[Entry], stem: &str) -> String {
    let has = |name: &str| {
        entries.iter().any(
            |entry| matches!(entry, Entry::Object(object) if object.keys().any(|key| folded(key) == name)),
        )
    };
    match stem.strip_suffix('s') {
        Some(singular) if !has(stem) && has(singular) => singular.to_owned(),
        _ => stem.to_owned(),
    }
}

fn value_of<'e>(object: &'e Map<String, Value>, name: &str) -> Result<(&'e str, Value), String> {
    let Some((key, value)) = object.iter().find(|(key, _)| folded(key) == name) else {
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        let hint = nearest(name, keys.iter().copied().filter(|key| !is_weight(key)));
        let hint = hint.map_or_else(String::new, |near| format!("; did you mean it by `{near}`?"));
        let found = if keys.is_empty() { "no key".to_owned() } else { format!("`{}`", keys.join("`, `")) };
        return Err(format!("has no key `{name}`, which is the file's name; it has {found}{hint}"));
    };
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok((key, value.clone())),
        other => Err(format!("has {} under `{name}`, expected a text", kind(other))),
    }
}

/// The weight of an object whose value is under `value_key`.
fn weight_of(object: &Map<String, Value>, value_key: &str, texts: bool) -> Result<f64, String> {
    let named: Vec<(&String, &Value)> =
        object.iter().filter(|(key, _)| *key != value_key && is_weight(key)).collect();
    let original = named.iter().find(|(key, _)| folded(key).to_lowercase() == FREQUENCY_SCORE);
    match (original, named.as_slice()) {
        (Some((key, weight)), _) | (None, [(key, weight)]) => number(key, weight, texts),
        (None, [(one, _), (other, _), ..]) => {
            Err(format!("has both `{one}` and `{other}`, and either may be its weight"))
        }
        (None, []) => {
            let keys = object.keys().map(String::as_str).filter(|key| *key != value_key);
            let near = keys.clone().find(|key| nearest(&folded(key).to_lowercase(), WEIGHTS).is_some());
            let hint = near.map_or_else(String::new, |near| format!("; did you mean it by `{near}`?"));
            Err(format!("has no weight, under `weight`, `score`, `frequency` or `frequency score`{hint}"))
        }
    }
}

fn number(key: &str, value: &Value, texts: bool) -> Result<f64, String> {
    let text = value.as_str().filter(|_| texts).and_then(|text| text.trim().parse::<f64>().ok());
    match value.as_f64().or(text) {
        Some(weight) if weight < 0.0 => {
            Err(format!("has the weight {} under `{key}`, expected 0 or more", text_of(value)))
        }
        Some(weight) if weight.is_finite() => Ok(weight),
        _ => {
            let found = match value {
                Value::String(text) => format!("the text `{text}`"),
                other => kind(other).to_owned(),
            };
            Err(format!("has {found} as the weight `{key}`, expected a number"))
        }
    }
}

#[cfg(test)]
mod tests;
