//! How many requests a second a pool lets through, by what its provider refused.
//!
//! Without refusals nothing is held back. A refusal concerns the refused request alone, as long as others that were
//! sent after it are taken. Rounds of requests, by when they were sent, go to the controller, which finds the rate
//! where refusals answer to it. When several in a row are refused the pool is blocked: single requests are let
//! through to see, the last one when the time is over that the provider asked for, and as soon as one is taken,
//! requests go on at the rate that was taken before. `quota` tells what was sent and what became of it; time is given
//! from outside.

use std::time::Duration;

use tokio::time::Instant;

use super::recent_requests::Recent;
use crate::llm::congestion::{Controller, Round};
use crate::llm::jitter::Jitter;

/// A round lasts for so long at least, and until so many were sent, or half of them without a refusal, or one for so
/// long.
const ROUND: Duration = Duration::from_millis(500);
const ENOUGH: u32 = 16;
const HALF: u32 = 8;
const FEW: f64 = 16.0;
const LONG: Duration = Duration::from_secs(5);
/// As many refusals in a row block as come by chance alone once in so many requests, where one in twenty is refused by
/// chance, or more where that is known: five, or more.
const BY_CHANCE: f64 = 4e-7;
const SHARE: f64 = 0.05;
const MOST_IN_A_ROW: usize = 32;
/// Requests in so many parts of what a provider asks to wait are let through to see, each after twice the time.
const PARTS: u32 = 8;
/// Where it asks nothing, the time between them grows by this, up to that.
const LATER: f64 = 1.5;
const LONGEST: Duration = Duration::from_mins(1);
/// What was taken is looked at over so long, twice that at most.
const LOOK_BACK: Duration = Duration::from_secs(60);
/// The shortest time between requests that look.
const SHORTEST: Duration = Duration::from_millis(10);
/// Nobody wants to send anything where nothing is sent for so long.
const IDLE: Duration = Duration::from_secs(1);
/// The lowest rate, and the one to begin with where nothing was ever taken.
const LEAST: f64 = 0.02;
const FIRST: f64 = 4.0;
/// The most by which the rate grows in a round: a provider may have a burst in reserve, which hides that it is too much.
const FASTEST: f64 = 0.25;
/// The least by which it grows, in requests a round.
const QUARTER: f64 = 0.25;
/// The share of the limit that must be sent for it to hold anything back, and rounds without, after which it is none.
const USED: f64 = 0.9;
const UNUSED: u32 = 20;
/// A request that is a little late does not make those after it late.
const LATE: Duration = Duration::from_millis(20);

/// The rate of a pool.
#[derive(Debug)]
pub(super) struct Rate {
    controller: Controller,
    /// What the user says of it.
    declared: Option<f64>,
    recent: Recent,
    /// Requests sent so far.
    number: u64,
    last: Instant,
    next: Instant,
    open: Counts,
    /// The round before, some refusals of which may not have come yet, and when it ended.
    closed: Option<(Counts, Instant)>,
    unused: u32,
    /// What was taken since when.
    since: Instant,
    taken: f64,
    block: Option<Block>,
}

/// Requests of one round.
#[derive(Debug, Clone, Copy)]
struct Counts {
    first: u64,
    begin: Instant,
    sent: u32,
    refused: u32,
    /// Whether the limit held requests back in it.
    held: bool,
}

/// Several in a row were refused.
#[derive(Debug)]
struct Block {
    /// The first of them, and the first that was sent after it was known.
    first: u64,
    end: u64,
    /// How many of those before were taken since requests last went on.
    taken: f64,
    begin: Instant,
    /// When the provider will take requests again, as it says.
    until: Option<Instant>,
    /// When the next request may see, after which time the one after it, and the one that is under way.
    look: Instant,
    wait: Duration,
    looking: Option<(u64, Instant)>,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            controller: Controller::open(LEAST, f64::MAX, FASTEST),
            declared: None,
            recent: Recent::default(),
            number: 0,
            last: now,
            next: now,
            open: Counts::new(0, now),
            closed: None,
            unused: 0,
            since: now,
            taken: 0.0,
            block: None,
        }
    }

    /// Takes note of a rate that is declared, and kept elsewhere.
    pub(super) fn declare(&mut self, per_second: Option<f64>) {
        self.declared = per_second;
    }

    /// When the next request may be sent, if not now.
    pub(super) fn early(&mut self, now: Instant) -> Option<Instant> {
        if let Some(block) = &self.block {
            let next = match block.looking {
                None => block.next_look(now),
                Some((_, at)) => at + self.recent.grace(),
            };
            if next > now || block.looking.is_none() {
                return (next > now).then_some(next);
            }
            self.go_on(now);
        }
        let held = self.controller.limit().is_some() && self.next > now;
        self.open.held |= held;
        held.then_some(self.next)
    }

    /// Notes that a request is sent, and gives its number.
    pub(super) fn sent(&mut self, now: Instant) -> u64 {
        self.end_round(now);
        self.pass_over_rest(now);
        if self.open.sent == 0 {
            self.open.begin = now;
        }
        let number = self.number;
        self.number += 1;
        self.open.sent += 1;
        self.taken += 1.0;
        self.recent.sent(number, now);
        if let Some(block) = &mut self.block {
            block.looking = Some((number, now));
        } else if now.duration_since(self.since) > 2 * LOOK_BACK {
            self.taken *= LOOK_BACK.as_secs_f64() / now.duration_since(self.since).as_secs_f64();
            self.since = now - LOOK_BACK;
        }
        if let Some(limit) = self.controller.limit() {
            let from = self.next.max(now.checked_sub(LATE).unwrap_or(now));
            self.next = from + Duration::from_secs_f64(1.0 / limit);
        }
        number
    }

    /// Notes that a request was answered. Gives whether the pool is no longer blocked by it.
    pub(super) fn answered(&mut self, number: u64, now: Instant) -> bool {
        self.recent.taken(number);
        let Some(block) = &self.block else { return false };
        if block.looking.is_some_and(|(looking, _)| looking == number) {
            self.go_on(now);
        } else if number > block.first {
            // It was sent among those that were refused: they were no row.
            self.block = None;
        }
        self.block.is_none()
    }

    /// Notes that a request was refused, with the time the provider asked for. Gives whether the pool is blocked by
    /// it that was not before.
    pub(super) fn refused(
        &mut self,
        number: u64,
        asked: Option<Duration>,
        base: Duration,
        chance: &mut Jitter,
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
            if block.looking.is_some_and(|(looking, _)| looking == number) {
                block.looking = None;
                block.wait = match asked {
                    Some(asked) => (block.wait * 2).min(asked),
                    None => block.wait.mul_f64(LATER).min(LONGEST),
                };
                block.look = now + block.wait;
            }
            return false;
        }
        let share = self.controller.usual_losses().max(SHARE);
        let many = ((BY_CHANCE.ln() / share.ln()).ceil() as usize).min(MOST_IN_A_ROW);
        let Some(first) = self.recent.in_a_row(many, now) else { return false };
        let wait = match asked {
            Some(asked) => asked / PARTS,
            None => chance.part_of(base) + base / 2,
        };
        let wait = wait.max(SHORTEST);
        let taken = self.taken;
        self.block = Some(Block {
            first,
            end: self.number,
            taken,
            begin: now,
            until,
            look: now + wait,
            wait,
            looking: None,
        });
        true
    }

    /// Notes that a request ended in a way that says nothing of room.
    pub(super) fn unknown(&mut self, number: u64, now: Instant) {
        if let Some(block) = &mut self.block
            && block.looking.is_some_and(|(looking, _)| looking == number)
        {
            block.looking = None;
            block.look = now + block.wait;
        }
    }

    /// Whether an answer may let the next request go.
    pub(super) fn is_held(&self) -> bool {
        self.block.is_some() || self.controller.limit().is_some()
    }

    /// How long the pool is blocked for, as far as is known.
    pub(super) fn blocked(&self, now: Instant) -> Option<Duration> {
        let block = self.block.as_ref()?;
        Some(block.until.unwrap_or(block.look).saturating_duration_since(now))
    }

    /// Whether refusals answer to what is sent, as far as is known.
    pub(super) fn refusals_answer(&self) -> bool {
        self.block.is_some() || self.controller.losses_answer()
    }

    /// Leaves the time out of account in which nobody wanted to send anything.
    fn pass_over_rest(&mut self, now: Instant) {
        let idle = now.saturating_duration_since(self.next.max(self.last));
        if self.block.is_none() && idle > IDLE {
            self.since += idle;
        }
        self.last = now;
    }

    /// Ends a block: at the rate that was taken until now.
    fn go_on(&mut self, now: Instant) {
        let Some(block) = self.block.take() else { return };
        // A quota of a minute is used up within that; who is away for longer was down.
        let away = now.duration_since(block.begin).min(LOOK_BACK);
        let seconds = (block.begin.duration_since(self.since) + away).as_secs_f64().max(1e-3);
        match block.taken {
            // Who took nothing was down, which says nothing of a rate.
            ..1.0 => self.controller.begin(self.declared.unwrap_or(FIRST)),
            // Few say little of it.
            ..FEW => self.controller.begin(self.taken / seconds),
            _ => self.controller.set(self.taken / seconds),
        }
        self.next = now;
        (self.since, self.taken) = (now, 0.0);
        // What was sent until now is accounted for.
        self.closed = None;
        self.open = Counts::new(self.number, now);
    }

    /// Hands a round to the controller whose refusals have come, and begins another where the present one is long
    /// enough.
    fn end_round(&mut self, now: Instant) {
        // What is let through to see tells no rate.
        if self.block.is_some() {
            return;
        }
        let grace = self.recent.grace();
        if let Some((closed, end)) = self.closed.take_if(|(_, end)| *end + grace <= now) {
            let seconds = end.duration_since(closed.begin).as_secs_f64();
            let (sent, lost) = (f64::from(closed.sent), f64::from(closed.refused.min(closed.sent)));
            let (level, taken) = (sent / seconds, (sent - lost) / seconds);
            let used = closed.held && self.controller.limit().is_some_and(|limit| level >= limit * USED);
            self.unused = if used { 0 } else { self.unused + 1 };
            self.controller.judge(Round {
                sent,
                lost,
                level,
                taken,
                rate: taken,
                one: QUARTER / seconds,
                used,
            });
            if self.unused >= UNUSED {
                self.controller.release();
                self.unused = 0;
            }
        }
        let (open, lasted) = (self.open, now.saturating_duration_since(self.open.begin));
        let many = if open.refused == 0 { HALF } else { ENOUGH };
        let is_over = (lasted >= ROUND && open.sent >= many) || (lasted >= LONG && open.sent > 0);
        if is_over && self.closed.is_none() {
            self.closed = Some((open, now));
            self.open = Counts::new(self.number, now);
        }
    }
}

impl Counts {
    fn new(first: u64, begin: Instant) -> Self {
        Self { first, begin, sent: 0, refused: 0, held: false }
    }
}

impl Block {
    /// When the next request may be sent to see: at the end of what the provider asked for at the latest.
    fn next_look(&self, now: Instant) -> Instant {
        self.until.filter(|until| *until > now).map_or(self.look, |until| until.min(self.look))
    }
}
