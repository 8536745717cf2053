//! The limit of a mock: what is above it is refused, as a provider refuses it.
//!
//! It looks at the clock, so it stands before the script: what it refuses counts for no rule and no draw, and the
//! same is answered in the end.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::fault;
use crate::llm::classify::Failure;
use crate::pipeline::MockLimit;

/// A bucket that fills evenly; it begins full.
pub(super) struct Limit {
    declared: MockLimit,
    burst: f64,
    /// How many requests it holds, and since when.
    level: Mutex<(f64, Instant)>,
}

impl Limit {
    pub(super) fn new(declared: MockLimit) -> Self {
        let burst = declared.burst.unwrap_or(declared.requests_per_minute / 60.0).max(1.0);
        Self { declared, burst, level: Mutex::new((burst, Instant::now())) }
    }

    /// Takes one request, or refuses it.
    pub(super) fn take(&self) -> Result<(), Failure> {
        let now = Instant::now();
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let (held, since) = *level;
        let risen =
            now.saturating_duration_since(since).as_secs_f64() * self.declared.requests_per_minute / 60.0;
        let held = (held + risen).min(self.burst);
        // Rounding must not refuse who comes just when the next one is due.
        let is_room = held >= 1.0 - 1e-6;
        *level = (if is_room { held - 1.0 } else { held }, now);
        if is_room {
            return Ok(());
        }
        let message = format!("rate limit reached: {} requests a minute", self.declared.requests_per_minute);
        Err(fault::refusal(429, "rate_limit_exceeded", Some(&message), self.declared.retry_after))
    }
}
