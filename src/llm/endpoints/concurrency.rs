//! The concurrency limit of an endpoint: declared, or discovered from how it responds.
//!
//! Rounds of attempts, by the time they ended, go to the controller, which finds the number of concurrent requests
//! where losses depend on it or where more requests bring no more throughput. Where a server reports its waiting queue,
//! the queue steers the limit. `endpoints` reports what happened; the caller passes the time.

use std::time::Duration;

use tokio::time::Instant;

use crate::llm::congestion::{Controller, Round};

/// The initial limit of an endpoint.
const INITIAL_LIMIT: f64 = 8.0;
/// The number of waiting requests, as a share of the running ones, that a server's queue may have: enough that it never
/// idles.
const QUEUED_SHARE: f64 = 0.1;
/// The least number of attempts in a round.
const MIN_ATTEMPTS: f64 = 8.0;
/// This many losses end a round at once if they are too many; the accepted number is then taken from the previous
/// round, or assumed to be half.
const MANY_LOSSES: f64 = 8.0;
const ASSUMED_ACCEPTED: f64 = 0.5;
/// The most by which the limit grows in a round.
const MAX_GROWTH: f64 = 0.5;
/// The share of the limit that must be used for a round to be conclusive.
const USED_SHARE: f64 = 0.9;

/// The number of concurrent requests that an endpoint may have.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    controller: Controller,
    /// Its share of the declared concurrency, which the engine enforces; none where the limit is discovered.
    declared: Option<u32>,
    /// Whether the server reports its queue.
    steered: bool,
    /// Whether the limit doubles until the queue shows that it is too high.
    doubling: bool,
    /// Attempts before this one ran under another limit and are ignored.
    first: u64,
    round: RoundAttempts,
    /// The concurrency that was accepted in the previous round.
    taken: Option<f64>,
}

/// Attempts that ended in one round.
#[derive(Debug, Default)]
struct RoundAttempts {
    begin: Option<Instant>,
    answered: f64,
    lost: f64,
    /// The total seconds of the answered ones.
    busy: f64,
    most_in_flight: u32,
    used: bool,
}

impl ConcurrencyLimit {
    /// A declared limit, of which `share` belongs to this endpoint; lowered only once refusals depend on the number of
    /// requests.
    pub(super) fn declared(share: u32, most: u32) -> Self {
        Self::new(Self::controller(most), Some(share))
    }

    /// A limit that is discovered.
    pub(super) fn auto(most: u32) -> Self {
        Self::new(Self::controller(most).seeking(INITIAL_LIMIT), None)
    }

    fn controller(most: u32) -> Controller {
        Controller::open(1.0, f64::from(most.max(1)), MAX_GROWTH)
    }

    fn new(controller: Controller, declared: Option<u32>) -> Self {
        Self {
            controller,
            declared,
            steered: false,
            doubling: true,
            first: 0,
            round: RoundAttempts::default(),
            taken: None,
        }
    }

    /// Whether one more request may be sent when `in_flight` are already.
    pub(super) fn has_room(&self, in_flight: u32) -> bool {
        self.controller.limit().is_none_or(|limit| f64::from(in_flight) + 1.0 <= limit)
    }

    /// Returns the current limit, to compare loads by.
    pub(super) fn current(&self) -> u32 {
        self.controller.limit().map_or(self.declared.unwrap_or(u32::MAX), |limit| limit as u32)
    }

    /// Returns the discovered limit, if there is one.
    pub(super) fn discovered(&self) -> Option<u32> {
        self.controller.limit().map(|limit| limit as u32)
    }

    /// Whether the limit is discovered.
    pub(super) fn is_adaptive(&self) -> bool {
        self.declared.is_none()
    }

    /// Whether a lower limit may help.
    pub(super) fn can_decrease(&self) -> bool {
        self.declared.is_none() && !self.controller.is_in_vain()
    }

    /// Whether losses depend on the number of concurrent requests, as far as is known.
    pub(super) fn losses_depend_on_limit(&self) -> bool {
        self.controller.losses_depend_on_limit()
    }

    /// Records that an attempt is sent, with the number in flight.
    pub(super) fn record_sent(&mut self, in_flight: u32) {
        let round = &mut self.round;
        round.most_in_flight = round.most_in_flight.max(in_flight);
        let limit = self.controller.limit();
        round.used |= limit.is_some_and(|limit| f64::from(in_flight) >= (limit * USED_SHARE).floor());
    }

    /// Records that attempt `number` was answered after `took`; `next` is the number of the next attempt.
    pub(super) fn record_answered(&mut self, number: u64, next: u64, took: Duration, now: Instant) {
        if number < self.first {
            return;
        }
        // A round begins with an answer, since the time until the first one is not spent working.
        if self.round.begin.is_none() {
            self.round.begin = Some(now);
            return;
        }
        self.round.answered += 1.0;
        self.round.busy += took.as_secs_f64();
        self.end_round(next, now);
    }

    /// Records that attempt `number` was refused, cut off or timed out.
    pub(super) fn record_lost(&mut self, number: u64, next: u64, now: Instant) {
        if number < self.first {
            return;
        }
        self.round.begin.get_or_insert(now);
        self.round.lost += 1.0;
        self.end_round(next, now);
    }

    /// Records that requests wait for the account's quota: the rate of answers says nothing about the endpoint.
    pub(super) fn record_throttled(&mut self) {
        self.controller.reset_probe();
        self.round.used = false;
    }

    /// Records that the server no longer reports its queue.
    pub(super) fn forget_queue(&mut self) {
        self.steered = false;
    }

    /// Records what the server reports about its queue.
    pub(super) fn record_queue(&mut self, running: f64, waiting: f64) {
        let (Some(limit), None) = (self.controller.limit(), self.declared) else { return };
        self.steered = true;
        let excess = waiting - (running * QUEUED_SHARE).max(1.0);
        if excess > 0.0 {
            self.doubling = false;
            self.controller.steer(limit - excess);
        } else if std::mem::take(&mut self.round.used) && waiting < running * QUEUED_SHARE / 2.0 + 1.0 {
            let grown = if self.doubling { limit * 2.0 } else { limit * 1.25 + 1.0 };
            // If some wait already, grow by one; also if hardly any run, as between answers that ended together and the
            // requests after them, when nothing can wait.
            let busy = waiting < 1.0 && running * 1.25 >= limit;
            self.controller.steer(if busy { grown } else { limit + 1.0 });
        }
    }

    /// Passes a round to the controller once about as many attempts ended as may be in flight, and at least the time of
    /// an answer has passed.
    fn end_round(&mut self, next: u64, now: Instant) {
        let round = &self.round;
        let limit = self.controller.limit();
        let level = limit.unwrap_or(f64::from(round.most_in_flight));
        let sent = round.answered + round.lost;
        if sent < MIN_ATTEMPTS {
            return;
        }
        let seconds = round.begin.map_or(0.0, |begin| now.saturating_duration_since(begin).as_secs_f64());
        let is_whole = seconds >= round.busy / round.answered.max(1.0) && sent >= level.floor();
        let is_clear = round.lost >= MANY_LOSSES && self.controller.is_too_much(sent, round.lost);
        if !is_whole && !is_clear {
            return;
        }
        let (rate, taken) = match seconds > 0.0 && is_whole {
            true => (round.answered / seconds, (round.busy / seconds).min(level)),
            // Refusals end at once: how many are accepted is not known yet.
            false if is_clear => (0.0, self.taken.take().unwrap_or(level * ASSUMED_ACCEPTED).min(level)),
            false => (0.0, level),
        };
        let used = round.used && !self.steered;
        if is_whole {
            self.taken = Some(taken);
        }
        self.controller.judge(Round { sent, lost: round.lost, level, taken, rate, one: 1.0, used });
        self.round = RoundAttempts { begin: Some(now), ..RoundAttempts::default() };
        let lowered = self.controller.limit().is_some_and(|found| limit.is_none_or(|limit| found < limit));
        if lowered {
            self.first = next;
            self.round.begin = None;
        }
    }
}
