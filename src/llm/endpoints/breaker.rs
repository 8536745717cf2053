//! A circuit breaker: an endpoint that keeps failing gets no requests but a probe from time to time.
//!
//! Plain state; `endpoints` consults it before each choice and records the outcome of each attempt.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open the breaker.
const FAILURES_TO_OPEN: u32 = 5;
const MIN_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_mins(5);

/// Whether an endpoint gets requests.
#[derive(Debug)]
pub(super) enum CircuitBreaker {
    /// It does; holds the number of failures in a row.
    Up(u32),
    /// Not before `until`; then a single probe.
    Down { until: Instant, wait: Duration },
    /// A probe is in flight.
    Probing { wait: Duration },
}

impl CircuitBreaker {
    /// Whether a request may be sent now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        match self {
            Self::Up(_) => true,
            Self::Down { until, .. } => *until <= now,
            Self::Probing { .. } => false,
        }
    }

    /// Returns when that may change by itself.
    pub(super) fn next_change(&self) -> Option<Instant> {
        match self {
            Self::Down { until, .. } => Some(*until),
            Self::Up(_) | Self::Probing { .. } => None,
        }
    }

    /// Records that a request starts. Returns whether it is a probe.
    pub(super) fn begin(&mut self) -> bool {
        if let Self::Down { wait, .. } = self {
            *self = Self::Probing { wait: *wait };
            return true;
        }
        false
    }

    pub(super) fn record_success(&mut self) {
        *self = Self::Up(0);
    }

    /// Records a failure that the endpoint is to blame for, with the wait that it asked for. Returns whether it goes
    /// down.
    pub(super) fn record_failure(&mut self, asked: Option<Duration>, now: Instant) -> bool {
        let wait = match self {
            Self::Up(failures) if *failures + 1 < FAILURES_TO_OPEN => {
                *failures += 1;
                return false;
            }
            Self::Up(_) => MIN_WAIT,
            Self::Probing { wait } => (*wait * 2).min(MAX_WAIT),
            // A request that was in flight when it went down.
            Self::Down { until, .. } => {
                *until = (*until).max(now + asked.unwrap_or_default());
                return false;
            }
        };
        *self = Self::Down { until: now + asked.unwrap_or(wait), wait };
        true
    }

    /// Records an outcome that says nothing about the endpoint: another probe may follow.
    pub(super) fn record_unknown(&mut self, now: Instant) {
        if let Self::Probing { wait } = self {
            *self = Self::Down { until: now, wait: *wait };
        }
    }

    /// The state as `status` shows it.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Up(_) => "up",
            Self::Down { .. } => "down",
            Self::Probing { .. } => "probing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_goes_down_is_probed_and_comes_back() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut breaker = CircuitBreaker::Up(0);
        (0..4).for_each(|_| assert!(!breaker.record_failure(None, now)));
        breaker.record_success();
        (0..4).for_each(|_| assert!(!breaker.record_failure(None, now)));
        assert!(breaker.record_failure(None, now) && !breaker.record_failure(None, now));
        assert!(!breaker.allows(now) && breaker.allows(after(1)));
        breaker.begin();
        assert!(!breaker.allows(after(9)), "one probe at a time");
        assert!(breaker.record_failure(None, after(1)));
        assert_eq!(breaker.next_change(), Some(after(3)));
        // A dropped probe makes room for another.
        breaker.begin();
        breaker.record_unknown(after(4));
        assert!(breaker.allows(after(4)));
        for _ in 0..20 {
            breaker.begin();
            breaker.record_failure(None, after(4));
        }
        assert_eq!(breaker.next_change(), Some(after(304)));
        breaker.begin();
        breaker.record_success();
        assert_eq!((breaker.label(), breaker.allows(after(4))), ("up", true));
    }
}
