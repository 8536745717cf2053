//! One question of a unit: found in the journal, or paid for, asked and kept.
//!
//! `ask` decides what is asked and how often; here is the order that nothing may be lost by: look whether
//! the answer is there, reserve its cost, ask, and write the answer down before it is given back.

use std::sync::Arc;

use super::ask::AskUnit;
use super::spending::{Refused, Spending, WorstCase};
use super::worker::Post;
use crate::journal::{Answers, Kept, Key, Names, StorageError};
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
        match answers.find(names).await? {
            Some(Kept::Answer(completion)) => return Ok(Ok(*completion)),
            Some(Kept::Failure(error)) => return Ok(Err(error)),
            None => {}
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
                answers.keep(names, &Kept::Answer(Box::new(completion.clone())), spent).await?;
            }
            // What ends the run says nothing of the record.
            Err(error) if error.kind != ModelErrorKind::Record => {}
            Err(error) => {
                post.metrics.attempts(error.attempts);
                let (taken, spent) = reserved.settle(None);
                post.metrics.spend(taken);
                answers.keep(names, &Kept::Failure(error.clone()), spent).await?;
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
