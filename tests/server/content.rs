//! The bytes of a reply; large bodies are generated while they are sent.

use axum::body::{Body, Bytes};
use futures::stream;
use serde_json::{Value, json};

use super::conforming;
use super::handler::Question;
use super::reply::{Piece, Reply};

/// The size of the chunks of a large body.
const CHUNK: usize = 64 << 10;

pub(super) enum Content {
    Whole {
        bytes: Vec<u8>,
        kind: &'static str,
    },
    /// Events, or any other body in pieces.
    Pieces(Vec<Piece>),
    /// A prefix, and a text that is repeated.
    Repeated(String, String, u64),
    /// MiB of zeros, compressed.
    Packed(u64),
}

/// Returns the content of a reply.
pub(super) fn of(reply: &Reply, question: &Question) -> Content {
    if let Some((start, text, times)) = &reply.repeat {
        return Content::Repeated(start.clone(), text.clone(), *times);
    }
    if let Some(size) = reply.gzip_bomb {
        return Content::Packed(size);
    }
    if let Some(pieces) = &reply.pieces {
        return Content::Pieces(pieces.clone());
    }
    if let Some(bytes) = &reply.bytes {
        return Content::Whole { bytes: bytes.clone(), kind: "application/json" };
    }
    if let Some(text) = &reply.text {
        let kind = match text.as_bytes() {
            [b'<', ..] => "text/html",
            [b'd', ..] => "text/event-stream",
            _ => "application/json",
        };
        return Content::Whole { bytes: text.clone().into_bytes(), kind };
    }
    let body = match (&reply.json, &reply.error) {
        (Some(json), _) => json.clone(),
        (None, Some((code, message))) => json!({"error": {"code": code, "message": message}}),
        (None, None) => {
            let body = answered(reply, question);
            if question.body["stream"] == true && reply.stream != Some(false) {
                return Content::Pieces(events(body, question));
            }
            body
        }
    };
    Content::Whole { bytes: body.to_string().into_bytes(), kind: "application/json" }
}

/// Returns the response body of a chat or raw completion.
fn answered(reply: &Reply, question: &Question) -> Value {
    let schema = &question.body["response_format"]["json_schema"]["schema"];
    let text = match &reply.answer {
        Some(text) => text.replace("{prompt}", &question.prompt),
        None if schema.is_object() => conforming::to(schema).to_string(),
        None => "an answer of a few words".to_owned(),
    };
    let finish = reply.finish_reason.as_deref().unwrap_or("stop");
    let choice = match question.path.ends_with("/chat/completions") {
        true => {
            let message = json!({"role": "assistant", "content": text});
            json!({"index": 0, "message": message, "finish_reason": finish})
        }
        false => json!({"index": 0, "text": text, "finish_reason": finish}),
    };
    let mut body = json!({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]});
    match &reply.usage {
        Some(Value::Null) => {}
        Some(usage) => body["usage"] = usage.clone(),
        None => {
            body["usage"] = json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10});
        }
    }
    body
}

/// Returns the same answer as events of a few characters each.
fn events(mut body: Value, question: &Question) -> Vec<Piece> {
    let event = |value: &Value| Piece::Text(format!("data: {value}\n\n"));
    let usage = body.as_object_mut().and_then(|body| body.remove("usage"));
    let mut choice = body["choices"][0].take();
    let (finish, is_chat) = (choice["finish_reason"].take(), choice["message"].is_object());
    let text = if is_chat { choice["message"]["content"].take() } else { choice["text"].take() };
    body["object"] = if is_chat { json!("chat.completion.chunk") } else { json!("text_completion") };
    let mut chunk = |delta: Value, finish: &Value| {
        let mut choice = json!({"index": 0, "finish_reason": finish});
        choice[if is_chat { "delta" } else { "text" }] = delta;
        body["choices"] = json!([choice]);
        event(&body)
    };
    let piece = |text: &str| if is_chat { json!({"content": text}) } else { json!(text) };
    let mut events = vec![Piece::Text(": processing\n\n".to_owned())];
    let characters: Vec<char> = text.as_str().unwrap_or_default().chars().collect();
    for some in characters.chunks(4) {
        events.push(chunk(piece(&some.iter().collect::<String>()), &Value::Null));
    }
    events.push(chunk(piece(""), &finish));
    if let Some(usage) = usage.filter(|_| question.body["stream_options"]["include_usage"] == true) {
        body["choices"] = json!([]);
        body["usage"] = usage;
        events.push(event(&body));
    }
    events.push(Piece::Text("data: [DONE]\n\n".to_owned()));
    events
}

impl Content {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Whole { kind, .. } => kind,
            Self::Pieces(_) => "text/event-stream",
            Self::Repeated(..) | Self::Packed(_) => "application/json",
        }
    }

    pub(super) fn into_body(self) -> Body {
        let (start, part, times) = match self {
            Self::Whole { bytes, .. } => return Body::from(bytes),
            // Sent by `reply`, which knows the connection.
            Self::Pieces(_) => return Body::empty(),
            Self::Packed(size) => (Vec::new(), packed_zeros(), size),
            Self::Repeated(start, text, times) => {
                // Joins small texts to large chunks.
                let together = (CHUNK / text.len().max(1)).max(1) as u64;
                (start.into_bytes(), text.repeat(together as usize).into_bytes(), times.div_ceil(together))
            }
        };
        let part = Bytes::from(part);
        let parts = (0..times).map(move |_| part.clone());
        let all = std::iter::once(Bytes::from(start)).chain(parts);
        Body::from_stream(stream::iter(all.map(Ok::<_, std::io::Error>)))
    }
}

/// Returns a MiB of zeros as a gzip member, which can be repeated: one literal byte, then copies of 258 bytes and the
/// rest, in the fixed Huffman code of RFC 1951.
fn packed_zeros() -> Vec<u8> {
    let mut bits = BitWriter::default();
    let size: u32 = 1 << 20;
    bits.low_first(0b011, 3);
    bits.high_first(0b0011_0000, 8);
    let mut left = size - 1;
    while left > 0 {
        // The lengths 258 and 3 have the codes 285 and 257; what 258 leaves is a multiple of 3.
        match left {
            258.. => (bits.high_first(0b1100_0101, 8), left -= 258),
            _ => (bits.high_first(0b000_0001, 7), left -= 3),
        };
        bits.high_first(0, 5);
    }
    bits.high_first(0, 7);
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    member.extend(bits.done());
    member.extend(crc32fast::hash(&vec![0; size as usize]).to_le_bytes());
    member.extend(size.to_le_bytes());
    member
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    count: usize,
}

impl BitWriter {
    fn low_first(&mut self, value: u32, width: u32) {
        (0..width).for_each(|bit| self.push(value >> bit & 1));
    }

    fn high_first(&mut self, value: u32, width: u32) {
        (0..width).rev().for_each(|bit| self.push(value >> bit & 1));
    }

    fn push(&mut self, bit: u32) {
        if self.count.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= (bit as u8) << (self.count % 8);
        }
        self.count += 1;
    }

    fn done(self) -> Vec<u8> {
        self.bytes
    }
}
