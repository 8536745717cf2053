//! What `llm` asks and what it keeps of an answer.

use std::sync::Arc;

use super::*;
use crate::llm::CompletionExtras;
use crate::record::ModelCall;
use serde_json::json;

fn builder() -> RequestBuilder {
    RequestBuilder {
        model: "teacher".into(),
        question: INPUT.into(),
        continues: false,
        output: output(),
        params: Map::from_iter([("temperature".to_owned(), json!(0.2))]),
        tools: Some("tools".into()),
        keep: vec![KeptPart::Logprobs, KeptPart::Choices, KeptPart::FinishReason],
    }
}

fn request(prompt: Value) -> Result<ModelRequest, StageError> {
    builder().request(&Record::new(Map::from_iter([("prompt".to_owned(), prompt)])))
}

#[test]
fn questions_are_messages_or_a_text() {
    let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]);
    let request_made = request(messages).unwrap();
    assert_eq!(request_made.messages, [Message::new("system", "Be brief."), Message::new("user", "Why?")]);
    assert_eq!(request_made.params["temperature"], 0.2);
    assert_eq!(request(json!("Why?")).unwrap().messages, [Message::new("user", "Why?")]);
    for wrong in [json!(null), json!(3), json!([]), json!([{"role": "user"}])] {
        assert_eq!(request(wrong.clone()).unwrap_err().class, "input", "{wrong}");
    }
}

#[test]
fn a_conversation_is_sent_with_its_calls_and_tools() {
    let calls = json!([{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]);
    let messages = json!([
        {"role": "user", "content": "Oslo?", "weight": 0},
        {"role": "assistant", "content": null, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "12 C"},
    ]);
    let tools = json!([{"type": "function", "function": {"name": "weather"}}]);
    let Value::Object(mut fields) = json!({"prompt": messages, "tools": tools}) else { unreachable!() };
    let made = builder().request(&Record::new(fields.clone())).unwrap();
    let mut sent = messages.clone();
    sent[0].as_object_mut().unwrap().shift_remove("weight");
    assert_eq!((json!(made.messages), &made.params["tools"]), (sent, &tools));
    for none in [json!(null), json!([])] {
        fields["tools"] = none;
        assert_eq!(builder().request(&Record::new(fields.clone())).unwrap().params.get("tools"), None);
    }
    fields["tools"] = json!("weather");
    assert_eq!(builder().request(&Record::new(fields)).unwrap_err().message, "`tools` is no list of tools");
}

#[test]
fn the_answer_and_its_reasoning_become_fields() {
    let mut record = Record::default();
    let reasoning = Some("hm".to_owned());
    builder().accept(
        &mut record,
        &Completion { text: "So.".into(), reasoning, ..Completion::default() },
        "teacher",
    );
    assert_eq!((record.text("completion"), record.text("reasoning")), (Some("So."), Some("hm")));
    builder().accept(&mut record, &Completion { text: "No.".into(), ..Completion::default() }, "teacher");
    assert_eq!((record.text("completion"), record.get("reasoning")), (Some("No."), None));
    assert_eq!((record.get("logprobs"), record.get("choices")), (None, Some(&json!(["No."]))));
    assert_eq!(record.get("finish_reason"), Some(&json!("")));
    let choices = vec!["A".to_owned(), "B".to_owned()];
    let more = CompletionExtras { logprobs: Some(json!([1])), choices, ..CompletionExtras::default() };
    let finish_reason = Some("length".to_owned());
    let several = Completion { more: Some(Box::new(more)), finish_reason, ..Completion::default() };
    builder().accept(&mut record, &several, "teacher");
    assert_eq!(record.get("logprobs"), Some(&json!([1])));
    assert_eq!(record.get("choices"), Some(&json!(["A", "B"])));
    assert_eq!(record.text("finish_reason"), Some("length"));
}

#[test]
fn who_answered_is_recorded_and_the_heuristic_is_not_forgotten() {
    let mut record = Record::default();
    let mut accept = |answered_by: &str, earlier: Option<&str>| {
        record.provenance.calls = earlier
            .map(|provider| Arc::new(ModelCall { provider: provider.into(), ..ModelCall::default() }))
            .into_iter()
            .collect();
        builder().accept(&mut record, &Completion::default(), answered_by);
        record.text(ANSWERED_BY).unwrap().to_owned()
    };
    assert_eq!(accept("teacher", None), "teacher");
    assert_eq!(accept("heuristic", None), "heuristic");
    assert_eq!(accept("second", Some("openai")), "second");
    assert_eq!(accept("second", Some("heuristic")), "heuristic");
}

#[test]
fn who_answered_several_questions_is_recorded() {
    let asked = |stage: &str, provider: &str| {
        let call = ModelCall { stage: stage.into(), model: "strict".into(), ..ModelCall::default() };
        Arc::new(ModelCall { provider: provider.into(), ..call })
    };
    #[track_caller]
    fn check(calls: &[Arc<ModelCall>], before: Option<&str>, expected: Value) {
        let mut record = Record::default();
        record.provenance.calls = calls.to_vec();
        before.into_iter().for_each(|before| record.set(ANSWERED_BY, before));
        set_answered_by_of(&mut record, "judge");
        assert_eq!(record.get(ANSWERED_BY), Some(&expected));
    }
    check(&[asked("llm", "openai"), asked("judge/ask", "openai")], Some("teacher"), json!("strict"));
    check(&[asked("judge/ask", "mock"), asked("judge/ask", "mock")], None, json!("mock"));
    check(&[asked("judge/ask", "openai"), asked("judge/ask", "heuristic")], None, json!("heuristic"));
    // The heuristic's words do not become a model's work by being judged.
    check(&[asked("llm", "heuristic"), asked("judge/ask", "openai")], Some("heuristic"), json!("heuristic"));
    // Nobody was asked.
    check(&[asked("judge-2/ask", "openai")], Some("teacher"), json!("teacher"));
    check(&[], None, json!(null));
}

/// A builder that continues the conversation in `messages`.
fn continuing() -> RequestBuilder {
    RequestBuilder { question: "messages".into(), continues: true, ..builder() }
}

#[test]
fn a_conversation_is_asked_whole_and_gets_the_answer() {
    let asked = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]);
    let mut record = Record::new(Map::from_iter([("messages".to_owned(), asked.clone())]));
    assert_eq!(json!(continuing().request(&record).unwrap().messages), asked);
    let answered = |text: &str| {
        let mut messages = asked.as_array().cloned().unwrap();
        messages.push(json!({"role": "assistant", "content": text}));
        Value::from(messages)
    };
    // A second answer to one question replaces the first, which was not accepted.
    for text in ["So.", "Because."] {
        let completion = Completion { text: text.into(), ..Completion::default() };
        continuing().accept(&mut record, &completion, "teacher");
        assert_eq!((record.get("messages"), record.text("completion")), (Some(&answered(text)), Some(text)));
    }
    let error = continuing().request(&record).unwrap_err();
    assert_eq!(&*error.class, "input");
    assert!(error.message.contains("the last message of `messages` is the assistant's"), "{error}");
    for wrong in [json!("Why?"), json!([]), json!(null)] {
        let record = Record::new(Map::from_iter([("messages".to_owned(), wrong)]));
        let error = continuing().request(&record).unwrap_err();
        assert_eq!(error.message, "`messages` is no list of messages");
    }
}

#[test]
fn calls_of_tools_stay_in_the_conversation_in_one_format() {
    let ours = json!({"id": "c1", "type": "function",
        "function": {"name": "weather", "arguments": "{\"city\":\"Oslo\"}"}});
    let anthropic = json!({"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}});
    for call in [ours.clone(), anthropic] {
        let asked = json!([{"role": "user", "content": "Oslo?"}]);
        let mut record = Record::new(Map::from_iter([("messages".to_owned(), asked)]));
        let more = CompletionExtras { tool_calls: Some(json!([call])), ..CompletionExtras::default() };
        let completion = Completion { more: Some(Box::new(more)), ..Completion::default() };
        continuing().accept(&mut record, &completion, "teacher");
        let answer = json!({"role": "assistant", "content": "", "tool_calls": [ours]});
        assert_eq!(record.get("messages").unwrap()[1], answer);
    }
}

#[test]
fn a_question_is_an_input_or_a_conversation() {
    for (config, expected) in [
        (json!({}), "no earlier stage makes `prompt`"),
        (json!({"continue": "messages"}), ""),
        (json!({"continue": "text"}), "`text` is a text"),
        (json!({"continue": "chat.turns"}), "`chat.turns` is no field of its own"),
        (json!({"continue": "talk"}), "no earlier stage makes `talk`"),
        (json!({"continue": "messages", "input": "text"}), "`input` and `continue` are both given"),
        (
            json!({"continue": "messages", "output": "messages"}),
            "`messages` cannot hold the answer's text too",
        ),
    ] {
        let mut written = config.clone();
        written["model"] = json!("teacher");
        let declared: Llm = serde_json::from_value(written).unwrap();
        let model: ModelConfig = serde_json::from_value(json!({"provider": "heuristic"})).unwrap();
        let models = [("teacher".to_owned(), model)].into();
        let vars = Map::new();
        let mut context = CheckContext::new(&vars, &models);
        context.makes_as("text", FieldType::text());
        context.makes_as("messages", FieldType::messages());
        context.makes_as("chat", FieldType::object_of(vec![("turns".into(), FieldType::messages())], false));
        declared.check(&mut context);
        let found: Vec<String> = context.problems().iter().map(|problem| problem.message.clone()).collect();
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{config}: {found:?}");
        assert!(found.concat().contains(expected), "{config}: {found:?}");
    }
}
