//! The words of OpenAI's chat and raw completions: the body of a question, and the answer read from a
//! response.

use serde_json::{Map, Value, json};

use super::text::{count, string};
use crate::config::StructuredOutput;
use crate::llm::classify::{Failure, Verdict, clean};
use crate::llm::images::Images;
use crate::llm::{Completion, Message, ModelRequest, More, Usage, reasoning};

/// The body of a chat request, less the model.
pub(super) fn chat(
    request: &ModelRequest,
    mut params: Map<String, Value>,
    form: StructuredOutput,
    images: &mut Images,
) -> Map<String, Value> {
    put_schema(request, &mut params, form);
    let messages: Vec<Value> = request.messages.iter().map(|message| worded(message, images)).collect();
    let mut body = Map::from_iter([("messages".to_owned(), Value::Array(messages))]);
    body.extend(params);
    body
}

/// A message as the API takes it: its content is a text, or a list of parts where it shows images.
fn worded(message: &Message, images: &mut Images) -> Value {
    if message.images.is_empty() {
        return json!(message);
    }
    let mut parts = Vec::with_capacity(1 + message.images.len());
    if !message.content.is_empty() {
        parts.push(json!({"type": "text", "text": message.content}));
    }
    for (_, url) in message.images.iter().zip(images) {
        let mut part = json!({"type": "image_url", "image_url": {}});
        // Moved in: `json!` would copy it.
        part["image_url"]["url"] = Value::String(url);
        parts.push(part);
    }
    let mut worded = json!({"role": message.role});
    worded["content"] = Value::Array(parts);
    worded
}

/// The body of a raw completion, less the model: the messages' texts are the prompt, whoever says them.
pub(super) fn completions(
    request: &ModelRequest,
    mut params: Map<String, Value>,
    form: StructuredOutput,
) -> Map<String, Value> {
    put_schema(request, &mut params, form);
    let texts: Vec<&str> = request.messages.iter().map(|message| &*message.content).collect();
    let mut body = Map::from_iter([("prompt".to_owned(), json!(texts.join("\n\n")))]);
    body.extend(params);
    body
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
    // A form that the user wrote stays.
    params.entry(name).or_insert(value);
}

/// Reads the answer of either kind.
pub(super) fn read(mut answer: Value) -> Result<Completion, Failure> {
    let usage = usage(&answer);
    let choices = match answer.get_mut("choices").map(Value::take) {
        Some(Value::Array(choices)) if !choices.is_empty() => choices,
        _ => return Err(Failure::new(Verdict::Retry, "empty_choices", "the response holds no choice")),
    };
    let choice = &choices[0];
    let finish_reason = string(choice, "finish_reason");
    if finish_reason.as_deref() == Some("content_filter") {
        let message = "the server's filter stopped the answer";
        return Err(Failure::new(Verdict::Record, "content_filter", message));
    }
    let message = choice.get("message").unwrap_or(&Value::Null);
    let tool_calls = message.get("tool_calls").filter(|calls| !calls.is_null() && **calls != json!([]));
    let content = match content(choice) {
        Some(content) => content,
        None if tool_calls.is_some() => String::new(),
        None => return Err(no_content(message, finish_reason.as_deref())),
    };

    let (inline, text) = without_reasoning(&content);
    let apart = string(message, "reasoning_content").or_else(|| string(message, "reasoning"));
    let reasoning = apart.filter(|apart| !apart.trim().is_empty()).or_else(|| inline.map(str::to_owned));
    let more = More {
        tool_calls: tool_calls.cloned(),
        logprobs: choice.get("logprobs").filter(|logprobs| !logprobs.is_null()).cloned(),
        choices: match choices.len() {
            1 => Vec::new(),
            _ => choices.iter().map(|choice| text_of(choice).unwrap_or_default()).collect(),
        },
    };
    Ok(Completion { text: text.to_owned(), reasoning, finish_reason, usage, attempts: 0, more: more.boxed() })
}

/// The text of one of several choices, reasoning cut off.
fn text_of(choice: &Value) -> Option<String> {
    let content = content(choice)?;
    Some(without_reasoning(&content).1.to_owned())
}

/// Reasoning and answer; an answer without reasoning is left as it is, white space and all.
fn without_reasoning(content: &str) -> (Option<&str>, &str) {
    let (reasoning, answer) = reasoning::split(content);
    match reasoning.is_some() || content.trim_start().starts_with('<') {
        true => (reasoning, answer),
        false => (None, content),
    }
}

/// A message without text: why, as far as it says.
fn no_content(message: &Value, finish_reason: Option<&str>) -> Failure {
    if let Some(refusal) = string(message, "refusal") {
        return Failure::new(Verdict::Record, "refusal", format!("the model refuses: {}", clean(&refusal)));
    }
    // Stopped at the token limit while still reasoning: it would be so again.
    let verdict = if finish_reason == Some("length") { Verdict::Record } else { Verdict::Retry };
    let reason = finish_reason.unwrap_or("none given");
    Failure::new(verdict, "no_content", format!("the answer has no text (finish reason: {reason})"))
}

/// The text of a choice: a string, or the texts of its parts; in a raw completion, `text`.
fn content(choice: &Value) -> Option<String> {
    let Some(content) = choice.get("message").and_then(|message| message.get("content")) else {
        return string(choice, "text");
    };
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        _ => None,
    }
}

fn usage(answer: &Value) -> Usage {
    let usage = answer.get("usage").unwrap_or(&Value::Null);
    let [prompt_tokens, completion_tokens] =
        ["prompt_tokens", "completion_tokens"].map(|name| count(usage, name));
    Usage { prompt_tokens, completion_tokens }
}

#[cfg(test)]
mod tests {
    use super::super::text::MOST_TOKENS;
    use super::super::{Asked, Dialect};
    use super::*;
    use crate::llm::Message;

    fn answer(message: Value) -> Value {
        json!({"choices": [{"message": message, "finish_reason": "stop"}]})
    }

    fn read_value(value: &Value) -> Result<Completion, Failure> {
        Dialect::Chat.read(value.to_string().as_bytes())
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
            let failure = Dialect::Chat.read(body.as_bytes()).unwrap_err();
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
    }

    #[test]
    fn tool_calls_logprobs_and_further_choices_are_kept() {
        let calls = json!([{"function": {"name": "f", "arguments": "{}"}}]);
        let completion = read_value(&answer(json!({"content": null, "tool_calls": calls}))).unwrap();
        assert_eq!((&*completion.text, completion.more.unwrap().tool_calls), ("", Some(calls)));
        let choices = json!({"choices": [
            {"text": " one\n", "logprobs": {"tokens": ["one"]}, "finish_reason": "stop"},
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
        let asked = |dialect| Asked {
            dialect,
            model: "m".to_owned(),
            params: map(json!({"temperature": 0.7, "max_tokens": 9})),
            extra_body: map(json!({"top_k": 3})),
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
