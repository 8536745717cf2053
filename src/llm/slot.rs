//! A request's concurrency slot at its model, released while the request waits for a retry.
//!
//! The caller limits how many requests a model has at a time and passes the slot with the request
//! (`ModelRequest::slot`); `retry` releases it while it waits. So requests that are refused for a while do not delay
//! the others.

use std::fmt;
use std::future::Future;
use std::pin::pin;

use futures::future::BoxFuture;

/// One request's share of a model's concurrency.
pub trait Slot: fmt::Debug + Send + Sync {
    /// Releases the slot: the request waits before it is sent again, and others may be sent meanwhile.
    fn release(&self);

    /// Waits until the request has a slot again, in FIFO order.
    fn reacquire(&self) -> BoxFuture<'_, ()>;
}

/// Waits for `wait` without holding the slot. A future that is ready at once does not release it, since the request
/// would have to queue for it again.
pub(crate) async fn without_slot<T>(slot: Option<&dyn Slot>, wait: impl Future<Output = T>) -> T {
    let mut wait = pin!(wait);
    let Some(slot) = slot else { return wait.await };
    if let std::task::Poll::Ready(done) = futures::poll!(&mut wait) {
        return done;
    }
    slot.release();
    let done = wait.await;
    slot.reacquire().await;
    done
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::time::Instant;

    use super::*;
    use crate::llm::Completion;
    use crate::llm::classify::{Failure, Verdict};
    use crate::llm::retry::RetryPolicy;

    /// Records when it was released, and is reacquired after a second.
    #[derive(Debug)]
    struct Noted {
        start: Instant,
        released: Mutex<Vec<Duration>>,
    }

    impl Noted {
        fn new() -> Self {
            Self { start: Instant::now(), released: Mutex::default() }
        }
    }

    impl Slot for Noted {
        fn release(&self) {
            self.released.lock().unwrap().push(self.start.elapsed());
        }

        fn reacquire(&self) -> BoxFuture<'_, ()> {
            tokio::time::sleep(Duration::from_secs(1)).boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_real_wait_releases_the_slot() {
        let slot = Noted::new();
        assert_eq!(without_slot(Some(&slot), async { 1 }).await, 1);
        assert!(slot.released.lock().unwrap().is_empty() && slot.start.elapsed().is_zero());
        without_slot(Some(&slot), tokio::time::sleep(Duration::from_secs(5))).await;
        assert_eq!(*slot.released.lock().unwrap(), [Duration::ZERO]);
        assert!(slot.start.elapsed() >= Duration::from_secs(6), "five seconds, and one until it is back");
        assert_eq!(without_slot(None, async { 2 }).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_between_attempts_without_its_slot() {
        let slot = Noted::new();
        let start = Instant::now();
        let mut failures = vec![
            Failure::new(Verdict::Retry, "reset", "closed"),
            Failure {
                retry_after: Some(Duration::from_secs(20)),
                ..Failure::new(Verdict::Retry, "test", "it failed")
            },
        ];
        failures.reverse();
        let mut times = Vec::new();
        let attempt = || {
            times.push(start.elapsed());
            let outcome = failures.pop().map_or_else(|| Ok(Completion::default()), Err);
            async { outcome }.boxed()
        };
        let retry = RetryPolicy::new("m", 3, Duration::from_millis(500));
        assert!(retry.run(Some(&slot), attempt).await.is_ok());
        assert_eq!(
            *slot.released.lock().unwrap(),
            [Duration::ZERO],
            "once: the first repeat waits for nothing"
        );
        assert!(times[1].is_zero() && times[2] >= Duration::from_secs(21), "{times:?}");
    }
}
