//! Compares the result of a stream of events with the same server's answer without streaming.

mod ends;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::llm::Completion;
use crate::llm::sse::EventDecoder;

/// Puts the events of a stream together that comes in these pieces.
fn put<'a>(dialect: Dialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Completion, Failure> {
    let (mut decoder, mut streamed) = (EventDecoder::new(1 << 20), StreamedAnswer::new(dialect, 1));
    for mut fragment in pieces {
        while let Some(event) = decoder.next(&mut fragment).unwrap() {
            streamed.take(event)?;
        }
    }
    if let Some(event) = decoder.rest() {
        let _ = streamed.take(event);
    }
    dialect.read_value(streamed.into_body()?)
}

fn stream_of(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// A chunk of the first choice.
fn chunk(delta: Value) -> Value {
    json!({"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn end(reason: &str) -> Value {
    json!({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

/// Checks that the events come to the same as `whole`, an answer without streaming.
#[track_caller]
fn same(dialect: Dialect, events: &[Value], whole: Value) {
    let stream = stream_of(events) + "data: [DONE]\n\n";
    let expected = dialect.read_value(whole);
    assert!(expected.is_ok(), "{expected:?}");
    assert_eq!(put(dialect, [stream.as_bytes()]), expected, "{stream}");
    assert_eq!(put(dialect, stream.as_bytes().chunks(1)), expected, "byte by byte: {stream}");
}

#[track_caller]
fn fails(dialect: Dialect, stream: &str, verdict: Verdict, class: &str, has: &str) {
    let failure = put(dialect, [stream.as_bytes()]).unwrap_err();
    assert_eq!((failure.verdict, &*failure.class), (verdict, class), "{stream}: {failure:?}");
    assert!(failure.message.contains(has), "{failure:?}");
}

fn whole(message: Value, reason: &str) -> Value {
    json!({"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": reason}]})
}

#[test]
fn fragments_of_a_message_are_assembled() {
    let events = [
        chunk(json!({"role": "assistant", "content": ""})),
        chunk(json!({"role": "assistant", "content": null, "reasoning_content": "h"})),
        chunk(json!({"role": "assistant", "reasoning_content": "m"})),
        chunk(json!({"role": "assistant", "content": "Os"})),
        chunk(json!({"content": "lo \u{1f1f3}"})),
        chunk(json!({"content": "\u{1f1f4}"})),
        end("stop"),
        json!({"model": "", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}),
        json!({"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}),
    ];
    let mut expected =
        whole(json!({"content": "Oslo \u{1f1f3}\u{1f1f4}", "reasoning_content": "hm"}), "stop");
    expected["usage"] = json!({"prompt_tokens": 7, "completion_tokens": 3});
    same(Dialect::Chat, &events, expected);
}

#[test]
fn raw_completions_are_texts_of_choices() {
    let text = |text: &str, reason: Value| json!({"choices": [{"index": 0, "text": text, "finish_reason": reason, "logprobs": {"tokens": [text]}}]});
    let events = [text(" Os", Value::Null), text("lo", Value::Null), text("", json!("length"))];
    let expected = json!({"choices": [{"index": 0, "text": " Oslo", "finish_reason": "length", "logprobs": {"tokens": [" Os", "lo", ""]}}]});
    same(Dialect::Completions, &events, expected);
}

#[test]
fn several_choices_are_distinguished_by_their_index() {
    let fragment = |index: u64, text: &str, reason: Value| json!({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}]});
    let events = [
        fragment(1, "two", Value::Null),
        fragment(0, "o", Value::Null),
        json!({"choices": [
            {"index": 0, "delta": {"content": "ne"}, "finish_reason": "stop"},
            {"index": 18_446_744_073_709_551_615_u64, "delta": {"content": "far"}, "finish_reason": "length"},
        ]}),
        fragment(1, "!", json!("stop")),
    ];
    let choice = |text: &str, reason: &str| json!({"message": {"content": text}, "finish_reason": reason});
    let expected =
        json!({"choices": [choice("one", "stop"), choice("two!", "stop"), choice("far", "length")]});
    same(Dialect::Chat, &events, expected);
}

#[test]
fn calls_are_distinguished_however_they_are_numbered() {
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let calls = |list: &[Value]| chunk(json!({"tool_calls": list}));
    let numbered = |index: u64, mut call: Value| {
        call["index"] = json!(index);
        call
    };
    let rest = |index: u64, arguments: &str| json!({"index": index, "function": {"arguments": arguments}});
    let expected = whole(
        json!({"content": null, "tool_calls": [call("a", "f", "{\"x\": 1}"), call("b", "g", "{}")]}),
        "tool_calls",
    );
    // OpenAI's way.
    let events = [
        chunk(json!({"role": "assistant", "content": null})),
        calls(&[numbered(0, call("a", "f", ""))]),
        calls(&[rest(0, "{\"x\"")]),
        calls(&[rest(0, ": 1}"), numbered(1, call("b", "g", ""))]),
        calls(&[rest(1, "{}")]),
        end("tool_calls"),
    ];
    same(Dialect::Chat, &events, expected.clone());
    // The id, the type and the name with every piece; ids left empty; the name in pieces.
    let events = [
        calls(&[numbered(0, call("a", "f", "{\"x\""))]),
        calls(&[numbered(0, call("a", "f", ": 1}"))]),
        calls(&[numbered(1, call("b", "", ""))]),
        calls(&[numbered(1, call("", "g", "{}"))]),
        end("tool_calls"),
    ];
    same(Dialect::Chat, &events, expected.clone());
    // All numbered 0, each whole; and without numbers.
    let all_0 = [
        calls(&[numbered(0, call("a", "f", "{\"x\": 1}"))]),
        calls(&[numbered(0, call("b", "g", "{}"))]),
        end("tool_calls"),
    ];
    same(Dialect::Chat, &all_0, expected.clone());
    let none = [
        calls(&[call("a", "f", "{\"x\": 1}"), call("b", "g", "{")]),
        calls(&[json!({"function": {"arguments": "}"}})]),
        end("tool_calls"),
    ];
    same(Dialect::Chat, &none, expected.clone());
    // Out of order, and an empty piece.
    let events = [
        calls(&[rest(2, ""), numbered(1, call("b", "g", "{}")), numbered(0, call("a", "f", "{\"x\": 1}"))]),
        end("tool_calls"),
    ];
    same(Dialect::Chat, &events, expected.clone());
    // An id of its own for each piece.
    let events = [
        calls(&[numbered(0, call("a", "f", ""))]),
        calls(&[json!({"index": 0, "id": "b", "function": {"arguments": "{}"}})]),
        end("tool_calls"),
    ];
    let one = json!({"content": null, "tool_calls": [call("a", "f", "{}")]});
    same(Dialect::Chat, &events, whole(one, "tool_calls"));
}

#[test]
fn log_probabilities_and_refusals_are_pieces_too() {
    let entry = |token: &str| json!({"token": token, "logprob": -0.5, "top_logprobs": []});
    let with = |text: &str, reason: Value| json!({"choices": [{"index": 0, "delta": {"content": text}, "logprobs": {"content": [entry(text)], "refusal": null}, "finish_reason": reason}]});
    let events = [with("Os", Value::Null), with("lo", json!("stop"))];
    let mut expected = whole(json!({"content": "Oslo"}), "stop");
    expected["choices"][0]["logprobs"] = json!({"content": [entry("Os"), entry("lo")], "refusal": null});
    expected.as_object_mut().unwrap().remove("model");
    same(Dialect::Chat, &events, expected);
    let refusal = [chunk(json!({"refusal": "I can"})), chunk(json!({"refusal": "not."})), end("stop")];
    fails(Dialect::Chat, &stream_of(&refusal), Verdict::RejectRecord, "refusal", "I cannot.");
}

#[test]
fn parts_and_texts_are_joined_in_order() {
    let thinking =
        |text: &str| json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]});
    let events = [
        chunk(json!({"role": "assistant", "content": ""})),
        chunk(thinking("h")),
        chunk(thinking("m")),
        chunk(json!({"content": "Os"})),
        chunk(json!({"content": "l"})),
        chunk(json!({"content": [{"type": "text", "text": "o"}]})),
        end("stop"),
    ];
    let expected = json!({"content": [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "Oslo"},
    ]});
    same(Dialect::Chat, &events, whole(expected, "stop"));
    let detail = |text: &str| json!({"content": "", "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": text}]});
    let events = [chunk(detail("h")), chunk(detail("m")), chunk(json!({"content": "Oslo"})), end("stop")];
    let expected =
        json!({"content": "Oslo", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]});
    same(Dialect::Chat, &events, whole(expected, "stop"));
}

#[test]
fn a_complete_answer_at_the_end_of_the_stream_is_used() {
    let mut last = whole(json!({"role": "assistant", "content": "Oslo"}), "stop");
    last["object"] = json!("chat.completion");
    last["usage"] = json!({"total_tokens": 20, "prompt_tokens": 12, "completion_tokens": 8});
    same(
        Dialect::Chat,
        &[chunk(json!({"content": "Os"})), chunk(json!({"content": "lo"})), last.clone()],
        last.clone(),
    );
    // Its usage may come apart from it, and its end be lost on the way.
    let mut without = last.clone();
    without["usage"] = Value::Null;
    let usage = json!({"choices": [], "usage": last["usage"]});
    same(Dialect::Chat, &[usage, without], last.clone());
    let mut cut = last.clone();
    cut["choices"][0]["finish_reason"] = Value::Null;
    fails(Dialect::Chat, &stream_of(&[cut]), Verdict::Retry, "cut_body", "ended in the middle");
    let twice = stream_of(&[last.clone(), last]);
    fails(Dialect::Chat, &twice, Verdict::Retry, "cut_body", "several answers");
}

#[test]
fn fields_beside_a_fragment_are_not_fragments() {
    let fragment = |delta: &str, so_far: &str, reason: Value| {
        json!({"model": "m", "object": "chat.completion", "choices": [{"index": 0, "finish_reason": reason,
            "message": {"role": "assistant", "content": so_far}, "delta": {"content": delta}}]})
    };
    let events = [
        fragment("Os", "Os", Value::Null),
        fragment("lo", "Oslo", Value::Null),
        fragment("", "Oslo", json!("stop")),
    ];
    same(Dialect::Chat, &events, whole(json!({"role": "assistant", "content": "Oslo"}), "stop"));
}

#[test]
fn blocks_of_a_message_are_assembled() {
    let start = json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 7, "cache_read_input_tokens": 5, "output_tokens": 1},
    }});
    let open = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let more =
        |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let close = |index: u64| json!({"type": "content_block_stop", "index": index});
    let ended = |reason: &str| json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 30}});
    let stop = json!({"type": "message_stop"});
    let events = [
        start.clone(),
        json!({"type": "ping"}),
        open(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        more(0, json!({"type": "thinking_delta", "thinking": "h"})),
        more(0, json!({"type": "thinking_delta", "thinking": "m"})),
        more(0, json!({"type": "signature_delta", "signature": "Z0FB"})),
        close(0),
        open(1, json!({"type": "text", "text": ""})),
        more(1, json!({"type": "text_delta", "text": "Os"})),
        more(1, json!({"type": "citations_delta", "citation": {}})),
        json!({"type": "something_new"}),
        more(1, json!({"type": "text_delta", "text": "lo"})),
        close(1),
        open(2, json!({"type": "tool_use", "id": "t", "name": "f", "input": {}})),
        more(2, json!({"type": "input_json_delta", "partial_json": ""})),
        more(2, json!({"type": "input_json_delta", "partial_json": "{\"x\":"})),
        more(2, json!({"type": "input_json_delta", "partial_json": " 1}"})),
        close(2),
        open(3, json!({"type": "tool_use", "id": "u", "name": "g", "input": {}})),
        close(3),
        ended("tool_use"),
        stop.clone(),
    ];
    let expected = json!({
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "Z0FB"},
            {"type": "text", "text": "Oslo"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "u", "name": "g", "input": {}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 7, "cache_read_input_tokens": 5, "output_tokens": 30},
    });
    same(Dialect::Anthropic, &events, expected);
    // Content that is there from the start.
    let mut begun = start.clone();
    begun["message"]["content"] = json!([{"type": "text", "text": "Oslo"}]);
    begun["message"]["stop_reason"] = json!("end_turn");
    let whole = json!({"model": "m", "content": [{"type": "text", "text": "Oslo"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 7, "cache_read_input_tokens": 5, "output_tokens": 1}});
    same(Dialect::Anthropic, &[begun, stop.clone()], whole);
    let cut = |events: &[Value], has: &str| {
        fails(Dialect::Anthropic, &stream_of(events), Verdict::Retry, "cut_body", has);
    };
    let half = [start.clone(), more(0, json!({"type": "text_delta", "text": "Os"}))];
    cut(&half, "ended in the middle");
    let overloaded = "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\", \"message\": \"Overloaded\"}}\n\n";
    fails(
        Dialect::Anthropic,
        &(stream_of(&half) + overloaded),
        Verdict::Throttled,
        "overloaded",
        "Overloaded",
    );
    // A tool's input that ended at the limit of tokens stays a text.
    let events = [
        start,
        open(0, json!({"type": "tool_use", "id": "t", "name": "f", "input": {}})),
        more(0, json!({"type": "input_json_delta", "partial_json": "{\"x\": \"un"})),
        ended("max_tokens"),
        stop,
    ];
    let completion = put(Dialect::Anthropic, [stream_of(&events).as_bytes()]).unwrap();
    assert_eq!(completion.more.unwrap().tool_calls.unwrap()[0]["input"], "{\"x\": \"un");
    assert_eq!(completion.finish_reason.as_deref(), Some("length"));
}

proptest! {
    #[test]
    fn any_events_are_read(
        events in prop::collection::vec(
            "\\{(\"(choices|index|delta|message|content|type|text|tool_calls|function|name|usage|error)\": ?(\\[?\\{?|\"[a-z]{0,4}\"|[0-9]|null)[,:\\]\\}]{0,3}){0,8}\\}{0,3}",
            0..6,
        ),
    ) {
        let stream: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        for dialect in [Dialect::Chat, Dialect::Completions, Dialect::Anthropic] {
            let at_once = put(dialect, [stream.as_bytes()]);
            prop_assert_eq!(put(dialect, stream.as_bytes().chunks(5)), at_once);
        }
    }

    /// However an answer is cut into events and these into pieces, it comes out the same.
    #[test]
    fn cuts_make_no_difference(
        text in "[a-z <>/\u{1f600}ä\\n\"\\\\]{1,60}",
        cuts in prop::collection::vec(1_usize..7, 1..30),
        pieces in 1_usize..50,
    ) {
        let characters: Vec<char> = text.chars().collect();
        let mut events = vec![chunk(json!({"role": "assistant"}))];
        let mut rest = &characters[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, then) = rest.split_at((*cut).min(rest.len()));
            events.push(chunk(json!({"content": part.iter().collect::<String>()})));
            rest = then;
        }
        events.push(end("stop"));
        let stream = stream_of(&events) + "data: [DONE]\n\n";
        let expected = Dialect::Chat.read_value(whole(json!({"content": text}), "stop"));
        prop_assert_eq!(put(Dialect::Chat, stream.as_bytes().chunks(pieces)), expected);
    }
}
