//! What a run has spent on its models over all its starts, and the budget it must not exceed.
//!
//! Before each request its worst case is reserved: a prompt has no more tokens than bytes, and an answer at most
//! `max_tokens`. The answer settles the reservation with the usage that the server reports; what is not reported
//! counts as reserved, and so does a request that was sent and then aborted. A request that does not fit waits while
//! outstanding requests may turn out cheaper than reserved; if there are none, the run stops before the budget is
//! exceeded.
//!
//! An attempt that is retried although the server may have worked on it is paid for as well. Outstanding requests are
//! journaled before they are sent, and count as spent at the next start if this one is killed.

mod reservation;
mod worst_case;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub(crate) use self::reservation::{RefusedAttempt, Reservation};
pub(crate) use self::worst_case::WorstCase;
use crate::journal::{AnswerLog, Spent};
use crate::llm::Slot;
use crate::pipeline::Budget;

/// The account of a run, shared by everything that asks models.
#[derive(Debug)]
pub(crate) struct Spending {
    budget: Budget,
    balance: Mutex<Balance>,
    /// Notified when a reservation shrinks or is dropped.
    freed: Notify,
    /// Models that the log names as not reporting usage.
    without_usage: Mutex<HashSet<Arc<str>>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Balance {
    spent: Spent,
    /// The most that requests may have cost that were sent and then aborted.
    lost: Spent,
    reserved: Spent,
    /// The part of `reserved` held by questions that wait for budget for another attempt.
    waiting: Spent,
}

impl Spending {
    /// An account that starts with what earlier starts spent.
    pub(crate) fn new(budget: Budget, spent: Spent) -> Self {
        Self {
            budget,
            balance: Mutex::new(Balance { spent, ..Balance::default() }),
            freed: Notify::new(),
            without_usage: Mutex::default(),
        }
    }

    /// What was spent, over all starts.
    pub(crate) fn spent(&self) -> Spent {
        self.balance().spent
    }

    /// What was spent or may have been, over all starts.
    pub(crate) fn charged(&self) -> Spent {
        let balance = self.balance();
        balance.spent.plus(balance.lost)
    }

    /// Reserves the worst case of a request; `None` if it would exceed the budget.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        worst_case: WorstCase,
        answers: &Arc<AnswerLog>,
        slot: Option<Arc<dyn Slot>>,
    ) -> Option<Arc<Reservation>> {
        Reservation::new(self, worst_case, answers, slot).await.map(Arc::new)
    }

    /// Waits until `wanted` fits the budget and reserves it; false if it never will. `held` is what the question has
    /// reserved already.
    async fn reserve_more(&self, wanted: Spent, held: Spent) -> bool {
        let _waiting = WaitGuard::new(self, held);
        loop {
            // Created before the check, so that a reservation that is dropped in between is not missed.
            let freed = self.freed.notified();
            {
                let mut balance = self.balance();
                if self.allows(balance.spent.plus(balance.lost).plus(balance.reserved).plus(wanted)) {
                    balance.reserved = balance.reserved.plus(wanted);
                    return true;
                }
                if balance.reserved.tokens <= balance.waiting.tokens {
                    return false;
                }
            }
            freed.await;
        }
    }

    fn balance(&self) -> MutexGuard<'_, Balance> {
        self.balance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs, once per model, that its server does not report usage.
    pub(crate) fn note_without_usage(&self, model: &Arc<str>) {
        let mut logged = self.without_usage.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.insert(Arc::clone(model)) {
            tracing::warn!(
                "the server of `{model}` does not say how many tokens an answer took, or what cannot be: they are \
                 estimated, and the most they may be counts as spent"
            );
        }
    }

    fn allows(&self, spent: Spent) -> bool {
        self.budget.max_tokens_total.is_none_or(|most| spent.tokens <= most)
            && self.budget.max_cost.is_none_or(|most| spent.cost <= most)
    }
}

/// Marks what a question holds as waiting while the question waits for more: no other question must wait for it.
struct WaitGuard<'a> {
    spending: &'a Spending,
    held: Spent,
}

impl<'a> WaitGuard<'a> {
    fn new(spending: &'a Spending, held: Spent) -> Self {
        let mut balance = spending.balance();
        balance.waiting = balance.waiting.plus(held);
        drop(balance);
        if held.tokens > 0 {
            spending.freed.notify_waiters();
        }
        Self { spending, held }
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        let mut balance = self.spending.balance();
        balance.waiting = balance.waiting.minus(self.held);
    }
}

#[cfg(test)]
mod tests;
