//! A conversation: its turns, the order that trainers expect, and the formats for a single exchange.
//!
//! Messages are written completely. A format that cannot represent part of a conversation refuses it: a record
//! that is rejected with its reason can be written in another format, but half a conversation is wrong training
//! data.

use serde_json::{Map, Value};

use crate::llm::SHARED_CHARS;
use crate::stage::StageError;

/// A message with all of its fields.
pub(crate) type ConversationTurn = Map<String, Value>;

/// A turn that consists of a text only.
pub(crate) fn turn(role: &str, content: &str) -> ConversationTurn {
    Map::from_iter([("role".to_owned(), Value::from(role)), ("content".to_owned(), Value::from(content))])
}

/// The turns of the list of messages in `field`, without what concerns how they are sent.
pub(crate) fn turns(messages: &Value, field: &str) -> Result<Vec<ConversationTurn>, StageError> {
    let wrong = || StageError::new("fields", format!("field `{field}` is not a list of roles and contents"));
    let list = messages.as_array().ok_or_else(wrong)?;
    if list.is_empty() {
        return Err(StageError::new("fields", format!("field `{field}` is an empty list")));
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

/// The turns with a system message at the beginning: only one, since chat templates refuse or ignore a second one.
pub(crate) fn with_system(system: &str, mut turns: Vec<ConversationTurn>) -> Vec<ConversationTurn> {
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

/// Whose turn is the last of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastTurn {
    /// The assistant's: the conversation is training data.
    Assistant,
    /// The user's or a tool's: the model in training answers it.
    Asker,
}

/// Checks what trainers and chat templates expect of a conversation: the user begins, roles alternate, tools answer
/// calls only, and no content is empty. System messages may occur anywhere.
pub(super) fn check_order(turns: &[ConversationTurn], last: LastTurn) -> Result<(), StageError> {
    let mut before = "";
    let mut called = false;
    for turn in turns {
        let role = match turn.get("role").and_then(Value::as_str).unwrap_or_default() {
            "function" => "tool",
            "developer" => "system",
            role => role,
        };
        let calls = role == "assistant" && !calls(turn).is_empty();
        if !calls && is_blank(turn) {
            return Err(no_place(format!("a turn of `{role}` is empty")));
        }
        let follows = match role {
            "system" => continue,
            "user" => matches!(before, "" | "assistant") && !called,
            "assistant" => matches!(before, "user" | "tool"),
            "tool" => before == "tool" || called,
            _ => {
                let roles = "`system`, `user`, `assistant`, `tool`";
                return Err(no_place(format!("`{role}` is no role of a conversation; there are {roles}")));
            }
        };
        if !follows {
            let place = if before.is_empty() { "at the beginning" } else { "out of turn" };
            let listed = listed_roles(turns);
            return Err(no_place(format!(
                "a turn of `{role}` stands {place}; the conversation has the turns {listed}"
            )));
        }
        called = calls;
        before = role;
    }
    let ends = match last {
        LastTurn::Assistant => before == "assistant",
        LastTurn::Asker => matches!(before, "user" | "tool"),
    };
    if ends {
        return Ok(());
    }
    let wanted = if last == LastTurn::Assistant { "the assistant's" } else { "the user's, or a tool's" };
    Err(no_place(format!(
        "the last turn is not {wanted}; the conversation has the turns {}",
        listed_roles(turns)
    )))
}

/// Whether a content is blank. Parts that are not text are not blank.
fn is_blank(turn: &ConversationTurn) -> bool {
    plain_text(turn).is_some_and(|text| text.trim().is_empty())
}

/// A list of messages that consist of a role and a text; `format` cannot represent anything else.
pub(super) fn plain_messages(turns: &[ConversationTurn], format: &str) -> Result<Value, StageError> {
    let mut list = Vec::with_capacity(turns.len());
    for turn in turns {
        let text = only_text(turn, format)?;
        list.push(Value::Object(self::turn(&text_of(turn, "role"), &text)));
    }
    Ok(Value::Array(list))
}

/// The text of a turn that contains nothing else.
pub(super) fn only_text(turn: &ConversationTurn, format: &str) -> Result<String, StageError> {
    let role = text_of(turn, "role");
    if let Some((key, _)) = turn.iter().find(|(key, value)| is_beyond_text(key, value)) {
        return Err(no_place(format!("`{format}` has no place for `{key}`, which a turn of `{role}` has")));
    }
    let text = plain_text(turn).filter(|_| !turn.get("content").is_none_or(Value::is_null));
    text.ok_or_else(|| {
        no_place(format!("`{format}` has no place for a content that is no text, in a turn of `{role}`"))
    })
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
    let mut texts =
        turns.iter().map(|turn| only_text(turn, format)).collect::<Result<Vec<String>, StageError>>()?;
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
    let listed = listed_roles(turns);
    no_place(format!(
        "`{format}` holds one question and its answer, and this conversation has the turns {listed}; `messages` and \
         `sharegpt` hold any"
    ))
}

fn listed_roles(turns: &[ConversationTurn]) -> String {
    let roles: Vec<String> = turns.iter().map(|turn| text_of(turn, "role")).collect();
    match roles.len() {
        ..=8 => roles.join(", "),
        many => format!("{}, ... ({many} turns)", roles[..8].join(", ")),
    }
}

pub(super) fn no_place(message: String) -> StageError {
    StageError::new("format", message)
}

/// Whether a key of a message has a meaning that the text alone does not express. A weight of 1 is the default of
/// every turn.
pub(super) fn is_beyond_text(key: &str, value: &Value) -> bool {
    match key {
        "role" | "content" => false,
        "weight" => !value.is_null() && value.as_f64() != Some(1.0),
        _ => !value.is_null() && !value.as_array().is_some_and(Vec::is_empty) && value.as_str() != Some(""),
    }
}

/// The text of a content, also in parts that are all text; a missing content is the empty text.
pub(super) fn plain_text(turn: &ConversationTurn) -> Option<String> {
    match turn.get("content") {
        Some(Value::String(text)) => Some(text.clone()),
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::Array(parts)) => {
            parts.iter().map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        Some(_) => None,
    }
}

pub(super) fn text_of(turn: &ConversationTurn, key: &str) -> String {
    turn.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The tool calls of a turn, including the older `function_call`.
pub(super) fn calls(turn: &ConversationTurn) -> Vec<Value> {
    match turn.get("tool_calls").and_then(Value::as_array) {
        Some(calls) => calls.clone(),
        None => turn.get("function_call").filter(|call| call.is_object()).cloned().into_iter().collect(),
    }
}
