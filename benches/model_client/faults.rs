//! A whole run under transient faults: `user-inputs` over HTTP with 64 concurrent requests, against servers that take 50 ms
//! per answer and refuse or fail some at random. Each is a run of the program, with its journal and its outputs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::servers::{self, Server};

const ROWS: u64 = 1500;

/// Runs under each kind of fault, and prints how long each took.
pub(crate) fn measure() {
    let refusals = |share: f64, status: u64| {
        let headers = json!([["retry-after", "1"]]);
        let reply = json!({"status": status, "error": ["", "slow down"], "headers": headers});
        json!([{"when": {"share": share}, "reply": reply}])
    };
    let fails = |share: f64, reply: Value| json!({"when": {"share": share}, "reply": reply});
    let reset = json!({"fault": {"at": "before_headers", "by": "reset"}});
    let cut = json!({"delay": 0.05, "fault": {"at": "in_body", "by": "close"}});
    let rubbish = json!({"delay": 0.05, "text": "<html>busy</html>"});
    let status =
        |status: u64| json!({"status": status, "error": ["", "busy"], "headers": [["retry-after", "1"]]});
    let mixture = json!([
        fails(0.04, json!({"status": 500, "error": ["", "oops"]})),
        fails(0.01, status(503)),
        fails(0.01, status(429)),
        fails(0.03, reset.clone()),
        fails(0.03, cut),
        fails(0.04, rubbish),
    ]);
    let clear = json!([]);
    for concurrency in ["64", "auto"] {
        run("no faults", concurrency, &[&clear]);
        run("2 % are refused with 429, 1 s named", concurrency, &[&refusals(0.02, 429)]);
        run("2 % are refused with 503, 1 s named", concurrency, &[&refusals(0.02, 503)]);
        run("5 % are refused with 429, 1 s named", concurrency, &[&refusals(0.05, 429)]);
        run("1 % fail with 500", concurrency, &[&json!([fails(0.01, json!({"status": 500}))])]);
        run("1 % are reset", concurrency, &[&json!([fails(0.01, reset.clone())])]);
        run("all faults together", concurrency, &[&mixture]);
        run("one of two refuses with 429", concurrency, &[&clear, &refusals(1.0, 429)]);
        run(
            "one of two gives no choices",
            concurrency,
            &[&clear, &json!([fails(1.0, json!({"json": {"choices": []}}))])],
        );
    }
}

fn run(faults: &str, concurrency: &str, rules: &[&Value]) {
    let servers: Vec<Server> = rules.iter().map(|rules| servers::with_faults(rules)).collect();
    let urls: Vec<&str> = servers.iter().map(|server| &*server.url).collect();
    let folder = TempDir::new().unwrap();
    let begin = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_synthmill"))
        .args([
            "run",
            "pipelines/user-inputs.yaml",
            "--limit",
            &ROWS.to_string(),
            "--var",
            &format!("rows={ROWS}"),
            "-q",
            "--out",
        ])
        .arg(folder.path().join("run"))
        .args(["--set", &format!("models.writer.base_urls={}", json!(urls))])
        .args(["--set", &format!("models.writer.concurrency={concurrency}")])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    let asked: usize = servers.iter().map(|server| server.questions().len()).sum();
    println!(
        "user-inputs, {ROWS} rows, {concurrency} at a time, {faults}: {seconds:.1} s, {asked} requests, {status}"
    );
}
