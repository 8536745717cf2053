//! Parses a JSON value as a record: its texts, its attributes and the requested length.
//!
//! `texts` decides which fields are texts; this module reads the others.

use serde_json::{Map, Value};

use super::texts::{conversation, texts, turn};
use crate::report::findings::Turn;

/// A record as parsed from one value.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct ParsedRecord {
    pub(crate) id: Option<String>,
    pub(crate) turns: Vec<Turn>,
    pub(crate) attributes: Vec<RecordAttribute>,
    pub(crate) target_words: Option<u64>,
    pub(crate) truncation: Truncation,
}

/// Counts of what was left out of a record because it is too large.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Truncation {
    /// Fields and draws beyond `MAX_ATTRIBUTES`.
    pub(crate) attributes: u64,
    /// Texts longer than `LONGEST_TEXT`.
    pub(crate) texts: u64,
}

/// The value of an attribute in one record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RecordAttribute {
    pub(crate) name: String,
    /// Empty if nothing was injected.
    pub(crate) value: String,
    /// Whether the sampler drew it; otherwise it is a field of the record.
    pub(crate) by_sampler: bool,
    /// Whether it is a number.
    pub(crate) number: bool,
}

/// Fields that are never attributes.
pub(super) const NOT_ATTRIBUTES: &[&str] =
    &["id", "provenance", "group", "target_words", "question_number", "fact_number"];

/// Characters of the longest text that counts as an attribute.
const LONGEST_ATTRIBUTE: usize = 80;
/// Characters of a drawn value that are kept; the rest is cut.
const LONGEST_DRAWN: usize = 500;
/// Attributes read from one record.
pub(crate) const MAX_ATTRIBUTES: usize = 200;
/// Bytes of a text that are measured; the rest is cut.
pub(crate) const LONGEST_TEXT: usize = 1 << 20;

/// Parses a record; `None` for a value that cannot be one, such as a number.
pub(crate) fn parse(value: Value) -> Option<ParsedRecord> {
    match value {
        Value::String(text) => Some(ParsedRecord::of_turns(vec![turn("text", text)])),
        Value::Array(messages) => {
            let turns = conversation(&messages, "role", "content");
            (!turns.is_empty()).then(|| ParsedRecord::of_turns(turns))
        }
        Value::Object(fields) => Some(object(fields)),
        _ => None,
    }
}

impl ParsedRecord {
    /// Makes a record of these texts, each cut to `LONGEST_TEXT`.
    fn of_turns(mut turns: Vec<Turn>) -> Self {
        let mut truncation = Truncation::default();
        for turn in turns.iter_mut().filter(|turn| turn.text.len() > LONGEST_TEXT) {
            turn.text.truncate(turn.text.floor_char_boundary(LONGEST_TEXT));
            truncation.texts += 1;
        }
        Self { turns, truncation, ..Self::default() }
    }

    /// Adds an attribute unless there are too many. A list adds one value per element.
    fn push(&mut self, name: &str, value: &Value, by_sampler: bool) {
        let (text, number) = match value {
            Value::String(text) => (text.clone(), false),
            Value::Number(value) => (value.to_string(), true),
            Value::Bool(value) => (value.to_string(), false),
            Value::Null if by_sampler => (String::new(), false),
            Value::Array(values) if values.iter().all(Value::is_string) => {
                values.iter().for_each(|value| self.push(name, value, by_sampler));
                return;
            }
            _ => return,
        };
        let fits = text.len() <= 4 * LONGEST_ATTRIBUTE
            && text.chars().count() <= LONGEST_ATTRIBUTE
            && !text.contains('\n');
        if !fits && !by_sampler {
            return;
        }
        if self.attributes.len() >= MAX_ATTRIBUTES {
            self.truncation.attributes += 1;
            return;
        }
        self.attributes.push(RecordAttribute {
            name: name.to_owned(),
            value: truncated_value(text),
            by_sampler,
            number,
        });
    }
}

/// Returns a drawn value as it is counted and shown.
pub(super) fn truncated_value(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST_DRAWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn object(fields: Map<String, Value>) -> ParsedRecord {
    let (turns, used) = texts(&fields);
    let mut parsed = ParsedRecord {
        target_words: fields.get("target_words").and_then(words),
        ..ParsedRecord::of_turns(turns)
    };
    parsed.id = match fields.get("id") {
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    if let Some(draws) = fields.get("provenance").and_then(|provenance| provenance.get("draws")) {
        read_draws(draws, &mut parsed);
    }
    // Draws come before fields, so that fields are left out first where there are too many.
    for name in ["attributes", "sampled", "injections", "draws"] {
        if let Some(draws @ Value::Object(_)) = fields.get(name) {
            read_stage_draws(name, draws, &mut parsed);
        }
    }
    let drawn = parsed.attributes.len();
    for (name, value) in &fields {
        let known = NOT_ATTRIBUTES.contains(&name.as_str()) || used.contains(&name.as_str());
        if !known && !parsed.attributes[..drawn].iter().any(|attribute| attribute.name == *name) {
            parsed.push(name, value, false);
        }
    }
    parsed
}

/// Reads the draws of all stages: `{stage: {attribute: value}}` or `{stage: value}`.
pub(crate) fn read_draws(draws: &Value, parsed: &mut ParsedRecord) {
    for (stage, draws) in draws.as_object().into_iter().flatten() {
        read_stage_draws(stage, draws, parsed);
    }
}

fn read_stage_draws(stage: &str, draws: &Value, parsed: &mut ParsedRecord) {
    let Value::Object(draws) = draws else {
        parsed.push(stage, draws, true);
        return;
    };
    for (name, value) in draws {
        if name == "target_words" {
            parsed.target_words = parsed.target_words.or_else(|| words(value));
        } else if let Value::Object(nested) = value {
            nested.iter().for_each(|(name, value)| parsed.push(name, value, true));
        } else {
            parsed.push(name, value, true);
        }
    }
}

fn words(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(value: Value, expected: &str) {
        let shown = parse(value).map_or("no record".to_owned(), |parsed| {
            let mut parts: Vec<String> =
                parsed.turns.iter().map(|turn| format!("{}: {}", turn.role, turn.text)).collect();
            parts.extend(parsed.attributes.iter().map(|attribute| {
                format!(
                    "{}{}={}",
                    attribute.name,
                    if attribute.by_sampler { "*" } else { "" },
                    attribute.value
                )
            }));
            parts.extend(parsed.id.map(|id| format!("#{id}")));
            parts.extend(parsed.target_words.map(|words| format!("{words} words")));
            parts.join(" | ")
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn formats_of_sinks() {
        check(
            json!({"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}],
                   "id": "000001.cot_expand-0", "cot": "none"}),
            "user: Q | assistant: A | cot=none | #000001.cot_expand-0",
        );
        check(
            json!({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}),
            "user: Q | assistant: A",
        );
        check(json!({"instruction": "Q", "input": "", "output": "A"}), "user: Q | assistant: A");
        check(json!({"prompt": "Q", "completion": "A", "n": 3}), "user: Q | assistant: A | n=3");
        check(json!([{"role": "user", "content": "Q"}]), "user: Q");
        check(json!("How?"), "text: How?");
    }

    #[test]
    fn draws_are_attributes_wherever_they_are_stored() {
        check(
            json!({"text": "How?", "tone": "angry",
                   "provenance": {"draws": {"sample_injections": {"tone": "angry", "topic": "", "target_words": 12}}}}),
            "text: How? | tone*=angry | topic*= | 12 words",
        );
        check(json!({"text": "x", "sampled": {"tone": "calm"}}), "text: x | tone*=calm");
        check(json!({"text": "x", "topics": ["a", "b"]}), "text: x | topics=a | topics=b");
    }

    #[test]
    fn unusual_formats() {
        check(
            json!({"wish": "a much longer text than the others", "tone": "calm"}),
            "text: a much longer text than the others | tone=calm",
        );
        check(
            json!({"prompt": [{"role": "user", "content": "Q"}], "chosen": "A", "rejected": "B"}),
            "user: Q | assistant: A",
        );
        check(json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}]}]}), "user: Q");
        check(json!({"prompt": [{"role": "user", "content": "Write!"}], "completion": "Q"}), "text: Q");
        check(json!({}), "");
        check(json!(5), "no record");
        check(json!([1, 2]), "no record");
    }
}
