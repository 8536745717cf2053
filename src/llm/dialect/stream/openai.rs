//! OpenAI's events: chunks of an answer's choices, for chat and raw completions.
//!
//! Part of `stream`. Each chunk has fragments of choices, identified by their `index`, under `delta`, or as `text` in
//! raw completions. Fields beside the choices (the model, the usage, whatever a server adds) keep their last value.

use serde_json::{Map, Value, json};

use super::EventEffect;
use super::merge::{ENTRY, NEW, has_output, merge, merge_fields, merge_latest, size};

#[derive(Debug, Default)]
pub(super) struct ChunkAssembler {
    /// All fields beside the choices.
    body: Map<String, Value>,
    choices: Vec<StreamedChoice>,
    /// Whether a chunk had a finish reason, even null: then a complete answer has one at its end.
    names_reasons: bool,
    /// A complete answer, which some servers send last.
    whole: Option<Value>,
    wholes: u32,
    /// The first event that was not a chunk.
    stray: Option<Value>,
}

#[derive(Debug)]
struct StreamedChoice {
    index: u64,
    fields: Map<String, Value>,
    is_finished: bool,
}

impl ChunkAssembler {
    pub(super) fn take(&mut self, chunk: Value) -> EventEffect {
        if is_whole(&chunk) {
            let effect = EventEffect { size: size(&chunk), wrote: true, ended: false };
            self.wholes = self.wholes.saturating_add(1);
            self.whole = Some(chunk);
            return effect;
        }
        let Value::Object(mut chunk) = chunk else { return self.keep_stray(chunk) };
        let mut effect = EventEffect::default();
        match chunk.shift_remove("choices") {
            Some(Value::Array(choices)) => {
                for choice in choices {
                    effect.wrote |= has_output(&choice);
                    effect.size += self.take_choice(choice);
                }
            }
            Some(_) => {}
            None if chunk.keys().any(|name| is_message_field(name)) => {
                return self.keep_stray(Value::Object(chunk));
            }
            None => {}
        }
        for (name, value) in chunk {
            let kept = self.body.entry(name);
            let kept = kept.or_insert_with(|| {
                effect.size += NEW;
                Value::Null
            });
            effect.size += merge_latest(kept, value);
        }
        effect
    }

    fn take_choice(&mut self, choice: Value) -> usize {
        let Value::Object(mut choice) = choice else { return 0 };
        let index = choice.shift_remove("index").and_then(|index| index.as_u64()).unwrap_or(0);
        let mut grown = 0;
        let at = self.choices.iter().position(|kept| kept.index == index);
        let at = at.unwrap_or_else(|| {
            grown += ENTRY;
            self.choices.push(StreamedChoice { index, fields: Map::new(), is_finished: false });
            self.choices.len() - 1
        });
        let kept = &mut self.choices[at];
        // Gemini used this name for a while, with a null under the other.
        if let Some(reason) = choice.shift_remove("finishReason").filter(Value::is_string) {
            choice.insert("finish_reason".to_owned(), reason);
        }
        if let Some(reason) = choice.get("finish_reason") {
            self.names_reasons = true;
            kept.is_finished |= !matches!(reason, Value::Null) && reason.as_str() != Some("");
        }
        // Beside a fragment, Perplexity's `message` is everything so far.
        let (delta, message) = (choice.shift_remove("delta"), choice.shift_remove("message"));
        let fragment = delta.filter(Value::is_object).or(message).filter(Value::is_object);
        if let Some(fragment) = fragment {
            let message = kept.fields.entry("message").or_insert_with(|| json!({}));
            grown += merge(message, "message", fragment);
        }
        grown + merge_fields(&mut kept.fields, choice)
    }

    fn keep_stray(&mut self, value: Value) -> EventEffect {
        if self.stray.is_some() {
            return EventEffect::default();
        }
        let size = size(&value);
        self.stray = Some(value);
        EventEffect { size, ..EventEffect::default() }
    }

    /// Returns the body of the complete answer, or why there is none. `ended` says whether the server ended the
    /// stream, `asked` is the number of choices that were asked for.
    pub(super) fn into_body(self, ended: bool, asked: u64) -> Result<Value, &'static str> {
        match self.whole {
            Some(whole) if self.wholes == 1 && (ended || is_finished(&whole)) => {
                return Ok(with_usage(whole, self.body));
            }
            Some(_) if self.wholes == 1 => return Err("the stream ended in the middle"),
            // Several events claim to be complete answers; it is unknown which one is.
            Some(_) => return Err("the stream has several answers, of which none is the whole"),
            None => {}
        }
        if self.choices.is_empty() {
            return match self.stray {
                Some(stray) => Ok(stray),
                // Classified like a body without choices.
                None if ended => Ok(Value::Object(self.body)),
                None => Err("the stream ended before anything was said"),
            };
        }
        let is_finished = self.choices.iter().all(|choice| choice.is_finished);
        if !is_finished && !ended {
            return Err("the stream ended in the middle");
        }
        // The others had not begun when the stream broke off.
        if !ended && (self.choices.len() as u64) < asked {
            return Err("the stream ended before all choices had begun");
        }
        // Gateways properly end a stream that broke off behind them.
        if !is_finished && self.names_reasons {
            return Err("the stream ended without a finish reason");
        }
        let mut choices = self.choices;
        choices.sort_by_key(|choice| choice.index);
        let choices = choices.into_iter().map(|choice| {
            let mut fields = choice.fields;
            fields.insert("index".to_owned(), json!(choice.index));
            finish_tool_calls(&mut fields);
            Value::Object(fields)
        });
        let mut body = self.body;
        body.insert("choices".to_owned(), choices.collect());
        Ok(Value::Object(body))
    }
}

/// Whether a chunk is a complete answer, as sent without streaming.
fn is_whole(chunk: &Value) -> bool {
    chunk.get("object").and_then(Value::as_str) == Some("chat.completion")
        && chunk.pointer("/choices/0/message").is_some_and(Value::is_object)
        && !chunk.pointer("/choices/0/delta").is_some_and(Value::is_object)
}

/// Whether each choice of an answer has a finish reason.
fn is_finished(whole: &Value) -> bool {
    let choices = whole.get("choices").and_then(Value::as_array);
    let reason = |choice: &Value| choice.get("finish_reason").and_then(Value::as_str).map(str::is_empty);
    choices.is_some_and(|choices| choices.iter().all(|choice| reason(choice) == Some(false)))
}

/// Adds the usage that arrived separately to an answer, if it has none of its own.
fn with_usage(mut whole: Value, mut beside: Map<String, Value>) -> Value {
    if let (Some(fields), Some(usage)) = (whole.as_object_mut(), beside.shift_remove("usage"))
        && fields.get("usage").is_none_or(Value::is_null)
    {
        fields.insert("usage".to_owned(), usage);
    }
    whole
}

/// Whether a field is one in which servers describe an error.
fn is_message_field(name: &str) -> bool {
    matches!(name, "message" | "detail" | "msg" | "errors" | "title")
}

/// Sorts tool calls and removes the `index` that identifies them in a stream. Empty fragments, which some servers send,
/// are dropped.
fn finish_tool_calls(choice: &mut Map<String, Value>) {
    let calls = choice.get_mut("message").and_then(|message| message.get_mut("tool_calls"));
    let Some(calls) = calls.and_then(Value::as_array_mut) else { return };
    let has = |call: &Value, at: &str| {
        call.pointer(at).is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
    };
    calls.retain(|call| {
        ["/id", "/function/name", "/function/arguments", "/custom"].iter().any(|at| has(call, at))
    });
    calls.sort_by_key(|call| call.get("index").and_then(Value::as_u64));
    for call in calls.iter_mut().filter_map(Value::as_object_mut) {
        call.shift_remove("index");
    }
}
