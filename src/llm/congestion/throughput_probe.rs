//! Tests whether more concurrency still brings more throughput: a server that queues requests refuses none.
//!
//! `congestion` asks after each clear round that used the limit.

use super::Round;

/// The least number of answers to measure a rate over.
const MIN_ANSWERS: f64 = 16.0;
/// The growth of the limit after which rates are compared, and the gain it must bring: a fifth, or requests are queued
/// somewhere.
const COMPARED_GROWTH: f64 = 1.9;
const MIN_GAIN: f64 = 1.2;
/// The number of rounds after which a higher limit is tried again, since the server may have become faster: half as
/// much again, measured over a few rounds after one that still has answers from before, and kept if it brings a fifth
/// of that.
const REST_ROUNDS: u32 = 20;
const TRIAL_GROWTH: f64 = 1.5;
const TRIAL_ROUNDS: u32 = 4;
const MIN_TRIAL_GAIN: f64 = 1.1;

/// What is known about the throughput at a limit.
#[derive(Debug)]
pub(super) enum ThroughputProbe {
    /// A higher limit may bring more: the reference limit and its answers per second, and how often in a row there was
    /// no gain.
    Rising { limit: f64, rate: f64, without: u32 },
    /// A higher limit brings nothing: the rounds since, and the sum of their rates.
    Resting { rounds: u32, rates: f64 },
    /// A higher limit is being tried: the limit and rate before, the rounds since, and the sum of their rates.
    Trying { limit: f64, rate: f64, rounds: u32, rates: f64 },
}

/// What to do with the limit.
#[derive(Debug, PartialEq)]
pub(super) enum ProbeDecision {
    Grow,
    Keep,
    Set(f64),
}

impl Default for ThroughputProbe {
    fn default() -> Self {
        Self::Rising { limit: 0.0, rate: 0.0, without: 0 }
    }
}

impl ThroughputProbe {
    /// Judges a round at `limit`.
    pub(super) fn judge(&mut self, round: Round, limit: f64) -> ProbeDecision {
        match self {
            Self::Rising { limit: known, rate, without } => {
                let seen = limit >= *known * COMPARED_GROWTH && round.sent >= MIN_ANSWERS;
                if seen && *rate > 0.0 && round.rate < *rate * MIN_GAIN {
                    *without += 1;
                    if *without < 2 {
                        return ProbeDecision::Keep;
                    }
                    let known = *known;
                    *self = Self::Resting { rounds: 0, rates: 0.0 };
                    return ProbeDecision::Set(known);
                }
                if seen || *rate == 0.0 {
                    (*known, *rate, *without) = (limit, round.rate, 0);
                }
                ProbeDecision::Grow
            }
            Self::Resting { rounds, rates } => {
                (*rounds, *rates) = (*rounds + 1, *rates + round.rate);
                if *rounds < REST_ROUNDS {
                    return ProbeDecision::Keep;
                }
                let rate = *rates / f64::from(*rounds);
                *self = Self::Trying { limit, rate, rounds: 0, rates: 0.0 };
                ProbeDecision::Set(limit * TRIAL_GROWTH)
            }
            Self::Trying { limit: before, rate, rounds, rates } => {
                *rounds += 1;
                if *rounds == 1 {
                    return ProbeDecision::Keep;
                }
                *rates += round.rate;
                if *rounds <= TRIAL_ROUNDS {
                    return ProbeDecision::Keep;
                }
                let gained = *rates / f64::from(*rounds - 1) >= *rate * MIN_TRIAL_GAIN;
                let next = if gained { limit } else { *before };
                *self = Self::Resting { rounds: 0, rates: 0.0 };
                ProbeDecision::Set(next)
            }
        }
    }
}
