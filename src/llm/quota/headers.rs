//! Reads what is left of a provider's limits from the `x-ratelimit-*` and `anthropic-ratelimit-*` headers of its
//! responses.
//!
//! `quota` lets them slow a pool down, never speed it up. A value that is absent, negative or unreadable is unknown.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use crate::llm::duration;

/// What is left of each metered quantity.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::llm) struct RemainingQuota {
    pub(in crate::llm) requests: Option<RemainingAmount>,
    pub(in crate::llm) tokens: Option<RemainingAmount>,
    pub(in crate::llm) input: Option<RemainingAmount>,
    pub(in crate::llm) output: Option<RemainingAmount>,
}

/// What is left of one metered quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::llm) struct RemainingAmount {
    pub(in crate::llm) count: f64,
    /// The amount available when nothing is used.
    pub(in crate::llm) limit: Option<f64>,
    /// The time until all of it is refilled.
    pub(in crate::llm) reset: Option<Duration>,
}

impl RemainingQuota {
    /// Whether one of them is used up.
    pub(in crate::llm) fn is_used_up(self) -> bool {
        [self.requests, self.tokens, self.input, self.output]
            .into_iter()
            .flatten()
            .any(|left| left.count < 1.0)
    }
}

impl RemainingAmount {
    /// Returns how long until `need` is refilled, assuming that the provider refills evenly.
    pub(super) fn wait(&self, need: f64) -> Option<Duration> {
        let share = (need / self.limit.unwrap_or(need).max(need)).min(1.0);
        let reset = self.reset?.min(Duration::from_mins(1));
        let wait = reset.mul_f64(share);
        Some(if self.limit.is_none() { wait.min(Duration::from_secs(1)) } else { wait })
    }
}

/// Reads the headers of one response.
pub(in crate::llm) fn read(headers: &HeaderMap) -> RemainingQuota {
    if !headers.keys().any(|name| name.as_str().contains("ratelimit")) {
        return RemainingQuota::default();
    }
    read_at(headers, Timestamp::now())
}

fn read_at(headers: &HeaderMap, now: Timestamp) -> RemainingQuota {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |name: &str| {
        let number = text(name)?.parse::<f64>().ok()?;
        (number >= 0.0 && number.is_finite()).then_some(number)
    };
    let left = |meter: &str| {
        let [open, other] = [
            ["remaining", "limit", "reset"].map(|what| format!("x-ratelimit-{what}-{meter}")),
            ["remaining", "limit", "reset"].map(|what| format!("anthropic-ratelimit-{meter}-{what}")),
        ];
        for [remaining, limit, reset] in [open, other] {
            if let Some(count) = number(&remaining) {
                let reset = text(&reset).and_then(|text| duration::until(text, now));
                return Some(RemainingAmount {
                    count,
                    limit: number(&limit).filter(|limit| *limit > 0.0),
                    reset,
                });
            }
        }
        None
    };
    RemainingQuota {
        requests: left("requests"),
        tokens: left("tokens"),
        input: left("input-tokens"),
        output: left("output-tokens"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> RemainingQuota {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let pairs = pairs.iter();
        let map = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        read_at(&map.collect(), now)
    }

    fn check(pairs: &[(&'static str, &'static str)], expected: Option<(f64, Option<f64>, Option<f64>)>) {
        let read = headers(pairs).requests.or(headers(pairs).input);
        let read = read.map(|left| (left.count, left.limit, left.reset.map(|reset| reset.as_secs_f64())));
        assert_eq!(read, expected, "{pairs:?}");
    }

    #[test]
    fn remaining_amounts_are_read_and_nonsense_is_unknown() {
        let left = "x-ratelimit-remaining-requests";
        let reset = "x-ratelimit-reset-requests";
        check(&[], None);
        check(&[(left, "-1")], None);
        check(&[(left, "many")], None);
        check(&[(left, "NaN")], None);
        check(&[(left, "0"), (reset, "6m0s")], Some((0.0, None, Some(360.0))));
        check(&[(left, "9"), (reset, "20ms")], Some((9.0, None, Some(0.02))));
        check(&[(left, "9"), (reset, "soon")], Some((9.0, None, None)));
        check(&[(left, "9"), ("x-ratelimit-limit-requests", "0")], Some((9.0, None, None)));
        let pairs = [
            ("anthropic-ratelimit-input-tokens-remaining", "100"),
            ("anthropic-ratelimit-input-tokens-limit", "1000"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-11-20T12:00:30Z"),
        ];
        check(&pairs, Some((100.0, Some(1000.0), Some(30.0))));
    }
}
