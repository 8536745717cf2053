//! What the requests that are out may cost at most, and how much of that the answers' log says.
//!
//! A request is sent only when the log covers it: a start that was killed has then told the next one what may have
//! been served. The log does not name each request. It holds one sum, and a frame is written only where requests
//! come to more than the sum that it says, or long after they have come to less; at a steady number of requests
//! hardly any is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::commits::Spent;

/// The sum of all that is out, and the sum that the log says.
#[derive(Debug, Default)]
pub(super) struct OutstandingCost(Mutex<OutstandingSums>);

#[derive(Debug, Default, Clone, Copy)]
struct OutstandingSums {
    out: Spent,
    /// Changed by the log's thread alone: before it writes a smaller sum, and after it has written a larger one.
    written: Spent,
}

impl OutstandingCost {
    /// Adds a request that is to go out; says whether the log covers it already.
    pub(super) fn add(&self, most: Spent) -> bool {
        let mut sums = self.sums();
        sums.out = sums.out.plus(most);
        sums.is_covered()
    }

    /// Takes out what has come back, or was not sent.
    pub(super) fn remove(&self, most: Spent) {
        let mut sums = self.sums();
        sums.out = sums.out.minus(most);
    }

    /// Whether the log covers all that is out.
    pub(super) fn is_covered(&self) -> bool {
        self.sums().is_covered()
    }

    /// Whether the log says something else than what is out.
    pub(super) fn is_stale(&self) -> bool {
        let sums = self.sums();
        sums.out.tokens != sums.written.tokens
    }

    /// The sum to write now. From here on no request goes out that it does not cover.
    pub(super) fn begin_writing(&self) -> Spent {
        let mut sums = self.sums();
        let OutstandingSums { out, written } = *sums;
        sums.written = Spent { tokens: written.tokens.min(out.tokens), cost: written.cost.min(out.cost) };
        out
    }

    /// Notes that the log says `sum`.
    pub(super) fn wrote(&self, sum: Spent) {
        self.sums().written = sum;
    }

    fn sums(&self) -> MutexGuard<'_, OutstandingSums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutstandingSums {
    fn is_covered(&self) -> bool {
        // Sums of fractions may miss by a hair.
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
    fn nothing_goes_out_that_the_log_does_not_cover() {
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
