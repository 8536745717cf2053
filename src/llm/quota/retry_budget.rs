//! Limits the retries of all requests to a model together: a fifth of the successes, plus ten per second.
//!
//! `retry` withdraws from it before each retry. When nothing is left, a retry waits; it does not fail.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::TokenBucket;

/// Retries per second that are always allowed; the bucket's capacity may be used at once.
const RETRIES_PER_SECOND: f64 = 10.0;
/// Retries earned by each success.
const RETRIES_PER_SUCCESS: f64 = 0.2;
/// The most retries that successes can save up.
const MAX_SAVED: f64 = 1000.0;

/// The retries that are left to a model.
#[derive(Debug)]
pub(in crate::llm) struct RetryBudget {
    bucket: Mutex<TokenBucket>,
    /// Held by the retry at the head of the queue.
    head: tokio::sync::Mutex<()>,
}

impl RetryBudget {
    pub(in crate::llm) fn new() -> Self {
        let bucket = Mutex::new(TokenBucket::new(RETRIES_PER_SECOND, Instant::now()));
        Self { bucket, head: tokio::sync::Mutex::new(()) }
    }

    /// Records a success.
    pub(in crate::llm) fn deposit(&self) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.level(Instant::now()) < MAX_SAVED {
            bucket.settle(RETRIES_PER_SUCCESS);
        }
    }

    /// Takes one retry, waiting until one is available.
    pub(in crate::llm) async fn withdraw(&self) {
        let _head = self.head.lock().await;
        while let Some(wait) = self.take() {
            tokio::time::sleep(wait).await;
        }
    }

    fn take(&self) -> Option<Duration> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = bucket.wait(1.0, Instant::now());
        if wait.is_zero() {
            bucket.take(1.0);
            return None;
        }
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn retries_wait_for_the_budget_and_none_fails() {
        let budget = RetryBudget::new();
        let start = Instant::now();
        futures::future::join_all((0..301).map(|_| budget.withdraw())).await;
        let seconds = start.elapsed().as_secs_f64();
        assert!((29.0..=31.0).contains(&seconds), "{seconds}");
        (0..500).for_each(|_| budget.deposit());
        let start = Instant::now();
        futures::future::join_all((0..100).map(|_| budget.withdraw())).await;
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}
