//! Paces requests to what a provider allows in a minute.
//!
//! `openai` waits here before each attempt. Requests per minute only; tokens and quotas that several
//! models share are not known here.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Lets requests through one by one, evenly.
#[derive(Debug)]
pub(super) struct Pace {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    clock: TokioClock,
    /// Held by the request whose turn is next: the others queue up behind it in order, and one timer
    /// wakes one of them.
    next: Mutex<()>,
}

impl Pace {
    /// A pace of so many requests a minute. The burst is a twentieth of a second's worth, one request at
    /// least: timers are late by a millisecond, which a burst of one would lose each time.
    pub(super) fn new(requests_per_minute: NonZeroU32) -> Option<Self> {
        let burst = NonZeroU32::new(requests_per_minute.get() / 1200).unwrap_or(NonZeroU32::MIN);
        let quota =
            Quota::with_period(Duration::from_mins(1) / requests_per_minute.get())?.allow_burst(burst);
        let clock = TokioClock { start: Instant::now() };
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        Some(Self { limiter, clock, next: Mutex::new(()) })
    }

    /// Waits for the turn of one request.
    pub(super) async fn turn(&self) {
        let _next = self.next.lock().await;
        while let Err(early) = self.limiter.check() {
            tokio::time::sleep(early.wait_time_from(self.clock.now())).await;
        }
    }
}

/// Tokio's clock for governor, whose own cannot be turned in tests.
#[derive(Debug, Clone)]
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Self::Instant {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until `count` requests have had their turn.
    async fn seconds(per_minute: u32, count: u32) -> f64 {
        let pace = Pace::new(NonZeroU32::new(per_minute).unwrap()).unwrap();
        let start = Instant::now();
        futures::future::join_all((0..count).map(|_| pace.turn())).await;
        start.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_spread_over_the_minute() {
        for (per_minute, count) in [(1, 3), (60, 61), (600, 601), (6000, 6001)] {
            let expected = f64::from(count - 1) * 60.0 / f64::from(per_minute);
            let took = seconds(per_minute, count).await;
            assert!((0.97..=1.03).contains(&(took / expected)), "{per_minute}: {took} for {expected}");
        }
    }
}
