//! Keeps requests from an endpoint that fails every time, and lets one through now and then to see.
//!
//! Plain state; `endpoints` asks it before each choice and tells it how each attempt ended.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which an endpoint gets no more requests.
const IN_A_ROW: u32 = 5;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// Whether an endpoint gets requests.
#[derive(Debug)]
pub(super) enum Breaker {
    /// It does; so many failed in a row.
    Up(u32),
    /// Not before then; after it, one.
    Down { until: Instant, wait: Duration },
    /// One is under way to see.
    Probing { wait: Duration },
}

impl Breaker {
    /// Whether a request may go now.
    pub(super) fn lets(&self, now: Instant) -> bool {
        match self {
            Self::Up(_) => true,
            Self::Down { until, .. } => *until <= now,
            Self::Probing { .. } => false,
        }
    }

    /// When that may change by itself.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Down { until, .. } => Some(*until),
            Self::Up(_) | Self::Probing { .. } => None,
        }
    }

    /// A request goes. Gives whether it is to see.
    pub(super) fn begin(&mut self) -> bool {
        if let Self::Down { wait, .. } = self {
            *self = Self::Probing { wait: *wait };
            return true;
        }
        false
    }

    pub(super) fn good(&mut self) {
        *self = Self::Up(0);
    }

    /// An attempt failed in a way that speaks against the endpoint, which may have asked to be left alone for a time.
    /// Gives whether it went down by it.
    pub(super) fn bad(&mut self, asked: Option<Duration>, now: Instant) -> bool {
        let wait = match self {
            Self::Up(failures) if *failures + 1 < IN_A_ROW => {
                *failures += 1;
                return false;
            }
            Self::Up(_) => SHORTEST,
            Self::Probing { wait } => (*wait * 2).min(LONGEST),
            // One that was under way when it went down.
            Self::Down { until, .. } => {
                *until = (*until).max(now + asked.unwrap_or_default());
                return false;
            }
        };
        *self = Self::Down { until: now + asked.unwrap_or(wait), wait };
        true
    }

    /// A request ended without saying anything of the endpoint: another may see.
    pub(super) fn unknown(&mut self, now: Instant) {
        if let Self::Probing { wait } = self {
            *self = Self::Down { until: now, wait: *wait };
        }
    }

    /// For `status`.
    pub(super) fn word(&self) -> &'static str {
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
        let mut breaker = Breaker::Up(0);
        (0..4).for_each(|_| assert!(!breaker.bad(None, now)));
        breaker.good();
        (0..4).for_each(|_| assert!(!breaker.bad(None, now)));
        assert!(breaker.bad(None, now) && !breaker.bad(None, now));
        assert!(!breaker.lets(now) && breaker.lets(after(1)));
        breaker.begin();
        assert!(!breaker.lets(after(9)), "one probe at a time");
        assert!(breaker.bad(None, after(1)));
        assert_eq!(breaker.due(), Some(after(3)));
        // A probe that is given up leaves its place to another.
        breaker.begin();
        breaker.unknown(after(4));
        assert!(breaker.lets(after(4)));
        for _ in 0..20 {
            breaker.begin();
            breaker.bad(None, after(4));
        }
        assert_eq!(breaker.due(), Some(after(304)));
        breaker.begin();
        breaker.good();
        assert_eq!((breaker.word(), breaker.lets(after(4))), ("up", true));
    }
}
