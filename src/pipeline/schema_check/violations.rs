//! Describes violations of a JSON schema in words, with what was expected and a hint.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::types;
use crate::nearest::{did_you_mean, one_of};
use crate::pipeline::document::{join, parse_value};
use crate::pipeline::problem::Problem;
use crate::pipeline::schema_words::{describe_value, type_words};

/// Describes a validation error in words, as one problem or several.
pub(super) fn explain(error: &ValidationError<'_>, schema: &Value, root: &str, problems: &mut Vec<Problem>) {
    let at = format!("{root}{}", error.instance_path().as_str());
    let instance: &Value = error.instance();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let known = properties(parent_schema(error, schema));
            for name in unexpected {
                problems.push(unknown_field(&at, name, &known, instance));
            }
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let mut problem = Problem::new(&at, format!("`{name}` is missing"));
            problem.on_key();
            problem.expected = parent_schema(error, schema)
                .pointer(&format!("/properties{}", join("", name)))
                .map(|field| expected_field(name, field));
            problems.push(problem);
        }
        ValidationErrorKind::Type { kind } => {
            problems.push(wrong_type(&at, &types(kind), instance, parent_schema(error, schema)));
        }
        ValidationErrorKind::Enum { options } => {
            let options = options.as_array().map_or(&[][..], Vec::as_slice);
            let options: Vec<&str> = options.iter().filter_map(Value::as_str).collect();
            problems.push(unknown_value(&at, instance, &options));
        }
        ValidationErrorKind::Constant { expected_value } => {
            let options: Vec<&str> = expected_value.as_str().into_iter().collect();
            problems.push(unknown_value(&at, instance, &options));
        }
        ValidationErrorKind::AnyOf { context }
        | ValidationErrorKind::OneOfNotValid { context }
        | ValidationErrorKind::OneOfMultipleValid { context } => {
            alternatives(error, context, schema, root, problems);
        }
        _ => problems.push(uncommon_problem(&at, error)),
    }
}

fn unknown_field(at: &str, name: &str, known: &[&str], instance: &Value) -> Problem {
    let mut problem = Problem::new(join(at, name), format!("unknown field `{name}`"));
    problem.on_key();
    let free = known.iter().copied().filter(|known| instance.get(known).is_none());
    problem.hint = match name {
        "api_key" | "apikey" | "key" | "token" if known.contains(&"api_key_env") => {
            Some("name the environment variable that holds the key: `api_key_env: NAME`".to_owned())
        }
        _ => did_you_mean(name, free).or_else(|| did_you_mean(name, known.iter().copied())),
    };
    problem.expected(match known.is_empty() {
        true => "no fields here".to_owned(),
        false => one_of(known.iter().copied()),
    });
    problem
}

fn unknown_value(at: &str, instance: &Value, options: &[&str]) -> Problem {
    let mut problem = Problem::new(at, format!("found {}", describe_value(instance)));
    problem.expected(one_of(options.iter().copied()));
    if let Some(text) = instance.as_str() {
        problem.message = format!("unknown value `{text}`");
        problem.hint = did_you_mean(text, options.iter().copied());
    }
    problem
}

fn wrong_type(at: &str, kinds: &[JsonType], instance: &Value, parent_schema: &Value) -> Problem {
    let expected = type_words(parent_schema);
    let mut problem = Problem::new(at, format!("wrong type: found {}", describe_value(instance)));
    problem.expected(expected);
    let wants = |kind: JsonType| kinds.contains(&kind);
    let hint = match instance {
        Value::String(text) if wants(JsonType::Boolean) && is_yes_or_no(text) => "write `true` or `false`",
        Value::String(text) if matches!(parse_value(text), Some(Value::Number(_) | Value::Bool(_))) => {
            "write it without quotes"
        }
        Value::Number(_) | Value::Bool(_) if wants(JsonType::String) => "put it in quotes",
        Value::String(_) | Value::Number(_) if wants(JsonType::Array) => "write it as a list: `[...]`",
        Value::Null => "give it a value, or leave the key out",
        _ => "",
    };
    problem.hint = Some(hint.to_owned()).filter(|hint| !hint.is_empty());
    problem
}

fn is_yes_or_no(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str())
}

/// An error of `anyOf` or `oneOf`: finds the alternative that was most likely meant and explains that one.
fn alternatives(
    error: &ValidationError<'_>,
    context: &[Vec<ValidationError<'static>>],
    schema: &Value,
    root: &str,
    problems: &mut Vec<Problem>,
) {
    let at = format!("{root}{}", error.instance_path().as_str());
    let instance: &Value = error.instance();
    let branches = schema.pointer(error.schema_path().as_str()).and_then(Value::as_array);
    let branches = branches.map_or(&[][..], Vec::as_slice);
    let words: Vec<&str> = branches.iter().flat_map(words_of).collect();
    let keys: Vec<&str> = branches.iter().flat_map(|branch| properties(branch)).collect();
    if instance.is_string() && !words.is_empty() {
        let all: Vec<&str> = words.into_iter().chain(keys).collect();
        let mut problem = unknown_value(&at, instance, &all);
        let number = |branch: &Value| matches!(branch["type"].as_str(), Some("integer" | "number"));
        if branches.iter().any(number) {
            problem.expected(type_words(parent_schema(error, schema)));
        }
        problems.push(problem);
        return;
    }
    let only_key = instance.as_object().filter(|map| map.len() == 1).and_then(|map| map.keys().next());
    if let Some(key) = only_key {
        let meant = branches.iter().position(|branch| properties(branch).contains(&key.as_str()));
        if let Some(errors) = meant.and_then(|index| context.get(index)).filter(|errors| !errors.is_empty()) {
            errors.iter().for_each(|error| explain(error, schema, root, problems));
            return;
        }
        if !keys.is_empty() && meant.is_none() {
            problems.push(unknown_field(&at, key, &keys, instance));
            return;
        }
    }
    // An alternative of another type was not meant; of the rest, the one with the fewest errors was.
    let here = error.instance_path().as_str();
    let other_type = |error: &ValidationError<'_>| is_of_another_type(error, here);
    let fitting = context.iter().filter(|errors| !errors.is_empty() && !errors.iter().any(other_type));
    if let Some(errors) = fitting.min_by_key(|errors| errors.len()) {
        errors.iter().for_each(|error| explain(error, schema, root, problems));
        return;
    }
    let mut problem = Problem::new(&at, format!("wrong type: found {}", describe_value(instance)));
    problem.expected(type_words(parent_schema(error, schema)));
    problems.push(problem);
}

/// Whether an error means that the value at `here` is of another type altogether.
fn is_of_another_type(error: &ValidationError<'_>, here: &str) -> bool {
    if error.instance_path().as_str() != here {
        return false;
    }
    match error.kind() {
        ValidationErrorKind::Type { .. } => true,
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => {
            !error.instance().is_string()
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            context.iter().all(|errors| errors.iter().any(|error| is_of_another_type(error, here)))
        }
        _ => false,
    }
}

/// The constant texts that a schema allows.
fn words_of(schema: &Value) -> Vec<&str> {
    let options = schema.get("enum").and_then(Value::as_array);
    let options = options.into_iter().flatten().chain(schema.get("const"));
    options.filter_map(Value::as_str).collect()
}

/// The names of the properties a schema declares.
fn properties(schema: &Value) -> Vec<&str> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect()
}

/// The subschema whose keyword reported the error.
fn parent_schema<'s>(error: &ValidationError<'_>, schema: &'s Value) -> &'s Value {
    let path = error.schema_path().as_str();
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    schema.pointer(parent).unwrap_or(&Value::Null)
}

fn expected_field(name: &str, field: &Value) -> String {
    let kind = type_words(field);
    match field.get("description").and_then(Value::as_str) {
        Some(text) => format!("`{name}`, {kind}: {}", first_paragraph(text)),
        None => format!("`{name}`, {kind}"),
    }
}

/// The first paragraph of a description, on one line.
fn first_paragraph(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The less common errors, mostly about sizes.
fn uncommon_problem(at: &str, error: &ValidationError<'_>) -> Problem {
    let instance: &Value = error.instance();
    let expected = match error.kind() {
        ValidationErrorKind::Minimum { limit } => format!("{limit} or more"),
        ValidationErrorKind::Maximum { limit } => format!("{limit} or less"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("more than {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("less than {limit}"),
        ValidationErrorKind::MinItems { limit } => format!("a list of {limit} or more"),
        ValidationErrorKind::MaxItems { limit } => format!("a list of {limit} at most"),
        ValidationErrorKind::MinLength { limit } => format!("a text of {limit} characters or more"),
        ValidationErrorKind::MinProperties { limit } => format!("a map of {limit} or more"),
        ValidationErrorKind::Pattern { pattern } => format!("a text that matches `{pattern}`"),
        _ => return Problem::new(at, error.to_string()),
    };
    let mut problem = Problem::new(at, format!("found {}", describe_value(instance)));
    problem.expected(expected);
    problem
}
