//! Generates a value that conforms to a JSON schema of the kind that pipelines declare.

use serde_json::{Map, Value, json};

/// Returns the smallest value that the schema allows, as far as its keywords are known.
pub(super) fn to(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    for several in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[several].as_array().and_then(|choices| choices.first()) {
            return to(first);
        }
    }
    let number = |name: &str| schema[name].as_u64().unwrap_or(0) as usize;
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("object") => object(schema),
        Some("array") => (0..number("minItems")).map(|_| to(&schema["items"])).collect(),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        _ => {
            let mut text = "An answer of a few words.".to_owned();
            while text.len() < number("minLength") {
                text += " And a few more.";
            }
            if let Some(most) = schema["maxLength"].as_u64() {
                text.truncate(most as usize);
            }
            json!(text)
        }
    }
}

fn object(schema: &Value) -> Value {
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = required.iter().filter_map(Value::as_str);
    let fields: Map<String, Value> =
        names.map(|name| (name.to_owned(), to(&schema["properties"][name]))).collect();
    Value::Object(fields)
}
