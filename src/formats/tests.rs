//! Tests of the formats: the lines written, reading them back, and what is refused.

mod conversations;

use serde_json::{Map, Value, json};

use super::*;
use crate::record::Record;
use crate::stages::testing::record;

fn line_of(
    format: Format,
    settings: &FormatSettings,
    record: &Record,
) -> Result<Map<String, Value>, StageError> {
    let turns = match record.get("messages").filter(|_| format.is_conversation()) {
        Some(messages) => turns(messages, "messages")?,
        None => Vec::new(),
    };
    format.write(&LineParts { record, settings }, turns)
}

/// Checks the line of a record, the fields read from it, and that they are written as the same line again.
#[track_caller]
fn check(format: Format, settings: &FormatSettings, fields: Value, line: Value, read: Value) {
    let made = line_of(format, settings, &record(fields)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Value::Object(made.clone()), line);
    let columns: Vec<&str> = made.keys().map(String::as_str).collect();
    assert!(format.keys().starts_with(&columns), "{columns:?} are not the declared columns");
    let back = format.read(made.clone()).unwrap();
    assert_eq!(Value::Object(back.clone()), read);
    // The system message is now part of the prompt.
    let settings = &FormatSettings { system: None, ..settings.clone() };
    let again = line_of(format, settings, &Record::new(back)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again, made, "the line is another after it was read");
}

#[track_caller]
fn refuses(format: Format, settings: &FormatSettings, fields: Value, expected: &str) {
    let error = line_of(format, settings, &record(fields.clone())).expect_err(&fields.to_string());
    assert!(error.message.contains(expected), "{fields}\nsays {error}\ninstead {expected}");
}

fn turn_of(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

fn as_text() -> FormatSettings {
    FormatSettings { turns: TurnForm::Text, ..FormatSettings::default() }
}

fn plain() -> FormatSettings {
    FormatSettings::default()
}

#[test]
fn a_preference_with_the_prompt_apart() {
    let prompt = json!([turn_of("user", "Why?")]);
    check(
        Format::Preference,
        &plain(),
        json!({"prompt": "Why?", "chosen": {"index": 1, "answer": "So."}, "rejected": "No."}),
        json!({"prompt": prompt, "chosen": [turn_of("assistant", "So.")], "rejected": [turn_of("assistant", "No.")]}),
        json!({"prompt": prompt, "chosen": "So.", "rejected": "No."}),
    );
    check(
        Format::Preference,
        &as_text(),
        json!({"prompt": prompt, "chosen": "So.", "rejected": "No."}),
        json!({"prompt": "Why?", "chosen": "So.", "rejected": "No."}),
        json!({"prompt": "Why?", "chosen": "So.", "rejected": "No."}),
    );
    // A full conversation may be an answer too: the prompt in it is not repeated.
    check(
        Format::Preference,
        &FormatSettings { system: Some("Be kind.".into()), ..plain() },
        json!({"prompt": prompt, "chosen": [turn_of("user", "Why?"), turn_of("assistant", "So.")], "rejected": "No."}),
        json!({"prompt": [turn_of("system", "Be kind."), turn_of("user", "Why?")],
            "chosen": [turn_of("assistant", "So.")], "rejected": [turn_of("assistant", "No.")]}),
        json!({"prompt": [turn_of("system", "Be kind."), turn_of("user", "Why?")], "chosen": "So.", "rejected": "No."}),
    );
}

/// The line of a record in one representation, converted to the other and back.
#[track_caller]
fn through_implicit(settings: &FormatSettings, fields: Value) {
    let explicit = line_of(Format::Preference, &plain(), &record(fields.clone())).unwrap();
    let implicit = line_of(Format::PreferenceImplicit, settings, &record(fields)).unwrap();
    let read = Format::PreferenceImplicit.read(implicit.clone()).unwrap();
    assert_eq!(line_of(Format::Preference, &plain(), &Record::new(read.clone())).unwrap(), explicit);
    assert_eq!(line_of(Format::PreferenceImplicit, settings, &Record::new(read)).unwrap(), implicit);
}

#[test]
fn explicit_and_implicit_preferences_are_the_same() {
    let several =
        json!([turn_of("user", "Hi"), turn_of("assistant", "Hello"), turn_of("user", "Why?\n\nSay.")]);
    for prompt in [json!("Why?"), several] {
        for (chosen, rejected) in [("So.", "No."), ("So it is", "So it was"), ("a", "ab"), (" a", "a\n")] {
            let (one, other) = (
                chosen.trim() == rejected.trim(),
                json!({"prompt": prompt, "chosen": chosen, "rejected": rejected}),
            );
            if one {
                refuses(Format::PreferenceImplicit, &plain(), other, "are equal");
                continue;
            }
            through_implicit(&plain(), other.clone());
            through_implicit(&as_text(), other);
        }
    }
    // As in the repository of HH-RLHF.
    let row = json!({
        "chosen": "\n\nHuman: Q\n\nAssistant: A\n\nHuman: R\n\nAssistant: S one",
        "rejected": "\n\nHuman: Q\n\nAssistant: A\n\nHuman: R\n\nAssistant: S two",
    });
    let Value::Object(row) = row else { panic!() };
    let read = Format::PreferenceImplicit.read(row).unwrap();
    assert_eq!(
        read["prompt"],
        json!([turn_of("user", "Q"), turn_of("assistant", "A"), turn_of("user", "R")])
    );
    assert_eq!((&read["chosen"], &read["rejected"]), (&json!("S one"), &json!("S two")));
}

#[test]
fn a_preference_refuses_what_is_none() {
    for format in [Format::Preference, Format::PreferenceImplicit, Format::UltrafeedbackBinarized] {
        for (fields, expected) in [
            (json!({"chosen": "a", "rejected": "b"}), "field `prompt` is missing"),
            (json!({"prompt": "q", "chosen": "a", "rejected": null}), "field `rejected` is missing"),
            (json!({"prompt": "q", "chosen": "a", "rejected": " a\n"}), "are equal"),
            (json!({"prompt": " ", "chosen": "a", "rejected": "b"}), "a turn of `user` is empty"),
            (json!({"prompt": "q", "chosen": "", "rejected": "b"}), "a turn of `assistant` is empty"),
            (
                json!({"prompt": "q", "chosen": {"score": 1}, "rejected": "b"}),
                "is an object without any of `answer`",
            ),
            (
                json!({"prompt": [turn_of("user", "q"), turn_of("assistant", "a")], "chosen": "a", "rejected": "b"}),
                "the last turn is not the user's",
            ),
            (
                json!({"prompt": "q", "chosen": [turn_of("assistant", "a"), turn_of("user", "?")], "rejected": "b"}),
                "the last turn is not the assistant's",
            ),
            (
                json!({"prompt": [turn_of("human", "q")], "chosen": "a", "rejected": "b"}),
                "`human` is no role",
            ),
            (json!({"prompt": 7, "chosen": "a", "rejected": "b"}), "field `prompt` is not a list of roles"),
        ] {
            refuses(format, &plain(), fields, expected);
        }
    }
    let several = json!({"prompt": [turn_of("user", "1"), turn_of("assistant", "2"), turn_of("user", "3")], "chosen": "a", "rejected": "b"});
    refuses(Format::Preference, &as_text(), several, "a prompt of several turns is no text");
    let marked = json!({"prompt": "q", "chosen": "a\n\nHuman: b", "rejected": "b"});
    refuses(Format::PreferenceImplicit, &as_text(), marked, "the marker of a turn");
}

#[test]
fn ultrafeedback_binarized_has_scores_of_the_candidates() {
    let fields = json!({"prompt": "Why?", "chosen": {"answer": "So.", "score": 4}, "rejected": {"answer": "No.", "score": 2.5}});
    let made = line_of(Format::UltrafeedbackBinarized, &plain(), &record(fields)).unwrap();
    assert_eq!(made.keys().collect::<Vec<_>>(), preference::BINARIZED);
    assert_eq!(made["chosen"], json!([turn_of("user", "Why?"), turn_of("assistant", "So.")]));
    assert_eq!(made["messages"], made["chosen"]);
    assert_eq!(made["prompt_id"].as_str().unwrap().len(), 64);
    assert_eq!(made["score_chosen"].to_string(), "4.0", "the column has one type");
    let read = Format::UltrafeedbackBinarized.read(made.clone()).unwrap();
    assert_eq!(
        Value::Object(read.clone()),
        json!({"score_chosen": 4.0, "score_rejected": 2.5, "prompt": [turn_of("user", "Why?")], "chosen": "So.", "rejected": "No."})
    );
    assert_eq!(line_of(Format::UltrafeedbackBinarized, &plain(), &Record::new(read)).unwrap(), made);
}

#[test]
fn kto_has_a_label_that_is_true_or_false() {
    let prompt = json!([turn_of("user", "Why?")]);
    check(
        Format::Kto,
        &plain(),
        json!({"prompt": "Why?", "completion": "So.", "label": false}),
        json!({"prompt": prompt, "completion": [turn_of("assistant", "So.")], "label": false}),
        json!({"prompt": prompt, "completion": "So.", "label": false}),
    );
    let fields = json!({"prompt": "Why?", "completion": "So.", "label": 1});
    refuses(Format::Kto, &plain(), fields, "field `label` is not `true` or `false`");
}

#[test]
fn steps_have_a_label_each() {
    let fields = |labels: Value| json!({"prompt": "1+1+1?", "completions": ["1+1=2", {"text": "2+1=4"}], "labels": labels});
    let line = json!({"prompt": "1+1+1?", "completions": ["1+1=2", "2+1=4"], "labels": [true, false]});
    for labels in [json!([true, false]), json!([1, -1])] {
        check(Format::Stepwise, &plain(), fields(labels), line.clone(), line.clone());
    }
    let neutral = |counts: bool| FormatSettings { neutral: Some(counts), ..plain() };
    refuses(Format::Stepwise, &plain(), fields(json!([1, 0])), "`neutral` does not say");
    let made =
        |counts: bool| line_of(Format::Stepwise, &neutral(counts), &record(fields(json!([1, 0])))).unwrap();
    assert_eq!(
        (&made(true)["labels"], &made(false)["labels"]),
        (&json!([true, true]), &json!([true, false]))
    );
    for format in [Format::Stepwise, Format::Prm800k] {
        refuses(format, &plain(), fields(json!([true])), "there are 2 steps and 1 labels");
        refuses(format, &plain(), fields(json!([true, 0.5])), "is not a list of truth values");
    }
}

#[test]
fn prm800k_has_ratings_and_is_read_by_what_was_chosen() {
    let fields = json!({"prompt": "1+1?", "completions": ["Add.", "3"], "labels": [0, -1], "answer": 2});
    let made = line_of(Format::Prm800k, &plain(), &record(fields)).unwrap();
    assert_eq!(made.keys().collect::<Vec<_>>(), labels::PRM800K);
    assert_eq!(made["label"]["finish_reason"], "found_error");
    let read = Format::Prm800k.read(made.clone()).unwrap();
    assert_eq!((&read["prompt"], &read["answer"]), (&json!("1+1?"), &json!("2")));
    assert_eq!((&read["completions"], &read["labels"]), (&json!(["Add.", "3"]), &json!([0, -1])));
    assert_eq!(line_of(Format::Prm800k, &plain(), &Record::new(read)).unwrap(), made);
    // Several completions of a step, one by a human, and a last step without a chosen one.
    let of = |text: &str, rating: i64| json!({"text": text, "rating": rating, "flagged": false});
    let row = json!({
        "labeler": "a", "question": {"problem": "Q", "ground_truth_answer": "7"},
        "label": {"finish_reason": "give_up", "steps": [
            {"completions": [of("x", -1), of("y", 1)], "human_completion": null, "chosen_completion": 1},
            {"completions": [of("z", -1)], "human_completion": {"text": "h", "rating": null}, "chosen_completion": null},
            {"completions": [of("v", -1), of("w", -1)], "human_completion": null, "chosen_completion": null},
        ]},
    });
    let Value::Object(row) = row else { panic!() };
    let read = Format::Prm800k.read(row).unwrap();
    assert_eq!((&read["completions"], &read["labels"]), (&json!(["y", "h"]), &json!([1, null])));
    assert_eq!((&read["finish_reason"], read["steps"].as_array().unwrap().len()), (&json!("give_up"), 3));
}

#[test]
fn a_weak_label_is_a_distribution() {
    let settings = plain();
    check(
        Format::WeakToStrong,
        &settings,
        json!({"text": "t", "probabilities": {"no": 0.25, "yes": 0.75}, "gt_label": 0}),
        json!({"txt": "t", "hard_label": 1, "soft_label": [0.25, 0.75]}),
        json!({"text": "t", "probabilities": [0.25, 0.75]}),
    );
    for (probabilities, expected) in [
        (json!([0.5, 0.6]), "which is not 1"),
        (json!([1.0]), "which is not 1"),
        (json!([1.5, -0.5]), "no probability"),
        (json!("high"), "is not a list"),
    ] {
        refuses(
            Format::WeakToStrong,
            &settings,
            json!({"text": "t", "probabilities": probabilities}),
            expected,
        );
    }
}

#[test]
fn tasks_for_reinforcement_learning() {
    let prompt = json!([turn_of("user", "1+1?")]);
    check(
        Format::Verl,
        &FormatSettings { data_source: "sums".into(), ability: "math".into(), ..plain() },
        json!({"prompt": "1+1?", "answer": 2}),
        json!({"data_source": "sums", "prompt": prompt, "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": "2"}, "extra_info": {"split": null, "index": "000000"}}),
        json!({"data_source": "sums", "ability": "math", "prompt": prompt, "answer": "2", "split": null}),
    );
    let function = json!({"name": "add", "parameters": {"type": "object"}});
    check(
        Format::NemoGym,
        &FormatSettings { agent: Some("simple".into()), ..plain() },
        json!({"prompt": "1+1?", "answer": "2", "tools": [{"type": "function", "function": function}]}),
        json!({"responses_create_params": {"input": prompt, "tools": [
            {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": false}]},
            "expected_answer": "2", "agent_ref": {"type": "responses_api_agents", "name": "simple"}}),
        json!({"agent_ref": {"type": "responses_api_agents", "name": "simple"}, "prompt": prompt, "answer": "2",
            "tools": [{"type": "function", "function": function}]}),
    );
    check(
        Format::Verifiers,
        &plain(),
        json!({"prompt": "1+1?", "answer": true, "info": {"a": [1]}}),
        json!({"prompt": prompt, "answer": "true", "info": "{\"a\":[1]}"}),
        json!({"prompt": prompt, "answer": "true", "info": {"a": [1]}}),
    );
    for format in [Format::Verl, Format::NemoGym] {
        refuses(format, &plain(), json!({"prompt": "q"}), "field `answer` is missing");
        refuses(
            format,
            &plain(),
            json!({"prompt": "q", "answer": [1]}),
            "field `answer` is not a text, a number",
        );
    }
}
