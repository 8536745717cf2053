//! Who pays for the attempts at a question: the run's budget, as a model sees it.
//!
//! A model asks before it sends an attempt and tells of attempts that brought no answer; the engine keeps the
//! account. An attempt that failed may have been served all the same, and then costs what an answer does.

use std::fmt;

use futures::future::BoxFuture;

use super::Usage;

/// Pays for the attempts at one question, one after the other.
pub trait Meter: fmt::Debug + Send + Sync {
    /// Sees to room in the budget for one more attempt; it may wait, so nothing that others wait for is to be held
    /// meanwhile. False where there will be none: the question is given up then.
    fn allow(&self) -> BoxFuture<'_, bool>;

    /// Notes that an attempt is sent now, which has been allowed. Returns once that is in the journal; false where
    /// it cannot be, and nothing must be sent.
    fn begin(&self) -> BoxFuture<'_, bool>;

    /// The attempt brought no answer: the server did not work on it, or did and took so much.
    fn failed(&self, took: Option<Usage>);
}
