//! The main job: documents become question-answer data, in the numbers that the method prescribes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::docs::pages::Page;
use crate::harness::{assert_same_outputs, outputs, project, provenance_lines, stdout, synthmill};

const PIPELINE: &str = "pipelines/docs-to-qa.yaml";

/// One run of the shipped pipeline that all tests look at.
struct Made {
    dir: TempDir,
    summary: Value,
    lines: BTreeMap<String, Vec<Value>>,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let dir = project();
    let summary = run(dir.path(), &["--out", "out", "--var", "arrays=true"]);
    let parse = |lines: &Vec<String>| lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts = outputs(&dir.path().join("out"));
    let lines = texts.iter().map(|(file, lines)| (file.clone(), parse(lines)));
    let lines = lines.collect();
    Made { dir, summary, lines }
});

fn run(dir: &Path, arguments: &[&str]) -> Value {
    let output = synthmill(dir, &[&["run", PIPELINE, "--no-llm", "--json"], arguments].concat(), 0);
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// A section of the sample documents, and how many questions of each type the method plans for it.
struct Planned {
    key: String,
    facts: u64,
    by_type: BTreeMap<String, u64>,
}

/// The types whose number is no percentage of the facts.
const PLAIN: [&str; 2] = ["FACT_BASED", "SECTION_SUMMARY"];
/// Only a question over two sections can cross the split.
const OVER_TWO: [&str; 2] = ["MULTI_HOP_REASONING", "COMPARATIVE_ANALYSIS"];

impl Planned {
    /// The questions that are planned where there are at most as many typed ones as facts.
    fn capped(&self) -> u64 {
        let plain: u64 = PLAIN.iter().map(|name| self.by_type[*name]).sum();
        plain + self.facts.min(self.by_type.values().sum::<u64>() - plain)
    }
}

/// The questions that the method plans: one a fact, one summary a section, and of each further type
/// `max(1, floor(facts * percent / 100))`, two-section types only where the document has another section.
fn planned(dir: &Path) -> Vec<Planned> {
    let yaml = "name: sections\nstages:\n  - ingest: {paths: [\"markdown_docs/**/*.md\"]}\n  - section: {}\n  - sink: {path: sections.jsonl, format: raw}\n";
    std::fs::write(dir.join("sections.yaml"), yaml).unwrap();
    synthmill(dir, &["run", "sections.yaml", "--out", "sections"], 0);
    let sections: Vec<Value> = outputs(&dir.join("sections"))["sections.jsonl"]
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut in_document: BTreeMap<&str, u64> = BTreeMap::new();
    for section in &sections {
        *in_document.entry(section["source"]["path"].as_str().unwrap()).or_default() += 1;
    }
    let types = std::fs::read_to_string(dir.join("config/question_types.json")).unwrap();
    let types: Value = serde_json::from_str(&types).unwrap();
    let mut planned = Vec::new();
    for section in &sections {
        let facts = section["section"]["facts"].as_array().unwrap().len() as u64;
        let alone = in_document[section["source"]["path"].as_str().unwrap()] == 1;
        let mut by_type = BTreeMap::new();
        for kind in types["types"].as_array().unwrap() {
            let count = match (&kind["count"], kind["sections"].as_u64()) {
                (_, Some(2)) if alone => 0,
                (Value::String(word), _) if word == "per_fact" => facts,
                (Value::String(_), _) => 1,
                (percent, _) => (facts * percent["percent_of_facts"].as_u64().unwrap() / 100).max(1),
            };
            by_type.insert(kind["type"].as_str().unwrap().to_owned(), count);
        }
        let key = section["section"]["key"].as_str().unwrap().to_owned();
        planned.push(Planned { key, facts, by_type });
    }
    planned
}

/// The lines written of each question type, and that four were written of each question that was not dropped for
/// crossing the split.
fn lines_of_types(summary: &Value, written: &[&Vec<Value>]) -> BTreeMap<String, u64> {
    let number = |key: &str| summary[key].as_u64().unwrap();
    assert_eq!(number("rejected") + number("in_flight") + number("fallbacks"), 0);
    assert_eq!(number("admitted"), number("ok") + number("dropped"));
    assert_eq!(summary["drops"], serde_json::json!([["crosses_split", number("dropped")]]));
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for line in written.iter().copied().flatten() {
        *kinds.entry(line["question_type"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(kinds.values().sum::<u64>(), 4 * number("ok"));
    kinds
}

#[test]
fn no_section_has_more_typed_questions_than_facts() {
    let made = &*MADE;
    let planned = planned(made.dir.path());
    let admitted = made.summary["admitted"].as_u64().unwrap();
    assert_eq!(admitted, planned.iter().map(Planned::capped).sum::<u64>());
    assert!(admitted >= 500);

    // Provenance has the questions that were dropped too; the first key is the section that one was planned for.
    let mut questions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (id, keys) in groups() {
        let question = id.split('.').next().unwrap().to_owned();
        questions.entry(keys[0].clone()).or_default().insert(question);
    }
    for section in &planned {
        let found = questions.get(&section.key).map_or(0, BTreeSet::len) as u64;
        assert_eq!(found, section.capped(), "{} with {} facts", section.key, section.facts);
    }

    let written =
        lines_of_types(&made.summary, &[&made.lines["train.jsonl"], &made.lines["validation.jsonl"]]);
    assert_eq!(written.len(), 15, "{written:?}");
    for (kind, lines) in written {
        let own = 4 * planned.iter().map(|section| section.by_type[&kind]).sum::<u64>();
        match PLAIN.contains(&&*kind) {
            true => assert_eq!(lines, own, "{kind}"),
            false => assert!(lines < own, "{kind}: {lines} of {own}"),
        }
    }
}

#[test]
fn without_the_cap_question_counts_follow_the_method() {
    let dir = project();
    let summary = run(dir.path(), &["--out", "own", "--set", "stages.plan_questions.typed_per_fact=null"]);
    let mut planned_of: BTreeMap<String, u64> = BTreeMap::new();
    for section in planned(dir.path()) {
        for (kind, count) in section.by_type {
            *planned_of.entry(kind).or_default() += count;
        }
    }
    assert_eq!(summary["admitted"].as_u64().unwrap(), planned_of.values().sum::<u64>());
    let texts = outputs(&dir.path().join("own"));
    let parse = |file: &str| texts[file].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (train, validation): (Vec<Value>, Vec<Value>) = (parse("train.jsonl"), parse("validation.jsonl"));
    let written = lines_of_types(&summary, &[&train, &validation]);
    for (kind, planned) in &planned_of {
        let lines = written.get(kind).copied().unwrap_or_default();
        let crosses = OVER_TWO.contains(&&**kind);
        assert!(lines == 4 * planned || (crosses && lines < 4 * planned), "{kind}: {lines} of {planned}");
    }
}

#[test]
fn every_id_and_conversation_occurs_once_in_each_of_the_four_formats() {
    let mut ids = BTreeSet::new();
    let mut formats: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, lines) in &MADE.lines {
        for line in lines {
            let id = line["id"].as_str().unwrap();
            assert!(ids.insert(id), "{id} stands twice");
            let item = id.split('.').next().unwrap();
            formats
                .entry(format!("{file} {item}"))
                .or_default()
                .push(line["cot"].as_str().unwrap().to_owned());
            let messages = line["messages"].as_array().unwrap();
            let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
            assert_eq!(roles, ["user", "assistant"], "{id}");
            for message in messages {
                assert!(!message["content"].as_str().unwrap().trim().is_empty(), "{id}");
            }
        }
    }
    for (item, mut made) in formats {
        made.sort();
        assert_eq!(made, ["all", "first", "first_two", "none"], "{item}");
    }
}

/// What must not be torn apart, by record: the sections a question is about.
fn groups() -> BTreeMap<String, Vec<String>> {
    let out = MADE.dir.path().join("out");
    let provenance = provenance_lines(&out);
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in provenance.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let keys = line["group"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned());
        groups.insert(line["id"].as_str().unwrap().to_owned(), keys.collect());
    }
    groups
}

#[test]
fn no_section_is_in_both_splits() {
    let groups = groups();
    let side = |file: &str| -> BTreeSet<&String> {
        MADE.lines[file].iter().flat_map(|line| &groups[line["id"].as_str().unwrap()]).collect()
    };
    let (train, validation) = (side("train.jsonl"), side("validation.jsonl"));
    assert!(!train.is_empty() && !validation.is_empty());
    let both: Vec<_> = train.intersection(&validation).collect();
    assert!(both.is_empty(), "{both:?}");
    let share = MADE.lines["train.jsonl"].len() as f64
        / (MADE.lines["train.jsonl"].len() + MADE.lines["validation.jsonl"].len()) as f64;
    assert!((0.8..0.97).contains(&share), "{share} of the records are for training");
}

#[test]
fn the_arrays_hold_the_messages_of_the_lines() {
    let out = MADE.dir.path().join("out");
    let mut arrays = 0;
    for (file, told) in MADE.summary["arrays"].as_object().unwrap() {
        let (side, rest) = file.split_once("-synthetic-data-").unwrap();
        let stamp = rest.strip_suffix(".json").unwrap();
        jiff::civil::DateTime::strptime("%Y-%m-%d_%H-%M-%S", stamp).unwrap();
        let elements: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(out.join(file)).unwrap()).unwrap();
        let text = std::fs::read_to_string(out.join(format!("{side}.jsonl"))).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let messages: Vec<Value> = lines.map(|line| line["messages"].clone()).collect();
        assert!(elements == messages, "{file} differs from {side}.jsonl");
        assert_eq!(told.as_u64().unwrap(), elements.len() as u64);
        arrays += 1;
    }
    assert_eq!(arrays, 2);
}

#[test]
fn arrays_are_written_only_when_requested() {
    let dir = project();
    let summary = run(dir.path(), &["--out", "out", "--limit", "20"]);
    assert_eq!(summary["arrays"], serde_json::json!({}));
    // Readers of a folder take every file whose name begins like a split.
    let files = std::fs::read_dir(dir.path().join("out")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    let data: BTreeSet<String> =
        names.filter(|name| name.contains("train") || name.contains("validation")).collect();
    assert_eq!(data, BTreeSet::from(["train.jsonl".to_owned(), "validation.jsonl".to_owned()]));
}

#[test]
fn no_two_sections_give_the_same_answer() {
    let groups = groups();
    let mut first_given: BTreeMap<&str, &str> = BTreeMap::new();
    for line in MADE.lines.values().flatten().filter(|line| line["cot"] == "none") {
        let answer = line["messages"][1]["content"].as_str().unwrap();
        // The first key is the section that the question was planned for.
        let section = groups[line["id"].as_str().unwrap()][0].as_str();
        let before = first_given.entry(answer).or_insert(section);
        assert_eq!(*before, section, "{answer}");
    }
    assert!(first_given.len() >= 500);
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_concurrency_1_and_64() {
    let out = MADE.dir.path().join("out");
    let other = project();
    run(other.path(), &["--out", "out", "--set", "models.teacher.concurrency=1"]);
    assert_same_outputs(&out, &other.path().join("out"));
    run(other.path(), &["--out", "seven", "--seed", "7"]);
    assert!(outputs(&out) != outputs(&other.path().join("seven")), "another seed, the same outputs");
}

#[test]
fn the_readme_shows_what_comes_out() {
    let readme = Page::read("README.md");
    let count = |name: &str| MADE.summary[name].as_u64().unwrap();
    let mut shown = vec![format!(
        "{} admitted = {} ok + {} dropped + {} rejected + 0 in flight\n",
        count("admitted"),
        count("ok"),
        count("dropped"),
        count("rejected")
    )];
    for file in ["train.jsonl", "validation.jsonl"] {
        shown.push(format!("wrote      {} records to output/docs-to-qa/{file}\n", MADE.lines[file].len()));
    }
    for part in shown {
        assert!(readme.text.contains(&part), "README.md does not say `{}`", part.trim_end());
    }
    let blocks = readme.blocks();
    let json = blocks.iter().find(|block| block.language == "json").unwrap();
    let conversations: Vec<Value> =
        serde_json::Deserializer::from_str(&json.text).into_iter().map(Result::unwrap).collect();
    assert_eq!(conversations.len(), 1);
    for conversation in conversations {
        assert!(MADE.lines.values().flatten().any(|line| *line == conversation), "not made: {conversation}");
    }
}
