//! Ends, errors and sizes of streams.

use serde_json::{Value, json};

use super::super::*;
use super::{EventDecoder, chunk, end, fails, put, stream_of};

#[test]
fn a_stream_without_an_end_is_not_an_answer() {
    let cut = |stream: &str, has: &str| fails(Dialect::Chat, stream, Verdict::Retry, "cut_body", has);
    let half = stream_of(&[chunk(json!({"content": "Os"}))]);
    cut(&half, "ended in the middle");
    cut(&format!("{half}data: [DONE]\n\n"), "without a finish reason");
    cut(&format!("{half}data: {{\"choices\": [{{\"ind"), "ended in the middle");
    cut(": OPENROUTER PROCESSING\n\n", "before anything was said");
    let others = json!({"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]});
    cut(&(half.clone() + &stream_of(&[others])), "ended in the middle");
    // A server that knows no finish reasons, or ends without a word, or without the last line.
    for stream in [
        "data: {\"choices\": [{\"delta\": {\"content\": \"Oslo\"}}]}\n\ndata: [DONE]\n\n".to_owned(),
        "data: {\"choices\": [{\"delta\": {\"content\": \"Oslo\"}, \"finish_reason\": \"stop\"}]}\n\n"
            .to_owned(),
        "data: {\"choices\": [{\"delta\": {\"content\": \"Oslo\"}, \"finish_reason\": \"stop\"}]}".to_owned(),
        "data: {\"choices\": [{\"delta\": {\"content\": \"Oslo\"}}]}\n\ndata: [DONE]".to_owned(),
        // Without empty lines between its events.
        "data: {\"choices\": [{\"delta\": {\"content\": \"Os\"}}]}\ndata: {\"choices\": [{\"delta\": {\"content\": \"lo\"}}]}\ndata: [DONE]\n".to_owned(),
        // Under another name.
        "data: {\"choices\": [{\"delta\": {\"content\": \"Oslo\"}, \"finish_reason\": null, \"finishReason\": \"stop\"}]}\n\n".to_owned(),
    ] {
        assert_eq!(put(Dialect::Chat, [stream.as_bytes()]).unwrap().text, "Oslo", "{stream}");
    }
    let empty = "data: {\"choices\": []}\n\ndata: [DONE]\n\n";
    fails(Dialect::Chat, empty, Verdict::Retry, "empty_choices", "no answer");
    let nothing = stream_of(&[chunk(json!({"content": ""})), end("stop")]);
    fails(Dialect::Chat, &nothing, Verdict::Retry, "no_content", "no text");
}

#[test]
fn missing_choices_are_noticed() {
    let read = |asked: u64, done: &str| {
        let one = stream_of(&[chunk(json!({"content": "Oslo"})), end("stop")]) + done;
        let (mut decoder, mut streamed) =
            (EventDecoder::new(1 << 20), StreamedAnswer::new(Dialect::Chat, asked));
        let mut bytes = one.as_bytes();
        while let Some(event) = decoder.next(&mut bytes).unwrap() {
            streamed.take(event).unwrap();
        }
        streamed.into_body().map_err(|failure| failure.class)
    };
    assert_eq!(read(2, "").unwrap_err(), "cut_body");
    // A server that answers once whatever is asked for says that this was all.
    for (asked, done) in [(1, ""), (2, "data: [DONE]\n\n")] {
        assert!(read(asked, done).is_ok());
    }
}

#[test]
fn errors_in_a_stream_are_classified_like_errors_with_status_200() {
    use Verdict::{Fatal, RejectRecord, Retry, Throttled};
    let half = stream_of(&[chunk(json!({"content": "Os"}))]);
    let check = |event: &str, verdict: Verdict, class: &str, has: &str| {
        fails(Dialect::Chat, &format!("{half}{event}\n\ndata: [DONE]\n\n"), verdict, class, has);
        fails(Dialect::Chat, &format!("{event}\n\n"), verdict, class, has);
    };
    check(r#"data: {"error": {"message": "lost", "code": 502}}"#, Retry, "status_502", "lost");
    check(r#"data: {"error": "lost"}"#, Retry, "error_in_200", "lost");
    check(
        r#"data: {"error": {"message": "slow down", "code": 429}}"#,
        Throttled,
        "rate_limited",
        "slow down",
    );
    check(r#"data: {"error": {"code": "insufficient_quota", "message": "pay"}}"#, Fatal, "quota", "pay");
    let openrouter = r#"data: {"id": "g", "error": {"code": "server_error", "message": "Provider disconnected"}, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}"#;
    check(openrouter, Retry, "error_in_200", "Provider disconnected");
    let vllm = r#"data: {"object": "error", "message": "EngineDeadError", "type": "InternalServerError", "code": 500}"#;
    check(vllm, Retry, "status_500", "EngineDeadError");
    check("event: error\ndata: {\"message\": \"no room\"}", Retry, "error_in_200", "no room");
    let minimax = r#"data: {"choices": null, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}"#;
    check(minimax, Fatal, "quota", "insufficient balance");
    fails(Dialect::Chat, "data: {\"detail\": \"no such thing\"}\n\n", Retry, "error_in_200", "no such thing");
    fails(Dialect::Chat, &format!("{half}data: what is this\n\n"), Retry, "not_json", "what is this");
    let choice = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "lost"}}]});
    fails(Dialect::Chat, &(half + &stream_of(&[choice])), Retry, "unfinished", "lost");
    let filtered = stream_of(&[chunk(json!({"content": "Os"})), end("content_filter")]);
    fails(Dialect::Chat, &filtered, RejectRecord, "content_filter", "filter");
}

#[test]
fn stored_bytes_are_counted() {
    let size = |dialect: Dialect, events: &[Value]| {
        let mut streamed = StreamedAnswer::new(dialect, 1);
        for event in events {
            let data = event.to_string();
            streamed.take(Event { name: b"", data: data.as_bytes() }).unwrap();
        }
        streamed.size()
    };
    let many = |event: &Value| vec![event.clone(); 1000];
    let check = |event: Value, each: std::ops::RangeInclusive<usize>| {
        let per =
            (size(Dialect::Chat, &many(&event)) - size(Dialect::Chat, std::slice::from_ref(&event))) / 999;
        assert!(each.contains(&per), "{event}: {per} bytes each");
    };
    // Text is counted once; repetitions are not counted, whatever surrounds them.
    check(chunk(json!({"role": "assistant", "content": "12345678"})), 8..=8);
    check(chunk(json!({"role": "assistant", "content": ""})), 0..=0);
    check(json!({"choices": [], "usage": {"prompt_tokens": 7}, "id": "c"}), 0..=0);
    check(chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": "1234"}}]})), 4..=4);
    let entry = json!({"token": "x", "logprob": -0.5, "bytes": [1]});
    check(json!({"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [entry]}}]}), 30..=90);
    let choices: Vec<Value> =
        (0..1000).map(|index| json!({"choices": [{"index": index, "delta": {}}]})).collect();
    assert!(size(Dialect::Chat, &choices) >= merge::ENTRY * 1000);
    let calls: Vec<Value> = (0..1000).map(|index| chunk(json!({"tool_calls": [{"index": index}]}))).collect();
    assert!(size(Dialect::Chat, &calls) >= merge::ENTRY * 1000);
    let fields: Vec<Value> =
        (0..1000).map(|at| json!({format!("field_{at}"): null, "choices": []})).collect();
    assert!(size(Dialect::Chat, &fields) >= 8 * 1000);
    let blocks = json!({"type": "content_block_start", "index": 0, "content_block": {}});
    assert!(size(Dialect::Anthropic, &many(&blocks)) >= merge::ENTRY * 1000);
    let text = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "12345678"}});
    assert_eq!(size(Dialect::Anthropic, &many(&text)), merge::ENTRY + 8 * 1000);
}

#[test]
fn the_first_token_is_text_reasoning_or_a_call() {
    let check = |dialect: Dialect, event: Value, wrote: bool| {
        let mut streamed = StreamedAnswer::new(dialect, 1);
        let data = event.to_string();
        streamed.take(Event { name: b"", data: data.as_bytes() }).unwrap();
        assert_eq!(streamed.wrote(), wrote, "{event}");
    };
    check(Dialect::Chat, chunk(json!({"role": "assistant", "content": ""})), false);
    check(Dialect::Chat, json!({"choices": [], "prompt_filter_results": [{"content": "x"}]}), false);
    check(Dialect::Chat, end("stop"), false);
    check(Dialect::Chat, chunk(json!({"content": "O"})), true);
    check(Dialect::Chat, chunk(json!({"reasoning": "h"})), true);
    check(
        Dialect::Chat,
        chunk(json!({"reasoning_details": [{"type": "reasoning.text", "text": "h"}]})),
        true,
    );
    check(Dialect::Chat, chunk(json!({"tool_calls": [{"index": 0, "id": "a"}]})), true);
    check(Dialect::Completions, json!({"choices": [{"text": "O"}]}), true);
    let delta = |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
    check(
        Dialect::Anthropic,
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        false,
    );
    check(Dialect::Anthropic, delta(json!({"type": "text_delta", "text": "O"})), true);
    check(Dialect::Anthropic, delta(json!({"type": "thinking_delta", "thinking": "h"})), true);
    check(Dialect::Anthropic, delta(json!({"type": "signature_delta", "signature": "Z"})), false);
    check(Dialect::Anthropic, json!({"type": "ping"}), false);
}
