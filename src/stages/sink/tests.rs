//! The output of each format, byte for byte.

use serde_json::{Value, json};

use super::Sink;
use crate::stage::Processor;
use crate::stages::testing::{build, record};

fn check(config: Value, fields: Value, expected: &str) {
    let mut config = config;
    config["path"] = json!("out.jsonl");
    let Processor::Sink(sink) = build::<Sink>(config) else { panic!("not a sink") };
    let line = sink.line(&record(fields)).unwrap();
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}

fn pair() -> Value {
    json!({"question": "Why?", "answer": "So.", "n": 1})
}

#[test]
fn each_format_of_a_question_and_answer() {
    check(
        json!({"format": "messages", "fields": ["id", "n"]}),
        pair(),
        r#"{"messages":[{"role":"user","content":"Why?"},{"role":"assistant","content":"So."}],"id":"000000","n":1}"#,
    );
    check(
        json!({"format": "sharegpt"}),
        pair(),
        r#"{"conversations":[{"from":"human","value":"Why?"},{"from":"gpt","value":"So."}]}"#,
    );
    check(json!({"format": "alpaca"}), pair(), r#"{"instruction":"Why?","input":"","output":"So."}"#);
    check(json!({"format": "prompt_completion"}), pair(), r#"{"prompt":"Why?","completion":"So."}"#);
    check(json!({"format": "raw"}), pair(), r#"{"question":"Why?","answer":"So.","n":1}"#);
    check(json!({"format": "raw", "fields": ["n"]}), pair(), r#"{"n":1}"#);
}

#[test]
fn messages_go_before_question_and_answer() {
    let mut fields = pair();
    fields["messages"] = json!([{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]);
    check(
        json!({"format": "messages", "system": "S"}),
        fields.clone(),
        r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"A"},{"role":"assistant","content":"B"}]}"#,
    );
    check(
        json!({"format": "prompt_completion", "system": "S"}),
        fields,
        r#"{"prompt":"S\n\nA","completion":"B"}"#,
    );
}

#[test]
fn a_cue_comes_first_in_each_format() {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "So."},
    ]);
    for (format, expected) in [
        (
            "messages",
            r#"{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Why?"},{"role":"assistant","content":"So."}]}"#,
        ),
        (
            "sharegpt",
            r#"{"conversations":[{"from":"system","value":"Be brief."},{"from":"human","value":"Why?"},{"from":"gpt","value":"So."}]}"#,
        ),
        ("alpaca", r#"{"instruction":"Be brief.\n\nWhy?","input":"","output":"So."}"#),
        ("prompt_completion", r#"{"prompt":"Be brief.\n\nWhy?","completion":"So."}"#),
    ] {
        check(json!({"format": format}), json!({"messages": messages, "question": "Why?"}), expected);
    }
}

#[test]
fn fields_named_by_options_go_before_messages() {
    let fields = json!({"messages": "the row's own", "text": "Hot?", "answer": "Yes.", "reply": "No."});
    let expected = |reply: &str| format!(r#"{{"prompt":"Hot?","completion":"{reply}"}}"#);
    check(json!({"format": "prompt_completion", "user": "text"}), fields.clone(), &expected("Yes."));
    let both = json!({"format": "prompt_completion", "user": "text", "assistant": "reply"});
    check(both, fields, &expected("No."));
}

#[test]
fn a_record_without_an_answer_is_an_error() {
    let config = json!({"path": "out.jsonl", "format": "messages"});
    let Processor::Sink(sink) = build::<Sink>(config) else { panic!("not a sink") };
    let error = sink.line(&record(json!({"question": "Why?"}))).unwrap_err();
    assert_eq!(error.message, "field `answer` is not a text");
}

const CALL: &str =
    r#"{"id":"c1","type":"function","function":{"name":"weather","arguments":"{\"city\": \"Oslo\"}"}}"#;

/// A conversation with a tool call, as fine-tuning services accept it.
fn with_a_call() -> Value {
    let call: Value = serde_json::from_str(CALL).unwrap();
    json!([
        {"role": "user", "content": "Weather in Oslo?", "name": "kim"},
        {"role": "assistant", "content": null, "tool_calls": [call], "reasoning_content": "I look."},
        {"role": "tool", "tool_call_id": "c1", "content": "12 C"},
        {"role": "assistant", "content": "It is 12 C.", "weight": 1},
    ])
}

#[test]
fn messages_go_through_whole() {
    let expected = json!({"messages": with_a_call()}).to_string();
    check(json!({"format": "messages"}), json!({"messages": with_a_call()}), &expected);
    let parts = json!([
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "a.png"}}]},
        {"role": "assistant", "content": "A cat.", "weight": 0},
        {"role": "user", "content": "Thanks"},
        {"role": "assistant", "content": "You are welcome."},
    ]);
    let expected = json!({"messages": parts}).to_string();
    check(json!({"format": "messages"}), json!({"messages": parts}), &expected);
}

#[test]
fn fields_for_servers_only_are_not_written() {
    let shared = json!([
        {"role": "user", "content": "Text\n\nWhy?", "shared_chars": 4},
        {"role": "assistant", "content": "So."},
    ]);
    for (format, expected) in [
        (
            "messages",
            r#"{"messages":[{"role":"user","content":"Text\n\nWhy?"},{"role":"assistant","content":"So."}]}"#,
        ),
        (
            "sharegpt",
            r#"{"conversations":[{"from":"human","value":"Text\n\nWhy?"},{"from":"gpt","value":"So."}]}"#,
        ),
        ("alpaca", r#"{"instruction":"Text\n\nWhy?","input":"","output":"So."}"#),
        ("prompt_completion", r#"{"prompt":"Text\n\nWhy?","completion":"So."}"#),
    ] {
        check(json!({"format": format}), json!({"messages": shared}), expected);
    }
}

#[test]
fn sharegpt_has_turns_for_calls_and_results() {
    check(
        json!({"format": "sharegpt", "system": "Be kind."}),
        json!({"messages": with_a_call()}),
        concat!(
            r#"{"conversations":[{"from":"system","value":"Be kind."},"#,
            r#"{"from":"human","value":"Weather in Oslo?","name":"kim"},"#,
            r#"{"from":"function_call","value":"{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\"}}","reasoning_content":"I look."},"#,
            r#"{"from":"observation","value":"12 C"},"#,
            r#"{"from":"gpt","value":"It is 12 C.","weight":1}]}"#
        ),
    );
    let calls = json!([
        {"id": "a", "function": {"name": "f", "arguments": {"n": 1}}}, {"id": "b", "function": {"name": "g", "arguments": "no JSON"}},
    ]);
    check(
        json!({"format": "sharegpt"}),
        json!({"messages": [
            {"role": "user", "content": [{"type": "text", "text": "Both"}]},
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "content": "1", "tool_call_id": "a"},
            {"role": "tool", "content": "2", "tool_call_id": "b"},
            {"role": "assistant", "content": "1 and 2."},
        ]}),
        concat!(
            r#"{"conversations":[{"from":"human","value":"Both"},"#,
            r#"{"from":"function_call","value":"[{\"name\":\"f\",\"arguments\":{\"n\":1}},{\"name\":\"g\",\"arguments\":\"no JSON\"}]"},"#,
            r#"{"from":"observation","value":"1"},{"from":"observation","value":"2"},{"from":"gpt","value":"1 and 2."}]}"#
        ),
    );
}

#[test]
fn system_turns_of_a_pair_are_all_in_its_question() {
    let messages = json!([
        {"role": "system", "content": "A", "name": null}, {"role": "developer", "content": "B"},
        {"role": "user", "content": "Q", "tool_calls": []}, {"role": "assistant", "content": [{"type": "text", "text": "R"}], "weight": 1.0},
    ]);
    check(
        json!({"format": "alpaca", "system": "S"}),
        json!({"messages": messages}),
        r#"{"instruction":"S\n\nA\n\nB\n\nQ","input":"","output":"R"}"#,
    );
    check(
        json!({"format": "prompt_completion"}),
        json!({"messages": messages}),
        r#"{"prompt":"A\n\nB\n\nQ","completion":"R"}"#,
    );
}

#[test]
fn a_format_without_a_place_for_something_refuses_it() {
    let turn = |role: &str, content: &str| json!({"role": role, "content": content});
    let with = |key: &str, value: Value| {
        let mut answer = turn("assistant", "R");
        answer[key] = value;
        json!([turn("user", "Q"), answer])
    };
    let two = json!([turn("user", "1"), turn("assistant", "2"), turn("user", "3"), turn("assistant", "4")]);
    let open = json!([turn("user", "1"), turn("assistant", "2"), turn("user", "3")]);
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.png"}}]}, turn("assistant", "R")]);
    let late_system = json!([turn("user", "1"), turn("system", "S"), turn("assistant", "2")]);
    let call: Value = serde_json::from_str(CALL).unwrap();
    let mut text_and_call = with_a_call();
    text_and_call[1]["content"] = json!("Let me see.");
    let mut crossed = with_a_call();
    crossed[2]["tool_call_id"] = json!("c2");
    for (formats, messages, expected) in [
        (
            &["alpaca", "prompt_completion"][..],
            two,
            "has the turns user, assistant, user, assistant; `messages` and `sharegpt`",
        ),
        (&["alpaca", "prompt_completion"], open, "has the turns user, assistant, user;"),
        (&["alpaca", "prompt_completion"], with_a_call(), "has the turns user, assistant, tool, assistant;"),
        (&["alpaca", "prompt_completion"], late_system, "has the turns user, system, assistant;"),
        (&["alpaca", "prompt_completion"], json!([turn("user", "Q")]), "has the turns user;"),
        (&["alpaca"], json!(vec![turn("user", "Q"); 9]), "user, ... (9 turns)"),
        (
            &["alpaca"],
            with("weight", json!(0)),
            "`alpaca` has no place for `weight`, which a turn of `assistant` has",
        ),
        (
            &["prompt_completion"],
            with("tool_calls", json!([call])),
            "`prompt_completion` has no place for `tool_calls`",
        ),
        (&["alpaca"], with("reasoning_content", json!("hm")), "no place for `reasoning_content`"),
        (&["alpaca"], with("images", json!([{"path": "a.png"}])), "no place for `images`"),
        (&["alpaca"], with("content", json!(null)), "a content that is no text, in a turn of `assistant`"),
        (&["alpaca", "prompt_completion"], image.clone(), "a content that is no text, in a turn of `user`"),
        (&["sharegpt"], image, "the parts of a content that are no text, in a turn of `user`"),
        (&["sharegpt"], text_and_call, "no place for a text beside calls of tools"),
        (&["sharegpt"], crossed, "which here differs"),
    ] {
        for format in formats {
            let Processor::Sink(sink) = build::<Sink>(json!({"path": "out.jsonl", "format": format})) else {
                panic!("not a sink")
            };
            let error = sink.line(&record(json!({"messages": messages}))).unwrap_err();
            assert_eq!(error.class, "format", "{error}");
            assert!(
                error.message.contains(expected),
                "{format} {messages}\nsays {error}\ninstead {expected}"
            );
        }
    }
}

#[test]
fn what_is_no_conversation_is_an_error_of_its_field() {
    for (messages, expected) in [
        (json!([]), "field `messages` is an empty list"),
        (json!("Hi"), "field `messages` is not a list of roles and contents"),
        (json!([{"from": "human", "value": "Hi"}]), "field `messages` is not a list of roles and contents"),
        (json!([{"role": "user", "content": 7}]), "field `messages` is not a list of roles and contents"),
    ] {
        for format in ["messages", "sharegpt", "alpaca", "prompt_completion"] {
            let Processor::Sink(sink) = build::<Sink>(json!({"path": "out.jsonl", "format": format})) else {
                panic!("not a sink")
            };
            let error = sink.line(&record(json!({"messages": messages}))).unwrap_err();
            assert_eq!((&*error.class, &*error.message), ("fields", expected), "{format}");
        }
    }
}

#[test]
fn every_line_has_the_columns_that_are_known() {
    let line = |config: Value, fields: Value| {
        let declared: Sink = serde_json::from_value(config).unwrap();
        let context = crate::stage::BuildContext {
            fields: ["q", "tools", "reasoning"].map(str::to_owned).into(),
            ..crate::stages::testing::context()
        };
        let Processor::Sink(sink) = crate::stage::StageConfig::build(&declared, &context).unwrap() else {
            panic!("not a sink")
        };
        String::from_utf8(sink.line(&record(fields)).unwrap()).unwrap()
    };
    let raw = || json!({"path": "a.jsonl", "format": "raw"});
    assert_eq!(line(raw(), json!({"reasoning": "hm", "q": 1})), r#"{"q":1,"tools":null,"reasoning":"hm"}"#);
    // Fields that are not known in advance are not lost.
    let found = line(raw(), json!({"late": 2, "tools": [], "q": 1}));
    assert_eq!(found, r#"{"q":1,"tools":[],"reasoning":null,"late":2}"#);
    let named = json!({"path": "a.jsonl", "format": "raw", "fields": ["reasoning", "q"]});
    assert_eq!(line(named, json!({"q": 1, "late": 2})), r#"{"reasoning":null,"q":1}"#);
    // A conversation is written with its tools.
    let messages = json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]);
    let found = line(
        json!({"path": "a.jsonl", "format": "messages"}),
        json!({"messages": messages, "tools": [{"type": "function"}]}),
    );
    assert_eq!(
        found,
        r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}],"tools":[{"type":"function"}]}"#
    );
    let found = line(json!({"path": "a.jsonl", "format": "sharegpt"}), json!({"messages": messages}));
    assert_eq!(
        found,
        r#"{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Hello"}],"tools":null}"#
    );
    let pair = json!({"path": "a.jsonl", "format": "messages", "user": "q", "assistant": "q"});
    assert!(!line(pair, json!({"q": "a"})).contains("tools"), "the pair has called none");
}

#[test]
fn provenance_has_the_same_keys_of_the_same_kinds_in_every_line() {
    let config = json!({"format": "raw", "fields": ["n"], "path": "a.jsonl",
        "provenance": ["model", "prompt_hash", "params", "tokens", "answer", "draws"]});
    let Processor::Sink(sink) = build::<Sink>(config) else { panic!("not a sink") };
    let mut asked = record(json!({"n": 1}));
    let unasked = sink.line(&asked).unwrap();
    let call = crate::record::ModelCall {
        served_as: Some("m".into()),
        finish_reason: Some("stop".into()),
        fallback: Some("schema".into()),
        ..crate::record::ModelCall::default()
    };
    asked.provenance.calls.push(call.into());
    let kinds = |line: &[u8]| {
        let line: Value = serde_json::from_slice(line).unwrap();
        let known = line["provenance"].as_object().unwrap().iter();
        known
            .map(|(name, value)| (name.clone(), crate::pipeline::FieldType::of_value(value).to_string()))
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&unasked), kinds(&sink.line(&asked).unwrap()));
    assert!(kinds(&unasked).iter().all(|(_, kind)| kind != "null"), "{:?}", kinds(&unasked));
}

#[test]
fn columns_have_own_names_and_declared_types() {
    let config = || {
        json!({"format": "preference", "turns": "text", "columns": {"prompt": "question", "rejected": "worse"},
        "fields": ["score", "info"], "types": {"score": "number", "info": "json"}, "chosen": "best.answer"})
    };
    let fields = |score: Value| json!({"prompt": "Why?", "best": {"answer": "So."}, "rejected": "No.", "score": score, "info": {"a": 1}});
    let line = |score: &str| {
        format!(r#"{{"question":"Why?","chosen":"So.","worse":"No.","score":{score},"info":"{{\"a\":1}}"}}"#)
    };
    check(config(), fields(json!(4)), &line("4.0"));
    check(config(), fields(json!(4.5)), &line("4.5"));
    check(config(), fields(json!(null)), &line("null"));
    let mut config = config();
    config["path"] = json!("out.jsonl");
    let Processor::Sink(sink) = build::<Sink>(config) else { panic!("not a sink") };
    let error = sink.line(&record(fields(json!("high")))).unwrap_err();
    assert_eq!(
        (&*error.class, &*error.message),
        ("column", "column `score` is a text, where all rows have a number or null")
    );
}
