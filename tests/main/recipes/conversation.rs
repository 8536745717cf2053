//! `conversation`: how long conversations get, that the user's word ends them and stays out of the data, and that those that
//! contradict their document are dropped.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::lines;
use crate::harness::{project, stderr, synthmill};

const RECIPE: &str = "pipelines/recipes/conversation.yaml";
const RUN: &str = "output/conversation";

/// Runs the recipe with scripts of the models; gives its lines and what it says.
fn made(dir: &Path, user: &Value, judge: &Value, more: &[&str]) -> (Vec<Value>, String) {
    let mut user = user.clone();
    let plan = json!({"situation": "A neighbour has asked for help.", "goal": "To know what to do."});
    user.as_array_mut().unwrap().insert(0, json!({"when": "mock.stage == 'plan'", "answer": plan}));
    let user = format!("models.user.mock={}", json!({ "rules": user }));
    let judge = format!("models.judge.mock={}", json!({ "rules": judge }));
    let assistant = "models.assistant.mock={rules: [{answer: \"Reply {{ messages | length }}.\"}]}";
    let run = ["run", RECIPE, "--mock", "--fresh", "--set", &user, "--set", &judge, "--set", assistant];
    let told = stderr(&synthmill(dir, &[&run[..], more].concat(), 0));
    (lines(&dir.join(RUN), "conversation.jsonl"), told)
}

fn roles(line: &Value) -> Vec<&str> {
    line["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect()
}

#[test]
fn a_conversation_has_five_turns_at_most_and_ends_at_the_users_word() {
    let dir = project();
    let agrees = json!([{"answer": {"contradictions": []}}]);
    for (ends_at, turns) in [(2, 1), (3, 2), (5, 4), (6, 5)] {
        // The last words of a user come with the sign, or without any.
        let user = json!([
            {"when": format!("repeat.pass == {ends_at}"), "answer": "{{ 'Thank you! ' if section.number % 2 else '' }}[END]"},
            {"answer": "Question {{ repeat.pass }}?"},
        ]);
        let (made, told) = made(dir.path(), &user, &agrees, &["--limit", "60"]);
        assert!(!made.is_empty(), "{told}");
        for line in &made {
            let mut expected = vec!["system"];
            expected.extend(["user", "assistant"].repeat(turns));
            assert_eq!(roles(line), expected, "{line}");
            assert_eq!((&line["user_turns"], &line["ended"]), (&json!(turns), &json!(ends_at <= 5)));
            assert!(!line["messages"].to_string().contains("[END]"), "{line}");
        }
    }
}

#[test]
fn a_user_who_says_nothing_makes_no_conversation() {
    let dir = project();
    let user = json!([{"when": "section.number % 2 == 0", "answer": "[END]"}, {"answer": "Question?"}]);
    let agrees = json!([{"answer": {"contradictions": []}}]);
    let (made, told) = made(dir.path(), &user, &agrees, &["--limit", "60"]);
    assert!(!made.is_empty());
    assert!(told.contains("records: ended_at_once"), "{told}");
}

#[test]
fn a_conversation_that_contradicts_its_document_is_dropped() {
    let dir = project();
    let user = json!([{"answer": "Question {{ repeat.pass }}?"}]);
    let quoted = "{{ section.text.split()[:3] | join(' ') }}";
    let judge = json!([
        {"when": "section.number % 4 == 0", "answer": {"contradictions": [{"said": "Reply 2", "document": quoted}]}},
        // Quotations that nobody said are asked for again, and then refused.
        {"when": "section.number % 4 == 1", "answer": {"contradictions": [{"said": quoted, "document": quoted}]}},
        {"when": "section.number % 4 == 2", "answer": {"contradictions": [{"said": "Reply 2", "document": "Never said"}]}},
        {"answer": {"contradictions": []}},
    ]);
    let (made, told) = made(dir.path(), &user, &judge, &["--set", "error_budget.share=1"]);
    assert!(told.contains("records: contradicts_document"), "{told}");
    assert!(told.contains("records: not_said") && told.contains("records: not_in_document"), "{told}");
    let kept: BTreeSet<&str> = made.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert!(!kept.is_empty() && kept.len() < 60, "{kept:?}");
}

#[test]
fn the_document_can_be_left_out_of_the_data() {
    let dir = project();
    let run = ["run", RECIPE, "--mock", "--fresh", "--limit", "60", "--var", "keep_document=false"];
    synthmill(dir.path(), &run, 0);
    let without = lines(&dir.path().join(RUN), "conversation.jsonl");
    assert!(!without.is_empty());
    for line in &without {
        assert_eq!(roles(line)[0], "user", "{line}");
        assert_eq!(roles(line).last(), Some(&"assistant"), "{line}");
    }
    let turns: BTreeSet<u64> = without.iter().map(|line| line["user_turns"].as_u64().unwrap()).collect();
    assert!(turns.len() >= 3, "{turns:?}");
}
