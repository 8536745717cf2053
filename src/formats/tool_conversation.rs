//! Conversations with tool calls, with columns of the same types in all rows.
//!
//! Tools and arguments differ from row to row. As objects, a reader would merge them into one type, in which each
//! call has the arguments of all others as nulls; so they are JSON texts, which trainers parse.

use serde_json::{Map, Value, json};

use super::conversation::{ConversationTurn, calls, is_beyond_text, no_place, plain_text, text_of};
use super::{refused, require, take};
use crate::stage::StageError;

/// The keys of each message.
const KEYS: [&str; 6] = ["role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name"];

pub(super) fn write(
    turns: &[ConversationTurn],
    tools: Option<&Value>,
) -> Result<Map<String, Value>, StageError> {
    let mut messages = Vec::with_capacity(turns.len());
    for turn in turns {
        messages.push(message(turn)?);
    }
    let tools = match tools {
        None => "[]".to_owned(),
        Some(Value::Array(tools)) => Value::Array(tools.clone()).to_string(),
        Some(_) => return Err(StageError::new("fields", "field `tools` is not a list of tools")),
    };
    Ok(Map::from_iter([("messages".to_owned(), Value::Array(messages)), ("tools".to_owned(), tools.into())]))
}

fn message(turn: &ConversationTurn) -> Result<Value, StageError> {
    let role = text_of(turn, "role");
    let known = |key: &str| KEYS.contains(&key) || key == "function_call";
    if let Some((key, _)) = turn.iter().find(|(key, value)| !known(key) && is_beyond_text(key, value)) {
        return Err(no_place(format!(
            "`tool_conversation` has no place for `{key}`, which a turn of `{role}` has"
        )));
    }
    let content = plain_text(turn).ok_or_else(|| {
        refused(format!("`tool_conversation` has no place for the parts of a content that are no text, in a turn of `{role}`"))
    })?;
    let calls: Vec<Value> = calls(turn).iter().map(call).collect();
    let text = |key: &str| turn.get(key).filter(|value| value.is_string()).cloned().unwrap_or_default();
    Ok(json!({
        "role": role,
        "content": content,
        "reasoning_content": text("reasoning_content"),
        "tool_calls": if calls.is_empty() { Value::Null } else { calls.into() },
        "tool_call_id": text("tool_call_id"),
        "name": text("name"),
    }))
}

/// A call with the same keys as all others.
fn call(call: &Value) -> Value {
    let function = call.get("function").unwrap_or(call);
    let arguments = match function.get("arguments") {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let id = call.get("id").filter(|id| id.is_string()).cloned().unwrap_or_default();
    json!({"id": id, "type": "function", "function": {"name": function.get("name"), "arguments": arguments}})
}

/// Reads the messages, without the unused keys that fill up the columns.
pub(super) fn read(row: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut row = require(row, &["messages"])?;
    let Value::Array(mut messages) = take(&mut row, "messages")? else {
        return Err("`messages` is not a list".to_owned());
    };
    for message in &mut messages {
        let Some(message) = message.as_object_mut() else {
            return Err("`messages` is not a list of roles and contents".to_owned());
        };
        message.retain(|key, value| key == "content" || !value.is_null());
    }
    row.insert("messages".to_owned(), messages.into());
    if let Some(Value::String(text)) = row.get("tools") {
        let tools =
            serde_json::from_str(text).map_err(|error| format!("column `tools` is no JSON: {error}"))?;
        row.insert("tools".to_owned(), tools);
    }
    Ok(row)
}
