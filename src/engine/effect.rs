//! EffectRunner: what a stage does that costs money or time, done once however often a run is stopped.
//!
//! Here is the order by which nothing is paid twice: look whether the outcome is in the journal, wait for room, reserve
//! the worst case of the budget, do it, and write the outcome down before it is used. The answer of a model is one
//! kind (`question`). The journal stores bytes; whoever makes an effect owns their encoding.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::event::Halt;
use super::slot::{QuestionSlot, RetryBacklog};
use super::spending::{RefusedAttempt, Reservation, Spending, WorstCase};
use crate::journal::{AnswerLog, RequestKeys, Spent};
use crate::llm::{Slot, Usage};

/// The effects of a run: kept, found again, paid for.
#[derive(Clone)]
pub(crate) struct EffectRunner {
    pub(crate) answers: Arc<AnswerLog>,
    pub(crate) spending: Arc<Spending>,
    pub(crate) backlog: Arc<RetryBacklog>,
}

/// Something that costs money or time.
pub(crate) trait Effect: Send {
    /// What came of it.
    type Outcome: Send;

    /// What its outcome is found again by.
    fn names(&self) -> RequestKeys;

    /// The most that one attempt can cost.
    fn worst_case(&self) -> WorstCase;

    /// What it has to hold while it is done.
    fn slot(&self, backlog: &Arc<RetryBacklog>) -> QuestionSlot;

    /// Does it, paying each attempt from the reservation, and giving the slot up while it waits between them. It has the
    /// slot when it is done.
    fn perform(
        &mut self,
        reserved: Arc<Reservation>,
        slot: Arc<QuestionSlot>,
    ) -> BoxFuture<'_, Self::Outcome>;

    /// What an outcome took; `None` where nothing was served, or nothing came back.
    fn usage(&self, outcome: &Self::Outcome) -> Option<Usage>;

    /// The outcome as the journal stores it; `None` for one that says nothing of the record.
    fn encode(&self, outcome: &Self::Outcome) -> Option<EncodedOutcome>;

    /// The outcome that the journal has; `None` where the bytes are none.
    fn decode(bytes: &[u8]) -> Option<Self::Outcome>;
}

/// An outcome as the journal stores it.
pub(crate) struct EncodedOutcome {
    pub(crate) bytes: Vec<u8>,
    /// Whether another run may use it.
    pub(crate) reusable: bool,
}

/// What came of an effect, and what it took in this start: nothing where it was found.
pub(crate) struct EffectOutcome<T> {
    pub(crate) outcome: T,
    pub(crate) taken: Option<Spent>,
}

impl EffectRunner {
    /// The outcome of an effect: found in the journal, or made and written down.
    pub(crate) async fn run<E: Effect>(&self, effect: &mut E) -> Result<EffectOutcome<E::Outcome>, Halt> {
        let names = effect.names();
        if let Some(bytes) = self.answers.find(names).await?
            && let Some(outcome) = E::decode(&bytes)
        {
            return Ok(EffectOutcome { outcome, taken: None });
        }
        // Held until the outcome is written down: no more can be lost by a kill than there are places.
        let slot = Arc::new(effect.slot(&self.backlog));
        slot.reacquire().await;
        // The log may have failed while this one waited.
        self.answers.check()?;
        let reserved =
            self.spending.reserve(effect.worst_case(), &self.answers, Some(slot.place.clone())).await;
        let Some(reserved) = reserved else { return Err(Halt::OutOfBudget) };
        let outcome = effect.perform(Arc::clone(&reserved), Arc::clone(&slot)).await;
        match reserved.refused() {
            Some(RefusedAttempt::OutOfBudget) => return Err(Halt::OutOfBudget),
            Some(RefusedAttempt::Storage(error)) => return Err(Halt::Storage(error)),
            None => {}
        }
        let Some(stored) = effect.encode(&outcome) else { return Ok(EffectOutcome { outcome, taken: None }) };
        let usage = effect.usage(&outcome);
        if usage.is_some() {
            self.backlog.note_answer();
        }
        let (taken, spent) = reserved.settle(usage);
        self.answers.keep(names, &stored.bytes, stored.reusable, spent).await?;
        Ok(EffectOutcome { outcome, taken: Some(taken) })
    }
}
