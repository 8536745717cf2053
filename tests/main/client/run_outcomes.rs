//! The outcome of whole runs under transient and permanent faults: a table in `tests/cases/model_client/runs.json`.
//!
//! A case has the script of the server and the expected exit code, records, classes of rejected records, and questions at
//! the server. Each runs the program on rows with one question each.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::harness::child::rows_folder;
use crate::harness::server_process::ServerProcess;
use crate::harness::{outputs, program};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    script: Value,
    #[serde(default = "twelve")]
    rows: usize,
    /// Values for `--set`.
    #[serde(default)]
    set: Vec<String>,
    expect: Expected,
}

fn twelve() -> usize {
    12
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    code: i32,
    ok: usize,
    /// Rejected records by class.
    rejected: BTreeMap<String, usize>,
    /// The minimum and maximum number of questions at the server.
    asked: (usize, usize),
    /// A part of the output of the program.
    #[serde(default)]
    says: String,
}

/// Runs a case; returns what is wrong with its outcome.
fn check(case: &Case) -> Option<String> {
    let server = ServerProcess::start(case.script.clone());
    let dir = rows_folder(case.rows, 4, &server.url);
    let mut run = program(dir.path(), &["run", "p.yaml", "--out", "out"]);
    run.args(["--set", "models.teacher.max_attempts=3"]);
    for value in &case.set {
        run.args(["--set", value]);
    }
    let output = run.output().unwrap();
    let mut outputs = outputs(&dir.path().join("out"));
    let mut rejected: BTreeMap<String, usize> = BTreeMap::new();
    for line in outputs.remove("rejected.jsonl").unwrap_or_default() {
        let line: Value = serde_json::from_str(&line).unwrap();
        *rejected.entry(line["class"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let ok = outputs.values().map(Vec::len).sum::<usize>();
    let asked = server.questions().len();
    let expected = &case.expect;
    let (fewest, most) = expected.asked;
    let said = String::from_utf8_lossy(&output.stderr);
    let as_expected = output.status.code() == Some(expected.code)
        && ok == expected.ok
        && rejected == expected.rejected
        && (fewest..=most).contains(&asked)
        && said.contains(&expected.says);
    let found = format!("{}: {:?}, {ok} ok, {rejected:?}, asked {asked}", case.name, output.status.code());
    (!as_expected).then(|| format!("{found}\n  for {expected:?}\n{said}"))
}

#[test]
fn every_kind_of_fault_has_its_outcome() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../cases/model_client/runs.json")).unwrap();
    // Two halves in parallel: each case is two processes that mostly wait.
    let (even, odd): (Vec<_>, Vec<_>) = cases.iter().enumerate().partition(|(index, _)| index % 2 == 0);
    let wrong = |part: Vec<(usize, &Case)>| {
        part.into_iter().filter_map(|(_, case)| check(case)).collect::<Vec<String>>()
    };
    let (mut first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| wrong(even));
        let second = wrong(odd);
        (first.join().unwrap(), second)
    });
    first.extend(second);
    assert!(first.is_empty(), "{}", first.join("\n"));
}
