//! One question of a unit: found in the journal, or paid for, asked and kept.
//!
//! `ask` decides what is asked and how often; here is the order that nothing may be lost by: look whether
//! the answer is there, reserve its cost, ask, and write the answer down before it is given back.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ask::AskUnit;
use super::spending::{Refused, Spending, WorstCase};
use super::worker::Post;
use crate::journal::{Answers, Key, Names, StorageError};
use crate::llm::{Completion, Meter, ModelError, ModelErrorKind, ModelRequest};
use crate::record::Record;

/// What the questions of a run share.
#[derive(Clone)]
pub(crate) struct With {
    pub(crate) answers: Arc<Answers>,
    pub(crate) spending: Arc<Spending>,
}

/// Why a question was not answered, for reasons that are not the model's.
pub(crate) enum Unasked {
    /// The answer cannot be kept.
    Storage(StorageError),
    /// The request might exceed the budget.
    OutOfBudget,
}

impl From<StorageError> for Unasked {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// What the journal keeps of one request: the answer, or that it finally failed. Its names and those of its fields
/// are in every answers' log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum JournaledResponse<'a> {
    /// The model answered.
    Answer(Cow<'a, Completion>),
    /// The request failed for this record; it is not asked again.
    Failure(Cow<'a, ModelError>),
}

impl JournaledResponse<'_> {
    /// The bytes for the journal, in JSON.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What `encode` made these bytes of; none where they cannot be read, as if nothing had been found.
    pub(crate) fn decode(bytes: &[u8]) -> Option<JournaledResponse<'static>> {
        serde_json::from_slice(bytes).ok()
    }

    pub(crate) fn into_result(self) -> Result<Completion, ModelError> {
        match self {
            Self::Answer(completion) => Ok(completion.into_owned()),
            Self::Failure(error) => Err(error.into_owned()),
        }
    }
}

impl AskUnit {
    /// The answer to one request: found, or asked for and kept before it is given back.
    pub(super) async fn ask_once(
        &self,
        post: &Post,
        request: &mut ModelRequest,
        record: &Record,
        sample: u32,
        with: Option<&With>,
    ) -> Result<Result<Completion, ModelError>, Unasked> {
        let Some(With { answers, spending }) = with.filter(|_| self.model.is_paid()) else {
            post.metrics.request();
            return Ok(self.model.complete(request, record).await);
        };
        let (names, most) = {
            // Not held while the answer is awaited, which with batches takes hours for thousands.
            let mut params = self.params.clone();
            params.extend(request.params.clone());
            self.names(post, request, &params, record, sample)
        };
        let found = answers.find(names).await?;
        if let Some(found) = found.and_then(|bytes| JournaledResponse::decode(&bytes)) {
            return Ok(found.into_result());
        }
        let reserved = spending.reserve(most, answers).await;
        let Some(reserved) = reserved else { return Err(Unasked::OutOfBudget) };
        request.key = Some(names.key);
        request.meter = Some(Arc::clone(&reserved) as Arc<dyn Meter>);
        post.metrics.request();
        let answered = self.model.complete(request, record).await;
        request.meter = None;
        match reserved.refused() {
            Some(Refused::OutOfBudget) => return Err(Unasked::OutOfBudget),
            Some(Refused::Storage(error)) => return Err(Unasked::Storage(error)),
            None => {}
        }
        match &answered {
            Ok(completion) => {
                post.metrics.attempts(completion.attempts);
                post.metrics.finish(completion.finish_reason.as_deref());
                let (told, estimated) = completion.usage.or_estimated(request, completion);
                if !completion.usage.is_told() {
                    spending.note_without_usage(&self.model_name);
                }
                post.metrics.tokens(told.plus(estimated), completion.usage.is_told());
                let (taken, spent) = reserved.settle(Some(completion.usage));
                post.metrics.spend(taken);
                let bytes = JournaledResponse::Answer(Cow::Borrowed(completion)).encode();
                answers.keep(names, &bytes, true, spent).await?;
            }
            // What ends the run says nothing of the record.
            Err(error) if error.kind != ModelErrorKind::Record => {}
            Err(error) => {
                post.metrics.attempts(error.attempts);
                let (taken, spent) = reserved.settle(None);
                post.metrics.spend(taken);
                let bytes = JournaledResponse::Failure(Cow::Borrowed(error)).encode();
                answers.keep(names, &bytes, false, spent).await?;
            }
        }
        Ok(answered)
    }

    /// What a request is found again by: stage, model, parameters, every message and the schema; and, for
    /// the record's own answers, the record and how often it was asked again. With it goes what it can take.
    fn names(
        &self,
        post: &Post,
        request: &ModelRequest,
        params: &serde_json::Map<String, serde_json::Value>,
        record: &Record,
        sample: u32,
    ) -> (Names, WorstCase) {
        let whole = (&post.id, &self.served_name, &self.always, params, &request.messages, &request.schema);
        let bytes = serde_json::to_vec(&whole).unwrap_or_default();
        let question = blake3::hash(&bytes);
        let key = blake3::hash(format!("{} {sample} {question}", record.id).as_bytes());
        let names = Names { item: record.id.item, key: first_half(&key), question: first_half(&question) };
        let extra = self.always.get(1).and_then(serde_json::Value::as_object);
        let settings: Vec<_> = std::iter::once(params).chain(extra).collect();
        (names, WorstCase::new(request, bytes.len(), &settings, self.prices))
    }
}

fn first_half(hash: &blake3::Hash) -> Key {
    let mut key = [0; 16];
    key.copy_from_slice(&hash.as_bytes()[..16]);
    key
}
