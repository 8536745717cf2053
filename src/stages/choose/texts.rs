//! Which texts of two elements are equal: those that a reader could not tell apart.

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use crate::stage::StageError;

/// The text of an element without what a reader does not see: of one that is a text, or that has one under `key`. Of
/// messages it is their roles and contents.
pub(super) fn visible_text(element: &Value, key: &str) -> Result<String, StageError> {
    let text = match element {
        Value::Object(map) => map.get(key).unwrap_or(&Value::Null),
        other => other,
    };
    match text {
        Value::String(text) => Ok(plain(text)),
        Value::Array(messages) => Ok(plain(&Value::Array(messages.clone()).to_string().replace("\\n", " "))),
        _ => {
            let message = format!("an element has no text `{key}` by which it could be told from another");
            Err(StageError::new("fields", message))
        }
    }
}

/// The text in Unicode's composed form, with single spaces.
pub(super) fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").nfc().collect()
}
