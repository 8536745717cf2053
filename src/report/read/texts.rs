//! Finds the texts of a record, whatever its format.
//!
//! Knows the formats that sinks write and trainers read (messages, ShareGPT, Alpaca, prompt and completion,
//! preference pairs, question and answer), bare texts, and lists of messages. In any other record, the text is the
//! field with a usual name (`text`, `user_input`, ...), or else the longest string.

use serde_json::{Map, Value};

use super::parsed_record::NOT_ATTRIBUTES;
use crate::report::findings::Turn;

/// Names of field pairs for question and answer, most specific first.
const PAIRS: &[(&str, &str)] = &[
    ("instruction", "output"),
    ("question", "answer"),
    ("prompt", "completion"),
    ("prompt", "chosen"),
    ("prompt", "response"),
    ("instruction", "response"),
    ("query", "response"),
    ("input", "output"),
];

/// Names of fields that hold the text of a record.
const TEXTS: &[&str] = &[
    "text",
    "user_input",
    "input",
    "question",
    "query",
    "completion",
    "prompt",
    "content",
    "response",
    "output",
    "chosen",
];

/// Returns the texts of an object, and the names of the fields that hold them.
pub(super) fn texts(fields: &Map<String, Value>) -> (Vec<Turn>, Vec<&str>) {
    let lists = [
        ("messages", "role", "content"),
        ("conversations", "from", "value"),
        ("conversation", "role", "content"),
    ];
    for (field, role, content) in lists {
        let messages = fields.get(field).and_then(Value::as_array);
        let turns = messages.map(|messages| conversation(messages, role, content)).unwrap_or_default();
        if !turns.is_empty() {
            return (turns, vec![field, "system", "question", "answer"]);
        }
    }
    for (ask, reply) in PAIRS {
        if let (Some(ask_value), Some(reply_value)) = (fields.get(*ask), fields.get(*reply)) {
            // Messages with a plain answer are what the pipeline asked its model, which is not part of the data.
            if ask_value.is_array() && reply_value.is_string() && *reply == "completion" {
                continue;
            }
            let mut turns = turns_of(ask_value, "user");
            if let (&"instruction", Some(Value::String(input))) = (ask, fields.get("input"))
                && !input.is_empty()
            {
                turns.push(turn("user", input.clone()));
            }
            turns.extend(turns_of(reply_value, "assistant"));
            if turns.len() > 1 {
                return (turns, vec![ask, reply, "input", "rejected", "reasoning_steps"]);
            }
        }
    }
    let named = TEXTS.iter().copied().filter_map(|name| Some((name, fields.get(name)?)));
    for (name, value) in named {
        let turns = turns_of(value, "text");
        if !turns.is_empty() {
            return (turns, vec![name]);
        }
    }
    let strings = fields.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    let strings = strings.filter(|(name, _)| !NOT_ATTRIBUTES.contains(name));
    match strings.max_by_key(|(_, text)| text.len()) {
        Some((name, text)) => (vec![turn("text", text.to_owned())], vec![name]),
        None => (Vec::new(), Vec::new()),
    }
}

/// Reads a text or a list of messages; TRL's formats allow either.
fn turns_of(value: &Value, role: &str) -> Vec<Turn> {
    match value {
        Value::String(text) if !text.is_empty() => vec![turn(role, text.clone())],
        Value::Array(messages) => conversation(messages, "role", "content"),
        _ => Vec::new(),
    }
}

pub(super) fn conversation(messages: &[Value], role: &str, content: &str) -> Vec<Turn> {
    let mut turns = Vec::with_capacity(messages.len());
    for message in messages {
        let (Some(role), Some(content)) = (message.get(role).and_then(Value::as_str), message.get(content))
        else {
            continue;
        };
        let role = match role {
            "human" => "user",
            "gpt" => "assistant",
            other => other,
        };
        let text = match content {
            Value::String(text) => text.clone(),
            // OpenAI's content parts.
            Value::Array(parts) => {
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                texts.collect::<Vec<_>>().join("\n")
            }
            _ => continue,
        };
        turns.push(turn(role, text));
    }
    turns
}

pub(super) fn turn(role: &str, text: String) -> Turn {
    Turn { role: role.to_owned(), text }
}
