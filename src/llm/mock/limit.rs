//! The rate limit of a mock: requests above it are refused, as a provider refuses them.
//!
//! It depends on the clock, so it comes before the script: what it refuses counts for no rule and no draw, and the
//! final answer stays the same.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::fault;
use crate::llm::classify::Failure;
use crate::pipeline::MockLimit;

/// A token bucket that starts full.
pub(super) struct RateLimiter {
    declared: MockLimit,
    burst: f64,
    /// The number of requests it holds, and when that was computed.
    level: Mutex<(f64, Instant)>,
}

impl RateLimiter {
    pub(super) fn new(declared: MockLimit) -> Self {
        let burst = declared.burst.unwrap_or(declared.requests_per_minute / 60.0).max(1.0);
        Self { declared, burst, level: Mutex::new((burst, Instant::now())) }
    }

    /// Admits one request, or refuses it.
    pub(super) fn take(&self) -> Result<(), Failure> {
        let now = Instant::now();
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let (held, since) = *level;
        let risen =
            now.saturating_duration_since(since).as_secs_f64() * self.declared.requests_per_minute / 60.0;
        let held = (held + risen).min(self.burst);
        // Rounding must not refuse a request that arrives exactly when it is due.
        let is_room = held >= 1.0 - 1e-6;
        *level = (if is_room { held - 1.0 } else { held }, now);
        if is_room {
            return Ok(());
        }
        let message = format!("rate limit reached: {} requests a minute", self.declared.requests_per_minute);
        Err(fault::refusal(429, "rate_limit_exceeded", Some(&message), self.declared.retry_after))
    }
}
