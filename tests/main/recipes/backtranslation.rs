//! Instruction backtranslation: answers are real text, every candidate is rated twice, and only ratings count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::lines;
use crate::harness::{project, provenance_lines, stderr, stdout, synthmill};

const PIPELINES: [&str; 4] = [
    "pipelines/recipes/backtranslation/1-augment.yaml",
    "pipelines/recipes/backtranslation/2-curate.yaml",
    "pipelines/recipes/backtranslation/3-curate-again.yaml",
    "pipelines/recipes/backtranslation/4-seeds.yaml",
];

/// Runs all four pipelines in a project.
fn run(arguments: &[&str]) -> (TempDir, String) {
    let dir = project();
    let all = [&["run"], &PIPELINES[..], &["--mock"], arguments].concat();
    let told = stderr(&synthmill(dir.path(), &all, 0));
    (dir, told)
}

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_else(|| panic!("no {field} in {line}"))
}

fn segments(lines: &[Value]) -> BTreeSet<&str> {
    lines.iter().map(|line| text(line, "segment")).collect()
}

/// What a run wrote to its provenance, by record.
fn provenance(run: &Path) -> BTreeMap<String, Value> {
    let lines = provenance_lines(run);
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (text(&line, "id").to_owned(), line)).collect()
}

#[test]
fn what_is_kept_is_part_of_what_was_rated_and_all_is_rated_twice() {
    let (dir, _) = run(&[]);
    let output = dir.path().join("output");
    let candidates = lines(&output.join("backtranslation-augment"), "candidates.jsonl");
    let all = segments(&candidates);
    assert!(all.len() == candidates.len() && all.len() > 50, "{} candidates", candidates.len());
    let mut kept = Vec::new();
    for (name, best, iteration) in [("curate", "best.jsonl", 1), ("curate-again", "train.jsonl", 2)] {
        let run = output.join(format!("backtranslation-{name}"));
        let (rated, a4, a5) = (lines(&run, "rated.jsonl"), lines(&run, "a4.jsonl"), lines(&run, best));
        assert_eq!(segments(&rated), all, "every candidate is rated");
        assert_eq!(rated.len(), candidates.len());
        assert!(rated.iter().all(|line| line["iteration"] == iteration));
        let score: BTreeMap<&str, &Value> =
            rated.iter().map(|line| (text(line, "segment"), &line["score"])).collect();
        let at_least = |least: i64| -> BTreeSet<&str> {
            score
                .iter()
                .filter(|(_, score)| score.as_i64().is_some_and(|s| s >= least))
                .map(|(id, _)| *id)
                .collect()
        };
        assert_eq!((segments(&a4), segments(&a5)), (at_least(4), at_least(5)), "{name}");
        assert!(segments(&a5).is_subset(&segments(&a4)) && segments(&a4).is_subset(&all));
        // One question to the judge for each candidate, and one more where an answer had no rating.
        let calls = |line: &Value| line["calls"].as_array().unwrap().len();
        assert!(provenance(&run).values().all(|line| calls(line) == 1), "{name}");
        kept.push(segments(&a5).into_iter().map(str::to_owned).collect::<BTreeSet<String>>());
    }
    assert_ne!(kept[0], kept[1], "the demonstrations change what the judge says");
}

#[test]
fn answers_are_the_segments_byte_for_byte_and_data_has_its_tag() {
    let (dir, _) = run(&[]);
    let output = dir.path().join("output");
    // The sections as a pipeline of its own cuts them.
    let sections = "name: sections\nstages:\n  - ingest: {paths: [\"markdown_docs/**/*.md\"]}\n  - section: {min_chars: 400, \
                    max_chars: 3000}\n  - sink: {path: sections.jsonl, format: raw, fields: [section]}\n";
    std::fs::write(dir.path().join("sections.yaml"), sections).unwrap();
    synthmill(dir.path(), &["run", "sections.yaml"], 0);
    let sections = lines(&output.join("sections"), "sections.jsonl");
    let by_key: BTreeMap<&str, &str> =
        sections.iter().map(|line| (text(&line["section"], "key"), text(&line["section"], "text"))).collect();
    let train = lines(&output.join("backtranslation-curate-again"), "train.jsonl");
    assert!(train.len() > 10, "{}", train.len());
    for line in &train {
        let roles: Vec<&str> =
            line["messages"].as_array().unwrap().iter().map(|message| text(message, "role")).collect();
        assert_eq!(roles, ["system", "user", "assistant"]);
        assert_eq!(line["messages"][0]["content"], "Answer with what is known about the subject.");
        assert_eq!(text(&line["messages"][2], "content"), by_key[text(line, "segment")]);
        assert_eq!((&line["score"], &line["iteration"]), (&json!(5), &json!(2)));
        assert_eq!(line["provenance"]["model"], "judge");
    }
    let seeds = lines(&output.join("backtranslation-seeds"), "train.jsonl");
    let shipped = std::fs::read_to_string("config/recipes/backtranslation-seeds.jsonl").unwrap();
    assert_eq!(seeds.len(), shipped.lines().count());
    assert!(seeds.iter().all(|line| line["messages"][0]["content"] == "Answer as a helpful assistant does."));
}

#[test]
fn no_candidate_is_a_demonstration_of_itself() {
    // Everything is a 5, so that every candidate could be shown to itself.
    let rules = r#"models.judge.mock={rules: [{answer: {reason: "All of it is there.", rating: 5}}]}"#;
    let (dir, _) = run(&["--set", rules]);
    let output = dir.path().join("output");
    let best = lines(&output.join("backtranslation-curate"), "best.jsonl");
    let again = output.join("backtranslation-curate-again");
    let rated = lines(&again, "rated.jsonl");
    assert_eq!(best.len(), rated.len());
    let provenance = provenance(&again);
    for line in &rated {
        let shown = provenance[text(line, "id")]["fields"]["few_shot"]["lines"].as_array().unwrap();
        assert_eq!(shown.len(), 3);
        for number in shown {
            let shown = &best[number.as_u64().unwrap() as usize - 1];
            assert_ne!(shown["segment"], line["segment"]);
        }
    }
}

#[test]
fn a_number_beyond_the_scale_and_no_number_are_never_kept_and_counted_apart() {
    // A third of the answers has its number in prose only, a third one beyond the scale.
    let rules = r#"models.judge.mock={rules: [
        {when: (output | length) % 3 == 0, answer: "Of 10502 points I give it 5. Score: 5"},
        {when: (output | length) % 3 == 1, answer: {reason: "It is good.", rating: 6}},
        {answer: {reason: "It could not be better. 1", rating: 5}}]}"#;
    let (dir, told) = run(&["--set", rules]);
    let output = dir.path().join("output");
    let candidates = lines(&output.join("backtranslation-augment"), "candidates.jsonl");
    let rest =
        |n: usize| candidates.iter().filter(|line| text(line, "output").chars().count() % 3 == n).count();
    assert!((0..3).all(|n| rest(n) > 10));
    for (name, best) in [("curate", "best.jsonl"), ("curate-again", "train.jsonl")] {
        let run = output.join(format!("backtranslation-{name}"));
        let rated = lines(&run, "rated.jsonl");
        let count = |outcome: &str| rated.iter().filter(|line| line["outcome"] == outcome).count();
        assert_eq!([count("missing"), count("out_of_range"), count("rated")], [rest(0), rest(1), rest(2)]);
        assert!(rated.iter().all(|line| (line["outcome"] == "rated") == (line["score"] == 5)), "{name}");
        assert_eq!((lines(&run, "a4.jsonl").len(), lines(&run, best).len()), (rest(2), rest(2)));
        let dropped = format!("dropped    {} records: no_score", rest(0) + rest(1));
        assert!(
            told.contains(&dropped)
                || stdout(&synthmill(dir.path(), &["status", &run.display().to_string()], 0))
                    .contains("no_score"),
            "{told}"
        );
        let report = synthmill(dir.path(), &["report", "--json", &run.display().to_string()], 0);
        let found: Value = serde_json::from_str(&stdout(&report)).unwrap();
        let quality = &found[0]["judging"][0]["aspects"][0];
        assert_eq!((&quality["missing"], &quality["out_of_range"]), (&json!(rest(0)), &json!(rest(1))));
    }
}
