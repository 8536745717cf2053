//! The contents of the conversations of each format, with and without cues.

use super::*;
use crate::stages::testing::{build, record};

fn expand(config: Value, steps: Value) -> Vec<(String, String)> {
    let Processor::Transform(part) = build::<CotExpand>(config) else { panic!("not a transform") };
    let mut record = record(json!({"question": "Why?", "answer": "So.", "reasoning_steps": steps}));
    let TransformOutput::Many(children) = part.process(&mut record).unwrap() else { panic!("not many") };
    let text = |child: &Record| {
        (
            child.text("cot").unwrap().to_owned(),
            child.fields["messages"][1]["content"].as_str().unwrap().to_owned(),
        )
    };
    children.iter().map(text).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn the_four_formats_of_the_seed() {
    assert_eq!(
        expand(json!({}), json!(["One.", "Two.", "Three."])),
        pairs(&[
            ("none", "So."),
            ("first", "One.\nSo."),
            ("first_two", "One. Two.\nSo."),
            ("all", "One. Two. Three.\nSo."),
        ])
    );
}

fn messages_of(config: Value, steps: Value) -> Option<Vec<Value>> {
    let Processor::Transform(part) = build::<CotExpand>(config) else { panic!("not a transform") };
    let mut record = record(json!({"question": "Why?", "answer": "So.", "reasoning_steps": steps}));
    match part.process(&mut record).unwrap() {
        TransformOutput::Many(children) => {
            Some(children.iter().map(|child| child.fields["messages"].clone()).collect())
        }
        TransformOutput::Drop(reason) if reason == "no_reasoning" => None,
        _ => panic!("neither many nor dropped"),
    }
}

fn turns(system: &str, answer: &str) -> Value {
    json!([
        {"role": "system", "content": system},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": answer},
    ])
}

#[test]
fn a_conversation_begins_with_the_cue_of_its_format() {
    let config = json!({"cues_file": "config/reasoning_cues.yaml"});
    let expected = [
        turns("Answer directly, without showing your reasoning.", "So."),
        turns("Give one short step of reasoning, then the answer.", "One.\nSo."),
        turns("Give two short steps of reasoning, then the answer.", "One. Two.\nSo."),
        turns("Show your full reasoning step by step, then the answer.", "One. Two. Three.\nSo."),
    ];
    assert_eq!(messages_of(config, json!(["One.", "Two.", "Three."])).unwrap(), expected);
    let config = json!({"cues_file": "config/reasoning_cues.yaml", "formats": ["all"], "tag": "think"});
    let expected = turns(
        "Show your full reasoning step by step, then the answer.",
        "<think>\nOne. Two.\n</think>\n\nSo.",
    );
    assert_eq!(messages_of(config, json!(["One.", "Two."])).unwrap(), [expected]);
}

#[test]
fn without_cues_no_system_message_is_there() {
    let plain = messages_of(json!({"formats": ["first"]}), json!(["One."]));
    let bytes = json!(plain).to_string();
    assert_eq!(bytes, r#"[[{"role":"user","content":"Why?"},{"role":"assistant","content":"One.\nSo."}]]"#);
    for path in [json!(""), json!(null), json!("{{ '' }}")] {
        let config = json!({"formats": ["first"], "cues_file": path});
        assert_eq!(json!(messages_of(config, json!(["One."]))).to_string(), bytes);
    }
}

#[test]
fn no_cue_asks_for_steps_that_are_not_there() {
    let made = |formats: Value, steps: Value| {
        let config = json!({"cues_file": "config/reasoning_cues.yaml", "formats": formats});
        messages_of(config, steps).map(|made| made.len())
    };
    let all = json!(["none", "first", "first_two", "all"]);
    assert_eq!(made(all.clone(), json!([])), Some(1));
    assert_eq!(made(all, json!(["One."])), Some(2));
    assert_eq!(made(json!(["first_two", "all"]), json!(["One."])), Some(1));
    assert_eq!(made(json!(["all"]), json!([])), None);
    // Without cues nothing mentions the steps, and the conversation is made all the same.
    assert_eq!(messages_of(json!({"formats": ["all"]}), json!([])).unwrap().len(), 1);
}

#[test]
fn a_subset_in_a_tag() {
    assert_eq!(
        expand(json!({"formats": ["all"], "tag": "think"}), json!(["One.", "Two."])),
        pairs(&[("all", "<think>\nOne. Two.\n</think>\n\nSo.")])
    );
}

#[test]
fn a_text_is_cut_and_put_together_as_it_was() {
    assert_eq!(
        expand(json!({"tag": "think"}), json!("First,\nthis.\n\nThen that.\n")),
        pairs(&[
            ("none", "So."),
            ("first", "<think>\nFirst,\nthis.\n</think>\n\nSo."),
            ("first_two", "<think>\nFirst,\nthis.\n\nThen that.\n</think>\n\nSo."),
        ])
    );
    assert_eq!(expand(json!({}), json!(" \n")), pairs(&[("none", "So.")]));
}

#[test]
fn fewer_steps_make_fewer_conversations() {
    assert_eq!(expand(json!({}), json!(["One."])), pairs(&[("none", "So."), ("first", "One.\nSo.")]));
    assert_eq!(expand(json!({}), json!([])), pairs(&[("none", "So.")]));
}
