//! A model that is asked through OpenAI's batch API, `/files` and `/batches`.
//!
//! `Batch` takes the place of `Remote`: the engine asks one question and waits, for hours if need be. In the background
//! `scheduler` runs for the whole run: it collects questions into files (`buffer`), starts a job for each file (`job`,
//! which uses `api` and `submit`), and delivers the answers (`results`, `result_line`). Every step is recorded in the
//! run directory (`events`, `files`) before the provider sees it, so a killed run knows at its next start what it has
//! asked. A question that is asked again is found by its key and waits for the batch that it is in.
//!
//! A line of the results is classified by `classify`, like a single response. A line that may be retried (expired, 429,
//! 5xx) goes into the next batch; nothing that was answered does.

mod api;
mod buffer;
mod events;
mod files;
mod info;
mod job;
mod result_line;
mod results;
mod scheduler;
mod submit;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use api::BatchApi;
pub use events::{batch_ids, carry_batches};
pub use files::BatchFiles;
use scheduler::BatchScheduler;

use super::classify::{Failure, Verdict};
use super::connect::{ConnectError, ConnectProblem};
use super::dialect::RequestEncoder;
use super::images;
use super::refused_settings::RefusedSettings;
use super::remote::{into_model_error, no_budget};
use super::schema_fallback::{self, SchemaFallback, SchemaRefusal, weaker};
use super::{BackgroundContext, Completion, Model, ModelError, ModelErrorKind, ModelHealth, ModelRequest};
use crate::journal::{RequestKey, StorageError};
use crate::pipeline::{BatchConfig, ModelConfig, StructuredOutput};
use crate::record::Record;

/// The capacity of the scheduler's inbox, in questions.
const INBOX_CAPACITY: usize = 256;
/// The number of bodies with images in memory at a time: thousands of questions may be on their way to the scheduler.
const MAX_IMAGE_BODIES: usize = 16;

/// The class of a question that the provider never processed: it costs no attempt.
const NOT_PROCESSED: &str = "batch_failed";

/// A model that is asked in batches.
pub struct Batch {
    name: String,
    encoder: RequestEncoder,
    api: BatchApi,
    settings: BatchConfig,
    max_attempts: u32,
    schema_fallback: SchemaFallback,
    refused_settings: RefusedSettings,
    questions: mpsc::Sender<PendingQuestion>,
    /// The scheduler's end of `questions`, until it takes it.
    inbox: Mutex<Option<mpsc::Receiver<PendingQuestion>>>,
    active: ActiveBatches,
    submissions: Submissions,
    /// Limits the bodies with images in memory.
    room: Arc<Semaphore>,
}

/// A question that waits for a batch.
struct PendingQuestion {
    key: RequestKey,
    item: u64,
    /// The body of the request, or why there is none, which matters only if it has to be sent.
    body: Result<Vec<u8>, Failure>,
    /// Released when the body is in the file.
    room: Option<OwnedSemaphorePermit>,
    /// Dropped without an answer when the run stops.
    answer: oneshot::Sender<Result<Completion, Failure>>,
}

/// The figures of one batch that `status` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchFigures {
    /// Its number within the run.
    pub number: u32,
    /// Its id at the provider, once it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `gathering`, `uploading`, or the provider's status: `validating`, `in_progress`, ...
    pub state: String,
    /// The number of its questions.
    pub questions: u64,
    /// Questions that the provider has answered.
    pub answered: u64,
    /// Questions that failed at the provider.
    pub failed: u64,
}

/// The figures of all unfinished batches, by number.
#[derive(Default)]
struct ActiveBatches(Mutex<BTreeMap<u32, BatchFigures>>);

impl ActiveBatches {
    fn update(&self, figures: BatchFigures) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(figures.number, figures);
    }

    fn remove(&self, number: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// Whether the provider has another batch.
    fn others_submitted(&self, number: u32) -> bool {
        self.figures().iter().any(|batch| batch.number != number && batch.id.is_some())
    }

    fn figures(&self) -> Vec<BatchFigures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Counts the batches that are being created right now. A stop waits for these, so that it is known what was created.
#[derive(Default)]
struct Submissions(watch::Sender<usize>);

struct SubmissionGuard<'a>(&'a Submissions);

impl Submissions {
    fn begin(&self) -> SubmissionGuard<'_> {
        self.0.send_modify(|count| *count += 1);
        SubmissionGuard(self)
    }

    async fn ended(&self) {
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for SubmissionGuard<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

impl Batch {
    /// Creates the model `name`. Reads the key from the environment; sends nothing yet.
    pub fn new(name: &str, config: &ModelConfig) -> Result<Self, ConnectError> {
        Self::declared(name, config).map_err(|what| ConnectError { model: name.to_owned(), what })
    }

    fn declared(name: &str, config: &ModelConfig) -> Result<Self, ConnectProblem> {
        if config.model.is_empty() {
            return Err(ConnectProblem::NoModel);
        }
        let encoder = RequestEncoder::new(config);
        let (questions, inbox) = mpsc::channel(INBOX_CAPACITY);
        Ok(Self {
            name: name.to_owned(),
            api: BatchApi::new(name, config, encoder.dialect)?,
            encoder,
            settings: config.batch.clone(),
            max_attempts: config.max_attempts,
            schema_fallback: SchemaFallback::new(name, config.structured_output),
            refused_settings: RefusedSettings::new(name),
            questions,
            inbox: Mutex::new(Some(inbox)),
            active: ActiveBatches::default(),
            submissions: Submissions::default(),
            room: Arc::new(Semaphore::new(MAX_IMAGE_BODIES)),
        })
    }

    fn linger(&self) -> Duration {
        Duration::try_from_secs_f64(self.settings.linger).unwrap_or(Duration::from_secs(10))
    }

    fn poll(&self) -> Duration {
        Duration::try_from_secs_f64(self.settings.poll).unwrap_or(Duration::from_secs(30))
    }

    /// Sends the question in batches until it is answered or fails for good.
    async fn ask(&self, request: &ModelRequest, record: &Record) -> Result<Completion, ModelError> {
        let Some(key) = request.key else {
            let message = "a batch can be asked only by a run that keeps its answers";
            return Err(into_model_error(Failure::new(Verdict::Fatal, "no_run", message), 0));
        };
        let (mut attempts, mut invalid_json) = (0, 0);
        // The weaker form in which the question is sent, and the refusal of the form before.
        let mut refused: Option<(StructuredOutput, SchemaRefusal, Failure)> = None;
        loop {
            if !request.is_allowed().await {
                return Err(into_model_error(no_budget(), attempts));
            }
            let known = schema_fallback::after_failures(self.schema_fallback.form_for(request), invalid_json);
            let form = refused.as_ref().map_or(known, |(form, ..)| *form);
            // Not needed if the question is in a batch already, so the scheduler handles a failure.
            let (body, room) = match self.body(request, form).await {
                Ok((body, room)) => (Ok(body), room),
                Err(failure) => (Err(failure), None),
            };
            let (answer, answered) = oneshot::channel();
            let waiting = PendingQuestion { key, item: record.id.item, body, answer, room };
            // The scheduler is gone when the run stops.
            if self.questions.send(waiting).await.is_err() {
                return Err(later());
            }
            let Ok(answered) = answered.await else { return Err(later()) };
            let failure = match answered {
                Ok(completion) => {
                    self.refused_settings.note_answer(request);
                    self.schema_fallback.note_answer(request, form, refused.map(|(_, refusal, _)| refusal));
                    return Ok(Completion { attempts: attempts + 1, ..completion });
                }
                Err(failure) => failure,
            };
            request.failed(failure.took());
            attempts += u32::from(failure.class != NOT_PROCESSED);
            if let Some(completion) = schema_fallback::salvage(request, &failure) {
                return Ok(Completion { attempts, ..completion });
            }
            invalid_json += u32::from(failure.class == schema_fallback::INVALID_JSON);
            let is_sent = self.encoder.sends_schema(request, form);
            let refusal = self.schema_fallback.refusal(request, form, &failure).filter(|_| is_sent);
            let failure = match refusal {
                Some(SchemaRefusal::Explicit) => failure,
                _ => self.refused_settings.judge(&self.encoder, request, failure),
            };
            if failure.verdict != Verdict::Fatal
                && let (Some(refusal), Some(next)) = (refusal, weaker(form))
            {
                if refusal == SchemaRefusal::Explicit {
                    self.schema_fallback.remember(request, next);
                }
                let (refusal, first) =
                    refused.map_or((refusal, failure), |(_, refusal, first)| (refusal, first));
                refused = Some((next, refusal, first));
                continue;
            }
            let again = matches!(failure.verdict, Verdict::Retry | Verdict::Throttled);
            if !again || attempts >= self.max_attempts {
                let failure = match refused {
                    // The first refusal concerns the request as it was meant.
                    Some((_, _, first)) if failure.verdict == Verdict::RejectRecord => {
                        self.schema_fallback.acquit(request);
                        first
                    }
                    _ => failure,
                };
                return Err(into_model_error(failure, attempts));
            }
        }
    }

    /// Encodes the body of a request, with a permit if it contains images.
    async fn body(
        &self,
        request: &ModelRequest,
        form: StructuredOutput,
    ) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Failure> {
        let room = match request.images() {
            0 => None,
            _ => Arc::clone(&self.room).acquire_owned().await.ok(),
        };
        Ok((self.encoder.body(request, form, images::load(request).await?)?, room))
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

    fn health(&self) -> ModelHealth {
        ModelHealth { batches: self.active.figures(), ..ModelHealth::default() }
    }

    fn background_task(
        self: Arc<Self>,
        context: BackgroundContext,
    ) -> Option<BoxFuture<'static, Result<(), StorageError>>> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(BatchScheduler::new(self, context.batches, inbox).run(context.draining).boxed())
    }

    fn complete<'a>(
        &'a self,
        request: &'a ModelRequest,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>> {
        self.ask(request, record).boxed()
    }
}
