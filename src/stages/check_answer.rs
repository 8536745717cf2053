//! `check_answer`: checks whether a final answer is the expected one.
//!
//! For questions whose answers are known. `find` locates the final answer in a text, `latex` converts it to plain
//! text, and `quantity` (with `units` and `words`) and `compare` compare it. An answer that is wrongly called correct
//! ends up in training data, so whatever is not certain is unknown.

mod compare;
mod find;
mod latex;
mod quantity;
#[cfg(test)]
mod tests;
mod units;
mod words;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use self::find::FindRule;
use self::quantity::{Quantity, QuantityRules};
use super::{Role, StageDescription};
use crate::number::DecimalSign;
use crate::pipeline::{CheckContext, FieldType, ProducedField};
use crate::rational::{ExactNumber, whole};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};

/// Compares an answer with the expected one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckAnswer {
    /// The field that holds the answer: a text that contains the final answer, or a number.
    #[serde(default = "answer")]
    answer: String,
    /// The field that holds the expected answer: a text that consists of the answer only, a number, true or false;
    /// with `set` also a list.
    #[serde(default = "expected")]
    expected: String,
    /// What kind of answer is compared.
    #[serde(default, rename = "as")]
    kind: AnswerKind,
    /// How the final answer is found in the text. Rules are tried in order; the first that finds something decides.
    #[serde(default = "find")]
    find: Vec<FindRule>,
    /// With `number` and `set`: the decimal separator of numbers that can be read in two ways, such as `1,234`.
    /// Others, such as `1.234,5`, need no setting.
    #[serde(default)]
    decimal: Option<DecimalSign>,
    /// With `number` and `set`: the unit of numbers that are written without one, such as `km` or `%`. Without this
    /// setting, a unit that only one of the two answers has is ignored.
    #[serde(default)]
    unit: Option<String>,
    /// With `number` and `set`: the allowed difference, in the unit of the expected answer, such as `0.01` or
    /// `"1/2"`. None by default: 0.33 is not 1/3.
    #[serde(default)]
    tolerance: Option<ExactNumber>,
    /// The field in which the result is stored: true, false or null.
    #[serde(default = "into")]
    into: String,
}

/// The kind of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AnswerKind {
    /// A number, compared exactly: `1,234.50`, `1.234,50` or `1 234,50`, `3/4`, `1 1/2`, `\frac{3}{4}`, `2.5e3`,
    /// `5 million`. 50% is 0.5. Common units are converted: 1.5 km is 1500 m.
    #[default]
    Number,
    /// A text, compared without regard to case, white space and surrounding punctuation.
    Text,
    /// The letter of a choice: `B`, `(B)`, `B) Paris`, `the answer is B`.
    Choice,
    /// Several numbers or texts, in any order: `{1, 2}`, `x = 1 or x = 2`.
    Set,
}

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Correctness {
    Correct,
    Wrong,
    /// Undecidable.
    Unknown,
}

impl Correctness {
    /// The same, unless it would be correct.
    fn at_most_unknown(self) -> Self {
        if self == Self::Correct { Self::Unknown } else { self }
    }

    fn to_json(self) -> Value {
        match self {
            Self::Correct => Value::Bool(true),
            Self::Wrong => Value::Bool(false),
            Self::Unknown => Value::Null,
        }
    }
}

fn answer() -> String {
    "answer".into()
}

fn expected() -> String {
    "expected".into()
}

fn find() -> Vec<FindRule> {
    vec![FindRule::Boxed, FindRule::LastLine]
}

fn into() -> String {
    "correct".into()
}

fn truth_or_null() -> FieldType {
    FieldType::boolean().or_null()
}

fn text_or_null() -> FieldType {
    FieldType::text().or_null()
}

const CORRECT: ProducedField = ProducedField::named_by(
    "into",
    "correct",
    truth_or_null,
    "Whether the answer is the expected one; null if that is uncertain: there is no final answer, or it is ambiguous.",
);
const FOUND: ProducedField = ProducedField::new(
    "found",
    text_or_null,
    "The final answer as it is written in the text; null if there is none.",
);

impl StageDescription for CheckAnswer {
    const NAME: &'static str = "check_answer";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str = "Compares a final answer with the expected one, as a number with its unit, a text, a choice or a set.";
    const MAKES: &'static [ProducedField] = &[CORRECT, FOUND];
    const EXAMPLE: &'static str = r#"name: check-answer-example
stages:
  - generate: {count: 3}
  - set:
      expected: "12.5"
      answer: {expr: "['It is \\\\boxed{\\\\frac{25}{2}}.', 'So the answer is 12,5 km.', 'I get 12 or 13.'][row]"}
  - check_answer: {as: number}
  - sink: {path: checked.jsonl, format: raw, fields: [answer, expected, found, correct]}
"#;
}

impl StageConfig for CheckAnswer {
    fn check(&self, context: &mut CheckContext<'_>) {
        let single = FieldType::text().or(FieldType::number()).or_null();
        context.needs_type("/answer", &self.answer, &single);
        let expected = single.or(FieldType::boolean());
        let expected =
            if self.kind == AnswerKind::Set { expected.or(FieldType::any_list()) } else { expected };
        context.needs_type("/expected", &self.expected, &expected);
        if self.find.is_empty() {
            context.problem("/find", "no rule says how to find the answer").expected("one at least");
        }
        for (index, rule) in self.find.iter().enumerate() {
            let is_empty = matches!(rule, FindRule::After(mark) if mark.is_empty());
            if is_empty {
                let at = format!("/find/{index}/after");
                context.problem(&at, "an empty text is everywhere").expected("the text before the answer");
            } else if *rule == FindRule::Whole && index + 1 < self.find.len() {
                let at = format!("/find/{index}");
                context.problem(&at, "`whole` always finds something, so the rules after it never apply");
            }
        }
        self.check_number_options(context);
        context.makes_named(&CORRECT, &self.into);
        context.makes_as(FOUND.name, text_or_null());
        context.keeps_items();
    }

    fn build(&self, _: &BuildContext) -> Result<Processor, BuildError> {
        let rules = QuantityRules {
            decimal: self.decimal.unwrap_or_default(),
            tolerance: self.tolerance.as_ref().map(|tolerance| tolerance.0.clone()),
            unit: self.unit.clone(),
        };
        Ok(Processor::Transform(Box::new(AnswerChecker { options: self.clone(), rules })))
    }
}

impl CheckAnswer {
    fn check_number_options(&self, context: &mut CheckContext<'_>) {
        let of_numbers = [
            ("decimal", self.decimal.is_some()),
            ("unit", self.unit.is_some()),
            ("tolerance", self.tolerance.is_some()),
        ];
        let has_numbers = matches!(self.kind, AnswerKind::Number | AnswerKind::Set);
        for (option, _) in of_numbers.iter().filter(|(_, is_set)| *is_set && !has_numbers) {
            let message = format!("`{option}` is for numbers and sets alone");
            context.problem(&format!("/{option}"), message).on_key();
        }
        if self.tolerance.as_ref().is_some_and(|tolerance| tolerance.0 < whole(0)) {
            context.problem("/tolerance", "a tolerance below 0").expected("0 or more");
        }
    }
}

/// The processor: compares the answer in a record with the expected one.
struct AnswerChecker {
    options: CheckAnswer,
    rules: QuantityRules,
}

impl Transform for AnswerChecker {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        let options = &self.options;
        let answer = single(record, &options.answer)?;
        let found = options.find.iter().find_map(|rule| rule.find(&answer)).map(str::to_owned);
        let verdict = match &found {
            Some(found) => self.verdict(record, &latex::plain(found))?,
            None => Correctness::Unknown,
        };
        record.set(&options.into, verdict.to_json());
        record.set(FOUND.name, found);
        Ok(TransformOutput::Pass)
    }
}

impl AnswerChecker {
    fn verdict(&self, record: &Record, found: &str) -> Result<Correctness, StageError> {
        let field = &self.options.expected;
        if self.options.kind == AnswerKind::Set {
            let expected = match record.get(field) {
                Some(Value::Array(list)) => {
                    let texts: Result<Vec<String>, StageError> = list
                        .iter()
                        .map(|value| text_of(Some(value), field).map(|text| latex::plain(&text)))
                        .collect();
                    texts?
                }
                _ => compare::elements(&latex::plain(&single(record, field)?)),
            };
            return Ok(compare::sets(&expected, &compare::elements(found), &self.rules));
        }
        let expected = latex::plain(&single(record, field)?);
        Ok(match self.options.kind {
            AnswerKind::Text => compare::texts(&expected, found),
            AnswerKind::Choice => compare::choices(&expected, found),
            AnswerKind::Number | AnswerKind::Set => self.compare_numbers(&expected, found),
        })
    }

    fn compare_numbers(&self, expected: &str, found: &str) -> Correctness {
        let decimal = self.rules.decimal;
        match (Quantity::whole(expected, decimal), Quantity::find(found, decimal)) {
            (Some(expected), Some(found)) => self.rules.compare(&expected, &found),
            // Equal formulas are equal numbers.
            _ if compare::is_same_formula(expected, found) => Correctness::Correct,
            _ => Correctness::Unknown,
        }
    }
}

fn single(record: &Record, field: &str) -> Result<String, StageError> {
    text_of(record.get(field), field)
}

fn text_of(value: Option<&Value>, field: &str) -> Result<String, StageError> {
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(truth)) => Ok(truth.to_string()),
        Some(Value::Null) => Ok(String::new()),
        _ => Err(StageError::new("fields", format!("field `{field}` is neither a text nor a number"))),
    }
}
