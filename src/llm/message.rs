//! One message of a conversation, as stored in a record and as sent to a model.
//!
//! `stages::llm` reads messages from a record, `dialect` encodes them for a server. A message is kept completely: its
//! content, which is a text, a list of parts or null, and the other fields that the APIs know.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::image::Image;

/// The fields of a message that servers accept besides its role and content. Other fields of a record's messages, such
/// as the `weight` of a turn in training, are not sent.
pub const SENT_KEYS: [&str; 11] = [
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "refusal",
    "audio",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "prefix",
    "partial",
];

/// The field of a record's message with the length of the prefix, in characters, that other questions share.
pub const SHARED_CHARS: &str = "shared_chars";

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, ...
    pub role: String,
    /// The text; for a content in parts, the text of its parts.
    pub content: String,
    /// The content if it is not a text: a list of parts in the API's format, or null beside tool calls.
    pub parts: Option<Value>,
    /// The length in bytes of the text's prefix that other questions share; 0 if unknown. It is not part of the request
    /// and not serialized.
    pub shared: usize,
    /// Its images, in order. Only those of user messages can be sent.
    pub images: Vec<Image>,
    /// Other fields that are sent: tool calls, the call that a result belongs to, ...
    pub more: Map<String, Value>,
}

impl Message {
    /// Creates a text message.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self {
            role: role.to_owned(),
            content: content.into(),
            parts: None,
            shared: 0,
            images: Vec::new(),
            more: Map::new(),
        }
    }

    /// Parses a message from a record. The error describes what is wrong.
    pub fn read(value: &Value) -> Result<Self, String> {
        let role = value.get("role").and_then(Value::as_str).ok_or("a message has no text as its `role`")?;
        let mut message = Self::new(role, "");
        for (key, value) in value.as_object().into_iter().flatten() {
            if SENT_KEYS.contains(&key.as_str()) && !is_nothing(value) {
                message.more.insert(key.clone(), value.clone());
            }
        }
        match value.get("content") {
            Some(Value::String(text)) => {
                text.clone_into(&mut message.content);
                message.shared = shared(value, text);
            }
            Some(Value::Array(parts)) if parts.iter().all(Value::is_object) => {
                message.content = text_of_parts(parts);
                message.parts = Some(Value::Array(parts.clone()));
            }
            Some(Value::Null) | None if !message.more.is_empty() => message.parts = Some(Value::Null),
            Some(Value::Null) | None => {
                return Err(format!("a message of the role `{role}` has no `content`"));
            }
            Some(_) => {
                return Err(format!(
                    "the `content` of a message of the role `{role}` is neither a text nor parts"
                ));
            }
        }
        if let Some(images) = value.get("images").filter(|images| !images.is_null()) {
            message.images = Vec::deserialize(images).map_err(|error| format!("`images`: {error}"))?;
        }
        Ok(message)
    }

    /// Returns all text that is sent: of its content and its other fields.
    #[must_use]
    pub fn all_text(&self) -> Cow<'_, str> {
        match self.more.is_empty() {
            true => Cow::Borrowed(&self.content),
            false => Cow::Owned(format!("{}{}", self.content, Value::Object(self.more.clone()))),
        }
    }

    /// Returns the number of images: its own, and those among its parts.
    #[must_use]
    pub fn images_shown(&self) -> usize {
        let parts = self.parts.as_ref().and_then(Value::as_array).into_iter().flatten();
        self.images.len() + parts.filter(|part| is_image(part)).count()
    }

    /// Describes contents that only a chat API supports.
    #[must_use]
    pub fn beyond_text(&self) -> Option<&'static str> {
        let parts = self.parts.as_ref().and_then(Value::as_array).into_iter().flatten();
        if ["tool_calls", "function_call", "tool_call_id"].iter().any(|key| self.more.contains_key(*key)) {
            return Some("calls of tools");
        }
        parts.map(text_of_part).any(|text| text.is_none()).then_some("parts that are no text")
    }
}

/// Returns the length of the shared prefix in bytes, from `SHARED_CHARS`.
fn shared(message: &Value, text: &str) -> usize {
    let Some(characters) = message.get(SHARED_CHARS).and_then(Value::as_u64) else { return 0 };
    let characters = usize::try_from(characters).unwrap_or(usize::MAX);
    text.char_indices().nth(characters).map_or(text.len(), |(byte, _)| byte)
}

/// Whether a field is null or an empty list, as written by tools whose messages all have the same fields.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn text_of_part(part: &Value) -> Option<&str> {
    part.get("text").and_then(Value::as_str)
}

fn text_of_parts(parts: &[Value]) -> String {
    parts.iter().filter_map(text_of_part).collect()
}

fn is_image(part: &Value) -> bool {
    part.get("type").and_then(Value::as_str).is_some_and(|kind| kind.contains("image"))
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.role)?;
        match &self.parts {
            Some(parts) => map.serialize_entry("content", parts)?,
            None => map.serialize_entry("content", &self.content)?,
        }
        if !self.images.is_empty() {
            map.serialize_entry("images", &self.images)?;
        }
        for (key, value) in &self.more {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_are_kept_whole() {
        let check = |message: Value, sent: Value| {
            let read = Message::read(&message).unwrap();
            assert_eq!(json!(read), sent, "{message}");
            assert_eq!(Message::read(&sent).unwrap(), read);
        };
        let plain = json!({"role": "user", "content": "Hi"});
        check(plain.clone(), plain.clone());
        check(json!({"role": "user", "content": "Hi", "weight": 0, "tool_calls": null, "name": null}), plain);
        let calls = json!([{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
        let call =
            json!({"role": "assistant", "content": null, "tool_calls": calls, "reasoning_content": "hm"});
        check(call.clone(), call);
        check(
            json!({"role": "assistant", "tool_calls": calls}),
            json!({"role": "assistant", "content": null, "tool_calls": calls}),
        );
        let result = json!({"role": "tool", "content": "12 C", "tool_call_id": "c1"});
        check(result.clone(), result);
        let parts = json!({"role": "user", "content": [{"type": "text", "text": "What is "},
            {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}, {"type": "text", "text": "it?"}]});
        check(parts.clone(), parts.clone());
        let read = Message::read(&parts).unwrap();
        assert_eq!((&*read.content, read.images_shown()), ("What is it?", 1));
        assert_eq!(read.beyond_text(), Some("parts that are no text"));
    }

    #[test]
    fn the_shared_prefix_is_counted_in_characters_and_not_sent() {
        let check = |shared: Value, expected: usize| {
            let message = json!({"role": "user", "content": "Über Öl: Why?", "shared_chars": shared});
            let read = Message::read(&message).unwrap();
            assert_eq!(read.shared, expected, "{message}");
            assert_eq!(json!(read), json!({"role": "user", "content": "Über Öl: Why?"}));
        };
        check(json!(8), "Über Öl:".len());
        check(json!(0), 0);
        check(json!(99), "Über Öl: Why?".len());
        check(json!(u64::MAX), "Über Öl: Why?".len());
        for nonsense in [json!(null), json!(-1), json!(1.5), json!("8"), json!(true)] {
            check(nonsense, 0);
        }
    }

    #[test]
    fn invalid_messages_are_refused_with_a_reason() {
        for (message, expected) in [
            (json!("Hi"), "a message has no text as its `role`"),
            (json!({"from": "human", "value": "Hi"}), "a message has no text as its `role`"),
            (json!({"role": "user"}), "a message of the role `user` has no `content`"),
            (json!({"role": "user", "content": null}), "has no `content`"),
            (json!({"role": "user", "content": 7}), "is neither a text nor parts"),
            (json!({"role": "user", "content": ["a"]}), "is neither a text nor parts"),
            (json!({"role": "user", "content": "a", "images": ["a.png"]}), "`images`: "),
        ] {
            let error = Message::read(&message).unwrap_err();
            assert!(error.contains(expected), "{message}: {error}");
        }
    }
}
