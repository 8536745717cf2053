//! Refused settings in the words of many servers, and what is none of them.

use super::*;
use crate::llm::Message;
use crate::llm::classify::response;
use crate::llm::dialect::Dialect;
use crate::llm::streaming::Streaming;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::json;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn asked(params: Value) -> RequestEncoder {
    let extra_body = map(json!({"top_k": 3, "chat_template_kwargs": {"enable_thinking": false}}));
    RequestEncoder {
        dialect: Dialect::Chat,
        model: "m".to_owned(),
        params: map(params),
        extra_body,
        prompt_cache: false,
        streaming: Streaming::default(),
    }
}

fn request() -> ModelRequest {
    let messages =
        vec![Message::new("system", "Be brief."), Message::new("user", "What is the temperature?")];
    ModelRequest { messages, ..ModelRequest::default() }
}

fn judged(settings: &RefusedSettings, params: Value, status: u16, error: Value) -> Failure {
    let body = json!({"error": error}).to_string();
    let status = StatusCode::from_u16(status).unwrap();
    let failure = response(status, &HeaderMap::new(), body.as_bytes(), "u");
    settings.judge(&asked(params), &request(), failure)
}

fn check(params: Value, status: u16, error: Value, hint: &str) {
    let failure = judged(&RefusedSettings::new("teacher"), params, status, error.clone());
    assert_eq!((failure.verdict, &*failure.class), (Verdict::Fatal, "setting_refused"), "{error}");
    assert!(failure.message.contains(hint), "{}", failure.message);
}

fn is_of_record(params: Value, status: u16, error: Value) {
    let failure = judged(&RefusedSettings::new("teacher"), params, status, error.clone());
    assert_ne!(failure.verdict, Verdict::Fatal, "{error}: {}", failure.message);
}

#[test]
fn settings_are_recognized_by_codes_and_names() {
    let max = json!({"max_tokens": 300});
    let unsupported = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
    let coded = json!({"message": unsupported, "param": "max_tokens", "code": "unsupported_parameter"});
    check(max.clone(), 400, coded, "write `max_completion_tokens` in its place, in `models.teacher.params`");
    check(max.clone(), 400, json!({"message": unsupported}), "write `max_completion_tokens`");
    let warm = json!({"temperature": 0.7});
    let only = json!({"message": "Unsupported value: 'temperature' does not support 0.7 with this model.", "param": "temperature", "code": "unsupported_value"});
    check(warm.clone(), 400, only, "leave it out of `models.teacher.params`, or give it a value");
    check(
        warm.clone(),
        400,
        json!({"message": "`temperature` is deprecated for this model."}),
        "`temperature`",
    );
    check(
        warm.clone(),
        400,
        json!({"message": "gpt-5 models don't support temperature=0.7."}),
        "`temperature`",
    );
    check(
        json!({"logprobs": true}),
        400,
        json!({"message": "This model does not support logprobs."}),
        "`logprobs`",
    );
    check(
        json!({}),
        422,
        json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]}),
        "leave it out of `models.teacher.extra_body`",
    );
    check(
        json!({}),
        400,
        json!({"message": "Unrecognized request argument supplied: enable_thinking"}),
        "`enable_thinking`",
    );
    check(warm.clone(), 400, json!({"message": "The temperature 3 must be in [0, 2]"}), "`temperature`");
    check(
        max.clone(),
        400,
        json!({"message": "max_tokens is too large: 300. This model supports at most 200 completion tokens."}),
        "lower it",
    );
    check(
        max,
        400,
        json!({"message": "'max_tokens' is too large: 300. This model's maximum context length is 256 tokens and your request has 12 input tokens."}),
        "lower it",
    );
    check(
        json!({"max_tokens": 9000}),
        413,
        json!({"message": "Request too large for model x: Limit 8000, Requested 9012"}),
        "lower it",
    );
    check(json!({}), 400, json!({"message": "System role not supported"}), "leave `system` out");
    check(
        json!({}),
        400,
        json!({"message": "Conversation roles must alternate user/assistant/user/assistant/..."}),
        "leave `system` out",
    );
}

#[test]
fn a_fault_of_one_record_is_not_a_setting() {
    let warm = json!({"temperature": 0.7, "max_tokens": 300, "stop": ["END"]});
    is_of_record(
        warm.clone(),
        400,
        json!({"message": "Invalid image: could not be read", "param": "messages[0].content"}),
    );
    is_of_record(warm.clone(), 400, json!({"message": "Invalid prompt: what is the temperature in Oslo"}));
    is_of_record(warm.clone(), 400, json!({"message": "the text must stop before the end"}));
    is_of_record(
        warm.clone(),
        400,
        json!({"message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (8700 in the messages, 300 in the completion)."}),
    );
    is_of_record(
        warm.clone(),
        413,
        json!({"message": "Request too large for model x: Limit 8000, Requested 9012"}),
    );
    is_of_record(
        warm.clone(),
        422,
        json!({"detail": [{"loc": ["body", "messages", 0, "content"], "msg": "Extra inputs are not permitted"}]}),
    );
    is_of_record(warm.clone(), 400, json!({"message": "This model does not support image input."}));
    is_of_record(warm, 429, json!({"message": "'temperature' is not supported"}));
}

#[test]
fn an_accepted_setting_is_not_to_blame() {
    let settings = RefusedSettings::new("teacher");
    let refusal = || json!({"message": "'temperature' must be a number", "param": "temperature"});
    let params = json!({"temperature": 0.7});
    assert_eq!(judged(&settings, params.clone(), 400, refusal()).verdict, Verdict::Fatal);
    settings.note_answer(&request());
    assert_eq!(judged(&settings, params, 400, refusal()).verdict, Verdict::RejectRecord);
    let hotter = ModelRequest { params: map(json!({"temperature": 9})), ..request() };
    assert!(!settings.was_accepted(&RefusedSetting::Param("temperature".to_owned()), &hotter));
}
