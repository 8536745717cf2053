//! Paces requests to what a provider allows in a minute, evenly, by governor.
//!
//! `quota` asks it last, when nothing else holds a request back: a turn that is given is taken.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// Lets requests through one by one, evenly.
#[derive(Debug)]
pub(super) struct Pacer {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    clock: TokioClock,
}

impl Pacer {
    /// A pace of so many requests a minute. The burst is a twentieth of a second's worth, one request at
    /// least: timers are late by a millisecond, which a burst of one would lose each time.
    pub(super) fn new(requests_per_minute: NonZeroU32) -> Option<Self> {
        let burst = NonZeroU32::new(requests_per_minute.get() / 1200).unwrap_or(NonZeroU32::MIN);
        let quota =
            Quota::with_period(Duration::from_mins(1) / requests_per_minute.get())?.allow_burst(burst);
        let clock = TokioClock { start: Instant::now() };
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        Some(Self { limiter, clock })
    }

    /// Uses up the burst, where a pace takes the place of another.
    pub(super) fn without_burst(self) -> Self {
        while self.limiter.check().is_ok() {}
        self
    }

    /// Takes the turn of one request; how long until there is one, if not now.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|early| early.wait_time_from(self.clock.now()))
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
