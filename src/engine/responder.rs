//! Who answers a question or runs a program: the interface between what a stage asks for and how it is obtained.
//!
//! A run journals answers and pays for them (`model_effect`), `preview` asks without storing anything, and `estimate`
//! counts tokens and lets the heuristic answer. What is asked, and what follows from an answer, is the same for all
//! (`ask`).

use futures::FutureExt;
use futures::future::BoxFuture;

use super::ask::AskUnit;
use super::event::Halt;
use super::lending::PermitLenders;
use super::programs::ProgramRun;
use crate::llm::{Completion, ModelError, ModelRequest};
use crate::record::Record;
use crate::sandbox::ProgramOutcome;

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

/// Answers questions, and has programs run.
pub(crate) trait Responder: Send + Sync {
    /// Returns the answer, or why the record stays in flight until a later start.
    fn respond<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<ModelResult, Halt>>;

    /// Returns the outcome of a program, or why the record stays in flight. Runs the program by default.
    fn run_program<'a>(&'a self, run: ProgramRun<'a>) -> BoxFuture<'a, Result<ProgramOutcome, Halt>> {
        async move { Ok(run.perform().await?.outcome) }.boxed()
    }
}
