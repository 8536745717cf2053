//! Merges a fragment of a streamed answer into what has arrived before.
//!
//! Part of `stream`. Texts that a model writes are appended, lists are extended, objects are merged field by field, and
//! any other value replaces the previous one: servers repeat roles, ids and types in every event. Each function returns
//! by how many bytes of JSON the stored value grew.

use serde_json::{Map, Value, json};

/// Fields whose text arrives in fragments.
const GROWING: &[&str] = &[
    "content",
    "text",
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "thinking",
    "summary",
    "refusal",
    "arguments",
    "input",
];

/// The size of a new field besides its name and value.
pub(super) const NEW: usize = 8;
/// The size of a new choice, call or block. It is high since these are found by linear search, so there must be few.
pub(super) const ENTRY: usize = 1 << 10;

/// Merges a fragment of the field `name`.
pub(super) fn merge(kept: &mut Value, name: &str, fragment: Value) -> usize {
    let grows = GROWING.contains(&name);
    match (kept, fragment) {
        (_, Value::Null) => 0,
        (Value::String(text), Value::String(more)) if grows => {
            text.push_str(&more);
            more.len()
        }
        (Value::Array(list), Value::Array(calls)) if name == "tool_calls" => {
            calls.into_iter().map(|call| merge_call(list, call)).sum()
        }
        (Value::Array(list), Value::Array(more)) => {
            let grown = more.iter().map(size).sum();
            list.extend(more);
            grown
        }
        // Mistral sends reasoning as parts and the answer as text.
        (Value::Array(parts), Value::String(more)) if grows => add_text(parts, &more),
        (kept @ Value::String(_), Value::Array(parts)) if grows => {
            let text = kept.take();
            let before = parts.len();
            let mut list = Vec::with_capacity(before + 1);
            list.push(json!({"type": "text", "text": text}));
            let grown = parts.iter().map(size).sum();
            list.extend(parts);
            *kept = Value::Array(list);
            grown
        }
        (Value::Object(fields), Value::Object(more)) => merge_fields(fields, more),
        // Some servers leave repeated ids empty.
        (kept, Value::String(empty)) if empty.is_empty() && !kept.is_null() => 0,
        (kept @ Value::Null, Value::Array(calls)) if name == "tool_calls" => {
            *kept = Value::Array(Vec::new());
            merge(kept, name, Value::Array(calls))
        }
        (kept, fragment) => {
            let grown = size(&fragment).saturating_sub(size(kept));
            *kept = fragment;
            grown
        }
    }
}

/// Merges each field of an object.
pub(super) fn merge_fields(fields: &mut Map<String, Value>, more: Map<String, Value>) -> usize {
    let mut grown = 0;
    for (name, fragment) in more {
        match fields.get_mut(&name) {
            Some(kept) => grown += merge(kept, &name, fragment),
            None => {
                let mut kept = Value::Null;
                grown += name.len() + NEW + merge(&mut kept, &name, fragment);
                fields.insert(name, kept);
            }
        }
    }
    grown
}

/// Keeps the latest value, field by field: for usage, whose counts are totals, and for fields beside the choices. A
/// null, an empty text and a 0 replace nothing: some servers send these where they do not count.
pub(super) fn merge_latest(kept: &mut Value, said: Value) -> usize {
    match (kept, said) {
        (Value::Object(kept), Value::Object(said)) => {
            let mut grown = 0;
            for (name, value) in said {
                match kept.get_mut(&name) {
                    Some(before) => grown += merge_latest(before, value),
                    None => {
                        grown += name.len() + NEW + size(&value);
                        kept.insert(name, value);
                    }
                }
            }
            grown
        }
        (kept, said) => {
            let is_nothing = said.is_null() || said.as_str() == Some("") || said.as_f64() == Some(0.0);
            if is_nothing && !kept.is_null() {
                return 0;
            }
            let grown = size(&said).saturating_sub(size(kept));
            *kept = said;
            grown
        }
    }
}

/// Appends a text to parts: to the last one if that is a text.
fn add_text(parts: &mut Vec<Value>, more: &str) -> usize {
    if more.is_empty() {
        return 0;
    }
    let last = parts.last_mut().filter(|part| part.get("type").and_then(Value::as_str) == Some("text"));
    if let Some(Value::String(text)) = last.and_then(|part| part.get_mut("text")) {
        text.push_str(more);
        return more.len();
    }
    let part = json!({"type": "text", "text": more});
    let grown = size(&part);
    parts.push(part);
    grown
}

/// Merges a fragment of a tool call into the call that it belongs to.
fn merge_call(calls: &mut Vec<Value>, mut call: Value) -> usize {
    let Some(at) = call_at(calls, &call) else {
        let grown = ENTRY + size(&call);
        calls.push(call);
        return grown;
    };
    let mut grown = 0;
    // The first id is kept: some servers send a different one with each fragment.
    let has_id = calls[at].get("id").and_then(Value::as_str).is_some_and(|id| !id.is_empty());
    if let Some(id) = call.get_mut("id").filter(|_| has_id) {
        id.take();
    }
    // A name usually arrives whole, with every fragment at some servers, and may arrive in fragments.
    if let Some(Value::String(name)) = call.pointer_mut("/function/name").map(Value::take) {
        match calls[at].pointer_mut("/function/name") {
            Some(Value::String(kept)) if *kept != name => {
                kept.push_str(&name);
                grown += name.len();
            }
            Some(Value::String(_)) => {}
            _ => {
                if let Some(place) = call.pointer_mut("/function/name") {
                    *place = Value::String(name);
                }
            }
        }
    }
    grown + merge(&mut calls[at], "tool_call", call)
}

/// Returns the call that a fragment belongs to; none if it starts a new one.
fn call_at(calls: &[Value], call: &Value) -> Option<usize> {
    let text = |value: &Value, at: &str| {
        value.pointer(at).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (id, name) = (text(call, "/id"), text(call, "/function/name"));
    let Some(index) = call.get("index").filter(|index| !index.is_null()) else {
        // Without an index a call starts with its id, or arrives whole.
        return match (id, name) {
            (Some(id), _) => calls.iter().rposition(|kept| text(kept, "/id").as_ref() == Some(&id)),
            (None, Some(_)) => None,
            (None, None) => calls.len().checked_sub(1),
        };
    };
    let at = calls.iter().rposition(|kept| kept.get("index") == Some(index))?;
    let kept_id = text(&calls[at], "/id");
    // Gemini numbers all calls 0. Some servers send an id with each fragment, but the name only once.
    let is_another = name.is_some() && id.is_some() && kept_id.is_some() && id != kept_id;
    (!is_another).then_some(at)
}

/// Whether a fragment contains output of the model.
pub(super) fn has_output(fragment: &Value) -> bool {
    match fragment {
        Value::Object(fields) => fields.iter().any(|(name, value)| match value {
            Value::String(text) => !text.is_empty() && GROWING.contains(&&**name),
            Value::Array(calls) if name == "tool_calls" => !calls.is_empty(),
            value => has_output(value),
        }),
        Value::Array(list) => list.iter().any(has_output),
        _ => false,
    }
}

/// Returns the approximate size of a value as JSON, in bytes.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(list) => 2 + list.iter().map(|value| size(value) + 1).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(name, value)| name.len() + 4 + size(value)).sum::<usize>()
        }
    }
}
