//! The model provider that needs no server: it builds answers from the words of the record.
//!
//! A planned question (a record with `question_type` and `section`) gets a question, an answer and three reasoning
//! steps from the facts of its section, none of which mentions the section. A record with drawn `injections` gets a
//! user's question, a judge's question (`judging`) ratings of its texts, a question with `choices` the one whose
//! description fits the message best. Any other request has its schema filled from the longest text of the record
//! that the last user message contains, or from the message. The same record always gets the same answer: nothing is
//! random, and the cache shared by records (`recent_passages`) only saves work.
//!
//! ```text
//! record -> user_input -> text
//! record -> passage (sentences, terms, subject) -> question, fact, ... -> QaPair -> JSON text
//! request -> schema_answer (schema + text) -------------------------------------^
//! ```
//!
//! The wording of each language is data, in the YAML files in `wording/`.

mod choice;
mod draft;
mod english;
mod evidence;
mod fact;
mod language;
mod layout;
mod passage;
mod question;
mod rating;
mod reasoning;
mod recent_passages;
mod schema_answer;
mod sentence_questions;
mod sentences;
mod subject;
mod terms;
mod two_sections;
mod user_input;
mod wording;
mod words;

#[cfg(test)]
mod tests;

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::llm::{Completion, HEURISTIC, Model, ModelError, ModelRequest, Usage};
use crate::record::Record;

use self::recent_passages::RecentPassages;

/// Answers every request at once from the record, or from the request itself.
#[derive(Debug, Default)]
pub struct Heuristic {
    recent: RecentPassages,
}

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
        let completion = match request.choices.is_empty() {
            true => Completion { text: self.answer(request, record), ..Completion::default() },
            false => choice::answer(request, last_question(request)),
        };
        let (finish_reason, usage) = (Some("stop".to_owned()), Usage::of(0, 0));
        let completion = Completion { finish_reason, usage, ..completion };
        Box::pin(std::future::ready(Ok(completion)))
    }
}

impl Heuristic {
    /// The answer's text: JSON if a schema or a planned question asks for it, otherwise plain text.
    fn answer(&self, request: &ModelRequest, record: &Record) -> String {
        let judged = request.schema.as_ref().and_then(|schema| rating::answer(record, schema));
        if let Some(ratings) = judged {
            return ratings.to_string();
        }
        let message = last_question(request);
        let source = || own_text(record, message).unwrap_or(message);
        let pair = question::pair(record, &self.recent);
        match (&request.schema, pair) {
            (None, Some(pair)) => Value::Object(pair_fields(&pair, &Value::Null)).to_string(),
            (Some(schema), Some(pair)) => {
                let mut made = pair_fields(&pair, schema);
                if takes_pair(schema, &made) {
                    made.retain(|name, _| schema["properties"].get(name).is_some());
                    Value::Object(made).to_string()
                } else {
                    schema_answer::fill(schema, source(), Some(&Value::Object(made))).to_string()
                }
            }
            (Some(schema), None) => {
                let made = user_input::text(record).map(|text| json!({"question": text, "text": text}));
                schema_answer::fill(schema, source(), made.as_ref()).to_string()
            }
            (None, None) => user_input::text(record).unwrap_or_else(|| schema_answer::gist(source())),
        }
    }
}

/// The last message of the user.
fn last_question(request: &ModelRequest) -> &str {
    let last = request.messages.iter().rev().find(|message| message.role == "user");
    last.map_or("", |message| message.content.as_str())
}

/// Fields that stages set themselves; the others are what a message is about.
const MADE: [&str; 6] = ["prompt", "completion", "messages", "reasoning", "source", "group"];
/// A text with fewer characters is a name or a label rather than what a message is about.
const TEXT: usize = 24;

/// The longest text of the record that the message contains unchanged.
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

/// The pair as the fields of an answer, with the reasoning before the answer. `evidence` is included if the schema
/// asks for it: as many quotes as it requires, or only the first if it is a text.
fn pair_fields(pair: &draft::QaPair, schema: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Some(wanted) = schema.get("properties").and_then(|properties| properties.get("evidence")) {
        fields.insert("evidence".to_owned(), evidence_field(&pair.evidence, wanted));
    }
    fields.insert("question".to_owned(), json!(pair.question));
    fields.insert("reasoning_steps".to_owned(), json!(pair.steps));
    fields.insert("answer".to_owned(), json!(pair.answer));
    fields
}

fn evidence_field(quotes: &[String], wanted: &Value) -> Value {
    let size = |schema: &Value, name: &str| {
        schema.get(name).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok())
    };
    let fitting = |quote: &String, schema: &Value| match size(schema, "maxLength") {
        Some(most) => evidence::beginning(quote, most).to_owned(),
        None => quote.clone(),
    };
    if wanted.get("type").and_then(Value::as_str) == Some("string") {
        return json!(quotes.first().map(|quote| fitting(quote, wanted)).unwrap_or_default());
    }
    let items = wanted.get("items").unwrap_or(&Value::Null);
    let most = size(wanted, "maxItems").unwrap_or(usize::MAX);
    let mut taken: Vec<String> = quotes.iter().take(most).map(|quote| fitting(quote, items)).collect();
    // If more quotes than sentences are required, the longest ones are halved.
    while taken.len() < size(wanted, "minItems").unwrap_or(0).min(most) {
        if !evidence::halve_longest(&mut taken) {
            break;
        }
    }
    json!(taken)
}

/// Whether the pair's fields match a schema unchanged: it asks for nothing else, and texts and lists are within its
/// limits.
fn takes_pair(schema: &Value, made: &Map<String, Value>) -> bool {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return false };
    let required = schema.get("required").and_then(Value::as_array);
    let declared = required
        .into_iter()
        .flatten()
        .all(|name| name.as_str().is_some_and(|name| properties.contains_key(name)));
    // If it asks for neither, it is not a schema of pairs.
    let is_pair = ["question", "answer"].iter().all(|name| properties.contains_key(*name));
    declared
        && is_pair
        && ["allOf", "anyOf", "oneOf"].iter().all(|word| schema.get(word).is_none())
        && properties
            .iter()
            .all(|(name, property)| made.get(name).is_some_and(|value| takes(property, value)))
}

/// Whether a schema is met by a text or by a list of texts.
fn takes(schema: &Value, value: &Value) -> bool {
    match value {
        Value::String(text) => takes_text(schema, text),
        Value::Array(values) => {
            let size = |name: &str| schema.get(name).and_then(Value::as_u64);
            let count = values.len() as u64;
            let fits = size("minItems").unwrap_or(0) <= count && size("maxItems").unwrap_or(count) >= count;
            fits && schema.get("items").is_some_and(|one| values.iter().all(|value| takes(one, value)))
        }
        _ => false,
    }
}

/// Whether a schema is of a text that may be `value`.
fn takes_text(schema: &Value, value: &str) -> bool {
    let plain = ["enum", "const", "pattern"].iter().all(|limit| schema.get(limit).is_none());
    let size = |name: &str| schema.get(name).and_then(Value::as_u64);
    let long = value.chars().count() as u64;
    let fits = size("minLength").unwrap_or(0) <= long && size("maxLength").unwrap_or(u64::MAX) >= long;
    plain && fits && schema.get("type").and_then(Value::as_str) == Some("string")
}
