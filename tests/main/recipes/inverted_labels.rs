//! `inverted-labels.yaml`: labels are drawn first with exact shares, and another model has to find the same label in the text.

use std::collections::BTreeMap;

use serde_json::Value;

use super::made::Made;
use crate::harness::{project, stderr, stdout, synthmill};

const RECIPE: &str = "inverted-labels.yaml";

/// How many lines have each value of a field.
fn counts<'a>(lines: &'a [Value], field: &str) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line[field].as_str().unwrap()).or_default() += 1;
    }
    counts
}

#[test]
fn labels_have_exact_shares_and_what_another_model_does_not_find_is_dropped() {
    let dir = project();
    for (rows, expected) in [(600, [240, 180, 120, 60]), (1003, [401, 301, 201, 100])] {
        let made = Made::by(dir.path(), RECIPE, &["--var", &format!("rows={rows}")]);
        let all = made.lines("all.jsonl");
        assert_eq!((all.len(), &made.status["requests"]), (rows, &Value::from(2 * rows)));
        let found = counts(all, "label");
        for (label, expected) in ["complaint", "question", "praise", "cancellation"].into_iter().zip(expected)
        {
            let off = found[label].abs_diff(expected);
            assert!(off <= usize::from(rows % 10 != 0), "{label}: {} of {rows}", found[label]);
        }
        let (same, other): (Vec<&Value>, Vec<&Value>) =
            all.iter().partition(|line| line["found"] == line["label"]);
        assert!(other.len() > rows / 50, "{} differ", other.len());
        assert_eq!(made.ended("label_not_confirmed"), other.len());
        let text = |line: &Value| line["text"].clone();
        let kept: Vec<Value> = made.lines("train.jsonl").iter().map(text).collect();
        assert_eq!(kept.len(), same.len());
        assert!(same.iter().all(|line| kept.contains(&line["text"])));
        assert!(other.iter().all(|line| !kept.contains(&line["text"])));
    }
}

#[test]
fn the_report_has_a_confusion_matrix_of_all_texts() {
    let dir = project();
    let made = Made::by(dir.path(), RECIPE, &[]);
    let all = made.lines("all.jsonl");
    let output = synthmill(dir.path(), &["report", "made", "--agree", "found:label"], 0);
    let same = all.iter().filter(|line| line["found"] == line["label"]).count();
    let told = format!("{}{}", stdout(&output), stderr(&output));
    assert!(
        told.contains(&format!("found and label: {same} of {} equal, Cohen's kappa", all.len())),
        "{told}"
    );
    let page = std::fs::read_to_string(dir.path().join("made/report.html")).unwrap();
    assert!(page.contains("<code>found</code> down, <code>label</code> across"));
    let of = |label: &str| {
        all.iter().filter(|line| line["found"] == "cancellation" && line["label"] == label).count()
    };
    let row = format!(
        "<th scope=\"row\">cancellation</th><td class=\"n\"><strong>{}</strong></td><td class=\"n\">{}</td>",
        of("cancellation"),
        of("complaint")
    );
    assert!(of("complaint") > 0 && page.contains(&row), "{row}");
}
