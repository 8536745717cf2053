//! The values that a template sees for a record: its fields by name, `record`, `id`, `vars` and the texts of a
//! stage.
//!
//! Only values that the template uses are converted. A dotted name means the field of exactly that name if the
//! record has one, and otherwise a value inside a field, as everywhere else in a pipeline (`Record::get`).

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::names::NameUses;
use crate::record::Record;
use minijinja::Value;

/// The name of the record as a whole.
pub(super) const RECORD: &str = "record";

/// The values of the names in `reads` for one record; `beside` returns those that are not fields.
pub(super) fn of_record(reads: &NameUses, record: &Record, beside: impl Fn(&str) -> Option<Value>) -> Value {
    let has_dotted_keys = record.fields.keys().any(|key| key.contains('.'));
    let mut context = BTreeMap::new();
    for name in &reads.tops {
        let found = match record.fields.get(name) {
            Some(field) => Some(named_parts(reads, name, field)),
            None if name == "id" => Some(Value::from(record.id.to_string())),
            None if name == RECORD => Some(whole(reads, record)),
            None => beside(name),
        };
        let found = match has_dotted_keys {
            true => with_dotted_keys(found, name, reads, record),
            false => found,
        };
        context.extend(found.map(|found| (name.as_str(), found)));
    }
    Value::from(context)
}

/// A field as a value: of an object only the keys that the template names, unless it uses the whole object.
fn named_parts(reads: &NameUses, name: &str, field: &Json) -> Value {
    let Json::Object(map) = field else { return value(field) };
    let mut parts = BTreeMap::new();
    for path in reads.dotted.iter().filter(|path| path.split('.').next() == Some(name)) {
        let found = path.split('.').nth(1).and_then(|key| map.get_key_value(key));
        // A key that the object lacks may be reached in another way.
        let Some((key, inside)) = found else { return value(field) };
        parts.entry(key.as_str()).or_insert_with(|| value(inside));
    }
    Value::from_pairs(parts)
}

/// The record as one value: all of it, or only the fields that the template names.
fn whole(reads: &NameUses, record: &Record) -> Value {
    match &reads.of_record {
        None => Value::from_pairs(record.fields.iter().map(|(name, field)| (name.as_str(), value(field)))),
        Some(names) => {
            let named = names.iter().filter_map(|name| Some((name.as_str(), value(record.get(name)?))));
            Value::from_pairs(named)
        }
    }
}

/// Adds to `found` what the record has under a dotted key, such as `meta.lang`, if the template uses `meta.lang`.
fn with_dotted_keys(found: Option<Value>, name: &str, reads: &NameUses, record: &Record) -> Option<Value> {
    let mut found = found;
    if found.is_none() {
        // `meta` consists only of keys such as `meta.lang`.
        let keys = record.fields.iter().filter_map(|(key, field)| {
            let rest = key.strip_prefix(name)?.strip_prefix('.')?;
            Some((rest.split('.').collect::<Vec<_>>(), field))
        });
        for (steps, field) in keys {
            found = Some(inserted(found.as_ref(), &steps, value(field)));
        }
        return found;
    }
    for path in reads.dotted.iter().filter(|path| path.split('.').next() == Some(name)) {
        let Some(key) = longest_key(path, record) else { continue };
        let steps: Vec<&str> = key.split('.').skip(1).collect();
        found = Some(inserted(found.as_ref(), &steps, value(&record.fields[key])));
    }
    found
}

/// The longest prefix of `path`, of at least two names, that is a key of the record.
fn longest_key<'p>(path: &'p str, record: &Record) -> Option<&'p str> {
    let mut key = path;
    while key.contains('.') {
        if record.fields.contains_key(key) {
            return Some(key);
        }
        key = key.rsplit_once('.')?.0;
    }
    None
}

/// Returns `map` with `value` inserted at the path `steps`.
fn inserted(map: Option<&Value>, steps: &[&str], value: Value) -> Value {
    let Some((first, rest)) = steps.split_first() else { return value };
    let mut entries: Vec<(Value, Value)> = Vec::new();
    let keys = map.filter(|map| map.kind() == minijinja::value::ValueKind::Map);
    for key in keys.and_then(|map| map.try_iter().ok()).into_iter().flatten() {
        let entry = map.and_then(|map| map.get_item(&key).ok()).unwrap_or_default();
        entries.push((key, entry));
    }
    let inner = entries.iter().position(|(key, _)| key.as_str() == Some(first));
    let inside = inserted(inner.map(|at| &entries[at].1), rest, value);
    match inner {
        Some(at) => entries[at].1 = inside,
        None => entries.push((Value::from(*first), inside)),
    }
    Value::from_pairs(entries)
}

/// Converts a JSON value to a template value.
pub(super) fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::from(number),
            (None, Some(number), _) => Value::from(number),
            (None, None, float) => {
                let whole = number.to_string().parse::<i128>().ok();
                whole.map(Value::from).or_else(|| float.map(Value::from)).unwrap_or_default()
            }
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(value).collect::<Vec<_>>().into(),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(key, inside)| (key.as_str(), value(inside)))),
    }
}

/// Converts a template value to JSON; an undefined one, such as a field that a row lacks, becomes null. The error
/// describes a value that cannot be converted.
pub(super) fn json(of: &Value) -> Result<Json, String> {
    if of.is_undefined() {
        return Ok(Json::Null);
    }
    serde_json::to_value(of).map_err(|error| format!("not a JSON value: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_come_back_as_they_went_in() {
        for json in [
            json!(null),
            json!([1, -1, u64::MAX, 0.5, 1e300, true, "ä", ""]),
            json!({"b": {"z": 1, "a": []}, "a": {}}),
        ] {
            assert_eq!(super::json(&value(&json)).unwrap(), json);
        }
    }
}
