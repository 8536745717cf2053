//! What a run has spent at its models, over all its starts, and the budget it must not exceed.
//!
//! Before each request its worst case is reserved: the prompt's tokens by estimate and all of `max_tokens`.
//! The answer settles it with what the server counted. A request that does not fit waits while others may
//! turn out cheaper than reserved; when none is out, the run stops before the budget is exceeded.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::config::{Budget, Prices};
use crate::journal::Spent;
use crate::llm::{IMAGE_TOKENS, ModelRequest, Usage};

/// Characters of a token, to estimate prompts by: few, so that the estimate is rather too high.
const CHARACTERS: usize = 3;
/// How many times its usual tokens an image may take: open models cut large ones into many tiles.
const IMAGE_MARGIN: u64 = 3;
/// Tokens an answer may have where nothing says how many.
const ANSWER: u64 = 4096;

/// The account of a run, shared by all that ask.
#[derive(Debug)]
pub(crate) struct Spending {
    budget: Budget,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    spent: Spent,
    reserved: Spent,
}

/// Room in the budget for one request; given back when it is dropped.
pub(crate) struct Reservation<'a> {
    spending: &'a Spending,
    estimate: Spent,
}

impl Spending {
    /// An account that begins with what earlier starts spent.
    pub(crate) fn new(budget: Budget, spent: Spent) -> Self {
        Self { budget, state: Mutex::new(State { spent, ..State::default() }), freed: Notify::new() }
    }

    /// What was spent, over all starts.
    pub(crate) fn spent(&self) -> Spent {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).spent
    }

    /// Reserves the worst case of a request; `None` when it would exceed the budget.
    pub(crate) async fn reserve(&self, estimate: Spent) -> Option<Reservation<'_>> {
        loop {
            // Made before looking, so that a reservation given back in between is not missed.
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let all = state.spent.plus(state.reserved).plus(estimate);
                if self.holds(all) {
                    state.reserved = state.reserved.plus(estimate);
                    return Some(Reservation { spending: self, estimate });
                }
                if state.reserved.tokens == 0 {
                    return None;
                }
            }
            freed.await;
        }
    }

    fn holds(&self, spent: Spent) -> bool {
        self.budget.max_tokens_total.is_none_or(|most| spent.tokens <= most)
            && self.budget.max_cost.is_none_or(|most| spent.cost <= most)
    }
}

impl Reservation<'_> {
    /// Books what the request really took; returns all that was spent so far.
    pub(crate) fn settle(self, usage: Usage, prices: Prices) -> Spent {
        let mut state = self.spending.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.spent = state.spent.plus(cost(usage.prompt_tokens, usage.completion_tokens, prices));
        state.spent
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.spending.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reserved.tokens -= self.estimate.tokens;
        state.reserved.cost = (state.reserved.cost - self.estimate.cost).max(0.0);
        drop(state);
        self.spending.freed.notify_waiters();
    }
}

/// The most a request can take: its prompt by estimate, and every token the answer may have.
pub(crate) fn worst_case(
    request: &ModelRequest,
    params: &serde_json::Map<String, serde_json::Value>,
    prices: Prices,
) -> Spent {
    let characters: usize = request.texts().map(|text| text.chars().count() + 16).sum();
    let images = request.images_shown() as u64 * IMAGE_TOKENS * IMAGE_MARGIN;
    let limit = |name: &str| params.get(name).and_then(serde_json::Value::as_u64);
    let answer = limit("max_tokens").or_else(|| limit("max_completion_tokens")).unwrap_or(ANSWER);
    // Never nothing: a reservation of nothing could not be waited for.
    cost((characters / CHARACTERS).max(1) as u64 + images, answer, prices)
}

fn cost(prompt: u64, completion: u64, prices: Prices) -> Spent {
    let cost = (prompt as f64 * prices.input + completion as f64 * prices.output) / 1e6;
    Spent { tokens: prompt + completion, cost }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::llm::Message;

    const PRICES: Prices = Prices { input: 1.0, output: 2.0 };

    fn spent(tokens: u64) -> Spent {
        Spent { tokens, cost: 0.0 }
    }

    #[tokio::test]
    async fn a_request_waits_while_others_may_turn_out_cheaper() {
        let budget = Budget { max_tokens_total: Some(100), max_cost: None };
        let spending = Spending::new(budget, spent(10));
        let first = spending.reserve(spent(80)).await.unwrap();
        let settled = async {
            tokio::task::yield_now().await;
            let usage = Usage { prompt_tokens: 5, completion_tokens: 15 };
            assert_eq!(first.settle(usage, PRICES).tokens, 30);
        };
        let (second, ()) = tokio::join!(spending.reserve(spent(70)), settled);
        assert!(second.is_some(), "30 spent and 70 reserved are within 100");
        drop(second);
        assert!(spending.reserve(spent(71)).await.is_none());
        assert_eq!(spending.spent().tokens, 30, "what was given up is not spent");
    }

    #[test]
    fn an_image_is_reserved_for_generously() {
        let image: Image =
            serde_json::from_str(r#"{"path": "a", "media_type": "image/png", "bytes": 9, "hash": "0f"}"#)
                .unwrap();
        let params = serde_json::Map::from_iter([("max_tokens".to_owned(), 5.into())]);
        let tokens = |images: Vec<Image>| {
            let messages = vec![Message { images, ..Message::new("user", "What?") }];
            worst_case(&ModelRequest { messages, ..ModelRequest::default() }, &params, PRICES).tokens
        };
        assert_eq!(tokens(Vec::new()), 5 + 21 / 3);
        assert_eq!(tokens(vec![image.clone(), image]), 5 + 21 / 3 + 2 * 3 * 1600);
    }

    #[tokio::test]
    async fn money_is_counted_by_the_million() {
        let budget = Budget { max_tokens_total: None, max_cost: Some(1.0) };
        let spending = Spending::new(budget, Spent::default());
        let all = spending.reserve(cost(500_000, 250_000, PRICES)).await.unwrap();
        let settled = all.settle(Usage { prompt_tokens: 400_000, completion_tokens: 100_000 }, PRICES);
        assert!((settled.cost - 0.6).abs() < 1e-9);
        assert!(spending.reserve(cost(500_000, 0, PRICES)).await.is_none());
    }
}
