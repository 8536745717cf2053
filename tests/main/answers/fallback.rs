//! The heuristic replaces a model only on request, and the training data says where it did.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::model_server::{ModelServer, Reply, qa_pair};
use crate::harness::{outputs, program, project, stdout};

const PIPELINE: &str = "pipelines/docs-to-qa.yaml";

/// A model that gives no JSON to one question in four, however often it is asked.
fn a_model_that_fails() -> ModelServer {
    ModelServer::start(|question| {
        let asked = question.body["messages"][1]["content"].as_str().unwrap_or_default();
        if asked.len().is_multiple_of(4) {
            return Reply::answer("I would rather not.");
        }
        Reply::answer(&qa_pair(question, "it").to_string())
    })
}

/// Runs the shipped pipeline on 60 questions; gives the summary and how many lines each answerer has.
fn run(dir: &Path, out: &str, url: &str, more: &[&str]) -> (Value, BTreeMap<String, usize>) {
    let arguments = [&["run", PIPELINE, "--limit", "60", "--json", "--out", out], more].concat();
    let output = program(dir, &arguments).env("LLM_BASE_URL", url).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut answered_by = BTreeMap::new();
    for (file, lines) in outputs(&dir.join(out)) {
        for line in lines.iter().filter(|_| file != "rejected.jsonl") {
            let line: Value = serde_json::from_str(line).unwrap();
            *answered_by.entry(line["answered_by"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    (serde_json::from_str(&stdout(&output)).unwrap(), answered_by)
}

#[test]
fn a_question_the_model_fails_is_rejected_unless_the_fallback_is_asked_for() {
    let server = a_model_that_fails();
    let dir = project();
    let count = |summary: &Value, key: &str| summary[key].as_u64().unwrap();

    let (summary, answered_by) = run(dir.path(), "rejecting", &server.url, &[]);
    let (ok, rejected) = (count(&summary, "ok"), count(&summary, "rejected"));
    assert!(ok > 0 && rejected > 0, "{summary}");
    assert_eq!((count(&summary, "fallbacks"), count(&summary, "re_asks")), (0, 2 * rejected));
    assert_eq!(answered_by, BTreeMap::from([("teacher".to_owned(), 4 * ok as usize)]));

    let fall_back = ["--set", "stages.parse.on_error=[{retry: 2}, heuristic]"];
    let (summary, answered_by) = run(dir.path(), "falling_back", &server.url, &fall_back);
    let dropped = count(&summary, "dropped") as usize;
    assert_eq!((count(&summary, "fallbacks"), count(&summary, "rejected")), (rejected, 0), "{summary}");
    let written = 4 * (60 - dropped);
    assert_eq!(answered_by.values().sum::<usize>(), written);
    assert!(
        answered_by["heuristic"] > 0 && answered_by["heuristic"] <= 4 * rejected as usize,
        "{answered_by:?}"
    );
    assert!(answered_by["teacher"] >= 4 * ok as usize, "{answered_by:?}");

    let (summary, answered_by) = run(dir.path(), "without", &server.url, &["--no-llm"]);
    assert_eq!(count(&summary, "rejected"), 0);
    assert_eq!(answered_by.keys().collect::<Vec<_>>(), ["heuristic"]);
}
