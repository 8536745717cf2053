//! Finds the JSON in a model's answer: bare, fenced, wrapped in prose, or slightly broken.
//!
//! `stages::parse` calls it with the check of its schema. Pure functions, nothing is asked or remembered. Of several
//! pieces of JSON the last that fits is the answer: drafts, examples and schemas stand before it. Valid JSON comes back
//! as it is, apart from backslashes that a model forgot to double (`escapes`); repair (`repair`) is given a piece that
//! was cut out of the prose (`pieces`), never the prose, which it would turn into JSON too. All work is bounded by the
//! length of the answer, which is bounded itself.

mod candidates;
mod escapes;
mod latex;
mod repair;
#[cfg(test)]
mod tests;
mod windows_paths;

use serde_json::Value;

use self::candidates::{JsonCandidate, find_candidates};
use self::repair::{RepairError, repair};
use super::reasoning;

/// The longest answer that is looked at, in bytes: twice what the most talkative models write.
pub const LONGEST_ANSWER: usize = 1 << 20;

/// How often a piece that turned out to be prose is looked into for another.
const MAX_NESTED_SEARCHES: usize = 32;

/// The JSON of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractedJson {
    /// An object or an array.
    pub value: Value,
    /// Whether the answer stopped before the JSON did; what is missing was closed, not made up, so the
    /// last text in it may be half a sentence.
    pub truncated: bool,
    /// A backslash that may mean two things, as it stands in the answer; it was taken as JSON has it.
    pub unclear: Option<String>,
}

/// An answer without usable JSON. The messages are fit to be shown to the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// Nothing was answered, reasoning apart.
    #[error("the answer is empty")]
    Empty,
    /// There is text, but no JSON object or array in it.
    #[error("there is no JSON object in the answer")]
    NoJson,
    /// There is something like JSON that cannot be repaired.
    #[error("the JSON in the answer is broken: {0}")]
    Broken(String),
    /// The answer, or the broken JSON in it, is longer than what is looked at.
    #[error("the answer is too long")]
    TooLong,
    /// The answer stopped before its JSON did.
    #[error("the answer stops before its JSON ends; write a shorter one")]
    Cut,
    /// A backslash may be a part of the text or not.
    #[error(
        "`{0}` may be a line break, a tab or a backslash: write a backslash of a text as two, and put a space behind a \
         line break or a tab"
    )]
    Unclear(String),
    /// There is JSON, and it does not fit.
    #[error("{0}")]
    Unfit(String),
}

/// What a value is for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaMatch {
    /// It may be the answer.
    Valid,
    /// It was meant as the answer, and is not as it should be.
    Invalid,
    /// It is of another kind: an array where an object is asked for.
    OtherType,
}

/// The last JSON object or array in `text`, whatever it holds; of those with something in them, if there are any.
pub fn extract(text: &str) -> Result<ExtractedJson, ExtractError> {
    match choose(text, |_| SchemaMatch::Valid) {
        Ok(extracted) => Ok(extracted),
        Err(NoMatch { found: Some(extracted), .. }) => Ok(*extracted),
        Err(NoMatch { error, .. }) => Err(error.unwrap_or(ExtractError::NoJson)),
    }
}

/// The JSON value that `text` answers with: of several the last that is whole and fits.
///
/// `judge` is asked about each, from the last on, until one fits. Where none does, the error is what `explain` finds
/// wrong with the last that was meant as the answer.
pub fn extract_fitting(
    text: &str,
    judge: impl Fn(&Value) -> SchemaMatch,
    explain: impl Fn(&Value) -> String,
) -> Result<Value, ExtractError> {
    match choose(text, judge) {
        Ok(ExtractedJson { unclear: Some(escape), .. }) => Err(ExtractError::Unclear(escape)),
        Ok(extracted) => Ok(extracted.value),
        Err(NoMatch { error: Some(error), .. }) => Err(error),
        Err(NoMatch { error: None, found }) => match found {
            Some(extracted) => Err(ExtractError::Unfit(explain(&extracted.value))),
            None => Err(ExtractError::NoJson),
        },
    }
}

/// Why no piece was taken.
struct NoMatch {
    /// None where `found` does not fit.
    error: Option<ExtractError>,
    /// What comes nearest to an answer.
    found: Option<Box<ExtractedJson>>,
}

fn choose(text: &str, judge: impl Fn(&Value) -> SchemaMatch) -> Result<ExtractedJson, NoMatch> {
    let alone = |error| NoMatch { error: Some(error), found: None };
    if text.len() > LONGEST_ANSWER {
        return Err(alone(ExtractError::TooLong));
    }
    let (_, answer) = reasoning::split(text.trim_start_matches('\u{feff}'));
    if answer.is_empty() {
        return Err(alone(ExtractError::Empty));
    }
    // Taken from the end: the last piece first, what is quoted in prose when nothing else is left.
    let (mut left, others): (Vec<JsonCandidate<'_>>, _) =
        find_candidates(answer).into_iter().partition(|candidate| candidate.quoted);
    left.extend(others);

    let mut nested_searches = MAX_NESTED_SEARCHES;
    let (mut empty, mut cut, mut wrong, mut other) = (None, None, None, None);
    let mut unreadable = None;
    while let Some(candidate) = left.pop() {
        let read = parse_candidate(&candidate);
        // A brace of the prose may have taken JSON into it.
        if nested_searches > 0 && (read.is_err() || candidate.may_be_prose()) {
            nested_searches -= 1;
            left.extend(find_candidates(&candidate.text[1..]));
        }
        match read {
            Err(error) => drop(unreadable.get_or_insert(error)),
            Ok(extracted) if extracted.truncated => drop(cut.get_or_insert(extracted)),
            Ok(extracted) => match judge(&extracted.value) {
                SchemaMatch::Valid if is_empty(&extracted.value) => drop(empty.get_or_insert(extracted)),
                SchemaMatch::Valid => {
                    let repeated =
                        cut.filter(|cut: &ExtractedJson| may_be_same_value(&cut.value, &extracted.value));
                    return match repeated {
                        None => Ok(extracted),
                        cut => Err(NoMatch { error: Some(ExtractError::Cut), found: cut.map(Box::new) }),
                    };
                }
                SchemaMatch::Invalid => drop(wrong.get_or_insert(extracted)),
                SchemaMatch::OtherType => drop(other.get_or_insert(extracted)),
            },
        }
    }
    if let Some(empty) = empty {
        return Ok(empty);
    }
    let meant_cut = cut.as_ref().is_some_and(|cut| judge(&cut.value) != SchemaMatch::OtherType);
    if meant_cut || (cut.is_some() && wrong.is_none()) {
        return Err(NoMatch { error: Some(ExtractError::Cut), found: cut.map(Box::new) });
    }
    match wrong.or(other) {
        Some(found) => Err(NoMatch { error: None, found: Some(Box::new(found)) }),
        None => Err(alone(unreadable.unwrap_or(ExtractError::NoJson))),
    }
}

/// Whether a value that broke off was to be the other one once more, or in its place: then which is meant is not known.
fn may_be_same_value(cut: &Value, whole: &Value) -> bool {
    match (cut, whole) {
        (Value::Object(cut), Value::Object(whole)) => cut.keys().any(|key| whole.contains_key(key)),
        (Value::Array(_), Value::Array(_)) => true,
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(properties) => properties.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Reads one piece: as it stands but for its backslashes, or after repair.
fn parse_candidate(candidate: &JsonCandidate<'_>) -> Result<ExtractedJson, ExtractError> {
    let repaired = escapes::repair(candidate.text);
    let unclear = repaired.unclear;
    let error = match serde_json::from_str(&repaired.text) {
        Ok(value) => return Ok(ExtractedJson { value, truncated: false, unclear }),
        Err(error) => error,
    };
    match repair(&repaired.text) {
        Ok(value) => Ok(ExtractedJson { value, truncated: candidate.is_truncated(), unclear }),
        Err(RepairError::TooLong) => Err(ExtractError::TooLong),
        Err(RepairError::Invalid) => Err(ExtractError::Broken(error.to_string())),
    }
}
