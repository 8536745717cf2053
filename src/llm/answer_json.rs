//! Extracts the JSON from a model's answer: bare, fenced, wrapped in prose, or slightly broken.
//!
//! `stages::parse` calls it with the check of its schema. Pure functions without state. Of several JSON values the last
//! one that conforms is the answer: drafts, examples and schemas come before it. Valid JSON is returned as it is,
//! except for backslashes that a model forgot to escape (`escapes`). Repair (`repair`) gets a candidate that was cut
//! out of the prose (`candidates`), never the prose, which it would turn into JSON too. All work is bounded by the
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

/// The longest answer that is searched, in bytes: twice what the most verbose models write.
pub const LONGEST_ANSWER: usize = 1 << 20;

/// How often a candidate that turned out to be prose is searched for another one.
const MAX_NESTED_SEARCHES: usize = 32;

/// The JSON of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractedJson {
    /// An object or an array.
    pub value: Value,
    /// Whether the answer ended before its JSON. Open brackets and quotes were closed, so the last text in it may be
    /// half a sentence.
    pub truncated: bool,
    /// An ambiguous escape, as written in the answer; it was interpreted as JSON.
    pub unclear: Option<String>,
}

/// An answer without usable JSON. The messages can be shown to the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// There is no answer, apart from reasoning.
    #[error("the answer is empty")]
    Empty,
    /// There is text, but no JSON object or array in it.
    #[error("there is no JSON object in the answer")]
    NoJson,
    /// There is something like JSON, but it cannot be repaired.
    #[error("the JSON in the answer is broken: {0}")]
    Broken(String),
    /// The answer, or the broken JSON in it, is too long to be searched.
    #[error("the answer is too long")]
    TooLong,
    /// The answer ended before its JSON.
    #[error("the answer stops before its JSON ends; write a shorter one")]
    Cut,
    /// A backslash may or may not be part of the text.
    #[error(
        "`{0}` may be a line break, a tab or a backslash: write a backslash of a text as two, and put a space behind a \
         line break or a tab"
    )]
    Unclear(String),
    /// There is JSON, but it does not conform.
    #[error("{0}")]
    Unfit(String),
}

/// How a value relates to the expected answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaMatch {
    /// It conforms, so it may be the answer.
    Valid,
    /// It was meant as the answer, but does not conform.
    Invalid,
    /// It is of another type: an array where an object is expected.
    OtherType,
}

/// Returns the last JSON object or array in `text`, whatever its contents; a non-empty one, if there is any.
pub fn extract(text: &str) -> Result<ExtractedJson, ExtractError> {
    match choose(text, |_| SchemaMatch::Valid) {
        Ok(extracted) => Ok(extracted),
        Err(NoMatch { found: Some(extracted), .. }) => Ok(*extracted),
        Err(NoMatch { error, .. }) => Err(error.unwrap_or(ExtractError::NoJson)),
    }
}

/// Returns the JSON value that `text` answers with: of several, the last one that is complete and conforms.
///
/// `judge` is called for each, starting with the last, until one conforms. If none does, the error is what `explain`
/// returns for the last one that was meant as the answer.
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

/// Why no candidate was chosen.
struct NoMatch {
    /// `None` if `found` does not conform.
    error: Option<ExtractError>,
    /// The value that is closest to an answer.
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
    // Taken from the end: the last candidate first, and those that are quoted in prose after all others.
    let (mut left, others): (Vec<JsonCandidate<'_>>, _) =
        find_candidates(answer).into_iter().partition(|candidate| candidate.quoted);
    left.extend(others);

    let mut nested_searches = MAX_NESTED_SEARCHES;
    let (mut empty, mut cut, mut wrong, mut other) = (None, None, None, None);
    let mut unreadable = None;
    while let Some(candidate) = left.pop() {
        let read = parse_candidate(&candidate);
        // A brace of the prose may enclose JSON.
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

/// Whether a truncated value may repeat or replace a complete one, so that it is unknown which one is meant.
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

/// Parses one candidate: as it is except for its backslashes, or after repair.
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
