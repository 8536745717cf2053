//! Descriptions of JSON schemas and JSON values in words, for messages and for the stage reference.

use serde_json::Value;

use crate::nearest::one_of;

/// The maximum length of a quoted text in a message, in characters.
const LONGEST_QUOTE: usize = 60;

/// Describes what a schema allows, such as `a list of texts` or "one of `a`, `b`".
pub(crate) fn type_words(schema: &Value) -> String {
    let fixed = fixed_words(schema);
    if !fixed.is_empty() {
        return one_of(fixed.iter().map(String::as_str));
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(branches) = schema.get(keyword).and_then(Value::as_array) {
            return alternatives(branches);
        }
    }
    match schema.get("type") {
        Some(Value::String(kind)) => one_type(kind, schema),
        Some(Value::Array(kinds)) => {
            let kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            kinds.map(|kind| one_type(kind, schema)).collect::<Vec<_>>().join(" or ")
        }
        _ if schema.get("properties").is_some() => "a map".to_owned(),
        _ => "any value".to_owned(),
    }
}

fn one_type(kind: &str, schema: &Value) -> String {
    let items = || schema.get("items").filter(|items| items.is_object()).map(type_words);
    match kind {
        "string" => "text".to_owned(),
        "integer" => "a whole number".to_owned(),
        "number" => "a number".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "null" => "nothing".to_owned(),
        "array" => match items() {
            Some(items) if items != "any value" => format!("a list, each {items}"),
            _ => "a list".to_owned(),
        },
        "object" => match single_key(schema) {
            Some(key) => format!("`{key}: ...`"),
            None => "a map".to_owned(),
        },
        other => other.to_owned(),
    }
}

/// Describes alternatives, constants first: "one of `a`, `b`, or a map".
fn alternatives(branches: &[Value]) -> String {
    let mut fixed = Vec::new();
    let mut rest = Vec::new();
    for branch in branches {
        let words = fixed_words(branch);
        let null = branch.get("type").and_then(Value::as_str) == Some("null");
        match (words.is_empty(), single_key(branch)) {
            (false, _) => fixed.extend(words),
            (true, Some(key)) => fixed.push(format!("{key}: ...")),
            (true, None) if !null => rest.push(type_words(branch)),
            _ => {}
        }
    }
    if !fixed.is_empty() {
        rest.insert(0, one_of(fixed.iter().map(String::as_str)));
    }
    rest.dedup();
    rest.join(", or ")
}

/// The key of a schema for a map with one required key, which is how serde encodes enum variants with a value.
fn single_key(schema: &Value) -> Option<&str> {
    let properties = schema.get("properties")?.as_object()?;
    let required = schema.get("required")?.as_array()?;
    match (properties.len(), required.as_slice()) {
        (1, [key]) => key.as_str(),
        _ => None,
    }
}

fn fixed_words(schema: &Value) -> Vec<String> {
    let options = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let options = options.chain(schema.get("const")).filter(|value| !value.is_null());
    options.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect()
}

/// Describes a value: text `abc`, the number `3`, a list.
pub(crate) fn describe_value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(number) => format!("the number `{number}`"),
        Value::String(text) => {
            let first = text.lines().next().unwrap_or_default();
            let short: String = first.chars().take(LONGEST_QUOTE).collect();
            let more = if short.len() < text.trim_end().len() { "..." } else { "" };
            format!("text `{short}{more}`")
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn describes_what_a_schema_allows() {
        for (schema, expected) in [
            (json!({"type": "integer"}), "a whole number"),
            (json!({"type": ["string", "null"]}), "text"),
            (json!({"type": "array", "items": {"type": "string"}}), "a list, each text"),
            (json!({"enum": ["a", "b"]}), "one of `a`, `b`"),
            (json!({"oneOf": [{"const": "a"}, {"const": "b"}]}), "one of `a`, `b`"),
            (json!({"anyOf": [{"oneOf": [{"const": "a"}]}, {"type": "null"}]}), "`a`"),
            (
                json!({"oneOf": [{"const": "a"}, {"type": "object", "required": ["retry"],
                    "properties": {"retry": {"type": "integer"}}}]}),
                "one of `a`, `retry: ...`",
            ),
            (json!(true), "any value"),
        ] {
            assert_eq!(type_words(&schema), expected, "{schema}");
        }
    }
}
