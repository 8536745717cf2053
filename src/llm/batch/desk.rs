//! The one owner of a model's batches: gathers questions, sends batches on their way, gives answers out.
//!
//! Runs beside the questions for a whole run, as one task. A question either is in a batch already, from
//! this start or an earlier one, and waits for it, or goes on the tray. What comes back is read from files
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

use super::api::Trouble;
use super::events::{BatchEvent, OpenBatch};
use super::files::BatchFiles;
use super::tray::{Tray, line};
use super::trip::{Outcome, Trip, into_storage};
use super::unpack::Found;
use super::{Batch, BatchFigures, Waiting};
use crate::journal::{Key, StorageError, hex};
use crate::llm::Completion;
use crate::llm::classify::{Failure, Verdict};

pub(super) type Answer = Result<Completion, Failure>;
type Returned = (Trip, Result<Outcome, Trouble>);

pub(super) struct Desk {
    pub(super) model: Arc<Batch>,
    pub(super) files: Arc<BatchFiles>,
    inbox: mpsc::Receiver<Waiting>,
    tray: Option<Tray>,
    /// The batch that each question is in, while no answer to it is known.
    pub(super) asked: HashMap<Key, u32>,
    /// Who waits for an answer.
    pub(super) waiting: HashMap<Key, oneshot::Sender<Answer>>,
    /// Answers that have come before their questions.
    pub(super) found: HashMap<Key, Found>,
    /// How many such answers each file has still.
    pub(super) left: HashMap<Arc<str>, usize>,
    /// Batches that do not give all they should, with what to say of it; and who waits for such answers. They
    /// are told when nothing else is under way, as the run stops then.
    pub(super) lacking: HashMap<u32, Failure>,
    pub(super) stuck: Vec<oneshot::Sender<Answer>>,
    /// When something last happened.
    busy: Instant,
    trips: FuturesUnordered<BoxFuture<'static, Returned>>,
    /// What stops the run: said to everyone who asks from then on.
    fatal: Option<Failure>,
}

impl Desk {
    pub(super) fn new(model: Arc<Batch>, files: Arc<BatchFiles>, inbox: mpsc::Receiver<Waiting>) -> Self {
        let earlier = files.take_up(&model.name);
        let mut desk = Self {
            model,
            files,
            inbox,
            tray: None,
            asked: HashMap::new(),
            waiting: HashMap::new(),
            found: HashMap::new(),
            left: HashMap::new(),
            lacking: HashMap::new(),
            stuck: Vec::new(),
            busy: Instant::now(),
            trips: FuturesUnordered::new(),
            fatal: None,
        };
        earlier.into_iter().for_each(|batch| desk.take_up(batch));
        desk
    }

    /// Works until the run drains. Whoever still waits then is told nothing, and asks at the next start.
    pub(super) async fn work(mut self, draining: CancellationToken) -> Result<(), StorageError> {
        for number in self.model.settings.give_up.clone() {
            self.files.note(BatchEvent::Void { number }).await?;
        }
        loop {
            let linger = self.model.linger();
            let send_at = match &self.tray {
                Some(tray) => Some(tray.send_at(linger)),
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
                Some((trip, outcome)) = self.trips.next() => {
                    self.unpack(trip, outcome).await?;
                    self.busy = Instant::now();
                }
                () = patience => match self.tray {
                    Some(_) => self.send().await?,
                    None => self.tell_stuck(),
                },
            }
        }
    }

    /// Whether nothing is under way but what will not come.
    fn has_only_stuck(&self) -> bool {
        !self.stuck.is_empty() && self.waiting.is_empty() && self.trips.is_empty()
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
                Some((_, outcome)) = self.trips.next() => {
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
        self.begin(Trip { batch, bytes: 0, earlier: true });
    }

    fn begin(&mut self, mut trip: Trip) {
        let (model, files) = (Arc::clone(&self.model), Arc::clone(&self.files));
        let going = async move {
            let outcome = trip.go(&model, &files).await;
            (trip, outcome)
        };
        self.trips.push(going.boxed());
    }

    /// A question comes.
    async fn take(&mut self, question: Waiting) -> Result<(), StorageError> {
        // The room is given back at the end, when the body is on the tray.
        let Waiting { key, item, body, answer, room: _room } = question;
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
        if self.tray.as_ref().is_some_and(|tray| tray.is_full(line.len(), limits)) {
            self.send().await?;
        }
        let tray = self.tray.get_or_insert_with(|| Tray::new(self.files.number()));
        tray.put(item, key, &line, &self.files).await?;
        self.asked.insert(key, tray.number);
        self.model.board.show(BatchFigures {
            number: tray.number,
            id: None,
            state: "gathering".to_owned(),
            questions: tray.questions.len() as u64,
            answered: 0,
            failed: 0,
        });
        if tray.is_full(0, limits) {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends what has been gathered on its way.
    async fn send(&mut self) -> Result<(), StorageError> {
        let Some(mut tray) = self.tray.take() else { return Ok(()) };
        tray.flush(&self.files).await?;
        let (model, address) = (self.model.name.clone(), self.model.api.shown.clone());
        let questions = tray.questions.iter().map(|(item, key)| (*item, hex(key))).collect();
        let noted = BatchEvent::Gathered {
            number: tray.number,
            model: model.clone(),
            address: address.clone(),
            questions,
        };
        self.files.note(noted).await?;
        let questions = tray.questions.iter().map(|(_, key)| Some(*key)).collect();
        let batch = OpenBatch { number: tray.number, model, address, questions, file: None, batch: None };
        self.begin(Trip { batch, bytes: tray.bytes, earlier: false });
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
