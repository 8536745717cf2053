//! The conversation that `llm` continues: its messages are the question, and the answer becomes the next one.
//!
//! Messages are in OpenAI's format, as data sets have them, whichever API answered.

use serde_json::{Map, Value, json};

use super::{TOOL_CALLS, question};
use crate::llm::{Completion, Message};
use crate::record::Record;
use crate::stage::StageError;

/// The role of a model's messages.
const ASSISTANT: &str = "assistant";

/// The messages of a conversation that waits for an answer.
pub(super) fn messages(record: &Record, field: &str) -> Result<Vec<Message>, StageError> {
    let message = match record.get(field).and_then(Value::as_array).map(|messages| messages.last()) {
        Some(Some(last)) if is_answer(last) => format!(
            "the last message of `{field}` is the assistant's, which nothing follows yet; `add_message` adds one of the \
             user"
        ),
        Some(Some(_)) => return question(record, field),
        _ => format!("`{field}` is no list of messages"),
    };
    Err(StageError::new("input", message))
}

/// Adds the answer to the conversation in `field`, in place of an earlier answer to the same question that was not
/// accepted.
pub(super) fn put_answer(record: &mut Record, field: &str, completion: &Completion) {
    let answer = answer(completion);
    let Some(Value::Array(messages)) = record.fields.get_mut(field) else { return };
    if messages.last().is_some_and(is_answer) {
        messages.pop();
    }
    messages.push(answer);
}

fn is_answer(message: &Value) -> bool {
    message.get("role").is_some_and(|role| role == ASSISTANT)
}

fn answer(completion: &Completion) -> Value {
    let mut message = Map::new();
    message.insert("role".to_owned(), ASSISTANT.into());
    message.insert("content".to_owned(), completion.text.as_str().into());
    let calls = completion.more.as_ref().and_then(|more| more.tool_calls.as_ref()).and_then(Value::as_array);
    if let Some(calls) = calls.filter(|calls| !calls.is_empty()) {
        let calls: Vec<Value> = calls.iter().map(function_call).collect();
        message.insert(TOOL_CALLS.to_owned(), calls.into());
    }
    Value::Object(message)
}

/// A call of a tool in OpenAI's format; Anthropic's has the name and the input beside the id.
fn function_call(call: &Value) -> Value {
    match (call.get("name"), call.get("input")) {
        (Some(name), Some(input)) if call.get("function").is_none() => json!({
            "id": call.get("id"),
            "type": "function",
            "function": {"name": name, "arguments": input.to_string()},
        }),
        _ => call.clone(),
    }
}
