//! The scheduler of a model's batches: collects questions, starts a job for each batch, delivers answers.
//!
//! It runs as one task for the whole run and owns all state. A question either is in a batch already, of this start or
//! an earlier one, and waits for it, or goes into the buffer. Results are read from files line by line; an answer whose
//! question has not been asked yet stays there until it is.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::api::ApiError;
use super::buffer::{BatchBuffer, line};
use super::events::{BatchEvent, OpenBatch};
use super::files::BatchFiles;
use super::job::{BatchJob, JobOutcome, into_storage};
use super::results::StoredResult;
use super::{Batch, BatchFigures, PendingQuestion};
use crate::journal::{RequestKey, StorageError, encode_hex};
use crate::llm::Completion;
use crate::llm::classify::{Failure, Verdict};

pub(super) type BatchAnswer = Result<Completion, Failure>;
type Returned = (BatchJob, Result<JobOutcome, ApiError>);

pub(super) struct BatchScheduler {
    pub(super) model: Arc<Batch>,
    pub(super) files: Arc<BatchFiles>,
    inbox: mpsc::Receiver<PendingQuestion>,
    buffer: Option<BatchBuffer>,
    /// The batch of each question that has no known answer yet.
    pub(super) asked: HashMap<RequestKey, u32>,
    /// The callers that wait for an answer.
    pub(super) waiting: HashMap<RequestKey, oneshot::Sender<BatchAnswer>>,
    /// Answers that arrived before their questions.
    pub(super) unclaimed: HashMap<RequestKey, StoredResult>,
    /// The number of such answers left in each file.
    pub(super) left: HashMap<Arc<str>, usize>,
    /// Batches whose results are incomplete, each with its failure, and the callers that wait for the missing answers.
    /// These get the failure when nothing else is in progress, since it stops the run.
    pub(super) incomplete: HashMap<u32, Failure>,
    pub(super) stuck: Vec<oneshot::Sender<BatchAnswer>>,
    /// The time of the last event.
    busy: Instant,
    jobs: FuturesUnordered<BoxFuture<'static, Returned>>,
    /// A failure that stops the run: every later question gets it.
    fatal: Option<Failure>,
}

impl BatchScheduler {
    pub(super) fn new(
        model: Arc<Batch>,
        files: Arc<BatchFiles>,
        inbox: mpsc::Receiver<PendingQuestion>,
    ) -> Self {
        let earlier = files.take_open(&model.name);
        let mut scheduler = Self {
            model,
            files,
            inbox,
            buffer: None,
            asked: HashMap::new(),
            waiting: HashMap::new(),
            unclaimed: HashMap::new(),
            left: HashMap::new(),
            incomplete: HashMap::new(),
            stuck: Vec::new(),
            busy: Instant::now(),
            jobs: FuturesUnordered::new(),
            fatal: None,
        };
        earlier.into_iter().for_each(|batch| scheduler.resume(batch));
        scheduler
    }

    /// Runs until the run drains. Callers that still wait then get no answer, and ask again at the next start.
    pub(super) async fn run(mut self, draining: CancellationToken) -> Result<(), StorageError> {
        for number in self.model.settings.give_up.clone() {
            self.files.record(BatchEvent::Void { number }).await?;
        }
        loop {
            let linger = self.model.linger();
            let send_at = match &self.buffer {
                Some(buffer) => Some(buffer.send_at(linger)),
                None => self.only_stuck_left().then_some(self.busy + linger),
            };
            let patience = async {
                match send_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = draining.cancelled() => return self.finish_submissions().await,
                question = self.inbox.recv() => match question {
                    Some(question) => {
                        self.busy = Instant::now();
                        self.accept(question).await?;
                    }
                    None => return Ok(()),
                },
                Some((job, outcome)) = self.jobs.next() => {
                    self.distribute(job, outcome).await?;
                    self.busy = Instant::now();
                }
                () = patience => match self.buffer {
                    Some(_) => self.submit_buffer().await?,
                    None => self.fail_stuck(),
                },
            }
        }
    }

    /// Whether only callers are left whose answers will not arrive.
    fn only_stuck_left(&self) -> bool {
        !self.stuck.is_empty() && self.waiting.is_empty() && self.jobs.is_empty()
    }

    fn fail_stuck(&mut self) {
        let Some((_, failure)) = self.incomplete.drain().next() else { return };
        for waiting in self.stuck.drain(..) {
            let _ = waiting.send(Err(failure.clone()));
        }
        self.stop(failure);
    }

    /// Waits until batches that are being created right now are created and recorded; for nothing else.
    async fn finish_submissions(&mut self) -> Result<(), StorageError> {
        let model = Arc::clone(&self.model);
        let mut ended = std::pin::pin!(model.submissions.ended());
        loop {
            tokio::select! {
                () = &mut ended => return Ok(()),
                Some((_, outcome)) = self.jobs.next() => {
                    if let Err(trouble) = outcome {
                        into_storage(trouble)?;
                    }
                }
            }
        }
    }

    /// Resumes a batch that an earlier start left with the provider.
    fn resume(&mut self, batch: OpenBatch) {
        if self.model.settings.give_up.contains(&batch.number) {
            return;
        }
        if batch.address.trim_end_matches('/') != self.model.api.shown.trim_end_matches('/') {
            let message = format!(
                "batch {0} of the model `{1}` was sent to `{2}`, which holds its answers, but the model is now \
                 at `{3}`\nhint: name the first again, or ask its questions anew, at their price: \
                 `--set models.{1}.batch.give_up=[{0}]`",
                batch.number, self.model.name, batch.address, self.model.api.shown
            );
            self.fatal = Some(Failure::new(Verdict::Fatal, "batch_elsewhere", message));
            return;
        }
        let open = batch.questions.iter().flatten().count();
        info!(model = self.model.name, "batch {} is with the provider: {open} questions", batch.number);
        self.asked.extend(batch.questions.iter().flatten().map(|key| (*key, batch.number)));
        self.start_job(BatchJob { batch, bytes: 0, earlier: true });
    }

    fn start_job(&mut self, mut job: BatchJob) {
        let (model, files) = (Arc::clone(&self.model), Arc::clone(&self.files));
        let going = async move {
            let outcome = job.run(&model, &files).await;
            (job, outcome)
        };
        self.jobs.push(going.boxed());
    }

    /// Accepts a question.
    async fn accept(&mut self, question: PendingQuestion) -> Result<(), StorageError> {
        // The permit is released at the end, when the body is in the buffer.
        let PendingQuestion { key, item, body, answer, room: _room } = question;
        if let Some(fatal) = &self.fatal {
            let _ = answer.send(Err(fatal.clone()));
            return Ok(());
        }
        if let Some(found) = self.unclaimed.remove(&key) {
            return self.deliver(found, answer).await;
        }
        if let Some(number) = self.asked.get(&key) {
            match self.incomplete.contains_key(number) {
                true => self.stuck.push(answer),
                false => drop(self.waiting.insert(key, answer)),
            }
            return Ok(());
        }
        let body = match body {
            Ok(body) => body,
            Err(failure) => {
                let _ = answer.send(Err(failure));
                return Ok(());
            }
        };
        self.waiting.insert(key, answer);
        let line = line(&key, self.model.api.endpoint, &body);
        let model = Arc::clone(&self.model);
        let limits = &model.settings;
        if self.buffer.as_ref().is_some_and(|buffer| buffer.is_full(line.len(), limits)) {
            self.submit_buffer().await?;
        }
        let buffer = self.buffer.get_or_insert_with(|| BatchBuffer::new(self.files.next_number()));
        buffer.push(item, key, &line, &self.files).await?;
        self.asked.insert(key, buffer.number);
        self.model.active.update(BatchFigures {
            number: buffer.number,
            id: None,
            state: "gathering".to_owned(),
            questions: buffer.questions.len() as u64,
            answered: 0,
            failed: 0,
        });
        if buffer.is_full(0, limits) {
            self.submit_buffer().await?;
        }
        Ok(())
    }

    /// Starts a job for the questions collected so far.
    async fn submit_buffer(&mut self) -> Result<(), StorageError> {
        let Some(mut buffer) = self.buffer.take() else { return Ok(()) };
        buffer.flush(&self.files).await?;
        let (model, address) = (self.model.name.clone(), self.model.api.shown.clone());
        let questions = buffer.questions.iter().map(|(item, key)| (*item, encode_hex(key))).collect();
        let noted = BatchEvent::Gathered {
            number: buffer.number,
            model: model.clone(),
            address: address.clone(),
            questions,
        };
        self.files.record(noted).await?;
        let questions = buffer.questions.iter().map(|(_, key)| Some(*key)).collect();
        let batch = OpenBatch { number: buffer.number, model, address, questions, file: None, batch: None };
        self.start_job(BatchJob { batch, bytes: buffer.bytes, earlier: false });
        Ok(())
    }

    pub(super) fn stop(&mut self, failure: Failure) {
        let failure = self.model.api.redact(failure);
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.send(Err(failure.clone()));
        }
        self.fatal = Some(failure);
    }
}
