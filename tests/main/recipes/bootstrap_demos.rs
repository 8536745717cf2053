//! Bootstrapped demonstrations: the metric decides what is one, no problem demonstrates itself, and their number is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::lines;
use crate::harness::{project, provenance_lines, stdout, synthmill};

const BOOTSTRAP: &str = "pipelines/recipes/bootstrap-demos/1-bootstrap.yaml";
const EVALUATE: &str = "pipelines/recipes/bootstrap-demos/2-evaluate.yaml";
const TRAIN: &str = "config/recipes/bootstrap-demos-train.jsonl";

fn run(dir: &Path, arguments: &[&str]) {
    synthmill(dir, &[&["run"], arguments, &["--mock"]].concat(), 0);
}

fn rows(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The line numbers of the demonstrations that a stage gave each record.
fn shown(run: &Path, stage: &str) -> BTreeMap<String, Vec<u64>> {
    let mut shown = BTreeMap::new();
    for line in provenance_lines(run).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let lines = line["fields"][stage]["lines"].as_array().unwrap();
        shown.insert(
            line["id"].as_str().unwrap().to_owned(),
            lines.iter().map(|line| line.as_u64().unwrap()).collect(),
        );
    }
    shown
}

#[test]
fn demonstrations_are_right_and_none_is_its_own() {
    let dir = project();
    run(dir.path(), &[BOOTSTRAP]);
    let output = dir.path().join("output/bootstrap-demos-bootstrap");
    let train = rows(&dir.path().join(TRAIN));
    let answers: BTreeMap<&str, &Value> =
        train.iter().map(|row| (row["question"].as_str().unwrap(), &row["answer"])).collect();
    let demos = lines(&output, "demos.jsonl");
    assert!(demos.len() > 4 && demos.len() < train.len(), "{}", demos.len());
    for demo in &demos {
        assert_eq!(demo["answer"], *answers[demo["question"].as_str().unwrap()], "the metric holds");
        assert_eq!(demo["correct"], true);
    }
    assert_eq!(lines(&output, "finetune.jsonl").len(), demos.len());
    // The same sixteen for all, but for the problem itself, in whose place the next comes.
    let shown = shown(&output, "labelled");
    assert_eq!(shown.len(), train.len());
    for (id, lines) in &shown {
        let own = id.parse::<u64>().unwrap() + 1;
        assert!(!lines.contains(&own) && lines.len() == 16, "{id}: {lines:?}");
    }
    let kinds: BTreeSet<BTreeSet<u64>> =
        shown.values().map(|lines| lines.iter().copied().collect()).collect();
    assert_eq!(kinds.len(), 17, "one for those that are in none, one for each of the sixteen");
}

#[test]
fn further_rounds_solve_more_and_a_number_stops_the_teacher() {
    let dir = project();
    run(dir.path(), &[BOOTSTRAP, "--out", "one"]);
    run(dir.path(), &[BOOTSTRAP, "--out", "three", "--var", "rounds=3"]);
    run(dir.path(), &[BOOTSTRAP, "--out", "four", "--set", "accept=4"]);
    let demos = |run: &str| lines(&dir.path().join(run), "demos.jsonl");
    let ids = |demos: &[Value]| -> Vec<String> {
        demos.iter().map(|demo| demo["id"].as_str().unwrap().to_owned()).collect()
    };
    assert!(demos("three").len() > demos("one").len());
    assert!(
        ids(&demos("one")).iter().all(|id| ids(&demos("three")).contains(id)),
        "the first round is the same"
    );
    assert_eq!(ids(&demos("four")), ids(&demos("one"))[..4], "the first four in order");
}

#[test]
fn a_student_sees_the_same_bounded_number_for_every_problem() {
    let dir = project();
    run(dir.path(), &[BOOTSTRAP, EVALUATE]);
    let output = dir.path().join("output/bootstrap-demos-evaluate");
    let shown = shown(&output, "demos");
    let kinds: BTreeSet<&Vec<u64>> = shown.values().collect();
    assert!(kinds.len() == 1 && kinds.first().unwrap().len() == 4, "{kinds:?}");
    let results = lines(&output, "results.jsonl");
    assert!(results.len() == 12 && results.iter().all(|line| line["shown"] == 16));
    let prompts =
        stdout(&synthmill(dir.path(), &["preview", EVALUATE, "--mock", "--prompts-only", "-n", "1"], 0));
    let problems: Vec<&str> =
        prompts.lines().filter_map(|line| line.trim().strip_prefix("Problem: ")).collect();
    let different: BTreeSet<&&str> = problems.iter().collect();
    assert_eq!((problems.len(), different.len()), (17, 17), "{prompts}");
    assert_eq!(
        prompts.matches("{\"reasoning\": ").count(),
        4 + 1,
        "four worked ones, and the form of the answer"
    );
}

#[test]
fn seeds_and_numbers_make_other_programs_and_nothing_is_a_baseline() {
    let dir = project();
    run(dir.path(), &[BOOTSTRAP]);
    let mut drawn = BTreeSet::new();
    for (seed, count) in [("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 4)] {
        let (out, bootstrapped) = (format!("search/{seed}"), format!("bootstrapped={count}"));
        run(dir.path(), &[EVALUATE, "--seed", seed, "--var", &bootstrapped, "--out", &out]);
        let shown = shown(&dir.path().join(&out), "demos");
        let first = shown.values().next().unwrap().clone();
        assert!(first.len() == count && shown.values().all(|lines| *lines == first));
        drawn.insert(first);
    }
    assert_eq!(drawn.len(), 5);
    let zero = ["--var", "bootstrapped=0", "--var", "demonstrations=0", "--out", "search/zero"];
    run(dir.path(), &[&[EVALUATE], &zero[..]].concat());
    let results = lines(&dir.path().join("search/zero"), "results.jsonl");
    assert!(results.len() == 12 && results.iter().all(|line| line["shown"] == 0));
    // Answers that cannot be read count as wrong.
    let rules = r#"models.student.mock={rules: [{answer: "I do not know."}]}"#;
    run(dir.path(), &[EVALUATE, "--set", rules, "--out", "search/none"]);
    let results = lines(&dir.path().join("search/none"), "results.jsonl");
    assert!(results.len() == 12 && results.iter().all(|line| line["correct"] == false));
}
