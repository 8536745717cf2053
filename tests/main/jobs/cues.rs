//! Cues of `cot_expand`: system messages that say how much reasoning is wanted, from the pipeline file to the training data.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{assert_same_outputs, outputs, project, stderr, synthmill};

const PIPELINE: &str = "pipelines/docs-to-qa.yaml";
const CUES: [(&str, &str); 4] = [
    ("all", "Show your full reasoning step by step, then the answer."),
    ("first", "Give one short step of reasoning, then the answer."),
    ("first_two", "Give two short steps of reasoning, then the answer."),
    ("none", "Answer directly, without showing your reasoning."),
];

fn lines(dir: &std::path::Path) -> Vec<Value> {
    let outputs = outputs(dir);
    let texts = outputs.iter().filter(|(file, _)| *file != "rejected.jsonl").flat_map(|(_, lines)| lines);
    texts.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_shipped_pipeline_adds_cues_when_asked_to() {
    let dir = project();
    let run = |out: &str, more: &[&str]| {
        let run = ["run", PIPELINE, "--no-llm", "--limit", "120", "--out", out];
        synthmill(dir.path(), &[&run[..], more].concat(), 0);
        dir.path().join(out)
    };
    let plain = run("plain", &[]);
    let cued = run("cued", &["--var", "cues=config/reasoning_cues.yaml"]);
    // Without them the form is that of the stage without the option.
    assert_same_outputs(&plain, &run("without", &["--set", "stages.cot_expand.cues_file=null"]));

    let mut cues: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (plain, mut cued) = (lines(&plain), lines(&cued));
    assert!(plain.len() > 400 && plain.len() == cued.len(), "{} and {}", plain.len(), cued.len());
    for line in &mut cued {
        let first = line["messages"].as_array_mut().unwrap().remove(0);
        assert_eq!(first["role"], "system");
        let texts = cues.entry(line["cot"].as_str().unwrap().to_owned()).or_default();
        texts.push(first["content"].as_str().unwrap().to_owned());
        texts.dedup();
    }
    let expected = CUES.map(|(format, text)| (format.to_owned(), vec![text.to_owned()]));
    assert_eq!(cues, BTreeMap::from(expected));
    // But for the cue nothing is different.
    let sorted = |mut lines: Vec<Value>| {
        lines.sort_by_key(|line| line["id"].as_str().unwrap().to_owned());
        lines
    };
    assert!(sorted(plain) == sorted(cued), "more than the cues differs");
}

#[test]
fn a_cue_reaches_what_each_format_of_a_sink_writes() {
    let dir = project();
    let yaml = "name: formats
stages:
  - generate: {count: 1}
  - set: {question: Why?, answer: So., reasoning_steps: {expr: \"['One.']\"}}
  - cot_expand: {formats: [first], cues_file: cues.yaml}
  - sink: {id: messages, path: messages.jsonl, format: messages}
  - sink: {id: sharegpt, path: sharegpt.jsonl, format: sharegpt}
  - sink: {id: alpaca, path: alpaca.jsonl, format: alpaca}
  - sink: {id: pair, path: pair.jsonl, format: prompt_completion}
";
    std::fs::write(dir.path().join("formats.yaml"), yaml).unwrap();
    std::fs::write(dir.path().join("cues.yaml"), "first: Nenne einen Schritt.\n").unwrap();
    let run = ["run", "formats.yaml", "--out", "out"];
    synthmill(dir.path(), &run, 0);
    let outputs = outputs(&dir.path().join("out"));
    for (file, expected) in [
        (
            "messages.jsonl",
            r#"{"messages":[{"role":"system","content":"Nenne einen Schritt."},{"role":"user","content":"Why?"},{"role":"assistant","content":"One.\nSo."}]}"#,
        ),
        (
            "sharegpt.jsonl",
            r#"{"conversations":[{"from":"system","value":"Nenne einen Schritt."},{"from":"human","value":"Why?"},{"from":"gpt","value":"One.\nSo."}]}"#,
        ),
        ("alpaca.jsonl", r#"{"instruction":"Nenne einen Schritt.\n\nWhy?","input":"","output":"One.\nSo."}"#),
        ("pair.jsonl", r#"{"prompt":"Nenne einen Schritt.\n\nWhy?","completion":"One.\nSo."}"#),
    ] {
        assert_eq!(outputs[file], [expected], "{file}");
    }
    // The texts are part of what a run depends on.
    std::fs::write(dir.path().join("cues.yaml"), "first: Nenne den ersten Schritt.\n").unwrap();
    let refused = stderr(&synthmill(dir.path(), &run, 2));
    assert!(refused.contains("files.cues.yaml"), "{refused}");
}

#[test]
fn a_record_without_the_reasoning_that_its_cue_wants_is_dropped() {
    let dir = project();
    let yaml = "name: bare
stages:
  - generate: {count: 3}
  - set: {question: Why?, answer: So., reasoning_steps: {expr: '[]'}}
  - cot_expand: {formats: [all], cues_file: config/reasoning_cues.yaml}
  - sink: {path: out.jsonl, format: messages}
";
    std::fs::write(dir.path().join("bare.yaml"), yaml).unwrap();
    let told = stderr(&synthmill(dir.path(), &["run", "bare.yaml", "--out", "out"], 5));
    assert!(told.contains("3 records: no_reasoning"), "{told}");
}
