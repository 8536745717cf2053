//! `mode: batch` against a provider with OpenAI's batch API: what is uploaded, what is returned, and what is paid for,
//! whatever fails or is killed in between.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::secrets::{CANARY, files};
use crate::harness::batch_script::{End, Line, Script};
use crate::harness::batch_server::BatchServer;
use crate::harness::child::{Running, answering, ids, rows_folder};
use crate::harness::output_check;
use crate::harness::{assert_same_outputs, outputs, program, stderr, stdout, synthmill};

pub(crate) const RUN: &[&str] = &["run", "p.yaml", "--out", "out"];

/// Makes a folder with `rows_pipeline` that asks the provider at `url` in batches.
pub(crate) fn folder(rows: usize, batch: &str, url: &str) -> TempDir {
    let dir = rows_folder(rows, 1000, url);
    let path = dir.path().join("p.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();
    let mode = format!("model: scripted\n    mode: batch\n    batch: {{linger: 0.2, poll: 0.01, {batch}}}");
    std::fs::write(path, yaml.replace("model: scripted", &mode)).unwrap();
    dir
}

/// Runs the same pipeline with a model that is asked directly.
fn direct(rows: usize) -> TempDir {
    let server = answering(std::time::Duration::ZERO);
    let dir = rows_folder(rows, 8, &server.url);
    synthmill(dir.path(), RUN, 0);
    dir
}

pub(crate) fn each_once(rows: usize) -> BTreeMap<String, usize> {
    (0..rows).map(|row| (format!("Tell me of topic {row}."), 1)).collect()
}

pub(crate) fn rejected(dir: &TempDir) -> Vec<Value> {
    let lines = outputs(&dir.path().join("out")).remove("rejected.jsonl").unwrap_or_default();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn batched_questions_yield_the_data_of_single_requests() {
    let server = BatchServer::start(Script::default());
    let dir = folder(10, "requests: 4", &server.url);
    let output = program(dir.path(), RUN).env("LLM_API_KEY", "sk-canary-123456").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_same_outputs(&dir.path().join("out"), &direct(10).path().join("out"));
    let batches = server.batches();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(server.paid(), each_once(10));
    let line = &batches[0][0];
    assert_eq!((&line["method"], &line["url"]), (&json!("POST"), &json!("/v1/chat/completions")));
    assert_eq!(line["body"]["model"], "scripted");
    assert_eq!(line["body"]["response_format"]["type"], "json_schema");
    let order = &server.orders()[0];
    assert_eq!((&order["endpoint"], &order["completion_window"]), (&line["url"], &json!("24h")));
    assert!(server.headers().iter().all(|headers| headers["authorization"] == "Bearer sk-canary-123456"));
    assert!(!stderr(&output).contains("sk-canary-123456"));
    let journal = std::fs::read_dir(dir.path().join("out/journal/batches")).unwrap();
    assert_eq!(journal.count(), 0, "what was given out is removed");
}

#[test]
fn a_batch_stays_within_the_byte_limit() {
    let server = BatchServer::start(Script::default());
    let dir = folder(9, "bytes: 1500", &server.url);
    synthmill(dir.path(), RUN, 0);
    let sizes: Vec<usize> = server
        .batches()
        .iter()
        .map(|lines| lines.iter().map(|line| line.to_string().len() + 1).sum())
        .collect();
    assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= 1500), "{sizes:?}");
    assert_eq!(server.paid(), each_once(9));
}

#[test]
fn raw_completions_have_their_own_batch_lines() {
    let server = BatchServer::start(Script::default());
    let dir = folder(2, "requests: 4", &server.url);
    synthmill(dir.path(), &[RUN, &["--set", "models.teacher.api=completions"]].concat(), 0);
    let line = &server.batches()[0][0];
    assert_eq!(line["url"], "/v1/completions");
    assert!(line["body"]["prompt"].as_str().unwrap().starts_with("Tell me of topic"));
}

#[test]
fn failures_and_expiry_are_handled_line_by_line() {
    let work = |prompt: &str, before: usize| {
        let fine = Line::Answer(json!({"answer": "good"}).to_string());
        match (prompt.strip_prefix("Tell me of topic ").unwrap(), before) {
            ("0.", _) => Line::Status(400, "context_length_exceeded".into()),
            ("1.", 0) => Line::Expired,
            ("2.", 0) => Line::Nothing,
            ("3.", 0) => Line::Garbage,
            ("4.", 0) => Line::Status(500, "oops".into()),
            ("5.", 0) => Line::Status(429, "slow down".into()),
            ("6.", _) => Line::Expired,
            _ => fine,
        }
    };
    let server = BatchServer::start(Script { work: Box::new(work), ..Script::default() });
    let dir = folder(12, "requests: 50", &server.url);
    synthmill(dir.path(), &[RUN, &["--set", "models.teacher.max_attempts=3"]].concat(), 0);
    let asked = server.asked();
    let times = |row: usize| asked[&format!("Tell me of topic {row}.")];
    assert_eq!((0..12).map(times).collect::<Vec<_>>(), [1, 2, 2, 2, 2, 2, 3, 1, 1, 1, 1, 1]);
    assert!(server.answered().values().all(|times| *times == 1), "{:?}", server.answered());
    let rejected = rejected(&dir);
    let mut classes: Vec<(&str, u64)> = rejected
        .iter()
        .map(|line| (line["class"].as_str().unwrap(), line["attempts"].as_u64().unwrap()))
        .collect();
    classes.sort_unstable();
    assert_eq!(classes, [("batch_expired", 3), ("context_length", 1)]);
    assert_eq!(ids(&dir.path().join("out")), 12);
}

#[test]
fn a_refused_schema_is_omitted_from_the_next_batch() {
    for refusal in ["response_format is not supported", "words that nobody knows"] {
        let server = BatchServer::start(Script {
            work: Box::new(move |_, before| match before {
                0 => Line::Status(400, refusal.into()),
                _ => Line::Answer(json!({"answer": "good"}).to_string()),
            }),
            ..Script::default()
        });
        let dir = folder(3, "requests: 50", &server.url);
        synthmill(dir.path(), RUN, 0);
        let batches = server.batches();
        let forms: Vec<&Value> =
            batches.iter().map(|lines| &lines[0]["body"]["response_format"]["type"]).collect();
        assert_eq!(forms, ["json_schema", "json_object"], "{refusal}");
    }
}

#[test]
fn a_setting_that_is_refused_for_all_ends_the_run_and_rejects_nothing() {
    let refusal = "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                   'max_completion_tokens' instead.";
    let work = move |_: &str, _: usize| Line::Status(400, refusal.into());
    let server = BatchServer::start(Script { work: Box::new(work), ..Script::default() });
    let dir = folder(9, "requests: 4", &server.url);
    let set = &["--set", "models.teacher.params={max_tokens: 300}"];
    let output = program(dir.path(), &[RUN, set].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let hint = "write `max_completion_tokens` in its place, in `models.teacher.params`";
    assert!(stderr(&output).contains(hint), "{}", stderr(&output));
    assert!(rejected(&dir).is_empty());
}

/// The points where the program aborts: at each write for a batch.
const POINTS: &[&str] = &[
    "make batches 1",
    "open 000001.questions 1",
    "half 000001.questions 1",
    "written 000001.questions 1",
    "open batches 1",
    "half batches 1",
    "written batches 1",
    "synced batches 1",
    "half batches 2",
    "synced batches 2",
    "remove 000001.questions 1",
    "write batches 3",
    "half batches 3",
    "synced batches 3",
    "half batches 4",
    "synced batches 5",
    "open 000001.answers 1",
    "half 000001.answers 1",
    "written 000001.answers 1",
    "written 000002.answers 1",
    "remove 000001.answers 1",
    "half answers 1",
    "half answers 2",
    "written answers 3",
    "half commits 2",
    "synced commits 2",
];

#[test]
fn a_run_killed_between_any_two_steps_submits_nothing_twice() {
    let undisturbed = direct(7);
    let golden = outputs(&undisturbed.path().join("out"));
    let mut aborted = 0;
    for point in POINTS {
        let server = BatchServer::start(Script::default());
        let dir = folder(7, "requests: 3", &server.url);
        let before = aborted;
        for _ in 0..3 {
            let status = program(dir.path(), RUN).env("SYNTHMILL_ABORT", point).output().unwrap().status;
            aborted += usize::from(status.code().is_none());
        }
        assert!(aborted > before, "no start met {point}");
        synthmill(dir.path(), RUN, 0);
        assert_eq!(server.paid(), each_once(7), "{point}");
        assert_eq!(
            output_check::violations(&dir.path().join("out"), &golden),
            Vec::<String>::new(),
            "{point}"
        );
    }
    eprintln!("abort points of batches: {} points, {aborted} aborts", POINTS.len());
}

#[test]
fn a_stopped_run_leaves_its_batches_with_the_provider_and_collects_them_later() {
    let server = BatchServer::start(Script { end: Box::new(|_| End::Never), ..Script::default() });
    let dir = folder(30, "requests: 10", &server.url);
    let mut run = Running::start(dir.path(), RUN);
    assert!(run.runs_until("batches are made", || server.calls("GET /batches/ID") > 9));
    run.signal("INT");
    let ended = run.wait();
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert!(ended.stderr.contains("3 with 30 questions are with the provider"), "{}", ended.stderr);
    let status = stdout(&synthmill(dir.path(), &["status", "out"], 0));
    assert!(
        status.contains("in_progress: 10 questions, 0 answered") && status.contains("`batch_1`"),
        "{status}"
    );

    let output = synthmill(dir.path(), &["run", "p.yaml", "--out", "out", "--fresh", "--limit", "0"], 0);
    assert!((1..=3).all(|batch| stderr(&output).contains(&format!("batch_{batch}"))), "{}", stderr(&output));
    std::fs::remove_dir_all(dir.path().join("out")).unwrap();
    let moved = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("out.");
    let old = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap).find(moved).unwrap();
    std::fs::rename(old.path(), dir.path().join("out")).unwrap();

    // Lower concurrency now, so that most answers arrive before their questions are asked.
    server.now(Script::default());
    synthmill(dir.path(), &[RUN, &["--set", "models.teacher.batch.in_flight=3"]].concat(), 0);
    assert_eq!((server.batches().len(), server.paid()), (3, each_once(30)));
    assert_same_outputs(&dir.path().join("out"), &direct(30).path().join("out"));
}

#[test]
fn a_key_that_a_provider_repeats_is_redacted() {
    let key = CANARY;
    let work = move |_: &str, _: usize| Line::Status(400, format!("wrong key {key}"));
    let server = BatchServer::start(Script { work: Box::new(work), ..Script::default() });
    let dir = folder(3, "requests: 50", &server.url);
    let output = program(dir.path(), RUN).env("LLM_API_KEY", key).output().unwrap();
    assert!(!stderr(&output).contains(key), "{}", stderr(&output));
    assert_eq!(rejected(&dir).len(), 3);
    assert!(files(&dir.path().join("out")) > 4, "none holds the key");
}

#[test]
fn rejected_items_are_asked_again_on_request() {
    let server = BatchServer::start(Script {
        work: Box::new(|prompt, before| match (prompt.ends_with("topic 1."), before) {
            (true, 0) => Line::Status(400, "no".into()),
            _ => Line::Answer(json!({"answer": "good"}).to_string()),
        }),
        ..Script::default()
    });
    let dir = folder(4, "requests: 50", &server.url);
    synthmill(dir.path(), RUN, 0);
    assert_eq!(rejected(&dir).len(), 1);
    synthmill(dir.path(), &["retry-rejected", "out"], 0);
    assert_eq!((rejected(&dir).len(), server.asked()["Tell me of topic 1."]), (0, 2));
    assert_eq!(ids(&dir.path().join("out")), 4);
}

#[test]
fn a_preview_of_a_few_records_needs_no_batch() {
    let server = answering(std::time::Duration::ZERO);
    let dir = folder(4, "requests: 50", &server.url);
    let shown = stdout(&synthmill(dir.path(), &["preview", "p.yaml", "-n", "2"], 0));
    assert!(shown.contains("An answer to: Tell me of topic 1."), "{shown}");
    let plan = stdout(&synthmill(dir.path(), &["validate", "p.yaml"], 0));
    assert!(plan.contains("in batches of 50, 50000 at a time"), "{plan}");
}
