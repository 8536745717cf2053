//! Describes the differences between the expected and the actual outcome of a test.

use serde_json::{Map, Value};

use crate::engine::CaseOutcome;
use crate::pipeline::PipelineTest;
use crate::record::Record;
use crate::template::Expression;

/// The maximum number of differences shown for a line.
const SHOWN: usize = 8;
/// The maximum number of characters shown of a value.
const VALUE_CHARS: usize = 300;

/// All differences between the outcome and what the test expects. `sinks` are the ids in the order of the outcome.
pub(super) fn differences(
    test: &PipelineTest,
    outcome: &CaseOutcome,
    sinks: &[&str],
    vars: &Map<String, Value>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (id, lines) in sinks.iter().zip(&outcome.lines) {
        if let Some(expected) = test.expect.get(*id) {
            compare_lines(id, expected, lines, &mut found);
        }
        for condition in test.check.get(*id).into_iter().flatten() {
            check_lines(id, condition, lines, vars, &mut found);
        }
    }
    if let Some(expected) = test.dropped.as_ref().filter(|expected| **expected != outcome.dropped) {
        found.push(format!("dropped records:\n{}", both(&listed(expected), &listed(&outcome.dropped))));
    }
    let rejected: Vec<String> =
        outcome.rejected.iter().map(|(_, rejection)| rejection.class.clone()).collect();
    if rejected != test.rejected {
        let mut text = format!("rejected records:\n{}", both(&listed(&test.rejected), &listed(&rejected)));
        for (id, rejection) in &outcome.rejected {
            let message = rejection.message.replace('\n', "\n      ");
            text.push_str(&format!("\n    record {id} in `{}`: {message}", rejection.stage));
        }
        found.push(text);
    }
    found
}

fn listed(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn compare_lines(
    id: &str,
    expected: &[Map<String, Value>],
    lines: &[Map<String, Value>],
    found: &mut Vec<String>,
) {
    if expected.len() != lines.len() {
        let mut text = format!("sink `{id}`:\n{}", both(&counted(expected.len()), &counted(lines.len())));
        for line in lines.iter().take(SHOWN) {
            text.push_str(&format!("\n      {}", shown(&Value::Object(line.clone()))));
        }
        found.push(text);
    }
    for (number, (expected, line)) in (1..).zip(expected.iter().zip(lines)) {
        let mut differing = Vec::new();
        for (key, value) in expected {
            compare(key, Some(value), line.get(key), &mut differing);
        }
        let more = differing.len().saturating_sub(SHOWN);
        for (path, expected, line) in differing.into_iter().take(SHOWN) {
            found.push(format!("sink `{id}`, line {number}, `{path}`:\n{}", both(&expected, &line)));
        }
        if more > 0 {
            found.push(format!("sink `{id}`, line {number}: {more} more differences"));
        }
    }
}

fn counted(lines: usize) -> String {
    if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") }
}

/// Adds the innermost values that differ, each with its path.
fn compare(
    path: &str,
    expected: Option<&Value>,
    found: Option<&Value>,
    differing: &mut Vec<(String, String, String)>,
) {
    match (expected, found) {
        (Some(Value::Object(expected)), Some(Value::Object(found))) => {
            let added = found.keys().filter(|key| !expected.contains_key(*key));
            for key in expected.keys().chain(added) {
                compare(&format!("{path}.{key}"), expected.get(key), found.get(key), differing);
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(found))) => {
            for index in 0..expected.len().max(found.len()) {
                compare(&format!("{path}.{index}"), expected.get(index), found.get(index), differing);
            }
        }
        (Some(Value::Number(one)), Some(Value::Number(other))) if one.as_f64() == other.as_f64() => {}
        _ if expected == found => {}
        _ => {
            let words = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), shown);
            differing.push((path.to_owned(), words(expected), words(found)));
        }
    }
}

fn check_lines(
    id: &str,
    condition: &str,
    lines: &[Map<String, Value>],
    vars: &Map<String, Value>,
    found: &mut Vec<String>,
) {
    let expression = match Expression::new(condition, vars) {
        Ok(expression) => expression,
        Err(error) => return found.push(format!("sink `{id}`, check `{condition}`: {error}")),
    };
    if lines.is_empty() {
        found.push(format!("sink `{id}`, check `{condition}`: there is no line of which it could be true"));
    }
    for (number, line) in (1..).zip(lines) {
        let problem = match expression.is_true(&Record::new(line.clone())) {
            Ok(true) => continue,
            Ok(false) => "is not true".to_owned(),
            Err(error) => error.to_string(),
        };
        let line = shown(&Value::Object(line.clone()));
        found.push(format!("sink `{id}`, line {number}, check `{condition}`: {problem}\n      {line}"));
    }
}

fn both(expected: &str, found: &str) -> String {
    format!("    - expected {expected}\n    + found    {found}")
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(test: Value, lines: Value, expected: &[&str]) {
        let mut whole = json!({"name": "t", "input": []});
        whole.as_object_mut().unwrap().extend(test.as_object().unwrap().clone());
        let test: PipelineTest = serde_json::from_value(whole).unwrap();
        let lines = serde_json::from_value(lines).unwrap();
        let outcome = CaseOutcome { lines: vec![lines], dropped: vec!["short".into()], rejected: Vec::new() };
        let found = differences(&test, &outcome, &["out"], &Map::new());
        assert_eq!(found, expected);
    }

    #[test]
    fn what_differs_is_told_with_its_path() {
        let lines = || json!([{"a": {"b": [1, 2]}, "n": 4.0, "other": 1}]);
        check(json!({"expect": {"out": [{"a": {"b": [1, 2]}, "n": 4}]}}), lines(), &[]);
        check(
            json!({"expect": {"out": [{"a": {"b": [1, 3, 5]}, "c": "x"}]}}),
            lines(),
            &[
                "sink `out`, line 1, `a.b.1`:\n    - expected 3\n    + found    2",
                "sink `out`, line 1, `a.b.2`:\n    - expected 5\n    + found    nothing",
                "sink `out`, line 1, `c`:\n    - expected \"x\"\n    + found    nothing",
            ],
        );
        check(
            json!({"expect": {"out": []}, "dropped": []}),
            lines(),
            &[
                "sink `out`:\n    - expected 0 lines\n    + found    1 line\n      {\"a\":{\"b\":[1,2]},\"n\":4.0,\"other\":1}",
                "dropped records:\n    - expected none\n    + found    short",
            ],
        );
        check(
            json!({"check": {"out": ["n > 3", "n > 4"]}, "dropped": ["short"]}),
            lines(),
            &[
                "sink `out`, line 1, check `n > 4`: is not true\n      {\"a\":{\"b\":[1,2]},\"n\":4.0,\"other\":1}",
            ],
        );
        check(
            json!({"rejected": ["schema"]}),
            json!([]),
            &["rejected records:\n    - expected schema\n    + found    none"],
        );
        check(
            json!({"check": {"out": ["true"]}}),
            json!([]),
            &["sink `out`, check `true`: there is no line of which it could be true"],
        );
    }
}
