//! The model client: everything between a rendered prompt and an answer, including requests, providers and retries.
//!
//! Only the engine's `AskUnit` calls a `Model`. `remote` asks servers over HTTP, `batch` uses a provider's batch API,
//! `mock` answers as the pipeline file scripts, `scripted` as a test does.

pub mod answer_json;
pub mod answer_schema;
mod batch;
mod classify;
mod client;
mod congestion;
mod connect;
mod dialect;
mod duration;
mod endpoints;
mod http;
mod images;
mod jitter;
mod listing;
mod message;
mod meter;
mod mock;
mod proxy;
mod quota;
pub mod reasoning;
mod refused_settings;
mod remote;
mod retry;
mod retry_after;
mod schema_fallback;
pub mod scripted;
mod secrets;
mod slot;
mod sse;
mod streaming;
#[cfg(test)]
mod tests;
mod throttling;
mod usage;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::journal::{RequestKey, StorageError};
use crate::record::Record;

pub use batch::{Batch, BatchFigures, BatchFiles, batch_ids, carry_batches};
pub use client::{Client, ModelPermit};
pub use connect::{ConnectError, ConnectProblem, MockContext, connect};
pub use endpoints::EndpointFigures;
pub(crate) use endpoints::affinity;
pub use listing::{ListingFailure, ModelListing, list_models};
pub use message::{Message, SENT_KEYS, SHARED_CHARS};
pub use meter::Meter;
pub use quota::{IMAGE_TOKENS, Pool, PoolFigures, Pools};
pub use remote::Remote;
pub use slot::Slot;
pub(crate) use slot::without_slot;
pub use streaming::{StreamDialect, read_stream};
pub use usage::{PromptTokens, Tokens, Usage};

/// The provider that answers without a model.
pub(crate) const HEURISTIC: &str = "heuristic";

/// The provider whose answers are in the pipeline file.
pub(crate) const MOCK: &str = "mock";

/// The class of an answer without text.
pub(crate) const NO_CONTENT: &str = "no_content";

/// A question to a model, as rendered from one record.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ModelRequest {
    /// The conversation so far; the last message is the question.
    pub messages: Vec<Message>,
    /// Sampling parameters as the API names them (`temperature`, `max_tokens`, ...), merged over the
    /// model's own.
    pub params: Map<String, Value>,
    /// The JSON schema of the answer; sent as `response_format` where the model's settings allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Arc<Value>>,
    /// The answers that count, if it asks for one of a few. Not sent: providers that need no model choose among them.
    #[serde(skip)]
    pub choices: Vec<String>,
    /// How often the record asked before because an answer was invalid; not sent.
    #[serde(skip)]
    pub sample: u32,
    /// The path of the stage that asks, such as `evolve/operate`, for a mock's rules; not sent.
    #[serde(skip)]
    pub stage: Arc<str>,
    /// The question's key within its run, for a model that must recognise it after a restart.
    #[serde(skip)]
    pub key: Option<RequestKey>,
    /// A key that requests with a common prefix share: they prefer one endpoint, which has the prefix in its cache.
    #[serde(skip)]
    pub affinity: Option<u64>,
    /// The budget for the attempts; none outside a run.
    #[serde(skip)]
    pub meter: Option<Arc<dyn Meter>>,
    /// Its slot at the model, released while it waits for a retry; none outside a run.
    #[serde(skip)]
    pub slot: Option<Arc<dyn Slot>>,
}

impl ModelRequest {
    /// Waits until the budget allows one more attempt. Returns false if it is exhausted.
    pub(crate) async fn is_allowed(&self) -> bool {
        match &self.meter {
            Some(meter) => meter.allow().await,
            None => true,
        }
    }

    /// Records that an attempt is about to be sent. Returns false if it must not be.
    pub(crate) async fn begin(&self) -> bool {
        match &self.meter {
            Some(meter) => meter.begin().await,
            None => true,
        }
    }

    /// Reports an attempt that brought no answer, with its usage if the server worked on it.
    pub(crate) fn failed(&self, took: Option<Usage>) {
        if let Some(meter) = &self.meter {
            meter.failed(took);
        }
    }

    /// Returns the number of image files to send with it.
    #[must_use]
    pub fn images(&self) -> usize {
        self.messages.iter().map(|message| message.images.len()).sum()
    }

    /// Iterates over all texts that the model reads: the messages, and the tools that it may call.
    pub fn texts(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let tools = self.params.get("tools").map(|tools| Cow::Owned(tools.to_string()));
        self.messages.iter().map(Message::all_text).chain(tools)
    }

    /// Returns the number of images in it, including those among the parts of messages.
    #[must_use]
    pub fn images_shown(&self) -> usize {
        self.messages.iter().map(Message::images_shown).sum()
    }
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The answer's text, without reasoning.
    pub text: String,
    /// The model's reasoning, if the server reports it separately (`reasoning_content`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Why the model stopped: `stop`, `length`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Token usage, as reported by the server.
    #[serde(default)]
    pub usage: Usage,
    /// The number of HTTP attempts.
    #[serde(default)]
    pub attempts: u32,
    /// The name of the model that answered, as reported by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The time from sending the request to the first event with text, reasoning or a call, if the answer was streamed.
    /// It is not stored.
    #[serde(skip)]
    pub first_token: Option<Duration>,
    /// Parts that only few answers have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<Box<CompletionExtras>>,
}

/// What an answer may contain besides its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CompletionExtras {
    /// Tool calls, as the server sent them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Value>,
    /// Log probabilities, as the server sent them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Value>,
    /// The texts of all choices, if more than one was asked for (`n`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

impl CompletionExtras {
    /// Returns the extras boxed, or `None` if there are none.
    fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// A model that answers questions.
pub trait Model: Send + Sync {
    /// Returns the provider's name for provenance: `openai`, `heuristic`, ...
    fn provider(&self) -> &'static str;

    /// Whether its answers are worth storing: they cost money or time, and differ between attempts.
    fn is_paid(&self) -> bool {
        true
    }

    /// Returns the state of its endpoints, quota and batches, for `status`.
    fn health(&self) -> ModelHealth {
        ModelHealth::default()
    }

    /// Returns a task to run in the background during a run, such as watching a server's queue. It ends when it is
    /// dropped, or with an error when a file cannot be written.
    fn background_task(
        self: Arc<Self>,
        _context: BackgroundContext,
    ) -> Option<BoxFuture<'static, Result<(), StorageError>>> {
        None
    }

    /// Answers one question. Retries internally, so a returned error is final. The record is for providers that answer
    /// from it rather than from the messages.
    fn complete<'a>(
        &'a self,
        request: &'a ModelRequest,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>>;
}

/// What a model's background task may use.
#[derive(Clone)]
pub struct BackgroundContext {
    /// Where batches are stored.
    pub batches: Arc<BatchFiles>,
    /// Cancelled when the run drains and nothing new may start.
    pub draining: CancellationToken,
}

/// The state of a model's endpoints, quota and batches.
#[derive(Debug, Clone, Default)]
pub struct ModelHealth {
    /// One entry for each endpoint.
    pub endpoints: Vec<EndpointFigures>,
    /// The quota pool, which other models may share.
    pub pool: Option<PoolFigures>,
    /// The batches that are being collected or processed by the provider.
    pub batches: Vec<BatchFigures>,
}

/// The final failure of a request.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// What the failure means for the run.
    pub kind: ModelErrorKind,
    /// A short fixed label by which reports count failures: `timeout`, `status_500`, `context_length`, ...
    pub class: String,
    /// What happened, in one line, without keys.
    pub message: String,
    /// Attempts made.
    pub attempts: u32,
}

/// What a failed request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelErrorKind {
    /// The run cannot go on: wrong key, unknown model, quota used up.
    Fatal,
    /// This record cannot be answered; others can.
    Record,
    /// The run is stopping; the answer will be available after a restart.
    Later,
}
