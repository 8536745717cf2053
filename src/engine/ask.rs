//! The unit of an `llm` stage and the `parse` stage after it: ask, read, ask again, fall back.
//!
//! Both stages stay ignorant of each other and of this: `llm` makes a question, `parse` says whether an
//! answer will do and what `on_error` wants. Each record is asked in a task of its own, at most as many at
//! a time as the model allows, so that a slow answer delays only its own record. HTTP retries are the
//! model client's; a re-ask here is a new question.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use rand::RngExt;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::event::{Fact, FatalError, Live};
use super::question::{Unasked, With};
use super::reask::{Again, Chain};
use super::stop::Stop;
use super::worker::{Failure, Post, panicked};
use crate::config::Prices;
use crate::draw::Draws;
use crate::journal::StorageError;
use crate::llm::{Completion, HEURISTIC, MOCK, Model, ModelError, ModelErrorKind, ModelRequest, NO_CONTENT};
use crate::record::{Call, Exchange, Record};
use crate::stage::{Ask, OnError, Read, StageError};
use crate::template::Expression;

/// The value of the parameter `seed` that gives each record its own.
const PER_RECORD: &str = "per_record";

/// An `llm` stage, the `parse` stage joined with it, and the model they ask.
pub(crate) struct AskUnit {
    pub(crate) ask: Box<dyn Ask>,
    pub(crate) reader: Option<Reader>,
    pub(crate) model_name: Arc<str>,
    /// The name the server knows the model by.
    pub(crate) served_name: Arc<str>,
    pub(crate) prices: Prices,
    /// What else is the same in every request and changes the answers.
    pub(crate) always: serde_json::Value,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) params: serde_json::Map<String, serde_json::Value>,
    /// Draws the seed of each request, where `seed: per_record` asks for one.
    pub(crate) draws: Draws,
    /// Answers where a chain says `heuristic`.
    pub(crate) heuristic: Arc<dyn Model>,
    /// Places of the model, shared by every stage that asks it.
    pub(crate) places: Arc<Semaphore>,
    /// How many answers may be read at a time whose reading may take long.
    pub(crate) long_readings: Semaphore,
}

/// The `parse` half of a unit.
pub(crate) struct Reader {
    pub(crate) id: Arc<str>,
    pub(crate) when: Option<Expression>,
    pub(crate) read: Arc<dyn Read>,
}

/// How a record leaves the unit.
pub(crate) enum Asked {
    Answered,
    Failed(Failure),
    Fatal(FatalError),
    /// The answer cannot be kept.
    Storage(StorageError),
    /// The request might exceed the budget.
    OutOfBudget,
    /// The run was given up, or stopped, while the question was out.
    Aborted,
}

/// Runs the unit until its input ends, and then until its last answer has come.
pub(crate) async fn run(post: Post, unit: AskUnit, with: With, stop: Stop, tasks: TaskTracker) {
    let unit = Arc::new(unit);
    let post = Arc::new(post);
    while let Ok(live) = post.input.recv().await {
        post.metrics.receive(post.input.len());
        let Ok(place) = Arc::clone(&unit.places).acquire_owned().await else { return };
        let (unit, post, with, stop) = (Arc::clone(&unit), Arc::clone(&post), with.clone(), stop.clone());
        tasks.spawn(async move {
            let mut live = live;
            let begin = Instant::now();
            let work =
                AssertUnwindSafe(unit.answer(&post, &mut live.record, Some(&with), &stop)).catch_unwind();
            let asked = work.await.unwrap_or_else(|panic| Asked::Failed(Failure::of(&panicked(&*panic))));
            post.metrics.work(begin.elapsed());
            // Given back before the record goes on: a full channel must not hold a place at the model.
            drop(place);
            leave(&post, live, asked).await;
        });
    }
}

async fn leave(post: &Post, live: Live, asked: Asked) {
    match asked {
        Asked::Answered => post.pass(live).await,
        Asked::Failed(failure) => post.reject(live, failure).await,
        Asked::Fatal(error) => {
            let _ = post.facts.send(Fact::Fatal(error)).await;
        }
        Asked::Storage(error) => {
            let _ = post.facts.send(Fact::Storage(error)).await;
        }
        Asked::OutOfBudget => {
            let _ = post.facts.send(Fact::OutOfBudget).await;
        }
        Asked::Aborted => {}
    }
}

impl AskUnit {
    /// Brings one record through the unit. Without `with` nothing is kept, found again or counted.
    pub(crate) async fn answer(
        &self,
        post: &Post,
        record: &mut Record,
        with: Option<&With>,
        stop: &Stop,
    ) -> Asked {
        match post.applies(record) {
            Ok(true) => {}
            Ok(false) => return self.only_read(record).await,
            Err(error) => return Asked::Failed(Failure::of(&error)),
        }
        let mut request = match self.ask.request(record) {
            Ok(request) => request,
            Err(error) => return Asked::Failed(Failure::of(&error)),
        };
        let reader = match self.reader_for(record) {
            Ok(reader) => reader,
            Err(error) => return Asked::Failed(Failure::of(&error)),
        };
        request.schema = reader.and_then(|reader| reader.read.schema()).cloned().map(Arc::new);
        let mut call = self.new_call(post, &request, record);
        let seeded = self.wants_seed(&request);
        let mut again = Again::of(&request.messages);
        let mut chain = Chain::of(reader.map_or(&[], |reader| reader.read.on_error()));
        loop {
            request.sample = call.re_asks;
            if seeded {
                self.put_seed(&mut request, &mut call, record);
            }
            let asked = self.ask_once(post, &mut request, record, call.re_asks, with);
            let answered = tokio::select! {
                biased;
                () = stop.aborting() => return Asked::Aborted,
                answered = asked => match answered {
                    Ok(answered) => answered,
                    Err(Unasked::Storage(error)) => return Asked::Storage(error),
                    Err(Unasked::OutOfBudget) => return Asked::OutOfBudget,
                },
            };
            let (failure, can_retry) = match answered {
                Err(error) if error.kind == ModelErrorKind::Fatal => return fatal(post, error),
                Err(error) if error.kind == ModelErrorKind::Later => return Asked::Aborted,
                Err(error) => {
                    call.attempts += error.attempts;
                    // An answer without text is one that will not do; asked otherwise, the model may say something.
                    let empty = error.class == NO_CONTENT;
                    if empty {
                        again.show(&mut request.messages, "", &error.message);
                    }
                    (request_failure(error), empty)
                }
                Ok(completion) => {
                    call.take(&request, &completion);
                    let read = tokio::select! {
                        biased;
                        () = stop.aborting() => return Asked::Aborted,
                        read = self.read(record, &completion, self.answered_by(), reader) => read,
                    };
                    match read {
                        Ok(()) => break,
                        Err(error) => {
                            again.show(&mut request.messages, &completion.text, &error.message);
                            let stage = reader.map(|reader| Arc::clone(&reader.id));
                            (Failure { stage, answer: Some(completion.text), ..Failure::of(&error) }, true)
                        }
                    }
                }
            };
            match chain.next(can_retry) {
                OnError::Retry(_) => {
                    post.metrics.re_ask();
                    call.re_asks += 1;
                }
                OnError::Heuristic => {
                    again.take_back(&mut request.messages);
                    if let Err(error) = self.fall_back(record, &request, reader, &mut call, &failure).await {
                        let (attempts, answer) = (call.attempts, failure.answer);
                        record.provenance.calls.push(Arc::new(call));
                        let stage = reader.map(|reader| Arc::clone(&reader.id));
                        return Asked::Failed(Failure { stage, attempts, answer, ..Failure::of(&error) });
                    }
                    post.metrics.fall_back();
                    break;
                }
                OnError::Reject => {
                    let attempts = call.attempts;
                    record.provenance.calls.push(Arc::new(call));
                    return Asked::Failed(Failure { attempts, ..failure });
                }
            }
        }
        record.provenance.calls.push(Arc::new(call));
        Asked::Answered
    }

    /// Whether each record is to have a seed of its own.
    fn wants_seed(&self, request: &ModelRequest) -> bool {
        let declared = request.params.get("seed").or_else(|| self.params.get("seed"));
        declared.is_some_and(|seed| seed == PER_RECORD)
    }

    /// Puts in the record's own seed; a question put again has another.
    fn put_seed(&self, request: &mut ModelRequest, call: &mut Call, record: &Record) {
        let key = format!("{} {}", record.id, call.re_asks);
        // Some servers read it as a signed number of 32 bits.
        let seed: u32 = self.draws.rng("seed", key).random_range(0..1 << 31);
        for params in [&mut request.params, &mut call.params] {
            params.insert("seed".to_owned(), seed.into());
        }
    }

    /// A record that goes past the `llm` stage may still be read.
    async fn only_read(&self, record: &mut Record) -> Asked {
        let reader = match self.reader_for(record) {
            Ok(Some(reader)) => reader,
            Ok(None) => return Asked::Answered,
            Err(error) => return Asked::Failed(Failure::of(&error)),
        };
        match self.read_answer(record, reader).await {
            Ok(()) => Asked::Answered,
            Err(error) => {
                Asked::Failed(Failure { stage: Some(Arc::clone(&reader.id)), ..Failure::of(&error) })
            }
        }
    }

    /// The reader, if there is one and its `when` lets the record through.
    pub(super) fn reader_for(&self, record: &Record) -> Result<Option<&Reader>, StageError> {
        let Some(reader) = &self.reader else { return Ok(None) };
        let applies = match &reader.when {
            Some(when) => when.is_true(record)?,
            None => true,
        };
        Ok(applies.then_some(reader))
    }

    pub(super) async fn read(
        &self,
        record: &mut Record,
        completion: &Completion,
        answered_by: &str,
        reader: Option<&Reader>,
    ) -> Result<(), StageError> {
        self.ask.accept(record, completion, answered_by);
        match reader {
            Some(reader) => self.read_answer(record, reader).await,
            None => Ok(()),
        }
    }

    /// Reads the answer in the record; off the runtime's threads if that may take long, a few at a time, so that neither
    /// other records nor a stop wait for it.
    async fn read_answer(&self, record: &mut Record, reader: &Reader) -> Result<(), StageError> {
        let text = reader.read.text(record)?;
        if !reader.read.may_take_long(text) {
            return reader.read.read(record);
        }
        let (parser, text) = (Arc::clone(&reader.read), text.to_owned());
        let place = self.long_readings.acquire().await;
        let parsed = tokio::task::spawn_blocking(move || parser.parse(&text)).await;
        drop(place);
        let value = match parsed {
            Ok(parsed) => parsed?,
            // Goes on where it would have gone without the thread.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => return Err(StageError::new("stopped", error.to_string())),
        };
        reader.read.put(record, value);
        Ok(())
    }

    async fn fall_back(
        &self,
        record: &mut Record,
        request: &ModelRequest,
        reader: Option<&Reader>,
        call: &mut Call,
        failure: &Failure,
    ) -> Result<(), StageError> {
        let completion = self
            .heuristic
            .complete(request, record)
            .await
            .map_err(|error| StageError::new(HEURISTIC, error.message))?;
        call.fallback = Some(format!("{}: {}", failure.class, failure.message));
        call.provider = self.heuristic.provider().to_owned();
        call.served_as = None;
        call.keep_answer(&completion.text);
        self.read(record, &completion, HEURISTIC, reader).await
    }

    /// Whom the model's answers are from: the model, or the provider that stands in for a server.
    fn answered_by(&self) -> &str {
        let provider = self.model.provider();
        if [HEURISTIC, MOCK].contains(&provider) { provider } else { &self.model_name }
    }

    fn new_call(&self, post: &Post, request: &ModelRequest, record: &Record) -> Call {
        let messages = serde_json::to_vec(&request.messages).unwrap_or_default();
        let mut params = self.params.clone();
        params.extend(request.params.clone());
        let served = ![HEURISTIC, MOCK].contains(&self.model.provider());
        Call {
            stage: Arc::clone(&post.id),
            model: Arc::clone(&self.model_name),
            served_as: served.then(|| Arc::clone(&self.served_name)),
            provider: self.model.provider().to_owned(),
            prompt_hash: blake3::hash(&messages).to_hex()[..32].to_owned(),
            params,
            exchange: self.exchange(request, record).map(Box::new),
            ..Call::default()
        }
    }

    /// The prompt, if this record is one of the few whose exchanges are kept.
    fn exchange(&self, request: &ModelRequest, record: &Record) -> Option<Exchange> {
        let draw = self.draws.fraction("exchange", &record.id.item.to_string());
        let messages = || serde_json::to_value(&request.messages).unwrap_or_default();
        Exchange::is_kept(&record.id, draw).then(|| Exchange { draw, messages: messages(), answer: None })
    }
}

impl Call {
    fn take(&mut self, request: &ModelRequest, completion: &Completion) {
        let (told, estimated) = completion.usage.or_estimated(request, completion);
        self.prompt_tokens += told.prompt + estimated.prompt;
        self.completion_tokens += told.completion + estimated.completion;
        self.estimated_tokens += estimated.total();
        self.attempts += completion.attempts;
        self.finish_reason.clone_from(&completion.finish_reason);
        self.reported_as = completion.model.as_deref().map(Arc::from);
        self.keep_answer(&completion.text);
    }

    fn keep_answer(&mut self, text: &str) {
        if let Some(exchange) = &mut self.exchange {
            exchange.answer = Some(text.to_owned());
        }
    }
}

fn fatal(post: &Post, error: ModelError) -> Asked {
    Asked::Fatal(FatalError { stage: Arc::clone(&post.id), class: error.class, message: error.message })
}

fn request_failure(error: ModelError) -> Failure {
    Failure { class: error.class, message: error.message, attempts: error.attempts, ..Failure::default() }
}
