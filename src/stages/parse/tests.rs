//! Tests of `parse`: what answers become, and the syntax of `on_error`.

use serde_json::{Map, json};

use super::*;
use crate::draw::Draws;

fn parse(body: Value) -> Parse {
    serde_json::from_value(body).unwrap()
}

fn reader(body: Value) -> Box<dyn AnswerParser> {
    let context = BuildContext {
        vars: Map::new(),
        draws: Draws::new(1, "parse".into()),
        started: "2026-01-01".into(),
        items: None,
        fields: Vec::new(),
    };
    match parse(body).build(&context).unwrap() {
        Processor::AnswerParser(reader) => reader,
        _ => panic!("no reader"),
    }
}

fn question_schema() -> Value {
    json!({
        "type": "object",
        "required": ["question", "reasoning_steps"],
        "properties": {
            "question": {"type": "string"},
            "reasoning_steps": {"type": "array", "items": {"type": "string"}, "minItems": 3},
        },
    })
}

fn read(body: Value, answer: &str) -> Result<Value, StageError> {
    let mut record = Record::default();
    record.set("completion", answer);
    reader(body).parse_record(&mut record).map_err(StageError::from).map(|()| {
        assert_eq!(record.text("completion"), Some(answer));
        record.fields.shift_remove("completion");
        Value::Object(record.fields)
    })
}

#[test]
fn answers_become_fields() {
    let check = |body: Value, answer: &str, fields: Value| {
        assert_eq!(read(body, answer).unwrap(), fields, "{answer}");
    };
    check(json!({}), "Sure: {'a': 1, 'b': [True,]}", json!({"a": 1, "b": [true]}));
    check(json!({"into": "score"}), "```json\n{\"a\": 1}\n```", json!({"score": {"a": 1}}));
    check(json!({"into": "list"}), "[1, 2]", json!({"list": [1, 2]}));
    check(
        json!({"schema": question_schema()}),
        r#"{"question": "Why?", "reasoning_steps": ["a", "b", "c"], "more": 1}"#,
        json!({"question": "Why?", "reasoning_steps": ["a", "b", "c"], "more": 1}),
    );
}

#[test]
fn wrong_answers_say_what_to_change() {
    let check = |body: Value, answer: &str, class: &str, message: &str| {
        let error = read(body, answer).unwrap_err();
        assert_eq!((&*error.class, error.message.as_str()), (class, message), "{answer}");
    };
    let with_schema = || json!({"schema": question_schema()});
    check(json!({}), "I cannot.", "json", "there is no JSON object in the answer");
    check(json!({}), "[1, 2]", "json", "expected a JSON object, got array");
    check(
        json!({}),
        "{\"a\": \"half a sen",
        "json",
        "the answer stops before its JSON ends; write a shorter one",
    );
    check(
        with_schema(),
        r#"{"question": 3, "reasoning_steps": ["a"]}"#,
        "schema",
        "question: expected string, got number; reasoning_steps: expected at least 3 items, got 1",
    );
    check(with_schema(), "[]", "schema", "expected object, got array");
}

#[test]
fn of_several_answers_the_last_that_meets_the_schema_counts() {
    let schema =
        || json!({"schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}});
    let check = |answer: &str, expected: i64| {
        assert_eq!(read(schema(), answer).unwrap(), json!({"a": expected}), "{answer}");
    };
    check(r#"Draft {"a": 1} and then {"a": 2}"#, 2);
    check(r#"{"a": 1} as in {"a": "text"}"#, 1);
    check(r#"{"type": "object", "required": ["a"]} gives {'a': 3,}"#, 3);
    let error = read(schema(), r#"{"b": 1}, or {"a": "text"}, or ["a"]"#).unwrap_err();
    assert_eq!((&*error.class, &*error.message), ("schema", "a: expected integer, got string"));
    let list = json!({"into": "list", "schema": {"type": "array"}});
    assert_eq!(read(list, r#"{"a": 1} then [{"a": 2}]"#).unwrap(), json!({"list": [{"a": 2}]}));
}

#[test]
fn what_may_take_long_is_known_beforehand() {
    let check = |body: Value, length: usize, expected: bool| {
        assert_eq!(reader(body.clone()).may_take_long(&"x".repeat(length)), expected, "{body} {length}");
    };
    check(json!({}), 100, false);
    check(json!({}), 5000, true);
    check(json!({"schema": question_schema()}), 100, false);
    check(json!({"schema": {"properties": {"a": {"pattern": "x"}}}}), 100, true);
    check(json!({"schema": {"$defs": {"n": {}}, "items": {"$ref": "#/$defs/n"}}}), 100, true);
}

#[test]
fn a_record_without_an_answer_is_an_error() {
    let error =
        StageError::from(reader(json!({"input": "other"})).parse_record(&mut Record::default()).unwrap_err());
    assert_eq!((&*error.class, error.message.as_str()), ("input", "`other` is no text"));
}

#[test]
fn steps_are_written_as_one_or_a_list() {
    use OnError::{Heuristic, Reject, Retry};
    let check = |on_error: Value, steps: &[OnError]| {
        assert_eq!(parse(json!({"on_error": on_error})).on_error.0, steps);
    };
    check(json!("reject"), &[Reject]);
    check(json!("heuristic"), &[Heuristic]);
    check(json!({"retry": 3}), &[Retry(3)]);
    check(json!([{"retry": 2}, "heuristic"]), &[Retry(2), Heuristic]);
    assert_eq!(parse(json!({})).on_error.0, [Retry(2), Reject]);
}

#[test]
fn wrong_steps_are_refused_with_what_is_known() {
    let check = |on_error: Value, message: &str| {
        let body = json!({"on_error": on_error});
        let error = serde_path_to_error::deserialize::<_, Parse>(body).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    check(
        json!(["skip"]),
        "on_error[0]: unknown step `skip`, expected `{retry: N}`, `heuristic` or `reject`",
    );
    check(
        json!({"repeat": 2}),
        "on_error: unknown step `repeat`, expected `{retry: N}`, `heuristic` or `reject`",
    );
    check(
        json!(7),
        "on_error: invalid type: integer `7`, expected `{retry: N}`, `heuristic` or `reject`, or a list of them",
    );
    let problems = |on_error: Value| parse(json!({"on_error": on_error})).on_error.problems();
    assert_eq!(problems(json!([])).len(), 1);
    assert_eq!(problems(json!([{"retry": 0}, "reject", "heuristic"])).len(), 2);
    assert_eq!(problems(json!([{"retry": 1}, "heuristic"])).len(), 0);
}

#[test]
fn the_schema_of_the_schema_takes_every_way_to_write_steps() {
    let schema = serde_json::to_value(schemars::schema_for!(Parse)).unwrap();
    let valid = |on_error: Value| jsonschema::is_valid(&schema, &json!({"on_error": on_error}));
    assert!(
        valid(json!("reject")) && valid(json!({"retry": 2})) && valid(json!([{"retry": 2}, "heuristic"]))
    );
    assert!(!valid(json!("skip")) && !valid(json!({"retry": 0})) && !valid(json!([])));
}

/// What an answer becomes in a record that has a section: its fields, or the class, the message and whether another
/// answer may be right.
fn judged(checks: Value, answer: &str) -> Result<Record, (String, String, bool)> {
    let mut record = Record::default();
    record.set("completion", answer);
    record.set("question", "before");
    record.set("section", json!({"text": "High water is about 20 % higher."}));
    let before = record.fields.clone();
    let schema = json!({"type": "object", "properties": {"evidence": {}, "question": {}, "answer": {}}});
    match reader(json!({"schema": schema, "checks": checks, "provenance": ["evidence"]}))
        .parse_record(&mut record)
    {
        Ok(()) => Ok(record),
        Err(error) => {
            assert_eq!(record.fields, before, "a wrong answer leaves nothing behind");
            assert!(record.provenance.fields.is_empty());
            let may_retry = matches!(error, AnswerError::Invalid(_));
            let error = StageError::from(error);
            Err((error.class.into_owned(), error.message, may_retry))
        }
    }
}

#[test]
fn checks_are_judged_over_the_answer_and_the_record() {
    let checks = || {
        json!({
            "quoted": {"require": "evidence is quoted_from(section.text)", "message": "\"{{ evidence }}\" is not there."},
            "new": {"require": "answer != question", "message": "The answer is the question."},
        })
    };
    let record =
        judged(checks(), r#"{"evidence": "about 20 %", "question": "Why?", "answer": "So."}"#).unwrap();
    assert_eq!(record.text("question"), Some("Why?"));
    assert_eq!(Value::Object(record.provenance.fields), json!({"evidence": "about 20 %"}));

    let check = |answer: &str, class: &str, message: &str, may_retry: bool| {
        let (class, message) = (class.to_owned(), message.to_owned());
        assert_eq!(judged(checks(), answer).unwrap_err(), (class, message, may_retry), "{answer}");
    };
    check(
        r#"{"evidence": "about 25 %", "question": "Why?", "answer": "So."}"#,
        "quoted",
        "\"about 25 %\" is not there.",
        true,
    );
    // The first of several provides the class; the model is shown all messages.
    check(
        r#"{"evidence": "x", "question": "Why?", "answer": "Why?"}"#,
        "quoted",
        "\"x\" is not there. The answer is the question.",
        true,
    );
    check(
        r#"{"evidence": "about 20 %", "question": "Why?", "answer": "Why?"}"#,
        "new",
        "The answer is the question.",
        true,
    );
    // A check that cannot be evaluated is not the answer's fault.
    let (class, message, may_retry) = judged(checks(), r#"{"evidence": "about 20 %"}"#).unwrap_err();
    assert_eq!((class.as_str(), may_retry), ("template", false));
    assert!(message.starts_with("check `new`: undefined value"), "{message}");
    let wrong = json!({"n": {"require": "answer | length > '3'", "message": "x"}});
    let (class, message, may_retry) = judged(wrong, r#"{"answer": "So."}"#).unwrap_err();
    assert_eq!((class.as_str(), may_retry), ("template", false), "{message}");
}

#[test]
fn an_answer_brings_nothing_that_it_is_held_against() {
    let checks = json!({"quoted": {"require": "evidence is quoted_from(section.text)", "message": "Quote."}});
    let (class, _, _) =
        judged(checks.clone(), r#"{"evidence": "zzz", "section": {"text": "zzz"}}"#).unwrap_err();
    assert_eq!(class, "quoted");
    // A property that no check compares with replaces the field as usual.
    let record = judged(checks, r#"{"evidence": "about 20 %", "section": {"text": "zzz"}}"#).unwrap();
    assert_eq!(record.text("section.text"), Some("zzz"));
}
