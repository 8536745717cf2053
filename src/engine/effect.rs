//! Effects: what a stage does that costs money or time, performed once however often a run is stopped.
//!
//! The order of steps here ensures that nothing is paid for twice: look up the outcome in the journal, wait for a
//! slot, reserve the worst case of the budget, perform the effect, and journal the outcome before it is used. A
//! model's answer is one kind of effect (`model_effect`); the outcome of a program, which costs no money, is another
//! (`program_effect`). The journal stores bytes; an effect defines their encoding.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::event::Halt;
use super::slot::{QuestionSlot, RetryBacklog};
use super::spending::{RefusedAttempt, Reservation, Spending, WorstCase};
use crate::journal::{AnswerLog, RequestKeys, Spent};
use crate::llm::{Slot, Usage};

/// Performs the effects of a run, each of them once.
#[derive(Clone)]
pub(crate) struct EffectRunner {
    pub(crate) answers: Arc<AnswerLog>,
    pub(crate) spending: Arc<Spending>,
    pub(crate) backlog: Arc<RetryBacklog>,
}

/// Something that costs money or time.
pub(crate) trait Effect: Send {
    /// What the effect results in.
    type Outcome: Send;

    /// The keys that its outcome is journaled under.
    fn keys(&self) -> RequestKeys;

    /// The most that one attempt can cost.
    fn worst_case(&self) -> WorstCase;

    /// The slot that it holds while it is performed.
    fn slot(&self, backlog: &Arc<RetryBacklog>) -> QuestionSlot;

    /// Performs the effect. Pays for each attempt from the reservation, and releases the slot while it waits between
    /// attempts; on return it holds the slot.
    fn perform(
        &mut self,
        reserved: Arc<Reservation>,
        slot: Arc<QuestionSlot>,
    ) -> BoxFuture<'_, Self::Outcome>;

    /// The tokens that an outcome took; `None` if no answer was served.
    fn usage(&self, outcome: &Self::Outcome) -> Option<Usage>;

    /// Encodes an outcome for the journal; `None` if it says nothing about the record.
    fn encode(&self, outcome: &Self::Outcome) -> Option<EncodedOutcome>;

    /// Decodes a journaled outcome; `None` if the bytes are not valid.
    fn decode(bytes: &[u8]) -> Option<Self::Outcome>;
}

/// An outcome as the journal stores it.
pub(crate) struct EncodedOutcome {
    pub(crate) bytes: Vec<u8>,
    /// Whether another run may use it.
    pub(crate) reusable: bool,
}

/// The outcome of an effect.
pub(crate) struct EffectOutcome<T> {
    pub(crate) outcome: T,
    /// What it cost in this start; `None` if it was found in the journal or is not journaled.
    pub(crate) cost: Option<Spent>,
}

impl EffectRunner {
    /// Returns the outcome of an effect from the journal, or performs the effect and journals its outcome.
    pub(crate) async fn run<E: Effect>(&self, effect: &mut E) -> Result<EffectOutcome<E::Outcome>, Halt> {
        let keys = effect.keys();
        if let Some(bytes) = self.answers.find(keys).await?
            && let Some(outcome) = E::decode(&bytes)
        {
            return Ok(EffectOutcome { outcome, cost: None });
        }
        // Held until the outcome is journaled: a kill loses at most as many outcomes as there are slots.
        let slot = Arc::new(effect.slot(&self.backlog));
        slot.reacquire().await;
        // The log may have failed while this effect waited.
        self.answers.check()?;
        let model_slot = Some(slot.model_slot.clone() as Arc<dyn Slot>);
        let reserved = self.spending.reserve(effect.worst_case(), &self.answers, model_slot).await;
        let Some(reserved) = reserved else { return Err(Halt::OutOfBudget) };
        let outcome = effect.perform(Arc::clone(&reserved), Arc::clone(&slot)).await;
        match reserved.refused() {
            Some(RefusedAttempt::OutOfBudget) => return Err(Halt::OutOfBudget),
            Some(RefusedAttempt::Storage(error)) => return Err(Halt::Storage(error)),
            None => {}
        }
        let Some(encoded) = effect.encode(&outcome) else { return Ok(EffectOutcome { outcome, cost: None }) };
        let usage = effect.usage(&outcome);
        if usage.is_some() {
            self.backlog.note_answer();
        }
        let (cost, spent) = reserved.settle(usage);
        self.answers.store(keys, encoded.bytes, encoded.reusable, spent).await?;
        Ok(EffectOutcome { outcome, cost: Some(cost) })
    }
}
