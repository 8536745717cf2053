//! What each format writes, byte for byte.

use serde_json::{Value, json};

use super::Sink;
use crate::stage::Part;
use crate::stages::testing::{build, record};

fn check(config: Value, fields: Value, expected: &str) {
    let mut config = config;
    config["path"] = json!("out.jsonl");
    let Part::Sink(sink) = build::<Sink>(config) else { panic!("not a sink") };
    let line = sink.line(&record(fields)).unwrap();
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}

fn pair() -> Value {
    json!({"question": "Why?", "answer": "So.", "n": 1})
}

#[test]
fn each_format_of_a_question_and_answer() {
    check(
        json!({"format": "messages", "fields": ["id", "n"]}),
        pair(),
        r#"{"messages":[{"role":"user","content":"Why?"},{"role":"assistant","content":"So."}],"id":"000000","n":1}"#,
    );
    check(
        json!({"format": "sharegpt"}),
        pair(),
        r#"{"conversations":[{"from":"human","value":"Why?"},{"from":"gpt","value":"So."}]}"#,
    );
    check(json!({"format": "alpaca"}), pair(), r#"{"instruction":"Why?","input":"","output":"So."}"#);
    check(json!({"format": "prompt_completion"}), pair(), r#"{"prompt":"Why?","completion":"So."}"#);
    check(json!({"format": "raw"}), pair(), r#"{"question":"Why?","answer":"So.","n":1}"#);
    check(json!({"format": "raw", "fields": ["n"]}), pair(), r#"{"n":1}"#);
}

#[test]
fn messages_go_before_question_and_answer() {
    let mut fields = pair();
    fields["messages"] = json!([{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]);
    check(
        json!({"format": "messages", "system": "S"}),
        fields.clone(),
        r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"A"},{"role":"assistant","content":"B"}]}"#,
    );
    check(
        json!({"format": "prompt_completion", "system": "S"}),
        fields,
        r#"{"prompt":"S\n\nA","completion":"B"}"#,
    );
}

#[test]
fn fields_named_by_options_go_before_messages() {
    let fields = json!({"messages": "the row's own", "text": "Hot?", "answer": "Yes.", "reply": "No."});
    let expected = |reply: &str| format!(r#"{{"prompt":"Hot?","completion":"{reply}"}}"#);
    check(json!({"format": "prompt_completion", "user": "text"}), fields.clone(), &expected("Yes."));
    let both = json!({"format": "prompt_completion", "user": "text", "assistant": "reply"});
    check(both, fields, &expected("No."));
}

#[test]
fn a_record_without_an_answer_is_an_error() {
    let config = json!({"path": "out.jsonl", "format": "messages"});
    let Part::Sink(sink) = build::<Sink>(config) else { panic!("not a sink") };
    let error = sink.line(&record(json!({"question": "Why?"}))).unwrap_err();
    assert_eq!(error.message, "field `answer` is not a text");
}
