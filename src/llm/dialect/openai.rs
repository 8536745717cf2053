//! OpenAI's chat and raw completions: the body of a request, and the answer of a response.

use serde_json::{Map, Value, json};

use super::finish::FinishReason;
use super::message::AnswerText;
use super::text::string;
use super::usage;
use crate::llm::classify::{Failure, Verdict, clean, error_in_200, no_answer};
use crate::llm::images::Images;
use crate::llm::{Completion, CompletionExtras, Message, ModelRequest};
use crate::pipeline::StructuredOutput;

/// Encodes the body of a chat request, without the model.
pub(super) fn chat(
    request: &ModelRequest,
    mut params: Map<String, Value>,
    form: StructuredOutput,
    images: &mut Images,
) -> Map<String, Value> {
    put_schema(request, &mut params, form);
    let messages: Vec<Value> =
        request.messages.iter().map(|message| encode_message(message, images)).collect();
    let mut body = Map::from_iter([("messages".to_owned(), Value::Array(messages))]);
    body.extend(params);
    body
}

/// Encodes a message: its content is a text, or a list of parts if it has images.
fn encode_message(message: &Message, images: &mut Images) -> Value {
    if message.images.is_empty() {
        return json!(message);
    }
    let mut parts = Vec::with_capacity(1 + message.images.len());
    match &message.parts {
        Some(Value::Array(own)) => parts.extend(own.iter().cloned()),
        _ if message.content.is_empty() => {}
        _ => parts.push(json!({"type": "text", "text": message.content})),
    }
    for (_, url) in message.images.iter().zip(images) {
        let mut part = json!({"type": "image_url", "image_url": {}});
        // Moved, since `json!` would copy it.
        part["image_url"]["url"] = Value::String(url);
        parts.push(part);
    }
    let mut encoded = json!({"role": message.role});
    encoded["content"] = Value::Array(parts);
    if let Some(encoded) = encoded.as_object_mut() {
        encoded.extend(message.more.clone());
    }
    encoded
}

/// Encodes the body of a raw completion, without the model: the prompt is the texts of all messages.
pub(super) fn completions(
    request: &ModelRequest,
    mut params: Map<String, Value>,
    form: StructuredOutput,
) -> Map<String, Value> {
    put_schema(request, &mut params, form);
    name_candidates(&mut params);
    let texts: Vec<&str> = request.messages.iter().map(|message| &*message.content).collect();
    let mut body = Map::from_iter([("prompt".to_owned(), json!(texts.join("\n\n")))]);
    body.extend(params);
    body
}

/// Words the request for log probabilities as raw completions do: `logprobs` is the number of candidates.
fn name_candidates(params: &mut Map<String, Value>) {
    if params.get("logprobs") == Some(&Value::Bool(true)) {
        let candidates = params.shift_remove("top_logprobs").unwrap_or_else(|| json!(1));
        params.insert("logprobs".to_owned(), candidates);
    }
}

fn put_schema(request: &ModelRequest, params: &mut Map<String, Value>, form: StructuredOutput) {
    let Some(schema) = &request.schema else { return };
    let (name, value) = match form {
        // `strict` is left out: servers that enforce schemas do so without it, and hosted ones refuse many
        // schemas under it.
        StructuredOutput::JsonSchema => (
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}),
        ),
        StructuredOutput::StructuredOutputs => ("structured_outputs", json!({"json": schema})),
        StructuredOutput::GuidedJson => ("guided_json", (**schema).clone()),
        StructuredOutput::JsonObject => ("response_format", json!({"type": "json_object"})),
        StructuredOutput::Off => return,
    };
    // A parameter that the user set takes precedence.
    params.entry(name).or_insert(value);
}

/// Decodes the answer of either API. Of several choices, the usable ones are kept.
pub(super) fn read(mut answer: Value) -> Result<Completion, Failure> {
    let usage = usage::read(&answer, true);
    let choices = match answer.get_mut("choices") {
        Some(Value::Array(choices)) if !choices.is_empty() => std::mem::take(choices),
        _ => return Err(no_answer(&answer)),
    };
    let several = choices.len() > 1;
    let mut texts = Vec::new();
    let mut first: Option<Completion> = None;
    let mut why: Option<Failure> = None;
    for choice in &choices {
        match read_choice(choice) {
            Ok(completion) => {
                if several {
                    texts.push(completion.text.clone());
                }
                first.get_or_insert(completion);
            }
            Err(failure) => drop(why.get_or_insert(failure)),
        }
    }
    let Some(mut completion) = first else {
        return Err(why.unwrap_or_else(|| no_answer(&answer)).after(usage::read(&answer, false)));
    };
    if several {
        completion.more.get_or_insert_default().choices = texts;
    }
    Ok(Completion { usage, ..completion })
}

/// Decodes one choice, or returns why it is not an answer.
fn read_choice(choice: &Value) -> Result<Completion, Failure> {
    if let Some(error) = choice.get("error").filter(|error| !error.is_null()) {
        let failure = error_in_200(error);
        // The server was working on it, so it is not a gateway without a server behind it, whatever the code.
        let broke_off = failure.verdict == Verdict::Retry;
        let class = if broke_off { "unfinished".to_owned() } else { failure.class };
        return Err(Failure { class, ..failure });
    }
    let finish = FinishReason::read(choice.get("finish_reason"));
    if let Some(failure) = finish.failure() {
        return Err(failure);
    }
    let message = choice.get("message").unwrap_or(&Value::Null);
    let tool_calls = message.get("tool_calls").filter(|calls| !calls.is_null() && **calls != json!([]));
    // In a raw completion the text is in the choice itself.
    let AnswerText { text, reasoning } = match message {
        Value::Null => AnswerText::of_text(string(choice, "text").unwrap_or_default(), None),
        message => AnswerText::of_message(message),
    };
    if text.trim().is_empty() && tool_calls.is_none() {
        let refusal = string(message, "refusal").filter(|refusal| !refusal.trim().is_empty());
        return Err(match refusal {
            Some(said) => {
                Failure::new(Verdict::RejectRecord, "refusal", format!("the model refuses: {}", clean(&said)))
            }
            None => finish.no_text(),
        });
    }
    let more = CompletionExtras {
        tool_calls: tool_calls.cloned(),
        logprobs: choice.get("logprobs").filter(|logprobs| !logprobs.is_null()).cloned(),
        choices: Vec::new(),
    };
    let finish_reason = finish.label().map(str::to_owned);
    Ok(Completion { text, reasoning, finish_reason, more: more.boxed(), ..Completion::default() })
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, RequestEncoder};
    use super::*;
    use crate::llm::Message;
    use crate::llm::streaming::Streaming;

    fn answer(message: Value) -> Value {
        json!({"choices": [{"message": message, "finish_reason": "stop"}]})
    }

    fn read_value(value: &Value) -> Result<Completion, Failure> {
        Dialect::Chat.read(value.to_string().as_bytes())
    }

    #[test]
    fn answers_are_read_with_their_reasoning() {
        let read = read_value(&answer(json!({"content": "<think>hm</think>\n\nOslo"}))).unwrap();
        assert_eq!((&*read.text, read.reasoning.as_deref()), ("Oslo", Some("hm")));
        assert_eq!(read.finish_reason.as_deref(), Some("stop"));
        let raw = read_value(&json!({"choices": [{"text": " Oslo\n", "finish_reason": "length"}]})).unwrap();
        assert_eq!((&*raw.text, raw.finish_reason.as_deref()), (" Oslo\n", Some("length")));
    }

    #[test]
    fn an_interrupted_stream_is_not_an_answer() {
        let check = |choice: Value, verdict: Verdict, class: &str| {
            for key in ["message", "text"] {
                let mut choice = choice.clone();
                let text = choice["content"].take();
                choice[key] = if key == "text" { text } else { json!({"content": text}) };
                let failure = read_value(&json!({"choices": [choice]})).unwrap_err();
                assert_eq!((failure.verdict, &*failure.class), (verdict, class), "{choice}");
            }
        };
        let lost = json!({"code": 502, "message": "upstream lost"});
        check(
            json!({"content": "Os", "finish_reason": "error", "error": lost}),
            Verdict::Retry,
            "unfinished",
        );
        let slow = json!({"code": 429, "message": "slow"});
        check(
            json!({"content": "", "finish_reason": "error", "error": slow}),
            Verdict::Throttled,
            "rate_limited",
        );
        for reason in ["error", "abort", "insufficient_system_resource"] {
            check(json!({"content": "Os", "finish_reason": reason}), Verdict::Retry, "unfinished");
        }
        check(
            json!({"content": "Os", "finish_reason": "sensitive"}),
            Verdict::RejectRecord,
            "content_filter",
        );
        check(json!({"content": "", "finish_reason": "stop"}), Verdict::Retry, "no_content");
        check(json!({"content": " \n", "finish_reason": "stop"}), Verdict::Retry, "no_content");
        check(json!({"content": "<think>hm", "finish_reason": "stop"}), Verdict::Retry, "no_content");
        check(
            json!({"content": "<think>hm", "finish_reason": "length"}),
            Verdict::RejectRecord,
            "no_content",
        );
    }

    #[test]
    fn the_model_is_named_as_the_server_reports_it() {
        for (reported, expected) in [(json!("m-2026"), Some("m-2026")), (json!(""), None), (json!(7), None)] {
            let mut answer = answer(json!({"content": "x"}));
            answer["model"] = reported;
            assert_eq!(read_value(&answer).unwrap().model.as_deref(), expected);
        }
    }

    #[test]
    fn unusable_responses_have_a_class() {
        let check = |body: &str, verdict: Verdict, class: &str| {
            let failure = Dialect::Chat.read(body.as_bytes()).unwrap_err();
            assert_eq!((failure.verdict, &*failure.class), (verdict, class), "{body}");
        };
        check("<html>Welcome</html>", Verdict::Retry, "not_json");
        check("", Verdict::Retry, "not_json");
        check(&"[".repeat(100_000), Verdict::Retry, "not_json");
        check("{}", Verdict::Retry, "empty_choices");
        check(r#"{"choices": []}"#, Verdict::Retry, "empty_choices");
        check(r#"{"error": {"code": 503}}"#, Verdict::Throttled, "status_503");
        check(r#"{"choices": [{}]}"#, Verdict::Retry, "no_content");
        check(r#"{"choices": [{"message": {"content": null}}]}"#, Verdict::Retry, "no_content");
        check(
            r#"{"choices": [{"message": {"content": null}, "finish_reason": "length"}]}"#,
            Verdict::RejectRecord,
            "no_content",
        );
        check(
            r#"{"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]}"#,
            Verdict::RejectRecord,
            "content_filter",
        );
        check(
            r#"{"choices": [{"message": {"content": null, "refusal": "no"}}]}"#,
            Verdict::RejectRecord,
            "refusal",
        );
        check(
            r#"{"choices": [{"message": {"content": "", "refusal": "no"}, "finish_reason": "stop"}]}"#,
            Verdict::RejectRecord,
            "refusal",
        );
    }

    #[test]
    fn tool_calls_logprobs_and_further_choices_are_kept() {
        let calls = json!([{"function": {"name": "f", "arguments": "{}"}}]);
        let completion = read_value(&answer(json!({"content": null, "tool_calls": calls}))).unwrap();
        assert_eq!((&*completion.text, completion.more.unwrap().tool_calls), ("", Some(calls)));
        let choices = json!({"choices": [
            {"text": " one\n", "logprobs": {"tokens": ["one"]}, "finish_reason": "stop"},
            {"text": "half of a", "finish_reason": "abort"},
            {"text": "<think>hm</think>two"},
        ]});
        let completion = read_value(&choices).unwrap();
        let more = completion.more.unwrap();
        assert_eq!(
            (&*completion.text, more.choices),
            (" one\n", vec![" one\n".to_owned(), "two".to_owned()])
        );
        assert_eq!(more.logprobs, Some(json!({"tokens": ["one"]})));
    }

    #[test]
    fn log_probabilities_are_asked_for_in_the_words_of_each_api() {
        let request = ModelRequest { messages: vec![Message::new("user", "Hi")], ..ModelRequest::default() };
        let check = |asked: Value, expected: Value| {
            let params = asked.as_object().cloned().unwrap();
            let mut body = completions(&request, params.clone(), StructuredOutput::Off);
            body.shift_remove("prompt");
            assert_eq!(Value::Object(body), expected);
            let mut body = chat(&request, params, StructuredOutput::Off, &mut Images::default());
            body.shift_remove("messages");
            assert_eq!(Value::Object(body), asked);
        };
        check(json!({"logprobs": true, "top_logprobs": 20}), json!({"logprobs": 20}));
        check(json!({"logprobs": true}), json!({"logprobs": 1}));
        check(json!({"logprobs": 5}), json!({"logprobs": 5}));
        check(json!({}), json!({}));
    }

    #[test]
    fn images_are_parts_behind_the_text() {
        let (request, images) = crate::llm::images::testing::request();
        let body = Value::Object(chat(&request, Map::new(), StructuredOutput::Off, &mut images.clone()));
        let part = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
        let expected = json!({"messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is it?"},
                part("data:image/png;base64,AAAA"),
                part("data:image/webp;base64,BBBB"),
            ]},
            {"role": "user", "content": [part("data:image/png;base64,CCCC")]},
        ]});
        assert_eq!(body, expected);
    }

    #[test]
    fn the_body_holds_merged_params_and_the_schema() {
        let map = |value: Value| value.as_object().cloned().unwrap();
        let request = ModelRequest {
            messages: vec![Message::new("system", "Be brief."), Message::new("user", "Hi")],
            params: map(json!({"temperature": 0.1, "stream": true})),
            schema: Some(json!({"type": "object"}).into()),
            ..ModelRequest::default()
        };
        let asked = |dialect| RequestEncoder {
            dialect,
            model: "m".to_owned(),
            params: map(json!({"temperature": 0.7, "max_tokens": 9})),
            extra_body: map(json!({"top_k": 3})),
            prompt_cache: false,
            streaming: Streaming::default(),
        };
        let check = |dialect: Dialect, form: StructuredOutput, field: &str, expected: Value| {
            let body: Value =
                serde_json::from_slice(&asked(dialect).body(&request, form, Images::default()).unwrap())
                    .unwrap();
            assert_eq!((&body["model"], &body["top_k"]), (&json!("m"), &json!(3)));
            assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0.1), &json!(9)));
            assert_eq!((&body[field], body.get("stream")), (&expected, None), "{form:?}");
        };
        use StructuredOutput::{GuidedJson, JsonObject, JsonSchema, Off, StructuredOutputs};
        let schema = json!({"name": "answer", "schema": {"type": "object"}});
        let (chat, raw) = (Dialect::Chat, Dialect::Completions);
        check(chat, JsonSchema, "response_format", json!({"type": "json_schema", "json_schema": schema}));
        check(chat, JsonObject, "response_format", json!({"type": "json_object"}));
        check(chat, Off, "response_format", Value::Null);
        check(chat, StructuredOutputs, "structured_outputs", json!({"json": {"type": "object"}}));
        check(chat, StructuredOutputs, "response_format", Value::Null);
        check(chat, GuidedJson, "guided_json", json!({"type": "object"}));
        check(chat, GuidedJson, "response_format", Value::Null);
        check(chat, Off, "messages", json!(request.messages));
        check(raw, Off, "prompt", json!("Be brief.\n\nHi"));
        check(raw, Off, "messages", Value::Null);
    }
}
