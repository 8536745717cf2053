//! Every format that trainers read: the lines that sinks write are read back, and written again unchanged.

use std::path::Path;

use serde_json::Value;

use crate::harness::{program, stderr};

const WRITE: &str = include_str!("../../cases/formats/write.yaml");
const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/formats/records.jsonl");

fn run(dir: &Path, pipeline: &str, name: &str) {
    std::fs::write(dir.join("pipeline.yaml"), pipeline).unwrap();
    let output = program(dir, &["run", "pipeline.yaml", "--out", name]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
}

/// The lines of a file, in any order.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The types of a column's values, except null.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "fraction",
        Value::Number(_) => "integer",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

#[test]
fn what_is_written_is_read_back_and_written_again() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &WRITE.replace("tests/cases/formats/records.jsonl", RECORDS), "written");
    let sinks: Vec<&str> = WRITE.lines().filter(|line| line.contains("- sink:")).collect();
    assert_eq!(sinks.len(), 19);
    for sink in sinks {
        let option = |name: &str| {
            let rest = sink.split_once(&format!("{name}: "))?.1;
            Some(rest.split([',', '}']).next().unwrap_or_default())
        };
        let (id, format) = (option("id").unwrap(), option("format").unwrap());
        let written = lines(&dir.path().join(format!("written/{id}.jsonl")));
        assert_eq!(written.len(), 24, "{id}");
        // Columns that options name are fields of the row; the others belong to the format.
        let mut again = sink.to_owned();
        for named in ["prompt", "user", "assistant"] {
            if let Some(field) = option(named) {
                again = again.replace(&format!(", {named}: {field}"), "");
            }
        }
        let file = format!("written/{id}.jsonl");
        let pipeline =
            format!("name: again\nstages:\n  - ingest: {{paths: [{file}], rows: {format}}}\n{again}\n");
        run(dir.path(), &pipeline, &format!("again-{id}"));
        let again = lines(&dir.path().join(format!("again-{id}/{id}.jsonl")));
        // A row of `verl` contains the record's id, and the two runs number the same rows in different orders.
        let compared = |lines: Vec<String>| -> Vec<String> {
            let mut lines: Vec<String> = lines.iter().map(|line| without_index(line)).collect();
            lines.sort();
            lines
        };
        assert_eq!(compared(again), compared(written), "{id}");
    }
}

fn without_index(line: &str) -> String {
    let mut line: Value = serde_json::from_str(line).unwrap();
    if let Some(extra) = line.get_mut("extra_info").and_then(Value::as_object_mut) {
        extra.remove("index");
    }
    line.to_string()
}

#[test]
fn every_row_has_the_same_columns_of_the_same_kinds() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &WRITE.replace("tests/cases/formats/records.jsonl", RECORDS), "written");
    let mut files = 0;
    for entry in std::fs::read_dir(dir.path().join("written")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "jsonl") || path.ends_with("rejected.jsonl") {
            continue;
        }
        files += 1;
        let mut kinds: Option<Vec<(String, &str)>> = None;
        for line in lines(&path) {
            let line: Value = serde_json::from_str(&line).unwrap();
            let found: Vec<(String, &str)> =
                line.as_object().unwrap().iter().map(|(name, value)| (name.clone(), kind(value))).collect();
            let first = kinds.get_or_insert_with(|| found.clone());
            assert_eq!(first.len(), found.len(), "{}: {line}", path.display());
            for ((name, before), (other, now)) in first.iter_mut().zip(found) {
                assert_eq!(*name, other, "{}", path.display());
                assert!(
                    *before == now || *before == "null" || now == "null",
                    "{}: `{name}`: {line}",
                    path.display()
                );
                if now != "null" {
                    *before = now;
                }
            }
        }
    }
    assert_eq!(files, 19);
}
