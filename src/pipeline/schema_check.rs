//! Validates a part of the file against its JSON schema and reports all violations at once.
//!
//! serde stops at the first error, so the value is first validated against the schema that is derived from the same
//! struct; serde deserializes only what is valid. Templates in place of numbers are rendered on the way. What the
//! values mean is not checked here.

mod violations;

use std::collections::HashSet;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::{Map, Value};

use self::violations::explain;
use super::document::{Document, join, parse_value};
use super::problem::Problem;
use crate::nearest::{did_you_mean, did_you_mean_this};
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
    context: &SchemaCheckContext<'_>,
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
        if !text.contains("{{") && !context.computed.contains(&from_root) {
            continue;
        }
        match render_scalar(&from_root, text, context.vars) {
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
