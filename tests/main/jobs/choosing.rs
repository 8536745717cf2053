//! Several answers to one question: asked with demonstrations, checked against the known answer, selected as a pair.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{assert_same_outputs, outputs, provenance_lines, synthmill};

const PIPELINE: &str = r#"name: pairs
seed: 5
models:
  solver:
    provider: mock
    concurrency: 16
    mock:
      rules:
        - {share: 0.3, answer: "Try {{ attempt }} adds them. So it is \\boxed{ {{ expected }} }."}
        - {share: 0.3, answer: "I guess, try {{ attempt }}.\nThe answer is {{ expected | int }}.5."}
        - {share: 0.5, answer: "It is {{ expected }} or {{ row + 1 }}."}
        - {answer: "No idea."}
stages:
  - ingest: {paths: [problems.jsonl]}
  - few_shot: {path: problems.jsonl, k: 2, by: similar, field: question}
  - for_each:
      in: 4
      as: attempt
      collect: {into: candidates, fields: [answer, correct]}
      stages:
        - prompt:
            user: |
              {% for example in examples %}
              {{ example.question }} {{ example.expected }}
              {% endfor %}
              {{ question }} (attempt {{ attempt }})
        - llm: {model: solver, output: answer}
        - check_answer: {}
  - choose: {by: candidate.correct, take: pair, rejected: random}
  - split_text: {text: chosen.answer, by: sentences}
  - sink: {path: pairs.jsonl, format: raw, fields: [id, question, chosen, rejected, parts, examples]}
"#;
const ROWS: u64 = 120;

fn run(dir: &Path, out: &str, concurrency: u32) -> Vec<Value> {
    let setting = format!("models.solver.concurrency={concurrency}");
    synthmill(dir, &["run", "pairs.yaml", "--out", out, "--set", &setting], 0);
    let files = outputs(&dir.join(out));
    files["pairs.jsonl"].iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn pairs_of_checked_answers_are_the_same_at_any_concurrency() {
    let dir = tempfile::tempdir().unwrap();
    let problem = |row: u64| {
        let question = format!("How much are {row} and {}?", row * 7 % 30);
        json!({"row": row, "question": question, "expected": (row + row * 7 % 30).to_string()}).to_string()
    };
    std::fs::write(dir.path().join("problems.jsonl"), (0..ROWS).map(problem).collect::<Vec<_>>().join("\n"))
        .unwrap();
    std::fs::write(dir.path().join("pairs.yaml"), PIPELINE).unwrap();
    let pairs = run(dir.path(), "one", 1);
    for pair in &pairs {
        assert_eq!((&pair["chosen"]["correct"], &pair["rejected"]["correct"]), (&json!(true), &json!(false)));
        let parts: String =
            pair["parts"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        assert_eq!(pair["chosen"]["answer"], parts.as_str());
        let examples = pair["examples"].as_array().unwrap();
        assert_eq!(examples.len(), 2);
        assert!(examples.iter().all(|example| example["question"] != pair["question"]), "{pair}");
    }
    // A record without both a correct and a wrong answer is dropped; provenance has the elements that were not selected.
    let provenance = provenance_lines(&dir.path().join("one"));
    let lines: Vec<Value> = provenance.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ended = |outcomes: &[&str]| {
        lines.iter().filter(|line| outcomes.iter().any(|one| line["outcome"] == *one)).count()
    };
    assert_eq!((ended(&["ok"]), ended(&["ok", "tie", "no_pair"])), (pairs.len(), ROWS as usize));
    assert!(pairs.len() > 30 && ended(&["tie"]) > 5 && ended(&["no_pair"]) > 5, "{} pairs", pairs.len());
    for line in lines.iter().filter(|line| line["outcome"] == "ok") {
        let told = &line["fields"]["choose"];
        assert_eq!(told["not_taken"].as_array().unwrap().len(), 2, "{told}");
        assert_eq!(told["values"].as_array().unwrap().len(), 4, "{told}");
    }
    run(dir.path(), "many", 64);
    assert_same_outputs(&dir.path().join("one"), &dir.path().join("many"));
}
