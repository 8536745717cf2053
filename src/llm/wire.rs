//! The words of OpenAI's chat completions: the body of a question, and the answer read from a response.
//!
//! `openai` sends and receives the bytes; an answer that cannot be used becomes a `Failure` here.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::classify::{self, Failure, Verdict, clean};
use super::{Completion, Message, ModelRequest, Usage, reasoning};
use crate::config::StructuredOutput;

/// Parameters that cannot be set: the client sets them itself, or could not read the answer.
pub const RESERVED_PARAMS: &[&str] = &["messages", "model", "n", "stream"];

/// Counts above this are nonsense, and sums of them could overflow.
const MOST_TOKENS: u64 = u32::MAX as u64;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a [Message],
    #[serde(flatten)]
    params: Map<String, Value>,
}

/// The body of a request: the model's parameters, the request's over them, the schema in the given form.
pub(super) fn body(
    model: &str,
    model_params: &Map<String, Value>,
    request: &ModelRequest,
    form: StructuredOutput,
) -> Result<Vec<u8>, Failure> {
    let mut params = model_params.clone();
    params.extend(request.params.iter().map(|(name, value)| (name.clone(), value.clone())));
    params.retain(|name, _| !RESERVED_PARAMS.contains(&name.as_str()));
    if let Some(schema) = &request.schema
        && let Some(format) = response_format(schema, form)
    {
        // A format that the user wrote stays.
        params.entry("response_format").or_insert(format);
    }
    serde_json::to_vec(&Body { model, messages: &request.messages, params }).map_err(|error| {
        Failure::new(Verdict::Record, "request", format!("cannot write the request: {error}"))
    })
}

/// `strict` is left out: servers that enforce schemas do so without it, and hosted ones refuse many
/// schemas under it.
fn response_format(schema: &Value, form: StructuredOutput) -> Option<Value> {
    match form {
        StructuredOutput::JsonSchema => {
            Some(json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}))
        }
        StructuredOutput::JsonObject => Some(json!({"type": "json_object"})),
        StructuredOutput::Off => None,
    }
}

/// Reads the answer from the body of a response with a success status.
pub(super) fn read(body: &[u8]) -> Result<Completion, Failure> {
    let Some(mut answer) = parse(body) else {
        return Err(not_json(body));
    };
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        return Err(classify::error_in_200(error));
    }
    let usage = usage(&answer);
    let Some(choice) = answer.pointer_mut("/choices/0").map(Value::take) else {
        return Err(Failure::new(Verdict::Retry, "empty_choices", "the response holds no choice"));
    };
    let finish_reason = text(&choice, "finish_reason");
    let message = choice.get("message").unwrap_or(&Value::Null);
    if finish_reason.as_deref() == Some("content_filter") {
        return Err(Failure::new(
            Verdict::Record,
            "content_filter",
            "the server's filter stopped the answer",
        ));
    }
    let Some(content) = content(message) else {
        return Err(no_content(message, finish_reason.as_deref()));
    };

    let (inline, answer) = reasoning::split(&content);
    let apart = text(message, "reasoning_content").or_else(|| text(message, "reasoning"));
    let reasoning = apart.filter(|apart| !apart.trim().is_empty()).or_else(|| inline.map(str::to_owned));
    let text = if inline.is_some() || content.trim_start().starts_with('<') { answer } else { &content };
    Ok(Completion { text: text.to_owned(), reasoning, finish_reason, usage, attempts: 0 })
}

/// The body as JSON. Bytes that are no UTF-8 and halves of surrogate pairs, which models do write, become
/// replacement characters: the rest of the answer is paid for and may well do.
fn parse(body: &[u8]) -> Option<Value> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Some(value);
    }
    let text = String::from_utf8_lossy(body);
    serde_json::from_str(&without_lone_surrogates(&text)).ok()
}

/// Replaces each `\uD800` to `\uDFFF` that is not one of a pair by `\uFFFD`.
fn without_lone_surrogates(text: &str) -> String {
    let unit = |at: usize| {
        let escape = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        out.push_str(&text[at..at + found]);
        at += found;
        let length = match (unit(at), unit(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str("\\uFFFD");
                at += 6;
                continue;
            }
            // Any other escape: the character after the backslash is not looked at again.
            _ => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&text[at..at + length]);
        at += length;
    }
    out.push_str(&text[at..]);
    out
}

/// A page where an answer should be: a gateway's, which passes, or the wrong address.
fn not_json(body: &[u8]) -> Failure {
    let start: String = String::from_utf8_lossy(&body[..body.len().min(600)]).chars().take(80).collect();
    let message = format!("the response is not JSON: `{}`", clean(&start));
    Failure {
        hint: Some("does the base URL end in /v1?"),
        ..Failure::new(Verdict::Retry, "not_json", message)
    }
}

/// A message without text: why, as far as it says.
fn no_content(message: &Value, finish_reason: Option<&str>) -> Failure {
    if let Some(refusal) = text(message, "refusal") {
        return Failure::new(Verdict::Record, "refusal", format!("the model refuses: {}", clean(&refusal)));
    }
    if message.get("tool_calls").is_some_and(|calls| !calls.is_null() && calls != &json!([])) {
        return Failure::new(Verdict::Record, "tool_call", "the model called a tool instead of answering");
    }
    // Stopped at the token limit while still reasoning: it would be so again.
    let verdict = if finish_reason == Some("length") { Verdict::Record } else { Verdict::Retry };
    let reason = finish_reason.unwrap_or("none given");
    Failure::new(verdict, "no_content", format!("the answer has no text (finish reason: {reason})"))
}

/// The text of a message: a string, or the texts of its parts.
fn content(message: &Value) -> Option<String> {
    match message.get("content")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        _ => None,
    }
}

fn text(object: &Value, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

fn usage(answer: &Value) -> Usage {
    let count = |name: &str| {
        let value = answer.get("usage").and_then(|usage| usage.get(name));
        value.and_then(Value::as_u64).unwrap_or(0).min(MOST_TOKENS)
    };
    Usage { prompt_tokens: count("prompt_tokens"), completion_tokens: count("completion_tokens") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(message: Value) -> Value {
        json!({"choices": [{"message": message, "finish_reason": "stop"}]})
    }

    fn read_value(value: &Value) -> Result<Completion, Failure> {
        read(value.to_string().as_bytes())
    }

    #[test]
    fn answers_are_read_with_their_reasoning() {
        let check = |message: Value, text: &str, reasoning: Option<&str>| {
            let completion = read_value(&answer(message)).unwrap();
            assert_eq!((&*completion.text, completion.reasoning.as_deref()), (text, reasoning));
            assert_eq!(completion.finish_reason.as_deref(), Some("stop"));
        };
        check(json!({"content": " Oslo\n"}), " Oslo\n", None);
        check(json!({"content": "<think>hm</think>\n\nOslo"}), "Oslo", Some("hm"));
        check(json!({"content": "<think></think>\n\nOslo"}), "Oslo", None);
        check(json!({"content": "Oslo", "reasoning_content": "hm"}), "Oslo", Some("hm"));
        check(json!({"content": "Oslo", "reasoning": "hm", "reasoning_content": null}), "Oslo", Some("hm"));
        check(json!({"content": [{"type": "text", "text": "Os"}, {"text": "lo"}]}), "Oslo", None);
        check(json!({"content": ""}), "", None);
    }

    #[test]
    fn t40_broken_characters_do_not_lose_an_answer() {
        let check = |content: &[u8], text: &str| {
            let body = [br#"{"choices": [{"message": {"content": ""#, content, br#""}}]}"#].concat();
            assert_eq!(read(&body).unwrap().text, text);
        };
        check(br"a\ud83d b", "a\u{fffd} b");
        check(br"\ude00\ud83d\ude00\n", "\u{fffd}\u{1f600}\n");
        check(br"\\ud83d \ud83d", "\\ud83d \u{fffd}");
        check(b"caf\xe9", "caf\u{fffd}");
    }

    #[test]
    fn usage_is_what_makes_sense() {
        let check = |usage: Value, prompt: u64, completion: u64| {
            let mut answer = answer(json!({"content": "x"}));
            answer["usage"] = usage;
            let usage = read_value(&answer).unwrap().usage;
            assert_eq!((usage.prompt_tokens, usage.completion_tokens), (prompt, completion));
        };
        check(json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}), 7, 3);
        check(json!(null), 0, 0);
        check(json!({"prompt_tokens": -7, "completion_tokens": u64::MAX}), 0, MOST_TOKENS);
    }

    #[test]
    fn what_is_no_answer_has_a_class() {
        let check = |body: &str, verdict: Verdict, class: &str| {
            let failure = read(body.as_bytes()).unwrap_err();
            assert_eq!((failure.verdict, &*failure.class), (verdict, class), "{body}");
        };
        check("<html>Welcome</html>", Verdict::Retry, "not_json");
        check("", Verdict::Retry, "not_json");
        check(&"[".repeat(100_000), Verdict::Retry, "not_json");
        check("{}", Verdict::Retry, "empty_choices");
        check(r#"{"choices": []}"#, Verdict::Retry, "empty_choices");
        check(r#"{"error": {"code": 503}}"#, Verdict::Pause, "status_503");
        check(r#"{"choices": [{}]}"#, Verdict::Retry, "no_content");
        check(r#"{"choices": [{"message": {"content": null}}]}"#, Verdict::Retry, "no_content");
        check(
            r#"{"choices": [{"message": {"content": null}, "finish_reason": "length"}]}"#,
            Verdict::Record,
            "no_content",
        );
        check(
            r#"{"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]}"#,
            Verdict::Record,
            "content_filter",
        );
        check(
            r#"{"choices": [{"message": {"content": null, "refusal": "no"}}]}"#,
            Verdict::Record,
            "refusal",
        );
        check(r#"{"choices": [{"message": {"tool_calls": [{}]}}]}"#, Verdict::Record, "tool_call");
    }

    #[test]
    fn the_body_holds_merged_params_and_the_schema() {
        let map = |value: Value| value.as_object().cloned().unwrap();
        let request = ModelRequest {
            messages: vec![Message::new("user", "Hi")],
            params: map(json!({"temperature": 0.1, "stream": true})),
            schema: Some(json!({"type": "object"}).into()),
        };
        let model_params = map(json!({"temperature": 0.7, "max_tokens": 9}));
        let check = |form: StructuredOutput, format: Value| {
            let body: Value =
                serde_json::from_slice(&body("m", &model_params, &request, form).unwrap()).unwrap();
            assert_eq!(body["model"], "m");
            assert_eq!(body["messages"], json!([{"role": "user", "content": "Hi"}]));
            assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0.1), &json!(9)));
            assert_eq!((&body["response_format"], body.get("stream")), (&format, None));
        };
        let schema = json!({"name": "answer", "schema": {"type": "object"}});
        check(StructuredOutput::JsonSchema, json!({"type": "json_schema", "json_schema": schema}));
        check(StructuredOutput::JsonObject, json!({"type": "json_object"}));
        check(StructuredOutput::Off, Value::Null);
    }
}
