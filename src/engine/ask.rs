//! The unit of an `llm` stage and the `parse` stage after it: ask, read, ask again, fall back.
//!
//! Both stages stay ignorant of each other and of this: `llm` makes a question, `parse` says whether an
//! answer will do and what `on_error` wants. Who answers is `answering`'s affair, HTTP retries are the model
//! client's; a re-ask here is a new question.

use std::sync::Arc;

use rand::RngExt;
use tokio::sync::Semaphore;

use super::event::{FatalError, Halt, InFlightRecord};
use super::execute::{BuiltStage, Executor, Failure, RecordEnd, StageOutcome};
use super::metrics::StageMetrics;
use super::reask::{OnErrorSteps, ReaskTurns};
use super::responder::Question;
use crate::draw::Draws;
use crate::llm::{
    Client, Completion, HEURISTIC, MOCK, Model, ModelError, ModelErrorKind, ModelRequest, NO_CONTENT,
    affinity,
};
use crate::pipeline::Prices;
use crate::record::{Exchange, ModelCall, Record};
use crate::stage::{AnswerError, AnswerParser, Ask, OnError, StageError};
use crate::template::Expression;

/// The value of the parameter `seed` that gives each record its own.
const PER_RECORD: &str = "per_record";

/// An `llm` stage, the `parse` stage joined with it, and the model they ask.
pub(crate) struct AskUnit {
    /// The path of the `llm` stage.
    pub(crate) path: Arc<str>,
    pub(crate) metrics: Arc<StageMetrics>,
    pub(crate) ask: Box<dyn Ask>,
    pub(crate) parser: Option<BuiltParser>,
    pub(crate) model_name: Arc<str>,
    /// The name the server knows the model by.
    pub(crate) served_name: Arc<str>,
    pub(crate) prices: Prices,
    /// What else is the same in every request and changes the answers.
    pub(crate) always: serde_json::Value,
    pub(crate) model: Arc<Client>,
    pub(crate) params: serde_json::Map<String, serde_json::Value>,
    /// Draws the seed of each request, where `seed: per_record` asks for one.
    pub(crate) draws: Draws,
    /// AnswerLog where a chain says `heuristic`.
    pub(crate) heuristic: Arc<dyn Model>,
    /// How many answers may be read at a time whose reading may take long.
    pub(crate) long_readings: Semaphore,
}

/// The `parse` half of a unit.
pub(crate) struct BuiltParser {
    pub(crate) id: Arc<str>,
    pub(crate) when: Option<Expression>,
    pub(crate) read: Arc<dyn AnswerParser>,
}

impl AskUnit {
    /// Brings one record through the unit; if the `llm` stage does not apply to it, it may still be read.
    pub(crate) async fn answer(
        &self,
        stage: &BuiltStage,
        record: &mut InFlightRecord,
        applies: bool,
        executor: &Executor,
    ) -> StageOutcome {
        let InFlightRecord { record, lenders, .. } = record;
        if !applies {
            return self.only_read(stage, record).await;
        }
        let mut request = match self.ask.request(record) {
            Ok(request) => request,
            Err(error) => return stage.reject(&error),
        };
        let parser = match self.reader_for(record) {
            Ok(parser) => parser,
            Err(error) => return stage.reject(&error),
        };
        request.affinity = self.affinity(record, parser);
        request.schema = parser.and_then(|parser| parser.read.schema()).cloned().map(Arc::new);
        let mut call = self.new_call(&request, record);
        let seeded = self.wants_seed(&request);
        let mut reask = ReaskTurns::of(&request.messages);
        let mut chain = OnErrorSteps::of(parser.map_or(&[], |parser| parser.read.on_error()));
        loop {
            request.sample = call.re_asks;
            if seeded {
                self.put_seed(&mut request, &mut call, record);
            }
            let question = Question { unit: self, request: &mut request, record, lenders };
            let answered = tokio::select! {
                biased;
                () = executor.stop.aborting() => return StageOutcome::Halted(Halt::Aborted),
                answered = executor.responder.respond(question) => match answered {
                    Ok(answered) => answered,
                    Err(halt) => return StageOutcome::Halted(halt),
                },
            };
            let (failure, can_retry) = match answered {
                Err(error) if error.kind == ModelErrorKind::Fatal => {
                    return StageOutcome::Halted(Halt::Fatal(self.fatal(error)));
                }
                Err(error) if error.kind == ModelErrorKind::Later => {
                    return StageOutcome::Halted(Halt::Aborted);
                }
                Err(error) => {
                    call.attempts += error.attempts;
                    // An answer without text is one that will not do; asked otherwise, the model may say something.
                    let empty = error.class == NO_CONTENT;
                    if empty {
                        reask.show(&mut request.messages, "", &error.message);
                    }
                    (self.request_failure(error), empty)
                }
                Ok(completion) => {
                    call.take(&request, &completion);
                    let read = tokio::select! {
                        biased;
                        () = executor.stop.aborting() => return StageOutcome::Halted(Halt::Aborted),
                        read = self.read(record, &completion, self.answered_by(), parser) => read,
                    };
                    match read {
                        Ok(()) => break,
                        Err(AnswerError::Undecidable(error)) => {
                            let (attempts, answer) = (call.attempts, Some(completion.text));
                            record.provenance.calls.push(Arc::new(call));
                            let stage_of_it = self.reading(parser);
                            let failure =
                                Failure { stage: stage_of_it, attempts, answer, ..stage.failure(&error) };
                            return StageOutcome::Ended(RecordEnd::Rejected(failure));
                        }
                        Err(AnswerError::Invalid(error)) => {
                            reask.show(&mut request.messages, &completion.text, &error.message);
                            let answer = Some(completion.text);
                            (Failure { stage: self.reading(parser), answer, ..stage.failure(&error) }, true)
                        }
                    }
                }
            };
            match chain.next(can_retry) {
                OnError::Retry(_) => {
                    self.metrics.re_ask();
                    call.re_asks += 1;
                }
                OnError::Heuristic => {
                    reask.take_back(&mut request.messages);
                    if let Err(error) = self.fall_back(record, &request, parser, &mut call, &failure).await {
                        let (attempts, answer) = (call.attempts, failure.answer);
                        record.provenance.calls.push(Arc::new(call));
                        let stage_of_it = self.reading(parser);
                        let failure =
                            Failure { stage: stage_of_it, attempts, answer, ..stage.failure(&error) };
                        return StageOutcome::Ended(RecordEnd::Rejected(failure));
                    }
                    self.metrics.fall_back();
                    break;
                }
                OnError::Reject => {
                    let attempts = call.attempts;
                    record.provenance.calls.push(Arc::new(call));
                    return StageOutcome::Ended(RecordEnd::Rejected(Failure { attempts, ..failure }));
                }
            }
        }
        record.provenance.calls.push(Arc::new(call));
        StageOutcome::Passed
    }

    /// What its questions have in common with others that begin alike: the group, which is the section or document it is
    /// about, or else the item, where it may ask several times.
    fn affinity(&self, record: &Record, parser: Option<&BuiltParser>) -> Option<u64> {
        match record.get("group") {
            None | Some(serde_json::Value::Null) => {
                let asks_again = |parser: &BuiltParser| {
                    parser.read.on_error().iter().any(|step| matches!(step, OnError::Retry(_)))
                };
                let may_ask_again = self.path.contains('/') || parser.is_some_and(asks_again);
                may_ask_again.then(|| affinity(&record.id.item.to_le_bytes()))
            }
            Some(serde_json::Value::String(group)) => Some(affinity(group.as_bytes())),
            Some(other) => Some(affinity(other.to_string().as_bytes())),
        }
    }

    /// Whether each record is to have a seed of its own.
    fn wants_seed(&self, request: &ModelRequest) -> bool {
        let declared = request.params.get("seed").or_else(|| self.params.get("seed"));
        declared.is_some_and(|seed| seed == PER_RECORD)
    }

    /// Puts in the record's own seed; a question put again has another.
    fn put_seed(&self, request: &mut ModelRequest, call: &mut ModelCall, record: &Record) {
        let key = format!("{} {}", record.id, call.re_asks);
        // Some servers read it as a signed number of 32 bits.
        let seed: u32 = self.draws.rng("seed", key).random_range(0..1 << 31);
        for params in [&mut request.params, &mut call.params] {
            params.insert("seed".to_owned(), seed.into());
        }
    }

    /// A record that goes past the `llm` stage may still be read.
    async fn only_read(&self, stage: &BuiltStage, record: &mut Record) -> StageOutcome {
        let parser = match self.reader_for(record) {
            Ok(Some(parser)) => parser,
            Ok(None) => return StageOutcome::Passed,
            Err(error) => return stage.reject(&error),
        };
        match self.read_answer(record, parser).await {
            Ok(()) => StageOutcome::Passed,
            Err(error) => {
                let error = StageError::from(error);
                let failure = Failure { stage: Arc::clone(&parser.id), ..stage.failure(&error) };
                StageOutcome::Ended(RecordEnd::Rejected(failure))
            }
        }
    }

    /// The stage that an answer is read by.
    fn reading(&self, parser: Option<&BuiltParser>) -> Arc<str> {
        Arc::clone(parser.map_or(&self.path, |parser| &parser.id))
    }

    fn fatal(&self, error: ModelError) -> FatalError {
        FatalError { stage: Arc::clone(&self.path), class: error.class, message: error.message }
    }

    fn request_failure(&self, error: ModelError) -> Failure {
        Failure {
            stage: Arc::clone(&self.path),
            class: error.class,
            message: error.message,
            attempts: error.attempts,
            answer: None,
        }
    }

    /// The reader, if there is one and its `when` lets the record through.
    pub(super) fn reader_for(&self, record: &Record) -> Result<Option<&BuiltParser>, StageError> {
        let Some(parser) = &self.parser else { return Ok(None) };
        let applies = match &parser.when {
            Some(when) => when.is_true(record)?,
            None => true,
        };
        Ok(applies.then_some(parser))
    }

    pub(super) async fn read(
        &self,
        record: &mut Record,
        completion: &Completion,
        answered_by: &str,
        parser: Option<&BuiltParser>,
    ) -> Result<(), AnswerError> {
        self.ask.accept(record, completion, answered_by);
        match parser {
            Some(parser) => self.read_answer(record, parser).await,
            None => Ok(()),
        }
    }

    /// Reads the answer in the record; off the runtime's threads if that may take long, a few at a time, so that neither
    /// other records nor a stop wait for it.
    async fn read_answer(&self, record: &mut Record, parser: &BuiltParser) -> Result<(), AnswerError> {
        let text = parser.read.answer_text(record)?;
        if !parser.read.may_take_long(text) {
            return parser.read.parse_record(record);
        }
        let (stage, text) = (Arc::clone(&parser.read), text.to_owned());
        let permit = self.long_readings.acquire().await;
        let parsed = tokio::task::spawn_blocking(move || stage.parse(&text)).await;
        drop(permit);
        let value = match parsed {
            Ok(parsed) => parsed?,
            // Goes on where it would have gone without the thread.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => return Err(StageError::new("stopped", error.to_string()).into()),
        };
        parser.read.store(record, value)
    }

    async fn fall_back(
        &self,
        record: &mut Record,
        request: &ModelRequest,
        parser: Option<&BuiltParser>,
        call: &mut ModelCall,
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
        Ok(self.read(record, &completion, HEURISTIC, parser).await?)
    }

    /// Whom the model's answers are from: the model, or the provider that stands in for a server.
    fn answered_by(&self) -> &str {
        let provider = self.model.provider();
        if [HEURISTIC, MOCK].contains(&provider) { provider } else { &self.model_name }
    }

    fn new_call(&self, request: &ModelRequest, record: &Record) -> ModelCall {
        let messages = serde_json::to_vec(&request.messages).unwrap_or_default();
        let mut params = self.params.clone();
        params.extend(request.params.clone());
        let served = ![HEURISTIC, MOCK].contains(&self.model.provider());
        ModelCall {
            stage: Arc::clone(&self.path),
            asked_as: self.path.contains('/').then(|| record.id.to_string()),
            model: Arc::clone(&self.model_name),
            served_as: served.then(|| Arc::clone(&self.served_name)),
            provider: self.model.provider().to_owned(),
            prompt_hash: blake3::hash(&messages).to_hex()[..32].to_owned(),
            params,
            exchange: self.exchange(request, record).map(Box::new),
            ..ModelCall::default()
        }
    }

    /// The prompt, if this record is one of the few whose exchanges are kept.
    fn exchange(&self, request: &ModelRequest, record: &Record) -> Option<Exchange> {
        let draw = self.draws.fraction("exchange", &record.id.item.to_string());
        let messages = || serde_json::to_value(&request.messages).unwrap_or_default();
        Exchange::is_kept(&record.id, draw).then(|| Exchange { draw, messages: messages(), answer: None })
    }
}

impl ModelCall {
    fn take(&mut self, request: &ModelRequest, completion: &Completion) {
        let (told, estimated) = completion.usage.or_estimated(request, completion);
        self.prompt_tokens += told.prompt + estimated.prompt;
        self.completion_tokens += told.completion + estimated.completion;
        self.cached_tokens += told.cached;
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
