//! `parse`: parses a model's answer as JSON, validates it against a schema and stores its properties in fields.
//!
//! Comes right after `llm`; the engine joins the two, sends the schema with the question and acts according to
//! `on_error`. JSON is found in the answer by `llm::answer_json` and validated by `llm::answer_schema`; the
//! conditions of `checks` are in `checks.rs`. The answer's text stays in its field, so that a rejected record
//! shows what the model wrote.

mod checks;
mod on_error;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::checks::{Checks, Condition};
pub(in crate::stages) use self::on_error::OnErrorSteps;
use super::{Role, StageDescription};
use crate::llm::answer_json::{self, ExtractError, SchemaMatch};
use crate::llm::answer_schema::{AnswerSchema, kind_of};
use crate::pipeline::ProducedField;
use crate::pipeline::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{
    AnswerError, AnswerParser, BuildContext, BuildError, OnError, Processor, StageConfig, StageError,
};
use crate::template::Patterns;

/// Reads an answer as JSON.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parse {
    /// The field that holds the answer's text.
    #[serde(default = "input")]
    input: String,
    /// The JSON schema that the answer must match. It is sent with the question if the model's `structured_output`
    /// allows it.
    #[serde(default)]
    schema: Option<Value>,
    /// A file with the JSON schema.
    #[serde(default)]
    schema_file: Option<String>,
    /// The field in which the whole JSON value is stored; without it, the properties of the JSON object become fields
    /// of the record.
    #[serde(default)]
    into: Option<String>,
    /// Named conditions that the answer must meet in addition to the schema. If one is false, the answer is invalid:
    /// the model is shown the condition's message when it is asked again, and if no valid answer comes, the record is
    /// rejected with the condition's name as the class. If its expression fails, the record is rejected without
    /// asking again.
    #[serde(default)]
    checks: Checks,
    /// A YAML file of named lists of regular expressions, available to checks as `patterns`: `not question is
    /// search(patterns)`, or `search(patterns.en)` for one list. They match without regard to case.
    #[serde(default)]
    patterns: Option<String>,
    /// Fields of the answer that are also stored in `provenance/`, such as the quotations from a source that support
    /// an answer and do not belong in the data.
    #[serde(default)]
    provenance: Vec<String>,
    /// What to do if the answer is not JSON, is truncated, does not match the schema or fails a check: one step, or a
    /// list of steps that are tried in order. `{retry: N}` asks again at most N times and shows the model what was
    /// wrong, `heuristic` has the heuristic provider answer, `reject` rejects the record.
    #[serde(default)]
    on_error: OnErrorSteps,
}

fn input() -> String {
    "completion".into()
}

impl StageDescription for Parse {
    const NAME: &'static str = "parse";
    const ROLE: Role = Role::AnswerParser;
    const PURPOSE: &'static str = "Parses a model's answer as JSON, checks it against a schema and conditions, and stores it in \
         fields.";
    const MAKES: &'static [ProducedField] = &[
        ProducedField::new(
            "PROPERTY",
            FieldType::any,
            "Each property of the answer: those that the schema declares, or all if there is no schema.",
        ),
        ProducedField::named_by(
            "into",
            "FIELD",
            FieldType::any,
            "With `into`: the whole value, instead of its properties.",
        ),
    ];
    const EXAMPLE: &'static str = r#"name: parse-example
models:
  teacher: {provider: heuristic}
stages:
  - ingest: {paths: ["markdown_docs/*.md"]}
  - section: {}
  - plan_questions: {}
  - prompt: {user: "Ask and answer one question about: {{ section.text }}"}
  - llm: {model: teacher}
  - parse:
      schema:
        type: object
        required: [question, answer]
        properties:
          question: {type: string, minLength: 10}
          answer: {type: string}
      checks:
        no_answer: {require: "answer != question", message: "The answer repeats the question."}
      on_error: [{retry: 2}, heuristic]
  - sink: {path: answers.jsonl, format: raw, fields: [question, answer]}
"#;
}

impl StageConfig for Parse {
    fn check(&self, context: &mut CheckContext<'_>) {
        context.needs_type("/input", &self.input, &FieldType::text());
        for problem in self.on_error.problems() {
            context.problem("/on_error", problem);
        }
        if self.schema.is_some() && self.schema_file.is_some() {
            context
                .problem("/schema_file", "`schema` and `schema_file` are both given")
                .expected("one of them");
        }
        self.check_schema(context);
        let patterns = self.patterns.as_ref().and_then(|path| context.read_patterns("/patterns", path));
        // If the file cannot be used, its own problem is enough.
        if patterns.is_some() || self.patterns.is_none() {
            self.checks.check(patterns.as_ref(), context);
        }
        for (index, name) in self.provenance.iter().enumerate() {
            context.needs_type(&format!("/provenance/{index}"), name, &FieldType::any());
        }
    }

    fn build(&self, context: &BuildContext) -> Result<Processor, BuildError> {
        let declared = match (&self.schema, &self.schema_file) {
            (Some(schema), _) => Some(schema.clone()),
            (None, Some(path)) => {
                let path = context.render(path)?;
                let text = context.read_file(path.clone())?;
                Some(from_json(&text).map_err(|message| BuildError::Other(format!("`{path}`: {message}")))?)
            }
            (None, None) => None,
        };
        let schema = declared.as_ref().map(AnswerSchema::new).transpose().map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            BuildError::Other(texts.join("; "))
        })?;
        let patterns = self.patterns.as_ref().map(|path| context.read_patterns(path)).transpose()?;
        Ok(Processor::AnswerParser(Box::new(Parser {
            input: self.input.clone(),
            into: self.into.clone(),
            declared: schema.iter().flat_map(fields_of).collect(),
            schema,
            conditions: self.checks.build(patterns.as_ref(), context)?,
            provenance: self.provenance.clone(),
            on_error: self.on_error.0.clone(),
        })))
    }
}

impl Parse {
    /// Checks the schema and declares the fields that come from it.
    fn check_schema(&self, context: &mut CheckContext<'_>) {
        let at = if self.schema.is_some() { "/schema" } else { "/schema_file" };
        let Some(declared) = self.declared_schema(context) else {
            self.makes_anything(context);
            return;
        };
        match AnswerSchema::new(&declared) {
            Ok(schema) => self.makes(&schema, context),
            Err(errors) => {
                for error in errors {
                    // Locations inside another file cannot be shown in the pipeline's own text.
                    let (at, message) = match at {
                        "/schema" => (format!("/schema{}", error.at), error.message),
                        _ => (at.to_owned(), format!("`{}`: {}", error.at, error.message)),
                    };
                    context.problem(&at, message);
                }
                self.makes_anything(context);
            }
        }
    }

    fn declared_schema(&self, context: &mut CheckContext<'_>) -> Option<Value> {
        if let Some(schema) = &self.schema {
            return Some(schema.clone());
        }
        let path = context.render("/schema_file", self.schema_file.as_ref()?)?;
        let text = context.read_file("/schema_file", &path)?;
        match from_json(&text) {
            Ok(schema) => Some(schema),
            Err(message) => {
                context.problem("/schema_file", format!("`{path}`: {message}"));
                None
            }
        }
    }

    /// Declares the fields of an answer that meets the schema.
    fn makes(&self, schema: &AnswerSchema, context: &mut CheckContext<'_>) {
        let kind = schema.kind();
        match &self.into {
            None if !kind.could_be(&FieldType::object()) => self.report_non_object(schema, context),
            Some(_) if !kind.could_be(&FieldType::object().or(FieldType::any_list())) => {
                self.report_non_object(schema, context);
            }
            _ => {}
        }
        if let Some(into) = &self.into {
            context.makes_as(into, kind);
            return;
        }
        kind.fields().for_each(|(name, kind)| context.makes_as(name, kind.clone()));
        if schema.is_open() {
            context.may_have_other_fields();
        }
    }

    /// Reports a schema whose values cannot be parsed from an answer, or cannot become fields.
    fn report_non_object(&self, schema: &AnswerSchema, context: &mut CheckContext<'_>) {
        let kind = schema.kind();
        let at = match (&self.schema, schema.value().get("type")) {
            (None, _) => "/schema_file",
            (Some(_), Some(_)) => "/schema/type",
            (Some(_), None) => "/schema",
        };
        let is_list = kind.could_be(&FieldType::any_list());
        let message = match is_list {
            true => format!("the schema wants {kind}, which has no properties to make fields of"),
            false => format!("the schema wants {kind}, and an answer is read as a JSON object or list"),
        };
        let hint = match is_list {
            true => "name a field for the whole value with `into`".to_owned(),
            false => format!(
                "put it into an object: {{type: object, required: [answer], properties: {{answer: {}}}}}",
                schema.value()
            ),
        };
        context.problem(at, message).expected("`object`").hint(hint);
    }

    fn makes_anything(&self, context: &mut CheckContext<'_>) {
        match &self.into {
            Some(into) => context.makes_as(into, FieldType::object().or(FieldType::any_list())),
            None => context.may_have_other_fields(),
        }
    }
}

fn fields_of(schema: &AnswerSchema) -> Vec<String> {
    schema.kind().fields().map(|(name, _)| name.to_owned()).collect()
}

fn from_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

/// Longer answers, in bytes, are parsed on another thread: in the worst case, an answer of this length takes a
/// tenth of a second.
const LONG: usize = 4096;

struct Parser {
    input: String,
    into: Option<String>,
    schema: Option<AnswerSchema>,
    /// The properties that the schema declares.
    declared: Vec<String>,
    conditions: Vec<Condition>,
    provenance: Vec<String>,
    on_error: Vec<OnError>,
}

impl AnswerParser for Parser {
    fn schema(&self) -> Option<&Value> {
        self.schema.as_ref().map(AnswerSchema::value)
    }

    fn on_error(&self) -> &[OnError] {
        &self.on_error
    }

    fn answer_text<'a>(&self, record: &'a Record) -> Result<&'a str, StageError> {
        record
            .text(&self.input)
            .ok_or_else(|| StageError::new("input", format!("`{}` is no text", self.input)))
    }

    fn parse(&self, text: &str) -> Result<Value, StageError> {
        let read = answer_json::extract_fitting(text, |value| self.judge(value), |value| self.explain(value));
        read.map_err(|error| {
            let class = if matches!(error, ExtractError::Unfit(_)) && self.schema.is_some() {
                "schema"
            } else {
                "json"
            };
            StageError::new(class, error.to_string())
        })
    }

    fn may_take_long(&self, text: &str) -> bool {
        text.len() > LONG || self.schema.as_ref().is_some_and(AnswerSchema::may_take_long)
    }

    fn store(&self, record: &mut Record, value: Value) -> Result<(), AnswerError> {
        let fields = match (&self.into, value) {
            (Some(into), value) => Map::from_iter([(into.clone(), value)]),
            (None, Value::Object(properties)) => properties,
            // The value counts as no answer.
            (None, _) => Map::new(),
        };
        // Properties that the schema does not declare replace no field before the checks have read it.
        let (fields, late): (Map<_, _>, Map<_, _>) =
            fields.into_iter().partition(|(name, _)| self.may_be_judged_by(name, record));
        let before: Vec<(String, Option<Value>)> = match self.conditions.is_empty() {
            true => Vec::new(),
            false => fields.keys().map(|name| (name.clone(), record.fields.get(name).cloned())).collect(),
        };
        record.fields.extend(fields);
        if let Err(error) = checks::judge(&self.conditions, record) {
            for (name, value) in before {
                match value {
                    Some(value) => record.set(&name, value),
                    None => drop(record.fields.shift_remove(&name)),
                }
            }
            return Err(error);
        }
        record.fields.extend(late);
        for name in &self.provenance {
            if let Some(value) = record.get(name).cloned() {
                record.provenance.fields.insert(name.clone(), value);
            }
        }
        Ok(())
    }
}

impl Parser {
    /// Whether checks see this property of an answer: an answer must not provide the text that it is compared
    /// with, nor replace the patterns.
    fn may_be_judged_by(&self, name: &str, record: &Record) -> bool {
        let is_declared = self.into.is_some() || self.declared.iter().any(|declared| declared == name);
        is_declared || (!record.fields.contains_key(name) && name != Patterns::NAME)
    }

    fn judge(&self, value: &Value) -> SchemaMatch {
        match &self.schema {
            _ if self.into.is_none() && !value.is_object() => SchemaMatch::OtherType,
            None => SchemaMatch::Valid,
            Some(schema) if !schema.takes(value) => SchemaMatch::OtherType,
            Some(schema) if schema.is_met_by(value) => SchemaMatch::Valid,
            Some(_) => SchemaMatch::Invalid,
        }
    }

    fn explain(&self, value: &Value) -> String {
        let unmet = self.schema.as_ref().and_then(|schema| schema.check(value).err());
        unmet.unwrap_or_else(|| format!("expected a JSON object, got {}", kind_of(value)))
    }
}

#[cfg(test)]
mod tests;
