//! The provider that needs no server: answers made of the record's own words.
//!
//! A planned question (a record with `question_type` and `section`) gets a question, an answer and three
//! reasoning steps quoted from its section; a record with drawn `injections` gets a user's question; any
//! other request gets its schema filled from the record's longest text that its last user message holds, or
//! from the message. Same record, same answer: nothing here is random and nothing is kept between records.
//!
//! ```text
//! record -> user_input -> text
//! record -> passage (sentences, terms, subject) -> question / fact / judge / pair -> JSON text
//! request -> generic (schema + text) ------------------------------------------^
//! ```

mod draft;
mod english;
mod fact;
mod generic;
mod judge;
mod language;
mod layout;
mod pair;
mod passage;
mod phrases;
mod question;
mod sentences;
mod subject;
mod terms;
mod user_input;
mod words;

#[cfg(test)]
mod tests;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Completion, HEURISTIC, Model, ModelError, ModelRequest, Usage};
use crate::record::Record;

/// Answers every request at once from the record, or from the request itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heuristic;

impl Model for Heuristic {
    fn provider(&self) -> &'static str {
        HEURISTIC
    }

    fn is_paid(&self) -> bool {
        false
    }

    fn complete<'a>(
        &'a self,
        request: &'a ModelRequest,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>> {
        let text = answer(request, record);
        let (finish_reason, usage) = (Some("stop".to_owned()), Usage::of(0, 0));
        let completion = Completion { text, finish_reason, usage, ..Completion::default() };
        Box::pin(std::future::ready(Ok(completion)))
    }
}

/// The answer's text: JSON where a schema or a planned question asks for it, else plain text.
fn answer(request: &ModelRequest, record: &Record) -> String {
    let last = request.messages.iter().rev().find(|message| message.role == "user");
    let message = last.map_or("", |message| message.content.as_str());
    let source = own_text(record, message).unwrap_or(message);
    let pair = question::pair(record);
    match (&request.schema, pair) {
        (None, Some(pair)) => pair_json(&pair).to_string(),
        (Some(schema), Some(pair)) => {
            let made = pair_json(&pair);
            if takes_pair(schema, &pair) {
                made.to_string()
            } else {
                generic::fill(schema, source, Some(&made)).to_string()
            }
        }
        (Some(schema), None) => {
            let made = user_input::text(record).map(|text| json!({"question": text, "text": text}));
            generic::fill(schema, source, made.as_ref()).to_string()
        }
        (None, None) => user_input::text(record).unwrap_or_else(|| generic::gist(source)),
    }
}

/// Fields that earlier stages and this one make; the rest is what a message is about.
const MADE: [&str; 6] = ["prompt", "completion", "messages", "reasoning", "source", "group"];
/// A shorter text, in characters, is a name or a label rather than what a message is about.
const TEXT: usize = 24;

/// The longest text of the record that the message holds as it is.
fn own_text<'r>(record: &'r Record, message: &str) -> Option<&'r str> {
    let mut longest = None;
    for (_, value) in record.fields.iter().filter(|(name, _)| !MADE.contains(&name.as_str())) {
        longest_text(value, message, 0, &mut longest);
    }
    longest
}

fn longest_text<'r>(value: &'r Value, message: &str, depth: usize, longest: &mut Option<&'r str>) {
    match value {
        Value::String(text) => {
            let text = text.trim();
            let least = longest.map_or(TEXT - 1, str::len);
            if text.len() > least && text.chars().count() >= TEXT && message.contains(text) {
                *longest = Some(text);
            }
        }
        Value::Array(values) if depth < 4 => {
            values.iter().for_each(|value| longest_text(value, message, depth + 1, longest));
        }
        Value::Object(fields) if depth < 4 => {
            fields.values().for_each(|value| longest_text(value, message, depth + 1, longest));
        }
        _ => {}
    }
}

fn pair_json(pair: &draft::Pair) -> Value {
    json!({"question": pair.question, "answer": pair.answer, "reasoning_steps": pair.steps})
}

/// Whether a pair meets a schema as it is: the three properties, texts within their limits.
fn takes_pair(schema: &Value, pair: &draft::Pair) -> bool {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return false };
    let text = |name: &str, value: &str| properties.get(name).is_some_and(|one| takes_text(one, value));
    let steps = properties.get("reasoning_steps").is_some_and(|steps| {
        let size = |name: &str| steps.get(name).and_then(Value::as_u64);
        let three = size("minItems").unwrap_or(0) <= 3 && size("maxItems").unwrap_or(3) >= 3;
        three && steps.get("items").is_some_and(|one| pair.steps.iter().all(|step| takes_text(one, step)))
    });
    properties.len() == 3 && text("question", &pair.question) && text("answer", &pair.answer) && steps
}

/// Whether a schema is of a text that may be `value`.
fn takes_text(schema: &Value, value: &str) -> bool {
    let plain = ["enum", "const", "pattern"].iter().all(|limit| schema.get(limit).is_none());
    let size = |name: &str| schema.get(name).and_then(Value::as_u64);
    let long = value.chars().count() as u64;
    let fits = size("minLength").unwrap_or(0) <= long && size("maxLength").unwrap_or(u64::MAX) >= long;
    plain && fits && schema.get("type").and_then(Value::as_str) == Some("string")
}
