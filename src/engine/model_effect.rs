//! The questions of a run: an effect each, whose outcome is a model's answer.
//!
//! `ask` decides what is asked and how often, `effect` has the order by which nothing is paid twice. Here is what an
//! answer is found again by, how it is stored, and what is counted.

use std::borrow::Cow;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ask::AskUnit;
use super::effect::{Effect, EffectRunner, EncodedOutcome};
use super::event::Halt;
use super::lending::PermitLenders;
use super::responder::{ModelResult, Question, Responder};
use super::slot::{ModelSlot, QuestionSlot, RetryBacklog};
use super::spending::{Reservation, WorstCase};
use crate::journal::{RequestKey, RequestKeys};
use crate::llm::{Completion, Meter, ModelError, ModelErrorKind, ModelRequest, Slot, Usage};
use crate::record::Record;

/// The number of the ask within its stage: `llm` asks once.
const ASK: u32 = 0;

/// What is stored of one request: the answer, or that it finally failed.
#[derive(Serialize, Deserialize)]
enum JournaledResponse<'a> {
    /// The model answered.
    Answer(Cow<'a, Completion>),
    /// The request failed for this record; it is not asked again.
    Failure(Cow<'a, ModelError>),
}

/// Answers as a run does: each answer is stored, and paid for once.
pub(crate) struct JournaledResponder(pub(crate) EffectRunner);

impl Responder for JournaledResponder {
    fn respond<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<ModelResult, Halt>> {
        async move {
            let Question { unit, request, record, lenders } = question;
            if !unit.model.is_paid() {
                let place = ModelSlot::new(&unit.model, &unit.metrics);
                place.reacquire().await;
                unit.metrics.count_request();
                return Ok(unit.model.complete(request, record).await);
            }
            let mut effect = ModelEffect::new(unit, request, record, lenders);
            let done = self.0.run(&mut effect).await?;
            if let Some(taken) = done.taken {
                unit.metrics.add_cost(taken);
                effect.count(&done.outcome, &self.0);
            }
            Ok(done.outcome)
        }
        .boxed()
    }
}

/// A question that is not answered yet.
struct ModelEffect<'a> {
    unit: &'a AskUnit,
    request: &'a mut ModelRequest,
    record: &'a Record,
    lenders: &'a PermitLenders,
    names: RequestKeys,
    most: WorstCase,
}

impl<'a> ModelEffect<'a> {
    fn new(
        unit: &'a AskUnit,
        request: &'a mut ModelRequest,
        record: &'a Record,
        lenders: &'a PermitLenders,
    ) -> Self {
        // Not held while the answer is awaited, which with batches takes hours for thousands.
        let mut params = unit.params.clone();
        params.extend(request.params.clone());
        let (names, most) = unit.names(request, &params, record);
        Self { unit, request, record, lenders, names, most }
    }

    /// Counts a question that was put in this start.
    fn count(&self, answered: &ModelResult, effects: &EffectRunner) {
        let metrics = &self.unit.metrics;
        match answered {
            Ok(completion) => {
                metrics.count_retries(completion.attempts);
                metrics.count_finish_reason(completion.finish_reason.as_deref());
                if let Some(time) = completion.first_token {
                    metrics.add_first_token(time);
                }
                let (told, estimated) = completion.usage.or_estimated(self.request, completion);
                if !completion.usage.is_told() {
                    effects.spending.note_without_usage(&self.unit.model_name);
                }
                metrics.add_tokens(told.plus(estimated), completion.usage.is_told());
            }
            Err(error) => metrics.count_retries(error.attempts),
        }
    }
}

impl Effect for ModelEffect<'_> {
    type Outcome = ModelResult;

    fn names(&self) -> RequestKeys {
        self.names
    }

    fn worst_case(&self) -> WorstCase {
        self.most
    }

    fn slot(&self, backlog: &Arc<RetryBacklog>) -> QuestionSlot {
        let place = ModelSlot::new(&self.unit.model, &self.unit.metrics);
        let bytes = self.request.texts().map(|text| text.len()).sum();
        QuestionSlot::new(place, self.lenders.clone(), Arc::clone(backlog), bytes)
    }

    fn perform(&mut self, reserved: Arc<Reservation>, slot: Arc<QuestionSlot>) -> BoxFuture<'_, ModelResult> {
        async move {
            self.request.key = Some(self.names.key);
            self.request.meter = Some(reserved as Arc<dyn Meter>);
            self.request.slot = Some(slot as Arc<dyn Slot>);
            self.unit.metrics.count_request();
            let answered = self.unit.model.complete(self.request, self.record).await;
            (self.request.meter, self.request.slot) = (None, None);
            answered
        }
        .boxed()
    }

    fn usage(&self, answered: &ModelResult) -> Option<Usage> {
        answered.as_ref().ok().map(|completion| completion.usage)
    }

    fn encode(&self, answered: &ModelResult) -> Option<EncodedOutcome> {
        let response = match answered {
            Ok(completion) => JournaledResponse::Answer(Cow::Borrowed(completion)),
            // What ends the run says nothing of the record.
            Err(error) if error.kind != ModelErrorKind::Record => return None,
            Err(error) => JournaledResponse::Failure(Cow::Borrowed(error)),
        };
        let bytes = serde_json::to_vec(&response).unwrap_or_default();
        Some(EncodedOutcome { bytes, reusable: answered.is_ok() })
    }

    fn decode(bytes: &[u8]) -> Option<ModelResult> {
        match serde_json::from_slice(bytes).ok()? {
            JournaledResponse::Answer(completion) => Some(Ok(completion.into_owned())),
            JournaledResponse::Failure(error) => Some(Err(error.into_owned())),
        }
    }
}

impl AskUnit {
    /// What a request is found again by: stage, model, parameters, every message and the schema; and, for
    /// the record's own answers, the record, the ask and how often it was asked again. With it goes what it can take.
    fn names(
        &self,
        request: &ModelRequest,
        params: &Map<String, Value>,
        record: &Record,
    ) -> (RequestKeys, WorstCase) {
        let whole =
            (&self.path, &self.served_name, &self.key_settings, params, &request.messages, &request.schema);
        let bytes = serde_json::to_vec(&whole).unwrap_or_default();
        let question = blake3::hash(&bytes);
        let key = blake3::hash(format!("{} {ASK} {} {question}", record.id, request.sample).as_bytes());
        let names =
            RequestKeys { item: record.id.item, key: first_half(&key), question: first_half(&question) };
        let extra = self.key_settings.get(1).and_then(Value::as_object);
        let settings: Vec<_> = std::iter::once(params).chain(extra).collect();
        (names, WorstCase::new(request, bytes.len(), &settings, self.prices))
    }
}

fn first_half(hash: &blake3::Hash) -> RequestKey {
    let mut key = [0; 16];
    key.copy_from_slice(&hash.as_bytes()[..16]);
    key
}
