//! An answer that comes as events, put together to the body that the same answer has without them.
//!
//! `streaming` gives each event as it comes; what comes out at the end is read by `Dialect::read_value`, so that
//! nothing about reading exists twice. `chunks` knows OpenAI's events, `blocks` Anthropic's, `merge` how a piece is put
//! to what has come before. Where no end is seen, there is no answer: half a sentence must not pass for a whole one.

mod anthropic;
mod merge;
mod openai;

use serde_json::{Value, json};

use super::{Dialect, says_something, text};
use crate::llm::classify::{Failure, Verdict};
use crate::llm::sse::Event;

use anthropic::Blocks;
use openai::Chunks;

/// What the last event of OpenAI's streams says.
const DONE: &[u8] = b"[DONE]";

/// What has come of an answer.
#[derive(Debug)]
pub(in crate::llm) struct Streamed {
    pieces: Pieces,
    /// How many choices were asked for.
    choices: u64,
    /// Bytes of what is kept, as JSON has them.
    size: usize,
    /// Whether anything has come that the model wrote.
    wrote: bool,
    /// Whether an event said that no more comes.
    ended: bool,
    /// An error that came in the answer's place, or in the middle of it.
    error: Option<Value>,
}

#[derive(Debug)]
enum Pieces {
    Chunks(Chunks),
    Blocks(Blocks),
}

/// What one event brought.
#[derive(Debug, Default, Clone, Copy)]
struct Brought {
    /// Bytes that are kept of it.
    size: usize,
    /// Whether the model wrote it.
    wrote: bool,
    /// Whether it says that no more comes.
    ended: bool,
}

impl Streamed {
    /// `choices` says how many were asked for (`n`).
    pub(in crate::llm) fn new(dialect: Dialect, choices: u64) -> Self {
        let pieces = match dialect {
            Dialect::Chat | Dialect::Completions => Pieces::Chunks(Chunks::default()),
            Dialect::Anthropic => Pieces::Blocks(Blocks::default()),
        };
        Self { pieces, choices, size: 0, wrote: false, ended: false, error: None }
    }

    /// Takes an event; true if it is the last one.
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
        let brought = match &mut self.pieces {
            Pieces::Chunks(chunks) => chunks.take(value),
            Pieces::Blocks(blocks) => blocks.take(value),
        };
        self.size = self.size.saturating_add(brought.size);
        self.wrote |= brought.wrote;
        self.ended |= brought.ended;
        Ok(self.ended)
    }

    /// Takes lines as events of their own: some servers leave out the empty lines between them.
    fn take_lines(&mut self, name: &[u8], data: &[u8]) -> Result<bool, Failure> {
        if !data.contains(&b'\n') {
            return Err(Failure { hint: None, ..text::not_json(data) });
        }
        for line in data.split(|byte| *byte == b'\n') {
            self.take(Event { name, data: line })?;
        }
        Ok(self.ended)
    }

    /// Whether anything has come that the model wrote: text, reasoning, or a call of a tool.
    pub(in crate::llm) fn wrote(&self) -> bool {
        self.wrote
    }

    /// Bytes of what is kept.
    pub(in crate::llm) fn size(&self) -> usize {
        self.size
    }

    /// The answer's body, once no more events come; or that it is not whole.
    pub(in crate::llm) fn into_body(self) -> Result<Value, Failure> {
        if let Some(error) = self.error {
            return Ok(error);
        }
        let body = match self.pieces {
            Pieces::Chunks(chunks) => chunks.into_body(self.ended, self.choices),
            Pieces::Blocks(blocks) => blocks.into_body(self.ended),
        };
        body.map_err(|why| {
            let message = format!("the server broke off its answer: {why}");
            Failure::new(Verdict::Retry, "cut_body", message)
        })
    }
}

/// The body that says of an event that it is an error, if it is one.
fn error_of(name: &[u8], value: &Value) -> Option<Value> {
    let has_error = value.get("error").is_some_and(says_something);
    // MiniMax's stands beside every event, vLLM's older form is an object of that name.
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
