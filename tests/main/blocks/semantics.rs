//! The semantics of blocks, as tables of stages, answers and expected results (`tests/cases/blocks/`).
//!
//! A case runs in this process against a scripted model, at concurrency 1 and 8, with the same result. What a file of cases
//! cannot express (panics, concurrency limits) is tested below or in `in_flight`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use synthmill::engine::{RunEnd, RunReport};
use synthmill::llm::scripted::{Reply, Scripted, ScriptedQuestion};
use tempfile::TempDir;

use crate::harness::{Run, check_invariants, outputs, provenance_lines};

/// One case of `tests/cases/blocks/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// The number of items; each has its number from 0 in `row`.
    #[serde(default = "one")]
    items: u64,
    /// The stages between the source and the sink, as in a pipeline file.
    stages: String,
    /// Answers of the model: the first whose text is in the question; a question without a match is answered with itself in
    /// angle brackets.
    #[serde(default)]
    answers: Vec<Answers>,
    /// Fields of the lines of `out.jsonl`.
    fields: Vec<String>,
    /// The lines of `out.jsonl`, in any order.
    lines: Vec<Value>,
    /// Fields that no record has after the block, in addition to those of blocks.
    #[serde(default)]
    gone: Vec<String>,
    /// The lines of other sinks.
    #[serde(default)]
    files: BTreeMap<String, Vec<Value>>,
    /// `ID STAGE CLASS` of each rejected record.
    #[serde(default)]
    rejected: Vec<String>,
    /// The number of ok, dropped and rejected items.
    ends: [u64; 3],
    /// Counts of some stages, as `received sent dropped rejected skipped`.
    #[serde(default)]
    figures: BTreeMap<String, String>,
    /// Shortened lines of `provenance/` of some records: the outcome, calls as `STAGE ASKED_AS RE_ASKS`, skipped ones as
    /// `ID STAGE CLASS`, and the names of draws.
    #[serde(default)]
    provenance: BTreeMap<String, Value>,
    /// The number of questions.
    asked: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    /// A part of the question.
    to: String,
    /// Answers in order for the same question, with the last one repeated. `!class` is a request that fails.
    say: Vec<String>,
}

fn one() -> u64 {
    1
}

impl Case {
    fn yaml(&self, concurrency: u32) -> String {
        let stages: String = self.stages.lines().map(|line| format!("  {line}\n")).collect();
        let model = format!(
            "  teacher: {{base_urls: [\"http://127.0.0.1:9/v1\"], model: scripted, concurrency: {concurrency}}}\n"
        );
        let (items, fields) = (self.items, self.fields.join(", "));
        let models =
            if stages.contains("model: teacher") { format!("models:\n{model}") } else { String::new() };
        format!(
            "name: case\nseed: 7\nerror_budget: {{share: 1.0}}\n{models}stages:\n  - generate: {{count: {items}}}\n\
             {stages}  - sink: {{path: out.jsonl, format: raw, fields: [{fields}]}}\n  - sink: {{path: all.jsonl, \
             format: raw}}\n"
        )
    }

    fn model(&self) -> Scripted {
        let answers = self.answers.clone();
        Scripted::new(move |question: ScriptedQuestion<'_>| {
            let Some(fitting) = answers.iter().find(|answers| question.prompt.contains(&answers.to)) else {
                return Reply::text(format!("<{}>", question.prompt));
            };
            let at = (question.before as usize).min(fitting.say.len() - 1);
            match fitting.say[at].strip_prefix('!') {
                Some(class) => Reply::error(class, "as the case says"),
                None => Reply::text(fitting.say[at].clone()),
            }
        })
    }

    fn check(&self, run: &Run, report: &RunReport) {
        let name = &self.name;
        assert!(matches!(report.end, RunEnd::Complete), "{name}: {report:?}");
        check_invariants(&run.root, report);
        let mut found = outputs(&run.root);
        let rejected = found.remove("rejected.jsonl").unwrap_or_default();
        let mut rejected: Vec<String> = rejected.iter().map(|line| shortened(line)).collect();
        rejected.sort();
        assert_eq!(rejected, self.rejected, "{name}");
        for line in found.remove("all.jsonl").unwrap() {
            let line: Map<String, Value> = serde_json::from_str(&line).unwrap();
            let gone = self.gone.iter().map(String::as_str);
            for inside in ["repeat", "previous", "for_each"].into_iter().chain(gone) {
                assert!(!line.contains_key(inside), "{name}: `{inside}` is left: {line:?}");
            }
        }
        let mut expected = self.files.clone();
        expected.insert("out.jsonl".into(), self.lines.clone());
        assert!(found.keys().eq(expected.keys()), "{name}: {:?}", found.keys());
        for (file, lines) in expected {
            let found: Vec<Value> =
                found[&file].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_same_set(&format!("{name}: {file}"), &found, &lines);
        }
        let snapshot = &report.snapshot;
        assert_eq!([snapshot.ok, snapshot.dropped, snapshot.rejected], self.ends, "{name}");
        for (stage, expected) in &self.figures {
            let Some(row) = snapshot.stages.iter().find(|row| *row.stage == **stage) else {
                panic!("{name}: no row of `{stage}`")
            };
            let found =
                [row.received, row.sent, row.dropped, row.rejected, row.skipped].map(|n| n.to_string());
            assert_eq!(found.join(" "), *expected, "{name}: {stage}");
        }
        let provenance = provenance(run);
        for (id, expected) in &self.provenance {
            assert_eq!(provenance.get(id), Some(expected), "{name}: {id} of {:?}", provenance.keys());
        }
        assert_eq!(run.model.questions(), self.asked, "{name}: {:?}", run.model.asked());
    }
}

/// Fails with the lines that are in only one of the two.
#[track_caller]
fn assert_same_set(what: &str, found: &[Value], expected: &[Value]) {
    let sorted = |values: &[Value]| {
        let mut lines: Vec<String> = values.iter().map(Value::to_string).collect();
        lines.sort();
        lines.join("\n")
    };
    // The order of fields in a line is up to the sink.
    let found: Vec<Value> = found.iter().map(in_order_of_names).collect();
    let expected: Vec<Value> = expected.iter().map(in_order_of_names).collect();
    let (found, expected) = (sorted(&found), sorted(&expected));
    assert!(found == expected, "{what}: found\n{found}\nexpected\n{expected}");
}

fn in_order_of_names(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().map(|(k, v)| (k, in_order_of_names(v))).collect();
            json!(sorted)
        }
        Value::Array(list) => list.iter().map(in_order_of_names).collect(),
        other => other.clone(),
    }
}

/// Returns `ID STAGE CLASS` of a line of `rejected.jsonl`.
fn shortened(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    ["id", "stage", "class"].map(|name| line[name].as_str().unwrap()).join(" ")
}

/// Returns the lines of `provenance/` by record, shortened as in a case.
fn provenance(run: &Run) -> BTreeMap<String, Value> {
    let text = provenance_lines(&run.root);
    let lines = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let words = |entry: &Value, names: &[&str]| {
            let word = |name: &&str| match &entry[*name] {
                Value::Null => "-".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            names.iter().map(word).collect::<Vec<_>>().join(" ")
        };
        let list = |field: &str, names: &[&str]| -> Vec<String> {
            line[field].as_array().into_iter().flatten().map(|entry| words(entry, names)).collect()
        };
        let mut short = Map::new();
        short.insert("outcome".into(), line["outcome"].clone());
        short.insert("calls".into(), json!(list("calls", &["stage", "asked_as", "re_asks"])));
        if line["skipped"].is_array() {
            short.insert("skipped".into(), json!(list("skipped", &["id", "stage", "class"])));
        }
        if let Some(draws) = line["draws"].as_object() {
            short.insert("draws".into(), json!(draws.keys().collect::<Vec<_>>()));
        }
        (line["id"].as_str().unwrap().to_owned(), Value::Object(short))
    });
    lines.collect()
}

async fn check_cases(file: &str) {
    let path = format!("{}/tests/cases/blocks/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<Case> = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for case in cases {
        for concurrency in [1, 8] {
            let dir = TempDir::new().unwrap();
            let run = Run::new(&case.yaml(concurrency), &dir.path().join("out"), case.model());
            let report = run.run().await;
            case.check(&run, &report);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn repeat_matches_its_cases() {
    check_cases("repeat").await;
}

#[tokio::test(start_paused = true)]
async fn for_each_matches_its_cases() {
    check_cases("for_each").await;
}

#[tokio::test(start_paused = true)]
async fn nested_blocks_match_their_cases() {
    check_cases("nested").await;
}
