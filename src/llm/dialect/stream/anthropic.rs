//! Anthropic's events: a message that starts empty, and content blocks that grow.
//!
//! Part of `stream`. Unknown event types, such as `ping`, are ignored, as the API requires.

use serde_json::{Map, Value, json};

use super::EventEffect;
use super::merge::{ENTRY, merge_fields, merge_latest, size};

#[derive(Debug, Default)]
pub(super) struct BlockAssembler {
    /// The message without its content.
    message: Map<String, Value>,
    /// The content that the message started with.
    content: Vec<Value>,
    blocks: Vec<ContentBlock>,
    is_finished: bool,
}

#[derive(Debug)]
struct ContentBlock {
    index: u64,
    fields: Map<String, Value>,
    /// The JSON of a tool's input that has arrived.
    input: String,
}

impl BlockAssembler {
    pub(super) fn take(&mut self, event: Value) -> EventEffect {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Value::Object(mut event) = event else { return EventEffect::default() };
        let index = event.get("index").and_then(Value::as_u64).unwrap_or(0);
        let mut part = |name: &str| match event.shift_remove(name) {
            Some(Value::Object(part)) => part,
            _ => Map::new(),
        };
        match &*kind {
            "message_start" => self.begin(part("message")),
            "content_block_start" => {
                let fields = part("content_block");
                let wrote = fields.get("type").and_then(Value::as_str) == Some("tool_use");
                let size = ENTRY + fields.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>();
                self.blocks.push(ContentBlock { index, fields, input: String::new() });
                EventEffect { size, wrote, ended: false }
            }
            "content_block_delta" => self.grow(index, &part("delta")),
            "message_delta" => {
                let (delta, usage) = (part("delta"), part("usage"));
                let mut size = merge_fields(&mut self.message, delta);
                let kept = self.message.entry("usage").or_insert_with(|| json!({}));
                size += merge_latest(kept, Value::Object(usage));
                EventEffect { size, ..EventEffect::default() }
            }
            "message_stop" => {
                self.is_finished = true;
                EventEffect { ended: true, ..EventEffect::default() }
            }
            _ => EventEffect::default(),
        }
    }

    fn begin(&mut self, mut message: Map<String, Value>) -> EventEffect {
        // A second start after content has arrived is a gateway's mistake.
        if !self.blocks.is_empty() {
            return EventEffect::default();
        }
        let size = message.iter().map(|(name, value)| name.len() + size(value)).sum();
        if let Some(Value::Array(content)) = message.shift_remove("content") {
            self.content = content;
        }
        self.message = message;
        EventEffect { size, ..EventEffect::default() }
    }

    fn grow(&mut self, index: u64, delta: &Map<String, Value>) -> EventEffect {
        let text = |name: &str| delta.get(name).and_then(Value::as_str).unwrap_or_default();
        let kind = text("type");
        let (field, more) = match kind {
            "text_delta" => ("text", text("text")),
            "thinking_delta" => ("thinking", text("thinking")),
            "signature_delta" => ("signature", text("signature")),
            "input_json_delta" => ("input", text("partial_json")),
            // Citations and the like are not stored.
            _ => return EventEffect::default(),
        };
        let mut size = more.len();
        let at = self.blocks.iter().rposition(|block| block.index == index);
        let at = at.unwrap_or_else(|| {
            size += ENTRY;
            // Its start was lost or never sent.
            let kind = if field == "signature" { "thinking" } else { field };
            let kind = if kind == "input" { "tool_use" } else { kind };
            let fields = Map::from_iter([("type".to_owned(), json!(kind))]);
            self.blocks.push(ContentBlock { index, fields, input: String::new() });
            self.blocks.len() - 1
        });
        let block = &mut self.blocks[at];
        if field == "input" {
            block.input.push_str(more);
        } else {
            let kept = block.fields.entry(field).or_insert_with(|| json!(""));
            match kept {
                Value::String(kept) => kept.push_str(more),
                kept => *kept = json!(more),
            }
        }
        EventEffect { size, wrote: field != "signature" && !more.is_empty(), ended: false }
    }

    /// Returns the body of the complete answer, or why there is none. `ended` says whether the server ended the
    /// stream.
    pub(super) fn into_body(self, ended: bool) -> Result<Value, &'static str> {
        let reason = self.message.get("stop_reason").filter(|reason| !reason.is_null());
        if !self.is_finished && reason.is_none() {
            return Err(match ended {
                true => "the stream ended without a stop reason",
                false => "the stream ended in the middle",
            });
        }
        let mut content = self.content;
        for ContentBlock { mut fields, input, .. } in self.blocks {
            if !input.is_empty() {
                // An input that was cut off at the token limit is not JSON; it is kept as text.
                let value = serde_json::from_str(&input).unwrap_or(Value::String(input));
                fields.insert("input".to_owned(), value);
            }
            content.push(Value::Object(fields));
        }
        let mut body = self.message;
        body.insert("content".to_owned(), Value::Array(content));
        Ok(Value::Object(body))
    }
}
