//! The JSON schema of an answer, and descriptions of violations that a model can act on.
//!
//! `stages::parse` compiles one for each stage and validates every answer with it; the engine shows the message to the
//! model when it asks again. Schemas refer only to themselves. Time and memory are bounded by the sizes of schema and
//! answer: `violations` lists errors, and a pattern gives up on a text after a number of steps.

mod violations;

use std::sync::OnceLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{PatternOptions, ValidationError, ValidationOptions, Validator};
use serde_json::{Map, Value};

use self::violations::SchemaParts;
use crate::pipeline::{FieldType, is_closed, reference_resolves};

/// The backtracking limit of a pattern with look-around on one text; beyond it the pattern counts as not matched.
const MAX_BACKTRACKING: usize = 100_000;
/// The number of names and options that are listed of a longer list.
const MAX_LISTED: usize = 10;

/// A compiled JSON schema.
#[derive(Debug)]
pub struct AnswerSchema {
    schema: Value,
    validator: Validator,
    /// Created at the first invalid answer; `None` if the schema cannot be decomposed.
    parts: OnceLock<Option<SchemaParts>>,
    may_take_long: bool,
}

/// What is wrong with a schema itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SchemaError {
    /// JSON pointer to the error in the schema.
    pub at: String,
    /// What is wrong there.
    pub message: String,
}

impl AnswerSchema {
    /// Compiles a schema, or returns everything that is wrong with it.
    pub fn new(schema: &Value) -> Result<Self, Vec<SchemaError>> {
        if let Ok(meta) = jsonschema::meta::validator_for(schema) {
            let errors: Vec<SchemaError> = meta.iter_errors(schema).map(|error| wrong(&error)).collect();
            if !errors.is_empty() {
                return Err(errors);
            }
        }
        let mut errors = Vec::new();
        find_impossible(schema, schema, "", &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        match compiled().build(schema) {
            Ok(validator) => {
                let may_take_long = names_any(
                    schema,
                    &["$ref", "$dynamicRef", "$recursiveRef", "pattern", "patternProperties"],
                );
                Ok(Self { schema: schema.clone(), validator, parts: OnceLock::new(), may_take_long })
            }
            Err(error) => Err(vec![wrong(&error)]),
        }
    }

    /// Returns the original schema.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.schema
    }

    /// Whether `answer` conforms to the schema.
    #[must_use]
    pub fn is_met_by(&self, answer: &Value) -> bool {
        self.validator.is_valid(answer)
    }

    /// Whether validating a short answer may take long: with references and patterns.
    #[must_use]
    pub fn may_take_long(&self) -> bool {
        self.may_take_long
    }

    /// Whether the schema's own `type` allows the type of `answer`.
    #[must_use]
    pub fn takes(&self, answer: &Value) -> bool {
        match self.schema.get("type") {
            Some(Value::String(name)) => name == kind_of(answer),
            Some(Value::Array(names)) => names.iter().any(|name| name == kind_of(answer)),
            _ => true,
        }
    }

    /// Validates `answer`. The error describes the violations in one line of about 500 characters at most.
    pub fn check(&self, answer: &Value) -> Result<(), String> {
        if self.is_met_by(answer) {
            return Ok(());
        }
        Err(match self.parts.get_or_init(|| SchemaParts::of(&self.schema)) {
            Some(parts) => parts.explain(&self.schema, answer),
            None => "the answer does not meet the schema".to_owned(),
        })
    }

    /// Returns the type of a conforming answer.
    #[must_use]
    pub fn kind(&self) -> FieldType {
        FieldType::of_schema(&self.schema)
    }

    /// Whether an answer may have properties that the schema does not declare.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !is_closed(&self.schema)
    }
}

/// Whether one of `keys` occurs anywhere in a schema.
fn names_any(schema: &Value, keys: &[&str]) -> bool {
    match schema {
        Value::Object(object) => {
            object.iter().any(|(key, inner)| keys.contains(&key.as_str()) || names_any(inner, keys))
        }
        Value::Array(items) => items.iter().any(|inner| names_any(inner, keys)),
        _ => false,
    }
}

/// Pairs of limits of which the first must not be above the second.
const LIMITS: [(&str, &str); 4] = [
    ("minItems", "maxItems"),
    ("minLength", "maxLength"),
    ("minProperties", "maxProperties"),
    ("minimum", "maximum"),
];
/// Keywords that contain one schema, a list of schemas, and schemas by name.
const ONE: [&str; 3] = ["items", "additionalProperties", "contains"];
const SEVERAL: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const BY_NAME: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// Finds contradictions that no answer could satisfy, and references that lead outside the schema: properties that are
/// both required and forbidden (most likely misspelt), reversed limits, types that exclude each other.
fn find_impossible(schema: &Value, root: &Value, at: &str, errors: &mut Vec<SchemaError>) {
    let mut tell = |at: String, message: String| errors.push(SchemaError { at, message });
    let Some(schema) = schema.as_object() else {
        if *schema == Value::Bool(false) && at.is_empty() {
            tell(String::new(), "no answer meets the schema `false`".to_owned());
        }
        return;
    };
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false))
        && !schema.contains_key("patternProperties");
    let has = |name: &str| schema.get("properties").is_some_and(|properties| properties.get(name).is_some());
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for (index, name) in required.enumerate().filter_map(|(index, name)| Some((index, name.as_str()?))) {
        if closed && !has(name) {
            let message = format!("`{name}` is required, but `properties` has no such property");
            tell(format!("{at}/required/{index}"), message);
        }
    }
    for (least, most) in LIMITS {
        let limits = schema.get(least).and_then(Value::as_f64).zip(schema.get(most).and_then(Value::as_f64));
        if limits.is_some_and(|(least, most)| least > most) {
            tell(format!("{at}/{least}"), format!("`{least}` is above `{most}`: nothing meets both"));
        }
    }
    for (keyword, value) in [("enum", schema.get("enum")), ("const", schema.get("const"))] {
        let Some(value) = value else { continue };
        let options = if keyword == "enum" { value.clone() } else { Value::Array(vec![value.clone()]) };
        let mut only = Map::from_iter([("enum".to_owned(), options)]);
        only.extend(schema.get("type").map(|kind| ("type".to_owned(), kind.clone())));
        if FieldType::of_schema(&Value::Object(only)).is_impossible() {
            tell(format!("{at}/{keyword}"), format!("no value of `{keyword}` is of the `type`"));
        }
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        if !target.starts_with('#') {
            let message = format!("`{target}` leads outside the schema; a schema stands for itself");
            tell(format!("{at}/$ref"), message);
        } else if target.starts_with("#/") && !reference_resolves(target, root) {
            tell(format!("{at}/$ref"), format!("`{target}` leads nowhere in the schema"));
        }
    }
    let inside = |keyword: &str| format!("{at}/{keyword}");
    for keyword in ONE {
        if let Some(inner) = schema.get(keyword) {
            find_impossible(inner, root, &inside(keyword), errors);
        }
    }
    for keyword in SEVERAL {
        for (index, inner) in schema.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            find_impossible(inner, root, &format!("{}/{index}", inside(keyword)), errors);
        }
    }
    for keyword in BY_NAME {
        for (name, inner) in schema.get(keyword).and_then(Value::as_object).into_iter().flatten() {
            let name = name.replace('~', "~0").replace('/', "~1");
            find_impossible(inner, root, &format!("{}/{name}", inside(keyword)), errors);
        }
    }
}

fn wrong(error: &ValidationError<'_>) -> SchemaError {
    let at = error.instance_path().as_str().to_owned();
    let message = match error.kind() {
        ValidationErrorKind::AnyOf { .. } if at.ends_with("/type") => {
            "not a JSON schema: `type` is one of `array`, `boolean`, `integer`, `null`, `number`, `object`, \
             `string`, or a list of them"
                .to_owned()
        }
        _ if at.ends_with("/pattern") => "not a JSON schema: the pattern is no regular expression".to_owned(),
        ValidationErrorKind::Referencing(_) => format!("not a JSON schema: {error}"),
        _ => format!("not a JSON schema: {}", what(error)),
    };
    SchemaError { at, message }
}

fn what(error: &ValidationError<'_>) -> String {
    use ValidationErrorKind as Kind;
    let found = error.instance();
    let items = found.as_array().map_or(0, Vec::len);
    let characters = found.as_str().map_or(0, |text| text.chars().count());
    match error.kind() {
        Kind::Required { property } => format!("the property {property} is missing"),
        Kind::AdditionalProperties { unexpected } => format!("unexpected property {}", quoted(unexpected)),
        Kind::Type { kind } => format!("expected {}, got {}", types(kind), kind_of(found)),
        Kind::MinItems { limit } => format!("expected at least {limit} items, got {items}"),
        Kind::MaxItems { limit } => format!("expected at most {limit} items, got {items}"),
        Kind::MinLength { limit } => format!("expected at least {limit} characters, got {characters}"),
        Kind::MaxLength { limit } => format!("expected at most {limit} characters, got {characters}"),
        Kind::Enum { options } => format!("expected one of {}", shortened(options)),
        Kind::Constant { expected_value } => format!("expected {expected_value}"),
        Kind::Pattern { pattern } => format!("expected a text that matches {pattern}"),
        Kind::Minimum { limit } => format!("expected at least {limit}, got {found}"),
        Kind::Maximum { limit } => format!("expected at most {limit}, got {found}"),
        Kind::UniqueItems => "expected items that differ".to_owned(),
        // The library's message, without the answer's own text.
        _ => error.masked_with("the value").to_string(),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(set) => set.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or "),
    }
}

/// Returns the JSON type of a value.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn quoted(names: &[String]) -> String {
    let listed = names.iter().take(MAX_LISTED);
    let mut listed: Vec<String> =
        listed.map(|name| format!("{:?}", name.chars().take(80).collect::<String>())).collect();
    if names.len() > MAX_LISTED {
        listed.push("...".to_owned());
    }
    listed.join(", ")
}

/// Formats a list of options, shortened if it is long.
fn shortened(options: &Value) -> String {
    match options.as_array() {
        Some(all) if all.len() > 4 * MAX_LISTED => {
            let first: Vec<String> = all.iter().take(MAX_LISTED).map(Value::to_string).collect();
            format!("[{},...]", first.join(","))
        }
        _ => options.to_string(),
    }
}

/// The options by which schemas are compiled.
fn compiled() -> ValidationOptions<'static> {
    jsonschema::options()
        .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(MAX_BACKTRACKING))
}

#[cfg(test)]
mod tests;
