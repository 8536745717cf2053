//! Tests of which demonstrations a record gets, and of what the check refuses.

use super::*;
use crate::record::RecordId;
use crate::stages::testing::{build, record};
use std::collections::BTreeMap;

/// A file of these rows.
fn file(rows: &[Value]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(file.path(), lines.join("\n")).unwrap();
    file
}

fn stage(file: &tempfile::NamedTempFile, mut config: Value) -> Box<dyn Transform> {
    config["path"] = file.path().to_str().unwrap().into();
    let Processor::Transform(part) = build::<FewShot>(config) else { panic!("not a transform") };
    part
}

/// The field `n` of the demonstrations that a record gets.
fn shown(part: &dyn Transform, item: u64, fields: Value) -> Vec<u64> {
    let mut record = record(fields);
    record.id = RecordId::item(item);
    part.process(&mut record).unwrap();
    record.get("examples").unwrap().as_array().unwrap().iter().map(|row| row["n"].as_u64().unwrap()).collect()
}

fn questions() -> tempfile::NamedTempFile {
    file(&[
        json!({"n": 0, "question": "How is green tea brewed?", "topic": "tea"}),
        json!({"n": 1, "question": "How is bread baked?", "topic": "bread"}),
        json!({"n": 2, "question": "Why does sourdough bread rise?", "topic": "bread"}),
        json!({"n": 3, "question": "What moves the tides?", "topic": "sea"}),
    ])
}

#[test]
fn the_most_similar_come_first_and_never_the_record_itself() {
    let file = questions();
    let part = stage(&file, json!({"k": 2, "by": "similar", "field": "question"}));
    let ask = |question: &str| shown(&*part, 0, json!({ "question": question }));
    assert_eq!(ask("Why does my sourdough not rise?"), [2, ask("Why does my sourdough not rise?")[1]]);
    assert_eq!(ask("Bread baked at home"), [1, 2]);
    // Itself, in whatever case and spacing.
    assert_eq!(ask(" how is  bread baked? ")[0], 0);
    assert!(!ask("How is bread baked?").contains(&1));
    let part = stage(&file, json!({"k": 4, "by": "similar", "field": "q", "example_field": "question"}));
    assert_eq!(shown(&*part, 0, json!({"q": "How is bread baked?"})).len(), 3);
    // What shares no word is drawn to fill up.
    assert_eq!(shown(&*part, 0, json!({"q": "xyz"})).len(), 4);
}

#[test]
fn a_group_is_never_shown_to_its_own() {
    let file = questions();
    let part = stage(&file, json!({"k": 4, "group": "topic"}));
    for item in 0..50 {
        let mut found = shown(&*part, item, json!({"topic": "bread"}));
        found.sort_unstable();
        assert_eq!(found, [0, 3]);
        assert_eq!(shown(&*part, item, json!({"topic": ["tea", "sea", "bread"]})), [0; 0]);
    }
    // A row that `ingest` read from the same file knows its line.
    let part = stage(&file, json!({"k": 4}));
    let group = json!([format!("{}:2", file.path().to_str().unwrap())]);
    assert!(!shown(&*part, 0, json!({ "group": group })).contains(&1));
}

#[test]
fn draws_are_fair_and_belong_to_the_record() {
    let file = file(&(0..10).map(|n| json!({ "n": n })).collect::<Vec<_>>());
    let part = stage(&file, json!({"k": 3}));
    let mut counts: BTreeMap<u64, i32> = BTreeMap::new();
    for item in 0..3000 {
        let found = shown(&*part, item, json!({}));
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), 3);
        assert_eq!(found, shown(&*part, item, json!({})));
        found.iter().for_each(|n| *counts.entry(*n).or_default() += 1);
    }
    assert!(counts.len() == 10 && counts.values().all(|count| (count - 900).abs() < 120), "{counts:?}");
}

#[test]
fn all_records_get_the_same_but_never_themselves() {
    let file = file(&(0..10).map(|n| json!({"n": n, "group": n % 5})).collect::<Vec<_>>());
    let first = stage(&file, json!({"k": 3, "by": "first"}));
    assert_eq!(shown(&*first, 0, json!({})), [0, 1, 2]);
    assert_eq!(shown(&*first, 1, json!({"group": 1})), [0, 2, 3]);
    let same = stage(&file, json!({"k": 4, "by": "same"}));
    let drawn = shown(&*same, 0, json!({}));
    let next = shown(&*stage(&file, json!({"k": 10, "by": "same"})), 0, json!({}));
    assert!(next[..4] == drawn[..] && next != (0..10).collect::<Vec<_>>(), "{next:?}");
    for item in 0..50 {
        assert_eq!(shown(&*same, item, json!({})), drawn);
        let own = item % 5;
        let expected: Vec<u64> = next.iter().copied().filter(|n| n % 5 != own).take(4).collect();
        assert_eq!(shown(&*same, item, json!({ "group": own })), expected);
    }
    assert_eq!(shown(&*stage(&file, json!({"k": 0, "by": "same"})), 0, json!({})), [0; 0]);
    assert_eq!(shown(&*stage(&file, json!({"k": 0})), 0, json!({})), [0; 0]);
}

#[test]
fn provenance_names_the_lines() {
    let file = questions();
    let part = stage(&file, json!({"k": 1, "by": "similar", "field": "question"}));
    let mut record = record(json!({"question": "the tides"}));
    part.process(&mut record).unwrap();
    assert_eq!(record.provenance.fields["stage"], json!({"lines": [4]}));
}

#[test]
fn what_cannot_be_is_refused() {
    let right = questions();
    let (right, none) = (right.path().to_str().unwrap(), "/no/such/file.jsonl");
    let empty = file(&[]);
    let wrong = file(&[json!({"question": "a"}), json!({"question": 5})]);
    let (empty, wrong) = (empty.path().to_str().unwrap(), wrong.path().to_str().unwrap());
    for (config, expected) in [
        (json!({"path": right}), ""),
        (json!({"path": right, "by": "similar", "field": "question"}), ""),
        (json!({"path": right, "by": "similar"}), "nothing says what is similar"),
        (json!({"path": right, "example_field": "question"}), "nothing is compared with it"),
        (json!({"path": right, "by": "same", "k": 0}), ""),
        (json!({}), "nothing says where the demonstrations are"),
        (json!({"path": right, "run": "output/x"}), "`path` and `run` are both given"),
        (json!({"path": right, "sink": "best"}), "`sink` is of a run"),
        (json!({"run": "/no/such/run"}), "`/no/such/run` holds no run"),
        (
            json!({"path": right, "field": "query", "example_field": "question"}),
            "no earlier stage makes `query`",
        ),
        (json!({"path": none}), "No such file"),
        (json!({"path": empty}), "has no rows"),
        (json!({"path": wrong, "field": "question"}), "line 2: `question` is not a text"),
    ] {
        let (vars, models) = Default::default();
        let mut context = CheckContext::new(&vars, &models);
        context.makes_as("question", FieldType::text());
        serde_json::from_value::<FewShot>(config.clone()).unwrap().check(&mut context);
        let messages: Vec<&str> = context.problems().iter().map(|one| one.message.as_str()).collect();
        assert!(messages.concat().contains(expected), "{config}: {messages:?}");
        assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{config}: {messages:?}");
    }
}
