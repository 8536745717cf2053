//! The one owner of a model's batches: gathers questions, sends batches on their way, gives answers out.
//!
//! Runs beside the questions for a whole run, as one task. A question either is in a batch already, from
//! this start or an earlier one, and waits for it, or goes on the buffer. What comes back is read from files
//! line by line; an answer whose question has not come yet stays there until it does.

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

pub(super) type Answer = Result<Completion, Failure>;
type Returned = (BatchJob, Result<JobOutcome, ApiError>);

pub(super) struct BatchScheduler {
    pub(super) model: Arc<Batch>,
    pub(super) files: Arc<BatchFiles>,
    inbox: mpsc::Receiver<PendingQuestion>,
    buffer: Option<BatchBuffer>,
    /// The batch that each question is in, while no answer to it is known.
    pub(super) asked: HashMap<RequestKey, u32>,
    /// Who waits for an answer.
    pub(super) waiting: HashMap<RequestKey, oneshot::Sender<Answer>>,
    /// Answers that have come before their questions.
    pub(super) found: HashMap<RequestKey, StoredResult>,
    /// How many such answers each file has still.
    pub(super) left: HashMap<Arc<str>, usize>,
    /// Batches that do not give all they should, with what to say of it; and who waits for such answers. They
    /// are told when nothing else is under way, as the run stops then.
    pub(super) lacking: HashMap<u32, Failure>,
    pub(super) stuck: Vec<oneshot::Sender<Answer>>,
    /// When something last happened.
    busy: Instant,
    jobs: FuturesUnordered<BoxFuture<'static, Returned>>,
    /// What stops the run: said to everyone who asks from then on.
    fatal: Option<Failure>,
}

impl BatchScheduler {
    pub(super) fn new(
        model: Arc<Batch>,
        files: Arc<BatchFiles>,
        inbox: mpsc::Receiver<PendingQuestion>,
    ) -> Self {
        let earlier = files.take_up(&model.name);
        let mut scheduler = Self {
            model,
            files,
            inbox,
            buffer: None,
            asked: HashMap::new(),
            waiting: HashMap::new(),
            found: HashMap::new(),
            left: HashMap::new(),
            lacking: HashMap::new(),
            stuck: Vec::new(),
            busy: Instant::now(),
            jobs: FuturesUnordered::new(),
            fatal: None,
        };
        earlier.into_iter().for_each(|batch| scheduler.take_up(batch));
        scheduler
    }

    /// Works until the run drains. Whoever still waits then is told nothing, and asks at the next start.
    pub(super) async fn work(mut self, draining: CancellationToken) -> Result<(), StorageError> {
        for number in self.model.settings.give_up.clone() {
            self.files.note(BatchEvent::Void { number }).await?;
        }
        loop {
            let linger = self.model.linger();
            let send_at = match &self.buffer {
                Some(buffer) => Some(buffer.send_at(linger)),
                None => self.has_only_stuck().then_some(self.busy + linger),
            };
            let patience = async {
                match send_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = draining.cancelled() => return self.leave().await,
                question = self.inbox.recv() => match question {
                    Some(question) => {
                        self.busy = Instant::now();
                        self.take(question).await?;
                    }
                    None => return Ok(()),
                },
                Some((job, outcome)) = self.jobs.next() => {
                    self.unpack(job, outcome).await?;
                    self.busy = Instant::now();
                }
                () = patience => match self.buffer {
                    Some(_) => self.send().await?,
                    None => self.tell_stuck(),
                },
            }
        }
    }

    /// Whether nothing is under way but what will not come.
    fn has_only_stuck(&self) -> bool {
        !self.stuck.is_empty() && self.waiting.is_empty() && self.jobs.is_empty()
    }

    fn tell_stuck(&mut self) {
        let Some((_, failure)) = self.lacking.drain().next() else { return };
        for waiting in self.stuck.drain(..) {
            let _ = waiting.send(Err(failure.clone()));
        }
        self.stop(failure);
    }

    /// Lets batches that are being made right now be made, and noted. Nothing else is waited for.
    async fn leave(&mut self) -> Result<(), StorageError> {
        let model = Arc::clone(&self.model);
        let mut ended = std::pin::pin!(model.making.ended());
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

    /// Goes on with a batch that an earlier start left with the provider.
    fn take_up(&mut self, batch: OpenBatch) {
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
        self.begin(BatchJob { batch, bytes: 0, earlier: true });
    }

    fn begin(&mut self, mut job: BatchJob) {
        let (model, files) = (Arc::clone(&self.model), Arc::clone(&self.files));
        let going = async move {
            let outcome = job.go(&model, &files).await;
            (job, outcome)
        };
        self.jobs.push(going.boxed());
    }

    /// A question comes.
    async fn take(&mut self, question: PendingQuestion) -> Result<(), StorageError> {
        // The room is given back at the end, when the body is on the buffer.
        let PendingQuestion { key, item, body, answer, room: _room } = question;
        if let Some(fatal) = &self.fatal {
            let _ = answer.send(Err(fatal.clone()));
            return Ok(());
        }
        if let Some(found) = self.found.remove(&key) {
            return self.hand_out(found, answer).await;
        }
        if let Some(number) = self.asked.get(&key) {
            match self.lacking.contains_key(number) {
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
            self.send().await?;
        }
        let buffer = self.buffer.get_or_insert_with(|| BatchBuffer::new(self.files.number()));
        buffer.put(item, key, &line, &self.files).await?;
        self.asked.insert(key, buffer.number);
        self.model.board.show(BatchFigures {
            number: buffer.number,
            id: None,
            state: "gathering".to_owned(),
            questions: buffer.questions.len() as u64,
            answered: 0,
            failed: 0,
        });
        if buffer.is_full(0, limits) {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends what has been gathered on its way.
    async fn send(&mut self) -> Result<(), StorageError> {
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
        self.files.note(noted).await?;
        let questions = buffer.questions.iter().map(|(_, key)| Some(*key)).collect();
        let batch = OpenBatch { number: buffer.number, model, address, questions, file: None, batch: None };
        self.begin(BatchJob { batch, bytes: buffer.bytes, earlier: false });
        Ok(())
    }

    pub(super) fn stop(&mut self, failure: Failure) {
        let failure = self.model.api.told(failure);
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.send(Err(failure.clone()));
        }
        self.fatal = Some(failure);
    }
}
