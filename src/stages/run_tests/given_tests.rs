//! The tests that a record has: a list, or a text.

use serde_json::{Map, Value};

use super::extraction;
use super::languages::CodeLanguage;
use super::python_tests;
use crate::stage::StageError;

/// A test of a piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GivenTest {
    /// Statements in the language of the code.
    Code {
        text: String,
        /// The function or method in the text that is the test; `None` for all of it.
        only: Option<String>,
    },
    /// A program's input and its whole output.
    Output { input: String, output: String },
}

/// Reads the tests in the field `name`.
///
/// # Errors
///
/// There are none, or something in the list is no test: of class `tests`.
pub(super) fn read(
    value: Option<&Value>,
    name: &str,
    language: &CodeLanguage,
) -> Result<Vec<GivenTest>, StageError> {
    match value {
        Some(Value::Array(list)) => of_list(list, name, language),
        Some(Value::String(text)) => match serde_json::from_str(text) {
            Ok(Value::Array(list)) => of_list(&list, name, language),
            _ if text.trim().is_empty() => Err(refused(format!("field `{name}` is empty"))),
            _ => Ok(of_text(text, language)),
        },
        Some(_) => Err(refused(format!("field `{name}` is neither a list of tests nor a text"))),
        None => Err(refused(format!("the record has no field `{name}`"))),
    }
}

fn of_list(list: &[Value], name: &str, language: &CodeLanguage) -> Result<Vec<GivenTest>, StageError> {
    if list.is_empty() {
        return Err(refused(format!("the list `{name}` is empty")));
    }
    let mut tests = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let test = match value {
            Value::String(text) => Some(of_code(text, language)),
            Value::Object(object) => of_object(object, language),
            _ => None,
        };
        tests.push(test.ok_or_else(|| {
            refused(format!(
                "`{name}[{index}]` is no test: expected a text, `{{code: ...}}` or `{{input: ..., output: ...}}`"
            ))
        })?);
    }
    Ok(tests)
}

fn of_object(object: &Map<String, Value>, language: &CodeLanguage) -> Option<GivenTest> {
    if let Some(code) = object.get("code") {
        return code.as_str().map(|text| of_code(text, language));
    }
    let output = object.get("output")?.as_str()?.to_owned();
    let input = object.get("input").map_or(Some(""), |input| input.as_str())?.to_owned();
    Some(GivenTest::Output { input, output })
}

fn of_code(text: &str, language: &CodeLanguage) -> GivenTest {
    GivenTest::Code { text: extraction::all_code_in(text, language), only: None }
}

/// The tests of a text: in Python one for each check.
fn of_text(text: &str, language: &CodeLanguage) -> Vec<GivenTest> {
    let text = extraction::all_code_in(text, language);
    if language.name != "python" {
        return vec![GivenTest::Code { text, only: None }];
    }
    let tests = python_tests::split(&text);
    tests.into_iter().map(|test| GivenTest::Code { text: test.text, only: test.only }).collect()
}

fn refused(message: String) -> StageError {
    StageError::new("tests", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::run_tests::languages::find;
    use serde_json::json;

    #[track_caller]
    fn check(value: &Value, expected: Result<&[&str], &str>) {
        let found = read(Some(value), "tests", find("python").unwrap());
        let shown = found.as_ref().map(|tests| {
            let text = |test: &GivenTest| match test {
                GivenTest::Code { text, only: None } => text.trim().to_owned(),
                GivenTest::Code { text, only: Some(only) } => format!("{only}: {}", text.trim()),
                GivenTest::Output { input, output } => format!("{input} -> {output}"),
            };
            tests.iter().map(text).collect::<Vec<String>>()
        });
        match (shown, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{value}"),
            (Err(error), Err(expected)) => {
                assert_eq!(error.class, "tests");
                assert!(error.message.contains(expected), "{value}: {error}");
            }
            (found, expected) => panic!("{value}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_list_has_texts_and_objects() {
        check(&json!(["assert a", {"code": "assert b"}]), Ok(&["assert a", "assert b"]));
        check(&json!([{"input": "1\n", "output": "2"}, {"output": "x"}]), Ok(&["1\n -> 2", " -> x"]));
        check(&json!(["```python\nassert a\n```"]), Ok(&["assert a"]));
        check(&json!("[\"assert a\\nassert b\"]"), Ok(&["assert a\nassert b"]));
    }

    #[test]
    fn a_text_is_split() {
        check(&json!("assert a\nassert b"), Ok(&["assert a", "assert b"]));
        check(
            &json!("Tests:\n```python\ndef test_a():\n    assert a\n```\nand\n```python\nassert b\n```"),
            Ok(&["test_a: def test_a():\n    assert a", "assert b"]),
        );
    }

    #[test]
    fn what_is_no_test_is_refused() {
        check(&json!([]), Err("the list `tests` is empty"));
        check(&json!("  \n"), Err("field `tests` is empty"));
        check(&json!(5), Err("neither a list of tests nor a text"));
        check(&json!(["assert a", 5]), Err("`tests[1]` is no test"));
        check(&json!([{"input": "1"}]), Err("`tests[0]` is no test"));
        check(&json!([{"input": 1, "output": "2"}]), Err("`tests[0]` is no test"));
        let error = read(None, "tests", find("c").unwrap()).unwrap_err();
        assert_eq!(error.message, "the record has no field `tests`");
    }
}
