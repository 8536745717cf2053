//! `choose`: selects the best, the worst, a number of, or a preference pair of the elements of a list, or the
//! majority's answer.
//!
//! Usually follows a `for_each` that collects several answers to one question, and a stage that rates them.
//! `choose/selection.rs` decides by the elements' values, `choose/texts.rs` determines which texts are equal.

mod selection;
#[cfg(test)]
mod tests;
mod texts;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::selection::{ElementSelection, Selector};
use super::{Role, StageDescription};
use crate::draw::Draws;
use crate::pipeline::{CheckContext, FieldType, ProducedField};
use crate::rational::ExactNumber;
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};
use crate::template::Expression;

/// Selects elements of a list by their values.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Choose {
    /// The field that holds the elements: a list of objects such as `for_each` collects, or of texts.
    #[serde(default = "from")]
    from: String,
    /// The name of an element in `by`.
    #[serde(default = "element", rename = "as")]
    element: String,
    /// The value by which elements are compared: an expression over the record's fields and the element, such as
    /// `candidate.score`, whose value is a number, true or false. Elements for which it is null are never selected.
    /// With `vote` it is the answer that is counted, of any type.
    #[serde(default)]
    by: Option<String>,
    /// What is selected.
    #[serde(default)]
    take: Take,
    /// With `pair`: which of the lower elements becomes the rejected one; `worst` by default.
    #[serde(default)]
    rejected: Option<Rejected>,
    /// With `pair`: the minimum difference of the two values, such as `1` or `"1/2"`. Decimals are compared exactly:
    /// 0.3 and 0.1 differ by 0.2. If no pair differs by that much, the record is dropped as `min_gap`.
    #[serde(default)]
    min_gap: Option<ExactNumber>,
    /// What happens if several elements have the same value, or several answers the same number of votes. `random` by
    /// default; with `vote`, where a tie means that there is no majority, `drop`.
    #[serde(default)]
    ties: Option<Ties>,
    /// With `pair`: the key of an element's text, `answer` by default. Elements whose texts differ only in white
    /// space never become a pair.
    #[serde(default)]
    text: Option<String>,
    /// The field in which the element is stored, or the list of elements with `top`.
    #[serde(default = "into")]
    into: String,
}

/// What is selected from a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Take {
    /// The element with the highest value.
    #[default]
    Best,
    /// The element with the lowest value.
    Worst,
    /// A random element.
    Random,
    /// A preference pair: the best element as chosen, and a lower one as rejected.
    Pair,
    /// The first element with the most frequent answer. Elements without an answer do not vote.
    Vote,
    /// This number of elements, the best first; fewer if there are fewer.
    Top(usize),
}

/// Which element of a pair is rejected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rejected {
    /// The element with the lowest value.
    #[default]
    Worst,
    /// A random one of those that are lower by `min_gap`.
    Random,
}

/// What happens in a tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ties {
    /// The record is dropped as `tie`.
    Drop,
    /// The first in the list is selected.
    First,
    /// One is selected at random.
    Random,
}

fn from() -> String {
    "candidates".into()
}

fn element() -> String {
    "candidate".into()
}

fn into() -> String {
    "chosen".into()
}

/// The key of a text in an element.
const TEXT: &str = "answer";

const CHOSEN: ProducedField = ProducedField::named_by(
    "into",
    "chosen",
    FieldType::any,
    "The selected element; with `top`, the list of selected elements.",
);
const REJECTED: ProducedField =
    ProducedField::new("rejected", FieldType::any, "With `pair`: the rejected element.");
const VOTE: [ProducedField; 4] = [
    ProducedField::new("vote.answer", FieldType::any, "With `vote`: the most frequent answer."),
    ProducedField::new(
        "vote.count",
        FieldType::integer,
        "With `vote`: the number of elements with this answer.",
    ),
    ProducedField::new("vote.of", FieldType::integer, "With `vote`: the number of elements with any answer."),
    ProducedField::new("vote.share", FieldType::number, "With `vote`: `count` divided by `of`."),
];

impl StageDescription for Choose {
    const NAME: &'static str = "choose";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str =
        "Selects the best elements of a list, a preference pair, or the majority's answer.";
    const MAKES: &'static [ProducedField] = &[CHOSEN, REJECTED, VOTE[0], VOTE[1], VOTE[2], VOTE[3]];
    const EXAMPLE: &'static str = r#"name: choose-example
models:
  teacher: {provider: heuristic}
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - plan_questions: {}
  - for_each:
      in: 3
      as: attempt
      collect: {into: candidates, fields: [question, answer]}
      stages:
        - prompt: {user: "Ask and answer one question about: {{ section.text }} (attempt {{ attempt }})"}
        - llm: {model: teacher}
        - parse:
            schema:
              type: object
              required: [question, answer]
              properties: {question: {type: string}, answer: {type: string}}
  - choose: {by: "candidate.answer | wordcount", take: best, into: longest}
  - sink: {path: longest.jsonl, format: raw, fields: [longest]}
"#;
}

impl StageConfig for Choose {
    fn check(&self, context: &mut CheckContext<'_>) {
        self.check_options(context);
        let is_pair = self.take == Take::Pair;
        context.needs_type("/from", &self.from, &FieldType::any_list());
        let element = context.type_of(&self.from).elements();
        if context.has(&self.element) {
            context
                .problem("/as", format!("records have a field `{}` already", self.element))
                .expected("a name of its own for the element that `by` sees");
        } else if let Some(by) = &self.by {
            context.makes_as(&self.element, element.clone());
            if context.expression("/by", by).is_some() && self.take != Take::Vote {
                let kind = context.type_of_expression(by);
                let wanted = FieldType::number().or(FieldType::boolean()).or_null();
                if !kind.could_be(&wanted) {
                    context
                        .problem("/by", format!("`{by}` is {kind}"))
                        .expected("a number, true or false: the elements are compared by it");
                }
            }
            context.removes(&[&self.element]);
        }
        if is_pair && !element.could_be(&self.text_element()) {
            let at = if self.text.is_some() { "/text" } else { "" };
            let key = self.text_key();
            context
                .problem(at, format!("the elements of `{}` have no text `{key}`", self.from))
                .expected("the key of their text, in `text`");
        }
        let taken =
            if let Take::Top(_) = self.take { FieldType::list(element.clone()) } else { element.clone() };
        context.makes_as(&self.into, taken);
        match self.take {
            Take::Pair => context.makes_as(REJECTED.name, element),
            Take::Vote => context.makes_table(&VOTE),
            _ => {}
        }
        context.may_drop();
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let by = self.by.as_deref().map(|by| context.expression(by)).transpose()?;
        Ok(Processor::Transform(Box::new(Chooser {
            options: self.clone(),
            by,
            draws: context.draws.clone(),
        })))
    }
}

impl Choose {
    /// Reports options that `take` does not use, and missing ones that it needs.
    fn check_options(&self, context: &mut CheckContext<'_>) {
        let is_random = self.take == Take::Random;
        if self.by.is_none() && !is_random {
            context
                .problem("", "nothing says what the elements are compared by")
                .expected("`by`, an expression such as `candidate.score`");
        }
        for (option, is_set) in [("by", self.by.is_some()), ("ties", self.ties.is_some())] {
            if is_set && is_random {
                context.problem(&format!("/{option}"), "nothing is compared with `take: random`").on_key();
            }
        }
        let of_pairs = [
            ("rejected", self.rejected.is_some()),
            ("min_gap", self.min_gap.is_some()),
            ("text", self.text.is_some()),
        ];
        for (option, is_set) in of_pairs {
            if is_set && self.take != Take::Pair {
                let message = format!("`{option}` is for `take: pair` alone");
                context.problem(&format!("/{option}"), message).on_key();
            }
        }
        if self.take == Take::Top(0) {
            context.problem("/take/top", "nothing is taken").expected("1 or more");
        }
        if self.min_gap.as_ref().is_some_and(|gap| gap.0 < crate::rational::whole(0)) {
            context.problem("/min_gap", "a gap below 0").expected("0 or more");
        }
    }

    fn text_key(&self) -> &str {
        self.text.as_deref().unwrap_or(TEXT)
    }

    /// The type of elements that have a text to compare; a list of messages counts as one.
    fn text_element(&self) -> FieldType {
        let text = FieldType::text().or(FieldType::any_list());
        FieldType::text().or(FieldType::object_of(vec![(self.text_key().to_owned(), text)], true))
    }

    fn ties(&self) -> Ties {
        let default = if self.take == Take::Vote { Ties::Drop } else { Ties::Random };
        self.ties.unwrap_or(default)
    }
}

/// The processor: selects elements of the list in a record.
struct Chooser {
    options: Choose,
    by: Option<Expression>,
    draws: Draws,
}

impl Transform for Chooser {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        let options = &self.options;
        let Some(Value::Array(elements)) = record.get(&options.from).cloned() else {
            let message = format!("field `{}` is not a list", options.from);
            return Err(StageError::new("fields", message));
        };
        let values = self.values(record, &elements)?;
        let rng = self.draws.rng("elements", &record.id);
        let selected = Selector { options, elements: &elements, values: &values, rng }.select()?;
        let (decision, output) = match &selected {
            ElementSelection::Dropped(reason) => {
                (json!({"values": values, "elements": elements}), TransformOutput::Drop((*reason).into()))
            }
            ElementSelection::Taken { chosen, rejected, vote } => {
                let one = |index: usize| elements[index].clone();
                let taken = match options.take {
                    Take::Top(_) => chosen.iter().map(|index| one(*index)).collect(),
                    _ => one(chosen[0]),
                };
                record.set(&options.into, taken);
                if let Some(rejected) = rejected {
                    record.set(REJECTED.name, one(*rejected));
                }
                if let Some(vote) = vote {
                    record.set("vote", vote.to_json());
                }
                let is_taken = |index: usize| chosen.contains(&index) || *rejected == Some(index);
                let others: Vec<Value> =
                    (0..elements.len()).filter(|index| !is_taken(*index)).map(one).collect();
                let decision =
                    json!({"values": values, "taken": chosen, "rejected": rejected, "not_taken": others});
                (decision, TransformOutput::Pass)
            }
        };
        record.provenance.fields.insert(self.draws.stage().to_string(), decision);
        Ok(output)
    }
}

impl Chooser {
    /// The value of each element, null if it has none.
    fn values(&self, record: &mut Record, elements: &[Value]) -> Result<Vec<Value>, StageError> {
        let Some(by) = &self.by else { return Ok(vec![Value::Null; elements.len()]) };
        let name = &self.options.element;
        // A row may have a field of this name that the check could not know.
        let shadowed = record.fields.get(name).cloned();
        let mut values = Vec::with_capacity(elements.len());
        let mut failed = None;
        for element in elements {
            record.set(name, element.clone());
            match by.value(record) {
                Ok(value) => values.push(value),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        match shadowed {
            Some(value) => record.set(name, value),
            None => drop(record.fields.shift_remove(name)),
        }
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(values),
        }
    }
}
