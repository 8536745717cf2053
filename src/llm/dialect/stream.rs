//! Assembles a streamed answer into the body that the same answer has without streaming.
//!
//! `streaming` passes each event on arrival; the assembled body is decoded by `Dialect::read_value`, so that decoding
//! exists only once. `openai` and `anthropic` know the events of each API, `merge` adds a fragment to what has arrived
//! before. A stream without a proper end is no answer: half a sentence must not pass for a whole one.

mod anthropic;
mod merge;
mod openai;

use serde_json::{Value, json};

use super::{Dialect, is_set, text};
use crate::llm::classify::{Failure, Verdict};
use crate::llm::sse::Event;

use anthropic::BlockAssembler;
use openai::ChunkAssembler;

/// The data of the last event of OpenAI's streams.
const DONE: &[u8] = b"[DONE]";

/// The part of an answer that has arrived.
#[derive(Debug)]
pub(in crate::llm) struct StreamedAnswer {
    assembler: AnswerAssembler,
    /// The number of choices that were asked for.
    choices: u64,
    /// The size of what is stored, in bytes of JSON.
    size: usize,
    /// Whether any output of the model has arrived.
    wrote: bool,
    /// Whether an event ended the stream.
    ended: bool,
    /// An error that arrived instead of the answer, or in the middle of it.
    error: Option<Value>,
}

#[derive(Debug)]
enum AnswerAssembler {
    OpenAi(ChunkAssembler),
    Anthropic(BlockAssembler),
}

/// What one event has changed.
#[derive(Debug, Default, Clone, Copy)]
struct EventEffect {
    /// The bytes that were added.
    size: usize,
    /// Whether it contains output of the model.
    wrote: bool,
    /// Whether it ends the stream.
    ended: bool,
}

impl StreamedAnswer {
    /// Creates an empty answer; `choices` is the number that was asked for (`n`).
    pub(in crate::llm) fn new(dialect: Dialect, choices: u64) -> Self {
        let assembler = match dialect {
            Dialect::Chat | Dialect::Completions => AnswerAssembler::OpenAi(ChunkAssembler::default()),
            Dialect::Anthropic => AnswerAssembler::Anthropic(BlockAssembler::default()),
        };
        Self { assembler, choices, size: 0, wrote: false, ended: false, error: None }
    }

    /// Adds an event. Returns whether it is the last one.
    pub(in crate::llm) fn take(&mut self, event: Event<'_>) -> Result<bool, Failure> {
        let data = event.data.trim_ascii();
        if data.is_empty() || self.ended {
            return Ok(self.ended);
        }
        if data == DONE {
            self.ended = true;
            return Ok(true);
        }
        let Some(value) = text::parse(data) else { return self.take_lines(event.name, data) };
        if let Some(error) = error_of(event.name, &value) {
            (self.error, self.ended) = (Some(error), true);
            return Ok(true);
        }
        let effect = match &mut self.assembler {
            AnswerAssembler::OpenAi(chunks) => chunks.take(value),
            AnswerAssembler::Anthropic(blocks) => blocks.take(value),
        };
        self.size = self.size.saturating_add(effect.size);
        self.wrote |= effect.wrote;
        self.ended |= effect.ended;
        Ok(self.ended)
    }

    /// Adds each line as an event of its own: some servers omit the empty lines between events.
    fn take_lines(&mut self, name: &[u8], data: &[u8]) -> Result<bool, Failure> {
        if !data.contains(&b'\n') {
            return Err(Failure { hint: None, ..text::not_json(data) });
        }
        for line in data.split(|byte| *byte == b'\n') {
            self.take(Event { name, data: line })?;
        }
        Ok(self.ended)
    }

    /// Whether any output of the model has arrived: text, reasoning, or a tool call.
    pub(in crate::llm) fn wrote(&self) -> bool {
        self.wrote
    }

    /// Returns the size of what is stored, in bytes.
    pub(in crate::llm) fn size(&self) -> usize {
        self.size
    }

    /// Returns the answer's body once the stream has ended, or a failure if it is incomplete.
    pub(in crate::llm) fn into_body(self) -> Result<Value, Failure> {
        if let Some(error) = self.error {
            return Ok(error);
        }
        let body = match self.assembler {
            AnswerAssembler::OpenAi(chunks) => chunks.into_body(self.ended, self.choices),
            AnswerAssembler::Anthropic(blocks) => blocks.into_body(self.ended),
        };
        body.map_err(|why| {
            let message = format!("the server broke off its answer: {why}");
            Failure::new(Verdict::Retry, "cut_body", message)
        })
    }
}

/// Returns an error body if the event is an error.
fn error_of(name: &[u8], value: &Value) -> Option<Value> {
    let has_error = value.get("error").is_some_and(is_set);
    // MiniMax sends `base_resp` with every event; vLLM's older format is an object of type `error`.
    let base = value.get("base_resp").and_then(|base| base.get("status_code"));
    let is_refused = base.is_some_and(|code| code.as_i64() != Some(0));
    let is_object = value.get("object").and_then(Value::as_str) == Some("error");
    if has_error || is_refused || is_object {
        return Some(value.clone());
    }
    (name == b"error").then(|| json!({"error": value}))
}

#[cfg(test)]
mod tests;
