//! The schema an answer must meet, and what is wrong with an answer in words that a model can act on.
//!
//! `stages::parse` compiles one for each stage and checks every answer with it; the engine shows the
//! message to the model when it asks again. Schemas refer to nothing outside themselves.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value};

use crate::config::{FieldType, is_closed, leads_somewhere};

/// The longest message; what does not fit is left off.
const LONGEST_MESSAGE: usize = 500;

/// A compiled JSON schema.
#[derive(Debug)]
pub struct AnswerSchema {
    schema: Value,
    validator: Validator,
}

/// What is wrong with a schema itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SchemaError {
    /// JSON pointer to the wrong place in the schema.
    pub at: String,
    /// What is wrong there.
    pub message: String,
}

impl AnswerSchema {
    /// Compiles a schema; gives everything that is wrong with it.
    pub fn new(schema: &Value) -> Result<Self, Vec<SchemaError>> {
        if let Ok(meta) = jsonschema::meta::validator_for(schema) {
            let errors: Vec<SchemaError> = meta.iter_errors(schema).map(|error| wrong(&error)).collect();
            if !errors.is_empty() {
                return Err(errors);
            }
        }
        let mut errors = Vec::new();
        unmeetable(schema, schema, "", &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        match jsonschema::validator_for(schema) {
            Ok(validator) => Ok(Self { schema: schema.clone(), validator }),
            Err(error) => Err(vec![wrong(&error)]),
        }
    }

    /// The schema as it was given.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.schema
    }

    /// What is wrong with `answer`, all of it in one line of at most 500 characters.
    pub fn check(&self, answer: &Value) -> Result<(), String> {
        if self.validator.is_valid(answer) {
            return Ok(());
        }
        let mut message = String::new();
        for error in self.validator.iter_errors(answer) {
            let part = explain(&error);
            if message.len() + part.len() + 2 > LONGEST_MESSAGE {
                if message.is_empty() {
                    message.extend(part.chars().take(LONGEST_MESSAGE / 4));
                }
                message.push_str("; ...");
                break;
            }
            if !message.is_empty() {
                message.push_str("; ");
            }
            message.push_str(&part);
        }
        Err(message)
    }

    /// What an answer that meets it is.
    #[must_use]
    pub fn kind(&self) -> FieldType {
        FieldType::of_schema(&self.schema)
    }

    /// Whether an answer may have properties that the schema does not name.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !is_closed(&self.schema)
    }
}

/// Limits of which the first may not be above the second.
const LIMITS: [(&str, &str); 4] = [
    ("minItems", "maxItems"),
    ("minLength", "maxLength"),
    ("minProperties", "maxProperties"),
    ("minimum", "maximum"),
];
/// Keywords that hold one schema, several of them in a list, and several by name.
const ONE: [&str; 3] = ["items", "additionalProperties", "contains"];
const SEVERAL: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const BY_NAME: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// Finds what no answer could meet, and references that lead out of the schema: properties that are required and at once forbidden, most likely misspelt, limits
/// the wrong way round, kinds that exclude one another.
fn unmeetable(schema: &Value, root: &Value, at: &str, errors: &mut Vec<SchemaError>) {
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
        } else if target.starts_with("#/") && !leads_somewhere(target, root) {
            tell(format!("{at}/$ref"), format!("`{target}` leads nowhere in the schema"));
        }
    }
    let inside = |keyword: &str| format!("{at}/{keyword}");
    for keyword in ONE {
        if let Some(inner) = schema.get(keyword) {
            unmeetable(inner, root, &inside(keyword), errors);
        }
    }
    for keyword in SEVERAL {
        for (index, inner) in schema.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            unmeetable(inner, root, &format!("{}/{index}", inside(keyword)), errors);
        }
    }
    for keyword in BY_NAME {
        for (name, inner) in schema.get(keyword).and_then(Value::as_object).into_iter().flatten() {
            let name = name.replace('~', "~0").replace('/', "~1");
            unmeetable(inner, root, &format!("{}/{name}", inside(keyword)), errors);
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

/// The place and what is wrong there: `reasoning_steps: expected at least 3 items, got 1`.
fn explain(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().as_str().trim_start_matches('/').replace('/', ".");
    if place.is_empty() { what(error) } else { format!("{place}: {}", what(error)) }
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
        Kind::Enum { options } => format!("expected one of {options}"),
        Kind::Constant { expected_value } => format!("expected {expected_value}"),
        Kind::Pattern { pattern } => format!("expected a text that matches {pattern}"),
        Kind::Minimum { limit } => format!("expected at least {limit}, got {found}"),
        Kind::Maximum { limit } => format!("expected at most {limit}, got {found}"),
        Kind::UniqueItems => "expected items that differ".to_owned(),
        // The library's words, with the answer's own text left out.
        _ => error.masked_with("the value").to_string(),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(set) => set.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or "),
    }
}

/// The JSON type of a value.
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
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> AnswerSchema {
        AnswerSchema::new(&json!({
            "type": "object",
            "properties": {
                "question": {"type": "string", "minLength": 5},
                "level": {"enum": ["easy", "hard"]},
                "steps": {"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 3},
                "source": {"type": "object", "properties": {"title": {"type": ["string", "null"]}}},
            },
            "required": ["question", "steps"],
            "additionalProperties": false,
        }))
        .unwrap()
    }

    #[test]
    fn messages_say_what_to_change() {
        let check = |answer: Value, message: &str| {
            assert_eq!(schema().check(&answer), Err(message.to_owned()), "{answer}");
        };
        let steps = json!(["a", "b", "c"]);
        assert_eq!(schema().check(&json!({"question": "Why so?", "steps": steps})), Ok(()));
        check(json!({"question": "Why so?", "steps": ["a"]}), "steps: expected at least 3 items, got 1");
        check(json!({"question": "Why so?", "steps": ["a", 2, "c"]}), "steps.1: expected string, got number");
        check(json!({"steps": steps}), "the property \"question\" is missing");
        check(json!({"question": "Why so?", "steps": steps, "x": 1}), "unexpected property \"x\"");
        check(json!([]), "expected object, got array");
        check(
            json!({"question": "Why", "steps": steps, "level": "mid", "source": {"title": 1}}),
            "question: expected at least 5 characters, got 3; level: expected one of [\"easy\",\"hard\"]; \
             source.title: expected null or string, got number",
        );
    }

    #[test]
    fn messages_stay_short() {
        let many = json!({"question": "Why so?", "steps": vec![1; 999]});
        let message = schema().check(&many).unwrap_err();
        assert!(message.len() <= LONGEST_MESSAGE + 5, "{}", message.len());
        assert!(message.ends_with("; ..."), "{message}");
    }

    #[test]
    fn properties_are_known_with_their_insides() {
        let kind = schema().kind();
        let names: Vec<&str> = kind.fields().map(|(name, _)| name).collect();
        assert_eq!(names, ["question", "level", "steps", "source"]);
        assert!(!schema().is_open());
        assert!(AnswerSchema::new(&json!({"type": "object"})).unwrap().is_open());
    }

    #[test]
    fn wrong_schemas_say_where() {
        let check = |schema: Value, places: &[&str]| {
            let errors = AnswerSchema::new(&schema).unwrap_err();
            let at: Vec<&str> = errors.iter().map(|error| error.at.as_str()).collect();
            assert_eq!(at, places, "{errors:?}");
        };
        check(json!({"type": "objekt"}), &["/type"]);
        check(
            json!({"properties": {"a": {"minItems": -1}}, "required": 7}),
            &["/properties/a/minItems", "/required"],
        );
        let closed = json!({"properties": {"a": {"items": {"properties": {"b": true}, "required": ["b", "c"],
            "additionalProperties": false}}}, "required": ["x"]});
        check(closed, &["/properties/a/items/required/1"]);
        assert!(AnswerSchema::new(&json!({"$ref": "http://example.com/x.json"})).is_err());
        assert!(AnswerSchema::new(&json!({"type": "string", "pattern": "("})).is_err());
    }
}
