//! Anthropic's events: a message that begins empty, and blocks that grow.
//!
//! Part of `stream`. What is of no type known here, such as `ping`, is passed over, as the API asks for.

use serde_json::{Map, Value, json};

use super::Brought;
use super::merge::{ENTRY, keep_last, merge_fields, size};

#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// The message, less its content.
    message: Map<String, Value>,
    /// What the message had from the start.
    content: Vec<Value>,
    blocks: Vec<Block>,
    is_finished: bool,
}

#[derive(Debug)]
struct Block {
    index: u64,
    fields: Map<String, Value>,
    /// The JSON of a tool's input, as far as it has come.
    input: String,
}

impl Blocks {
    pub(super) fn take(&mut self, event: Value) -> Brought {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Value::Object(mut event) = event else { return Brought::default() };
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
                self.blocks.push(Block { index, fields, input: String::new() });
                Brought { size, wrote, ended: false }
            }
            "content_block_delta" => self.grow(index, &part("delta")),
            "message_delta" => {
                let (delta, usage) = (part("delta"), part("usage"));
                let mut size = merge_fields(&mut self.message, delta);
                let kept = self.message.entry("usage").or_insert_with(|| json!({}));
                size += keep_last(kept, Value::Object(usage));
                Brought { size, ..Brought::default() }
            }
            "message_stop" => {
                self.is_finished = true;
                Brought { ended: true, ..Brought::default() }
            }
            _ => Brought::default(),
        }
    }

    fn begin(&mut self, mut message: Map<String, Value>) -> Brought {
        // Once more, after something has come: a gateway's mistake.
        if !self.blocks.is_empty() {
            return Brought::default();
        }
        let size = message.iter().map(|(name, value)| name.len() + size(value)).sum();
        if let Some(Value::Array(content)) = message.shift_remove("content") {
            self.content = content;
        }
        self.message = message;
        Brought { size, ..Brought::default() }
    }

    fn grow(&mut self, index: u64, delta: &Map<String, Value>) -> Brought {
        let text = |name: &str| delta.get(name).and_then(Value::as_str).unwrap_or_default();
        let kind = text("type");
        let (field, more) = match kind {
            "text_delta" => ("text", text("text")),
            "thinking_delta" => ("thinking", text("thinking")),
            "signature_delta" => ("signature", text("signature")),
            "input_json_delta" => ("input", text("partial_json")),
            // Citations and the like, which are not kept.
            _ => return Brought::default(),
        };
        let mut size = more.len();
        let at = self.blocks.iter().rposition(|block| block.index == index);
        let at = at.unwrap_or_else(|| {
            size += ENTRY;
            // Its start got lost on the way, or was never sent.
            let kind = if field == "signature" { "thinking" } else { field };
            let kind = if kind == "input" { "tool_use" } else { kind };
            let fields = Map::from_iter([("type".to_owned(), json!(kind))]);
            self.blocks.push(Block { index, fields, input: String::new() });
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
        Brought { size, wrote: field != "signature" && !more.is_empty(), ended: false }
    }

    /// The body of the whole answer, or why there is none. `ended` says whether the server said that no more comes.
    pub(super) fn into_body(self, ended: bool) -> Result<Value, &'static str> {
        let reason = self.message.get("stop_reason").filter(|reason| !reason.is_null());
        if !self.is_finished && reason.is_none() {
            return Err(match ended {
                true => "the stream ended without a stop reason",
                false => "the stream ended in the middle",
            });
        }
        let mut content = self.content;
        for Block { mut fields, input, .. } in self.blocks {
            if !input.is_empty() {
                // Of an input that broke off at the limit of tokens there is no JSON: it stays a text.
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
