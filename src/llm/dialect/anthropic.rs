//! Anthropic's messages API: the body of a request, and the answer of a response.
//!
//! It differs from OpenAI's: system text is separate, `max_tokens` is required, an answer is a list of blocks, and
//! there is no `response_format`, so a schema has to be in the prompt. The prompt is cached only up to where a request
//! marks it.

mod conversation;

use serde_json::{Map, Value, json};

use super::finish::FinishReason;
use super::message::AnswerText;
use super::usage;
use crate::llm::classify::{Failure, no_answer};
use crate::llm::images::Images;
use crate::llm::{Completion, CompletionExtras, Message, ModelRequest};

/// The default for `max_tokens`, which the API requires.
const MAX_TOKENS: u64 = 4096;

/// The API's limit of cache marks in a request.
const MAX_MARKS: usize = 4;

/// Returns how many cache marks may be added to those that the user set in messages, tools and other fields.
pub(super) fn remaining_cache_marks(request: &ModelRequest, settings: [&Map<String, Value>; 2]) -> usize {
    let messages = request.messages.iter();
    let in_messages =
        messages.map(|message| message.parts.as_ref().map_or(0, count_marks) + count_marks_in(&message.more));
    let own = in_messages.chain(settings.map(count_marks_in)).sum();
    MAX_MARKS.saturating_sub(own)
}

fn count_marks(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.iter().map(count_marks).sum(),
        Value::Object(fields) => count_marks_in(fields),
        _ => 0,
    }
}

fn count_marks_in(fields: &Map<String, Value>) -> usize {
    let own = fields.get("cache_control").is_some_and(|mark| !mark.is_null());
    usize::from(own) + fields.values().map(count_marks).sum::<usize>()
}

/// Encodes the body of a request with at most `marks` cache marks: on the system text, then on the first messages with
/// a shared prefix.
pub(super) fn body(
    request: &ModelRequest,
    params: Map<String, Value>,
    mut marks: usize,
    images: &mut Images,
) -> Result<Map<String, Value>, Failure> {
    let (system, messages): (Vec<&Message>, Vec<&Message>) =
        request.messages.iter().partition(|message| matches!(&*message.role, "system" | "developer"));
    let system: Vec<&str> = system.iter().map(|message| &*message.content).collect();
    let mut body = Map::new();
    if !system.is_empty() {
        let text = system.join("\n\n");
        // The API refuses a mark on an empty text.
        let marked = marks > 0 && !text.trim().is_empty();
        marks -= usize::from(marked);
        let system = if marked { json!([conversation::cached_text(&text)]) } else { json!(text) };
        body.insert("system".to_owned(), system);
    }
    let messages = conversation::encode(&messages, marks, images)?;
    body.insert("messages".to_owned(), Value::Array(messages));
    body.insert("max_tokens".to_owned(), json!(MAX_TOKENS));
    for (name, value) in params {
        match &*name {
            "stop" => {
                let list = if value.is_array() { value } else { json!([value]) };
                body.insert("stop_sequences".to_owned(), list);
            }
            // The API returns no log probabilities; stages that can do without them must be able to ask.
            "logprobs" | "top_logprobs" => {}
            "tools" => drop(body.insert(name, conversation::tools(value))),
            "max_completion_tokens" => drop(body.insert("max_tokens".to_owned(), value)),
            _ => drop(body.insert(name, value)),
        }
    }
    Ok(body)
}

pub(super) fn read(answer: Value) -> Result<Completion, Failure> {
    let blocks = answer.get("content").and_then(Value::as_array);
    let Some(blocks) = blocks.filter(|blocks| !blocks.is_empty()) else {
        return Err(no_answer(&answer));
    };
    let of_type = |kind: &str, field: &str| -> String {
        let blocks = blocks.iter().filter(|block| block.get("type").and_then(Value::as_str) == Some(kind));
        blocks.filter_map(|block| block.get(field)?.as_str()).collect()
    };
    let thinking = Some(of_type("thinking", "thinking")).filter(|thinking| !thinking.trim().is_empty());
    let AnswerText { text, reasoning } = AnswerText::of_text(of_type("text", "text"), thinking);
    let calls: Vec<&Value> =
        blocks.iter().filter(|block| block.get("type").and_then(Value::as_str) == Some("tool_use")).collect();
    let finish = FinishReason::read(answer.get("stop_reason"));
    if let Some(failure) = finish.failure() {
        return Err(failure.after(usage::read(&answer, false)));
    }
    if text.trim().is_empty() && calls.is_empty() {
        return Err(finish.no_text().after(usage::read(&answer, false)));
    }
    Ok(Completion {
        text,
        reasoning,
        finish_reason: finish.label().map(str::to_owned),
        usage: usage::read(&answer, true),
        more: CompletionExtras {
            tool_calls: (!calls.is_empty()).then(|| json!(calls)),
            ..CompletionExtras::default()
        }
        .boxed(),
        ..Completion::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::classify::Verdict;

    #[test]
    fn system_text_is_separate_from_the_messages() {
        let messages = vec![
            Message::new("system", "Be brief."),
            Message::new("user", "Hi"),
            Message::new("assistant", "{"),
        ];
        let request = ModelRequest { messages, ..ModelRequest::default() };
        let check = |params: Value, field: &str, expected: Value| {
            let params = params.as_object().cloned().unwrap();
            let body = body(&request, params, 0, &mut Images::default()).ok().unwrap();
            assert_eq!((&body["system"], &body[field]), (&json!("Be brief."), &expected));
            assert_eq!(body["messages"].as_array().map(Vec::len), Some(2));
        };
        check(json!({}), "max_tokens", json!(MAX_TOKENS));
        check(json!({"max_tokens": 7}), "max_tokens", json!(7));
        check(json!({"stop": "END"}), "stop_sequences", json!(["END"]));
        check(json!({"temperature": 0.3}), "temperature", json!(0.3));
        let candidates = json!({"logprobs": true, "top_logprobs": 20}).as_object().cloned().unwrap();
        let body = body(&request, candidates, 0, &mut Images::default()).ok().unwrap();
        assert!(!body.contains_key("logprobs") && !body.contains_key("top_logprobs"));
    }

    #[test]
    fn images_are_blocks_before_the_text() {
        let (request, images) = crate::llm::images::testing::request();
        let body = body(&request, Map::new(), 0, &mut images.clone()).ok().unwrap();
        let block = |kind: &str, data: &str| json!({"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}});
        let expected = json!([
            {"role": "user", "content": [
                block("image/png", "AAAA"),
                block("image/webp", "BBBB"),
                {"type": "text", "text": "What is it?"},
            ]},
            {"role": "user", "content": [block("image/png", "CCCC")]},
        ]);
        assert_eq!((&body["messages"], &body["system"]), (&expected, &json!("Be brief.")));
    }

    #[test]
    fn a_shared_prefix_is_marked_if_caching_is_on() {
        let check = |turns: Value, marks: usize, system: Value, messages: Value| {
            let messages_read =
                turns.as_array().unwrap().iter().map(|turn| Message::read(turn).unwrap()).collect();
            let request = ModelRequest { messages: messages_read, ..ModelRequest::default() };
            let body = body(&request, Map::new(), marks, &mut Images::default()).ok().unwrap();
            assert_eq!((body.get("system"), &body["messages"]), (Some(&system), &messages), "{turns}");
        };
        let cached_text =
            |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
        let text = |text: &str| json!({"type": "text", "text": text});
        let turns = |shared: usize| {
            json!([
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Öl: ...\n\nWhy?", "shared_chars": shared},
                {"role": "assistant", "content": "So."},
                {"role": "user", "content": "Again."},
            ])
        };
        let answered = |content: Value| {
            json!([
                {"role": "user", "content": content},
                {"role": "assistant", "content": "So."},
                {"role": "user", "content": "Again."},
            ])
        };
        let (plain, whole) = (json!("Be brief."), json!("Öl: ...\n\nWhy?"));
        check(turns(7), 0, plain, answered(whole.clone()));
        let system = json!([cached_text("Be brief.")]);
        check(turns(0), 4, system.clone(), answered(whole));
        check(turns(7), 4, system.clone(), answered(json!([cached_text("Öl: ..."), text("\n\nWhy?")])));
        let blank = json!([{"role": "user", "content": "Why?\n ", "shared_chars": 4}]);
        let asked = json!([{"role": "system", "content": "Be brief."}, blank[0]]);
        check(asked, 4, system.clone(), json!([{"role": "user", "content": [cached_text("Why?")]}]));
        check(turns(99), 4, system, answered(json!([cached_text("Öl: ...\n\nWhy?")])));
        let blank = json!([{"role": "system", "content": " "}, {"role": "user", "content": "  Why?", "shared_chars": 2}]);
        check(blank, 4, json!(" "), json!([{"role": "user", "content": "  Why?"}]));
    }

    #[test]
    fn no_more_is_marked_than_the_api_allows() {
        let shared = |text: &str| json!({"role": "user", "content": text, "shared_chars": 1});
        let check = |system: bool, own: Value, params: Value, expected: &[usize]| {
            let mut turns = vec![json!({"role": "system", "content": "Be brief."})];
            turns.truncate(usize::from(system));
            turns.push(json!({"role": "user", "content": own}));
            turns.extend(["a", "b", "c", "d", "e"].map(shared));
            let messages = turns.iter().map(|turn| Message::read(turn).unwrap()).collect();
            let request = ModelRequest { messages, ..ModelRequest::default() };
            let params = params.as_object().cloned().unwrap();
            let left = remaining_cache_marks(&request, [&params, &Map::new()]);
            let body = Value::Object(body(&request, params, left, &mut Images::default()).ok().unwrap());
            let messages = body["messages"].as_array().unwrap();
            let marked = std::iter::once(body.get("system").map_or(0, count_marks))
                .chain(messages.iter().map(count_marks));
            assert_eq!(marked.collect::<Vec<_>>(), expected);
            assert!(count_marks(&body) <= MAX_MARKS);
        };
        let mark = json!({"type": "ephemeral"});
        let part = json!([{"type": "text", "text": "Own.", "cache_control": mark}]);
        let tools = json!({"tools": [{"name": "f", "input_schema": {}, "cache_control": mark}]});
        check(true, json!("Own."), json!({}), &[1, 0, 1, 1, 1, 0, 0]);
        check(false, json!("Own."), json!({}), &[0, 0, 1, 1, 1, 1, 0]);
        check(true, part.clone(), json!({}), &[1, 1, 1, 1, 0, 0, 0]);
        check(true, part.clone(), tools, &[1, 1, 1, 0, 0, 0, 0]);
        check(true, json!([part[0], part[0], part[0], part[0]]), json!({}), &[0, 4, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_shared_prefix_is_marked_after_its_images() {
        let (mut request, images) = crate::llm::images::testing::request();
        for message in request.messages.iter_mut().filter(|message| message.role == "user") {
            message.shared = message.content.len().min(4);
        }
        let body = body(&request, Map::new(), 4, &mut images.clone()).ok().unwrap();
        let kinds: Vec<&Value> = body["messages"][0]["content"].as_array().unwrap().iter().collect();
        assert_eq!(
            kinds.iter().map(|block| &block["type"]).collect::<Vec<_>>(),
            ["image", "image", "text", "text"]
        );
        assert_eq!((&kinds[2]["text"], &kinds[3]["text"]), (&json!("What"), &json!(" is it?")));
        assert_eq!(kinds[2]["cache_control"], json!({"type": "ephemeral"}));
    }

    #[test]
    fn answers_are_lists_of_blocks() {
        let answer = json!({
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "Os"},
                {"type": "text", "text": "lo"},
            ],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 7, "cache_read_input_tokens": 5, "output_tokens": 3},
        });
        let completion = read(answer).unwrap();
        assert_eq!((&*completion.text, completion.reasoning.as_deref()), ("Oslo", Some("hm")));
        assert_eq!(completion.finish_reason.as_deref(), Some("stop"));
        assert_eq!((completion.usage.prompt_tokens, completion.usage.completion_tokens), (Some(12), Some(3)));
        let check = |answer: Value, verdict: Verdict, class: &str| {
            let failure = read(answer).unwrap_err();
            assert_eq!((failure.verdict, &*failure.class), (verdict, class));
        };
        check(json!({"content": []}), Verdict::Retry, "empty_choices");
        let thinking = json!([{"type": "thinking", "thinking": "hm"}]);
        check(json!({"content": thinking, "stop_reason": "max_tokens"}), Verdict::RejectRecord, "no_content");
        check(
            json!({"content": [{"type": "text", "text": ""}], "stop_reason": "refusal"}),
            Verdict::RejectRecord,
            "refusal",
        );
        let text = |text: &str| json!([{"type": "text", "text": text}]);
        check(json!({"content": text("Os"), "stop_reason": "pause_turn"}), Verdict::Retry, "unfinished");
        check(json!({"content": text(" \n"), "stop_reason": "end_turn"}), Verdict::Retry, "no_content");
        let full = json!({"content": text("Os"), "stop_reason": "model_context_window_exceeded"});
        assert_eq!(read(full).unwrap().finish_reason.as_deref(), Some("length"));
        let call =
            json!({"content": [{"type": "tool_use", "name": "f", "input": {}}], "stop_reason": "tool_use"});
        assert_eq!(read(call).unwrap().more.unwrap().tool_calls.unwrap()[0]["name"], "f");
    }
}
