//! `run_tests` in pipelines: results that expressions know, preference pairs by their exact gap, and runs that are
//! continued.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{outputs, stderr, synthmill};

const RUN: [&str; 4] = ["run", "p.yaml", "--out", "out"];

/// A project with these rows and these stages after the first.
fn project(rows: &[Value], stages: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(dir.path().join("rows.jsonl"), rows).unwrap();
    let yaml = format!(
        "name: tested\nerror_budget: {{share: 1, in_a_row: 1000}}\nstages:\n  - ingest: {{paths: [rows.jsonl]}}\n{stages}"
    );
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    dir
}

fn lines(dir: &TempDir, file: &str) -> Vec<Value> {
    let lines = outputs(&dir.path().join("out")).remove(file).unwrap_or_default();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_keeps_what_passes_and_says_why_the_rest_does_not() {
    let tests = json!(["assert f(1) == 2", "assert f(0) == 1"]);
    let row = |name: &str, code: &str| json!({"name": name, "code": code, "tests": tests});
    let mut rows = vec![
        row("right", "```python\ndef f(x):\n    return x + 1\n```"),
        row("half", "def f(x): return 2"),
        row("leaves", "import os\nos._exit(0)"),
        row("prose", "I cannot do that."),
    ];
    rows.push(json!({"name": "untested", "code": "def f(x): return 2", "tests": []}));
    let dir = project(
        &rows,
        "  - run_tests: {sandbox: off}\n  \
         - set: {summary: \"{{ test_run.passed }}/{{ test_run.total }} {{ test_run.messages | join('; ') }}\"}\n  \
         - sink: {path: all.jsonl, format: raw, fields: [name, summary]}\n  \
         - filter: {keep_if: \"test_run.pass_rate == 1\"}\n  \
         - sink: {path: right.jsonl, format: raw, fields: [name]}\n",
    );
    synthmill(dir.path(), &RUN, 0);
    let mut all: Vec<(String, String)> = lines(&dir, "all.jsonl")
        .iter()
        .map(|line| (line["name"].as_str().unwrap().to_owned(), line["summary"].as_str().unwrap().to_owned()))
        .collect();
    all.sort();
    let early = "the program ended before the test had";
    let none = "there is no python code in the answer";
    assert_eq!(
        all,
        [
            ("half".to_owned(), "1/2 ; `assert f(0) == 1`: the left side is 2".to_owned()),
            ("leaves".to_owned(), format!("0/2 {early}; {early}")),
            ("prose".to_owned(), format!("0/2 {none}; {none}")),
            ("right".to_owned(), "2/2 ; ".to_owned()),
        ]
    );
    assert_eq!(lines(&dir, "right.jsonl"), [json!({"name": "right"})]);
    let rejected = lines(&dir, "rejected.jsonl");
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0]["class"], "tests", "{}", rejected[0]);
}

#[test]
fn solutions_of_a_question_become_a_pair_by_their_exact_gap() {
    // 17 and 9 of 20: the gap is exactly 2/5, and less as floating-point numbers.
    let solution = |passing: u32| json!({"code": format!("print(int(input()) < {passing})")});
    let tests: Vec<Value> = (0..20).map(|n| json!({"input": n.to_string(), "output": "True"})).collect();
    let row = json!({"tests": tests, "solutions": [solution(9), solution(17)]});
    let dir = project(
        &[row],
        "  - for_each:\n      in: solutions\n      as: solution\n      collect: {into: runs, fields: [code, test_run]}\n      stages:\n        \
         - set: {code: \"{{ solution.code }}\"}\n        - run_tests: {sandbox: off}\n  \
         - choose: {from: runs, take: pair, by: candidate.test_run.pass_rate, min_gap: \"2/5\", text: code}\n  \
         - sink: {path: pairs.jsonl, format: raw, fields: [chosen, rejected]}\n",
    );
    synthmill(dir.path(), &RUN, 0);
    let pairs = lines(&dir, "pairs.jsonl");
    assert_eq!(pairs.len(), 1);
    let passed = |key: &str| pairs[0][key]["test_run"]["passed"].clone();
    assert_eq!((passed("chosen"), passed("rejected")), (json!(17), json!(9)));
}

#[test]
fn the_result_is_known_before_a_run() {
    let row = json!({"code": "x", "tests": ["x"]});
    for (expression, expected) in [
        ("test_run.pass_rate >= 0.5 and test_run.per_test[0] == 'passed'", ""),
        ("test_run.passing >= 1", "`test_run.passing`"),
        ("test_run.passed == 'all'", "`test_run.passed`"),
    ] {
        let stages = format!(
            "  - run_tests: {{sandbox: off}}\n  - filter: {{keep_if: \"{expression}\"}}\n  \
             - sink: {{path: a.jsonl, format: raw, fields: [code]}}\n"
        );
        let dir = project(std::slice::from_ref(&row), &stages);
        let code = if expected.is_empty() { 0 } else { 2 };
        let output = synthmill(dir.path(), &["validate", "p.yaml"], code);
        let said = format!("{}{}", stderr(&output), String::from_utf8_lossy(&output.stdout));
        assert!(said.contains(expected), "{expression}: {said}");
    }
}

/// The tables of programs in the sandbox of the machine, which may end them in another way than without one.
#[test]
fn programs_fare_in_the_sandbox_as_they_do_without() {
    let tables = [
        include_str!("../../cases/cheating_programs.yaml"),
        include_str!("../../cases/tested_programs.yaml"),
    ];
    let cases: Vec<Value> =
        tables.into_iter().flat_map(|table| serde_saphyr::from_str::<Vec<Value>>(table).unwrap()).collect();
    let row = |case: &Value| {
        let language = case["language"].as_str().unwrap_or("python");
        json!({"name": case["name"], "language": language, "code": case["code"], "tests": [case["test"]]})
    };
    let rows: Vec<Value> = cases.iter().map(row).collect();
    let dir = project(
        &rows,
        "  - run_tests: {language: \"{{ language }}\", timeout: 5}\n  \
         - sink: {path: all.jsonl, format: raw, fields: [name, test_run]}\n",
    );
    let output = crate::harness::program(dir.path(), &RUN).output().unwrap();
    if output.status.code() != Some(0) && stderr(&output).contains("sandbox") {
        // The machine offers none.
        return;
    }
    assert!(output.status.success(), "{}", stderr(&output));
    let found: BTreeMap<String, String> = lines(&dir, "all.jsonl")
        .iter()
        .map(|line| {
            let (status, message) = (&line["test_run"]["per_test"][0], &line["test_run"]["messages"][0]);
            let shown = format!("{}: {}", status.as_str().unwrap(), message.as_str().unwrap());
            (line["name"].as_str().unwrap().to_owned(), shown)
        })
        .collect();
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let expected = case["is"].as_str().unwrap();
        let status = expected.split(':').next().unwrap_or_default();
        let shown = found.get(name).map_or("nothing", String::as_str);
        if shown.split(':').next() != Some(status) {
            wrong.push(format!("{name}: found `{shown}`, expected `{expected}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
