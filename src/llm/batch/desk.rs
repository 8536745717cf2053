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
use super::tray::{Tray, line};
use super::trip::{Outcome, Trip, into_storage};
use super::{Batch, BatchFigures, Waiting, results};
use crate::journal::{BatchEvent, BatchFiles, Key, OpenBatch, StorageError, hex};
use crate::llm::Completion;
use crate::llm::classify::{Failure, Verdict};

/// Bytes of a file of results that are read at a time.
const CHUNK: usize = 1 << 20;
/// A longer line is no answer.
const LONGEST_LINE: usize = 16 << 20;

type Answer = Result<Completion, Failure>;
type Returned = (Trip, Result<Outcome, Trouble>);

pub(super) struct Desk {
    model: Arc<Batch>,
    files: Arc<BatchFiles>,
    inbox: mpsc::Receiver<Waiting>,
    tray: Option<Tray>,
    /// The batch that each question is in, while no answer to it is known.
    asked: HashMap<Key, u32>,
    /// Who waits for an answer.
    waiting: HashMap<Key, oneshot::Sender<Answer>>,
    /// Answers that have come before their questions.
    found: HashMap<Key, Found>,
    /// How many such answers each file has still.
    left: HashMap<Arc<str>, usize>,
    trips: FuturesUnordered<BoxFuture<'static, Returned>>,
    /// What stops the run: said to everyone who asks from then on.
    fatal: Option<Failure>,
}

/// Where an answer stands.
struct Found {
    file: Arc<str>,
    offset: u64,
    length: usize,
    earlier: bool,
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
            let send_at = self.tray.as_ref().map(|tray| tray.send_at(self.model.linger()));
            let patience = async {
                match send_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = draining.cancelled() => return self.leave().await,
                question = self.inbox.recv() => match question {
                    Some(question) => self.take(question).await?,
                    None => return Ok(()),
                },
                Some((trip, outcome)) = self.trips.next() => self.unpack(trip, outcome).await?,
                () = patience => self.send().await?,
            }
        }
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
        if self.asked.contains_key(&key) {
            self.waiting.insert(key, answer);
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

    /// Gives out what a batch brought.
    async fn unpack(&mut self, trip: Trip, outcome: Result<Outcome, Trouble>) -> Result<(), StorageError> {
        let number = trip.batch.number;
        self.model.board.take_off(number);
        match outcome {
            Ok(Outcome::Results { files, state }) => {
                let begin = Instant::now();
                let mut read = 0;
                for file in files {
                    read += self.unpack_file(file, &trip).await?;
                }
                info!(
                    model = self.model.name,
                    "batch {number} is `{state}`: {read} of its questions have a line, read in {:?}",
                    begin.elapsed()
                );
                let missing = results::missing(&state);
                self.give_up_rest(&trip.batch, &HashMap::new(), &missing);
                if state == "cancelled" && !trip.earlier {
                    let message = format!(
                        "the batch `{}` was cancelled at the provider; what it had answered is kept",
                        trip.batch.batch.unwrap_or_default()
                    );
                    self.stop(Failure::new(Verdict::Fatal, "batch_cancelled", message));
                }
            }
            Ok(Outcome::Refused { lines, others }) => self.give_up_rest(&trip.batch, &lines, &others),
            Err(trouble) => {
                let failure = into_storage(trouble)?;
                self.stop(failure);
            }
        }
        Ok(())
    }

    /// Reads one file of results; gives the number of lines that answer a question of the batch.
    async fn unpack_file(&mut self, name: String, trip: &Trip) -> Result<u64, StorageError> {
        let file: Arc<str> = name.into();
        let (mut offset, mut rest, mut read) = (0, Vec::new(), 0);
        let mut left = 0;
        loop {
            let at = offset + rest.len() as u64;
            let chunk = self.files.read(file.to_string(), at, CHUNK).await?;
            let is_last = chunk.is_empty();
            rest.extend_from_slice(&chunk);
            let mut start = 0;
            while let Some(length) = line_length(&rest[start..], is_last) {
                let line = &rest[start..start + length];
                let place = Found {
                    file: Arc::clone(&file),
                    offset: offset + start as u64,
                    length,
                    earlier: trip.earlier,
                };
                start += length;
                let Some((key, answer)) =
                    results::read(line, self.model.asked.dialect, &self.model.api.shown)
                else {
                    continue;
                };
                if self.asked.get(&key) != Some(&trip.batch.number) {
                    continue;
                }
                read += 1;
                self.asked.remove(&key);
                match self.waiting.remove(&key) {
                    Some(waiting) => drop(waiting.send(self.judged(&place, answer))),
                    None => {
                        left += 1;
                        self.found.insert(key, place);
                    }
                }
            }
            if start == 0 && rest.len() > LONGEST_LINE {
                // No answer; what follows it is found again at the next line's end.
                start = rest.len();
            }
            rest.drain(..start);
            offset += start as u64;
            if is_last {
                break;
            }
        }
        match left {
            0 => self.files.remove(file.to_string()).await?,
            left => drop(self.left.insert(file, left)),
        }
        Ok(read)
    }

    /// The questions of a batch that it brought nothing for.
    fn give_up_rest(&mut self, batch: &OpenBatch, lines: &HashMap<usize, Failure>, others: &Failure) {
        for (line, key) in batch.questions.iter().enumerate() {
            let Some(key) = key else { continue };
            if self.asked.get(key) != Some(&batch.number) {
                continue;
            }
            self.asked.remove(key);
            if let Some(waiting) = self.waiting.remove(key) {
                let failure = lines.get(&line).unwrap_or(others).clone();
                let _ = waiting.send(Err(self.model.api.told(failure)));
            }
        }
    }

    /// Gives out an answer that had come before its question.
    async fn hand_out(&mut self, found: Found, answer: oneshot::Sender<Answer>) -> Result<(), StorageError> {
        let bytes = self.files.read(found.file.to_string(), found.offset, found.length).await?;
        let read = results::read(&bytes, self.model.asked.dialect, &self.model.api.shown);
        let read = read.map_or_else(|| Err(results::missing("unreadable")), |(_, read)| read);
        let _ = answer.send(self.judged(&found, read));
        if let Some(left) = self.left.get_mut(&found.file) {
            *left -= 1;
            if *left == 0 {
                self.left.remove(&found.file);
                self.files.remove(found.file.to_string()).await?;
            }
        }
        Ok(())
    }

    /// The answer as it is given out. What stopped an earlier start has been mended, or is found again by
    /// asking again.
    fn judged(&self, place: &Found, answer: Answer) -> Answer {
        let failure = match answer {
            Ok(completion) => return Ok(completion),
            Err(failure) => self.model.api.told(failure),
        };
        let mended = place.earlier && failure.verdict == Verdict::Fatal;
        Err(if mended { Failure { verdict: Verdict::Retry, ..failure } } else { failure })
    }

    fn stop(&mut self, failure: Failure) {
        let failure = self.model.api.told(failure);
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.send(Err(failure.clone()));
        }
        self.fatal = Some(failure);
    }
}

/// The length of the first line with its end; at the end of a file the last line needs none.
fn line_length(bytes: &[u8], is_last: bool) -> Option<usize> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => Some(end + 1),
        None => (is_last && !bytes.is_empty()).then_some(bytes.len()),
    }
}
