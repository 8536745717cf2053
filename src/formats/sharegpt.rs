//! ShareGPT: turns with a speaker and a value, converted from messages and back.
//!
//! System, human and gpt turns survive the round trip unchanged. A speaker without a known role is an error.

use serde_json::{Map, Value, json};

use super::conversation::{ConversationTurn, calls, no_place, plain_text, text_of};
use crate::stage::StageError;

/// The speakers, each with the role of its messages.
const SPEAKERS: [(&str, &str); 9] = [
    ("system", "system"),
    ("human", "user"),
    ("user", "user"),
    ("gpt", "assistant"),
    ("assistant", "assistant"),
    ("chatgpt", "assistant"),
    ("function_call", "assistant"),
    ("observation", "tool"),
    ("tool", "tool"),
];

/// `{"conversations": [{"from": ..., "value": ...}]}`. Tool calls and their results are separate turns,
/// `function_call` and `observation`, as in LLaMA-Factory; a message's other keys are kept beside its text.
pub(super) fn write(turns: Vec<ConversationTurn>) -> Result<Map<String, Value>, StageError> {
    let mut list = Vec::with_capacity(turns.len());
    // Ids of calls cannot be represented: results are matched by their order only.
    let mut waiting: Vec<Value> = Vec::new();
    for mut turn in turns {
        let role = text_of(&turn, "role");
        let value = plain_text(&turn).ok_or_else(|| {
            let message = format!(
                "`sharegpt` has no place for the parts of a content that are no text, in a turn of `{role}`"
            );
            no_place(message)
        })?;
        let calls = calls(&turn);
        let (from, value) = match role.as_str() {
            "assistant" if !calls.is_empty() => {
                if !value.trim().is_empty() {
                    return Err(no_place(
                        "`sharegpt` has no place for a text beside calls of tools".to_owned(),
                    ));
                }
                waiting = calls.iter().filter_map(|call| call.get("id").cloned()).collect();
                ("function_call".to_owned(), function_call(&calls))
            }
            "tool" | "function" => {
                let id = turn.get("tool_call_id").filter(|id| !id.is_null());
                if let Some(id) = id.filter(|_| !waiting.is_empty())
                    && *id != waiting.remove(0)
                {
                    let message =
                        "`sharegpt` matches results of tools with calls by their order, which here differs";
                    return Err(no_place(message.to_owned()));
                }
                ("observation".to_owned(), value)
            }
            "user" => ("human".to_owned(), value),
            "assistant" => ("gpt".to_owned(), value),
            other => (other.to_owned(), value),
        };
        for key in ["role", "content", "tool_calls", "function_call", "tool_call_id"] {
            turn.shift_remove(key);
        }
        let mut written = Map::from_iter([
            ("from".to_owned(), Value::from(from)),
            ("value".to_owned(), Value::from(value)),
        ]);
        written.extend(turn);
        list.push(Value::Object(written));
    }
    Ok(Map::from_iter([("conversations".to_owned(), Value::Array(list))]))
}

/// The calls' names and arguments as JSON text: an object for one call, a list for several.
fn function_call(calls: &[Value]) -> String {
    let worded = |call: &Value| {
        let function = call.get("function").unwrap_or(call);
        let arguments = function.get("arguments").cloned().unwrap_or_else(|| json!({}));
        let arguments = match &arguments {
            Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| arguments.clone()),
            _ => arguments,
        };
        json!({"name": function.get("name"), "arguments": arguments})
    };
    match calls {
        [one] => worded(one).to_string(),
        several => Value::Array(several.iter().map(worded).collect()).to_string(),
    }
}

/// The messages of a list of speakers and values.
pub(super) fn read(conversations: &Value) -> Result<Value, String> {
    let list = conversations.as_array().ok_or("`conversations` is not a list")?;
    let mut messages = Vec::with_capacity(list.len());
    for turn in list {
        let speaker = turn.get("from").and_then(Value::as_str);
        let value = turn.get("value").and_then(Value::as_str);
        let (Some(speaker), Some(value), Some(turn)) = (speaker, value, turn.as_object()) else {
            return Err("`conversations` is not a list of `from` and `value`".to_owned());
        };
        let Some((_, role)) = SPEAKERS.iter().find(|(known, _)| *known == speaker) else {
            let known: Vec<String> = SPEAKERS.iter().map(|(known, _)| format!("`{known}`")).collect();
            return Err(format!("unknown speaker `{speaker}`; known are {}", known.join(", ")));
        };
        let mut message = Map::from_iter([("role".to_owned(), Value::from(*role))]);
        if speaker == "function_call" {
            message.insert("content".to_owned(), Value::Null);
            message.insert("tool_calls".to_owned(), read_calls(value)?);
        } else {
            message.insert("content".to_owned(), value.into());
        }
        let others =
            turn.iter().filter(|(key, value)| !["from", "value"].contains(&key.as_str()) && !value.is_null());
        message.extend(others.map(|(key, value)| (key.clone(), value.clone())));
        messages.push(Value::Object(message));
    }
    Ok(Value::Array(messages))
}

/// The calls of a `function_call` in OpenAI's form, with arguments as text.
fn read_calls(text: &str) -> Result<Value, String> {
    let wrong = || "a `function_call` is not JSON with `name` and `arguments`".to_owned();
    let calls = match serde_json::from_str(text).map_err(|_| wrong())? {
        Value::Array(calls) => calls,
        one => vec![one],
    };
    let mut read = Vec::with_capacity(calls.len());
    for call in &calls {
        let name = call.get("name").and_then(Value::as_str).ok_or_else(wrong)?;
        let arguments = match call.get("arguments").ok_or_else(wrong)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        read.push(json!({"type": "function", "function": {"name": name, "arguments": arguments}}));
    }
    Ok(Value::Array(read))
}
