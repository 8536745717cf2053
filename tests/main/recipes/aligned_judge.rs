//! A judge compared with people: what differs on one side is shown on the other, and the report tells how far they agree.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::lines;
use crate::harness::{project, provenance_lines, stdout, synthmill};

const PIPELINES: [&str; 2] =
    ["pipelines/recipes/aligned-judge/1-judge.yaml", "pipelines/recipes/aligned-judge/2-align.yaml"];

fn run(dir: &Path, arguments: &[&str]) {
    synthmill(dir, &[&["run"], &PIPELINES[..], &["--mock"], arguments].concat(), 0);
}

fn texts<'a>(lines: &'a [Value], field: &str) -> BTreeSet<&'a str> {
    lines.iter().map(|line| line[field].as_str().unwrap()).collect()
}

fn of_split(lines: &[Value], split: &str) -> Vec<Value> {
    lines.iter().filter(|line| line["split"] == split).cloned().collect()
}

/// Cohen's kappa of two fields with the values `pass` and `fail`.
fn kappa(lines: &[Value], first: &str, second: &str) -> f64 {
    let count = |holds: &dyn Fn(&Value) -> bool| lines.iter().filter(|line| holds(line)).count() as f64;
    let all = lines.len() as f64;
    let equal = count(&|line| line[first] == line[second]) / all;
    let chance: f64 = ["pass", "fail"]
        .map(|value| count(&|line| line[first] == value) * count(&|line| line[second] == value) / (all * all))
        .iter()
        .sum();
    (equal - chance) / (1.0 - chance)
}

#[test]
fn corrections_come_of_one_side_and_are_measured_on_the_other() {
    let dir = project();
    run(dir.path(), &[]);
    let output = dir.path().join("output");
    let (first, aligned) = (output.join("aligned-judge-first"), output.join("aligned-judge-aligned"));
    let (all, corrections) = (lines(&first, "labels.jsonl"), lines(&first, "corrections.jsonl"));
    let (development, test) = (of_split(&all, "development"), of_split(&all, "test"));
    assert_eq!((all.len(), development.len() + test.len()), (30, 30));
    assert!(texts(&development, "context").is_disjoint(&texts(&test, "context")));
    let differing: Vec<&Value> =
        development.iter().filter(|line| line["judged"] != line["human_label"]).collect();
    assert!(differing.len() > 1);
    let ids: Vec<&Value> = differing.iter().map(|line| &line["id"]).collect();
    assert_eq!(corrections.iter().map(|line| &line["id"]).collect::<Vec<_>>(), ids);

    let judged = lines(&aligned, "labels.jsonl");
    assert_eq!(texts(&judged, "answer"), texts(&test, "answer"));
    for line in provenance_lines(&aligned).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["outcome"] == "ok" {
            let shown = line["fields"]["few_shot"]["lines"].as_array().unwrap();
            assert_eq!(shown.len(), corrections.len().min(6), "{line}");
        }
    }
    let prompts =
        stdout(&synthmill(dir.path(), &["preview", PIPELINES[1], "--mock", "--prompts-only", "-n", "4"], 0));
    assert!(prompts.contains(corrections[0]["human_note"].as_str().unwrap()), "{prompts}");
    // Both labels stand beside that of people, and the report measures both on the same answers.
    let arguments = ["--agree", "judged_first:human_label", "--agree", "judged:human_label", "--json"];
    let report = [&["report", "output/aligned-judge-aligned"], &arguments[..]].concat();
    let found: Value = serde_json::from_str(&stdout(&synthmill(dir.path(), &report, 0))).unwrap();
    for (number, field) in [(0, "judged_first"), (1, "judged")] {
        let pair = &found[0]["agreement"][number];
        let expected = kappa(&judged, field, "human_label");
        assert!((pair["kappa"].as_f64().unwrap() - expected).abs() < 1e-9, "{pair}");
        assert_eq!(pair["equal"]["of"], json!(test.len()));
    }
}

#[test]
fn a_judge_that_agrees_with_people_needs_no_corrections() {
    let dir = project();
    let rules =
        "models.judge.mock={rules: [{answer: {reason: As people say it., judged: '{{ human_label }}'}}]}";
    run(dir.path(), &["--set", rules]);
    let output = dir.path().join("output");
    assert_eq!(lines(&output.join("aligned-judge-first"), "corrections.jsonl").len(), 0);
    let arguments = ["report", "output/aligned-judge-aligned", "--agree", "judged:human_label"];
    let told = stdout(&synthmill(dir.path(), &arguments, 0));
    assert!(told.contains("Cohen's kappa 1.000"), "{told}");
}
