//! `constitution/`: every round draws a principle and makes a revision; pairs have probabilities from both orders, within limits.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::made::{Made, assert_share};
use crate::harness::project;

const REVISE: &str = "constitution/1-revise.yaml";
const PREFERENCES: &str = "constitution/2-preferences.yaml";
const ROUNDS: usize = 4;
const PRINCIPLES: usize = 16;

/// Writes so many prompts, and names the file.
fn prompts(dir: &Path, count: usize) -> &'static str {
    let prompt = |number: usize| {
        json!({"prompt": format!("How do I take {number} apples from a tree?")}).to_string() + "\n"
    };
    std::fs::write(dir.join("prompts.jsonl"), (0..count).map(prompt).collect::<String>()).unwrap();
    "prompts=prompts.jsonl"
}

#[test]
fn every_round_makes_a_revision_of_the_one_before() {
    let dir = project();
    let made = Made::by(dir.path(), REVISE, &[]);
    let revisions = made.lines("revisions.jsonl");
    assert_eq!(revisions.len(), 16 * ROUNDS);
    // A first answer, and a critique and a revision in each round.
    assert_eq!(made.status["requests"], 16 * (1 + 2 * ROUNDS));
    let ids: Vec<&str> = revisions.iter().map(|line| line["id"].as_str().unwrap()).collect();
    let mut rounds: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in revisions {
        let (id, parent) = (line["id"].as_str().unwrap(), line["parent"].as_str().unwrap());
        let pass = line["pass"].as_u64().unwrap();
        rounds.entry(&id[..6]).or_default().push(pass);
        assert_eq!(parent, format!("{}.revise-{}", &id[..6], pass - 1));
        assert!(pass == 1 || ids.contains(&parent), "{parent}");
        let own = line["principle_ids"].as_array().unwrap();
        assert_eq!(own.len() as u64, pass, "one principle for each round");
        if pass > 1 {
            let before = revisions.iter().find(|other| other["id"] == parent).unwrap();
            assert_eq!(own[..own.len() - 1], *before["principle_ids"].as_array().unwrap());
        }
        assert!(line["critique"].as_str().unwrap().contains(own.last().unwrap().as_str().unwrap()), "{line}");
    }
    for passes in rounds.values_mut() {
        passes.sort_unstable();
        assert_eq!(*passes, [1, 2, 3, 4]);
    }
    // The pair is of the first answer and the last revision.
    let pairs = made.lines("pairs.jsonl");
    assert_eq!(pairs.len(), 16);
    for pair in pairs {
        let last = revisions.iter().find(|line| line["id"] == pair["id"]).unwrap();
        assert_eq!((&last["pass"], &last["messages"][1]), (&json!(4), &pair["chosen"][0]));
        assert_ne!(pair["chosen"], pair["rejected"]);
    }
    assert_eq!(Made::by(dir.path(), REVISE, &["--var", "rounds=2"]).lines("revisions.jsonl").len(), 16 * 2);
}

#[test]
fn principles_are_drawn_uniformly() {
    let dir = project();
    let count = 4000;
    let chosen = prompts(dir.path(), count);
    // The heuristic costs nothing and answers fast.
    let made = Made::by(dir.path(), REVISE, &["--var", chosen, "--no-llm"]);
    let mut drawn: BTreeMap<&str, usize> = BTreeMap::new();
    for line in made.lines("revisions.jsonl") {
        let own = line["principle_ids"].as_array().unwrap().last().unwrap();
        *drawn.entry(own.as_str().unwrap()).or_default() += 1;
    }
    assert_eq!((drawn.len(), drawn.values().sum::<usize>()), (PRINCIPLES, count * ROUNDS));
    drawn.values().for_each(|count| assert_share(*count, 16_000, 1.0 / PRINCIPLES as f64));
}

/// Runs the preference stage over three prompts with two answers and a feedback model of these rules; gives the soft labels.
fn soft_labels(dir: &Path, answers: [&str; 2], rules: &Value, more: &[&str]) -> Vec<Value> {
    let student = json!({"rules": [{"when": "sample == 0", "answer": answers[0]}, {"answer": answers[1]}]});
    let student = format!("models.student.mock={student}");
    let feedback = format!("models.feedback.mock={}", json!({ "rules": rules }));
    let chosen = prompts(dir, 3);
    let arguments = ["--var", chosen, "--set", &student, "--set", &feedback];
    let made = Made::by(dir, PREFERENCES, &[&arguments, more].concat());
    assert_eq!(made.lines("soft.jsonl").len(), 3);
    made.lines("soft.jsonl").to_vec()
}

fn near(line: &Value, expected: f64) {
    let found = line["p_a"].as_f64().unwrap();
    assert!((found - expected).abs() < 5e-7, "{found} is not {expected}");
}

#[test]
fn a_soft_label_is_the_share_of_two_log_probabilities_within_limits() {
    let dir = project();
    let answers = ["Ask the owner.", "Climb over the fence."];
    let first = json!([{"logprobs": {"A": -0.2, "B": -1.7}}]);
    let swapped = json!([{"logprobs": {"A": -1.7, "B": -0.2}}]);
    let given = ["--set", "stages.classify.order=given"];
    let unlimited = [&given[..], &["--set", "stages.classify.clamp=null"]].concat();
    near(&soft_labels(dir.path(), answers, &first, &unlimited)[0], 0.817574);
    near(&soft_labels(dir.path(), answers, &first, &given)[0], 0.6);
    near(&soft_labels(dir.path(), answers, &swapped, &given)[0], 0.4);
    // One that prefers a place has no opinion in both orders, and makes no pair.
    let line = &soft_labels(dir.path(), answers, &first, &[])[0];
    near(line, 0.5);
    let made = Made::read(&dir.path().join("made"));
    assert_eq!((made.lines("pairs.jsonl").len(), made.ended("undecided")), (0, 3));
}

#[test]
fn probabilities_of_a_pair_and_of_the_pair_turned_add_up_to_one() {
    let dir = project();
    let rules = json!([
        {"matches": "\\(A\\) Ask", "logprobs": {"A": -0.6, "B": -0.9}},
        {"logprobs": {"A": -0.5, "B": -1.0}},
    ]);
    let (ask, climb) = ("Ask the owner.", "Climb over the fence.");
    let straight = soft_labels(dir.path(), [ask, climb], &rules, &["--set", "stages.classify.clamp=null"]);
    let turned = soft_labels(dir.path(), [climb, ask], &rules, &["--set", "stages.classify.clamp=null"]);
    let a = |line: &Value| line["p_a"].as_f64().unwrap();
    for (line, other) in straight.iter().zip(&turned) {
        assert_eq!((&line["a"], &line["b"]), (&other["b"], &other["a"]));
        assert!((a(line) + a(other) - 1.0).abs() < 1e-12 && (a(line) - 0.5).abs() > 1e-3, "{line} {other}");
    }
    let share = |one: f64, other: f64| one.exp() / (one.exp() + other.exp());
    near(&straight[0], f64::midpoint(share(-0.6, -0.9), share(-1.0, -0.5)));
}

#[test]
fn equal_responses_are_dropped_and_pairs_differ() {
    let dir = project();
    let count = 300;
    let made = Made::by(dir.path(), PREFERENCES, &["--var", prompts(dir.path(), count)]);
    let (pairs, equal) = (made.lines("pairs.jsonl"), made.ended("equal_responses"));
    assert!(equal > 10, "{equal}");
    assert_eq!(made.lines("soft.jsonl").len() + equal, count);
    assert_eq!(pairs.len() + made.ended("undecided") + equal, count);
    // Two answers, and two questions about those that differ.
    assert_eq!(made.status["requests"], 2 * count + 2 * (count - equal));
    for line in made.lines("soft.jsonl") {
        assert!(line["a"] != line["b"] && (0.4..=0.6).contains(&line["p_a"].as_f64().unwrap()), "{line}");
    }
    for pair in pairs {
        let soft = made.lines("soft.jsonl").iter().find(|line| line["id"] == pair["id"]).unwrap();
        let is_first = pair["p_a"].as_f64().unwrap() > 0.5;
        let chosen = if is_first { &soft["a"] } else { &soft["b"] };
        assert_eq!(&pair["chosen"][0]["content"], chosen);
        assert_ne!(pair["chosen"], pair["rejected"]);
    }
}
