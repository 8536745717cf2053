//! Validates a part of the file against its JSON schema and reports all violations at once.
//!
//! serde stops at the first error, so the value is first validated against the schema that is derived from the
//! same struct; serde deserializes only what is valid. Templates that stand for numbers are rendered on the way.
//! What the values mean is not checked here.

use std::collections::HashSet;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::{Map, Value};

use super::document::{Document, join, parse_value};
use super::problem::Problem;
use super::schema_words::{describe_value, type_words};
use crate::nearest::{did_you_mean, did_you_mean_this, one_of};
use crate::template::{Template, TemplateError};

/// What a schema check needs to know about the file.
pub(crate) struct SchemaCheckContext<'a> {
    /// The pipeline's variables.
    pub(crate) vars: &'a Map<String, Value>,
    /// Pointers to texts in which environment values were substituted.
    pub(crate) computed: &'a HashSet<String>,
}

/// Validates the value at the pointer `at`, less the keys `without`, against `schema`. Returns the value to
/// deserialize if it is valid.
pub(crate) fn check(
    document: &mut Document,
    at: &str,
    without: &[&str],
    schema: &Value,
    around: &SchemaCheckContext<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Value> {
    let mut value = document.value.pointer(at)?.clone();
    match &mut value {
        Value::Object(map) => without.iter().for_each(|key| {
            map.shift_remove(*key);
        }),
        // An empty body is written as nothing at all: `- section:`.
        Value::Null => value = Value::Object(Map::new()),
        _ => {}
    }
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => {
            problems.push(Problem::new(at, format!("the schema of this part is itself wrong: {error}")));
            return None;
        }
    };
    let before = problems.len();
    let mut wanted = Vec::new();
    for error in validator.iter_errors(&value) {
        computed_scalars(&error, &mut wanted);
    }
    for pointer in wanted {
        let from_root = format!("{at}{pointer}");
        let Some(Value::String(text)) = value.pointer(&pointer) else { continue };
        if !text.contains("{{") && !around.computed.contains(&from_root) {
            continue;
        }
        match render_scalar(&from_root, text, around.vars) {
            Ok(scalar) => {
                for place in [value.pointer_mut(&pointer), document.value.pointer_mut(&from_root)] {
                    place.into_iter().for_each(|place| *place = scalar.clone());
                }
            }
            Err(problem) => problems.push(*problem),
        }
    }
    let reported: HashSet<String> = problems[before..].iter().map(|problem| problem.at.clone()).collect();
    let mut found = Vec::new();
    for error in validator.iter_errors(&value) {
        explain(&error, schema, at, &mut found);
    }
    found.retain(|problem| !reported.contains(&problem.at));
    drop_misspelt(&mut found);
    problems.append(&mut found);
    (problems.len() == before).then_some(value)
}

/// Returns the map at the pointer `at`, less the keys `without` and every option that has one of `problems`;
/// `None` if a problem is with the map itself.
pub(crate) fn valid_part(
    document: &Document,
    at: &str,
    without: &[&str],
    problems: &[Problem],
) -> Option<Value> {
    let mut value = document.value.pointer(at)?.clone();
    let map = value.as_object_mut()?;
    map.retain(|key, _| !without.contains(&key.as_str()));
    for problem in problems {
        let inside = problem.at.strip_prefix(at)?.strip_prefix('/')?;
        // The whole option is removed: a list without one of its elements, or a map without one of its keys,
        // would mean something else.
        let option = inside.split('/').next()?.replace("~1", "/").replace("~0", "~");
        map.shift_remove(&option);
    }
    Some(value)
}

/// Renders the text at the pointer `at` with `vars` and parses the result as a number or truth value; a result
/// that is neither stays text.
pub(crate) fn render_scalar(at: &str, text: &str, vars: &Map<String, Value>) -> Result<Value, Box<Problem>> {
    let mut rendered = text.to_owned();
    if text.contains("{{") || text.contains("{%") {
        let wrong =
            |error: TemplateError| Box::new(Problem { hint: error.hint, ..Problem::new(at, error.message) });
        let template = Template::new(text, vars).map_err(wrong)?;
        for name in template.variables() {
            let Some(var) = name.strip_prefix("vars.").and_then(|rest| rest.split('.').next()) else {
                continue;
            };
            if !vars.contains_key(var) {
                return Err(Box::new(undeclared_var(at, var, vars)));
            }
        }
        rendered = template.render_vars().map_err(wrong)?;
    }
    match parse_value(rendered.trim()) {
        Some(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => Ok(value),
        _ => Ok(Value::String(rendered)),
    }
}

/// The problem of a template that uses a variable that the file does not declare.
pub(crate) fn undeclared_var(at: &str, name: &str, vars: &Map<String, Value>) -> Problem {
    let mut problem = Problem::new(at, format!("`vars.{name}` is not declared"));
    problem.on_word(format!("vars.{name}"));
    problem.hint = did_you_mean(name, vars.keys().map(String::as_str))
        .or_else(|| Some(format!("declare `{name}` at the top of the file, under `vars:`")));
    problem
}

/// Converts a serde error into a problem.
pub(crate) fn from_serde_error(at: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    use serde_path_to_error::Segment;
    let mut pointer = at.to_owned();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => pointer = format!("{pointer}/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => pointer = join(&pointer, key),
            Segment::Unknown => {}
        }
    }
    let full = error.inner().to_string();
    Problem::new(pointer, full.split(" at line ").next().unwrap_or(&full))
}

/// Collects the pointers of texts where a number, a truth value or one of some words is expected.
fn computed_scalars(error: &ValidationError<'_>, wanted: &mut Vec<String>) {
    let scalar = |kind: &JsonType| !matches!(kind, JsonType::Array | JsonType::Object);
    let wants_scalar = match error.kind() {
        ValidationErrorKind::Type { kind } => types(kind).iter().any(scalar),
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => true,
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            for error in context.iter().flatten() {
                computed_scalars(error, wanted);
            }
            false
        }
        _ => false,
    };
    let pointer = error.instance_path().as_str();
    if wants_scalar && error.instance().is_string() && !wanted.iter().any(|known| known == pointer) {
        wanted.push(pointer.to_owned());
    }
}

fn types(kind: &TypeKind) -> Vec<JsonType> {
    match kind {
        TypeKind::Single(kind) => vec![*kind],
        TypeKind::Multiple(kinds) => kinds.iter().collect(),
    }
}

/// A field that is missing because its name is misspelt is one problem, not two.
fn drop_misspelt(problems: &mut Vec<Problem>) {
    let proposed: HashSet<(String, String)> = problems
        .iter()
        .filter_map(|problem| Some((problem.at.rsplit_once('/')?.0.to_owned(), problem.hint.clone()?)))
        .collect();
    problems.retain(|problem| {
        let name = problem.message.strip_prefix('`').and_then(|rest| rest.strip_suffix("` is missing"));
        name.is_none_or(|name| !proposed.contains(&(problem.at.clone(), did_you_mean_this(name))))
    });
}

/// Describes a validation error in words, as one problem or several.
fn explain(error: &ValidationError<'_>, schema: &Value, root: &str, problems: &mut Vec<Problem>) {
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
