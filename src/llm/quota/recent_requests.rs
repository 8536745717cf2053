//! Remembers the latest requests and their outcomes, to detect that all of the newest ones are refused.
//!
//! `rate` asks at each refusal. A request that has been in flight for longer than refusals take counts as accepted,
//! since an answer may take a minute where a refusal takes a millisecond.

use std::time::Duration;

use tokio::time::Instant;

/// How many requests are remembered.
const CAPACITY: usize = 64;
/// A request counts as accepted once it is in flight for this multiple of the time that refusals take, within these
/// bounds (in seconds); among others that are refused meanwhile, after less.
const GRACE_FACTOR: f64 = 3.0;
const MIN_GRACE: f64 = 0.05;
const MIN_GRACE_AMONG_REFUSALS: f64 = 0.005;
const MAX_GRACE: f64 = 30.0;
/// The weight of the latest refusal in the moving average of their delays.
const DELAY_WEIGHT: f64 = 0.125;

/// The latest requests.
#[derive(Debug)]
pub(super) struct RecentRequests {
    sent: [Option<SentRequest>; CAPACITY],
    newest: u64,
    /// The average delay of refusals, in seconds.
    delay: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct SentRequest {
    number: u64,
    at: Instant,
    outcome: RequestOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum RequestOutcome {
    Open,
    Taken,
    Refused,
}

impl Default for RecentRequests {
    fn default() -> Self {
        Self { sent: [None; CAPACITY], newest: 0, delay: None }
    }
}

impl RecentRequests {
    pub(super) fn sent(&mut self, number: u64, now: Instant) {
        self.newest = number;
        self.sent[number as usize % CAPACITY] =
            Some(SentRequest { number, at: now, outcome: RequestOutcome::Open });
    }

    pub(super) fn taken(&mut self, number: u64) {
        if let Some(sent) = self.find(number) {
            sent.outcome = RequestOutcome::Taken;
        }
    }

    pub(super) fn refused(&mut self, number: u64, now: Instant) {
        let Some(sent) = self.find(number) else { return };
        sent.outcome = RequestOutcome::Refused;
        let took = now.saturating_duration_since(sent.at).as_secs_f64();
        self.delay = Some(self.delay.map_or(took, |delay| delay + DELAY_WEIGHT * (took - delay)));
    }

    /// Returns how long a request is in flight before it counts as accepted.
    pub(super) fn grace(&self) -> Duration {
        self.times_delay(MIN_GRACE)
    }

    fn times_delay(&self, least: f64) -> Duration {
        Duration::from_secs_f64((self.delay.unwrap_or(0.0) * GRACE_FACTOR).clamp(least, MAX_GRACE))
    }

    /// Returns the first of the newest refused requests, if there are `many` of them with none accepted in between.
    pub(super) fn in_a_row(&self, many: usize, now: Instant) -> Option<u64> {
        let grace = self.times_delay(MIN_GRACE_AMONG_REFUSALS);
        let (mut count, mut first) = (0, None);
        for back in 0..CAPACITY as u64 {
            let Some(number) = self.newest.checked_sub(back) else { break };
            let Some(sent) = self.sent[number as usize % CAPACITY].filter(|sent| sent.number == number)
            else {
                break;
            };
            match sent.outcome {
                RequestOutcome::Refused => (count, first) = (count + 1, Some(number)),
                RequestOutcome::Open if sent.at + grace > now => {}
                RequestOutcome::Open | RequestOutcome::Taken => break,
            }
        }
        first.filter(|_| count >= many)
    }

    fn find(&mut self, number: u64) -> Option<&mut SentRequest> {
        self.sent[number as usize % CAPACITY].as_mut().filter(|sent| sent.number == number)
    }
}
