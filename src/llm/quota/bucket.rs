//! A token bucket that may go into debt: what is reserved by estimate is settled by actual usage.
//!
//! Pure arithmetic; the caller passes the time. `quota` has one for each meter of a pool and does the waiting,
//! `retry_budget` has one for retries.

use std::time::Duration;

use tokio::time::Instant;

/// The capacity, in seconds of the refill rate.
const CAPACITY_SECONDS: f64 = 5.0;

/// A level that refills at a constant rate up to its capacity and is drained by use, below zero if need be.
#[derive(Debug, Clone)]
pub(super) struct TokenBucket {
    per_second: f64,
    level: f64,
    at: Instant,
    /// Nothing was taken yet: the first request passes, into debt, so that a run starts at once.
    untouched: bool,
}

impl TokenBucket {
    /// Creates an empty bucket.
    pub(super) fn new(per_second: f64, now: Instant) -> Self {
        Self { per_second, level: 0.0, at: now, untouched: true }
    }

    /// Changes the refill rate and keeps the level.
    pub(super) fn set_rate(&mut self, per_second: f64, now: Instant) {
        self.fill(now);
        self.per_second = per_second;
        self.level = self.level.min(self.full());
    }

    /// Returns how long until `need` may be taken; zero if it may be taken now. More than the capacity may be taken
    /// when the bucket is full.
    pub(super) fn wait(&mut self, need: f64, now: Instant) -> Duration {
        self.fill(now);
        let missing = need.min(self.full()) - self.level;
        // Rounding must not cause another wait for a billionth of a token.
        if self.untouched || missing <= 1e-6 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
    }

    /// Takes `need`, whatever the level.
    pub(super) fn take(&mut self, need: f64) {
        self.untouched = false;
        self.level -= need;
    }

    /// Returns what was reserved and not used; a negative amount takes more. Not capped at the capacity: what comes
    /// back was already waited for.
    pub(super) fn settle(&mut self, unused: f64) {
        self.level += unused;
    }

    /// Lowers the level to what the provider reports as left; never raises it.
    pub(super) fn lower(&mut self, left: f64, now: Instant) {
        self.fill(now);
        self.level = self.level.min(left);
    }

    /// Returns the current level.
    pub(super) fn level(&mut self, now: Instant) -> f64 {
        self.fill(now);
        self.level
    }

    fn full(&self) -> f64 {
        self.per_second * CAPACITY_SECONDS
    }

    fn fill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let risen = (self.level + self.per_second * seconds).min(self.full());
        self.level = self.level.max(risen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    fn after(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn the_first_request_passes_and_the_rest_are_paced() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10.0, start);
        let mut check = |at: f64, need: f64, wait: f64| {
            let found = bucket.wait(need, after(start, at)).as_secs_f64();
            assert!((found - wait).abs() < 1e-6, "{need} at {at}: {found} for {wait}");
            if wait == 0.0 {
                bucket.take(need);
            }
        };
        check(0.0, 20.0, 0.0);
        check(0.0, 10.0, 3.0);
        check(3.0, 10.0, 0.0);
        check(3.0, 1.0, 0.1);
        // The capacity is five seconds' worth; a larger request passes when the bucket is full.
        check(100.0, 51.0, 0.0);
        check(100.0, 1.0, 0.2);
    }

    #[test]
    fn the_level_is_the_closed_form_after_many_settlements() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(1000.0, start);
        let mut rng = rand_like(7);
        let (mut at, mut used) = (0.0, 0.0);
        for _ in 0..100_000 {
            let (estimate, actual) = (rng.random_range(1.0..2000.0), rng.random_range(0.0..3000.0));
            at += bucket.wait(estimate, after(start, at)).as_secs_f64();
            bucket.take(estimate);
            // A third failed or was cancelled without using anything.
            let actual = if rng.random_bool(0.3) { 0.0 } else { actual };
            bucket.settle(estimate - actual);
            used += actual;
        }
        // Refunds are never capped and no request is idle, so hardly anything is lost to the capacity.
        let level = bucket.level(after(start, at));
        let expected = at * 1000.0 - used;
        assert!(level <= expected + 1.0, "{level} over {expected}");
        assert!(used >= 0.97 * at * 1000.0 - 5000.0, "{used} of {}", at * 1000.0);
    }

    fn rand_like(seed: u64) -> impl rand::Rng {
        rand::rngs::ChaCha8Rng::seed_from_u64(seed)
    }

    #[test]
    fn levels_are_lowered_and_rates_change_without_a_burst() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10.0, start);
        bucket.take(0.0);
        bucket.lower(900.0, after(start, 4.0));
        assert!((bucket.level(after(start, 4.0)) - 40.0).abs() < 1e-6);
        bucket.lower(3.0, after(start, 4.0));
        assert!((bucket.level(after(start, 4.0)) - 3.0).abs() < 1e-6);
        bucket.set_rate(100.0, after(start, 4.0));
        assert!((bucket.level(after(start, 4.0)) - 3.0).abs() < 1e-6);
        assert!(bucket.wait(103.0, after(start, 4.0)).as_secs_f64() - 1.0 < 1e-6);
    }
}
