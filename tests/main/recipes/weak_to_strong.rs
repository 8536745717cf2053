//! Weak-to-strong generalisation: exact halves, soft labels, and a truth that the student never sees.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::lines;
use crate::harness::{project, stdout, synthmill};

const PIPELINES: [&str; 3] = [
    "pipelines/recipes/weak-to-strong/1-halves.yaml",
    "pipelines/recipes/weak-to-strong/2-weak-labels.yaml",
    "pipelines/recipes/weak-to-strong/3-test.yaml",
];

/// Runs the first pipelines on this many questions.
fn run(dir: &Path, pipelines: usize, questions: usize) {
    // Of every length, on which the mock's answers depend.
    let row = |n: usize| {
        let question = format!("What is {n} plus {n}, please{}?", "!".repeat(n / 2 % 10));
        json!({"question": question, "right": (2 * n).to_string(), "wrong": "none"})
    };
    let rows: String = (0..questions).map(|n| format!("{}\n", row(n))).collect();
    std::fs::write(dir.join("rows.jsonl"), rows).unwrap();
    let all =
        [&["run"], &PIPELINES[..pipelines], &["--mock", "--fresh", "--var", "train=rows.jsonl"]].concat();
    synthmill(dir, &all, 0);
}

fn texts(lines: &[Value], field: &str) -> BTreeSet<String> {
    lines.iter().map(|line| line[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn halves_are_disjoint_cover_all_and_differ_by_one_at_most() {
    let dir = project();
    for questions in [1001, 2000] {
        run(dir.path(), 1, questions);
        let output = dir.path().join("output/weak-to-strong-halves");
        let (first, second) = (lines(&output, "first.jsonl"), lines(&output, "second.jsonl"));
        assert!(first.len().abs_diff(second.len()) <= 1, "{} and {}", first.len(), second.len());
        let (one, other) = (texts(&first, "text"), texts(&second, "text"));
        assert!(one.is_disjoint(&other));
        assert_eq!(one.len() + other.len(), questions);
        // The coin is fair, and says which answer stands in the text.
        let all = || first.iter().chain(&second);
        let right = all().filter(|line| line["gt_label"] == 1).count() as f64;
        let (mean, deviation) = (questions as f64 / 2.0, (questions as f64 / 4.0).sqrt());
        assert!((right - mean).abs() < 3.0 * deviation, "{right} of {questions}");
        assert!(
            all().all(|line| (line["gt_label"] == 0) == line["text"].as_str().unwrap().ends_with("none"))
        );
    }
}

#[test]
fn the_student_gets_soft_labels_and_no_truth() {
    let dir = project();
    run(dir.path(), 2, 300);
    let output = dir.path().join("output/weak-to-strong-labels");
    let (student, truth) = (lines(&output, "student.jsonl"), lines(&output, "truth.jsonl"));
    assert_eq!((student.len(), texts(&truth, "id")), (150, texts(&student, "id")));
    let mut hard = BTreeSet::new();
    for line in &student {
        let keys: BTreeSet<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["hard_label", "id", "soft_label", "txt"].into(), "no truth");
        let soft: Vec<f64> =
            line["soft_label"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        assert!(soft.len() == 2 && (soft[0] + soft[1] - 1.0).abs() < 1e-6, "{line}");
        assert_eq!(line["hard_label"], json!(u8::from(soft[1] > soft[0])), "{line}");
        hard.insert(line["hard_label"].as_u64().unwrap());
    }
    assert_eq!(hard, [0, 1].into());
    // What the strong model is shown in place of training has the weak labels only.
    let labelled = lines(&output, "labelled.jsonl");
    assert!(labelled.iter().all(|line| line.get("gt_label").is_none()));
    // The report joins them.
    let report = |arguments: &[&str]| {
        let all = [&["report", "output/weak-to-strong-labels", "--json"], arguments].concat();
        serde_json::from_str::<Value>(&stdout(&synthmill(dir.path(), &all, 0))).unwrap()[0].take()
    };
    let pair = &report(&["--agree", "hard_label:gt_label"])["agreement"][0];
    let of_truth = |id: &Value| truth.iter().find(|line| line["id"] == *id).unwrap()["gt_label"].clone();
    let right = student.iter().filter(|line| line["hard_label"] == of_truth(&line["id"])).count();
    assert_eq!(pair["equal"], json!({"count": right, "of": 150}));
    assert_eq!((&pair["file"], &pair["left_out"]), (&json!("student.jsonl and truth.jsonl"), &json!(0)));
    assert!(right > 60 && right < 120, "the mock is right about six of ten: {right}");
}

#[test]
fn the_gap_that_the_student_recovers_is_told() {
    let dir = project();
    run(dir.path(), 3, 40);
    let results = lines(&dir.path().join("output/weak-to-strong-test"), "results.jsonl");
    let right = |field: &str| results.iter().filter(|line| line[field] == line["gt_label"]).count() as f64;
    let (weak, student, ceiling) = (right("weak"), right("student"), right("ceiling"));
    assert!(weak < ceiling, "{weak} and {ceiling} of {}", results.len());
    let arguments = ["report", "output/weak-to-strong-test", "--gap", "weak:student:ceiling:gt_label"];
    let told = stdout(&synthmill(dir.path(), &arguments, 0));
    let expected = format!("of the gap recovered: {:.3}", (student - weak) / (ceiling - weak));
    assert!(told.contains(&expected), "{told}");
}
