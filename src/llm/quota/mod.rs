//! Quota pools: what a provider meters, shared by the endpoints and models that draw on it.
//!
//! Each attempt takes its turn here right before it is sent. Requests a minute are paced by governor
//! (`pace`); tokens are reserved by estimate (`estimate`) and settled by what was used (`bucket`); what refusals say
//! of a rate that nobody declared is found out (`rate`). Turns are first come, first served: one
//! request waits at the head, the others behind it, and each is woken once.

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
use bucket::Bucket;
pub use estimate::IMAGE_TOKENS;
pub(super) use estimate::{Outputs, answer_tokens, prompt_tokens, tokens};
pub(super) use headers::{Remaining, read as read_headers};
use pacer::Pacer;
pub use pools::Pools;
use rate::Rate;
pub(super) use retry_budget::RetryBudget;

/// For how long headers that say "nothing left" hold without newer ones.
const LONGEST_SCARCITY: Duration = Duration::from_mins(1);

/// What one provider meters: an account, or a group of models in it.
#[derive(Debug)]
pub struct Pool {
    name: String,
    state: Mutex<State>,
    /// Held by the request whose turn is next; the others queue up behind it in order.
    head: tokio::sync::Mutex<()>,
    /// Tells the request at the head that something other than time has changed.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    pace: Option<Pacer>,
    meters: Meters,
    in_flight: u32,
    /// While the provider's headers say that nothing is left.
    paused_until: Option<Instant>,
    rate: Rate,
    chance: Jitter,
    /// All that was ever reserved, to tell what an answer's headers cannot know of.
    reserved: Totals,
    /// The newest request whose headers were looked at.
    newest_headers: u64,
    /// Set while the provider's headers say that nothing is left.
    scarce: Option<Scarce>,
}

#[derive(Debug, Default)]
struct Meters {
    tokens: Option<Bucket>,
    input: Option<Bucket>,
    output: Option<Bucket>,
}

/// Tokens that a request is going to take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct TokenCost {
    pub(super) input: u64,
    pub(super) output: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    requests: u64,
    input: f64,
    output: f64,
}

/// The turn of one request. Dropped without a word, as when a run is given up, what was reserved counts
/// as used: the server may have done the work.
#[derive(Debug)]
pub(super) struct QuotaPermit {
    pool: Arc<Pool>,
    need: TokenCost,
    /// The request's number in the pool, and whether the pool was told if it was taken.
    number: u64,
    is_told: bool,
    /// What had been reserved by then, this turn counted in.
    then: Totals,
}

/// What `status` shows of a pool.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolFigures {
    /// The pool's name, or that of the only model that uses it.
    pub pool: String,
    /// Requests under way.
    pub in_flight: u32,
    /// Seconds that the pool still waits because the provider refused.
    pub paused_seconds: f64,
}

impl Pool {
    /// A pool with these limits; none of them holds anything back where it is not set.
    #[must_use]
    pub fn new(name: &str, limits: Limits) -> Arc<Self> {
        Self::with_jitter(name, limits, Jitter::new())
    }

    pub(super) fn with_jitter(name: &str, limits: Limits, chance: Jitter) -> Arc<Self> {
        let now = Instant::now();
        let mut state = State {
            limits: Limits::default(),
            pace: None,
            meters: Meters::default(),
            in_flight: 0,
            paused_until: None,
            rate: Rate::new(now),
            chance,
            reserved: Totals::default(),
            newest_headers: 0,
            scarce: None,
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

    /// Changes the limits of a pool in use: the new rates hold at once, and no burst comes with them.
    pub fn set_limits(&self, limits: Limits) {
        self.state().set_limits(limits, Instant::now());
        self.changed.notify_one();
    }

    /// The pool at this moment.
    #[must_use]
    pub fn figures(&self) -> PoolFigures {
        let state = self.state();
        let now = Instant::now();
        let left = state.paused_until.map(|until| until.duration_since(now));
        PoolFigures {
            pool: self.name.clone(),
            in_flight: state.in_flight,
            paused_seconds: left.max(state.rate.blocked(now)).unwrap_or_default().as_secs_f64(),
        }
    }

    /// Waits for the turn of a request that will take so much.
    pub(super) async fn turn(self: &Arc<Self>, need: TokenCost) -> QuotaPermit {
        let _head = self.head.lock().await;
        loop {
            let changed = self.changed.notified();
            let wait = match self.state().admit(need, Instant::now()) {
                Ok((number, then)) => {
                    return QuotaPermit { pool: Arc::clone(self), need, number, is_told: false, then };
                }
                Err(wait) => wait,
            };
            match wait {
                Wait::Change => changed.await,
                Wait::Until(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = changed => {}
                },
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A quota that is used up and comes back evenly, by the provider's word.
#[derive(Debug, Clone, Copy)]
struct Scarce {
    /// The time until one request's share is back.
    share: Duration,
    /// When all is back, whatever else is heard.
    until: Instant,
}

/// What a request at the head waits for.
enum Wait {
    Until(Instant),
    /// Room, which comes when another request ends.
    Change,
}

impl State {
    fn set_limits(&mut self, limits: Limits, now: Instant) {
        if limits.requests_per_minute != self.limits.requests_per_minute {
            self.rate.declare(limits.requests_per_minute.map(|requests| f64::from(requests) / 60.0));
            let pace = limits.requests_per_minute.and_then(NonZeroU32::new).and_then(Pacer::new);
            self.pace = pace.map(|pace| if self.reserved.requests > 0 { pace.without_burst() } else { pace });
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
                (Some(per_second), None) => *meter = Some(Bucket::new(per_second, now)),
                (None, _) => *meter = None,
            }
        }
        self.limits = limits;
    }

    /// Lets a request through, or says what it has to wait for.
    fn admit(&mut self, need: TokenCost, now: Instant) -> Result<(u64, Totals), Wait> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(Wait::Until(until));
        }
        if self.limits.in_flight.is_some_and(|most| self.in_flight >= most.max(1)) {
            return Err(Wait::Change);
        }
        let wait = self.meters.each(need).map(|(meter, need)| meter.map(|meter| meter.wait(need, now)));
        let wait = wait.into_iter().flatten().max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(Wait::Until(now + wait.min(Duration::from_hours(1))));
        }
        if let Some(next) = self.rate.early(now) {
            return Err(Wait::Until(next));
        }
        // Last, as a turn that it gives is taken.
        if let Some(pace) = &self.pace {
            pace.take().map_err(|wait| Wait::Until(now + wait))?;
        }
        for (meter, need) in self.meters.each(need) {
            if let Some(meter) = meter {
                meter.take(need);
            }
        }
        let number = self.rate.sent(now);
        if let Some(scarce) = self.scarce.filter(|scarce| now < scarce.until) {
            self.paused_until = self.paused_until.max(Some(now + scarce.share));
        }
        self.in_flight += 1;
        self.reserved.requests += 1;
        self.reserved.input += need.input as f64;
        self.reserved.output += need.output as f64;
        Ok((number, self.reserved))
    }

    /// Lowers the meters to what the provider says is left, less what was sent since.
    fn observe(&mut self, left: Remaining, need: TokenCost, then: Totals, now: Instant) {
        if then.requests < self.newest_headers {
            return;
        }
        self.newest_headers = then.requests;
        let [input, output] = [self.reserved.input - then.input, self.reserved.output - then.output];
        let since = (self.reserved.requests - then.requests) as f64;
        let meters = [
            (&mut self.meters.tokens, left.tokens, input + output, (need.input + need.output) as f64),
            (&mut self.meters.input, left.input, input, need.input as f64),
            (&mut self.meters.output, left.output, output, need.output as f64),
            // Requests are paced without a level that could be lowered.
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
        // Until newer headers say otherwise, each request that is sent waits for its share.
        self.scarce = hold.map(|share| Scarce { share, until: now + back.min(LONGEST_SCARCITY) });
        if let Some(hold) = hold {
            self.paused_until = self.paused_until.max(Some(now + hold));
        }
    }
}

impl Meters {
    fn any(&self) -> bool {
        self.tokens.is_some() || self.input.is_some() || self.output.is_some()
    }

    fn refund(&mut self, need: TokenCost) {
        for (meter, reserved) in self.each(need) {
            if let Some(meter) = meter {
                meter.settle(reserved);
            }
        }
    }

    fn each(&mut self, need: TokenCost) -> [(Option<&mut Bucket>, f64); 3] {
        let (input, output) = (need.input as f64, need.output as f64);
        [(self.tokens.as_mut(), input + output), (self.input.as_mut(), input), (self.output.as_mut(), output)]
    }
}

impl QuotaPermit {
    /// The request was answered: what it took takes the place of what was reserved.
    pub(super) fn settle(mut self, used: TokenCost) {
        self.is_told = true;
        let mut state = self.pool.state();
        if state.rate.answered(self.number, Instant::now()) {
            self.pool.changed.notify_one();
        }
        let used = [(used.input + used.output) as f64, used.input as f64, used.output as f64];
        for ((meter, reserved), used) in state.meters.each(self.need).into_iter().zip(used) {
            if let Some(meter) = meter {
                meter.settle(reserved - used);
            }
        }
    }

    /// The request was refused or never arrived: nothing was used.
    pub(super) fn refund(self) {
        self.pool.state().meters.refund(self.need);
    }

    /// The provider refused the request for want of room, and asked to wait, or not: then requests wait for a time
    /// that grows from `base`, if all are refused. Gives whether refusals answer to what is sent.
    pub(super) fn refused(mut self, asked: Option<Duration>, base: Duration, class: &str) -> bool {
        self.is_told = true;
        let mut state = self.pool.state();
        let State { rate, chance, meters, .. } = &mut *state;
        let is_new = rate.refused(self.number, asked, base, chance, Instant::now());
        meters.refund(self.need);
        if let Some(asked) = asked.filter(|_| is_new) {
            warn!(pool = self.pool.name, class, seconds = asked.as_secs_f64(), "the server asks to wait");
        }
        rate.refusals_answer()
    }

    /// Takes note of what the provider says is left.
    pub(super) fn observe(&self, left: Remaining) {
        if left != Remaining::default() {
            self.pool.state().observe(left, self.need, self.then, Instant::now());
        }
    }
}

impl Drop for QuotaPermit {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.in_flight -= 1;
        if !self.is_told {
            state.rate.unknown(self.number, Instant::now());
        }
        // Only a head that waits for room, for tokens or in a block gains by it.
        let matters = state.limits.in_flight.is_some() || state.meters.any() || state.rate.is_held();
        drop(state);
        if matters {
            self.pool.changed.notify_one();
        }
    }
}
