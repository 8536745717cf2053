//! Judges against a server: their questions, their position bias, and their agreement with people.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::model_server::{ModelServer, Question, Reply};
use crate::harness::{outputs, program, provenance_lines, stderr, stdout, synthmill};

const ROWS: usize = 60;

/// A run over rows of two texts, of which a person prefers the longer one.
fn folder(url: &str, judge: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    let row = |number: usize| {
        let texts = ["short", "a much longer text"];
        let first = texts[number % 2];
        let candidates = [first, texts[1 - number % 2]];
        let human = if first.len() > 5 { 5 } else { 1 };
        format!("{}\n", json!({"candidates": candidates, "human": human}))
    };
    std::fs::write(dir.path().join("rows.jsonl"), (0..ROWS).map(row).collect::<String>()).unwrap();
    let yaml = format!(
        "name: judged\nmodels:\n  teacher: {{base_urls: [\"{url}\"], model: scripted, concurrency: 4}}\nstages:\n  \
         - ingest: {{paths: [rows.jsonl]}}\n  - judge: {{model: teacher, of: candidates, aspects: {{clear: \"5: clear\"}}, \
         {judge}}}\n  - set: {{judged: {{expr: \"candidates[0].score\"}}}}\n  - sink: {{path: out.jsonl, format: raw, \
         fields: [id, judged, human, candidates]}}\n"
    );
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    dir
}

/// The texts of a question, in the order shown.
fn texts(question: &Question) -> Vec<String> {
    let asked = question.body["messages"][1]["content"].as_str().unwrap();
    let between = |number: usize| {
        let (open, close) = (format!("<text_{number}>\n"), format!("\n</text_{number}>"));
        let (_, rest) = asked.split_once(&open)?;
        Some(rest.split_once(&close)?.0.to_owned())
    };
    (1..).map_while(between).collect()
}

fn ratings(rate: impl Fn(usize, &str) -> Value, question: &Question) -> Reply {
    let entry = |(slot, text): (usize, String)| json!({"text": slot + 1, "reason": "so", "rating": rate(slot, &text)});
    let entries: Vec<Value> = texts(question).into_iter().enumerate().map(entry).collect();
    Reply::answer(&json!({ "texts": entries }).to_string())
}

fn run(dir: &TempDir) {
    let done = program(dir.path(), &["run", "p.yaml", "--out", "out"]).output().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
}

fn findings(dir: &TempDir, arguments: &[&str]) -> Value {
    let all = [&["report", "--json", "out"], arguments].concat();
    serde_json::from_str::<Value>(&stdout(&synthmill(dir.path(), &all, 0))).unwrap()[0].take()
}

fn stands_out<'a>(found: &'a Value, kind: &str) -> Option<&'a Value> {
    found["stands_out"].as_array().unwrap().iter().find(|standout| standout["kind"] == kind)
}

#[test]
fn a_judge_that_prefers_a_place_is_exposed_and_one_that_reads_is_not() {
    let biased = ModelServer::start(|question| ratings(|slot, _| json!(5 - 2 * slot), question));
    let dir = folder(&biased.url, "votes: 1");
    run(&dir);
    let found = findings(&dir, &[]);
    assert_eq!(stands_out(&found, "judge_place").unwrap()["place"], 1);
    let means: Vec<f64> = slots(&found).map(|slot| slot["mean"].as_f64().unwrap()).collect();
    assert_eq!(means, [5.0, 3.0]);

    let fair = ModelServer::start(|question| ratings(|_, text| json!(text.len().min(5)), question));
    let dir = folder(&fair.url, "votes: 1");
    run(&dir);
    let found = findings(&dir, &[]);
    assert_eq!(stands_out(&found, "judge_place"), None);
    let clear = &found["judging"][0]["aspects"][0];
    assert_eq!((&clear["aspect"], &clear["rated"]["of"]), (&json!("clear"), &json!(2 * ROWS)));
    let page = synthmill(dir.path(), &["report", "out"], 0);
    assert!(stdout(&page).contains("wrote     out/report.html"));
    let page = std::fs::read_to_string(dir.path().join("out/report.html")).unwrap();
    assert!(page.contains("Ratings by the position at which a text was shown"));
}

fn slots(found: &Value) -> impl Iterator<Item = &Value> {
    found["judging"][0]["slots"].as_array().unwrap().iter()
}

#[test]
fn both_orders_undo_what_a_place_is_worth() {
    let biased = ModelServer::start(|question| ratings(|slot, _| json!(5 - 2 * slot), question));
    let dir = folder(&biased.url, "order: both");
    run(&dir);
    assert_eq!(biased.questions().len(), 2 * ROWS);
    for line in &outputs(&dir.path().join("out"))["out.jsonl"] {
        let line: Value = serde_json::from_str(line).unwrap();
        for candidate in line["candidates"].as_array().unwrap() {
            assert_eq!(candidate["score"], 4, "{line}");
        }
    }
}

#[test]
fn what_is_no_rating_is_counted_apart_and_asked_for_once_more() {
    // A number outside the scale, then prose each time.
    let server = ModelServer::start(|question| match texts(question)[0].len() {
        5 => ratings(|_, _| json!(10_502), question),
        _ => Reply::answer("I like both."),
    });
    let dir = folder(&server.url, "order: given");
    run(&dir);
    assert_eq!(server.questions().len(), ROWS + ROWS / 2, "one re-ask for each answer without JSON");
    let found = findings(&dir, &[]);
    let clear = &found["judging"][0]["aspects"][0];
    assert_eq!((&clear["out_of_range"], &clear["missing"]), (&json!(ROWS), &json!(ROWS)));
    assert_eq!(clear["mean"], Value::Null);
    assert_eq!(
        stands_out(&found, "not_rated").unwrap()["ratings"],
        json!({"count": 2 * ROWS, "of": 2 * ROWS})
    );
    for line in &outputs(&dir.path().join("out"))["out.jsonl"] {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&line["judged"], &line["candidates"][0]["ratings"]["clear"]),
            (&Value::Null, &Value::Null)
        );
    }
    let asked = provenance_lines(&dir.path().join("out"));
    assert!(asked.contains("\"asked_as\":\"000000.judge-0\""), "{}", &asked[..300]);
}

#[test]
fn a_judge_is_compared_with_people() {
    let server = ModelServer::start(|question| ratings(|_, text| json!(text.len().min(5)), question));
    let dir = folder(&server.url, "votes: 1");
    run(&dir);
    // It rates both texts 5: the person's 1 differs, and there is no agreement beyond chance.
    let found = findings(&dir, &["--agree", "judged:human"]);
    let pair = &found["agreement"][0];
    assert_eq!(pair["equal"], json!({"count": ROWS / 2, "of": ROWS}));
    assert_eq!(
        (&pair["values"], &pair["matrix"]),
        (&json!(["1", "5"]), &json!([[0, 0], [ROWS / 2, ROWS / 2]]))
    );
    assert_eq!((&pair["kappa"], &pair["file"]), (&json!(0.0), &json!("out.jsonl")));
    assert_eq!(pair["differing"].as_array().unwrap().len(), ROWS / 2);
    let output = synthmill(dir.path(), &["report", "out", "--agree", "judged:human"], 0);
    assert!(
        stdout(&output).contains("judged and human: 30 of 60 equal, Cohen's kappa 0.000"),
        "{}",
        stdout(&output)
    );
    let output = synthmill(dir.path(), &["report", "out", "--agree", "judged:person"], 2);
    assert!(stderr(&output).contains("no record has both `judged` and `person`"), "{}", stderr(&output));
    synthmill(dir.path(), &["report", "out", "--agree", "judged"], 2);
}

/// What is compared need not stand in one file: a run's files are joined by the ids of records, in whatever order items end.
#[test]
fn fields_of_two_files_of_a_run_are_joined_by_record() {
    let dir = TempDir::new().unwrap();
    let yaml = "name: held\nstages:\n  - generate: {count: 400}\n  - for_each: {id: part, in: 2, as: half, stages: [{set: \
                {guess: {expr: \"(row + half) % 3\"}, truth: {expr: row % 3}}}]}\n  - sink: {path: guesses.jsonl, format: raw, \
                when: row % 5 != 0, fields: [id, guess]}\n  - sink: {path: truths.jsonl, format: raw, when: row % 7 != 0, \
                fields: [id, truth]}\n";
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    run(&dir);
    let found = findings(&dir, &["--agree", "guess:truth"]);
    let pair = &found["agreement"][0];
    // Each row is in both files twice unless 5 or 7 divides it; its second half's guess is one too high.
    let rows = |has: &dyn Fn(u32) -> bool| (0..400).filter(|row| has(*row)).count();
    let in_both = rows(&|row| row % 5 != 0 && row % 7 != 0);
    let in_one = rows(&|row| (row % 5 != 0) != (row % 7 != 0));
    assert_eq!(pair["equal"], json!({"count": in_both, "of": 2 * in_both}));
    assert_eq!(
        (&pair["left_out"], &pair["file"]),
        (&json!(2 * in_one), &json!("guesses.jsonl and truths.jsonl"))
    );
    assert_eq!(pair["differing"][0]["id"].as_str().unwrap().split('-').next_back(), Some("1"));
    let output = synthmill(dir.path(), &["report", "out", "--agree", "guess:half"], 2);
    assert!(stderr(&output).contains("no record has both `guess` and `half`"), "{}", stderr(&output));
}

#[test]
fn a_student_is_placed_between_a_weak_model_and_a_ceiling() {
    let dir = TempDir::new().unwrap();
    let row = |n: u32| {
        let truth = n % 2;
        let says = |right: u32| if n < right { truth } else { 1 - truth };
        format!("{}\n", json!({"weak": says(6), "student": says(7), "ceiling": says(8), "truth": truth}))
    };
    std::fs::write(dir.path().join("rows.jsonl"), (0..10).map(row).collect::<String>()).unwrap();
    let report = |arguments: &[&str], code: i32| {
        synthmill(dir.path(), &[&["report", "rows.jsonl"], arguments].concat(), code)
    };
    let told =
        stdout(&report(&["--gap", "weak:student:ceiling:truth", "--gap", "weak:student:weak:truth"], 0));
    let expected = "right: weak 6 of 10, student 7 of 10, ceiling 8 of 10; of the gap recovered: 0.500";
    assert!(
        told.contains(expected) && told.contains("of the gap recovered: none, as there is no gap"),
        "{told}"
    );
    let page = std::fs::read_to_string(dir.path().join("rows.report.html")).unwrap();
    assert!(page.contains("recovers <strong>0.500</strong> of the gap") && page.contains("There is no gap"));
    let found: Value =
        serde_json::from_str(&stdout(&report(&["--gap", "weak:student:ceiling:truth", "--json"], 0)))
            .unwrap();
    assert!((found[0]["gaps"][0]["recovered"].as_f64().unwrap() - 0.5).abs() < 1e-9);
    report(&["--gap", "weak:student:truth"], 2);
}

#[test]
fn labels_are_counted_with_their_probabilities() {
    let dir = TempDir::new().unwrap();
    let yaml = "name: labelled\nmodels:\n  teacher:\n    provider: mock\n    mock: {rules: [{contains: '1', logprobs: {A: -0.2, B: \
                -1.7}}, {logprobs: {A: -1.7, B: -0.2}}]}\nstages:\n  - generate: {count: 10}\n  - classify: {id: parity, model: \
                teacher, question: 'Is {{ row }} odd?', choices: {one: , none: }}\n  - sink: {path: out.jsonl, format: raw}\n";
    std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
    run(&dir);
    let found = findings(&dir, &[]);
    let parity = &found["classified"][0];
    assert_eq!(
        (&parity["stage"], &parity["records"], &parity["sampled"]),
        (&json!("parity"), &json!(10), &json!(0))
    );
    let labels: Vec<_> = parity["labels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|label| {
            assert!((label["probability"].as_f64().unwrap() - 0.817574).abs() < 1e-6, "{label}");
            (label["label"].as_str().unwrap(), label["part"]["count"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(labels, [("none", 9), ("one", 1)]);
}
