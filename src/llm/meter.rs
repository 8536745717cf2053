//! The run's budget, as a model sees it.
//!
//! A model asks before it sends an attempt and reports attempts that brought no answer; the engine does the accounting.
//! A failed attempt may have been served all the same, and then costs what an answer does.

use std::fmt;

use futures::future::BoxFuture;

use super::Usage;

/// Accounts for the attempts at one question, one after the other.
pub trait Meter: fmt::Debug + Send + Sync {
    /// Reserves budget for one more attempt. It may wait, so the caller must not hold anything that others wait for.
    /// Returns false if the budget is exhausted; the question is then given up.
    fn allow(&self) -> BoxFuture<'_, bool>;

    /// Records that an allowed attempt is about to be sent, and returns once that is journaled. Returns false if it
    /// cannot be; then nothing must be sent.
    fn begin(&self) -> BoxFuture<'_, bool>;

    /// Records that the attempt brought no answer; `took` is its usage if the server worked on it.
    fn failed(&self, took: Option<Usage>);
}
