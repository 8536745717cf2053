//! Parses the answer to one question: JSON with a rating for each text and aspect, or the number of the better text.
//!
//! The schema sent with the question lists the numbers of the scale. Any rating passes the schema that answers are
//! checked against, so that a number outside the scale is recorded as such and not asked for again. Anything else
//! that is not a rating makes the answer invalid, and `on_error` decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::judgement::{Preference, PreferenceOutcome, Rating, RatingOutcome};
use super::prompt::ANSWER;
use super::questions::{Aspect, QuestionPlan};
use super::{JUDGING, JudgeMode};
use crate::llm::answer_json::{self, ExtractError, SchemaMatch};
use crate::llm::answer_schema::AnswerSchema;
use crate::record::Record;
use crate::stage::{AnswerError, AnswerParser, BuildError, OnError, StageError};

/// The field of a question's answer, which is collected.
pub(super) const ANSWERED: &str = "judging_answered";
/// The keys of an answer.
const TEXTS: &str = "texts";
const TEXT: &str = "text";
const REASON: &str = "reason";
const RATING: &str = "rating";
const PREFERRED: &str = "preferred";
const TIE: &str = "tie";
const NOT_APPLICABLE: &str = "N/A";
/// Names that an aspect cannot have.
pub(super) const TAKEN: [&str; 4] = [TEXTS, TEXT, REASON, RATING];
/// A longer answer, in bytes, is parsed on another thread.
const LONG: usize = 4096;

pub(super) struct RatingParser {
    plan: Arc<QuestionPlan>,
    /// The schema that is sent with the question.
    sent: Value,
    /// The schema that answers are checked against.
    accepted: AnswerSchema,
    on_error: Vec<OnError>,
}

impl RatingParser {
    pub(super) fn new(plan: Arc<QuestionPlan>, on_error: Vec<OnError>) -> Result<Self, BuildError> {
        let wrong = |errors: Vec<_>| BuildError::Other(format!("the judge's own schema: {errors:?}"));
        let accepted = AnswerSchema::new(&schema(&plan, &|_| json!({}))).map_err(wrong)?;
        let sent = schema(&plan, &|aspect| numbers(&plan, aspect));
        Ok(Self { plan, sent, accepted, on_error })
    }
}

/// The schema of an answer. `rating` returns the schema of a rating; it is called with `None` if there is only one
/// aspect.
fn schema(plan: &QuestionPlan, rating: &dyn Fn(Option<&Aspect>) -> Value) -> Value {
    let text = json!({"type": "string"});
    let object = |properties: Map<String, Value>| {
        let required: Vec<String> = properties.keys().cloned().collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    };
    if plan.mode == JudgeMode::Pairwise {
        let preferred = json!({"enum": [1, 2, TIE]});
        return object(Map::from_iter([(REASON.to_owned(), text), (PREFERRED.to_owned(), preferred)]));
    }
    let rated = |aspect: Option<&Aspect>| {
        Map::from_iter([(REASON.to_owned(), text.clone()), (RATING.to_owned(), rating(aspect))])
    };
    let ratings = match plan.has_one_aspect() {
        true => rated(None),
        false => {
            let named = |aspect: &Aspect| (aspect.name.clone(), object(rated(Some(aspect))));
            plan.aspects.iter().map(named).collect()
        }
    };
    if plan.of.is_none() {
        return object(ratings);
    }
    let mut entry = Map::from_iter([(TEXT.to_owned(), json!({"type": "integer"}))]);
    entry.extend(ratings);
    let list = json!({"type": "array", "items": object(entry), "minItems": 1});
    object(Map::from_iter([(TEXTS.to_owned(), list)]))
}

/// The numbers of the scale.
fn numbers(plan: &QuestionPlan, aspect: Option<&Aspect>) -> Value {
    let (low, high) = plan.scale;
    let numbers: Vec<Value> = (low..=high).map(Value::from).collect();
    let may_not_apply = match aspect {
        Some(aspect) => aspect.not_applicable,
        None => plan.aspects.iter().any(|aspect| aspect.not_applicable),
    };
    if may_not_apply {
        let values: Vec<Value> = numbers.into_iter().chain([Value::from(NOT_APPLICABLE)]).collect();
        return json!({ "enum": values });
    }
    json!({"type": "integer", "enum": numbers})
}

impl AnswerParser for RatingParser {
    fn schema(&self) -> Option<&Value> {
        Some(&self.sent)
    }

    fn on_error(&self) -> &[OnError] {
        &self.on_error
    }

    fn answer_text<'a>(&self, record: &'a Record) -> Result<&'a str, StageError> {
        record.text(ANSWER).ok_or_else(|| StageError::new("input", "there is no answer"))
    }

    fn parse(&self, text: &str) -> Result<Value, StageError> {
        let judge = |value: &Value| match value {
            value if !self.accepted.takes(value) => SchemaMatch::OtherType,
            value if self.accepted.is_met_by(value) => SchemaMatch::Valid,
            _ => SchemaMatch::Invalid,
        };
        let explain = |value: &Value| self.accepted.check(value).err().unwrap_or_default();
        answer_json::extract_fitting(text, judge, explain).map_err(|error| {
            let class = if matches!(error, ExtractError::Unfit(_)) { "schema" } else { "json" };
            StageError::new(class, error.to_string())
        })
    }

    fn may_take_long(&self, text: &str) -> bool {
        text.len() > LONG || self.accepted.may_take_long()
    }

    fn store(&self, record: &mut Record, value: Value) -> Result<(), AnswerError> {
        let answered = match self.plan.mode {
            JudgeMode::Pairwise => to_json(&preference(&value)),
            JudgeMode::Rate => to_json(&self.ratings(record, &value)?),
        };
        record.set(ANSWERED, answered);
        Ok(())
    }
}

/// Serializes a type of this module. All keys are strings, so this cannot fail.
fn to_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn invalid(message: String) -> StageError {
    StageError::new("schema", message)
}

impl RatingParser {
    /// The ratings of each text, in the order in which they were shown.
    fn ratings(&self, record: &Record, value: &Value) -> Result<Vec<BTreeMap<String, Rating>>, StageError> {
        let asked = |name: &str| record.get(&format!("{JUDGING}.{name}")).and_then(Value::as_array);
        let shown = asked("texts").map_or(0, Vec::len);
        let names: Vec<&str> =
            asked("aspects").into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
        let entries = match self.plan.of {
            Some(_) => in_order(value.get(TEXTS).and_then(Value::as_array), shown)?,
            None => vec![value],
        };
        let aspects = || self.plan.aspects.iter().filter(|aspect| names.contains(&aspect.name.as_str()));
        let mut ratings = Vec::with_capacity(shown);
        for (slot, entry) in entries.into_iter().enumerate() {
            let mut of_text = BTreeMap::new();
            for aspect in aspects() {
                let rated = if self.plan.has_one_aspect() { Some(entry) } else { entry.get(&aspect.name) };
                let rating = self.rating(rated.unwrap_or(&Value::Null), aspect);
                let rating = rating.map_err(|found| {
                    invalid(format!("text {}: the rating of `{}` is {found}", slot + 1, aspect.name))
                })?;
                of_text.insert(aspect.name.clone(), rating);
            }
            ratings.push(of_text);
        }
        Ok(ratings)
    }

    /// Reads one rating; the error describes what was found instead.
    fn rating(&self, rated: &Value, aspect: &Aspect) -> Result<Rating, String> {
        let (low, high) = self.plan.scale;
        let given = rated.get(RATING).unwrap_or(&Value::Null);
        let reason = rated.get(REASON).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
        let rating = |outcome, rating, given: Option<&Value>| Rating {
            outcome,
            rating,
            given: given.cloned(),
            reason: reason.map(str::to_owned),
        };
        if means_not_applicable(given) {
            return match aspect.not_applicable {
                true => Ok(rating(RatingOutcome::NotApplicable, None, None)),
                false => {
                    Err(format!("{given}, but the aspect applies: expected a number from {low} to {high}"))
                }
            };
        }
        match whole(given, high) {
            Some(number) if (low..=high).contains(&number) => {
                Ok(rating(RatingOutcome::Rated, Some(number), None))
            }
            Some(_) => Ok(rating(RatingOutcome::OutOfRange, None, Some(given))),
            None => Err(format!("{given}, expected a whole number from {low} to {high}")),
        }
    }
}

/// The entries of an answer about several texts, in the order of the texts.
fn in_order(list: Option<&Vec<Value>>, shown: usize) -> Result<Vec<&Value>, StageError> {
    let list = list.map_or(&[][..], Vec::as_slice);
    if list.len() != shown {
        return Err(invalid(format!("there are {shown} texts, and the answer is about {}", list.len())));
    }
    let number = |entry: &Value| entry.get(TEXT).and_then(Value::as_u64);
    let mut entries = Vec::with_capacity(shown);
    for text in 1..=shown as u64 {
        let entry = list.iter().find(|entry| number(entry) == Some(text));
        entries.push(entry.ok_or_else(|| invalid(format!("the answer has no entry for text {text}")))?);
    }
    Ok(entries)
}

fn means_not_applicable(given: &Value) -> bool {
    match given {
        Value::Null => true,
        Value::String(text) => ["n/a", "na", "not applicable"].contains(&text.trim().to_lowercase().as_str()),
        _ => false,
    }
}

/// A rating as a whole number: `4`, `4.0`, `"4"`, or `"4/5"` on a scale to 5. A text must consist of the number only,
/// so that `10502` is not read as 1.
fn whole(given: &Value, high: i64) -> Option<i64> {
    let of_float = |number: f64| (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
    match given {
        Value::Number(number) => number.as_i64().or_else(|| of_float(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            let text = text.strip_suffix(&format!("/{high}")).unwrap_or(text);
            text.parse().ok().or_else(|| of_float(text.parse().ok()?))
        }
        _ => None,
    }
}

fn preference(value: &Value) -> Preference {
    let reason = value.get(REASON).and_then(Value::as_str).map(str::to_owned);
    let slot = match value.get(PREFERRED).and_then(Value::as_u64) {
        Some(1) => Some(0),
        Some(2) => Some(1),
        _ => None,
    };
    let outcome = if slot.is_some() { PreferenceOutcome::Preferred } else { PreferenceOutcome::Tie };
    Preference { outcome, slot, reason }
}
