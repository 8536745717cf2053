//! The reasoning of a reasoning model becomes the reasoning of conversations.

use serde_json::{Value, json};

use crate::harness::model_server::{ModelServer, Reply};
use crate::harness::{outputs, synthmill};

const PIPELINE: &str = r#"
name: thinking
models:
  writer: {base_urls: ["URL"], model: thinker}
stages:
  - ingest: {paths: [topics.jsonl]}
  - prompt: {user: "Why {{ topic }}? Reply as JSON."}
  - llm: {model: writer}
  - parse: {schema: {type: object, required: [answer], properties: {answer: {type: string}}}}
  - cot_expand: {question: topic, steps: reasoning, tag: think}
  - sink: {path: out.jsonl, format: messages, fields: [topic, cot]}
"#;

#[test]
fn a_servers_reasoning_becomes_the_steps_of_conversations() {
    let server = ModelServer::start(|question| {
        let thought = "First look up.\n\nThen down.\n\nIt follows.";
        let (content, apart) = match question.body["messages"][0]["content"].as_str().unwrap_or_default() {
            text if text.contains("sky") => ("{\"answer\": \"So.\"}".to_owned(), Some(thought)),
            text if text.contains("sea") => {
                (format!("<think>\n{thought}\n</think>\n{{\"answer\": \"So.\"}}"), None)
            }
            _ => ("{\"answer\": \"So.\"}".to_owned(), None),
        };
        let message = json!({"role": "assistant", "content": content, "reasoning_content": apart});
        Reply::json(200, &json!({"choices": [{"message": message, "finish_reason": "stop"}]}))
    });
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("thinking.yaml"), PIPELINE.replace("URL", &server.url)).unwrap();
    let topics: String = ["sky", "sea", "sun"].map(|topic| format!("{{\"topic\": \"{topic}\"}}\n")).concat();
    std::fs::write(dir.path().join("topics.jsonl"), topics).unwrap();
    synthmill(dir.path(), &["run", "thinking.yaml", "--out", "out"], 0);
    let lines = &outputs(&dir.path().join("out"))["out.jsonl"];
    let records: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let check = |topic: &str, expected: &[(&str, &str)]| {
        for (cot, reasoning) in expected {
            let found = records.iter().find(|one| one["topic"] == topic && one["cot"] == *cot);
            let said =
                found.unwrap_or_else(|| panic!("no {cot} of {topic}"))["messages"][1]["content"].clone();
            let tagged = format!("<think>\n{reasoning}\n</think>\n\nSo.");
            assert_eq!(said, if reasoning.is_empty() { "So.".to_owned() } else { tagged }, "{topic} {cot}");
        }
        assert_eq!(records.iter().filter(|one| one["topic"] == topic).count(), expected.len(), "{topic}");
    };
    let expanded = [
        ("none", ""),
        ("first", "First look up."),
        ("first_two", "First look up.\n\nThen down."),
        ("all", "First look up.\n\nThen down.\n\nIt follows."),
    ];
    check("sky", &expanded);
    check("sea", &expanded);
    // Nothing was thought, or not told: the answer alone.
    check("sun", &[("none", "")]);
}
