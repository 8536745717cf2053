//! Memory of the program, read from the system while it runs: it grows neither with the size of responses nor with the
//! number of finished items.

use serde_json::{Value, json};

use crate::harness::child::{Running, rows_folder};
use crate::harness::server_process::ServerProcess;

/// The maximum of memory in MiB: the program, and a few bodies at their limit of 8.
const MOST: u64 = 150;

/// Runs until the third question, which hangs; the first two get `reply` on the first attempt. Returns the peak memory so
/// far.
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
    let peak = running.peak_memory().unwrap();
    running.kill();
    peak
}

#[test]
fn a_response_of_a_gigabyte_is_not_held_in_memory() {
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

/// Runs items through a loop of three passes with a question each; returns the peak memory after a tenth of them and
/// after nearly all.
fn peaks_of_a_loop(items: u64) -> [u64; 2] {
    let dir = tempfile::TempDir::new().unwrap();
    let yaml = format!(
        "name: loop\nmodels:\n  teacher: {{provider: mock, concurrency: 64}}\nstages:\n  - generate: {{count: \
         {items}}}\n  - set: {{text: \"item {{{{ row }}}}\"}}\n  - repeat:\n      id: evolve\n      times: 3\n      \
         stages:\n        - prompt: {{user: \"Make it harder: {{{{ text }}}}\"}}\n        - llm: {{model: teacher, \
         output: text}}\n  - sink: {{path: out.jsonl, format: raw, fields: [id, text]}}\n"
    );
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    let mut running = Running::start(dir.path(), &["run", "p.yaml", "--out", "out"]);
    let output = dir.path().join("out/out.jsonl");
    let done = || {
        let bytes = std::fs::read(&output).unwrap_or_default();
        bytes.iter().filter(|byte| **byte == b'\n').count() as u64
    };
    // Step by step, since each is awaited for a time only. The last look while it ran is the late one.
    let (mut peaks, mut last) = ([0; 2], 0);
    for percent in 1..=90 {
        let part = items * percent / 100;
        let runs = running.runs_until("more items are done", || done() >= part);
        let Some(peak) = running.peak_memory().filter(|_| runs) else { break };
        if percent <= 10 {
            peaks[0] = peak;
        }
        (peaks[1], last) = (peak, percent);
    }
    assert!(last >= 50, "it ended unseen, last looked at with {last} % done: {}", running.stderr());
    running.kill();
    peaks
}

/// `SYNTHMILL_ITEMS` sets the number of items; the default keeps the test to seconds.
#[test]
fn finished_items_take_no_memory_in_loops_either() {
    let items = std::env::var("SYNTHMILL_ITEMS").map_or(3_000, |items| items.parse().unwrap());
    let [early, late] = peaks_of_a_loop(items).map(|peak| peak >> 20);
    eprintln!("{items} items in a loop of three: {early} MiB at a tenth, {late} MiB near the end");
    assert!(late <= early + 4, "{early} MiB at a tenth, {late} MiB near the end");
}
