//! A pipeline that `validate` accepts does not fail for its types: each field of a row is used in each option that takes a
//! field or an expression, and accepted pipelines are run.

use serde_json::json;
use synthmill::config::{Overrides, Plan};
use synthmill::llm::scripted::{Reply, Scripted};

use crate::harness::{Run, check_invariants};

/// Fields of every kind, by name.
fn row() -> serde_json::Value {
    json!({
        "text": "Tea.", "number": 3, "fraction": 0.5, "flag": true, "texts": ["a", "b"], "numbers": [1, 2],
        "object": {"title": "T", "n": 1}, "objects": [{"title": "T"}], "nothing": null,
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
        "calls": [{"role": "assistant", "content": null, "tool_calls": [{"id": "a", "function": {"name": "f"}}]}],
        "turns": [{"from": "human", "value": "Hi"}],
    })
}

/// Stages with the place of a field.
const PLACES: [&str; 23] = [
    "prompt: {user: '{{ FIELD }}'}",
    "prompt: {user: '{% for x in FIELD %}{{ x }}{% endfor %}'}",
    "prompt: {user: '{{ FIELD + 1 }}'}",
    "prompt: {user: '{{ FIELD | length }}'}",
    "prompt: {user: '{{ 2 in FIELD }}'}",
    "prompt: {user: '{{ FIELD.title }}'}",
    "llm: {model: m, input: FIELD}",
    "llm: {model: m, input: text, tools: FIELD}",
    "cot_expand: {question: FIELD, answer: text, steps: text}",
    "cot_expand: {question: text, answer: FIELD, steps: text}",
    "cot_expand: {question: text, answer: text, steps: FIELD}",
    "set: {made: '{{ FIELD }}'}",
    "set: {made: {expr: 'FIELD + 1'}, again: '{{ made }}'}",
    "set: {text: {expr: FIELD}, again: '{{ text.title }}'}",
    "filter: {keep_if: FIELD > 1}",
    "split: {ratios: {a: 1, b: 1}, by: FIELD}",
    "split: {ratios: {a: 1, b: 1}, by: '[FIELD]'}",
    "split: {rules: [{when: FIELD, to: a}, {to: b}]}",
    "sink: {id: s, path: s.jsonl, format: messages, user: FIELD, assistant: text}",
    "sink: {id: s, path: s.jsonl, format: sharegpt, user: text, assistant: FIELD}",
    "sink: {id: s, path: s.jsonl, format: alpaca, user: FIELD}",
    "sink: {id: s, path: s.jsonl, format: raw, fields: [FIELD]}",
    "sink: {id: s, path: s.jsonl, format: raw, when: FIELD > 1}",
];

#[tokio::test(start_paused = true)]
async fn accepted_pipelines_run_without_type_errors() {
    let dir = tempfile::tempdir().unwrap();
    let mut row = row();
    row["answer"] = json!("Yes.");
    std::fs::write(dir.path().join("rows.jsonl"), format!("{row}\n")).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for place in PLACES {
        for field in row.as_object().unwrap().keys() {
            let stage = place.replace("FIELD", field);
            let models = if stage.starts_with("llm") {
                "{m: {base_urls: ['http://127.0.0.1:9/v1'], model: m}}"
            } else {
                "{}"
            };
            let yaml = format!(
                "name: t\nmodels: {models}\nstages:\n  - ingest: {{paths: ['{}/rows.jsonl']}}\n  - {stage}\n  - sink: {{path: out.jsonl, format: raw, fields: [id]}}\n",
                dir.path().display()
            );
            match Plan::load_text("t.yaml", &yaml, &Overrides::default()) {
                Err(problems) => {
                    let said = problems.to_string();
                    // That an object has no such key is not a type error.
                    assert!(
                        said.contains("` is ") || said.contains("no earlier stage makes"),
                        "{stage}\n{said}"
                    );
                    refused += 1;
                }
                Ok(_) => {
                    accepted += 1;
                    let root = dir.path().join(format!("run-{accepted}"));
                    let run = Run::new(&yaml, &root, Scripted::new(|_| Reply::text("So.")));
                    let report = run.run().await;
                    check_invariants(&root, &report);
                    let rejected = std::fs::read_to_string(root.join("rejected.jsonl")).unwrap();
                    assert_eq!(report.snapshot.rejected, 0, "{stage} is accepted, and then:\n{rejected}");
                }
            }
        }
    }
    assert_eq!((accepted, refused), (117, 182));
}
