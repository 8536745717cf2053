//! The program's memory does not follow what a server sends: read from the system while the program runs.

use serde_json::{Value, json};

use crate::child::{Running, rows_folder};
use crate::server_process::ServerProcess;

/// MiB that the program may ever have had: itself, and a few bodies at their limit of 8.
const MOST: u64 = 150;

/// Runs until the third question, which hangs; the two before get `reply` the first time they are put. Gives
/// the largest memory so far.
fn peak(reply: &Value) -> u64 {
    let server = ServerProcess::start(json!({
        "rules": [
            {"when": {"contains": "topic 2."}, "reply": {"delay": 600}},
            {"when": {"first": 1}, "reply": reply},
        ],
    }));
    let dir = rows_folder(3, 1, &server.url);
    let mut running = Running::start(dir.path(), &["run", "p.yaml", "--out", "out"]);
    let third = |question: &Value| question["prompt"].as_str().unwrap().contains("topic 2.");
    let hangs = || server.questions().iter().any(third);
    assert!(running.runs_until("the third question", hangs), "{}", running.stderr());
    let peak = running.peak_memory();
    running.kill();
    peak
}

#[test]
fn t39_a_gigabyte_is_not_held() {
    let gigabyte = 1_u64 << 30;
    for reply in [
        json!({"repeat": ["{\"choices\": [\"", "x", gigabyte]}),
        json!({"status": 400, "repeat": ["<html>", " ", gigabyte]}),
        json!({"gzip_bomb": 1024}),
    ] {
        let peak = peak(&reply) >> 20;
        assert!((4..MOST).contains(&peak), "{peak} MiB: {reply}");
    }
}
