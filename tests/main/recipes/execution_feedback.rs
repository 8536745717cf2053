//! `execution-feedback.yaml`: a model is told which tests its code did not pass until all do, and tests that it never sees
//! decide whether the code is kept.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::made::Made;
use crate::harness::{project, stderr, synthmill};

const RECIPE: &str = "execution-feedback.yaml";
const TASKS: &str = "config/recipes/execution-feedback-tasks.jsonl";

fn tasks() -> Vec<Value> {
    let text = std::fs::read_to_string(TASKS).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The task that a line was made of.
fn task_of(line: &Value) -> Value {
    tasks().swap_remove(line["id"].as_str().unwrap().parse::<usize>().unwrap())
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

/// The texts of a conversation's messages of one role.
fn said<'a>(messages: &'a Value, role: &str) -> Vec<&'a str> {
    let of_role = messages.as_array().unwrap().iter().filter(|message| message["role"] == role);
    of_role.map(|message| message["content"].as_str().unwrap()).collect()
}

/// Whether the code in an answer passes a test, run outside of the pipeline.
fn passes(answer: &str, test: &str) -> bool {
    let code = answer.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let done = format!("{code}\n{test}\nprint('done')");
    let output = Command::new("python3").args(["-c", &done]).output().unwrap();
    output.status.success() && output.stdout == b"done\n"
}

#[test]
fn a_conversation_goes_on_until_the_tests_pass() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &[]);
    let rounds: BTreeMap<&str, u64> = made
        .lines("sft.jsonl")
        .iter()
        .map(|line| (line["id"].as_str().unwrap(), line["rounds"].as_u64().unwrap()))
        .collect();
    let expected = [(0, 1), (1, 2), (2, 3), (3, 2), (4, 3), (5, 1), (8, 2), (9, 1)];
    let expected: Vec<(String, u64)> = expected.map(|(row, count)| (format!("{row:06}"), count)).to_vec();
    assert_eq!(rounds.into_iter().map(|(id, count)| (id.to_owned(), count)).collect::<Vec<_>>(), expected);
    assert_eq!((made.ended("not_solved"), made.ended("fits_shown_tests")), (1, 1));
    let mut asked = 4 + 2; // The task that is never solved, and the one that fits the shown tests only.
    for line in made.lines("conversations.jsonl") {
        let (answers, asks) = (said(&line["messages"], "assistant"), said(&line["messages"], "user"));
        let rounds = line["rounds"].as_u64().unwrap() as usize;
        assert_eq!((answers.len(), asks.len()), (rounds, rounds), "{line}");
        asked += rounds;
        let task = task_of(line);
        assert_eq!(asks[0], task["task"]);
        // What was said about each answer is what is true of it.
        for (answer, feedback) in answers.iter().zip(&asks[1..]) {
            let (good, bad): (Vec<&str>, Vec<&str>) =
                texts(&task["tests"]).into_iter().partition(|test| passes(answer, test));
            let told = format!("{} of {} tests did not pass", bad.len(), good.len() + bad.len());
            assert!(!bad.is_empty() && feedback.starts_with(&told), "{feedback}");
            assert!(bad.iter().all(|test| feedback.contains(test)), "{feedback}");
            assert!(good.iter().all(|test| !feedback.contains(test)), "{feedback}");
        }
        let last = answers[rounds - 1];
        for test in texts(&task["tests"]).into_iter().chain(texts(&task["held_back"])) {
            assert!(passes(last, test), "{test}: {last}");
        }
    }
    assert_eq!(made.status["requests"], asked);
}

#[test]
fn tests_that_are_held_back_are_never_shown() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &[]);
    for line in made.lines("conversations.jsonl") {
        let shown = line["messages"].to_string();
        for test in texts(&task_of(line)["held_back"]) {
            let call = test.trim_start_matches("assert ").split(" == ").next().unwrap();
            assert!(!shown.contains(call), "{call}: {shown}");
        }
    }
}

#[test]
fn a_first_answer_that_was_wrong_makes_a_pair_with_the_last() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &[]);
    let pairs = made.lines("preference.jsonl");
    assert_eq!(pairs.len(), 5);
    for pair in pairs {
        let whole = made.lines("conversations.jsonl").iter().find(|line| line["id"] == pair["id"]).unwrap();
        let answers = said(&whole["messages"], "assistant");
        assert_eq!(pair["rejected"][0]["content"], answers[0]);
        assert_eq!(pair["chosen"][0]["content"], answers[answers.len() - 1]);
    }
}

#[test]
fn without_feedback_only_what_is_right_at_once_is_kept() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &["--var", "rounds=1"]);
    assert_eq!((made.lines("sft.jsonl").len(), made.ended("not_solved")), (3, 7));
    assert!(made.lines("preference.jsonl").is_empty());
}

#[test]
fn a_program_that_ends_before_its_tests_passes_none() {
    let dir = project();
    let rules = r#"models.writer.mock={rules: [{answer: "```python\nimport sys\nsys.exit(0)\n```"}]}"#;
    let file = format!("pipelines/recipes/{RECIPE}");
    let told = stderr(&synthmill(dir.path(), &["run", &file, "--mock", "--limit", "2", "--set", rules], 5));
    assert!(told.contains("2 records: not_solved"), "{told}");
}
