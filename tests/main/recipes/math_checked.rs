//! `math-checked.yaml`: what a program prints decides whether it is right, a program that computes nothing is not, and the
//! shortest right one is kept.

use std::process::Command;

use serde_json::Value;

use super::made::Made;
use crate::harness::project;

const RECIPE: &str = "math-checked.yaml";

/// What a program prints, run outside of the pipeline.
fn printed(program: &str) -> f64 {
    let output = Command::new("python3").args(["-c", program]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().parse().unwrap_or_else(|_| panic!("`{program}` printed `{text}`"))
}

/// The program in an answer.
fn program(answer: &Value) -> &str {
    let inside =
        answer.as_str().unwrap().strip_prefix("```python\n").and_then(|text| text.strip_suffix("```"));
    inside.unwrap_or_else(|| panic!("{answer}"))
}

fn samples(line: &Value) -> &[Value] {
    line["samples"].as_array().unwrap()
}

#[test]
fn the_shortest_program_that_prints_the_answer_is_kept() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &[]);
    let (all, sft) = (made.lines("samples.jsonl"), made.lines("sft.jsonl"));
    assert_eq!((all.len(), sft.len(), made.ended("unsolved")), (12, 11, 1));
    for line in sft {
        let kept = program(&line["messages"][2]["content"]);
        assert!((printed(kept) - line["answer"].as_f64().unwrap()).abs() < 1e-6, "{line}");
        let from = all.iter().find(|other| other["id"] == line["id"]).unwrap();
        let right = samples(from).iter().filter(|one| one["correct"] == true && one["computed"] == true);
        let lengths: Vec<usize> = right.map(|one| one["program"].as_str().unwrap().len()).collect();
        assert_eq!(lengths.iter().min(), Some(&kept.len()), "{from}");
        assert_eq!(line["n_right"], lengths.len());
    }
    let pairs = made.lines("preference.jsonl");
    assert_eq!((pairs.len(), made.ended("always_right")), (10, 1));
    for pair in pairs {
        let answer = pair["answer"].as_f64().unwrap();
        let prints = |column: &str| printed(program(&pair[column][0]["content"]));
        assert!(
            (prints("chosen") - answer).abs() < 1e-6 && (prints("rejected") - answer).abs() > 1e-6,
            "{pair}"
        );
    }
}

#[test]
fn a_program_that_fails_or_prints_a_constant_is_not_right() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &[]);
    let mut statuses: Vec<&str> = Vec::new();
    let mut constants = 0;
    for line in made.lines("samples.jsonl") {
        for sample in samples(line) {
            let status = sample["status"].as_str().unwrap();
            assert!(status == "finished" || sample["correct"] != true, "{sample}");
            statuses.push(status);
            if sample["program"].as_str().unwrap().starts_with("# From the numbers") {
                assert_eq!(
                    (&sample["correct"], &sample["computed"]),
                    (&Value::Bool(true), &Value::Bool(false))
                );
                constants += 1;
            }
        }
    }
    assert_eq!(constants, 12);
    let count = |status: &str| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count("failed"), count("finished")), (12, statuses.len() - 12), "{statuses:?}");
    // Without the numbers of the problem the constant would be right, and even the problem that nobody solved would be.
    let trusting = Made::by(dir.path(), RECIPE, &["--var", "numbers=0"]);
    let of_constants = trusting
        .lines("sft.jsonl")
        .iter()
        .filter(|line| program(&line["messages"][2]["content"]).starts_with("# From the numbers"));
    assert_eq!((trusting.lines("sft.jsonl").len(), of_constants.count() > 0), (12, true));
}

#[test]
fn an_answer_that_is_nearly_right_is_wrong() {
    let dir = project();
    let rules = r#"models.writer.mock={rules: [{answer: "```python\nprint(18 * 31 + [0, 0.0000001, 0.001, 14][{{ attempt % 4 }}])\n```"}]}"#;
    let made = Made::by(dir.path(), RECIPE, &["--set", rules, "--limit", "1"]);
    let line = &made.lines("samples.jsonl")[0];
    let correct: Vec<&Value> = samples(line).iter().map(|sample| &sample["correct"]).collect();
    assert_eq!(correct, [true, true, false, false], "four different programs");
}

#[test]
fn a_program_that_never_ends_is_stopped() {
    let dir = project();
    let rules = r#"models.writer.mock={rules: [{answer: "```python\n{{ ['print(18 * 31)', 'while 18 + 31: pass'][attempt] }}\n```"}]}"#;
    let arguments = ["--set", rules, "--var", "samples=2", "--limit", "1"];
    let made = Made::by(dir.path(), RECIPE, &arguments);
    let samples = samples(&made.lines("samples.jsonl")[0]);
    assert_eq!(
        (&samples[0]["status"], &samples[0]["correct"]),
        (&Value::from("finished"), &Value::Bool(true))
    );
    let status = samples[1]["status"].as_str().unwrap();
    // On a machine that is very busy, the time may be over before the processor time is.
    assert!(["cpu_time", "timeout"].contains(&status), "{status}");
    assert_eq!(samples[1]["correct"], Value::Null);
}
