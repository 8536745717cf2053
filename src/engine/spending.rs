//! What a run has spent at its models, over all its starts, and the budget it must not exceed.
//!
//! Before each request its worst case is reserved: a prompt has no more tokens than bytes, and an answer all of
//! `max_tokens`. The answer settles it with what the server counted; what the server does not say counts as it
//! was reserved. A request that does not fit waits while others may turn out cheaper than reserved; when none is
//! out, the run stops before the budget is exceeded.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::config::{Budget, Prices};
use crate::journal::Spent;
use crate::llm::{IMAGE_TOKENS, ModelRequest, Tokens, Usage};

/// How many times its usual tokens an image may take: open models cut large ones into many tiles.
const IMAGE_MARGIN: u64 = 3;
/// Tokens an answer may have where nothing says how many.
const ANSWER: u64 = 4096;
/// What servers call the most tokens that an answer may have.
const MOST_TOKENS: &[&str] = &[
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "n_predict",
    "num_predict",
];
/// What multiplies them.
const ANSWERS: &[&str] = &["n", "best_of"];

/// The account of a run, shared by all that ask.
#[derive(Debug)]
pub(crate) struct Spending {
    budget: Budget,
    state: Mutex<State>,
    freed: Notify,
    /// Models of which the log says that they do not count.
    without_usage: Mutex<HashSet<Arc<str>>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    spent: Spent,
    reserved: Spent,
}

/// Room in the budget for one request; given back when it is dropped.
pub(crate) struct Reservation<'a> {
    spending: &'a Spending,
    most: WorstCase,
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
            state: Mutex::new(State { spent, ..State::default() }),
            freed: Notify::new(),
            without_usage: Mutex::default(),
        }
    }

    /// What was spent, over all starts.
    pub(crate) fn spent(&self) -> Spent {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).spent
    }

    /// Reserves the worst case of a request; `None` when it would exceed the budget.
    pub(crate) async fn reserve(&self, most: WorstCase) -> Option<Reservation<'_>> {
        let wanted = most.spent();
        loop {
            // Made before looking, so that a reservation given back in between is not missed.
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if self.holds(state.spent.plus(state.reserved).plus(wanted)) {
                    state.reserved = state.reserved.plus(wanted);
                    return Some(Reservation { spending: self, most });
                }
                if state.reserved.tokens == 0 {
                    return None;
                }
            }
            freed.await;
        }
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

    fn holds(&self, spent: Spent) -> bool {
        self.budget.max_tokens_total.is_none_or(|most| spent.tokens <= most)
            && self.budget.max_cost.is_none_or(|most| spent.cost <= most)
    }
}

impl Reservation<'_> {
    /// Books what the request took, and what it may have taken where the server does not say; returns that, and
    /// all that was spent so far.
    pub(crate) fn settle(self, usage: Usage) -> (Spent, Spent) {
        let taken = self.most.settled(usage);
        let mut state = self.spending.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.spent = state.spent.plus(taken);
        (taken, state.spent)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.spending.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reserved = state.reserved.minus(self.most.spent());
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
        let answers = limit(ANSWERS).unwrap_or(1).max(1);
        let completion = limit(MOST_TOKENS).unwrap_or(ANSWER).max(1).saturating_mul(answers);
        let images = request.images_shown() as u64 * IMAGE_TOKENS * IMAGE_MARGIN;
        Self { tokens: Tokens { prompt: bytes as u64 + images, completion }, prices }
    }

    fn spent(self) -> Spent {
        self.settled(Usage::default())
    }

    /// What the request took: of what is not told the most.
    fn settled(self, usage: Usage) -> Spent {
        let prompt = usage.prompt_tokens.unwrap_or(self.tokens.prompt);
        let completion = usage.completion_tokens.unwrap_or(self.tokens.completion);
        let cost = (prompt as f64 * self.prices.input + completion as f64 * self.prices.output) / 1e6;
        Spent { tokens: prompt.saturating_add(completion), cost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::llm::Message;
    use serde_json::json;

    const PRICES: Prices = Prices { input: 1.0, output: 2.0 };

    fn most(prompt: u64, completion: u64) -> WorstCase {
        WorstCase { tokens: Tokens { prompt, completion }, prices: PRICES }
    }

    fn spent(tokens: u64) -> Spent {
        Spent { tokens, cost: 0.0 }
    }

    #[tokio::test]
    async fn a_request_waits_while_others_may_turn_out_cheaper() {
        let budget = Budget { max_tokens_total: Some(100), max_cost: None };
        let spending = Spending::new(budget, spent(10));
        let first = spending.reserve(most(10, 70)).await.unwrap();
        let settled = async {
            tokio::task::yield_now().await;
            assert_eq!(first.settle(Usage::of(5, 15)).1.tokens, 30);
        };
        let (second, ()) = tokio::join!(spending.reserve(most(10, 60)), settled);
        assert!(second.is_some(), "30 spent and 70 reserved are within 100");
        drop(second);
        assert!(spending.reserve(most(10, 61)).await.is_none());
        assert_eq!(spending.spent().tokens, 30, "what was given up is not spent");
    }

    #[tokio::test]
    async fn what_is_not_told_counts_as_it_was_reserved() {
        let spending = Spending::new(Budget::default(), Spent::default());
        let told = |prompt_tokens, completion_tokens| Usage { prompt_tokens, completion_tokens };
        for (usage, tokens, cost) in [
            (told(Some(5), Some(15)), 20, 35.0),
            (told(None, None), 80, 150.0),
            (told(Some(5), None), 75, 145.0),
            (told(None, Some(15)), 25, 40.0),
        ] {
            let (taken, _) = spending.reserve(most(10, 70)).await.unwrap().settle(usage);
            assert_eq!(taken.tokens, tokens);
            assert!((taken.cost - cost / 1e6).abs() < 1e-12, "{taken:?}");
        }
        assert_eq!(spending.spent().tokens, 200);
        let huge = most(u64::MAX, u64::MAX);
        assert_eq!(spending.reserve(huge).await.unwrap().settle(Usage::default()).1.tokens, u64::MAX);
    }

    #[test]
    fn the_worst_case_knows_every_limit() {
        let check = |settings: &[Value], completion: u64| {
            let maps: Vec<&Map<String, Value>> = settings.iter().filter_map(Value::as_object).collect();
            let most = WorstCase::new(&ModelRequest::default(), 30, &maps, PRICES);
            assert_eq!(most.tokens, Tokens { prompt: 30, completion }, "{settings:?}");
        };
        check(&[], ANSWER);
        check(&[json!({"max_tokens": 5})], 5);
        check(&[json!({"max_completion_tokens": 5, "n": 3})], 15);
        check(&[json!({"max_tokens": 5}), json!({"max_tokens": 9, "best_of": 4})], 36);
        check(&[json!({"max_tokens": u64::MAX, "n": 2})], u64::MAX);
    }

    #[test]
    fn an_image_is_reserved_for_generously() {
        let image: Image =
            serde_json::from_str(r#"{"path": "a", "media_type": "image/png", "bytes": 9, "hash": "0f"}"#)
                .unwrap();
        let tokens = |images: Vec<Image>| {
            let messages = vec![Message { images, ..Message::new("user", "What?") }];
            let request = ModelRequest { messages, ..ModelRequest::default() };
            WorstCase::new(&request, 21, &[], PRICES).tokens.prompt
        };
        assert_eq!(tokens(Vec::new()), 21);
        assert_eq!(tokens(vec![image.clone(), image]), 21 + 2 * 3 * 1600);
    }

    #[tokio::test]
    async fn money_is_counted_by_the_million() {
        let budget = Budget { max_tokens_total: None, max_cost: Some(1.0) };
        let spending = Spending::new(budget, Spent::default());
        let all = spending.reserve(most(500_000, 250_000)).await.unwrap();
        let (settled, _) = all.settle(Usage::of(400_000, 100_000));
        assert!((settled.cost - 0.6).abs() < 1e-9);
        assert!(spending.reserve(most(500_000, 0)).await.is_none());
    }
}
