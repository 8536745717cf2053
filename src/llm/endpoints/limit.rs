//! How many requests an endpoint gets at a time: as declared, or as many as it turns out to bear.
//!
//! Found by additive increase and multiplicative decrease, judged by single attempts; where a server tells
//! of its waiting queue, by that; where it neither refuses nor tells, by whether more requests bring more
//! answers. Plain arithmetic on a clock given from outside; `endpoints` tells it what happened.

use tokio::time::Instant;

/// Requests at a time that an endpoint begins with.
const FIRST: f64 = 8.0;
/// What is left of the limit after a loss.
const CUT: f64 = 0.7;
/// Up to this share of where the last loss was, the limit comes back quickly.
const KNOWN: f64 = 0.9;
/// The share of running requests that may wait in the server's queue: enough that it never idles.
const WAITING: f64 = 0.1;

/// Answers that a rate is measured over at least.
const ENOUGH: f64 = 16.0;
/// Twice the requests must bring so many times the answers, or they wait somewhere.
const GAIN: f64 = 1.2;
/// So many times the requests are tried where more brought nothing, after so many windows, and must bring so
/// many times the answers.
const TRIED: f64 = 1.5;
const REST: u32 = 20;
const TRIED_GAIN: f64 = 1.1;
/// Windows that a trial is measured over, after one that still has answers of the time before.
const TRIAL: u32 = 4;

/// The requests an endpoint may have at a time.
#[derive(Debug)]
pub(super) enum Limit {
    /// As many as the whole model may have: the engine counts them.
    Fixed(u32),
    /// To be found.
    Auto(Auto),
}

/// A limit that is being found.
#[derive(Debug)]
pub(super) struct Auto {
    limit: f64,
    most: f64,
    /// Doubles with each window until the first loss.
    slow_start: bool,
    /// Where the last loss was.
    ceiling: f64,
    step: f64,
    /// Good attempts in this window, which is over when there were as many as the limit.
    done: f64,
    /// Whether the limit was reached in this window.
    used: bool,
    /// Attempts before this one were under way at the last cut, and say nothing new.
    cut_at: u64,
    /// The server tells of its queue.
    steered: bool,
    window: Option<Instant>,
    level: Level,
}

/// Whether more requests still bring more answers.
#[derive(Debug)]
enum Level {
    /// They may: answers a second before the last growth and the limit then, and windows without a gain.
    Rising { rate: f64, limit: f64, flat: u32 },
    /// They do not: windows, answers and seconds since then.
    Flat { windows: u32, answers: f64, seconds: f64 },
    /// Looks again: the limit and the rate so far, and windows, answers and seconds since.
    Trying { limit: f64, rate: f64, windows: u32, answers: f64, seconds: f64 },
}

const UNKNOWN: Level = Level::Rising { rate: 0.0, limit: 0.0, flat: 0 };

impl Limit {
    pub(super) fn auto(most: u32) -> Self {
        let most = f64::from(most.max(1));
        Self::Auto(Auto {
            limit: FIRST.min(most),
            most,
            slow_start: true,
            ceiling: 0.0,
            step: 1.0,
            done: 0.0,
            used: false,
            cut_at: 0,
            steered: false,
            window: None,
            level: UNKNOWN,
        })
    }

    /// Whether one more may be sent where so many are.
    pub(super) fn has_room(&self, in_flight: u32) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Auto(auto) => f64::from(in_flight) + 1.0 <= auto.limit,
        }
    }

    /// The present limit, to compare loads by.
    pub(super) fn now(&self) -> u32 {
        match self {
            Self::Fixed(limit) => *limit,
            Self::Auto(auto) => auto.limit as u32,
        }
    }

    /// Notes that an attempt is sent, as one of so many.
    pub(super) fn sent(&mut self, in_flight: u32, now: Instant) {
        if let Self::Auto(auto) = self {
            auto.window.get_or_insert(now);
            auto.used |= f64::from(in_flight) >= (auto.limit * 0.9).floor();
        }
    }

    /// Notes that an attempt was answered.
    pub(super) fn good(&mut self, now: Instant) {
        let Self::Auto(auto) = self else { return };
        let begun = *auto.window.get_or_insert(now);
        auto.done += 1.0;
        let least = if matches!(auto.level, Level::Rising { .. }) { 0.0 } else { ENOUGH };
        if auto.done < auto.limit.floor().max(least) {
            return;
        }
        let answers = std::mem::take(&mut auto.done);
        let seconds = now.saturating_duration_since(begun).as_secs_f64();
        auto.window = Some(now);
        if std::mem::take(&mut auto.used) && !auto.steered && auto.brings_more(answers, seconds) {
            auto.grow();
        }
    }

    /// Notes that attempt `number` was refused, cut off or timed out; `next` is the number of the next. Gives
    /// whether fewer at a time may be all that it takes.
    pub(super) fn loss(&mut self, number: u64, next: u64) -> bool {
        let Self::Auto(auto) = self else { return false };
        if number < auto.cut_at {
            return true;
        }
        auto.cut_at = next;
        auto.ceiling = auto.limit;
        auto.cut_to(auto.limit * CUT);
        // Who refuses one or two means something else.
        auto.limit >= 2.0
    }

    /// Notes that requests pause for their quota: what was measured until now says nothing of the server.
    pub(super) fn paced(&mut self) {
        let Self::Auto(auto) = self else { return };
        if let Level::Trying { limit, .. } = auto.level {
            auto.limit = limit;
        }
        auto.forget();
    }

    /// Notes what the server says of its own queue.
    pub(super) fn queue(&mut self, running: f64, waiting: f64) {
        let Self::Auto(auto) = self else { return };
        auto.steered = true;
        let excess = waiting - (running * WAITING).max(1.0);
        if excess > 0.0 {
            auto.cut_to(auto.limit - excess);
        } else if std::mem::take(&mut auto.used) && waiting < running * WAITING / 2.0 + 1.0 {
            let grown = if auto.slow_start { auto.limit * 2.0 } else { auto.limit * 1.25 + 1.0 };
            // Where some wait already, one more at a time; also where hardly any run, as between answers
            // that ended together and the questions after them, when nothing can wait.
            let busy = waiting < 1.0 && running * 1.25 >= auto.limit;
            auto.limit = if busy { grown } else { auto.limit + 1.0 }.min(auto.most);
        }
    }
}

impl Auto {
    /// Judges a window that used the limit: whether to let it grow.
    fn brings_more(&mut self, answers: f64, seconds: f64) -> bool {
        if seconds == 0.0 {
            return true;
        }
        let now = answers / seconds;
        match &mut self.level {
            Level::Rising { rate, limit, flat } => {
                // Growth by one is too little to be seen.
                let seen = self.limit >= *limit * 1.9 && answers >= ENOUGH;
                if seen && *rate > 0.0 && now < *rate * GAIN {
                    *flat += 1;
                    if *flat > 1 {
                        self.limit = *limit;
                        self.slow_start = false;
                        self.level = Level::Flat { windows: 0, answers: 0.0, seconds: 0.0 };
                    }
                    return false;
                }
                if seen || *rate == 0.0 {
                    (*rate, *limit, *flat) = (now, self.limit, 0);
                }
                true
            }
            Level::Flat { windows, answers: all, seconds: time } => {
                (*windows, *all, *time) = (*windows + 1, *all + answers, *time + seconds);
                if *windows >= REST {
                    let (limit, rate) = (self.limit, *all / *time);
                    self.level = Level::Trying { limit, rate, windows: 0, answers: 0.0, seconds: 0.0 };
                    self.limit = (limit * TRIED).min(self.most);
                }
                false
            }
            Level::Trying { limit, rate, windows, answers: all, seconds: time } => {
                if *windows > 0 {
                    (*all, *time) = (*all + answers, *time + seconds);
                }
                *windows += 1;
                if *windows > TRIAL {
                    if *all < *time * *rate * TRIED_GAIN {
                        self.limit = *limit;
                    }
                    self.level = Level::Flat { windows: 0, answers: 0.0, seconds: 0.0 };
                }
                false
            }
        }
    }

    fn grow(&mut self) {
        let grown = if self.slow_start {
            self.limit * 2.0
        } else if self.limit < self.ceiling * KNOWN {
            self.limit + ((self.ceiling * 0.95 - self.limit) / 2.0).max(1.0)
        } else if self.limit <= self.ceiling + 2.0 {
            self.limit + 1.0
        } else {
            // Past where the last loss was: the server may have recovered altogether.
            self.step *= 2.0;
            self.limit + self.step
        };
        self.limit = grown.min(self.most);
    }

    fn cut_to(&mut self, limit: f64) {
        self.limit = limit.max(1.0);
        self.slow_start = false;
        self.step = 1.0;
        self.forget();
    }

    /// Measures anew.
    fn forget(&mut self) {
        self.done = 0.0;
        self.used = false;
        self.window = None;
        self.level = UNKNOWN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs windows of a second against a server that refuses what exceeds its capacity; gives the limit after each.
    fn windows(limit: &mut Limit, number: &mut u64, capacity: u32, count: usize) -> Vec<u32> {
        let mut found = Vec::new();
        let mut clock = Instant::now();
        for _ in 0..count {
            let asked = limit.now();
            let first = *number;
            *number += u64::from(asked);
            for place in 0..asked {
                limit.sent(place + 1, clock);
            }
            clock += std::time::Duration::from_secs(1);
            for place in 0..asked {
                match place < capacity {
                    true => limit.good(clock),
                    false => assert!(limit.loss(first + u64::from(place), *number)),
                }
            }
            found.push(limit.now());
        }
        found
    }

    #[test]
    fn t44_capacity_that_falls_and_returns_is_found_again() {
        let (mut limit, mut number) = (Limit::auto(1024), 0);
        let found = windows(&mut limit, &mut number, 200, 60);
        assert_eq!(found[..4], [16, 32, 64, 128]);
        assert!(found[20..].iter().all(|limit| (140..=215).contains(limit)), "{found:?}");
        let mean = found[20..].iter().map(|limit| (*limit).min(200)).sum::<u32>() / 40;
        assert!(mean >= 180, "{mean}");
        let found = windows(&mut limit, &mut number, 20, 30);
        assert!(found[15..].iter().all(|limit| (10..=32).contains(limit)), "{found:?}");
        let found = windows(&mut limit, &mut number, 200, 12);
        assert!(found[9] >= 140, "{found:?}");
    }

    #[test]
    fn t43_a_limit_that_is_not_used_does_not_grow_and_one_loss_cuts_once() {
        let (mut limit, number) = (Limit::auto(64), 100);
        limit.sent(3, Instant::now());
        (0..100).for_each(|_| limit.good(Instant::now()));
        assert_eq!(limit.now(), 8);
        assert!((0..5).all(|lost| limit.loss(lost, number)));
        assert_eq!(limit.now(), 5);
        limit.loss(number, number + 1);
        assert_eq!(limit.now(), 3);
        let fewer = (0..99).filter(|lost| limit.loss(number + lost * 10, number + lost * 10 + 1)).count();
        // One of them was sent before the last cut.
        assert_eq!((limit.now(), fewer), (1, 2));
    }

    /// Polls a server that never refuses: what exceeds its capacity waits.
    fn polls(limit: &mut Limit, capacity: f64, count: usize) -> Vec<u32> {
        let mut found = Vec::new();
        for _ in 0..count {
            limit.sent(limit.now(), Instant::now());
            let asked = f64::from(limit.now());
            limit.queue(asked.min(capacity), (asked - capacity).max(0.0));
            found.push(limit.now());
        }
        found
    }

    #[test]
    fn t42_a_server_that_never_refuses_is_steered_by_its_queue() {
        let (mut limit, mut number) = (Limit::auto(1024), 0);
        windows(&mut limit, &mut number, 9999, 5);
        let found = polls(&mut limit, 32.0, 20);
        assert!(found[1..].iter().all(|limit| (32..=37).contains(limit)), "{found:?}");
        let found = polls(&mut limit, 200.0, 12);
        assert!(found[11] >= 195 && found.iter().all(|limit| *limit <= 260), "{found:?}");
        let found = polls(&mut limit, 200.0, 9);
        assert!(found.iter().all(|limit| (195..=222).contains(limit)), "{found:?}");
    }
}
