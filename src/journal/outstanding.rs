//! The most that outstanding requests may cost, and how much of that the answer log covers.
//!
//! A request is sent only when the log covers it, so that after a kill the next start knows what may have been
//! served. The log does not name single requests. It holds one sum, and a new frame is written only when the
//! outstanding requests exceed that sum, or long after they have fallen below it; with a steady number of requests
//! hardly any is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::commits::Spent;

/// The sum of the outstanding requests, and the sum that the log records.
#[derive(Debug, Default)]
pub(super) struct OutstandingCost(Mutex<OutstandingSums>);

#[derive(Debug, Default, Clone, Copy)]
struct OutstandingSums {
    out: Spent,
    /// Changed by the log's thread alone: before it writes a smaller sum, and after it has written a larger one.
    written: Spent,
}

impl OutstandingCost {
    /// Adds a request that is about to be sent; returns whether the log already covers it.
    pub(super) fn add(&self, most: Spent) -> bool {
        let mut sums = self.sums();
        sums.out = sums.out.plus(most);
        sums.is_covered()
    }

    /// Removes a request that was answered, or was not sent.
    pub(super) fn remove(&self, most: Spent) {
        let mut sums = self.sums();
        sums.out = sums.out.minus(most);
    }

    /// Whether the log covers all outstanding requests.
    pub(super) fn is_covered(&self) -> bool {
        self.sums().is_covered()
    }

    /// Whether the log records a different sum.
    pub(super) fn is_stale(&self) -> bool {
        let sums = self.sums();
        sums.out.tokens != sums.written.tokens
    }

    /// Returns the sum to write now. From here on, no request is covered beyond it.
    pub(super) fn begin_writing(&self) -> Spent {
        let mut sums = self.sums();
        let OutstandingSums { out, written } = *sums;
        sums.written = Spent { tokens: written.tokens.min(out.tokens), cost: written.cost.min(out.cost) };
        out
    }

    /// Notes that `sum` has been written to the log.
    pub(super) fn wrote(&self, sum: Spent) {
        self.sums().written = sum;
    }

    fn sums(&self) -> MutexGuard<'_, OutstandingSums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutstandingSums {
    fn is_covered(&self) -> bool {
        // Sums of fractions may be off by a rounding error.
        self.out.tokens <= self.written.tokens && self.out.cost <= self.written.cost * (1.0 + 1e-9) + 1e-9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(tokens: u64) -> Spent {
        Spent { tokens, cost: tokens as f64 / 1e3 }
    }

    #[test]
    fn no_request_is_covered_before_the_log_records_it() {
        let outstanding = OutstandingCost::default();
        assert!(!outstanding.add(spent(10)), "nothing is written yet");
        let sum = outstanding.begin_writing();
        assert!(!outstanding.is_covered(), "begun is not written");
        outstanding.wrote(sum);
        assert!(outstanding.is_covered());
        assert!(!outstanding.add(spent(5)));
        outstanding.remove(spent(10));
        assert!(outstanding.is_covered() && outstanding.is_stale(), "five are out, ten are written");
        assert!(outstanding.add(spent(5)), "within the ten");
        outstanding.remove(spent(5));
        let lower = outstanding.begin_writing();
        assert_eq!(lower.tokens, 5);
        assert!(!outstanding.add(spent(5)), "the lower sum holds before it is written");
        outstanding.wrote(lower);
        assert!(!outstanding.is_covered());
    }
}
