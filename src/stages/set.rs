//! `set`: sets fields to values computed from the record.
//!
//! Allowed anywhere after the source part, wherever a later stage needs a value under another name, in another
//! form, or computed from several. Fields are set in the order written, so that a later one sees those before it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Role, StageDescription};
use crate::pipeline::ProducedField;
use crate::pipeline::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{
    BuildContext, BuildError, Processor, StageConfig, StageError, Transform, TransformOutput,
};
use crate::template::{Expression, Template};

/// The key of an expression.
const EXPRESSION: &str = "expr";
/// Names that are built into templates; a field would hide them.
const RESERVED: [&str; 5] = ["record", "vars", "previous", "repeat", "for_each"];

/// Sets fields of the record.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Set {
    fields: Map<String, Value>,
}

/// The value of a field, as it was written.
enum ValueSpec<'a> {
    Template(&'a str),
    Expression(&'a str),
    Literal(&'a Value),
}

impl<'a> ValueSpec<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::Template(text),
            Value::Object(map) => match map.get(EXPRESSION).and_then(Value::as_str) {
                Some(expression) => Self::Expression(expression),
                None => Self::Literal(value),
            },
            other => Self::Literal(other),
        }
    }
}

impl JsonSchema for Set {
    fn schema_name() -> Cow<'static, str> {
        "Set".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Sets fields of the record.",
            "type": "object",
            "properties": {},
            "additionalProperties": {
                "description": "A field and its value. A text is a template, rendered to text. `{expr: EXPRESSION}` sets the expression's value with its type (a number, a list, an object), or null if it has none. Numbers, `true`, `false`, lists and null are set as they are. Later fields can use earlier ones.",
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "properties": {EXPRESSION: {"description": "The expression.", "type": "string"}},
                        "required": [EXPRESSION],
                        "additionalProperties": false,
                    },
                    {"type": ["number", "boolean", "array", "null"]},
                ],
            },
        })
    }
}

impl StageDescription for Set {
    const NAME: &'static str = "set";
    const ROLE: Role = Role::Transform;
    const PURPOSE: &'static str =
        "Sets fields of the record to texts, to the values of expressions, or to fixed values.";
    const MAKES: &'static [ProducedField] = &[ProducedField::new(
        "NAME",
        FieldType::any,
        "Each field that is named: the rendered text of a template, otherwise the value.",
    )];
    const EXAMPLE: &'static str = r#"name: set-example
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - set:
      title: "{{ section.heading_path }}"
      words: {expr: "section.text | wordcount"}
      long: {expr: "words > 100"}
      labels: [sample, english]
  - sink: {path: sections.jsonl, format: raw, fields: [title, words, long, labels]}
"#;
}

impl StageConfig for Set {
    fn check(&self, context: &mut CheckContext<'_>) {
        if self.fields.is_empty() {
            context
                .problem("", "`set` sets no field")
                .expected("a field and its value, such as `title: \"{{ text }}\"`");
        }
        for (name, value) in &self.fields {
            let at = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            check_name(context, &at, name);
            let kind = match ValueSpec::of(value) {
                ValueSpec::Template(source) => {
                    context.template(&at, source);
                    FieldType::text()
                }
                ValueSpec::Expression(source) => {
                    let right = context.expression(&format!("{at}/{EXPRESSION}"), source).is_some();
                    if right { context.type_of_expression(source) } else { FieldType::any() }
                }
                ValueSpec::Literal(value) => {
                    check_literal(context, &at, value);
                    FieldType::of_value(value)
                }
            };
            context.makes_as(name, kind);
        }
        context.keeps_items();
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let mut fields = Vec::with_capacity(self.fields.len());
        for (name, value) in &self.fields {
            let value = match ValueSpec::of(value) {
                ValueSpec::Template(source) => CompiledValue::Template(context.template(source)?),
                ValueSpec::Expression(source) => CompiledValue::Expression(context.expression(source)?),
                ValueSpec::Literal(value) => CompiledValue::Literal(value.clone()),
            };
            fields.push((name.clone(), value));
        }
        Ok(Processor::Transform(Box::new(Setter { fields })))
    }
}

fn check_name(context: &mut CheckContext<'_>, at: &str, name: &str) {
    if RESERVED.contains(&name) {
        context
            .problem(at, format!("`{name}` has a meaning of its own in templates"))
            .on_key()
            .expected("another name for the field");
    } else if name.is_empty() || name.contains('.') {
        context
            .problem(at, format!("`{name}` is no field's name"))
            .on_key()
            .expected("a name without dots: a field is set as a whole")
            .hint("an expression makes an object: `{expr: \"{'title': title, 'words': words}\"}`");
    }
}

/// Reports a template inside a list, where it would not be rendered.
fn check_literal(context: &mut CheckContext<'_>, at: &str, value: &Value) {
    if holds_template(value) {
        context
            .problem(at, "a template inside a list is not rendered")
            .hint("an expression makes a list of values: `{expr: \"[title, words]\"}`");
    }
}

fn holds_template(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{") || text.contains("{%"),
        Value::Array(items) => items.iter().any(holds_template),
        Value::Object(map) => map.values().any(holds_template),
        _ => false,
    }
}

/// The processor: the fields in order.
struct Setter {
    fields: Vec<(String, CompiledValue)>,
}

enum CompiledValue {
    Template(Template),
    Expression(Expression),
    Literal(Value),
}

impl Transform for Setter {
    fn process(&self, record: &mut Record) -> Result<TransformOutput, StageError> {
        for (name, setting) in &self.fields {
            let value = match setting {
                CompiledValue::Template(template) => Value::String(template.render(record)?),
                CompiledValue::Expression(expression) => expression.value(record)?,
                CompiledValue::Literal(value) => value.clone(),
            };
            record.set(name, value);
        }
        Ok(TransformOutput::Pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{build, record};
    use serde_json::json;

    /// The record after a `set`, or the class of its error.
    fn after(config: Value, fields: Value) -> Result<Value, String> {
        let Processor::Transform(part) = build::<Set>(config) else { panic!("not a transform") };
        let mut record = record(fields);
        match part.process(&mut record) {
            Ok(TransformOutput::Pass) => Ok(Value::Object(record.fields)),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.class.into_owned()),
        }
    }

    #[test]
    fn templates_give_texts_expressions_values_and_literals_themselves() {
        let fields = json!({"text": "a few words", "scores": [3, 5, 4], "n": 2});
        for (value, expected) in [
            (json!("{{ n }} of {{ scores | length }}"), json!("2 of 3")),
            (json!("{{ n }}"), json!("2")),
            (json!("plain"), json!("plain")),
            (json!({"expr": "text | wordcount"}), json!(3)),
            (json!({"expr": "scores | max"}), json!(5)),
            (json!({"expr": "[] | max"}), json!(null)),
            (json!({"expr": "scores | sort"}), json!([3, 4, 5])),
            (json!({"expr": "{'n': n, 'text': text}"}), json!({"n": 2, "text": "a few words"})),
            (json!({"expr": "n > 1"}), json!(true)),
            (json!(0.5), json!(0.5)),
            (json!(false), json!(false)),
            (json!(null), json!(null)),
            (json!([1, ["a", null]]), json!([1, ["a", null]])),
        ] {
            let set = after(json!({"made": value.clone()}), fields.clone()).unwrap();
            assert_eq!(set["made"], expected, "{value}");
            assert_eq!(set["text"], fields["text"]);
        }
        assert_eq!(after(json!({"made": "{{ missing }}"}), fields.clone()), Err("template".to_owned()));
        assert_eq!(after(json!({"made": {"expr": "text + n"}}), fields), Err("template".to_owned()));
    }

    #[test]
    fn later_fields_see_those_before_them() {
        let config = json!({"b": {"expr": "a + 1"}, "a": {"expr": "b * 10"}, "c": "{{ a }}{{ b }}"});
        assert_eq!(after(config, json!({"a": 1})), Ok(json!({"a": 20, "b": 2, "c": "202"})));
    }

    /// The problems reported for a `set`, and the types of these fields after it.
    fn checked(config: &str, names: &[&str]) -> (Vec<String>, Vec<FieldType>) {
        let declared: Set = serde_json::from_str(config).unwrap();
        let (vars, models) = Default::default();
        let mut context = CheckContext::new(&vars, &models);
        context.makes_as("text", FieldType::text());
        declared.check(&mut context);
        let messages = context.problems().iter().map(|problem| problem.message.clone()).collect();
        (messages, names.iter().map(|name| context.type_of(name)).collect())
    }

    #[test]
    fn the_types_of_set_fields_are_declared() {
        let config = r#"{"a": "{{ text }}", "b": {"expr": "text | wordcount"}, "c": {"expr": "b > 1"}, "d": [1, 2],
            "e": {"expr": "text | max"}, "text": 0.5}"#;
        let (messages, types) = checked(config, &["a", "b", "c", "d", "e", "text"]);
        assert_eq!(messages, [""; 0]);
        let numbers = FieldType::list(FieldType::integer());
        let fraction = FieldType::of_value(&json!(0.5));
        let (text, count, truth) = (FieldType::text(), FieldType::integer(), FieldType::boolean());
        assert_eq!(types, [text, count, truth, numbers, FieldType::any(), fraction]);
    }

    #[test]
    fn implausible_names_and_values_are_refused() {
        for (config, expected) in [
            (r#"{"b": "{{ a }}", "a": "{{ text }}"}"#, "no earlier stage makes `a`"),
            (r#"{"a": {"expr": "text.title"}}"#, "`text` is a text: there is no `title` in it"),
            (r#"{"a": {"expr": "text +"}}"#, "syntax error"),
            (r#"{"record": 1}"#, "`record` has a meaning of its own"),
            (r#"{"vars": 1}"#, "`vars` has a meaning of its own"),
            (r#"{"section.title": 1}"#, "`section.title` is no field's name"),
            (r#"{"a": ["{{ text }}"]}"#, "a template inside a list is not rendered"),
            ("{}", "`set` sets no field"),
        ] {
            let (messages, _) = checked(config, &[]);
            assert_eq!(messages.len(), 1, "{config}: {messages:?}");
            assert!(messages[0].contains(expected), "{config}: {messages:?}");
        }
    }
}
