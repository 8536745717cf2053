//! Who answers a question: the interface between what a stage asks and how an answer is obtained.
//!
//! A run journals answers and pays for them (`model_effect`), `preview` asks without storing anything, and `estimate`
//! counts tokens and lets the heuristic answer. What is asked, and what follows from an answer, is the same for all
//! (`ask`).

use futures::future::BoxFuture;

use super::ask::AskUnit;
use super::event::Halt;
use super::lending::PermitLenders;
use crate::llm::{Completion, ModelError, ModelRequest};
use crate::record::Record;

/// A question of a unit about one record.
pub(crate) struct Question<'a> {
    pub(crate) unit: &'a AskUnit,
    /// The request; its `sample` is the number of re-asks so far.
    pub(crate) request: &'a mut ModelRequest,
    /// The request's messages as JSON.
    pub(crate) messages: &'a [u8],
    pub(crate) record: &'a Record,
    /// The permits that are lent while the question waits for a retry.
    pub(crate) lenders: &'a PermitLenders,
}

/// A model's answer, or the error with which its request finally failed.
pub(crate) type ModelResult = Result<Completion, ModelError>;

/// Answers questions.
pub(crate) trait Responder: Send + Sync {
    /// Returns the answer, or why the record stays in flight until a later start.
    fn respond<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<ModelResult, Halt>>;
}
