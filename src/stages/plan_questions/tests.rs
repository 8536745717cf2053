//! The numbers of the method, and that questions differ while they can.

use super::*;
use crate::template::Template;
use std::collections::BTreeSet;

mod typed_per_fact;

fn planner() -> Planner {
    let types = types::parse(include_str!("../../../config/question_types.json")).unwrap();
    Planner { types, typed_per_fact: None, draws: Draws::new(42, "plan_questions".into()) }
}

/// A document whose sections have these numbers of facts.
fn document(facts: &[usize]) -> Vec<Record> {
    let section = |(index, count): (usize, &usize)| {
        let facts: Vec<String> = (0..*count).map(|n| format!("Fact {n} of section {index}.")).collect();
        let mut record = Record::default();
        record.set("section", json!({"key": format!("a.md#{}", index + 1), "facts": facts, "text": ""}));
        record
    };
    facts.iter().enumerate().map(section).collect()
}

impl Planner {
    /// All questions of a document with these sections.
    fn questions(&self, sections: Vec<Record>) -> Vec<Record> {
        self.transform(Box::new(sections.into_iter().map(Ok))).map(Result::unwrap).collect()
    }
}

fn typed(records: &[Record], key: &str) -> usize {
    let plain = ["FACT_BASED", "SECTION_SUMMARY"];
    let of_key = records.iter().filter(|record| record.text("section.key") == Some(key));
    of_key.filter(|record| !plain.contains(&record.text("question_type").unwrap())).count()
}

#[test]
fn the_numbers_of_the_original_hold() {
    let several = [(0, 13), (1, 13), (10, 13), (14, 14), (20, 18), (30, 23), (50, 42), (100, 93), (200, 186)];
    let single = [11, 11, 11, 12, 16, 21, 38, 83, 166];
    for ((facts, expected), expected_single) in several.into_iter().zip(single) {
        let records = planner().questions(document(&[facts, 3, 5]));
        assert_eq!(typed(&records, "a.md#1"), expected, "{facts} facts");
        assert_eq!(records.len(), (facts + 1 + expected) + (3 + 1 + 13) + (5 + 1 + 13));
        let alone = planner().questions(document(&[facts]));
        assert_eq!(typed(&alone, "a.md#1"), expected_single, "{facts} facts, one section");
    }
}

#[test]
fn companions_and_facts_differ_while_they_last() {
    let records = planner().questions(document(&[100, 2, 2, 2, 2, 2]));
    let of = |name: &str, field: &str| -> Vec<String> {
        let first = records.iter().filter(|record| record.text("section.key") == Some("a.md#1"));
        let named = first.filter(|record| record.text("question_type") == Some(name));
        named.map(|record| record.get(field).unwrap().to_string()).collect()
    };
    let companions: BTreeSet<String> = of("MULTI_HOP_REASONING", "companion.key").into_iter().collect();
    assert_eq!(companions.len(), 5);
    assert!(!companions.contains("\"a.md#1\""));
    let facts: BTreeSet<String> = of("FACTUAL_RECALL", "fact_number").into_iter().collect();
    assert_eq!(facts.len(), 15);
    assert_eq!(of("FACTUAL_RECALL", "variant").last().unwrap(), "15");
    assert_eq!(of("FACT_BASED", "fact_number"), (1..=100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_question_over_two_sections_is_grouped_by_both() {
    let records = planner().questions(document(&[0, 0]));
    let two =
        records.iter().find(|record| record.text("question_type") == Some("COMPARATIVE_ANALYSIS")).unwrap();
    assert_eq!(two.get("group").unwrap(), &json!(["a.md#1", "a.md#2"]));
    let recall =
        records.iter().find(|record| record.text("question_type") == Some("FACTUAL_RECALL")).unwrap();
    assert_eq!((recall.get("fact"), recall.get("group")), (Some(&Value::Null), Some(&json!(["a.md#1"]))));
    let numbers: Vec<u64> =
        records[..14].iter().map(|record| record.get("question_number").unwrap().as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=14).collect::<Vec<u64>>());
}

#[test]
fn the_questions_of_a_section_come_one_after_the_other() {
    let records = planner().questions(document(&[20, 0, 7]));
    let mut keys: Vec<&str> = records.iter().map(|record| record.text("section.key").unwrap()).collect();
    keys.dedup();
    assert_eq!(keys, ["a.md#1", "a.md#2", "a.md#3"]);
}

#[test]
fn the_shipped_prompts_render_every_question() {
    let read = |source: &str| Template::new(source, &serde_json::Map::new()).unwrap();
    let system = read(include_str!("../../../pipelines/prompts/qa-system.j2"));
    let source = read(include_str!("../../../pipelines/prompts/qa-source.j2"));
    let user = read(include_str!("../../../pipelines/prompts/qa-user.j2"));
    let mut sections = document(&[20, 1]);
    for record in &mut sections {
        record.set("document", json!({"title": "Guide"}));
        for (name, value) in [("title", "Tides"), ("heading_path", "Guide > Tides"), ("text", "Body.")] {
            record.fields["section"][name] = json!(value);
        }
    }
    let mut prompts = BTreeSet::new();
    for record in planner().questions(sections) {
        let prompt =
            format!("{}\n\n{}", source.render(&record).unwrap().trim(), user.render(&record).unwrap().trim());
        // First what all questions of the section share, so that a server reads it once.
        assert!(prompt.starts_with("Subject: Guide > Tides\n<material>\nBody.\n</material>\n"), "{prompt}");
        assert!(prompt.contains(record.text("instruction").unwrap()));
        assert_eq!(prompt.contains("Second subject: "), record.get("companion").unwrap().is_object());
        assert_eq!(prompt.contains("Ask about this: Fact "), record.get("fact").unwrap().is_string());
        // About four characters a token: of a context of 2,048 the frame must leave more than half to section and answer.
        let frame = system.render(&record).unwrap().len() + prompt.len();
        prompts.insert((record.text("section.key").map(str::to_owned), prompt));
        assert!(frame < 3_800, "{frame} characters");
    }
    assert_eq!(prompts.len(), (20 + 1 + 18) + (1 + 1 + 13));
}

#[test]
fn a_wrong_file_is_named() {
    let plan = |types: &str| -> PlanQuestions { serde_json::from_value(json!({"types": types})).unwrap() };
    let missing = "config/no_such_types.json";
    assert!(
        plan(missing).load(missing).unwrap_err()[0].starts_with("cannot read `config/no_such_types.json`")
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("types.json");
    std::fs::write(&path, "{\"types\": [{\"type\": \"A\"}, 7]}").unwrap();
    let path = path.to_str().unwrap();
    let problems = plan(path).load(path).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].starts_with(&format!("`{path}`: entry 1 (`A`): missing field `count`")),
        "{problems:?}"
    );
    assert!(problems[1].starts_with(&format!("`{path}`: entry 2: ")), "{problems:?}");
}

#[test]
fn only_and_skip_choose_types() {
    let plan: PlanQuestions = serde_json::from_value(json!({"only": ["A", "B"], "skip": ["B"]})).unwrap();
    assert_eq!(["A", "B", "C"].map(|name| plan.takes(name)), [true, false, false]);
    assert!(serde_json::from_value::<PlanQuestions>(json!({"typs": "x"})).is_err());
}

#[test]
fn names_close_to_a_known_one_are_found() {
    assert_eq!(nearest("inferense", &["INFERENCE", "FACT_BASED"]), Some("INFERENCE"));
    assert_eq!(nearest("xyz", &["INFERENCE", "FACT_BASED"]), None);
}
