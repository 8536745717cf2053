//! The requests that were sent last, and what became of them: whether the newest of them are all refused.
//!
//! `rate` asks at each refusal. A request that has been out for longer than refusals take counts as taken, since an
//! answer may take a minute where a refusal takes a millisecond.

use std::time::Duration;

use tokio::time::Instant;

/// Requests that are remembered.
const REMEMBERED: usize = 64;
/// A request is taken when it is out for so many times as long as refusals take, within these bounds; among others that
/// are refused meanwhile after less.
const TIMES: f64 = 3.0;
const SHORTEST: f64 = 0.05;
const SHORTEST_AMONG: f64 = 0.005;
const LONGEST: f64 = 30.0;
/// How much of the time that refusals take is that of the latest one.
const WEIGHT: f64 = 0.125;

/// The requests that were sent last.
#[derive(Debug)]
pub(super) struct Recent {
    sent: [Option<Sent>; REMEMBERED],
    newest: u64,
    /// Seconds that refusals take.
    delay: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    number: u64,
    at: Instant,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Open,
    Taken,
    Refused,
}

impl Default for Recent {
    fn default() -> Self {
        Self { sent: [None; REMEMBERED], newest: 0, delay: None }
    }
}

impl Recent {
    pub(super) fn sent(&mut self, number: u64, now: Instant) {
        self.newest = number;
        self.sent[number as usize % REMEMBERED] = Some(Sent { number, at: now, outcome: Outcome::Open });
    }

    pub(super) fn taken(&mut self, number: u64) {
        if let Some(sent) = self.find(number) {
            sent.outcome = Outcome::Taken;
        }
    }

    pub(super) fn refused(&mut self, number: u64, now: Instant) {
        let Some(sent) = self.find(number) else { return };
        sent.outcome = Outcome::Refused;
        let took = now.saturating_duration_since(sent.at).as_secs_f64();
        self.delay = Some(self.delay.map_or(took, |delay| delay + WEIGHT * (took - delay)));
    }

    /// How long a request is out before it counts as taken.
    pub(super) fn grace(&self) -> Duration {
        self.times_delay(SHORTEST)
    }

    fn times_delay(&self, least: f64) -> Duration {
        Duration::from_secs_f64((self.delay.unwrap_or(0.0) * TIMES).clamp(least, LONGEST))
    }

    /// The first of the newest requests that were refused, if there are so many of them with none taken among them.
    pub(super) fn in_a_row(&self, many: usize, now: Instant) -> Option<u64> {
        let grace = self.times_delay(SHORTEST_AMONG);
        let (mut count, mut first) = (0, None);
        for back in 0..REMEMBERED as u64 {
            let Some(number) = self.newest.checked_sub(back) else { break };
            let Some(sent) = self.sent[number as usize % REMEMBERED].filter(|sent| sent.number == number)
            else {
                break;
            };
            match sent.outcome {
                Outcome::Refused => (count, first) = (count + 1, Some(number)),
                Outcome::Open if sent.at + grace > now => {}
                Outcome::Open | Outcome::Taken => break,
            }
        }
        first.filter(|_| count >= many)
    }

    fn find(&mut self, number: u64) -> Option<&mut Sent> {
        self.sent[number as usize % REMEMBERED].as_mut().filter(|sent| sent.number == number)
    }
}
