//! `step-labels.yaml`: which solutions are labelled, and that the labels say where they went wrong.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::made::Made;
use crate::harness::project;

const RECIPE: &str = "step-labels.yaml";

/// The numbers of a field that is a list.
fn numbers(line: &Value, field: &str) -> Vec<f64> {
    line[field].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn steps(line: &Value) -> Vec<&str> {
    line["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect()
}

/// A sum's result, as the mock works it out.
fn result(before: i64, op: char, by: i64) -> i64 {
    match op {
        '+' => before + by,
        '-' => before - by,
        _ => before * by,
    }
}

/// Problems of 3 to 6 sums in a chain. No mistake in a result is undone by a later sum.
fn write_problems(file: &Path, count: i64) {
    let mut lines = String::new();
    for number in 0..count {
        let start = 5 + number;
        let mut value = start;
        let mut sums = Vec::new();
        for step in 0..3 + number % 4 {
            let (op, by) = [('+', 7 + step), ('-', 2 + number % 3), ('*', 2)][((number + step) % 3) as usize];
            value = result(value, op, by);
            sums.push(json!({"op": op.to_string(), "n": by, "result": value, "of": "in all"}));
        }
        let problem = format!("Begin with {start} and do what follows, problem {number}.");
        let line = json!({"problem": problem, "answer": value, "start": start, "sums": sums});
        writeln!(lines, "{line}").unwrap();
    }
    std::fs::write(file, lines).unwrap();
}

/// The first step whose result is not that of its sum, as it should be in a right solution.
fn first_mistake(line: &Value, sums: &[Value]) -> usize {
    let right = |(step, sum): (&&str, &Value)| step.contains(&format!("= {} ", sum["result"]));
    steps(line).iter().zip(sums).position(|pair| !right(pair)).unwrap_or(sums.len())
}

/// The sums of each problem of a file.
fn sums_by_problem(file: &Path) -> BTreeMap<String, Vec<Value>> {
    let text = std::fs::read_to_string(file).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["problem"].as_str().unwrap().to_owned(), row["sums"].as_array().unwrap().clone()))
        .collect()
}

#[test]
fn every_step_has_a_label_and_hard_labels_follow_from_the_rollouts() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &[]);
    let lines = made.lines("steps.jsonl");
    let problems = lines.iter().map(|line| line["problem"].as_str().unwrap());
    let mut of_problem: BTreeMap<&str, usize> = BTreeMap::new();
    problems.for_each(|problem| *of_problem.entry(problem).or_default() += 1);
    assert_eq!((of_problem.len(), made.ended("ok")), (12, lines.len()));
    assert!(of_problem.values().all(|count| (2..=5).contains(count)), "{of_problem:?}");
    let mut wrong_at_random = 0;
    for line in lines {
        let (labels, soft) = (numbers(line, "labels"), numbers(line, "soft_labels"));
        let right = numbers(line, "rollouts_right");
        assert_eq!((labels.len(), soft.len(), right.len()), (steps(line).len(), labels.len(), labels.len()));
        for ((label, soft), right) in labels.iter().zip(&soft).zip(&right) {
            assert_eq!(*label, if *right > 0.0 { 1.0 } else { -1.0 }, "{line}");
            assert_eq!(*soft, right / 8.0, "{line}");
            wrong_at_random += usize::from(*right > 0.0 && *right < 8.0);
        }
        assert_eq!(line["n_rollouts"], 8);
        assert_eq!(*labels.last().unwrap() == 1.0, line["correct"] == true, "{line}");
    }
    assert!(wrong_at_random > 0, "some continuation of a right step is wrong");
    // One line in each format for each solution, with as many labels as steps.
    for (file, labels) in [("stepwise.jsonl", "/labels"), ("prm800k.jsonl", "/label/steps")] {
        let written = made.lines(file);
        assert_eq!(written.len(), lines.len(), "{file}");
        let total = |lines: &[Value], at: &str| -> usize {
            lines.iter().map(|line| line.pointer(at).unwrap().as_array().unwrap().len()).sum()
        };
        assert_eq!(total(written, labels), total(lines, "/steps"), "{file}");
    }
}

#[test]
fn three_right_rollouts_of_eight_are_the_label_1_and_a_probability_of_0_375() {
    let dir = project();
    let answer =
        r#"models.completer.mock={rules: [{answer: "Answer: {{ answer if rollout < 3 else answer + 1 }}"}]}"#;
    let made = Made::by(dir.path(), RECIPE, &["--set", answer, "--limit", "4"]);
    let mut looked_at = 0;
    for line in made.lines("steps.jsonl") {
        let last = steps(line).len() - 1;
        for step in 0..last {
            let found = [&line["labels"][step], &line["soft_labels"][step], &line["rollouts_right"][step]];
            assert_eq!(found, [&json!(1), &json!(0.375), &json!(3)], "{line}");
            looked_at += 1;
        }
        let right = line["correct"] == true;
        assert_eq!(line["labels"][last], if right { 1 } else { -1 }, "nothing is left after the last step");
    }
    assert!(looked_at > 10, "{looked_at}");
}

#[test]
fn in_an_arithmetic_sandbox_labels_are_1_before_the_mistake_and_minus_1_from_it_on() {
    let dir = project();
    let problems = dir.path().join("problems.jsonl");
    write_problems(&problems, 60);
    // The completer does every sum rightly: the rule of its slips goes.
    let rules = dir.path().join("config/recipes/step-labels-completer-mock.yaml");
    let text = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, text.replace("share: 0.17", "when: 1 == 2")).unwrap();
    let vars = ["--var", "problems=problems.jsonl", "--var", "solutions=7", "--var", "rollouts=2"];
    let made = Made::by(dir.path(), RECIPE, &vars);
    let sums = sums_by_problem(&problems);
    let mut mistakes = BTreeMap::new();
    for line in made.lines("steps.jsonl") {
        let at = first_mistake(line, &sums[line["problem"].as_str().unwrap()]);
        let expected: Vec<f64> =
            (0..steps(line).len()).map(|step| if step < at { 1.0 } else { -1.0 }).collect();
        assert_eq!(numbers(line, "labels"), expected, "{line}");
        *mistakes.entry(at).or_insert(0) += 1;
    }
    assert!((0..6).all(|step| mistakes.contains_key(&step)), "{mistakes:?}");

    // Where labelling stops at the first error, it is the last label, and no rollout after it is asked for.
    let stopped = [&vars[..], &["--var", "stop_at_first_error=true"]].concat();
    let stopped = Made::by(dir.path(), RECIPE, &stopped);
    for line in stopped.lines("steps.jsonl") {
        let labels = numbers(line, "labels");
        let at = first_mistake(line, &sums[line["problem"].as_str().unwrap()]);
        assert_eq!(labels.len(), (at + 1).min(steps(line).len()), "{line}");
        assert!(labels[..labels.len() - 1].iter().all(|label| *label == 1.0), "{line}");
    }
    assert!(stopped.status["requests"].as_u64() < made.status["requests"].as_u64());
}

#[test]
fn the_most_convincing_wrong_solutions_are_labelled_and_one_of_the_others() {
    let dir = project();
    let problems = dir.path().join("problems.jsonl");
    write_problems(&problems, 20);
    // The later an attempt, the more convincing it is. The first attempt and each after a whole round are right.
    let judge = r#"models.judge.mock={rules: [{answer: '{"reason": "so", "rating": {{ attempt + 1 }} }'}]}"#;
    let vars = ["--var", "problems=problems.jsonl", "--var", "solutions=8", "--var", "rollouts=1"];
    let scale = ["--set", "stages.solutions.stages.judge.scale=[1, 8]", "--set", judge];
    let made = Made::by(dir.path(), RECIPE, &[&vars[..], &scale].concat());
    let mut picked: BTreeMap<&str, Vec<(u64, bool)>> = BTreeMap::new();
    for line in made.lines("steps.jsonl") {
        let score = line["score"].as_f64().unwrap() as u64;
        picked
            .entry(line["problem"].as_str().unwrap())
            .or_default()
            .push((score - 1, line["correct"] == true));
    }
    assert_eq!(picked.len(), 20);
    for (problem, mut found) in picked {
        found.sort_unstable();
        let sums = sums_by_problem(&problems)[problem].len() as u64;
        // Equal attempts count once: a mistake in the same step makes the same solution.
        let attempts: Vec<u64> = (0..8.min(sums + 1)).collect();
        let wrong: Vec<u64> = attempts.iter().copied().filter(|attempt| attempt % (sums + 1) != 0).collect();
        let mut expected: Vec<u64> = wrong[wrong.len().saturating_sub(4)..].to_vec();
        let others = attempts.iter().copied().filter(|attempt| !expected.contains(attempt));
        expected.extend(others.max());
        expected.sort_unstable();
        assert_eq!(found.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), expected, "{problem}");
        assert!(found.iter().all(|(attempt, right)| *right == (attempt % (sums + 1) == 0)), "{found:?}");
    }
}

#[test]
fn the_judge_labels_steps_as_people_did_and_stops_at_the_first_error() {
    let dir = project();
    let vars = ["--var", "labels=judge", "--var", "stop_at_first_error=true"];
    let neutral = "models.judge.mock={rules: [{contains: to check, when: \"repeat.pass == 1\", logprobs: {B: -0.1, A: -3}}, \
                   {contains: to check, logprobs: {C: -0.1, A: -3}}]}";
    let made = Made::by(dir.path(), RECIPE, &[&vars[..], &["--set", neutral]].concat());
    assert!(made.provenance.iter().all(|line| {
        line["calls"].as_array().is_none_or(|calls| calls.iter().all(|call| call["model"] != "completer"))
    }));
    for line in made.lines("steps.jsonl") {
        assert_eq!(line["labels"], json!([0, -1]), "{line}");
        let soft = numbers(line, "soft_labels");
        assert!(soft[0] > 0.99 && soft[1] < 0.1, "{line}");
        assert_eq!((&line["rollouts_right"], &line["n_rollouts"]), (&json!([null, null]), &Value::Null));
    }
    for line in made.lines("prm800k.jsonl") {
        let ratings: Vec<&Value> = line["label"]["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step.pointer("/completions/0/rating").unwrap())
            .collect();
        assert_eq!(
            (ratings, &line["label"]["finish_reason"]),
            (vec![&json!(0), &json!(-1)], &json!("found_error"))
        );
    }
    // A neutral step counts as right in TRL's form.
    assert!(made.lines("stepwise.jsonl").iter().all(|line| line["labels"] == json!([true, false])));
}
