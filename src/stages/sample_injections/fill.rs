//! The drawn attributes as a prompt shows them: a list without the empty ones.

use std::fmt::Write;

use serde_json::{Map, Value};

/// One line for each attribute that is not empty, `- topic: late fees`.
pub(super) fn list(injections: &Map<String, Value>) -> String {
    let mut list = String::new();
    for (name, value) in injections {
        let text = shown(value, ", ");
        if text.is_empty() {
            continue;
        }
        if !list.is_empty() {
            list.push('\n');
        }
        // A value of several lines stays one list item.
        let _ = write!(list, "- {}: {}", name.replace('_', " "), text.replace('\n', "\n  "));
    }
    list
}

/// A value as text; empty for an empty value.
fn shown(value: &Value, between: &str) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(values) => joined(values.iter().map(|value| shown(value, "; ")), between),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| match shown(value, ", ") {
                text if text.is_empty() => text,
                text => format!("{}: {text}", name.replace('_', " ")),
            };
            joined(fields.iter().map(field), "; ")
        }
        other => other.to_string(),
    }
}

fn joined(texts: impl Iterator<Item = String>, between: &str) -> String {
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(injections: Value, expected: &str) {
        let Value::Object(injections) = injections else { panic!("an object") };
        assert_eq!(list(&injections), expected);
    }

    #[test]
    fn empty_values_leave_no_label() {
        check(json!({"topic": "fees", "tone": "", "mood": "  ", "none": null, "many": []}), "- topic: fees");
        check(json!({"topic": ""}), "");
    }

    #[test]
    fn every_kind_of_value_is_shown() {
        check(
            json!({"additional_instruction": "be brief", "age": 42, "tags": ["a", "", "b"]}),
            "- additional instruction: be brief\n- age: 42\n- tags: a, b",
        );
        check(
            json!({"persona": {"name": "Ada", "note": "", "likes": ["x", "y"]}}),
            "- persona: name: Ada; likes: x, y",
        );
        check(json!({"style": "one\ntwo", "tone": "calm"}), "- style: one\n  two\n- tone: calm");
    }
}
