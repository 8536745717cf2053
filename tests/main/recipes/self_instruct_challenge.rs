//! `self-instruct-challenge`: which means of the two models let a task through, how often each model tries it, and that a
//! task that did not do comes back to the challenger as feedback.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::lines;
use crate::harness::{project, provenance_lines, stderr, synthmill};

const RECIPE: &str = "pipelines/recipes/self-instruct-challenge.yaml";
const RUN: &str = "output/self-instruct-challenge";
/// Weights of twenty in all, of which any number can be put together.
const WEIGHTS: [u32; 5] = [1, 2, 4, 8, 5];

/// A project with one document of so many sections.
fn sections(count: usize) -> TempDir {
    let dir = project();
    let section =
        |number| format!("## Part {number}\n\n{}\n\n", "The pump has two valves and a lever. ".repeat(14));
    let document: String = (1..=count).map(section).collect();
    std::fs::create_dir(dir.path().join("docs")).unwrap();
    std::fs::write(dir.path().join("docs/pump.md"), document).unwrap();
    dir
}

/// Runs the recipe on these sections, with scripts of the challenger and the judge; gives what it says.
fn run(dir: &Path, challenger: &Value, judge: &Value, code: i32) -> String {
    let challenger = format!("models.challenger.mock={}", json!({ "rules": challenger }));
    let judge = format!("models.judge.mock={}", json!({ "rules": judge }));
    let arguments =
        ["run", RECIPE, "--mock", "--fresh", "--var", "docs=docs", "--set", &challenger, "--set", &judge];
    stderr(&synthmill(dir, &arguments, code))
}

/// What a challenger says: a task with a rubric of `WEIGHTS`.
fn task(angle: &str) -> Value {
    let criterion = |weight: &u32| json!({"criterion": "Says what the lever does", "weight": weight});
    json!({
        "angle": angle,
        "task": "A pump has two valves and a lever. Explain what happens when the lever is pressed twice.",
        "reference": "Water flows through the second valve.",
        "rubric": WEIGHTS.iter().map(criterion).collect::<Vec<_>>(),
    })
}

/// What a judge says to let an answer have this score, in twentieths.
fn verdicts(twentieths: u32) -> Value {
    // The weights from the largest on, as in a sum of coins.
    let mut left = twentieths;
    let mut met = [false; 5];
    for at in [3, 4, 2, 1, 0] {
        if WEIGHTS[at] <= left {
            (left, met[at]) = (left - WEIGHTS[at], true);
        }
    }
    assert_eq!(left, 0, "{twentieths} cannot be put together");
    let verdict = |(at, met): (usize, bool)| json!({"criterion": at + 1, "reason": "So.", "met": met});
    json!({"verdicts": met.into_iter().enumerate().map(verdict).collect::<Vec<_>>()})
}

#[test]
fn a_task_is_kept_where_the_means_and_their_gap_are_within_bounds() {
    // The scores of the weak and the strong model in twentieths, and whether such a task is kept.
    let cases = [
        (13, 17, true),
        (14, 19, false),
        (8, 12, true),
        (7, 11, false),
        (13, 16, false),
        (10, 19, true),
        (10, 20, false),
        (0, 12, true),
        (12, 8, false),
    ];
    let dir = sections(cases.len());
    let mut judge = Vec::new();
    for (at, (weak, strong, _)) in cases.iter().enumerate() {
        for (solver, score) in [("weak", weak), ("strong", strong)] {
            let when = format!("section.number == {} and record.solver == '{solver}'", at + 1);
            judge.push(json!({"when": when, "answer": verdicts(*score)}));
        }
    }
    let challenger = json!([{"answer": task("the lever, seen for the {{ repeat.pass }}. time")}]);
    let told = run(dir.path(), &challenger, &Value::Array(judge), 0);
    let made = lines(&dir.path().join(RUN), "tasks.jsonl");
    let found: BTreeMap<u64, (f64, f64)> = made
        .iter()
        .map(|line| {
            let part = line["section.heading_path"].as_str().unwrap().rsplit(' ').next().unwrap();
            assert_eq!(line["round"], 1);
            (
                part.parse().unwrap(),
                (line["weak_mean"].as_f64().unwrap(), line["strong_mean"].as_f64().unwrap()),
            )
        })
        .collect();
    let expected: BTreeMap<u64, (f64, f64)> = (1..)
        .zip(cases)
        .filter(|(_, (_, _, kept))| *kept)
        .map(|(part, (weak, strong, _))| (part, (f64::from(weak) / 20.0, f64::from(strong) / 20.0)))
        .collect();
    assert_eq!(found, expected);
    assert!(told.contains("5 records: no_gap"), "{told}");
    // A task, four attempts of two models and a verdict on each: 17 questions. What is not kept is tried five times.
    assert!(told.contains(&format!("{} requests", 17 * (4 + 5 * 5))), "{told}");
}

#[test]
fn a_mean_is_that_of_four_attempts() {
    let dir = sections(1);
    let judge = json!([
        {"when": "attempt in [0, 2]", "answer": verdicts(12)},
        {"when": "attempt in [1, 3]", "answer": verdicts(14)},
        {"when": "attempt == 4", "answer": verdicts(20)},
        {"answer": verdicts(16)},
    ]);
    run(dir.path(), &json!([{"answer": task("the lever")}]), &judge, 0);
    let made = lines(&dir.path().join(RUN), "tasks.jsonl");
    assert_eq!((&made[0]["weak_mean"], &made[0]["strong_mean"]), (&json!(0.65), &json!(0.85)));
    let best = &lines(&dir.path().join(RUN), "sft.jsonl")[0];
    assert_eq!(best["best.score"], 1.0, "the best attempt of the strong model is trained on");
}

#[test]
fn the_challenger_is_told_what_was_wrong_and_takes_a_new_angle() {
    for (weak, strong, feedback) in [
        (18, 20, "It was too easy"),
        (4, 20, "It was too easy"),
        (2, 4, "It was too hard"),
        (12, 13, "Both did about equally well"),
    ] {
        let dir = sections(1);
        let challenger = json!([
            {"contains": feedback, "answer": task("the valves")},
            {"answer": task("the lever")},
        ]);
        let judge = json!([
            {"when": "angle == 'the lever' and solver == 'weak'", "answer": verdicts(weak)},
            {"when": "angle == 'the lever'", "answer": verdicts(strong)},
            {"when": "solver == 'weak'", "answer": verdicts(8)},
            {"answer": verdicts(16)},
        ]);
        run(dir.path(), &challenger, &judge, 0);
        let made = lines(&dir.path().join(RUN), "tasks.jsonl");
        assert_eq!((&made[0]["angle"], &made[0]["round"]), (&json!("the valves"), &json!(2)), "{feedback}");
    }
}

#[test]
fn an_angle_that_was_tried_is_not_tried_again() {
    let dir = sections(1);
    let judge = json!([{"answer": verdicts(10)}]);
    let told = run(dir.path(), &json!([{"answer": task("the lever")}]), &judge, 5);
    // The first round asks 17 questions; each of four further ones asks the challenger three times for another angle.
    assert!(told.contains(&format!("{} requests", 17 + 4 * 3)), "{told}");
    let provenance: Value = serde_json::from_str(provenance_lines(&dir.path().join(RUN)).trim()).unwrap();
    let classes: Vec<&Value> =
        provenance["skipped"].as_array().unwrap().iter().map(|skipped| &skipped["class"]).collect();
    assert_eq!(classes, vec!["old_angle"; 4]);
}

#[test]
fn a_task_that_is_its_own_reference_is_not_tried() {
    let dir = sections(1);
    let mut copied = task("the lever");
    copied["reference"] = copied["task"].clone();
    let told = run(dir.path(), &json!([{"answer": copied}]), &json!([{"answer": verdicts(10)}]), 5);
    assert!(told.contains(&format!("{} requests", 5 * 3)), "{told}");
    let provenance = provenance_lines(&dir.path().join(RUN));
    assert_eq!(provenance.matches("\"no_task\"").count(), 5, "{provenance}");
}

#[test]
fn the_shipped_script_shows_rounds_and_every_kind_of_outcome() {
    let dir = project();
    let told = stderr(&synthmill(dir.path(), &["run", RECIPE, "--mock"], 0));
    let tasks = lines(&dir.path().join(RUN), "tasks.jsonl");
    let mut rounds: BTreeMap<u64, usize> = BTreeMap::new();
    for line in &tasks {
        *rounds.entry(line["round"].as_u64().unwrap()).or_default() += 1;
        assert_eq!((&line["weak_mean"], &line["strong_mean"]), (&json!(0.4), &json!(0.8)));
        let rubric: Value = serde_json::from_str(line["info"].as_str().unwrap()).unwrap();
        assert_eq!(rubric.as_array().unwrap().len(), 3);
    }
    assert!(rounds.len() >= 4, "{rounds:?}");
    assert!(told.contains("records: no_gap"), "{told}");
    assert_eq!(lines(&dir.path().join(RUN), "sft.jsonl").len(), tasks.len());
}
