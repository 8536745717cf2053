//! Determines whether the texts of two elements are equal: whether a reader sees no difference.

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use crate::stage::StageError;

/// The visible text of an element that is a text or has one under `key`; of a list of messages, their roles and
/// contents.
pub(super) fn visible_text(element: &Value, key: &str) -> Result<String, StageError> {
    let text = match element {
        Value::Object(map) => map.get(key).unwrap_or(&Value::Null),
        other => other,
    };
    match text {
        Value::String(text) => Ok(plain(text)),
        Value::Array(messages) => Ok(plain(&Value::Array(messages.clone()).to_string().replace("\\n", " "))),
        _ => {
            let message =
                format!("an element has no text `{key}` by which it could be distinguished from another");
            Err(StageError::new("fields", message))
        }
    }
}

/// The text in Unicode's composed form, with single spaces.
pub(super) fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").nfc().collect()
}
