//! A pipeline as a user would write it from `docs/pipeline-file.md`: rows in, a custom prompt and schema, messages out.

use serde_json::{Value, json};

use crate::harness::model_server::{ModelServer, Reply};
use crate::harness::{outputs, program, stderr};

const PIPELINE: &str = r#"
name: support
seed: 7
vars: {product: Kettle 3000}
models:
  writer:
    base_urls: ["${LLM_BASE_URL:-http://127.0.0.1:8000/v1}"]
    model: my-model
    api_key_env: LLM_API_KEY
    concurrency: 8
    params: {temperature: 0.5, max_tokens: 300}
stages:
  - ingest: {paths: [tickets.jsonl]}
  - prompt:
      system: You answer customers of the {{ vars.product }}. Reply as JSON with "reply" and "urgent".
      user: |
        {{ customer.name }} ({{ language | default("en") }}) writes:
        {{ message }}
  - llm: {model: writer}
  - parse:
      schema:
        type: object
        required: [reply, urgent]
        properties:
          reply: {type: string, minLength: 5}
          urgent: {type: boolean}
      on_error: [{retry: 1}, reject]
  - sink:
      path: urgent.jsonl
      when: urgent
      format: messages
      system: You are kind.
      user: message
      assistant: reply
  - sink:
      path: replies.jsonl
      format: messages
      user: message
      assistant: reply
      fields: [id, ticket, urgent]
      provenance: [model, tokens]
"#;

#[test]
fn a_pipeline_of_the_users_own_runs() {
    let server = ModelServer::start(|question| {
        let asked = question.body["messages"].to_string();
        let asked_again = question.body["messages"].as_array().unwrap().len() > 2;
        if asked.contains("message 4") || (asked.contains("message 3") && !asked_again) {
            return Reply::answer("{\"reply\": \"I would rather not.\"}");
        }
        // What small models do: prose, a fence, single quotes, a comma too many.
        let urgent = asked.contains("message 1");
        Reply::answer(&format!("Sure!\n```json\n{{'reply': 'We are sorry.', 'urgent': {urgent},}}\n```"))
    });
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("support.yaml"), PIPELINE).unwrap();
    let rows: String = (0..6)
        .map(|n| json!({"ticket": n, "customer": {"name": "Ada"}, "message": format!("message {n}: it is cold")}))
        .map(|row| format!("{row}\n"))
        .collect();
    std::fs::write(dir.path().join("tickets.jsonl"), rows + "\nnot json\n").unwrap();

    let output =
        program(dir.path(), &["run", "support.yaml"]).env("LLM_BASE_URL", &server.url).output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("6 admitted = 5 ok + 0 dropped + 1 rejected + 0 in flight"), "{told}");
    assert!(told.contains("tickets.jsonl:8"), "the line that is no JSON is named\n{told}");

    let lines = outputs(&dir.path().join("output/support"));
    let parse = |file: &str| -> Vec<Value> {
        lines[file].iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let replies = parse("replies.jsonl");
    let tickets: Vec<_> = replies.iter().map(|line| line["ticket"].as_u64().unwrap()).collect();
    assert_eq!(tickets.len(), 5);
    assert!([0, 1, 2, 3, 5].iter().all(|ticket| tickets.contains(ticket)), "{tickets:?}");
    let first = replies.iter().find(|line| line["ticket"] == 0).unwrap();
    assert_eq!(
        first["messages"],
        json!([
            {"role": "user", "content": "message 0: it is cold"},
            {"role": "assistant", "content": "We are sorry."},
        ])
    );
    assert_eq!(first["urgent"], false);
    assert_eq!(first["provenance"]["served_as"], "my-model", "{first}");
    let urgent = parse("urgent.jsonl");
    assert_eq!(urgent.len(), 1);
    assert_eq!(urgent[0]["messages"][0], json!({"role": "system", "content": "You are kind."}));

    let rejected = parse("rejected.jsonl");
    assert_eq!((rejected.len(), &rejected[0]["stage"]), (1, &json!("parse")), "{rejected:?}");
    assert!(rejected[0].to_string().contains("urgent"), "{}", rejected[0]);
    let system = server.questions()[0].body["messages"][0]["content"].clone();
    assert_eq!(
        system,
        "You answer customers of the Kettle 3000. Reply as JSON with \"reply\" and \"urgent\"."
    );
}
