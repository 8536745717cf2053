//! Discovers how many requests per second a pool may send, from what its provider refuses.
//!
//! Without refusals nothing is held back. A refusal concerns only the refused request as long as requests sent after it
//! are accepted. Rounds of requests, by the time they were sent, go to the controller, which finds the rate where
//! refusals depend on it. When several in a row are refused, the pool is blocked: single requests are let through as
//! probes, the last one when the time that the provider asked for is over. As soon as one is accepted, requests
//! continue at the rate that was accepted before. `quota` reports what was sent and its outcome; the caller passes the
//! time.

use std::time::Duration;

use tokio::time::Instant;

use super::recent_requests::RecentRequests;
use crate::llm::congestion::{Controller, Round};
use crate::llm::jitter::Jitter;

/// A round lasts at least `MIN_ROUND`, and until `ROUND_REQUESTS` requests were sent, or `CLEAR_ROUND_REQUESTS` of them without a refusal, or one
/// within `MAX_ROUND`.
const MIN_ROUND: Duration = Duration::from_millis(500);
const ROUND_REQUESTS: u32 = 16;
const CLEAR_ROUND_REQUESTS: u32 = 8;
const MIN_CONCLUSIVE: f64 = 16.0;
const MAX_ROUND: Duration = Duration::from_secs(5);
/// The number of refusals in a row that blocks the pool is one that has this probability by chance alone, where one in
/// twenty requests is refused by chance, or more where that is known: five, or more.
const BLOCK_PROBABILITY: f64 = 4e-7;
const ASSUMED_LOSS: f64 = 0.05;
const MAX_IN_A_ROW: usize = 32;
/// The first probe follows after this fraction of the wait that a provider asks for, each further one after twice the
/// time.
const PROBE_FRACTION: u32 = 8;
/// Where no wait is asked for, the time between probes grows by this factor, up to `MAX_PROBE_WAIT`.
const PROBE_BACKOFF: f64 = 1.5;
const MAX_PROBE_WAIT: Duration = Duration::from_mins(1);
/// The period over which accepted requests are counted; at most twice that.
const MEASURED_PERIOD: Duration = Duration::from_secs(60);
/// The shortest time between probes.
const MIN_PROBE_WAIT: Duration = Duration::from_millis(10);
/// A pool that has sent nothing for this long counts as idle.
const IDLE_AFTER: Duration = Duration::from_secs(1);
/// The lowest rate, and the initial one where nothing was ever accepted.
const MIN_RATE: f64 = 0.02;
const INITIAL_RATE: f64 = 4.0;
/// The most by which the rate grows in a round: a provider may have a burst in reserve, which hides that it is too
/// high.
const MAX_GROWTH: f64 = 0.25;
/// The least by which it grows, in requests per round.
const MIN_GROWTH: f64 = 0.25;
/// The share of the limit from which it counts as used, and the number of unused rounds after which it is dropped.
const USED_SHARE: f64 = 0.9;
const MAX_UNUSED_ROUNDS: u32 = 20;
/// A request that is late by less than this does not delay those after it.
const LATE_TOLERANCE: Duration = Duration::from_millis(20);

/// The adaptive rate of a pool.
#[derive(Debug)]
pub(super) struct AdaptiveRate {
    controller: Controller,
    /// The rate that the user declared.
    declared: Option<f64>,
    recent: RecentRequests,
    /// Requests sent so far.
    number: u64,
    last: Instant,
    next: Instant,
    open: RoundCounts,
    /// The previous round, some refusals of which may be outstanding, and when it ended.
    closed: Option<(RoundCounts, Instant)>,
    unused: u32,
    /// The number of accepted requests, and since when they are counted.
    since: Instant,
    taken: f64,
    block: Option<RefusalBlock>,
}

/// The requests of one round.
#[derive(Debug, Clone, Copy)]
struct RoundCounts {
    first: u64,
    begin: Instant,
    sent: u32,
    refused: u32,
    /// Whether the limit held requests back.
    held: bool,
}

/// The state of a pool that is blocked because several requests in a row were refused.
#[derive(Debug)]
struct RefusalBlock {
    /// The first refused request, and the first one sent after the block began.
    first: u64,
    end: u64,
    /// How many requests before it were accepted since the last block ended.
    taken: f64,
    begin: Instant,
    /// When the provider will accept requests again, by its own report.
    until: Option<Instant>,
    /// When the next probe may be sent, the wait until the one after it, and the probe in flight.
    probe_at: Instant,
    wait: Duration,
    probe: Option<(u64, Instant)>,
}

impl AdaptiveRate {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            controller: Controller::open(MIN_RATE, f64::MAX, MAX_GROWTH),
            declared: None,
            recent: RecentRequests::default(),
            number: 0,
            last: now,
            next: now,
            open: RoundCounts::new(0, now),
            closed: None,
            unused: 0,
            since: now,
            taken: 0.0,
            block: None,
        }
    }

    /// Sets the declared rate, which `pacer` enforces.
    pub(super) fn declare(&mut self, per_second: Option<f64>) {
        self.declared = per_second;
    }

    /// Returns when the next request may be sent, if not now.
    pub(super) fn earliest_send(&mut self, now: Instant) -> Option<Instant> {
        if let Some(block) = &self.block {
            let next = match block.probe {
                None => block.next_probe(now),
                Some((_, at)) => at + self.recent.grace(),
            };
            if next > now || block.probe.is_none() {
                return (next > now).then_some(next);
            }
            self.unblock(now);
        }
        let held = self.controller.limit().is_some() && self.next > now;
        self.open.held |= held;
        held.then_some(self.next)
    }

    /// Records that a request is sent, and returns its number.
    pub(super) fn sent(&mut self, now: Instant) -> u64 {
        self.end_round(now);
        self.discount_idle(now);
        if self.open.sent == 0 {
            self.open.begin = now;
        }
        let number = self.number;
        self.number += 1;
        self.open.sent += 1;
        self.taken += 1.0;
        self.recent.sent(number, now);
        if let Some(block) = &mut self.block {
            block.probe = Some((number, now));
        } else if now.duration_since(self.since) > 2 * MEASURED_PERIOD {
            self.taken *= MEASURED_PERIOD.as_secs_f64() / now.duration_since(self.since).as_secs_f64();
            self.since = now - MEASURED_PERIOD;
        }
        if let Some(limit) = self.controller.limit() {
            let from = self.next.max(now.checked_sub(LATE_TOLERANCE).unwrap_or(now));
            self.next = from + Duration::from_secs_f64(1.0 / limit);
        }
        number
    }

    /// Records that a request was answered. Returns whether the pool is unblocked.
    pub(super) fn answered(&mut self, number: u64, now: Instant) -> bool {
        self.recent.taken(number);
        let Some(block) = &self.block else { return false };
        if block.probe.is_some_and(|(probe, _)| probe == number) {
            self.unblock(now);
        } else if number > block.first {
            // It was sent among those that were refused, so these were not in a row.
            self.block = None;
        }
        self.block.is_none()
    }

    /// Records that a request was refused, with the wait that the provider asked for. Returns whether this blocks the
    /// pool.
    pub(super) fn refused(
        &mut self,
        number: u64,
        asked: Option<Duration>,
        base: Duration,
        jitter: &mut Jitter,
        now: Instant,
    ) -> bool {
        self.taken -= 1.0;
        self.recent.refused(number, now);
        if number >= self.open.first {
            self.open.refused += 1;
        } else if let Some((closed, _)) = self.closed.as_mut().filter(|(closed, _)| number >= closed.first) {
            closed.refused += 1;
        }
        self.end_round(now);
        let until = asked.map(|asked| now + asked);
        if let Some(block) = &mut self.block {
            block.until = block.until.max(until);
            if number < block.end {
                block.taken -= 1.0;
            }
            if block.probe.is_some_and(|(probe, _)| probe == number) {
                block.probe = None;
                block.wait = match asked {
                    Some(asked) => (block.wait * 2).min(asked),
                    None => block.wait.mul_f64(PROBE_BACKOFF).min(MAX_PROBE_WAIT),
                };
                block.probe_at = now + block.wait;
            }
            return false;
        }
        let share = self.controller.base_loss().max(ASSUMED_LOSS);
        let many = ((BLOCK_PROBABILITY.ln() / share.ln()).ceil() as usize).min(MAX_IN_A_ROW);
        let Some(first) = self.recent.in_a_row(many, now) else { return false };
        let wait = match asked {
            Some(asked) => asked / PROBE_FRACTION,
            None => jitter.up_to(base) + base / 2,
        };
        let wait = wait.max(MIN_PROBE_WAIT);
        let taken = self.taken;
        self.block = Some(RefusalBlock {
            first,
            end: self.number,
            taken,
            begin: now,
            until,
            probe_at: now + wait,
            wait,
            probe: None,
        });
        true
    }

    /// Records that a request ended in a way that is unrelated to the quota.
    pub(super) fn unknown(&mut self, number: u64, now: Instant) {
        if let Some(block) = &mut self.block
            && block.probe.is_some_and(|(probe, _)| probe == number)
        {
            block.probe = None;
            block.probe_at = now + block.wait;
        }
    }

    /// Whether an answer may release the next request.
    pub(super) fn is_held(&self) -> bool {
        self.block.is_some() || self.controller.limit().is_some()
    }

    /// Returns how long the pool stays blocked, as far as is known.
    pub(super) fn blocked_for(&self, now: Instant) -> Option<Duration> {
        let block = self.block.as_ref()?;
        Some(block.until.unwrap_or(block.probe_at).saturating_duration_since(now))
    }

    /// Whether refusals depend on the rate of requests, as far as is known.
    pub(super) fn refusals_depend_on_rate(&self) -> bool {
        self.block.is_some() || self.controller.losses_depend_on_limit()
    }

    /// Excludes idle time from the measurement.
    fn discount_idle(&mut self, now: Instant) {
        let idle = now.saturating_duration_since(self.next.max(self.last));
        if self.block.is_none() && idle > IDLE_AFTER {
            self.since += idle;
        }
        self.last = now;
    }

    /// Ends a block; requests continue at the rate that was accepted so far.
    fn unblock(&mut self, now: Instant) {
        let Some(block) = self.block.take() else { return };
        // A quota per minute is used up within that; a server that is away for longer was down.
        let away = now.duration_since(block.begin).min(MEASURED_PERIOD);
        let seconds = (block.begin.duration_since(self.since) + away).as_secs_f64().max(1e-3);
        match block.taken {
            // A server that accepted nothing was down, which says nothing about its rate.
            ..1.0 => self.controller.begin(self.declared.unwrap_or(INITIAL_RATE)),
            // A few requests say little about the rate.
            ..MIN_CONCLUSIVE => self.controller.begin(self.taken / seconds),
            _ => self.controller.set(self.taken / seconds),
        }
        self.next = now;
        (self.since, self.taken) = (now, 0.0);
        // Everything sent so far is accounted for.
        self.closed = None;
        self.open = RoundCounts::new(self.number, now);
    }

    /// Passes a round whose refusals have arrived to the controller, and begins a new one if the current one is long
    /// enough.
    fn end_round(&mut self, now: Instant) {
        // Probes say nothing about the rate.
        if self.block.is_some() {
            return;
        }
        let grace = self.recent.grace();
        if let Some((closed, end)) = self.closed.take_if(|(_, end)| *end + grace <= now) {
            let seconds = end.duration_since(closed.begin).as_secs_f64();
            let (sent, lost) = (f64::from(closed.sent), f64::from(closed.refused.min(closed.sent)));
            let (level, taken) = (sent / seconds, (sent - lost) / seconds);
            let used =
                closed.held && self.controller.limit().is_some_and(|limit| level >= limit * USED_SHARE);
            self.unused = if used { 0 } else { self.unused + 1 };
            self.controller.judge(Round {
                sent,
                lost,
                level,
                taken,
                rate: taken,
                one: MIN_GROWTH / seconds,
                used,
            });
            if self.unused >= MAX_UNUSED_ROUNDS {
                self.controller.release();
                self.unused = 0;
            }
        }
        let (open, lasted) = (self.open, now.saturating_duration_since(self.open.begin));
        let many = if open.refused == 0 { CLEAR_ROUND_REQUESTS } else { ROUND_REQUESTS };
        let is_over = (lasted >= MIN_ROUND && open.sent >= many) || (lasted >= MAX_ROUND && open.sent > 0);
        if is_over && self.closed.is_none() {
            self.closed = Some((open, now));
            self.open = RoundCounts::new(self.number, now);
        }
    }
}

impl RoundCounts {
    fn new(first: u64, begin: Instant) -> Self {
        Self { first, begin, sent: 0, refused: 0, held: false }
    }
}

impl RefusalBlock {
    /// Returns when the next probe may be sent: at the latest when the wait that the provider asked for is over.
    fn next_probe(&self, now: Instant) -> Instant {
        self.until.filter(|until| *until > now).map_or(self.probe_at, |until| until.min(self.probe_at))
    }
}
