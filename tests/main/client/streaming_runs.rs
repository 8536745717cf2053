//! Runs with `stream: true`: the same data, the same questions, and the time to the first token.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::child::{answer, rows_folder};
use crate::harness::model_server::ModelServer;
use crate::harness::{outputs, stderr, stdout, synthmill};

/// Runs the pipeline of a folder; returns the summary.
fn run(dir: &TempDir, out: &str, more: &[&str]) -> Value {
    let arguments = [&["run", "p.yaml", "--json", "--out", out], more].concat();
    serde_json::from_str(&stdout(&synthmill(dir.path(), &arguments, 0))).unwrap()
}

fn set_stream(dir: &Path, stream: bool) {
    let file = dir.join("p.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap().replace("\n    stream: true", "");
    let model = if stream { "model: scripted\n    stream: true" } else { "model: scripted" };
    std::fs::write(file, yaml.replace("model: scripted", model)).unwrap();
}

#[test]
fn streaming_yields_the_same_data_and_may_change_between_starts() {
    let server = ModelServer::start(answer);
    let dir = rows_folder(12, 4, &server.url);
    let asked = || server.questions().len();
    let plain = run(&dir, "plain", &[]);
    set_stream(dir.path(), true);
    let streamed = run(&dir, "streamed", &[]);
    assert!(server.questions()[12..].iter().all(|question| question.body["stream"] == true));
    assert_eq!(outputs(&dir.path().join("plain")), outputs(&dir.path().join("streamed")));
    assert_eq!(plain["tokens"], streamed["tokens"]);
    // Partly without streaming, then with: nothing is refused or asked again.
    set_stream(dir.path(), false);
    run(&dir, "mixed", &["--limit", "5"]);
    set_stream(dir.path(), true);
    let before = asked();
    let mixed = run(&dir, "mixed", &[]);
    assert_eq!((asked() - before, &mixed["ok"]), (7, &12.into()));
    // Answers without streaming equal those with it.
    let before = asked();
    let reused = run(&dir, "reused", &["--fresh", "--reuse-answers=plain"]);
    assert_eq!((asked() - before, &reused["reused"]), (0, &12.into()), "{reused}");
}

#[test]
fn a_mock_answers_with_streaming_enabled_too() {
    let dir = rows_folder(3, 2, "http://127.0.0.1:9/v1");
    set_stream(dir.path(), true);
    let summary = run(&dir, "out", &["--set", "models.teacher.provider=mock"]);
    assert_eq!(summary["ok"], 3);
}

/// Returns the times to the first token of the stage `llm`.
fn first_tokens(figures: &Value) -> &Value {
    let stages = figures["stages"].as_array().unwrap();
    &stages.iter().find(|stage| stage["stage"] == "llm").unwrap()["time_to_first_token"]
}

#[test]
fn the_time_to_the_first_token_is_reported_for_streams() {
    let server = ModelServer::start(answer);
    let dir = rows_folder(12, 4, &server.url);
    assert_eq!(*first_tokens(&run(&dir, "plain", &[])), Value::Null);
    set_stream(dir.path(), true);
    let streamed = run(&dir, "streamed", &[]);
    let times = first_tokens(&streamed);
    let seconds = |name: &str| times[name].as_f64().unwrap();
    assert_eq!(times["answers"], 12, "{streamed}");
    assert!(seconds("mean_seconds") > 0.0 && seconds("mean_seconds") <= seconds("longest_seconds"));
    let status = stdout(&synthmill(dir.path(), &["status", "streamed", "--json"], 0));
    assert_eq!(first_tokens(&serde_json::from_str(&status).unwrap()), times);
    let told = stderr(&synthmill(dir.path(), &["run", "p.yaml", "--out", "told", "--limit", "3"], 0));
    assert!(told.contains(", first token after "), "{told}");
    // No time for a reused answer, and none in the stored data of a run.
    let found = run(&dir, "reused", &["--fresh", "--reuse-answers=streamed"]);
    assert_eq!(*first_tokens(&found), Value::Null);
    let mock = run(&dir, "mock", &["--set", "models.teacher.provider=mock"]);
    assert_eq!(*first_tokens(&mock), Value::Null);
}
