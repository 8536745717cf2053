//! Pipelines that repeat their stages line by line make what those with blocks make, which are a third as long.

use std::path::Path;

use serde_json::Value;

use crate::harness::{outputs, project, synthmill};

/// The conversations that a pipeline of `tests/cases/unrolled/` makes, sorted, and the number of lines of its stages after
/// the first two, which make the input.
fn made(name: &str) -> (Vec<String>, usize) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cases/unrolled/{name}.yaml"));
    let text = std::fs::read_to_string(&file).unwrap();
    let (_, stages) = text.split_once("\nstages:\n").unwrap();
    let dir = project();
    synthmill(dir.path(), &["run", &file.display().to_string(), "--out", "out"], 0);
    let mut lines = Vec::new();
    for (file, written) in outputs(&dir.path().join("out")) {
        assert!(file != "rejected.jsonl" || written.is_empty(), "{name}: {written:?}");
        lines.extend(written.iter().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["messages"].to_string()
        }));
    }
    lines.sort();
    (lines, stages.lines().count() - 2)
}

#[track_caller]
fn check(name: &str, conversations: usize, messages: usize) {
    let (found, short) = made(name);
    let (unrolled, long) = made(&format!("{name}-unrolled"));
    assert_eq!(found, unrolled, "{name}");
    assert_eq!(found.len(), conversations, "{name}");
    for line in &found {
        let turns: Vec<Value> = serde_json::from_str(line).unwrap();
        assert_eq!(turns.len(), messages, "{name}: {line}");
    }
    assert!(3 * short <= long, "{name}: {short} lines instead of {long}");
}

#[test]
fn five_turns_of_a_chat() {
    check("chat", 3, 1 + 5 * 2);
}

#[test]
fn two_rounds_of_evolution() {
    check("evolution", 3 * 2, 2);
}
