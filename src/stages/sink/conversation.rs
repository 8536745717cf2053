//! A record's conversation: where it comes from, and how each format writes it.
//!
//! Messages are written completely. A format that cannot represent part of a conversation refuses it: a record
//! that is rejected with its reason can be written in another format, but half a conversation is wrong training
//! data.

use serde_json::{Map, Value, json};

use crate::llm::SHARED_CHARS;
use crate::stage::StageError;

/// A message with all of its fields.
pub(super) type ConversationTurn = Map<String, Value>;

/// A turn that consists of a text only.
pub(super) fn turn(role: &str, content: &str) -> ConversationTurn {
    Map::from_iter([("role".to_owned(), Value::from(role)), ("content".to_owned(), Value::from(content))])
}

/// The turns of a list of messages, without fields that concern how they are sent.
pub(super) fn turns(messages: &Value) -> Result<Vec<ConversationTurn>, StageError> {
    let wrong = || StageError::new("fields", "field `messages` is not a list of roles and contents");
    let list = messages.as_array().ok_or_else(wrong)?;
    if list.is_empty() {
        return Err(StageError::new("fields", "field `messages` is an empty list"));
    }
    let mut turns = Vec::with_capacity(list.len());
    for message in list {
        let turn = message.as_object().ok_or_else(wrong)?;
        let content = turn.get("content").unwrap_or(&Value::Null);
        if !turn.get("role").is_some_and(Value::is_string)
            || matches!(content, Value::Bool(_) | Value::Number(_) | Value::Object(_))
        {
            return Err(wrong());
        }
        let mut turn = turn.clone();
        // For the model's client only.
        turn.shift_remove(SHARED_CHARS);
        turns.push(turn);
    }
    Ok(turns)
}

/// The turns with a system message in front: only one, since chat templates refuse or ignore a second one.
pub(super) fn with_system(system: &str, mut turns: Vec<ConversationTurn>) -> Vec<ConversationTurn> {
    let first = turns.first_mut().filter(|first| first.get("role").is_some_and(|role| role == "system"));
    if let Some(Value::String(text)) = first.and_then(|first| first.get_mut("content")) {
        *text = format!("{system}\n\n{text}");
        return turns;
    }
    turns.insert(0, turn("system", system));
    turns
}

/// `{"messages": [...]}`, each as it is.
pub(super) fn messages(turns: Vec<ConversationTurn>) -> Map<String, Value> {
    let messages = turns.into_iter().map(Value::Object).collect();
    Map::from_iter([("messages".to_owned(), Value::Array(messages))])
}

/// `{"conversations": [{"from": ..., "value": ...}]}`. Calls of tools and their results are turns of their own kind,
/// `function_call` and `observation`, as LLaMA-Factory has them; what else a message holds stays beside its text.
pub(super) fn sharegpt(turns: Vec<ConversationTurn>) -> Result<Map<String, Value>, StageError> {
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
                    let message = "`sharegpt` tells results of tools by their order, which here is not that of the calls";
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

/// A question and its answer under two names; system messages come first in the question, since these formats
/// have no separate field for them.
pub(super) fn pair(
    turns: &[ConversationTurn],
    format: &str,
    ask: &str,
    reply: &str,
) -> Result<Map<String, Value>, StageError> {
    let is_system =
        |turn: &&ConversationTurn| matches!(text_of(turn, "role").as_str(), "system" | "developer");
    let system: Vec<&ConversationTurn> = turns.iter().take_while(is_system).collect();
    let [question, answer] = &turns[system.len()..] else { return Err(not_a_pair(turns, format)) };
    if text_of(question, "role") != "user" || text_of(answer, "role") != "assistant" {
        return Err(not_a_pair(turns, format));
    }
    let mut texts = Vec::with_capacity(turns.len());
    for turn in turns {
        if let Some(key) = turn.iter().find(|(key, value)| is_beyond_text(key, value)).map(|(key, _)| key) {
            let role = text_of(turn, "role");
            return Err(no_place(format!(
                "`{format}` has no place for `{key}`, which a turn of `{role}` has"
            )));
        }
        let text = plain_text(turn).filter(|_| !turn.get("content").is_none_or(Value::is_null));
        texts.push(text.ok_or_else(|| {
            let role = text_of(turn, "role");
            no_place(format!("`{format}` has no place for a content that is no text, in a turn of `{role}`"))
        })?);
    }
    let answer = texts.pop().unwrap_or_default();
    let mut line = Map::new();
    line.insert(ask.into(), texts.join("\n\n").into());
    if ask == "instruction" {
        line.insert("input".into(), "".into());
    }
    line.insert(reply.into(), answer.into());
    Ok(line)
}

fn not_a_pair(turns: &[ConversationTurn], format: &str) -> StageError {
    let roles: Vec<String> = turns.iter().map(|turn| text_of(turn, "role")).collect();
    let listed = match roles.len() {
        ..=8 => roles.join(", "),
        many => format!("{}, ... ({many} turns)", roles[..8].join(", ")),
    };
    no_place(format!(
        "`{format}` holds one question and its answer, and this conversation has the turns {listed}; `messages` and \
         `sharegpt` hold any"
    ))
}

fn no_place(message: String) -> StageError {
    StageError::new("format", message)
}

/// Whether a key of a message has a meaning that the text alone does not express. A weight of 1 is the default of
/// every turn.
fn is_beyond_text(key: &str, value: &Value) -> bool {
    match key {
        "role" | "content" => false,
        "weight" => !value.is_null() && value.as_f64() != Some(1.0),
        _ => !value.is_null() && !value.as_array().is_some_and(Vec::is_empty) && value.as_str() != Some(""),
    }
}

/// The text of a content, also in parts that are all text; a missing content is the empty text.
fn plain_text(turn: &ConversationTurn) -> Option<String> {
    match turn.get("content") {
        Some(Value::String(text)) => Some(text.clone()),
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::Array(parts)) => {
            parts.iter().map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        Some(_) => None,
    }
}

fn text_of(turn: &ConversationTurn, key: &str) -> String {
    turn.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The tool calls of a turn, including the older `function_call`.
fn calls(turn: &ConversationTurn) -> Vec<Value> {
    match turn.get("tool_calls").and_then(Value::as_array) {
        Some(calls) => calls.clone(),
        None => turn.get("function_call").filter(|call| call.is_object()).cloned().into_iter().collect(),
    }
}

/// One call as an object, several as a list of them, as JSON text: name and arguments.
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
