//! The budget that a question has reserved, from which each of its attempts is paid.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Spending, WorstCase};
use crate::journal::{AnswerLog, Spent, StorageError};
use crate::llm::{Meter, Slot, Usage, without_slot};

/// A reservation for one question. When it is dropped, what is not settled is released, or lost if it was sent.
pub(crate) struct Reservation {
    spending: Arc<Spending>,
    answers: Arc<AnswerLog>,
    worst_case: WorstCase,
    /// The slot at the model, released while the question waits for budget: those that hold the budget may need it.
    slot: Option<Arc<dyn Slot>>,
    attempts: Mutex<AttemptState>,
}

/// The state of the attempts at a question.
#[derive(Debug, Default)]
struct AttemptState {
    /// Whether the worst case of one more attempt is reserved.
    reserved: bool,
    /// Whether that attempt is outstanding.
    sent: bool,
    /// What failed attempts cost. It stays reserved, and outstanding in the journal, until the question is settled.
    failed: Spent,
    settled: bool,
    refused: Option<RefusedAttempt>,
}

/// Why no further attempt may be made.
#[derive(Debug, Clone)]
pub(crate) enum RefusedAttempt {
    OutOfBudget,
    Storage(StorageError),
}

impl Reservation {
    /// Reserves the worst case of the first attempt; `None` if it would exceed the budget.
    pub(super) async fn new(
        spending: &Arc<Spending>,
        worst_case: WorstCase,
        answers: &Arc<AnswerLog>,
        slot: Option<Arc<dyn Slot>>,
    ) -> Option<Self> {
        let reservation = Self {
            spending: Arc::clone(spending),
            answers: Arc::clone(answers),
            worst_case,
            slot,
            attempts: Mutex::default(),
        };
        reservation.allow().await.then_some(reservation)
    }

    /// Charges the cost of the question: that of its answer by usage, or nothing if there is none, and that of the
    /// failed attempts that the server worked on. What is not reported counts as reserved. Returns this cost and
    /// everything spent so far. The reservation lasts until it is dropped, once the answer is journaled.
    pub(crate) fn settle(&self, answer: Option<Usage>) -> (Spent, Spent) {
        let mut attempts = self.attempts();
        attempts.settled = true;
        let cost = answer.map_or(Spent::default(), |usage| self.worst_case.cost_of(usage));
        let cost = cost.plus(attempts.failed);
        let mut balance = self.spending.balance();
        balance.spent = balance.spent.plus(cost);
        (cost, balance.spent)
    }

    /// Why an attempt was refused, if one was.
    pub(crate) fn refused(&self) -> Option<RefusedAttempt> {
        self.attempts().refused.clone()
    }

    fn attempts(&self) -> MutexGuard<'_, AttemptState> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reservation").field("worst_case", &self.worst_case).finish_non_exhaustive()
    }
}

impl Meter for Reservation {
    fn allow(&self) -> BoxFuture<'_, bool> {
        async {
            let failed = {
                let attempts = self.attempts();
                if attempts.reserved {
                    return true;
                }
                attempts.failed
            };
            let reserve = async {
                let reserved = self.spending.reserve_more(self.worst_case.cost(), failed).await;
                let mut attempts = self.attempts();
                attempts.reserved = reserved;
                if !reserved {
                    attempts.refused = Some(RefusedAttempt::OutOfBudget);
                }
                reserved
            };
            without_slot(self.slot.as_deref(), reserve).await
        }
        .boxed()
    }

    fn begin(&self) -> BoxFuture<'_, bool> {
        async {
            self.attempts().sent = true;
            match self.answers.reserve(self.worst_case.cost()).await {
                Ok(()) => true,
                Err(error) => {
                    self.attempts().refused = Some(RefusedAttempt::Storage(error));
                    false
                }
            }
        }
        .boxed()
    }

    fn failed(&self, took: Option<Usage>) {
        let mut attempts = self.attempts();
        let reserved = self.worst_case.cost();
        let cost = took.map_or(Spent::default(), |usage| self.worst_case.cost_of(usage));
        if std::mem::take(&mut attempts.sent) {
            self.answers.release(reserved, cost);
        } else {
            self.answers.release(Spent::default(), cost);
        }
        if took.is_none() {
            return;
        }
        attempts.failed = attempts.failed.plus(cost);
        attempts.reserved = false;
        let mut balance = self.spending.balance();
        balance.reserved = balance.reserved.plus(cost).minus(reserved);
        drop(balance);
        self.spending.freed.notify_waiters();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let attempts = std::mem::take(self.attempts.get_mut().unwrap_or_else(PoisonError::into_inner));
        let worst_case = self.worst_case.cost();
        let one_if = |condition: bool| if condition { worst_case } else { Spent::default() };
        let outstanding = attempts.failed.plus(one_if(attempts.sent));
        let mut balance = self.spending.balance();
        balance.reserved = balance.reserved.minus(attempts.failed.plus(one_if(attempts.reserved)));
        if attempts.settled {
            self.answers.release(outstanding, Spent::default());
        } else {
            // It stays outstanding in the journal, where the next start finds it.
            balance.lost = balance.lost.plus(outstanding);
        }
        drop(balance);
        self.spending.freed.notify_waiters();
    }
}
