//! A model whose questions go out in files: OpenAI's batch API, `/files` and `/batches`.
//!
//! `Batch` stands where `Remote` would: the engine asks one question and waits, for hours if need be. Beside
//! the questions `scheduler` works for the whole run: it gathers them into files (`buffer`), sends each file on its
//! way (`job`, which speaks by `api` and `order`), and gives out what comes back (`unpack`, `results`). Every step is
//! noted in the run directory (`events`, `files`) before the provider sees it, so a killed run knows at its next start
//! what it has asked. A question that comes again is found by its key and waits for the batch it is in.
//!
//! What a line of the results means is judged by `classify`, as for single requests; a line that may be tried
//! again (expired, 429, 5xx) goes into the next batch, and nothing that was answered does.

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

use api::Api;
pub use events::{batch_ids, carry_batches};
pub use files::BatchFiles;
use scheduler::BatchScheduler;

use super::classify::{Failure, Verdict};
use super::connect::{ConnectError, ConnectProblem};
use super::dialect::RequestEncoder;
use super::images;
use super::refused_settings::RefusedSettings;
use super::remote::{finally, no_budget};
use super::schema_fallback::{self, SchemaFallback, SchemaRefusal, weaker};
use super::{BackgroundContext, Completion, Health, Model, ModelError, ModelErrorKind, ModelRequest};
use crate::journal::{RequestKey, StorageError};
use crate::pipeline::{BatchConfig, ModelConfig, StructuredOutput};
use crate::record::Record;

/// Questions that may wait for the scheduler.
const INBOX: usize = 256;
/// Bodies with images that are in memory at a time: thousands of questions may be on their way to the scheduler.
const WITH_IMAGES: usize = 16;

/// The class of a question that the provider never looked at: it costs no attempt.
const UNASKED: &str = "batch_failed";

/// A model that is asked in batches.
pub struct Batch {
    name: String,
    asked: RequestEncoder,
    api: Api,
    settings: BatchConfig,
    max_attempts: u32,
    forms: SchemaFallback,
    refused_settings: RefusedSettings,
    questions: mpsc::Sender<PendingQuestion>,
    /// Taken by the scheduler, once.
    inbox: Mutex<Option<mpsc::Receiver<PendingQuestion>>>,
    board: ActiveBatches,
    making: Submissions,
    /// Room for bodies with images.
    room: Arc<Semaphore>,
}

/// A question on its way into a batch.
struct PendingQuestion {
    key: RequestKey,
    item: u64,
    /// The body of the request; why there is none matters only if it is to be sent.
    body: Result<Vec<u8>, Failure>,
    /// Given back when the body is in the file.
    room: Option<OwnedSemaphorePermit>,
    /// Dropped without an answer when the run is stopped.
    answer: oneshot::Sender<Result<Completion, Failure>>,
}

/// How one batch is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
struct ActiveBatches(Mutex<BTreeMap<u32, BatchFigures>>);

impl ActiveBatches {
    fn show(&self, figures: BatchFigures) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(figures.number, figures);
    }

    fn take_off(&self, number: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// Whether another batch is with the provider.
    fn has_other(&self, number: u32) -> bool {
        self.all().iter().any(|batch| batch.number != number && batch.id.is_some())
    }

    fn all(&self) -> Vec<BatchFigures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Batches that are being made right now. A stop lets these end, so that what was made is known.
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
    /// The model `name`; sends nothing yet. Reads the key from the environment.
    pub fn new(name: &str, config: &ModelConfig) -> Result<Self, ConnectError> {
        Self::declared(name, config).map_err(|what| ConnectError { model: name.to_owned(), what })
    }

    fn declared(name: &str, config: &ModelConfig) -> Result<Self, ConnectProblem> {
        if config.model.is_empty() {
            return Err(ConnectProblem::NoModel);
        }
        let asked = RequestEncoder::new(config);
        let (questions, inbox) = mpsc::channel(INBOX);
        Ok(Self {
            name: name.to_owned(),
            api: Api::new(name, config, asked.dialect)?,
            asked,
            settings: config.batch.clone(),
            max_attempts: config.max_attempts,
            forms: SchemaFallback::new(name, config.structured_output),
            refused_settings: RefusedSettings::new(name),
            questions,
            inbox: Mutex::new(Some(inbox)),
            board: ActiveBatches::default(),
            making: Submissions::default(),
            room: Arc::new(Semaphore::new(WITH_IMAGES)),
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
        let (mut attempts, mut broken) = (0, 0);
        // The question in a weaker form, and what was said of the form before.
        let mut refused: Option<(StructuredOutput, SchemaRefusal, Failure)> = None;
        loop {
            if !request.is_allowed().await {
                return Err(finally(no_budget(), attempts));
            }
            let known = schema_fallback::after_failures(self.forms.of(request), broken);
            let form = refused.as_ref().map_or(known, |(form, ..)| *form);
            // Not needed if the question is in a batch already, so it is the scheduler that looks at a failure.
            let (body, room) = match self.body(request, form).await {
                Ok((body, room)) => (Ok(body), room),
                Err(failure) => (Err(failure), None),
            };
            let (answer, answered) = oneshot::channel();
            let waiting = PendingQuestion { key, item: record.id.item, body, answer, room };
            // Nobody answers any more when the run is stopped.
            if self.questions.send(waiting).await.is_err() {
                return Err(later());
            }
            let Ok(answered) = answered.await else { return Err(later()) };
            let failure = match answered {
                Ok(completion) => {
                    self.refused_settings.note_answer(request);
                    self.forms.note_answer(request, form, refused.map(|(_, refusal, _)| refusal));
                    return Ok(Completion { attempts: attempts + 1, ..completion });
                }
                Err(failure) => failure,
            };
            request.failed(failure.took());
            attempts += u32::from(failure.class != UNASKED);
            if let Some(completion) = schema_fallback::mended(request, &failure) {
                return Ok(Completion { attempts, ..completion });
            }
            broken += u32::from(failure.class == schema_fallback::NO_JSON);
            let is_sent = self.asked.sends_schema(request, form);
            let refusal = self.forms.refusal(request, form, &failure).filter(|_| is_sent);
            let failure = match refusal {
                Some(SchemaRefusal::Explicit) => failure,
                _ => self.refused_settings.judge(&self.asked, request, failure),
            };
            if failure.verdict != Verdict::Fatal
                && let (Some(refusal), Some(next)) = (refusal, weaker(form))
            {
                if refusal == SchemaRefusal::Explicit {
                    self.forms.remember(request, next);
                }
                let (refusal, first) =
                    refused.map_or((refusal, failure), |(_, refusal, first)| (refusal, first));
                refused = Some((next, refusal, first));
                continue;
            }
            let again = matches!(failure.verdict, Verdict::Retry | Verdict::Throttled);
            if !again || attempts >= self.max_attempts {
                let failure = match refused {
                    // What was said first is of the request as it was meant.
                    Some((_, _, first)) if failure.verdict == Verdict::RejectRecord => {
                        self.forms.acquit(request);
                        first
                    }
                    _ => failure,
                };
                return Err(finally(failure, attempts));
            }
        }
    }

    /// The body of a request, and the room it takes where it holds images.
    async fn body(
        &self,
        request: &ModelRequest,
        form: StructuredOutput,
    ) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Failure> {
        let room = match request.images() {
            0 => None,
            _ => Arc::clone(&self.room).acquire_owned().await.ok(),
        };
        Ok((self.asked.body(request, form, images::load(request).await?)?, room))
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

    fn background_task(
        self: Arc<Self>,
        with: BackgroundContext,
    ) -> Option<BoxFuture<'static, Result<(), StorageError>>> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(BatchScheduler::new(self, with.batches, inbox).work(with.draining).boxed())
    }

    fn complete<'a>(
        &'a self,
        request: &'a ModelRequest,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>> {
        self.ask(request, record).boxed()
    }
}
