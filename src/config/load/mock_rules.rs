//! The rules of mock models in files of their own, put in place of `rules_file` before the settings are checked.
//!
//! From there on they are rules as any others: the checks, the resolved pipeline and the fingerprint see them. A
//! problem in such a file is reported where the pipeline names the file, with its location in the file.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::pipeline::document::{Document, join};
use crate::pipeline::environment::{self, Lookup};
use crate::pipeline::problem::{Problem, ProblemLocation};
use crate::pipeline::schema_check::{self, SchemaCheckContext};
use crate::pipeline::{MockRule, mock_check};
use crate::text_file;

/// Reads the rules that models name by `mock.rules_file`.
pub(super) fn include(
    document: &mut Document,
    vars: &Map<String, Value>,
    lookup: Lookup<'_>,
    problems: &mut Vec<Problem>,
) {
    let models = document.value.get("models").and_then(Value::as_object);
    let names: Vec<String> = models.into_iter().flat_map(|models| models.keys().cloned()).collect();
    for name in names {
        let at = format!("{}/mock", join("/models", &name));
        let Some(path) = document.value.pointer(&format!("{at}/rules_file")).and_then(Value::as_str) else {
            continue;
        };
        let rules = rules_of(&at, path, document, vars, lookup);
        let location = document.location(&format!("{at}/rules_file"), false);
        if let Some(mock) = document.value.pointer_mut(&at).and_then(Value::as_object_mut) {
            mock.shift_remove("rules_file");
        }
        let rules = match rules {
            Ok(rules) => rules,
            Err(wrong) => {
                problems.extend(wrong);
                continue;
            }
        };
        let Some(location) = location else { continue };
        if let Err(message) = document.assign(&["models", &name, "mock", "rules"], rules, &location) {
            problems.push(Problem::new(at, message));
        }
    }
}

/// Returns the rules in the file `path`, which the script at the pointer `at` names.
fn rules_of(
    at: &str,
    path: &str,
    document: &Document,
    vars: &Map<String, Value>,
    lookup: Lookup<'_>,
) -> Result<Value, Vec<Problem>> {
    let at_file = format!("{at}/rules_file");
    if document.value.pointer(&format!("{at}/rules")).is_some() {
        let mut problem = Problem::new(at_file, "the script has `rules` too");
        problem.on_key().expected("one of `rules` and `rules_file`");
        return Err(vec![problem]);
    }
    let path = match schema_check::render_scalar(&at_file, path, vars) {
        Ok(Value::String(path)) => path,
        Ok(other) => other.to_string(),
        Err(problem) => return Err(vec![*problem]),
    };
    let text = text_file::read(&path).map_err(|error| {
        let mut problem = Problem::new(&at_file, format!("cannot read `{path}`: {error}"));
        problem.expected("a YAML file with a list of rules, relative to the folder that synthmill is run in");
        vec![problem]
    })?;
    read_rules(&text, vars, lookup).map_err(|problems| {
        let located = |problem: Problem| Problem {
            at: at_file.clone(),
            message: match problem.location {
                Some(ProblemLocation::File { line, column, .. }) => {
                    format!("`{path}`:{line}:{column}: {}", problem.message)
                }
                _ => format!("`{path}`: {}", problem.message),
            },
            expected: problem.expected,
            hint: problem.hint,
            ..Problem::default()
        };
        problems.into_iter().map(located).collect()
    })
}

/// Parses and checks a list of rules. Problems have their location in the text.
fn read_rules(text: &str, vars: &Map<String, Value>, lookup: Lookup<'_>) -> Result<Value, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut document = Document::parse(text, &mut problems).map_err(|problem| vec![*problem])?;
    let computed = environment::substitute(&mut document, lookup, &mut problems);
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Vec<MockRule>>().to_value();
    let context = SchemaCheckContext { vars, computed: &computed };
    let value = schema_check::check(&mut document, "", &[], &schema, &context, &mut problems);
    if let Some(value) = value {
        match serde_path_to_error::deserialize::<_, Vec<MockRule>>(value.clone()) {
            Ok(rules) => mock_check::check_rules("", &rules, usize::MAX, vars, &mut problems),
            Err(error) => problems.push(schema_check::from_serde_error("", &error)),
        }
        if problems.is_empty() {
            return Ok(value);
        }
    }
    for problem in &mut problems {
        if problem.location.is_none() {
            problem.location = document.location(&problem.at, problem.key);
        }
    }
    Err(problems)
}
