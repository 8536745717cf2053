//! Tests of `answer_json`: a table of answers as models write them, and properties over any text.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ExtractError, ExtractedJson, extract};

mod backslashes;
mod choice;

fn check(text: &str, expected: Value) {
    match extract(text) {
        Ok(ExtractedJson { value, .. }) => assert_eq!(value, expected, "{text}"),
        Err(error) => panic!("{error}: {text}"),
    }
}

#[test]
fn json_is_found_in_its_surroundings() {
    let a = || json!({"a": 1});
    check(r#"{"a": 1}"#, a());
    check("\u{feff} {\"a\": 1}\n", a());
    check("```json\n{\"a\": 1}\n```", a());
    check("```\n{\"a\": 1}\n```\n", a());
    check("```json\n{\"a\": 1}", a());
    check("Sure! Here you go:\n```json\n{\"a\": 1}\n```\nHope that helps (it's [1]).", a());
    check("The answer is {\"a\": 1}, as {x} says in [the guide].", a());
    check("I don't know {which}. {{\"a\": 1}}", a());
    check("<think>{\"a\": 2} or {x}?</think>{\"a\": 1}", a());
    check("Well. <think>{\"a\": 2, \"b\": 3}</think> {\"a\": 1}", a());
    check("perhaps {\"a\": 2}\n</think>\n\n{\"a\": 1}", a());
    check("For example {}: {\"a\": 1}", a());
    check(r#"Format: {"a": 0}. Answer: {"a": "}{ \"[" }"#, json!({"a": "}{ \"["}));
    check("[1, 2]", json!([1, 2]));
    check("The list: [{\"a\": 1}, {\"a\": 2}]", json!([{"a": 1}, {"a": 2}]));
    check(r#"Here: ["x", "y"]"#, json!(["x", "y"]));
    check("Text first. {\"a\": \"```json\\n{}\\n```\"} done", json!({"a": "```json\n{}\n```"}));
}

#[test]
fn broken_json_is_repaired() {
    let b = || json!({"a": 1, "b": [true, null]});
    check(r#"{"a": 1, "b": [true, null,],}"#, b());
    check("Sure: {'a': 1, 'b': [True, None]} (that's it)", b());
    check("{a: 1, b: [true, null]}", b());
    check("{\"a\": 1, // one\n \"b\": [true, null]}", b());
    check("{\"a\": 1 \"b\": [true, null]}", b());
    check("{\"a\": 1, \"b\": [true, null}", b());
    check("{\u{201c}a\u{201d}: 1, \u{201c}b\u{201d}: [true, null]}", b());
    check(r#"{"a": "he said "hi" twice"}"#, json!({"a": "he said \"hi\" twice"}));
    check("{\"a\": \"one\ntwo\"}", json!({"a": "one\ntwo"}));
    check("{'a': 'it\\'s'}", json!({"a": "it's"}));
}

#[test]
fn backslashes_and_lone_surrogates_survive() {
    check(r#"{"a": "C:\path\docs"}"#, json!({"a": "C:\\path\\docs"}));
    check(r#"So {"a": "\(x\) \u12", "b": 'y',}"#, json!({"a": "\\(x\\) \\u12", "b": "y"}));
    check(r#"{"a": "\ud83d!"}"#, json!({"a": "\u{fffd}!"}));
    check(r#"{"a": "\ud83d\ude00",}"#, json!({"a": "\u{1f600}"}));
    check(r#"{"a": "\ude00\ud83d"}"#, json!({"a": "\u{fffd}\u{fffd}"}));
}

#[test]
fn truncated_answers_are_closed_and_marked() {
    let check = |text: &str, value: Value| {
        assert_eq!(extract(text), Ok(ExtractedJson { value, truncated: true, unclear: None }), "{text}");
    };
    check(r#"{"a": {"b": 1}, "c": "tex"#, json!({"a": {"b": 1}, "c": "tex"}));
    check("```json\n{\"a\": [\"x\", \"y\n```\nThat is all.", json!({"a": ["x", "y"]}));
    check(r#"{"a": "back\"#, json!({"a": "back"}));
    // A quote too many is no early stop.
    let odd = extract(r#"{"a": "5" screen", "b": 1}"#).unwrap();
    assert!(!odd.truncated, "{odd:?}");
}

#[test]
fn prose_is_an_error() {
    let check = |text: &str, error: ExtractError| assert_eq!(extract(text), Err(error), "{text}");
    check("", ExtractError::Empty);
    check(" <think>{\"a\": 1}", ExtractError::Empty);
    check("I cannot answer that.", ExtractError::NoJson);
    check("See [the guide](x.md), {name} and [1].", ExtractError::NoJson);
    check("fn main() { println!(\"hi\") }", ExtractError::NoJson);
    check("\"only a string\"", ExtractError::NoJson);
    check("42", ExtractError::NoJson);
    let deep = extract(&"[".repeat(100_000));
    assert!(matches!(deep, Err(ExtractError::Broken(_))), "{deep:?}");
}

fn objects() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\\[\\]{}\"'`:,\\\\<>/a-z\n ]{0,20}"
            // One space before a line break may be taken for a command in a sentence (` \neq`).
            .prop_map(|text| Value::from(text.replace(" \n", "\n"))),
    ];
    let values = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    });
    prop::collection::vec((any::<String>(), values), 0..5)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
}

proptest! {
    #[test]
    fn valid_objects_come_back_unchanged(
        value in objects(),
        before in "[^{}\\[\\]<]{0,40}",
        after in "[^{}\\[\\]<]{0,40}",
        pretty in any::<bool>(),
    ) {
        let bare = if pretty { format!("{value:#}") } else { value.to_string() };
        for text in [bare.clone(), format!("{before}{bare}{after}"), format!("{before}\n```json\n{bare}\n```{after}")] {
            prop_assert_eq!(extract(&text), Ok(ExtractedJson { value: value.clone(), truncated: false, unclear: None }));
        }
    }

    #[test]
    fn any_text_is_survived(text in any::<String>(), jsonish in "[\\[\\]{}\"':,\\\\u0d83`<think>/ \n]{0,60}") {
        let _ = extract(&text);
        let _ = extract(&jsonish);
    }

    #[test]
    fn cut_and_mangled_answers_are_survived(value in objects(), at in any::<prop::sample::Index>(), put in any::<char>()) {
        let text: Vec<char> = value.to_string().chars().collect();
        let at = at.index(text.len());
        let cut: String = text[..at].iter().collect();
        let mangled: String = text[..at].iter().chain([&put]).chain(&text[at + 1..]).collect();
        let _ = extract(&cut);
        let _ = extract(&mangled);
    }
}
