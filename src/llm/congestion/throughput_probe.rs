//! Whether more requests at a time still bring more answers: a server that lets them wait refuses nothing.
//!
//! `congestion` asks after each round that used the limit and lost nothing unusual.

use super::Round;

/// Answers that a rate is measured over at least.
const ENOUGH: f64 = 16.0;
/// Growth that can be seen, and what it must bring: a fifth of it, or requests wait somewhere.
const SEEN: f64 = 1.9;
const GAIN: f64 = 1.2;
/// Rounds after which more is tried again, for the server may have become faster: half as much again, measured over
/// a few rounds after one that still has answers of the time before, and worth it if it brings a fifth of that.
const REST: u32 = 20;
const TRIED: f64 = 1.5;
const TRIAL: u32 = 4;
const TRIED_GAIN: f64 = 1.1;

/// What is known of the answers that a limit brings.
#[derive(Debug)]
pub(super) enum ThroughputProbe {
    /// More may bring more: the limit that others are compared with and its answers a second, and how often in a
    /// row there was no gain.
    Rising { limit: f64, rate: f64, without: u32 },
    /// More brings nothing: rounds since then, and the rates seen in them.
    Resting { rounds: u32, rates: f64 },
    /// More is tried: the limit and rate before, rounds since, and their rates.
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
                let seen = limit >= *known * SEEN && round.sent >= ENOUGH;
                if seen && *rate > 0.0 && round.rate < *rate * GAIN {
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
                if *rounds < REST {
                    return ProbeDecision::Keep;
                }
                let rate = *rates / f64::from(*rounds);
                *self = Self::Trying { limit, rate, rounds: 0, rates: 0.0 };
                ProbeDecision::Set(limit * TRIED)
            }
            Self::Trying { limit: before, rate, rounds, rates } => {
                *rounds += 1;
                if *rounds == 1 {
                    return ProbeDecision::Keep;
                }
                *rates += round.rate;
                if *rounds <= TRIAL {
                    return ProbeDecision::Keep;
                }
                let gained = *rates / f64::from(*rounds - 1) >= *rate * TRIED_GAIN;
                let next = if gained { limit } else { *before };
                *self = Self::Resting { rounds: 0, rates: 0.0 };
                ProbeDecision::Set(next)
            }
        }
    }
}
