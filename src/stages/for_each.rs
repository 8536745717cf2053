//! `for_each`: passes each element of a list through the stages inside it, concurrently.
//!
//! For several answers to one question, from which the best or the majority is chosen, and for the parts of a
//! text. Allowed anywhere after the source part; the engine runs the elements and joins them in order.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Role, StageDescription};
use crate::pipeline::{CheckContext, FieldType, NumberOrExpression, ProducedField};
use crate::record::Record;
use crate::stage::{
    BlockConfig, BuildContext, BuildError, Collect, ForEachBlock, Processor, StageConfig, StageError,
};
use crate::template::Expression;

/// The field with the element's index and the number of elements.
const FOR_EACH: &str = "for_each";
/// The key of the element's index in a collected entry.
const INDEX: &str = "index";
/// The maximum number of elements of one record: all of them are in memory at the same time.
const MOST_ELEMENTS: u32 = 10_000;
/// Names that have another meaning.
const RESERVED: [&str; 6] = [FOR_EACH, "repeat", "previous", "record", "id", "vars"];

/// Runs its stages on each element of a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForEach {
    /// The elements: a field that holds a list, or an expression whose value is one; or a number N, for the elements
    /// 0 to N-1. At most 10,000 per record.
    #[serde(rename = "in")]
    elements: NumberOrExpression,
    /// The field that holds the element.
    #[serde(default = "element", rename = "as")]
    element: String,
    /// Collects the results of the elements in one record. Without it, each element becomes a record of its own.
    #[serde(default)]
    collect: Option<CollectConfig>,
    /// With `collect`: the minimum number of elements that must succeed, 1 by default; with fewer the record is
    /// rejected. 0 allows an empty list.
    #[serde(default)]
    at_least: Option<usize>,
    /// The stages that run on each element, in order, each a map with one key, its type. They can use
    /// `for_each.index` and `for_each.count`.
    #[schemars(with = "Vec<Value>")]
    #[expect(dead_code, reason = "read stage by stage, where each has its place in the file")]
    stages: IgnoredAny,
}

/// How the results of the elements are collected in one record.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CollectConfig {
    /// The field that receives the list, with an entry for each element that succeeded, in order.
    into: String,
    /// The fields of each element's record that an entry holds, in addition to the element's `index` (from 0). Other
    /// fields set in the block do not exist after it.
    fields: Vec<String>,
}

fn element() -> String {
    "element".into()
}

const ELEMENT: ProducedField = ProducedField::named_by("as", "element", FieldType::any, "The element.");

impl StageDescription for ForEach {
    const NAME: &'static str = "for_each";
    const ROLE: Role = Role::Block;
    const PURPOSE: &'static str = "Runs its stages on each element of a list, concurrently, and collects the results in one record or \
         passes each on by itself.";
    const MAKES: &'static [ProducedField] = &[
        ELEMENT,
        ProducedField::new(
            "for_each.index",
            FieldType::integer,
            "In the block: the index of the element, from 0.",
        ),
        ProducedField::new("for_each.count", FieldType::integer, "In the block: the number of elements."),
        ProducedField::named_by(
            "collect.into",
            "FIELD",
            FieldType::any_list,
            "After the block, with `collect`: objects with `index` and the collected fields.",
        ),
    ];
    const EXAMPLE: &'static str = r#"name: for-each-example
models:
  teacher: {provider: heuristic}
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - plan_questions: {}
  - for_each:
      id: candidates
      in: 3
      as: candidate
      collect: {into: candidates, fields: [question, answer]}
      stages:
        - prompt: {user: "Ask and answer one question about: {{ section.text }} (attempt {{ candidate }})"}
        - llm: {model: teacher}
        - parse:
            schema:
              type: object
              required: [question, answer]
              properties: {question: {type: string}, answer: {type: string}}
  - sink: {path: candidates.jsonl, format: raw, fields: [candidates]}
"#;
}

impl StageConfig for ForEach {
    fn check(&self, context: &mut CheckContext<'_>) {
        match &self.elements {
            NumberOrExpression::Fixed(count) if *count > MOST_ELEMENTS => {
                context
                    .problem("/in", format!("found the number `{count}`"))
                    .expected(format!("{MOST_ELEMENTS} elements at most"));
            }
            NumberOrExpression::Fixed(_) => {}
            NumberOrExpression::Computed(elements) => self.check_elements(context, elements),
        }
        check_name(context, "/as", &self.element);
        let Some(collect) = &self.collect else {
            if self.at_least.is_some() {
                context
                    .problem("/at_least", "nothing is collected")
                    .on_key()
                    .hint("`at_least` counts what `collect` joins");
            }
            return;
        };
        check_name(context, "/collect/into", &collect.into);
        if let (NumberOrExpression::Fixed(count), Some(at_least)) = (&self.elements, self.at_least)
            && at_least > *count as usize
        {
            context
                .problem("/at_least", format!("found the number `{at_least}`"))
                .expected(format!("no more than the {count} elements that there are"));
        }
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        Ok(Processor::ForEach(Box::new(ElementExpander {
            elements: match &self.elements {
                NumberOrExpression::Fixed(count) => ElementSource::Fixed(*count),
                NumberOrExpression::Computed(elements) => {
                    ElementSource::Computed(context.expression(elements)?)
                }
            },
            element: self.element.clone(),
            collect: self.collect.as_ref().map(|collect| Collect {
                into: collect.into.clone(),
                fields: collect.fields.clone(),
                at_least: self.at_least.unwrap_or(1),
            }),
        })))
    }

    fn fans_out(&self) -> bool {
        self.collect.is_none()
    }

    fn block(&self) -> Option<&dyn BlockConfig> {
        Some(self)
    }
}

impl BlockConfig for ForEach {
    fn enter(&self, context: &mut CheckContext<'_>) {
        let element = match &self.elements {
            NumberOrExpression::Fixed(_) => FieldType::integer(),
            NumberOrExpression::Computed(elements) => context.type_of_expression(elements).elements(),
        };
        let place = ["index", "count"].map(|name| (name.to_owned(), FieldType::integer()));
        match self.collect {
            Some(_) => context.makes_in_block(&self.element, element),
            None => context.makes_as(&self.element, element),
        }
        context.makes_in_block(FOR_EACH, FieldType::object_of(place.into(), false));
    }

    fn leave(&self, context: &mut CheckContext<'_>) {
        let Some(collect) = &self.collect else { return };
        let mut entry = vec![(INDEX.to_owned(), FieldType::integer())];
        if collect.fields.is_empty() {
            context.problem("/collect/fields", "nothing is collected").expected("a field at least");
        }
        for (index, field) in collect.fields.iter().enumerate() {
            let at = format!("/collect/fields/{index}");
            if field == INDEX {
                context.problem(&at, "`index` is in every entry already");
            } else if collect.fields[..index].contains(field) {
                context.problem(&at, format!("`{field}` is named twice"));
            } else if context.knows(field) && !context.is_field(field) {
                context
                    .problem(&at, format!("`{field}` is no field of its own"))
                    .expected("the name of a field")
                    .hint(format!("make it one with `set: {{name: {{expr: {field}}}}}` in the block"));
            } else {
                context.needs(&at, field);
                entry.push((field.clone(), context.type_of(field)));
            }
        }
        context.restores_fields("collect it with `collect: {fields: [...]}`");
        context.makes_as(&collect.into, FieldType::list(FieldType::object_of(entry, false)));
    }

    fn is_loop(&self) -> bool {
        false
    }

    fn takes_several(&self) -> bool {
        self.collect.is_none()
    }
}

impl ForEach {
    fn check_elements(&self, context: &mut CheckContext<'_>, elements: &str) {
        if context.expression("/in", elements).is_none() {
            return;
        }
        let kind = context.type_of_expression(elements);
        if !kind.could_be(&FieldType::any_list().or(FieldType::number())) {
            context.problem("/in", format!("`{elements}` is {kind}")).expected("a list, or a whole number");
        }
    }
}

/// Reports a name that a template could not use, or would take for something else.
fn check_name(context: &mut CheckContext<'_>, at: &str, name: &str) {
    let letters = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if name.is_empty() || !letters(name) || name.starts_with(|first: char| first.is_ascii_digit()) {
        context.problem(at, format!("`{name}` is no name of a field")).expected("letters, digits and `_`");
    } else if RESERVED.contains(&name) {
        context.problem(at, format!("`{name}` has a meaning of its own")).expected("another name");
    }
}

struct ElementExpander {
    elements: ElementSource,
    element: String,
    collect: Option<Collect>,
}

enum ElementSource {
    Fixed(u32),
    Computed(Expression),
}

impl ForEachBlock for ElementExpander {
    fn elements(&self, record: &Record) -> Result<Vec<Value>, StageError> {
        let expression = match &self.elements {
            ElementSource::Fixed(count) => return Ok((0..*count).map(Value::from).collect()),
            ElementSource::Computed(expression) => expression,
        };
        let too_many = |count: String| {
            let message = format!("{count} elements; a record may have {MOST_ELEMENTS} at most");
            Err(StageError::new("for_each", message))
        };
        match expression.value(record)? {
            Value::Array(list) if list.len() > MOST_ELEMENTS as usize => too_many(list.len().to_string()),
            Value::Array(list) => Ok(list),
            value @ Value::Number(_) => match NumberOrExpression::whole(&value) {
                Some(count) if count > u64::from(MOST_ELEMENTS) => too_many(count.to_string()),
                Some(count) => Ok((0..count).map(Value::from).collect()),
                None => Err(no_elements(&format!("the number `{value}`"))),
            },
            Value::Null => Err(no_elements("null")),
            Value::Bool(truth) => Err(no_elements(&format!("`{truth}`"))),
            Value::String(_) => Err(no_elements("a text")),
            Value::Object(_) => Err(no_elements("an object")),
        }
    }

    fn element_field(&self) -> &str {
        &self.element
    }

    fn collect(&self) -> Option<&Collect> {
        self.collect.as_ref()
    }
}

fn no_elements(found: &str) -> StageError {
    StageError::new("for_each", format!("`in` is {found}, neither a list nor a whole number of 0 or more"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{build, record};
    use serde_json::json;

    fn elements(mut config: Value) -> Box<dyn ForEachBlock> {
        config["stages"] = json!([]);
        let Processor::ForEach(part) = build::<ForEach>(config) else { panic!("not a `for_each`") };
        part
    }

    #[track_caller]
    fn check(written: Value, fields: Value, expected: Result<Value, &str>) {
        match (elements(json!({ "in": written })).elements(&record(fields)), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(Value::from(found), expected, "{written}"),
            (Err(error), Err(expected)) => {
                assert_eq!(error.class, "for_each");
                assert!(error.message.contains(expected), "{written}: {}", error.message);
            }
            (found, _) => panic!("{written} gives {found:?}"),
        }
    }

    #[test]
    fn elements_come_from_a_number_a_field_or_an_expression() {
        check(json!(3), json!({}), Ok(json!([0, 1, 2])));
        check(json!("n"), json!({"n": 2}), Ok(json!([0, 1])));
        check(json!("n"), json!({"n": 0}), Ok(json!([])));
        check(json!("parts"), json!({"parts": ["a", {"b": 1}]}), Ok(json!(["a", {"b": 1}])));
        check(json!("text | lines"), json!({"text": "a\nb"}), Ok(json!(["a", "b"])));
        check(json!("n / 2"), json!({"n": 4}), Ok(json!([0, 1])));
        check(json!("range(4, 6)"), json!({}), Ok(json!([4, 5])));
        for (value, expected) in [
            (json!("abc"), "`in` is a text"),
            (json!(null), "`in` is null"),
            (json!({"a": 1}), "`in` is an object"),
            (json!(true), "`in` is `true`"),
            (json!(-1), "`in` is the number `-1`"),
            (json!(1.5), "`in` is the number `1.5`"),
            (json!(10_001), "10001 elements; a record may have 10000 at most"),
            (json!(vec![0; 10_001]), "10001 elements"),
        ] {
            check(json!("n"), json!({ "n": value }), Err(expected));
        }
        assert_eq!(
            elements(json!({"in": "n"})).elements(&record(json!({"n": 10_000}))).unwrap().len(),
            10_000
        );
    }

    #[test]
    fn what_is_collected_is_as_it_is_written() {
        let part = elements(json!({"in": 3}));
        assert_eq!((part.element_field(), part.collect()), ("element", None));
        let part = elements(json!({"in": 3, "as": "try", "collect": {"into": "tries", "fields": ["a"]}}));
        let collect = Collect { into: "tries".into(), fields: vec!["a".into()], at_least: 1 };
        assert_eq!((part.element_field(), part.collect()), ("try", Some(&collect)));
        let part = elements(json!({"in": 3, "at_least": 0, "collect": {"into": "tries", "fields": ["a"]}}));
        assert_eq!(part.collect().unwrap().at_least, 0);
    }
}
