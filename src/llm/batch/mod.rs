//! A model whose questions go out in files: OpenAI's batch API, `/files` and `/batches`.
//!
//! `Batch` stands where `Remote` would: the engine asks one question and waits, for hours if need be. Beside
//! the questions `desk` works for the whole run: it gathers them into files (`tray`), sends each file on its
//! way (`trip`, which speaks by `api`), and gives out what comes back (`results`). Every step is noted in the
//! run directory before the provider sees it, so a killed run knows at its next start what it has asked. A
//! question that comes again is found by its key and waits for the batch it is in.
//!
//! What a line of the results means is judged by `classify`, as for single requests; a line that may be tried
//! again (expired, 429, 5xx) goes into the next batch, and nothing that was answered does.

mod api;
mod desk;
mod info;
mod results;
mod tray;
mod trip;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use api::Api;
use desk::Desk;

use super::classify::{Failure, Verdict};
use super::connect::{ConnectError, ConnectProblem};
use super::dialect::Asked;
use super::remote::{finally, weaker};
use super::{Completion, Health, Model, ModelError, ModelErrorKind, ModelRequest, Tending};
use crate::config::{BatchConfig, ModelConfig, StructuredOutput};
use crate::journal::{Key, StorageError};
use crate::record::Record;

/// Questions that may wait for the desk.
const INBOX: usize = 256;

/// A model that is asked in batches.
pub struct Batch {
    name: String,
    asked: Asked,
    api: Api,
    settings: BatchConfig,
    max_attempts: u32,
    /// How schemas are sent: as declared, or weaker since the server refused that.
    form: Mutex<StructuredOutput>,
    questions: mpsc::Sender<Waiting>,
    /// Taken by the desk, once.
    inbox: Mutex<Option<mpsc::Receiver<Waiting>>>,
    board: Board,
}

/// A question on its way into a batch.
struct Waiting {
    key: Key,
    item: u64,
    /// The body of the request.
    body: Vec<u8>,
    /// Dropped without an answer when the run is stopped.
    answer: oneshot::Sender<Result<Completion, Failure>>,
}

/// How one batch is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BatchFigures {
    /// Its number in the run.
    pub number: u32,
    /// Its id at the provider; none before it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `gathering`, `uploading`, or as the provider calls it: `validating`, `in_progress`, ...
    pub state: String,
    /// Its questions.
    pub questions: u64,
    /// Those that the provider has answered.
    pub answered: u64,
    /// Those that failed there.
    pub failed: u64,
}

/// What is known of the batches under way, for `status`.
#[derive(Default)]
struct Board(Mutex<BTreeMap<u32, BatchFigures>>);

impl Board {
    fn show(&self, figures: BatchFigures) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(figures.number, figures);
    }

    fn take_off(&self, number: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    fn all(&self) -> Vec<BatchFigures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Batch {
    /// The model `name`; sends nothing yet. Reads the key from the environment.
    pub fn new(name: &str, config: &ModelConfig) -> Result<Self, ConnectError> {
        Self::declared(name, config).map_err(|what| ConnectError { model: name.to_owned(), what })
    }

    fn declared(name: &str, config: &ModelConfig) -> Result<Self, ConnectProblem> {
        if config.model.is_empty() {
            return Err(ConnectProblem::NoModel);
        }
        let asked = Asked::new(config);
        let (questions, inbox) = mpsc::channel(INBOX);
        Ok(Self {
            name: name.to_owned(),
            api: Api::new(name, config, asked.dialect)?,
            asked,
            settings: config.batch.clone(),
            max_attempts: config.max_attempts,
            form: Mutex::new(config.structured_output),
            questions,
            inbox: Mutex::new(Some(inbox)),
            board: Board::default(),
        })
    }

    fn linger(&self) -> Duration {
        Duration::try_from_secs_f64(self.settings.linger).unwrap_or(Duration::from_secs(10))
    }

    fn poll(&self) -> Duration {
        Duration::try_from_secs_f64(self.settings.poll).unwrap_or(Duration::from_secs(30))
    }

    /// Puts the question into batches until it is answered or finally fails.
    async fn ask(&self, request: &ModelRequest, record: &Record) -> Result<Completion, ModelError> {
        let Some(key) = request.key else {
            let message = "a batch can be asked only by a run that keeps its answers";
            return Err(finally(Failure::new(Verdict::Fatal, "no_run", message), 0));
        };
        let mut attempts = 0;
        loop {
            let form = *self.form.lock().unwrap_or_else(PoisonError::into_inner);
            let body = self.asked.body(request, form).map_err(|failure| finally(failure, attempts))?;
            let (answer, answered) = oneshot::channel();
            let waiting = Waiting { key, item: record.id.item, body, answer };
            // Nobody answers any more when the run is stopped.
            if self.questions.send(waiting).await.is_err() {
                return Err(later());
            }
            let Ok(answered) = answered.await else { return Err(later()) };
            attempts += 1;
            let failure = match answered {
                Ok(completion) => return Ok(Completion { attempts, ..completion }),
                Err(failure) => failure,
            };
            if failure.refuses_format
                && request.schema.is_some()
                && let Some(next) = weaker(form)
            {
                self.weaken(form, next);
                continue;
            }
            let again = matches!(failure.verdict, Verdict::Retry | Verdict::Pause);
            if !again || attempts >= self.max_attempts {
                return Err(finally(failure, attempts));
            }
        }
    }

    /// Remembers that the server refuses schemas sent in this way.
    fn weaken(&self, from: StructuredOutput, to: StructuredOutput) {
        let mut present = self.form.lock().unwrap_or_else(PoisonError::into_inner);
        if *present == from {
            warn!(model = self.name, ?from, ?to, "the server refuses `structured_output`");
            *present = to;
        }
    }
}

fn later() -> ModelError {
    let message = "the run is being stopped; the answer will be there at a later start".to_owned();
    ModelError { kind: ModelErrorKind::Later, class: "later".to_owned(), message, attempts: 0 }
}

impl Model for Batch {
    fn provider(&self) -> &'static str {
        "openai"
    }

    fn health(&self) -> Health {
        Health { batches: self.board.all(), ..Health::default() }
    }

    fn tend(self: Arc<Self>, with: Tending) -> Option<BoxFuture<'static, Result<(), StorageError>>> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Desk::new(self, with.batches, inbox).work(with.draining).boxed())
    }

    fn complete<'a>(
        &'a self,
        request: &'a ModelRequest,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>> {
        self.ask(request, record).boxed()
    }
}
