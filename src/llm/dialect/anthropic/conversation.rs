//! Encodes a conversation in Anthropic's blocks: texts, images, tool calls and their results.
//!
//! Records hold conversations in OpenAI's format, as data sets do. In Anthropic's, a call is a block of the assistant's
//! message, and results are blocks of the user message that follows.

use serde_json::{Map, Value, json};

use crate::llm::Message;
use crate::llm::classify::{Failure, Verdict};
use crate::llm::images::{Images, without_start};

/// Encodes the messages, without system text. Shared prefixes are marked for the cache in the first `marks` messages
/// that have one.
pub(super) fn encode(
    messages: &[&Message],
    mut marks: usize,
    images: &mut Images,
) -> Result<Vec<Value>, Failure> {
    let mut encoded: Vec<Value> = Vec::with_capacity(messages.len());
    let mut after_result = false;
    for message in messages {
        let result = message.role == "tool";
        if let Some(blocks) = encoded.last_mut().filter(|_| result && after_result) {
            // The results of parallel calls belong into one message.
            if let Some(blocks) = blocks["content"].as_array_mut() {
                blocks.push(result_block(message)?);
            }
            continue;
        }
        encoded.push(match result {
            true => json!({"role": "user", "content": [result_block(message)?]}),
            false => encode_message(message, &mut marks, images)?,
        });
        after_result = result;
    }
    Ok(encoded)
}

/// Encodes a message other than a tool result. Images come before the text, as the provider recommends; an empty text
/// beside other blocks is refused.
fn encode_message(message: &Message, marks: &mut usize, images: &mut Images) -> Result<Value, Failure> {
    let calls = message.more.get("tool_calls").and_then(Value::as_array);
    let can_mark = *marks > 0 && message.parts.is_none();
    let shared = message.content.get(..message.shared).filter(|shared| can_mark && !shared.trim().is_empty());
    if message.images.is_empty() && message.parts.is_none() && calls.is_none() && shared.is_none() {
        return Ok(json!({"role": message.role, "content": message.content}));
    }
    let mut blocks = Vec::with_capacity(1 + message.images.len());
    for (image, url) in message.images.iter().zip(images) {
        let mut block =
            json!({"type": "image", "source": {"type": "base64", "media_type": image.media_type}});
        // Moved, since `json!` would copy it.
        block["source"]["data"] = Value::String(without_start(url, image));
        blocks.push(block);
    }
    match &message.parts {
        Some(Value::Array(parts)) => {
            for part in parts {
                blocks.push(part_block(part)?);
            }
        }
        _ => {
            let own = &message.content[shared.map_or(0, str::len)..];
            *marks -= usize::from(shared.is_some());
            blocks.extend(shared.map(cached_text));
            // The API refuses a blank text like an empty one.
            if !own.trim().is_empty() {
                blocks.push(json!({"type": "text", "text": own}));
            }
        }
    }
    for call in calls.into_iter().flatten() {
        blocks.push(call_block(call)?);
    }
    Ok(json!({"role": message.role, "content": blocks}))
}

/// A text block with a cache mark: the server caches the prompt up to its end for some minutes.
pub(super) fn cached_text(text: &str) -> Value {
    json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}})
}

/// Converts a content part from OpenAI's format; one in Anthropic's format is kept.
fn part_block(part: &Value) -> Result<Value, Failure> {
    let Some(url) = part.pointer("/image_url/url").and_then(Value::as_str) else {
        return match part.get("type").and_then(Value::as_str) {
            Some("input_audio" | "file") => Err(wrong("the API takes no audio and no files of this kind")),
            _ => Ok(part.clone()),
        };
    };
    let source = match url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((media_type, data)) => json!({"type": "base64", "media_type": media_type, "data": data}),
        None => json!({"type": "url", "url": url}),
    };
    Ok(json!({"type": "image", "source": source}))
}

fn call_block(call: &Value) -> Result<Value, Failure> {
    if call.get("type").and_then(Value::as_str) == Some("tool_use") {
        return Ok(call.clone());
    }
    let (Some(id), Some(name)) = (call.get("id"), call.pointer("/function/name")) else {
        return Err(wrong("a call of a tool has no `id` or no `function.name`"));
    };
    let input = match call.pointer("/function/arguments") {
        Some(Value::String(text)) if text.trim().is_empty() => json!({}),
        Some(Value::String(text)) => serde_json::from_str(text)
            .map_err(|error| wrong(&format!("the arguments of a call are no JSON: {error}")))?,
        Some(object @ Value::Object(_)) => object.clone(),
        _ => json!({}),
    };
    Ok(json!({"type": "tool_use", "id": id, "name": name, "input": input}))
}

fn result_block(message: &Message) -> Result<Value, Failure> {
    let Some(id) = message.more.get("tool_call_id") else {
        return Err(wrong("the result of a tool has no `tool_call_id`"));
    };
    let content = match &message.parts {
        Some(Value::Array(parts)) => Value::Array(parts.iter().map(part_block).collect::<Result<_, _>>()?),
        _ => json!(message.content),
    };
    Ok(json!({"type": "tool_result", "tool_use_id": id, "content": content}))
}

/// Converts tools to Anthropic's format; those in it already are kept.
pub(super) fn tools(tools: Value) -> Value {
    let Value::Array(list) = tools else { return tools };
    let encoded = |tool: Value| {
        let Some(function) = tool.get("function").and_then(Value::as_object) else { return tool };
        let mut encoded = Map::new();
        for (name, theirs) in
            [("name", "name"), ("description", "description"), ("parameters", "input_schema")]
        {
            if let Some(value) = function.get(name).filter(|value| !value.is_null()) {
                encoded.insert(theirs.to_owned(), value.clone());
            }
        }
        encoded.entry("input_schema").or_insert_with(|| json!({"type": "object"}));
        Value::Object(encoded)
    };
    Value::Array(list.into_iter().map(encoded).collect())
}

fn wrong(message: &str) -> Failure {
    Failure::new(Verdict::RejectRecord, "request", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(messages: &Value) -> Result<Value, Failure> {
        let read: Vec<Message> =
            messages.as_array().unwrap().iter().map(|message| Message::read(message).unwrap()).collect();
        let messages: Vec<&Message> = read.iter().collect();
        encode(&messages, 0, &mut Images::default()).map(Value::Array)
    }

    #[test]
    fn calls_and_results_become_blocks() {
        let call = |id: &str, city: &str| {
            json!({"id": id, "type": "function",
                "function": {"name": "weather", "arguments": format!("{{\"city\": \"{city}\"}}")}})
        };
        let found = conversation(&json!([
            {"role": "user", "content": "Oslo and Bergen?"},
            {"role": "assistant", "content": null, "tool_calls": [call("a", "Oslo"), call("b", "Bergen")]},
            {"role": "tool", "tool_call_id": "a", "content": "12 C"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "9 C"}]},
            {"role": "assistant", "content": "12 and 9.", "weight": 1},
        ]));
        let expected = json!([
            {"role": "user", "content": "Oslo and Bergen?"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Oslo"}},
                {"type": "tool_use", "id": "b", "name": "weather", "input": {"city": "Bergen"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "12 C"},
                {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "9 C"}]},
            ]},
            {"role": "assistant", "content": "12 and 9."},
        ]);
        assert_eq!(found.ok(), Some(expected));
    }

    #[test]
    fn parts_become_blocks() {
        let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
        let found = conversation(&json!([{"role": "user", "content": [
            {"type": "text", "text": "Which?"}, image("data:image/png;base64,AAAA"), image("https://x.org/b.png"),
        ]}]));
        let expected = json!([{"role": "user", "content": [
            {"type": "text", "text": "Which?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "image", "source": {"type": "url", "url": "https://x.org/b.png"}},
        ]}]);
        assert_eq!(found.ok(), Some(expected));
    }

    #[test]
    fn what_the_api_cannot_express_is_refused() {
        let check = |message: Value, expected: &str| {
            let failure = conversation(&json!([message])).err().unwrap();
            assert_eq!((failure.verdict, &*failure.class), (Verdict::RejectRecord, "request"));
            assert!(failure.message.contains(expected), "{}", failure.message);
        };
        check(json!({"role": "tool", "content": "12 C"}), "no `tool_call_id`");
        check(json!({"role": "assistant", "tool_calls": [{"id": "a"}]}), "no `function.name`");
        let cut = json!([{"id": "a", "function": {"name": "f", "arguments": "{"}}]);
        check(json!({"role": "assistant", "tool_calls": cut}), "no JSON");
        check(json!({"role": "user", "content": [{"type": "input_audio"}]}), "no audio");
    }

    #[test]
    fn tools_are_worded_too() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let theirs = json!({"name": "f", "input_schema": schema});
        let ours =
            json!({"type": "function", "function": {"name": "f", "description": null, "parameters": schema}});
        assert_eq!(tools(json!([ours, theirs])), json!([theirs, theirs]));
    }
}
