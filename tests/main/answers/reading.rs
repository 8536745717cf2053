//! Parsing answers: empty ones are reprompted with turns that every server accepts, long ones block nothing, and the value
//! in the data is the intended one.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::model_server::{ModelServer, Reply};
use crate::harness::{outputs, stdout, synthmill};

/// A pipeline that asks each of `topics` for `{"answer": TEXT}`, or what `schema` says.
fn pipeline(dir: &Path, url: &str, schema: &Value, topics: &[&str]) {
    let yaml = format!(
        r#"
name: reading
models:
  writer: {{base_urls: ["{url}"], model: any, max_attempts: 1, structured_output: off}}
stages:
  - ingest: {{paths: [topics.jsonl]}}
  - prompt: {{user: "{{{{ topic }}}}"}}
  - llm: {{model: writer}}
  - parse: {{into: made, on_error: [{{retry: 2}}, reject], schema: {schema}}}
  - sink: {{path: out.jsonl, format: raw, fields: [topic, made]}}
"#
    );
    fs::write(dir.join("p.yaml"), yaml).unwrap();
    let rows: String = topics.iter().map(|topic| json!({"topic": topic}).to_string() + "\n").collect();
    fs::write(dir.join("topics.jsonl"), rows).unwrap();
}

fn closed() -> Value {
    json!({"type": "object", "additionalProperties": false, "required": ["answer"],
        "properties": {"answer": {"type": "string"}}})
}

/// Runs it; gives the summary and what was made of each topic.
fn run(dir: &Path, code: i32) -> (Value, Vec<(String, Value)>) {
    let output = synthmill(dir, &["run", "p.yaml", "--out", "out", "--json"], code);
    let lines = &outputs(&dir.join("out"))["out.jsonl"];
    let made = lines.iter().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["topic"].as_str().unwrap().to_owned(), line["made"].clone())
    });
    (serde_json::from_str(&stdout(&output)).unwrap(), made.collect())
}

#[test]
fn an_empty_answer_is_reprompted_without_an_empty_turn() {
    let server = ModelServer::start(|question| {
        let messages = question.body["messages"].as_array().unwrap();
        let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
        let content = |message: &Value| message["content"].as_str().unwrap_or_default().to_owned();
        let alternate = roles.windows(2).all(|two| two[0] != two[1]);
        if !alternate || messages.iter().any(|message| content(message).trim().is_empty()) {
            let body = json!({"object": "error", "message": "Assistant message must have content", "type": "invalid_request_error"});
            return Reply::json(400, &body);
        }
        let last = content(messages.last().unwrap());
        let finish = |text: &str, reason: &str| {
            let message = json!({"role": "assistant", "content": text});
            Reply::json(200, &json!({"choices": [{"message": message, "finish_reason": reason}]}))
        };
        match &*last {
            "empty" => finish("", "stop"),
            "white" => finish(" \n", "stop"),
            "think" => finish("<think>hm, let me see", "length"),
            "prose" => finish("I would say so.", "stop"),
            _ => Reply::answer("{\"answer\": \"fine\"}"),
        }
    });
    let dir = TempDir::new().unwrap();
    pipeline(dir.path(), &server.url, &closed(), &["empty", "white", "think", "prose", "at once"]);
    let (summary, made) = run(dir.path(), 0);
    assert_eq!(
        (&summary["ok"], &summary["rejected"], &summary["re_asks"]),
        (&5.into(), &0.into(), &4.into()),
        "{summary}"
    );
    assert!(made.iter().all(|(_, made)| *made == json!({"answer": "fine"})), "{made:?}");
}

#[test]
fn the_intended_value_is_written_to_the_data() {
    let server = ModelServer::start(|question| {
        let asked = question.body["messages"].as_array().unwrap();
        Reply::answer(match (asked[0]["content"].as_str().unwrap(), asked.len()) {
            ("frac", _) => r#"{"answer": "Half is $\frac{1}{2}$."}"#,
            ("beta", _) => r#"{"answer": "$\alpha + \beta$"}"#,
            ("times", _) => r#"{"answer": "$2 \times 3 \neq \rho$"}"#,
            ("path", _) => r#"{"answer": "C:\new\table"}"#,
            ("draft", _) => r#"Draft: {"answer": "Perhaps the sun."} Final: {"answer": "The moon."}"#,
            ("space", _) => "{\u{3000}\"answer\"：\"The moon.\"}",
            ("unclear", 1) => r#"{"answer": "f: X \to Y"}"#,
            ("unclear", _) => r#"{"answer": "f: X \\to Y"}"#,
            (other, _) => panic!("{other}"),
        })
    });
    let dir = TempDir::new().unwrap();
    let expected = [
        ("beta", r"$\alpha + \beta$"),
        ("draft", "The moon."),
        ("frac", r"Half is $\frac{1}{2}$."),
        ("path", r"C:\new\table"),
        ("space", "The moon."),
        ("times", r"$2 \times 3 \neq \rho$"),
        ("unclear", r"f: X \to Y"),
    ];
    pipeline(dir.path(), &server.url, &closed(), &expected.map(|(topic, _)| topic));
    let (summary, mut made) = run(dir.path(), 0);
    made.sort_by(|left, right| left.0.cmp(&right.0));
    assert_eq!(made, expected.map(|(topic, text)| (topic.to_owned(), json!({"answer": text}))));
    assert_eq!(summary["re_asks"], 1);
}

#[test]
fn a_small_answer_to_a_recursive_schema_does_not_end_the_run() {
    let node = |op: &str| {
        json!({"type": "object", "required": ["op", "args"],
            "properties": {"args": {"type": "array", "items": {"$ref": "#/$defs/node"}}, "op": {"const": op}}})
    };
    let leaf = json!({"type": "object", "properties": {"op": {"const": "leaf"}, "value": {"type": "number"}},
        "required": ["op", "value"]});
    let nodes: Vec<Value> = ["add", "mul", "sub", "neg"].map(node).into_iter().chain([leaf]).collect();
    let schema = json!({"$defs": {"node": {"anyOf": nodes}}, "$ref": "#/$defs/node"});
    let server = ModelServer::start(|question| {
        let depth: usize = question.body["messages"][0]["content"].as_str().unwrap().parse().unwrap();
        let mut tree = json!({"op": "leaf", "value": "no number"});
        for _ in 0..depth {
            tree = json!({"op": "mul", "args": [tree]});
        }
        Reply::answer(&tree.to_string())
    });
    let dir = TempDir::new().unwrap();
    pipeline(dir.path(), &server.url, &schema, &["1", "9", "40"]);
    let (summary, _) = run(dir.path(), 5);
    assert_eq!((&summary["rejected"], &summary["requests"]), (&3.into(), &9.into()), "{summary}");
    let rejected = outputs(&dir.path().join("out"))["rejected.jsonl"].join("\n");
    assert!(rejected.contains("args.0.value: expected number, got string"), "{rejected}");
}
