//! What a run has spent at its models, over all its starts, and the budget it must not exceed.
//!
//! Before each request its worst case is reserved: a prompt has no more tokens than bytes, and an answer all of
//! `max_tokens`. The answer settles it with what the server counted; what the server does not say counts as it
//! was reserved, and so does a request that was sent and given up. A request that does not fit waits while others
//! may turn out cheaper than reserved; when none is out, the run stops before the budget is exceeded.
//!
//! An attempt that is repeated although the server may have worked on it is paid for once more. What is out is said
//! in the journal before it is sent, and counts as spent at the next start if this one is killed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::journal::{AnswerLog, Spent, StorageError};
use crate::llm::{IMAGE_TOKENS, Meter, ModelRequest, Slot, Tokens, Usage, without};
use crate::pipeline::{Budget, Prices};

/// How many times its usual tokens an image may take: open models cut large ones into many tiles.
const IMAGE_MARGIN: u64 = 3;
/// Tokens an answer may have where nothing says how many.
const DEFAULT_ANSWER_TOKENS: u64 = 4096;
/// What servers call the most tokens that an answer may have.
const TOKEN_LIMIT_PARAMS: &[&str] = &[
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "n_predict",
    "num_predict",
];
/// What multiplies them.
const ANSWER_COUNT_PARAMS: &[&str] = &["n", "best_of"];

/// The account of a run, shared by all that ask.
#[derive(Debug)]
pub(crate) struct Spending {
    budget: Budget,
    state: Mutex<Balance>,
    freed: Notify,
    /// Models of which the log says that they do not count.
    without_usage: Mutex<HashSet<Arc<str>>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Balance {
    spent: Spent,
    /// What requests may have cost that were sent and given up.
    lost: Spent,
    reserved: Spent,
    /// How much of that belongs to questions that wait for room for another attempt.
    waiting: Spent,
}

/// LendingSemaphore in the budget for a question; what is not settled when it is dropped is given back, or lost if it was sent.
pub(crate) struct Reservation {
    spending: Arc<Spending>,
    answers: Arc<AnswerLog>,
    most: WorstCase,
    /// The place at the model, which is given up while room is waited for: those who have the room may need it.
    place: Option<Arc<dyn Slot>>,
    held: Mutex<AttemptState>,
}

/// How the attempts at a question stand.
#[derive(Debug, Default)]
struct AttemptState {
    /// Whether the worst case of one more attempt is reserved.
    reserved: bool,
    /// Whether that attempt is out.
    sent: bool,
    /// What attempts took that brought no answer. It is reserved, and out, until the question is settled.
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

/// The most that a request can take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorstCase {
    tokens: Tokens,
    prices: Prices,
}

impl Spending {
    /// An account that begins with what earlier starts spent.
    pub(crate) fn new(budget: Budget, spent: Spent) -> Self {
        Self {
            budget,
            state: Mutex::new(Balance { spent, ..Balance::default() }),
            freed: Notify::new(),
            without_usage: Mutex::default(),
        }
    }

    /// What was spent, over all starts.
    pub(crate) fn spent(&self) -> Spent {
        self.state().spent
    }

    /// What was spent, and what may have been.
    pub(crate) fn told(&self) -> Spent {
        let state = self.state();
        state.spent.plus(state.lost)
    }

    /// Reserves the worst case of a request; `None` when it would exceed the budget.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        most: WorstCase,
        answers: &Arc<AnswerLog>,
        place: Option<Arc<dyn Slot>>,
    ) -> Option<Arc<Reservation>> {
        let reservation = Reservation {
            spending: Arc::clone(self),
            answers: Arc::clone(answers),
            most,
            place,
            held: Mutex::default(),
        };
        reservation.allow().await.then(|| Arc::new(reservation))
    }

    /// Waits for room; false when there will be none. `held` is what the question that asks has reserved already.
    async fn reserve_more(&self, wanted: Spent, held: Spent) -> bool {
        let _waiting = WaitGuard::new(self, held);
        loop {
            // Made before looking, so that a reservation given back in between is not missed.
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                if self.covers(state.spent.plus(state.lost).plus(state.reserved).plus(wanted)) {
                    state.reserved = state.reserved.plus(wanted);
                    return true;
                }
                if state.reserved.tokens <= state.waiting.tokens {
                    return false;
                }
            }
            freed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, Balance> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says in the log, once for each model, that its server does not count.
    pub(crate) fn note_without_usage(&self, model: &Arc<str>) {
        let mut told = self.without_usage.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(Arc::clone(model)) {
            tracing::warn!(
                "the server of `{model}` does not say how many tokens an answer took, or what cannot be: they are \
                 estimated, and the most they may be counts as spent"
            );
        }
    }

    fn covers(&self, spent: Spent) -> bool {
        self.budget.max_tokens_total.is_none_or(|most| spent.tokens <= most)
            && self.budget.max_cost.is_none_or(|most| spent.cost <= most)
    }
}

/// While it lives, a question that holds so much waits for more; nobody is to wait for what it holds.
struct WaitGuard<'a>(&'a Spending, Spent);

impl<'a> WaitGuard<'a> {
    fn new(spending: &'a Spending, held: Spent) -> Self {
        let mut state = spending.state();
        state.waiting = state.waiting.plus(held);
        drop(state);
        if held.tokens > 0 {
            spending.freed.notify_waiters();
        }
        Self(spending, held)
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting = state.waiting.minus(self.1);
    }
}

impl Reservation {
    /// Books what the question took: an answer by its usage, or nothing where no answer came, and the attempts
    /// before that the server worked on. What is not told counts as it was reserved. Returns that, and all that was
    /// spent so far. LendingSemaphore is kept until the reservation is dropped, once the journal has the answer.
    pub(crate) fn settle(&self, answer: Option<Usage>) -> (Spent, Spent) {
        let mut held = self.held();
        held.settled = true;
        let taken = answer.map_or(Spent::default(), |usage| self.most.settled(usage)).plus(held.failed);
        let mut state = self.spending.state();
        state.spent = state.spent.plus(taken);
        (taken, state.spent)
    }

    /// Why an attempt was not made, if one was not.
    pub(crate) fn refused(&self) -> Option<RefusedAttempt> {
        self.held().refused.clone()
    }

    fn held(&self) -> MutexGuard<'_, AttemptState> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reservation").field("most", &self.most).finish_non_exhaustive()
    }
}

impl Meter for Reservation {
    fn allow(&self) -> BoxFuture<'_, bool> {
        async {
            let failed = {
                let held = self.held();
                if held.reserved {
                    return true;
                }
                held.failed
            };
            let reserve = async {
                let room = self.spending.reserve_more(self.most.spent(), failed).await;
                let mut held = self.held();
                held.reserved = room;
                if !room {
                    held.refused = Some(RefusedAttempt::OutOfBudget);
                }
                room
            };
            without(self.place.as_deref(), reserve).await
        }
        .boxed()
    }

    fn begin(&self) -> BoxFuture<'_, bool> {
        async {
            self.held().sent = true;
            match self.answers.send_out(self.most.spent()).await {
                Ok(()) => true,
                Err(error) => {
                    self.held().refused = Some(RefusedAttempt::Storage(error));
                    false
                }
            }
        }
        .boxed()
    }

    fn failed(&self, took: Option<Usage>) {
        let mut held = self.held();
        let most = self.most.spent();
        let taken = took.map_or(Spent::default(), |usage| self.most.settled(usage));
        if std::mem::take(&mut held.sent) {
            self.answers.come_back(most, taken);
        } else {
            self.answers.come_back(Spent::default(), taken);
        }
        if took.is_none() {
            return;
        }
        held.failed = held.failed.plus(taken);
        held.reserved = false;
        let mut state = self.spending.state();
        state.reserved = state.reserved.plus(taken).minus(most);
        drop(state);
        self.spending.freed.notify_waiters();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let held = std::mem::take(self.held.get_mut().unwrap_or_else(PoisonError::into_inner));
        let most = self.most.spent();
        let attempt = |is: bool| if is { most } else { Spent::default() };
        let out = held.failed.plus(attempt(held.sent));
        let mut state = self.spending.state();
        state.reserved = state.reserved.minus(held.failed.plus(attempt(held.reserved)));
        if held.settled {
            self.answers.come_back(out, Spent::default());
        } else {
            // It stays out in the journal, where the next start finds it.
            state.lost = state.lost.plus(out);
        }
        drop(state);
        self.spending.freed.notify_waiters();
    }
}

impl WorstCase {
    /// What a request can take at most: `bytes` are those of everything that is sent, and `settings` the maps of
    /// parameters that go along, of which the highest limit counts.
    pub(crate) fn new(
        request: &ModelRequest,
        bytes: usize,
        settings: &[&Map<String, Value>],
        prices: Prices,
    ) -> Self {
        let limit = |names: &[&str]| {
            let values =
                settings.iter().flat_map(|map| names.iter().filter_map(|name| map.get(*name)?.as_u64()));
            values.max()
        };
        // Never nothing: a reservation of nothing could not be waited for.
        let answers = limit(ANSWER_COUNT_PARAMS).unwrap_or(1).max(1);
        let completion =
            limit(TOKEN_LIMIT_PARAMS).unwrap_or(DEFAULT_ANSWER_TOKENS).max(1).saturating_mul(answers);
        let images = request.images_shown() as u64 * IMAGE_TOKENS * IMAGE_MARGIN;
        Self { tokens: Tokens { prompt: bytes as u64 + images, completion, cached: 0 }, prices }
    }

    fn spent(self) -> Spent {
        self.settled(Usage::default())
    }

    /// What the request took: of what is not told the most.
    fn settled(self, usage: Usage) -> Spent {
        let Prices { input, output, cached_input, cache_write } = self.prices;
        let (cached_input, cache_write) = (cached_input.unwrap_or(input), cache_write.unwrap_or(input));
        let read = match usage.prompt() {
            Some(prompt) => {
                prompt.uncached as f64 * input
                    + prompt.cached as f64 * cached_input
                    + prompt.cache_write as f64 * cache_write
            }
            // Nobody knows what becomes of it in a cache.
            None => self.tokens.prompt as f64 * input.max(cached_input).max(cache_write),
        };
        let prompt = usage.prompt_tokens.unwrap_or(self.tokens.prompt);
        let completion = usage.completion_tokens.unwrap_or(self.tokens.completion);
        let cost = (read + completion as f64 * output) / 1e6;
        Spent { tokens: prompt.saturating_add(completion), cost }
    }
}

#[cfg(test)]
mod tests;
