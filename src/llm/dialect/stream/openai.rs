//! OpenAI's events: chunks of an answer's choices, chat's and raw completions' alike.
//!
//! Part of `stream`. Each chunk has pieces of choices, told apart by their `index`, under `delta`, or as `text` in raw
//! completions. What stands beside the choices (the model, the usage, whatever a server adds) is kept from the last
//! chunk that says it.

use serde_json::{Map, Value, json};

use super::Brought;
use super::merge::{ENTRY, NEW, keep_last, merge, merge_fields, says_anything, size};

#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// All that stands beside the choices.
    body: Map<String, Value>,
    choices: Vec<Choice>,
    /// Whether a chunk named a finish reason, be it null: then an answer has one at its end.
    names_reasons: bool,
    /// A whole answer, which some servers send last.
    whole: Option<Value>,
    wholes: u32,
    /// The first that came in place of a chunk.
    stray: Option<Value>,
}

#[derive(Debug)]
struct Choice {
    index: u64,
    fields: Map<String, Value>,
    is_finished: bool,
}

impl Chunks {
    pub(super) fn take(&mut self, chunk: Value) -> Brought {
        if is_whole(&chunk) {
            let brought = Brought { size: size(&chunk), wrote: true, ended: false };
            self.wholes = self.wholes.saturating_add(1);
            self.whole = Some(chunk);
            return brought;
        }
        let Value::Object(mut chunk) = chunk else { return self.keep_stray(chunk) };
        let mut brought = Brought::default();
        match chunk.shift_remove("choices") {
            Some(Value::Array(choices)) => {
                for choice in choices {
                    brought.wrote |= says_anything(&choice);
                    brought.size += self.take_choice(choice);
                }
            }
            Some(_) => {}
            None if chunk.keys().any(|name| is_words(name)) => return self.keep_stray(Value::Object(chunk)),
            None => {}
        }
        for (name, value) in chunk {
            let kept = self.body.entry(name);
            let kept = kept.or_insert_with(|| {
                brought.size += NEW;
                Value::Null
            });
            brought.size += keep_last(kept, value);
        }
        brought
    }

    fn take_choice(&mut self, choice: Value) -> usize {
        let Value::Object(mut choice) = choice else { return 0 };
        let index = choice.shift_remove("index").and_then(|index| index.as_u64()).unwrap_or(0);
        let mut grown = 0;
        let at = self.choices.iter().position(|kept| kept.index == index);
        let at = at.unwrap_or_else(|| {
            grown += ENTRY;
            self.choices.push(Choice { index, fields: Map::new(), is_finished: false });
            self.choices.len() - 1
        });
        let kept = &mut self.choices[at];
        // Gemini's had this name for a while, beside a null under the other.
        if let Some(reason) = choice.shift_remove("finishReason").filter(Value::is_string) {
            choice.insert("finish_reason".to_owned(), reason);
        }
        if let Some(reason) = choice.get("finish_reason") {
            self.names_reasons = true;
            kept.is_finished |= !matches!(reason, Value::Null) && reason.as_str() != Some("");
        }
        // Beside a piece, Perplexity's `message` is all that has come so far.
        let (delta, message) = (choice.shift_remove("delta"), choice.shift_remove("message"));
        let piece = delta.filter(Value::is_object).or(message).filter(Value::is_object);
        if let Some(piece) = piece {
            let message = kept.fields.entry("message").or_insert_with(|| json!({}));
            grown += merge(message, "message", piece);
        }
        grown + merge_fields(&mut kept.fields, choice)
    }

    fn keep_stray(&mut self, value: Value) -> Brought {
        if self.stray.is_some() {
            return Brought::default();
        }
        let size = size(&value);
        self.stray = Some(value);
        Brought { size, ..Brought::default() }
    }

    /// The body of the whole answer, or why there is none. `ended` says whether the server said that no more comes,
    /// `asked` how many choices were asked for.
    pub(super) fn into_body(self, ended: bool, asked: u64) -> Result<Value, &'static str> {
        match self.whole {
            Some(whole) if self.wholes == 1 && (ended || is_finished(&whole)) => {
                return Ok(with_usage(whole, self.body));
            }
            Some(_) if self.wholes == 1 => return Err("the stream ended in the middle"),
            // Pieces that are called answers: which of them is the whole one, nobody knows.
            Some(_) => return Err("the stream has several answers, of which none is the whole"),
            None => {}
        }
        if self.choices.is_empty() {
            return match self.stray {
                Some(stray) => Ok(stray),
                // Judged like a body without choices.
                None if ended => Ok(Value::Object(self.body)),
                None => Err("the stream ended before anything was said"),
            };
        }
        let is_finished = self.choices.iter().all(|choice| choice.is_finished);
        if !is_finished && !ended {
            return Err("the stream ended in the middle");
        }
        // The others had not begun when it broke off.
        if !ended && (self.choices.len() as u64) < asked {
            return Err("the stream ended before all choices had begun");
        }
        // Gateways end a stream in order that broke behind them.
        if !is_finished && self.names_reasons {
            return Err("the stream ended without a finish reason");
        }
        let mut choices = self.choices;
        choices.sort_by_key(|choice| choice.index);
        let choices = choices.into_iter().map(|choice| {
            let mut fields = choice.fields;
            fields.insert("index".to_owned(), json!(choice.index));
            without_numbers(&mut fields);
            Value::Object(fields)
        });
        let mut body = self.body;
        body.insert("choices".to_owned(), choices.collect());
        Ok(Value::Object(body))
    }
}

/// Whether a chunk is an answer as it comes without streaming.
fn is_whole(chunk: &Value) -> bool {
    chunk.get("object").and_then(Value::as_str) == Some("chat.completion")
        && chunk.pointer("/choices/0/message").is_some_and(Value::is_object)
        && !chunk.pointer("/choices/0/delta").is_some_and(Value::is_object)
}

/// Whether each choice of an answer names its finish reason.
fn is_finished(whole: &Value) -> bool {
    let choices = whole.get("choices").and_then(Value::as_array);
    let reason = |choice: &Value| choice.get("finish_reason").and_then(Value::as_str).map(str::is_empty);
    choices.is_some_and(|choices| choices.iter().all(|choice| reason(choice) == Some(false)))
}

/// An answer with the usage that came apart from it, if it has none of its own.
fn with_usage(mut whole: Value, mut beside: Map<String, Value>) -> Value {
    if let (Some(fields), Some(usage)) = (whole.as_object_mut(), beside.shift_remove("usage"))
        && fields.get("usage").is_none_or(Value::is_null)
    {
        fields.insert("usage".to_owned(), usage);
    }
    whole
}

/// Whether a field is where servers say what is wrong.
fn is_words(name: &str) -> bool {
    matches!(name, "message" | "detail" | "msg" | "errors" | "title")
}

/// Puts calls in order and takes the numbers off them that tell them apart in a stream. What is no call, an empty piece
/// that some servers send, goes.
fn without_numbers(choice: &mut Map<String, Value>) {
    let calls = choice.get_mut("message").and_then(|message| message.get_mut("tool_calls"));
    let Some(calls) = calls.and_then(Value::as_array_mut) else { return };
    let says = |call: &Value, at: &str| {
        call.pointer(at).is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
    };
    calls.retain(|call| {
        ["/id", "/function/name", "/function/arguments", "/custom"].iter().any(|at| says(call, at))
    });
    calls.sort_by_key(|call| call.get("index").and_then(Value::as_u64));
    for call in calls.iter_mut().filter_map(Value::as_object_mut) {
        call.shift_remove("index");
    }
}
