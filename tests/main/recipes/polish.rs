//! `polish`: that what comes out is the author's row with the changes that are told, that numbers stay, and that a row which
//! cannot be cleaned safely is set apart as it was.

use std::path::Path;

use serde_json::{Value, json};

use super::lines;
use crate::harness::{project, provenance_lines, synthmill};

const RECIPE: &str = "pipelines/recipes/polish.yaml";
const RUN: &str = "output/polish";
const SAME: &str = "{rules: [{answer: {lost: [], added: [], changed: [], same_meaning: true}}]}";

/// The rows of the recipe.
fn rows() -> Vec<Value> {
    let text = std::fs::read_to_string("config/recipes/polish-rows.jsonl").unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A text after the changes of a diff.
fn changed(text: &str, changes: &Value) -> String {
    let original: Vec<char> = text.chars().collect();
    let (mut made, mut at) = (String::new(), 0);
    for change in changes.as_array().unwrap() {
        let start = usize::try_from(change["at"].as_u64().unwrap()).unwrap();
        let was: Vec<char> = change["was"].as_str().unwrap().chars().collect();
        assert_eq!(original[start..start + was.len()], was);
        made.extend(&original[at..start]);
        made.push_str(change["now"].as_str().unwrap());
        at = start + was.len();
    }
    made.extend(&original[at..]);
    made
}

#[test]
fn rows_come_out_cleaned_with_their_changes_or_as_they_were() {
    let dir = project();
    synthmill(dir.path(), &["run", RECIPE, "--mock"], 0);
    let run = dir.path().join(RUN);
    let (rows, polished, review) = (rows(), lines(&run, "polished.jsonl"), lines(&run, "for-review.jsonl"));
    // The script refuses one row in six.
    assert_eq!((rows.len(), polished.len(), review.len()), (12, 10, 2));
    let original = |line: &Value| rows.iter().find(|row| row["row"] == line["row"]).unwrap().clone();
    for line in &polished {
        let row = original(line);
        assert_eq!(line["human"], json!({"question": row["question"], "answer": row["answer"]}));
        for (field, turn) in [("question", 0), ("answer", 1)] {
            let made = changed(row[field].as_str().unwrap(), &line["changes"][field]);
            assert_eq!(line["messages"][turn]["content"], made);
        }
    }
    let unchanged = polished.iter().filter(|line| line["changes"]["answer"] == json!([])).count();
    assert_eq!(unchanged, 1, "one row was clean before");
    for line in &review {
        let row = original(line);
        assert_eq!((&line["question"], &line["answer"]), (&row["question"], &row["answer"]));
    }
    let provenance: Vec<Value> =
        provenance_lines(&run).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &polished {
        let kept = provenance.iter().find(|kept| kept["id"] == line["id"]).unwrap();
        assert_eq!(kept["fields"]["changes"], line["changes"]);
    }
    for line in &review {
        let kept = provenance.iter().find(|kept| kept["id"] == line["id"]).unwrap();
        let classes: Vec<&Value> =
            kept["skipped"].as_array().unwrap().iter().map(|one| &one["class"]).collect();
        assert_eq!(classes, ["meaning", "meaning"], "two attempts");
    }
}

/// Runs the recipe with an editor that says this, and a judge that finds nothing; gives how many rows were polished.
fn edited(dir: &Path, question: &str, answer: &str, judge: &str) -> usize {
    let editor = json!({"rules": [{"answer": {"question": question, "answer": answer}}]});
    let (editor, judge) = (format!("models.editor.mock={editor}"), format!("models.judge.mock={judge}"));
    synthmill(dir, &["run", RECIPE, "--mock", "--fresh", "--set", &editor, "--set", &judge], 0);
    lines(&dir.join(RUN), "polished.jsonl").len()
}

#[test]
fn an_edit_that_changes_a_number_or_the_meaning_is_not_taken() {
    let dir = project();
    let same = ("{{ human.question }}", "{{ human.answer }}");
    assert_eq!(edited(dir.path(), same.0, same.1, SAME), 12);
    assert_eq!(edited(dir.path(), same.0, "{{ human.answer }} Wait for 99 minutes.", SAME), 0);
    assert_eq!(
        edited(dir.path(), "Number {{ human.question }}", "{{ human.answer | replace('10', 'ten') }}", SAME),
        12 - with_ten()
    );
    for verdict in [
        "{lost: [a condition], added: [], changed: [], same_meaning: true}",
        "{lost: [], added: [a remark], changed: [], same_meaning: true}",
        "{lost: [], added: [], changed: [a unit], same_meaning: true}",
        "{lost: [], added: [], changed: [], same_meaning: false}",
    ] {
        let judge = format!("{{rules: [{{answer: {verdict}}}]}}");
        assert_eq!(edited(dir.path(), same.0, same.1, &judge), 0, "{verdict}");
    }
}

/// How many answers of the rows have a ten in digits.
fn with_ten() -> usize {
    let count = rows().iter().filter(|row| row["answer"].as_str().unwrap().contains("10")).count();
    assert!((2..11).contains(&count), "{count}");
    count
}
