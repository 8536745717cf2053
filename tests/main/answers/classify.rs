//! `classify` in whole runs: with log probabilities in the formats of servers, and with samples if there are none.

use serde_json::{Value, json};

use crate::harness::model_server::{ModelServer, Reply};
use crate::harness::{outputs, program, project, provenance_lines, stderr, stdout, synthmill};

/// The lines of `out.jsonl` in a run directory, by `row`.
fn lines(root: &std::path::Path) -> Vec<Value> {
    let mut lines: Vec<Value> =
        outputs(root)["out.jsonl"].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["row"].as_u64());
    lines
}

#[test]
fn records_without_log_probabilities_are_sampled_and_the_same_at_any_concurrency() {
    let pipeline = r#"
name: labels
models:
  judge:
    provider: mock
    mock:
      rules:
        - {when: row % 2 == 0, logprobs: {A: -0.2, " B": -1.7}}
        - {share: 0.5, answer: "(A)"}
        - {answer: "B, I think"}
stages:
  - generate: {count: 60}
  - classify: {model: judge, question: "Which fits row {{ row }}?", choices: [first, second], clamp: [0.4, 0.6]}
  - sink: {path: out.jsonl, format: raw, fields: [row, label, probabilities, method, coverage]}
"#;
    let dir = project();
    std::fs::write(dir.path().join("labels.yaml"), pipeline).unwrap();
    let mut all = Vec::new();
    for concurrency in ["1", "64"] {
        let set = format!("models.judge.concurrency={concurrency}");
        let output =
            synthmill(dir.path(), &["run", "labels.yaml", "--json", "--out", concurrency, "--set", &set], 0);
        let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&summary["ok"], &summary["rejected"]), (&json!(60), &json!(0)));
        // One question for the even rows; for the odd ones the first and four more.
        assert_eq!(summary["requests"], 30 + 30 * 5, "{summary}");
        let root = dir.path().join(concurrency);
        for line in provenance_lines(&root).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let (id, calls) = (line["id"].as_str().unwrap(), line["calls"].as_array().unwrap());
            let asked: Vec<&str> = calls.iter().map(|call| call["asked_as"].as_str().unwrap()).collect();
            let numbered = |number| format!("{id}.classify-{number}");
            assert_eq!(asked, (0..calls.len()).map(numbered).collect::<Vec<_>>());
        }
        all.push(lines(&root));
    }
    assert_eq!(all[0], all[1]);
    let even = json!({"row": 0, "label": "first", "probabilities": {"first": 0.6, "second": 0.4}, "method": "logprobs"});
    for (key, value) in even.as_object().unwrap() {
        assert_eq!(&all[0][0][key], value);
    }
    let odd: Vec<&Value> = all[0].iter().filter(|line| line["method"] == "samples").collect();
    assert_eq!(odd.len(), 30);
    assert!(odd.iter().all(|line| line["coverage"] == 1.0));
    let first = odd.iter().filter(|line| line["label"] == "first").count();
    assert!((5..=25).contains(&first), "{first} of 30");
}

#[test]
fn lines_say_who_judged_and_classified() {
    let pipeline = r#"
name: labels
models:
  writer: {provider: openai, base_urls: ["http://127.0.0.1:9/v1"], model: m}
  strict: {provider: openai, base_urls: ["http://127.0.0.1:9/v1"], model: m}
stages:
  - generate: {count: 3}
  - set: {answer: "Row {{ row }} is fine."}
  - judge: {model: strict, question: "Is row {{ row }} fine?", aspects: {truth: "5: it is right."}}
  - set: {judged_by: {expr: answered_by}}
  - classify: {model: writer, question: "Which fits row {{ row }}?", choices: [first, second]}
  - sink: {path: out.jsonl, format: raw, fields: [row, judged_by, answered_by, method]}
"#;
    let dir = project();
    std::fs::write(dir.path().join("labels.yaml"), pipeline).unwrap();
    for (option, answered_by, method) in
        [("--no-llm", "heuristic", "heuristic"), ("--mock", "mock", "logprobs")]
    {
        synthmill(dir.path(), &["run", "labels.yaml", "--out", answered_by, option], 0);
        let made = lines(&dir.path().join(answered_by));
        assert_eq!(made.len(), 3);
        for line in made {
            let found = [&line["judged_by"], &line["answered_by"], &line["method"]];
            assert_eq!(found, [answered_by, answered_by, method], "{line}");
        }
    }
    let rule = "models.writer={provider: mock, mock: {rules: [{logprobs: {A: -0.2, B: -1.7}}]}}";
    // What the heuristic judged is its work, whoever answers later.
    let of_heuristic = "models.strict={provider: heuristic}";
    synthmill(dir.path(), &["run", "labels.yaml", "--out", "both", "--set", rule, "--set", of_heuristic], 0);
    for line in lines(&dir.path().join("both")) {
        assert_eq!((&line["answered_by"], &line["method"]), (&json!("heuristic"), &json!("logprobs")));
    }
}

/// Runs `classify` over one row against a server with this reply; returns the line and the server's requests.
fn asked(api: &str, reply: Value) -> (Value, Value) {
    let server = ModelServer::start(move |_| Reply::json(200, &reply));
    let pipeline = format!(
        "name: labels\nmodels: {{judge: {{base_urls: [\"${{LLM_BASE_URL}}\"], model: m, api: {api}}}}}\nstages:\n  \
         - generate: {{count: 1}}\n  - classify: {{model: judge, question: Which?, choices: [first, second]}}\n  \
         - sink: {{path: out.jsonl, format: raw}}\n"
    );
    let dir = project();
    std::fs::write(dir.path().join("labels.yaml"), pipeline).unwrap();
    let mut command = program(dir.path(), &["run", "labels.yaml", "--out", "out"]);
    let output = command.env("LLM_BASE_URL", &server.url).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let questions = server.questions();
    assert_eq!(questions.len(), 1);
    (lines(&dir.path().join("out")).remove(0), questions[0].body.clone())
}

#[test]
fn log_probabilities_are_read_as_servers_give_them() {
    let near = |line: &Value| {
        let found = line["probabilities"]["first"].as_f64().unwrap();
        assert!((found - 0.817574).abs() < 5e-7, "{line}");
        assert_eq!(line["method"], "logprobs");
    };
    let token =
        |text: &str, logprob: f64| json!({"token": text, "logprob": logprob, "bytes": text.as_bytes()});
    let mut first = token("A", -0.2);
    first["top_logprobs"] = json!([token("A", -0.2), token("B", -1.7), token("The", -9.5)]);
    let message = json!({"role": "assistant", "content": "A"});
    let chat = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop",
        "logprobs": {"content": [first], "refusal": null}}]});
    let (line, body) = asked("chat", chat);
    near(&line);
    assert_eq!((&body["logprobs"], &body["top_logprobs"]), (&json!(true), &json!(20)));

    let raw = json!({"choices": [{"index": 0, "text": " A", "finish_reason": "stop", "logprobs": {
        "text_offset": [6], "tokens": [" A"], "token_logprobs": [-0.2], "top_logprobs": [{" A": -0.2, " B": -1.7}]}}]});
    let (line, body) = asked("completions", raw);
    near(&line);
    assert_eq!((&body["logprobs"], &body["top_logprobs"]), (&json!(20), &Value::Null));
}
