//! Spaces requests evenly to stay within a provider's requests per minute, by governor.
//!
//! `quota` asks it last, when nothing else holds a request back: what it grants is consumed.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// Lets requests through at even intervals.
#[derive(Debug)]
pub(super) struct Pacer {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    clock: TokioClock,
}

impl Pacer {
    /// Creates a pacer for this rate. The burst is a twentieth of a second's worth, at least one request: timers are
    /// late by a millisecond, which a burst of one would lose each time.
    pub(super) fn new(requests_per_minute: NonZeroU32) -> Option<Self> {
        let burst = NonZeroU32::new(requests_per_minute.get() / 1200).unwrap_or(NonZeroU32::MIN);
        let quota =
            Quota::with_period(Duration::from_mins(1) / requests_per_minute.get())?.allow_burst(burst);
        let clock = TokioClock { start: Instant::now() };
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        Some(Self { limiter, clock })
    }

    /// Uses up the burst, for a pacer that replaces another.
    pub(super) fn without_burst(self) -> Self {
        while self.limiter.check().is_ok() {}
        self
    }

    /// Lets one request through, or returns how long until one may pass.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|early| early.wait_time_from(self.clock.now()))
    }
}

/// Tokio's clock for governor, whose own clock cannot be paused in tests.
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
