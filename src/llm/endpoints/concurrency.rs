//! How many requests an endpoint gets at a time: as declared, or as many as it turns out to bear.
//!
//! Rounds of attempts, by when they ended, go to the controller, which finds the number where losses answer to it or
//! more bring no more. Where a server tells of its waiting queue, that steers. `endpoints` tells what happened; time
//! is given from outside.

use std::time::Duration;

use tokio::time::Instant;

use crate::llm::congestion::{Controller, Round};

/// Requests at a time that an endpoint begins with.
const FIRST: f64 = 8.0;
/// The share of running requests that may wait in the server's queue: enough that it never idles.
const WAITING: f64 = 0.1;
/// Attempts of a round at least.
const ENOUGH: f64 = 8.0;
/// So many losses end a round at once where they are too many; as many are taken then as in the round before, or half.
const MANY: f64 = 8.0;
const HALF: f64 = 0.5;
/// The most by which the places grow in a round.
const FASTEST: f64 = 0.5;
/// The share of the places that must be used for a round to say something of them.
const USED: f64 = 0.9;

/// The requests an endpoint may have at a time.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    controller: Controller,
    /// Its share of the places that are declared, which the engine counts; nothing where they are to be found.
    declared: Option<u32>,
    /// The server tells of its queue.
    steered: bool,
    /// Grows by doubling until the queue says that it is too much.
    doubling: bool,
    /// Attempts before this one were under way at another limit, and say nothing new.
    first: u64,
    round: Attempts,
    /// How many were taken at a time in the round before.
    taken: Option<f64>,
}

/// Attempts that ended in one round.
#[derive(Debug, Default)]
struct Attempts {
    begin: Option<Instant>,
    answered: f64,
    lost: f64,
    /// Seconds of those that were answered, all together.
    busy: f64,
    most_in_flight: u32,
    used: bool,
}

impl ConcurrencyLimit {
    /// As many as there are, of which `share` fall to it; fewer once refusals answer to their number.
    pub(super) fn declared(share: u32, most: u32) -> Self {
        Self::new(Self::controller(most), Some(share))
    }

    /// As many as are found to be borne.
    pub(super) fn auto(most: u32) -> Self {
        Self::new(Self::controller(most).seeking(FIRST), None)
    }

    fn controller(most: u32) -> Controller {
        Controller::open(1.0, f64::from(most.max(1)), FASTEST)
    }

    fn new(controller: Controller, declared: Option<u32>) -> Self {
        Self {
            controller,
            declared,
            steered: false,
            doubling: true,
            first: 0,
            round: Attempts::default(),
            taken: None,
        }
    }

    /// Whether one more may be sent where so many are.
    pub(super) fn has_room(&self, in_flight: u32) -> bool {
        self.controller.limit().is_none_or(|limit| f64::from(in_flight) + 1.0 <= limit)
    }

    /// The present limit, to compare loads by.
    pub(super) fn now(&self) -> u32 {
        self.controller.limit().map_or(self.declared.unwrap_or(u32::MAX), |limit| limit as u32)
    }

    /// The limit that was found, where one was looked for.
    pub(super) fn found(&self) -> Option<u32> {
        self.controller.limit().map(|limit| limit as u32)
    }

    /// Whether they are looked for.
    pub(super) fn are_found(&self) -> bool {
        self.declared.is_none()
    }

    /// Whether fewer at a time may be a remedy.
    pub(super) fn can_shrink(&self) -> bool {
        self.declared.is_none() && !self.controller.is_in_vain()
    }

    /// Whether losses answer to how many are sent at a time, as far as is known.
    pub(super) fn losses_answer(&self) -> bool {
        self.controller.losses_answer()
    }

    /// Notes that an attempt is sent, as one of so many.
    pub(super) fn sent(&mut self, in_flight: u32) {
        let round = &mut self.round;
        round.most_in_flight = round.most_in_flight.max(in_flight);
        let limit = self.controller.limit();
        round.used |= limit.is_some_and(|limit| f64::from(in_flight) >= (limit * USED).floor());
    }

    /// Notes that attempt `number` was answered after so long; `next` is the number of the next one.
    pub(super) fn answered(&mut self, number: u64, next: u64, took: Duration, now: Instant) {
        if number < self.first {
            return;
        }
        // A round begins with an answer, since the time to the first one is no time of work.
        if self.round.begin.is_none() {
            self.round.begin = Some(now);
            return;
        }
        self.round.answered += 1.0;
        self.round.busy += took.as_secs_f64();
        self.end_round(next, now);
    }

    /// Notes that attempt `number` was refused, cut off or timed out.
    pub(super) fn lost(&mut self, number: u64, next: u64, now: Instant) {
        if number < self.first {
            return;
        }
        self.round.begin.get_or_insert(now);
        self.round.lost += 1.0;
        self.end_round(next, now);
    }

    /// Notes that requests wait for the account's quota: what answers come says nothing of the endpoint.
    pub(super) fn throttled(&mut self) {
        self.controller.forget_gain();
        self.round.used = false;
    }

    /// Notes that the server tells of its queue no more.
    pub(super) fn forget_queue(&mut self) {
        self.steered = false;
    }

    /// Notes what the server says of its own queue.
    pub(super) fn queue(&mut self, running: f64, waiting: f64) {
        let (Some(limit), None) = (self.controller.limit(), self.declared) else { return };
        self.steered = true;
        let excess = waiting - (running * WAITING).max(1.0);
        if excess > 0.0 {
            self.doubling = false;
            self.controller.steer(limit - excess);
        } else if std::mem::take(&mut self.round.used) && waiting < running * WAITING / 2.0 + 1.0 {
            let grown = if self.doubling { limit * 2.0 } else { limit * 1.25 + 1.0 };
            // Where some wait already, one more at a time; also where hardly any run, as between answers
            // that ended together and the questions after them, when nothing can wait.
            let busy = waiting < 1.0 && running * 1.25 >= limit;
            self.controller.steer(if busy { grown } else { limit + 1.0 });
        }
    }

    /// Hands a round to the controller, once about as many ended as may be under way, in the time of an answer at
    /// least.
    fn end_round(&mut self, next: u64, now: Instant) {
        let round = &self.round;
        let limit = self.controller.limit();
        let level = limit.unwrap_or(f64::from(round.most_in_flight));
        let sent = round.answered + round.lost;
        if sent < ENOUGH {
            return;
        }
        let seconds = round.begin.map_or(0.0, |begin| now.saturating_duration_since(begin).as_secs_f64());
        let is_whole = seconds >= round.busy / round.answered.max(1.0) && sent >= level.floor();
        let is_clear = round.lost >= MANY && self.controller.is_too_much(sent, round.lost);
        if !is_whole && !is_clear {
            return;
        }
        let (rate, taken) = match seconds > 0.0 && is_whole {
            true => (round.answered / seconds, (round.busy / seconds).min(level)),
            // What is refused ends at once: how many are taken is not known yet.
            false if is_clear => (0.0, self.taken.take().unwrap_or(level * HALF).min(level)),
            false => (0.0, level),
        };
        let used = round.used && !self.steered;
        if is_whole {
            self.taken = Some(taken);
        }
        self.controller.judge(Round { sent, lost: round.lost, level, taken, rate, one: 1.0, used });
        self.round = Attempts { begin: Some(now), ..Attempts::default() };
        let lowered = self.controller.limit().is_some_and(|found| limit.is_none_or(|limit| found < limit));
        if lowered {
            self.first = next;
            self.round.begin = None;
        }
    }
}
