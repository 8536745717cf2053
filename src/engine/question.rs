//! One question of a unit: found in the journal, or paid for, asked and kept.
//!
//! `ask` decides what is asked and how often; here is the order that nothing may be lost by: look whether
//! the answer is there, reserve its cost, ask, and write the answer down before it is given back.

use std::sync::Arc;

use super::ask::AskUnit;
use super::spending::{Spending, worst_case};
use super::worker::Post;
use crate::journal::{Answers, Kept, Key, Names, StorageError};
use crate::llm::{Completion, ModelError, ModelErrorKind, ModelRequest};
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
            (self.names(post, request, &params, record, sample), worst_case(request, &params, self.prices))
        };
        match answers.find(names).await? {
            Some(Kept::Answer(completion)) => return Ok(Ok(*completion)),
            Some(Kept::Failure(error)) => return Ok(Err(error)),
            None => {}
        }
        let reserved = spending.reserve(most).await;
        let Some(reserved) = reserved else { return Err(Unasked::OutOfBudget) };
        request.key = Some(names.key);
        post.metrics.request();
        let answered = self.model.complete(request, record).await;
        match &answered {
            Ok(completion) => {
                post.metrics.attempts(completion.attempts);
                post.metrics.finish(completion.finish_reason.as_deref());
                post.metrics.spend(completion.usage, self.prices);
                let spent = reserved.settle(completion.usage, self.prices);
                answers.keep(names, &Kept::Answer(Box::new(completion.clone())), spent).await?;
            }
            // What ends the run says nothing of the record.
            Err(error) if error.kind != ModelErrorKind::Record => {}
            Err(error) => {
                post.metrics.attempts(error.attempts);
                answers.keep(names, &Kept::Failure(error.clone()), spending.spent()).await?;
            }
        }
        Ok(answered)
    }

    /// What a request is found again by: stage, model, parameters, every message and the schema; and, for
    /// the record's own answers, the record and how often it was asked again.
    fn names(
        &self,
        post: &Post,
        request: &ModelRequest,
        params: &serde_json::Map<String, serde_json::Value>,
        record: &Record,
        sample: u32,
    ) -> Names {
        let whole = (&post.id, &self.served_name, &self.always, params, &request.messages, &request.schema);
        let question = blake3::hash(&serde_json::to_vec(&whole).unwrap_or_default());
        let key = blake3::hash(format!("{} {sample} {question}", record.id).as_bytes());
        Names { item: record.id.item, key: first_half(&key), question: first_half(&question) }
    }
}

fn first_half(hash: &blake3::Hash) -> Key {
    let mut key = [0; 16];
    key.copy_from_slice(&hash.as_bytes()[..16]);
    key
}
