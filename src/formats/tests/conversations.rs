//! Tests of the formats that hold a conversation.

use serde_json::{Map, Value, json};

use super::{line_of, plain, refuses, turn_of};
use crate::formats::Format;
use crate::record::Record;
use crate::stages::testing::record;

#[test]
fn sharegpt_goes_there_and_back() {
    let row = json!({"conversations": [
        {"from": "system", "value": "S"}, {"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"},
        {"from": "human", "value": "W?"},
        {"from": "function_call", "value": "{\"name\":\"f\",\"arguments\":{\"x\":1}}"},
        {"from": "observation", "value": "12"}, {"from": "gpt", "value": "B", "weight": 1},
    ], "id": 7});
    let Value::Object(row) = row else { panic!() };
    let read = Format::Sharegpt.read(row.clone()).unwrap();
    assert_eq!(read["messages"][4]["tool_calls"][0]["function"]["arguments"], "{\"x\":1}");
    assert_eq!((&read["messages"][5]["role"], &read["id"]), (&json!("tool"), &json!(7)));
    let again = line_of(Format::Sharegpt, &plain(), &Record::new(read)).unwrap();
    assert_eq!(again["conversations"], row["conversations"]);
    for (turns, expected) in [
        (json!([{"from": "moderator", "value": "Q"}]), "unknown speaker `moderator`; known are `system`"),
        (json!([{"value": "Q"}]), "is not a list of `from` and `value`"),
        (json!([{"from": "function_call", "value": "f(1)"}]), "is not JSON with `name` and `arguments`"),
    ] {
        let row = Map::from_iter([("conversations".to_owned(), turns)]);
        let error = Format::Sharegpt.read(row).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn calls_of_tools_are_in_columns_that_are_alike() {
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {"type": "integer"}}}}}]);
    let messages = json!([
        turn_of("user", "Q"),
        {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]},
        {"role": "tool", "content": "12", "tool_call_id": "a", "name": "f"},
        {"role": "assistant", "content": "12.", "reasoning_content": "I see."},
    ]);
    let made =
        line_of(Format::ToolConversation, &plain(), &record(json!({"messages": messages, "tools": tools})))
            .unwrap();
    assert_eq!(made["tools"], tools.to_string());
    let keys = |message: &Value| message.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let lists = made["messages"].as_array().unwrap();
    assert!(lists.iter().all(|message| keys(message) == keys(&lists[0])), "{lists:?}");
    assert_eq!(lists[1]["tool_calls"][0]["function"]["arguments"], "{\"x\":1}");
    let read = Format::ToolConversation.read(made.clone()).unwrap();
    assert_eq!(read["tools"], tools);
    assert_eq!(read["messages"][0], turn_of("user", "Q"), "keys for the columns' sake are gone");
    assert_eq!(line_of(Format::ToolConversation, &plain(), &Record::new(read)).unwrap(), made);
    let none = json!({"messages": [turn_of("user", "Q"), turn_of("assistant", "A")]});
    assert_eq!(line_of(Format::ToolConversation, &plain(), &record(none)).unwrap()["tools"], "[]");
}

#[test]
fn rows_of_an_exchange_become_question_and_answer() {
    for (format, row, question) in [
        (Format::Alpaca, json!({"instruction": "I", "input": "", "output": "A"}), "I"),
        (Format::Alpaca, json!({"instruction": "I", "input": "x", "output": "A"}), "I\n\nx"),
        (Format::PromptCompletion, json!({"prompt": "I", "completion": "A"}), "I"),
    ] {
        let Value::Object(row) = row else { panic!() };
        assert_eq!(Value::Object(format.read(row).unwrap()), json!({"question": question, "answer": "A"}));
    }
    let row = Map::from_iter([("instruction".to_owned(), json!("I"))]);
    assert_eq!(Format::Alpaca.read(row).unwrap_err(), "the row has no column `output`");
}

#[test]
fn roles_alternate_in_every_conversation() {
    let call = json!({"role": "assistant", "content": "", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]});
    for (messages, expected) in [
        (
            json!([turn_of("user", "1"), turn_of("user", "2"), turn_of("assistant", "3")]),
            "a turn of `user` stands out of turn",
        ),
        (
            json!([turn_of("assistant", "1"), turn_of("user", "2"), turn_of("assistant", "3")]),
            "stands at the beginning",
        ),
        (json!([turn_of("user", "1"), turn_of("assistant", "2"), turn_of("assistant", "3")]), "out of turn"),
        (
            json!([
                turn_of("user", "1"),
                turn_of("assistant", "2"),
                turn_of("tool", "3"),
                turn_of("assistant", "4")
            ]),
            "`tool` stands out of turn",
        ),
        (
            json!([turn_of("user", "1"), call, turn_of("user", "3"), turn_of("assistant", "4")]),
            "`user` stands out of turn",
        ),
        (json!([turn_of("user", "1"), turn_of("assistant", " \n")]), "a turn of `assistant` is empty"),
        (
            json!([turn_of("user", "1")]),
            "the last turn is not the assistant's; the conversation has the turns user",
        ),
        (json!([turn_of("user", "1"), turn_of("narrator", "2")]), "`narrator` is no role"),
    ] {
        for format in [Format::Messages, Format::Sharegpt, Format::ToolConversation] {
            refuses(format, &plain(), json!({"messages": messages}), expected);
        }
    }
}
