//! The questions of a run: each is an effect whose outcome is a model's answer.
//!
//! `ask` decides what is asked and how often, `effect` in which order the steps happen. This file defines the key
//! that an answer is journaled under, its encoding, and what is counted.

use std::borrow::Cow;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::{AskUnit, encode};
use super::effect::{Effect, EffectRunner, EncodedOutcome};
use super::event::Halt;
use super::lending::PermitLenders;
use super::program_effect;
use super::programs::ProgramRun;
use super::record_end::json_bytes;
use super::responder::{ModelResult, Question, Responder};
use super::slot::{ModelSlot, QuestionSlot, RetryBacklog};
use super::spending::{Reservation, WorstCase};
use crate::journal::{RequestKey, RequestKeys};
use crate::llm::{Completion, Meter, ModelError, ModelErrorKind, ModelRequest, Slot, Usage};
use crate::record::Record;
use crate::sandbox::ProgramOutcome;

/// The number of the ask within its stage: an `llm` stage asks once.
const ASK: u32 = 0;

/// The journaled outcome of one request.
#[derive(Serialize, Deserialize)]
enum JournaledResponse<'a> {
    /// The model answered.
    Answer(Cow<'a, Completion>),
    /// The request failed for this record; it is not sent again.
    Failure(Cow<'a, ModelError>),
}

/// The responder of a run: each answer is journaled, and paid for once.
pub(crate) struct JournaledResponder(pub(crate) EffectRunner);

impl Responder for JournaledResponder {
    fn respond<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<ModelResult, Halt>> {
        async move {
            let Question { unit, request, messages, record, lenders } = question;
            if !unit.model.is_paid() {
                let slot = ModelSlot::new(&unit.model, &unit.metrics);
                slot.reacquire().await;
                unit.metrics.count_request();
                return Ok(unit.model.complete(request, record).await);
            }
            let mut effect = ModelEffect::new(unit, (request, messages), record, lenders);
            let done = self.0.run(&mut effect).await?;
            if let Some(cost) = done.cost {
                unit.metrics.add_cost(cost);
                effect.count(&done.outcome, &self.0);
            }
            Ok(done.outcome)
        }
        .boxed()
    }

    fn run_program<'a>(&'a self, run: ProgramRun<'a>) -> BoxFuture<'a, Result<ProgramOutcome, Halt>> {
        program_effect::run(&self.0, run).boxed()
    }
}

/// A question to a model, as an effect.
struct ModelEffect<'a> {
    unit: &'a AskUnit,
    request: &'a mut ModelRequest,
    record: &'a Record,
    lenders: &'a PermitLenders,
    keys: RequestKeys,
    worst_case: WorstCase,
}

impl<'a> ModelEffect<'a> {
    fn new(
        unit: &'a AskUnit,
        (request, messages): (&'a mut ModelRequest, &[u8]),
        record: &'a Record,
        lenders: &'a PermitLenders,
    ) -> Self {
        let (keys, worst_case) = unit.keys(request, messages, record);
        Self { unit, request, record, lenders, keys, worst_case }
    }

    /// Counts a question that was asked in this start.
    fn count(&self, result: &ModelResult, effects: &EffectRunner) {
        let metrics = &self.unit.metrics;
        match result {
            Ok(completion) => {
                metrics.count_retries(completion.attempts);
                metrics.count_finish_reason(completion.finish_reason.as_deref());
                if let Some(time) = completion.first_token {
                    metrics.add_first_token(time);
                }
                let (reported, estimated) = completion.usage.or_estimated(self.request, completion);
                if !completion.usage.is_reported() {
                    effects.spending.note_without_usage(&self.unit.model_name);
                }
                metrics.add_tokens(reported.plus(estimated), completion.usage.is_reported());
            }
            Err(error) => metrics.count_retries(error.attempts),
        }
    }
}

impl Effect for ModelEffect<'_> {
    type Outcome = ModelResult;

    fn keys(&self) -> RequestKeys {
        self.keys
    }

    fn worst_case(&self) -> WorstCase {
        self.worst_case
    }

    fn slot(&self, backlog: &Arc<RetryBacklog>) -> QuestionSlot {
        let model_slot = ModelSlot::new(&self.unit.model, &self.unit.metrics);
        let bytes = self.request.texts().map(|text| text.len()).sum();
        QuestionSlot::new(model_slot, self.lenders.clone(), Arc::clone(backlog), bytes)
    }

    fn perform(&mut self, reserved: Arc<Reservation>, slot: Arc<QuestionSlot>) -> BoxFuture<'_, ModelResult> {
        async move {
            self.request.key = Some(self.keys.key);
            self.request.meter = Some(reserved as Arc<dyn Meter>);
            self.request.slot = Some(slot as Arc<dyn Slot>);
            self.unit.metrics.count_request();
            let result = self.unit.model.complete(self.request, self.record).await;
            (self.request.meter, self.request.slot) = (None, None);
            result
        }
        .boxed()
    }

    fn usage(&self, result: &ModelResult) -> Option<Usage> {
        result.as_ref().ok().map(|completion| completion.usage)
    }

    fn encode(&self, result: &ModelResult) -> Option<EncodedOutcome> {
        let response = match result {
            Ok(completion) => JournaledResponse::Answer(Cow::Borrowed(completion)),
            // An error that ends the run says nothing about the record.
            Err(error) if error.kind != ModelErrorKind::Record => return None,
            Err(error) => JournaledResponse::Failure(Cow::Borrowed(error)),
        };
        let bytes = json_bytes(&response, 1024);
        Some(EncodedOutcome { bytes, reusable: result.is_ok() })
    }

    fn decode(bytes: &[u8]) -> Option<ModelResult> {
        match serde_json::from_slice(bytes).ok()? {
            JournaledResponse::Answer(completion) => Some(Ok(completion.into_owned())),
            JournaledResponse::Failure(error) => Some(Err(error.into_owned())),
        }
    }
}

impl AskUnit {
    /// The keys of a request, and the most it can cost. The key of the question is a hash of the stage, the model, the
    /// parameters, every message and the schema; the key of the record's own answer also covers the record, the number
    /// of the ask and the number of re-asks.
    fn keys(&self, request: &ModelRequest, messages: &[u8], record: &Record) -> (RequestKeys, WorstCase) {
        let params = self.params_of(request);
        let params_json = match request.params.is_empty() {
            true => Cow::Borrowed(self.params_json.as_slice()),
            false => Cow::Owned(encode(&*params)),
        };
        let schema = encode(&request.schema);
        // The same JSON array as if it were encoded at once.
        let parts: [&[u8]; 7] = [&self.key_prefix, &params_json, b",", messages, b",", &schema, b"]"];
        let mut hasher = blake3::Hasher::new();
        let mut bytes = 0;
        for part in parts {
            hasher.update(part);
            bytes += part.len();
        }
        let question = hasher.finalize();
        let key = blake3::hash(format!("{} {ASK} {} {question}", record.id, request.sample).as_bytes());
        let keys =
            RequestKeys { item: record.id.item, key: first_half(&key), question: first_half(&question) };
        let extra_body = self.key_settings.get(1).and_then(Value::as_object);
        let settings: Vec<_> = std::iter::once(&*params).chain(extra_body).collect();
        (keys, WorstCase::new(request, bytes, &settings, self.prices))
    }
}

fn first_half(hash: &blake3::Hash) -> RequestKey {
    let mut key = [0; 16];
    key.copy_from_slice(&hash.as_bytes()[..16]);
    key
}
