//! Who answers a question: the seam between what a stage asks and what is done about it.
//!
//! A run keeps answers and pays for them (`question`), `preview` asks without keeping, `estimate` counts and lets the
//! heuristic answer. What is asked, and what follows from an answer, is the same for all (`ask`).

use futures::future::BoxFuture;

use super::ask::AskUnit;
use super::event::Halt;
use super::lending::PermitLenders;
use crate::llm::{Completion, ModelError, ModelRequest};
use crate::record::Record;

/// One question of a unit, about one record.
pub(crate) struct Question<'a> {
    pub(crate) unit: &'a AskUnit,
    /// What is asked; its `sample` says how often it was asked again.
    pub(crate) request: &'a mut ModelRequest,
    pub(crate) record: &'a Record,
    /// Whose room it takes.
    pub(crate) lenders: &'a PermitLenders,
}

/// What a model said, or that it finally failed.
pub(crate) type ModelResult = Result<Completion, ModelError>;

/// Answers questions.
pub(crate) trait Responder: Send + Sync {
    /// The answer, or why the record has to wait for a later start.
    fn respond<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<ModelResult, Halt>>;
}
