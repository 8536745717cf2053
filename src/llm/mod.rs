//! Everything between a rendered prompt and an answer: requests, providers, retries.
//!
//! The engine's `ask` unit calls a `Model`; nothing else does. `remote` speaks HTTP, `mock` answers as the pipeline
//! file says, `scripted` as a test says. The provider that needs no server is `crate::heuristic`.

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
pub use message::{Message, SENT_KEYS, SHARED_CHARS};
pub use meter::Meter;
pub use quota::{IMAGE_TOKENS, Pool, PoolFigures, Pools};
pub use remote::Remote;
pub use slot::Slot;
pub(crate) use slot::without;
pub use streaming::{StreamDialect, read_stream};
pub use usage::{PromptTokens, Tokens, Usage};

/// The provider that answers without a model.
pub(crate) const HEURISTIC: &str = "heuristic";

/// The provider whose answers stand in the pipeline file.
pub(crate) const MOCK: &str = "mock";

/// The class of an answer that holds no text.
pub(crate) const NO_CONTENT: &str = "no_content";

/// A question to a model, as rendered from one record.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ModelRequest {
    /// The conversation so far; the last message is the question.
    pub messages: Vec<Message>,
    /// Sampling parameters as the API names them (`temperature`, `max_tokens`, ...), merged over the
    /// model's own.
    pub params: Map<String, Value>,
    /// The schema the answer must meet; sent as `response_format` where the model's settings allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Arc<Value>>,
    /// How often the record asked before because an answer would not do; not sent.
    #[serde(skip)]
    pub sample: u32,
    /// What the question is called within its run, for a model that must know it again at a later start.
    #[serde(skip)]
    pub key: Option<RequestKey>,
    /// What requests that begin alike have in common: they prefer one endpoint, which has read their beginning.
    #[serde(skip)]
    pub affinity: Option<u64>,
    /// Who pays for the attempts; nobody outside a run.
    #[serde(skip)]
    pub meter: Option<Arc<dyn Meter>>,
    /// Its slot at the model, given up while it waits before it is sent again; nobody's outside a run.
    #[serde(skip)]
    pub slot: Option<Arc<dyn Slot>>,
}

impl ModelRequest {
    /// Waits until the budget has room for one more attempt; false where it will have none.
    pub(crate) async fn is_allowed(&self) -> bool {
        match &self.meter {
            Some(meter) => meter.allow().await,
            None => true,
        }
    }

    /// Notes that an attempt is sent now; false where it must not be.
    pub(crate) async fn begin(&self) -> bool {
        match &self.meter {
            Some(meter) => meter.begin().await,
            None => true,
        }
    }

    /// Tells of an attempt that brought no answer what it took, if the server worked on it.
    pub(crate) fn failed(&self, took: Option<Usage>) {
        if let Some(meter) = &self.meter {
            meter.failed(took);
        }
    }

    /// How many image files go along with it.
    #[must_use]
    pub fn images(&self) -> usize {
        self.messages.iter().map(|message| message.images.len()).sum()
    }

    /// All that a model reads of it, text by text: the messages, and the tools that it may call.
    pub fn texts(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let tools = self.params.get("tools").map(|tools| Cow::Owned(tools.to_string()));
        self.messages.iter().map(Message::all_text).chain(tools)
    }

    /// How many images it shows, those among the parts of messages counted in.
    #[must_use]
    pub fn images_shown(&self) -> usize {
        self.messages.iter().map(Message::images_shown).sum()
    }
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The answer's text, reasoning cut off.
    pub text: String,
    /// The model's reasoning where the server keeps it apart (`reasoning_content`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Why the model stopped: `stop`, `length`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Tokens, as the server counted them.
    #[serde(default)]
    pub usage: Usage,
    /// HTTP attempts it took.
    #[serde(default)]
    pub attempts: u32,
    /// The model that answered, as the server names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The time from sending the request to the first event with text, reasoning or a call, where the answer was
    /// streamed. It is of this start alone, and kept nowhere.
    #[serde(skip)]
    pub first_token: Option<Duration>,
    /// What few answers have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<Box<CompletionExtras>>,
}

/// What an answer may hold beside its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CompletionExtras {
    /// Calls of tools, as the server gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Value>,
    /// Log probabilities, as the server gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Value>,
    /// The texts of all answers, where more than one was asked for (`n`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

impl CompletionExtras {
    /// Boxed, if there is anything in it.
    fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// Something that answers questions.
pub trait Model: Send + Sync {
    /// Who answers: `openai`, `heuristic`, ... for provenance.
    fn provider(&self) -> &'static str;

    /// Whether its answers are worth keeping: they cost money or time, and differ from one try to the next.
    fn is_paid(&self) -> bool {
        true
    }

    /// How its endpoints, its quota and its batches are doing, for `status`.
    fn health(&self) -> Health {
        Health::default()
    }

    /// What is to be done beside the questions while a run lasts, such as watching a server's queue. Ends
    /// by being dropped, or when a file cannot be written.
    fn background_task(
        self: Arc<Self>,
        _with: BackgroundContext,
    ) -> Option<BoxFuture<'static, Result<(), StorageError>>> {
        None
    }

    /// Answers one question. Retries what may be retried; the error that comes back is final. The record
    /// is for providers that answer from it rather than from the messages.
    fn complete<'a>(
        &'a self,
        request: &'a ModelRequest,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>>;
}

/// What a model may use while a run lasts.
#[derive(Clone)]
pub struct BackgroundContext {
    /// Where batches are kept.
    pub batches: Arc<BatchFiles>,
    /// Says when nothing new is begun any more.
    pub draining: CancellationToken,
}

/// How a model's endpoints, quota and batches are doing.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// One entry for each endpoint.
    pub endpoints: Vec<EndpointFigures>,
    /// The quota, which other models may share.
    pub pool: Option<PoolFigures>,
    /// The batches that are gathered or with the provider.
    pub batches: Vec<BatchFigures>,
}

/// A request that finally failed.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// What the failure means for the run.
    pub kind: ModelErrorKind,
    /// A short fixed word that reports count by: `timeout`, `status_500`, `context_length`, ...
    pub class: String,
    /// What happened, in one line; holds no key.
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
    /// The run is being stopped; the answer will be there at a later start.
    Later,
}
