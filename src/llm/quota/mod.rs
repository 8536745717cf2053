//! Quota pools: the limits of a provider, shared by the endpoints and models that draw on them.
//!
//! Each attempt acquires a `QuotaPermit` right before it is sent. Requests per minute are paced by governor (`pacer`);
//! tokens are reserved by estimate (`estimate`) and settled by actual usage (`bucket`); a rate that nobody declared is
//! discovered from refusals (`rate`). Permits are granted in FIFO order: one request waits at the head of the queue,
//! the others behind it, and each is woken once.

mod bucket;
mod estimate;
mod headers;
mod pacer;
mod pools;
mod rate;
mod recent_requests;
mod retry_budget;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use super::jitter::Jitter;
use crate::pipeline::Limits;
use bucket::TokenBucket;
pub use estimate::IMAGE_TOKENS;
pub(super) use estimate::{AnswerLengths, answer_tokens, prompt_tokens, tokens};
pub(super) use headers::{RemainingQuota, read as read_headers};
use pacer::Pacer;
pub use pools::Pools;
use rate::AdaptiveRate;
pub(super) use retry_budget::RetryBudget;

/// How long headers that report an exhausted quota stay valid without newer ones.
const LONGEST_EXHAUSTION: Duration = Duration::from_mins(1);

/// The quota of one provider account, or of a group of models within it.
#[derive(Debug)]
pub struct Pool {
    name: String,
    state: Mutex<PoolState>,
    /// Held by the request at the head of the queue; the others wait behind it in order.
    head: tokio::sync::Mutex<()>,
    /// Wakes the request at the head when anything other than time has changed.
    changed: Notify,
}

#[derive(Debug)]
struct PoolState {
    limits: Limits,
    pacer: Option<Pacer>,
    meters: TokenMeters,
    in_flight: u32,
    /// Set while the provider's headers report that nothing is left.
    paused_until: Option<Instant>,
    rate: AdaptiveRate,
    jitter: Jitter,
    /// Everything ever reserved, to know what an answer's headers cannot account for yet.
    reserved: ReservedTotals,
    /// The newest request whose headers were observed.
    newest_headers: u64,
    /// Set while the provider's headers report that nothing is left.
    exhausted: Option<ExhaustedQuota>,
}

#[derive(Debug, Default)]
struct TokenMeters {
    tokens: Option<TokenBucket>,
    input: Option<TokenBucket>,
    output: Option<TokenBucket>,
}

/// The tokens that a request costs, estimated or actual.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct TokenCost {
    pub(super) input: u64,
    pub(super) output: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct ReservedTotals {
    requests: u64,
    input: f64,
    output: f64,
}

/// Permission to send one request. Dropping it without settling, as on an abort, counts the reservation as used: the
/// server may have done the work.
#[derive(Debug)]
pub(super) struct QuotaPermit {
    pool: Arc<Pool>,
    cost: TokenCost,
    /// The request's number in the pool, and whether its outcome was reported to the pool.
    number: u64,
    is_reported: bool,
    /// The totals reserved when the permit was granted, including its own.
    reserved_at: ReservedTotals,
}

/// The figures of a pool that `status` shows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolFigures {
    /// The pool's name, or that of the only model that uses it.
    pub pool: String,
    /// Requests in flight.
    pub in_flight: u32,
    /// Seconds for which the pool stays paused because the provider refused requests.
    pub paused_seconds: f64,
}

impl Pool {
    /// Creates a pool with these limits; an unset limit does not restrict anything.
    #[must_use]
    pub fn new(name: &str, limits: Limits) -> Arc<Self> {
        Self::with_jitter(name, limits, Jitter::new())
    }

    pub(super) fn with_jitter(name: &str, limits: Limits, jitter: Jitter) -> Arc<Self> {
        let now = Instant::now();
        let mut state = PoolState {
            limits: Limits::default(),
            pacer: None,
            meters: TokenMeters::default(),
            in_flight: 0,
            paused_until: None,
            rate: AdaptiveRate::new(now),
            jitter,
            reserved: ReservedTotals::default(),
            newest_headers: 0,
            exhausted: None,
        };
        state.set_limits(limits, now);
        let name = name.to_owned();
        Arc::new(Self {
            name,
            state: Mutex::new(state),
            head: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
        })
    }

    /// Changes the limits of a pool in use. The new rates apply at once, without a burst.
    pub fn set_limits(&self, limits: Limits) {
        self.state().set_limits(limits, Instant::now());
        self.changed.notify_one();
    }

    /// Returns the pool's current figures.
    #[must_use]
    pub fn figures(&self) -> PoolFigures {
        let state = self.state();
        let now = Instant::now();
        let left = state.paused_until.map(|until| until.duration_since(now));
        PoolFigures {
            pool: self.name.clone(),
            in_flight: state.in_flight,
            paused_seconds: left.max(state.rate.blocked_for(now)).unwrap_or_default().as_secs_f64(),
        }
    }

    /// Waits until a request of this cost may be sent.
    pub(super) async fn acquire(self: &Arc<Self>, cost: TokenCost) -> QuotaPermit {
        let _head = self.head.lock().await;
        loop {
            let changed = self.changed.notified();
            let wait = match self.state().admit(cost, Instant::now()) {
                Ok((number, reserved_at)) => {
                    return QuotaPermit {
                        pool: Arc::clone(self),
                        cost,
                        number,
                        is_reported: false,
                        reserved_at,
                    };
                }
                Err(wait) => wait,
            };
            match wait {
                AdmissionWait::Change => changed.await,
                AdmissionWait::Until(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = changed => {}
                },
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A quota that the provider reports as used up and refills evenly.
#[derive(Debug, Clone, Copy)]
struct ExhaustedQuota {
    /// The time until one request's share is refilled.
    share: Duration,
    /// When all of it is refilled, whatever else is reported.
    until: Instant,
}

/// What the request at the head of the queue waits for.
enum AdmissionWait {
    Until(Instant),
    /// Another request to end.
    Change,
}

impl PoolState {
    fn set_limits(&mut self, limits: Limits, now: Instant) {
        if limits.requests_per_minute != self.limits.requests_per_minute {
            self.rate.declare(limits.requests_per_minute.map(|requests| f64::from(requests) / 60.0));
            let pacer = limits.requests_per_minute.and_then(NonZeroU32::new).and_then(Pacer::new);
            self.pacer =
                pacer.map(|pacer| if self.reserved.requests > 0 { pacer.without_burst() } else { pacer });
        }
        let meters = [
            (&mut self.meters.tokens, limits.tokens_per_minute),
            (&mut self.meters.input, limits.input_tokens_per_minute),
            (&mut self.meters.output, limits.output_tokens_per_minute),
        ];
        for (meter, per_minute) in meters {
            let per_second = per_minute.filter(|limit| *limit > 0).map(|limit| limit as f64 / 60.0);
            match (per_second, meter.as_mut()) {
                (Some(per_second), Some(meter)) => meter.set_rate(per_second, now),
                (Some(per_second), None) => *meter = Some(TokenBucket::new(per_second, now)),
                (None, _) => *meter = None,
            }
        }
        self.limits = limits;
    }

    /// Admits a request, or returns what it has to wait for.
    fn admit(&mut self, cost: TokenCost, now: Instant) -> Result<(u64, ReservedTotals), AdmissionWait> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(AdmissionWait::Until(until));
        }
        if self.limits.in_flight.is_some_and(|most| self.in_flight >= most.max(1)) {
            return Err(AdmissionWait::Change);
        }
        let wait = self.meters.each(cost).map(|(meter, need)| meter.map(|meter| meter.wait(need, now)));
        let wait = wait.into_iter().flatten().max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(AdmissionWait::Until(now + wait.min(Duration::from_hours(1))));
        }
        if let Some(next) = self.rate.earliest_send(now) {
            return Err(AdmissionWait::Until(next));
        }
        // Last, since what the pacer grants is consumed.
        if let Some(pacer) = &self.pacer {
            pacer.take().map_err(|wait| AdmissionWait::Until(now + wait))?;
        }
        for (meter, need) in self.meters.each(cost) {
            if let Some(meter) = meter {
                meter.take(need);
            }
        }
        let number = self.rate.sent(now);
        if let Some(exhausted) = self.exhausted.filter(|exhausted| now < exhausted.until) {
            self.paused_until = self.paused_until.max(Some(now + exhausted.share));
        }
        self.in_flight += 1;
        self.reserved.requests += 1;
        self.reserved.input += cost.input as f64;
        self.reserved.output += cost.output as f64;
        Ok((number, self.reserved))
    }

    /// Lowers the meters to what the provider reports as left, less what was sent since.
    fn observe(&mut self, left: RemainingQuota, cost: TokenCost, reserved_at: ReservedTotals, now: Instant) {
        if reserved_at.requests < self.newest_headers {
            return;
        }
        self.newest_headers = reserved_at.requests;
        let [input, output] =
            [self.reserved.input - reserved_at.input, self.reserved.output - reserved_at.output];
        let since = (self.reserved.requests - reserved_at.requests) as f64;
        let meters = [
            (&mut self.meters.tokens, left.tokens, input + output, (cost.input + cost.output) as f64),
            (&mut self.meters.input, left.input, input, cost.input as f64),
            (&mut self.meters.output, left.output, output, cost.output as f64),
            // Requests are paced, so there is no level to lower.
            (&mut None, left.requests, since, 1.0),
        ];
        let (mut hold, mut back) = (None, Duration::ZERO);
        for (meter, left, newer, need) in meters {
            let Some(left) = left else { continue };
            let free = left.count - newer;
            match meter {
                Some(meter) => meter.lower(free.max(0.0), now),
                None if free <= 0.0 => {
                    hold = hold.max(left.wait(need));
                    back = back.max(left.reset.unwrap_or_default());
                }
                None => {}
            }
        }
        // Until newer headers say otherwise, each request waits for its share.
        self.exhausted =
            hold.map(|share| ExhaustedQuota { share, until: now + back.min(LONGEST_EXHAUSTION) });
        if let Some(hold) = hold {
            self.paused_until = self.paused_until.max(Some(now + hold));
        }
    }
}

impl TokenMeters {
    fn any(&self) -> bool {
        self.tokens.is_some() || self.input.is_some() || self.output.is_some()
    }

    fn refund(&mut self, cost: TokenCost) {
        for (meter, reserved) in self.each(cost) {
            if let Some(meter) = meter {
                meter.settle(reserved);
            }
        }
    }

    fn each(&mut self, cost: TokenCost) -> [(Option<&mut TokenBucket>, f64); 3] {
        let (input, output) = (cost.input as f64, cost.output as f64);
        [(self.tokens.as_mut(), input + output), (self.input.as_mut(), input), (self.output.as_mut(), output)]
    }
}

impl QuotaPermit {
    /// Settles the permit of an answered request: its actual cost replaces the reservation.
    pub(super) fn settle(mut self, used: TokenCost) {
        self.is_reported = true;
        let mut state = self.pool.state();
        if state.rate.answered(self.number, Instant::now()) {
            self.pool.changed.notify_one();
        }
        let used = [(used.input + used.output) as f64, used.input as f64, used.output as f64];
        for ((meter, reserved), used) in state.meters.each(self.cost).into_iter().zip(used) {
            if let Some(meter) = meter {
                meter.settle(reserved - used);
            }
        }
    }

    /// Refunds the reservation of a request that was refused or never arrived.
    pub(super) fn refund(self) {
        self.pool.state().meters.refund(self.cost);
    }

    /// Reports that the provider throttled the request, with the wait that it asked for, if any; without one, and if
    /// all requests are refused, the pool waits for a time that grows from `base`. Returns whether refusals depend on
    /// the rate of requests.
    pub(super) fn refused(mut self, asked: Option<Duration>, base: Duration, class: &str) -> bool {
        self.is_reported = true;
        let mut state = self.pool.state();
        let PoolState { rate, jitter, meters, .. } = &mut *state;
        let is_new = rate.refused(self.number, asked, base, jitter, Instant::now());
        meters.refund(self.cost);
        if let Some(asked) = asked.filter(|_| is_new) {
            warn!(pool = self.pool.name, class, seconds = asked.as_secs_f64(), "the server asks to wait");
        }
        rate.refusals_depend_on_rate()
    }

    /// Records what the provider reports as left.
    pub(super) fn observe(&self, left: RemainingQuota) {
        if left != RemainingQuota::default() {
            self.pool.state().observe(left, self.cost, self.reserved_at, Instant::now());
        }
    }
}

impl Drop for QuotaPermit {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.in_flight -= 1;
        if !self.is_reported {
            state.rate.unknown(self.number, Instant::now());
        }
        // It matters only to a head that waits for a request to end, for tokens, or while the pool is blocked.
        let matters = state.limits.in_flight.is_some() || state.meters.any() || state.rate.is_held();
        drop(state);
        if matters {
            self.pool.changed.notify_one();
        }
    }
}
