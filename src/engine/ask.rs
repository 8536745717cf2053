//! The unit of an `llm` stage and the `parse` stage after it: ask, parse, ask again, fall back.
//!
//! The two stages know neither each other nor this unit: `llm` makes a question, `parse` decides whether an answer is
//! valid and what `on_error` does. A `Responder` answers; repeating an HTTP request is the model client's business,
//! while a re-ask is a new question. Every way to fail ends in one `Rejection`.

mod call;
mod parsing;

use std::sync::Arc;

use rand::RngExt;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::event::{FatalError, Halt, InFlightRecord};
use super::execute::{BuiltStage, Executor, StageOutcome};
use super::lending::PermitLenders;
use super::metrics::StageMetrics;
use super::reask::{OnErrorCursor, ReaskTurns};
use super::record_end::{RecordEnd, Rejection, json_bytes};
use super::responder::Question;
use crate::draw::Draws;
use crate::llm::{Client, HEURISTIC, Model, ModelError, ModelErrorKind, ModelRequest, NO_CONTENT, affinity};
use crate::pipeline::Prices;
use crate::record::{ModelCall, Record};
use crate::stage::{AnswerError, Ask, OnError, StageError};

pub(crate) use parsing::BuiltParser;

/// The value of the parameter `seed` for which each record has its own seed.
const PER_RECORD: &str = "per_record";

/// An `llm` stage, the `parse` stage joined to it, and the model they ask.
pub(crate) struct AskUnit {
    /// The path of the `llm` stage.
    pub(crate) path: Arc<str>,
    pub(crate) metrics: Arc<StageMetrics>,
    pub(crate) ask: Box<dyn Ask>,
    pub(crate) parser: Option<BuiltParser>,
    /// Whether the stage builds the prompt when it asks, so that no field of the record contains it.
    pub(crate) makes_prompt: bool,
    pub(crate) model_name: Arc<str>,
    /// The model's name at the server.
    pub(crate) served_name: Arc<str>,
    pub(crate) prices: Prices,
    /// Other settings that are the same in every request and affect the answer; part of the key under which answers
    /// are journaled.
    pub(crate) key_settings: Value,
    /// The beginning of every question's key.
    pub(crate) key_prefix: Vec<u8>,
    /// The model's parameters as JSON.
    pub(crate) params_json: Vec<u8>,
    pub(crate) model: Arc<Client>,
    pub(crate) params: Arc<Map<String, Value>>,
    /// Draws the seed of each request where `seed: per_record` asks for one.
    pub(crate) draws: Draws,
    /// Answers where `on_error` says `heuristic`.
    pub(crate) heuristic: Arc<dyn Model>,
    /// Limits how many answers are parsed at a time whose parsing may take long.
    pub(crate) slow_parses: Semaphore,
}

/// One record in the unit.
struct AskInProgress<'a> {
    unit: &'a AskUnit,
    executor: &'a Executor,
    /// The parser, if there is one and its `when` holds for the record.
    parser: Option<&'a BuiltParser>,
    request: ModelRequest,
    /// The request's messages as JSON, encoded once for all that hash them.
    messages: Vec<u8>,
    /// What is added to the record's provenance.
    call: ModelCall,
}

/// The outcome of one question.
enum AskOutcome {
    /// The answer is valid and in the record.
    Valid,
    /// There is no valid answer: `on_error` decides.
    Invalid {
        rejection: Rejection,
        /// Whether another answer to the question may be valid.
        can_reask: bool,
    },
    /// The record is rejected, whatever `on_error` says.
    Rejected(Rejection),
    /// The record stays in flight.
    Halted(Halt),
}

impl AskUnit {
    /// Passes one record through the unit. A record that skips the `llm` stage may still be parsed.
    pub(crate) async fn answer(
        &self,
        stage: &BuiltStage,
        record: &mut InFlightRecord,
        applies: bool,
        executor: &Executor,
    ) -> StageOutcome {
        let InFlightRecord { record, lenders, .. } = record;
        if !applies {
            return self.parse_only(stage, record).await;
        }
        let mut request = match self.ask.request(record) {
            Ok(request) => request,
            Err(error) => return stage.reject(error),
        };
        let parser = match self.parser_for(record) {
            Ok(parser) => parser,
            Err(error) => return stage.reject(error),
        };
        request.affinity = self.affinity(record, parser);
        request.stage = Arc::clone(&self.path);
        request.schema = parser.and_then(|parser| parser.stage.schema()).cloned().map(Arc::new);
        let messages = encode(&request.messages);
        let call = self.new_call(&request, &messages, record);
        AskInProgress { unit: self, executor, parser, request, messages, call }.run(record, lenders).await
    }

    /// The key that the unit's questions share with others whose prompt begins with the same text: the record's
    /// group, which is its section or document, or its item if that may ask several times.
    fn affinity(&self, record: &Record, parser: Option<&BuiltParser>) -> Option<u64> {
        match record.get("group") {
            None | Some(Value::Null) => {
                let may_reask = |parser: &BuiltParser| {
                    parser.stage.on_error().iter().any(|step| matches!(step, OnError::Retry(_)))
                };
                let asks_again = self.path.contains('/') || parser.is_some_and(may_reask);
                asks_again.then(|| affinity(&record.id.item.to_le_bytes()))
            }
            Some(Value::String(group)) => Some(affinity(group.as_bytes())),
            Some(other) => Some(affinity(other.to_string().as_bytes())),
        }
    }

    /// Whether each record has a seed of its own.
    fn has_seed_per_record(&self, request: &ModelRequest) -> bool {
        let declared = request.params.get("seed").or_else(|| self.params.get("seed"));
        declared.is_some_and(|seed| seed == PER_RECORD)
    }

    fn fatal(&self, error: ModelError) -> FatalError {
        FatalError { stage: Arc::clone(&self.path), class: error.class, message: error.message }
    }
}

impl AskInProgress<'_> {
    /// Asks until an answer is valid or `on_error` has no step left.
    async fn run(mut self, record: &mut Record, lenders: &PermitLenders) -> StageOutcome {
        let has_seed = self.unit.has_seed_per_record(&self.request);
        let mut reask = ReaskTurns::new(&self.request.messages);
        let mut steps = OnErrorCursor::new(self.parser.map_or(&[], |parser| parser.stage.on_error()));
        loop {
            self.request.sample = self.call.re_asks;
            if has_seed {
                self.set_seed(record);
            }
            let (rejection, can_reask) = match self.ask_once(record, lenders).await {
                AskOutcome::Valid => break,
                AskOutcome::Invalid { rejection, can_reask } => (rejection, can_reask),
                AskOutcome::Rejected(rejection) => return self.reject(record, rejection),
                AskOutcome::Halted(halt) => return StageOutcome::Halted(halt),
            };
            match steps.next(can_reask) {
                OnError::Retry(_) => {
                    let answer = rejection.answer.as_deref().unwrap_or_default();
                    reask.append(&mut self.request.messages, answer, &rejection.message);
                    self.messages = encode(&self.request.messages);
                    self.unit.metrics.count_reask();
                    self.call.re_asks += 1;
                }
                OnError::Heuristic => {
                    reask.restore(&mut self.request.messages);
                    if let Err(error) = self.fall_back(record, &rejection).await {
                        let failed = Rejection::new(self.parsing_stage(), error);
                        return self.reject(record, Rejection { answer: rejection.answer, ..failed });
                    }
                    self.unit.metrics.count_fallback();
                    break;
                }
                OnError::Reject => return self.reject(record, rejection),
            }
        }
        record.provenance.calls.push(Arc::new(self.call));
        StageOutcome::Passed
    }

    /// Asks the question in its current form and parses the answer.
    async fn ask_once(&mut self, record: &mut Record, lenders: &PermitLenders) -> AskOutcome {
        let unit = self.unit;
        let question =
            Question { unit, request: &mut self.request, messages: &self.messages, record, lenders };
        let result = tokio::select! {
            biased;
            () = self.executor.stop.aborting() => return AskOutcome::Halted(Halt::Aborted),
            result = self.executor.responder.respond(question) => match result {
                Ok(result) => result,
                Err(halt) => return AskOutcome::Halted(halt),
            },
        };
        let completion = match result {
            Ok(completion) => completion,
            Err(error) => return self.failed_request(error),
        };
        self.call.add(&self.request, &completion);
        let parsed = tokio::select! {
            biased;
            () = self.executor.stop.aborting() => return AskOutcome::Halted(Halt::Aborted),
            parsed = unit.accept(record, &completion, unit.responder_name(), self.parser) => parsed,
        };
        let with_answer = |error: StageError| Rejection {
            answer: Some(completion.text),
            ..Rejection::new(self.parsing_stage(), error)
        };
        match parsed {
            Ok(()) => AskOutcome::Valid,
            Err(AnswerError::Undecidable(error)) => AskOutcome::Rejected(with_answer(error)),
            Err(AnswerError::Invalid(error)) => {
                AskOutcome::Invalid { rejection: with_answer(error), can_reask: true }
            }
        }
    }

    fn failed_request(&mut self, error: ModelError) -> AskOutcome {
        match error.kind {
            ModelErrorKind::Fatal => AskOutcome::Halted(Halt::Fatal(self.unit.fatal(error))),
            ModelErrorKind::Later => AskOutcome::Halted(Halt::Aborted),
            ModelErrorKind::Record => {
                self.call.attempts += error.attempts;
                // An answer without text is an invalid answer: asked again, the model may answer.
                let can_reask = error.class == NO_CONTENT;
                let error = StageError::new(error.class, error.message);
                let rejection = Rejection::new(Arc::clone(&self.unit.path), error);
                AskOutcome::Invalid { rejection, can_reask }
            }
        }
    }

    /// Has the heuristic answer instead of the model; `cause` says why.
    async fn fall_back(&mut self, record: &mut Record, cause: &Rejection) -> Result<(), StageError> {
        let heuristic = &self.unit.heuristic;
        let completion = heuristic
            .complete(&self.request, record)
            .await
            .map_err(|error| StageError::new(HEURISTIC, error.message))?;
        self.call.fallback = Some(format!("{}: {}", cause.class, cause.message));
        self.call.provider = heuristic.provider().to_owned();
        self.call.served_as = None;
        self.call.keep_answer(&completion.text);
        Ok(self.unit.accept(record, &completion, HEURISTIC, self.parser).await?)
    }

    /// Sets the record's own seed, another one for each re-ask.
    fn set_seed(&mut self, record: &Record) {
        let key = format!("{} {}", record.id, self.call.re_asks);
        // Some servers read it as a signed number of 32 bits.
        let seed: u32 = self.unit.draws.rng("seed", key).random_range(0..1 << 31);
        for params in [&mut self.request.params, Arc::make_mut(&mut self.call.params)] {
            params.insert("seed".to_owned(), seed.into());
        }
    }

    fn reject(self, record: &mut Record, rejection: Rejection) -> StageOutcome {
        let attempts = self.call.attempts;
        record.provenance.calls.push(Arc::new(self.call));
        StageOutcome::Ended(RecordEnd::Rejected(Rejection { attempts, ..rejection }))
    }

    /// The path of the stage that parses answers; that of the `llm` stage if there is no `parse`.
    fn parsing_stage(&self) -> Arc<str> {
        Arc::clone(self.parser.map_or(&self.unit.path, |parser| &parser.id))
    }
}

/// Encodes the parts of a key as JSON. All keys are strings, so this cannot fail.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    json_bytes(value, 1024)
}
