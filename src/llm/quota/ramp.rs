//! How fast a pool goes on after a refusal: at half of what the provider last took, then back, then probing.
//!
//! Without refusals there is no ramp and nothing is held back. `quota` tells it what was sent and refused,
//! and asks it before each request. Time is given from outside.

use std::time::Duration;

use tokio::time::Instant;

/// Seconds until the rate is probed, and those of them in which it comes back from half of what was taken.
const BACK: f64 = 20.0;
const HALF: f64 = 0.2;
/// Seconds during which it is probed gently, up to `PROBE` more.
const GENTLE: f64 = 10.0;
const PROBE: f64 = 0.08;
/// After that the rate doubles in so many seconds: the provider may have recovered altogether.
const DOUBLING: f64 = 3.0;
/// All of these are longer, up to so many times, where a refusal costs more than a second.
const DEAREST: f64 = 4.0;
/// After this long without a refusal nothing is held back.
const OVER: f64 = 100.0;
/// A little less than what was taken, so that coming back does not end in a refusal: where the burst is known
/// and where it is not.
const MARGIN: [f64; 2] = [0.99, 0.95];
/// The share of the mean that a rate must have, or the burst is not believed in.
const DOUBTFUL: f64 = 0.15;
/// The share that is believed of a burst that was seen among other requests: too little costs a refusal later
/// on, too much the rate until it is probed.
const SURE: f64 = 0.8;
/// The lowest rate, and the one to begin at where nothing was taken at all.
const LEAST: f64 = 1.0;
const FIRST: f64 = 4.0;
/// Requests that are refused sooner came at once: they tell a burst, and hardly a rate.
const AT_ONCE: f64 = 0.3;
/// The shortest time that a rate is measured over, and what is made of the way back when it was so short.
const SHORTEST: f64 = 0.2;
const HASTE: f64 = 0.05;
/// The same when the rate turned out to be so much higher than the last time.
const RISING: f64 = 1.1;
/// The latest rate is measured over so many parts of a second, counted from the end, and over fewer.
const PARTS: usize = 16;
const PER_SECOND: f64 = 4.0;
/// The fewest of them, where the burst was seen alone and where it was not: a short time may be all burst.
const FEWEST: [usize; 2] = [4, 6];

/// The rate of a pool that was refused.
#[derive(Debug)]
pub(super) struct Ramp {
    start: Instant,
    /// Requests a second that were taken before the last refusal.
    base: Option<f64>,
    /// When requests went on, or will: the end of the last pause.
    pub(super) resumed: Instant,
    next: Instant,
    /// Requests taken in each part of a second lately.
    recent: [(u64, i64); PARTS],
    /// Requests taken since they went on.
    taken: i64,
    last: Stretch,
    /// Requests that the provider takes at once after a pause, as far as that was seen.
    burst: f64,
    burst_seen_alone: bool,
    /// What the times of the way back are multiplied by: little while the rate is hardly known.
    patience: f64,
}

/// What was taken from when requests went on to the refusal.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    taken: f64,
    seconds: f64,
    /// When it began and ended, and the seconds of the pause before it.
    begin: Instant,
    end: Instant,
    pause: f64,
    /// The rate that was known before it.
    known: f64,
    /// Whether the one before it ended at once as well.
    again: bool,
}

impl Ramp {
    pub(super) fn new(now: Instant) -> Self {
        let last =
            Stretch { taken: 0.0, seconds: 1.0, begin: now, end: now, pause: 0.0, known: 0.0, again: false };
        Self {
            start: now,
            base: None,
            resumed: now,
            next: now,
            recent: [(0, 0); PARTS],
            taken: 0,
            last,
            burst: 0.0,
            burst_seen_alone: false,
            patience: 1.0,
        }
    }

    /// When the next request may be sent, if not now.
    pub(super) fn early(&self, now: Instant) -> Option<Instant> {
        (self.base.is_some() && self.next > now).then_some(self.next)
    }

    /// Notes that a request is sent.
    pub(super) fn sent(&mut self, now: Instant) {
        if self.taken == 0 && self.last.known == 0.0 {
            self.burst = self.burst_seen();
            self.burst_seen_alone = self.last.at_once();
        }
        *self.slot(now) += 1;
        self.taken += 1;
        let Some(base) = self.base else { return };
        let seconds = now.saturating_duration_since(self.resumed).as_secs_f64();
        if seconds > OVER * self.patience.max(1.0) {
            self.base = None;
            return;
        }
        // A request that is a little late does not make the ones after it late.
        let from = self.next.max(now.checked_sub(Duration::from_millis(20)).unwrap_or(now));
        self.next = from + Duration::from_secs_f64(1.0 / rate(base, seconds, self.patience));
    }

    /// Notes that a request sent at `sent` was refused. Gives whether it is the first since requests last
    /// went on; the others were under way already and say nothing new but that they were not taken.
    pub(super) fn refused(&mut self, sent: Instant, now: Instant) -> bool {
        let part = self.part(sent);
        if let Some((_, count)) = self.recent.iter_mut().find(|(known, _)| *known == part) {
            *count -= 1;
        }
        let first = sent >= self.resumed;
        if first {
            self.end_stretch(now);
        } else {
            self.last.taken -= 1.0;
        }
        let known = self.last.known;
        if !self.last.at_once() && self.last.rate(self.burst) < DOUBTFUL * self.last.taken / self.last.seconds
        {
            // It would be next to all that was taken: the burst was none, but answers that came together.
            self.burst = 0.0;
        }
        let measured = self.last.rate(self.burst).max(self.latest());
        // What was not sent evenly says little of the rate, and while it doubles the mean lags behind.
        let vague =
            known == 0.0 || self.last.seconds < 1.0 || (self.burst == 0.0 && measured > RISING * known);
        // Where a refusal costs much, the next one may come later.
        let cost = self.last.pause.clamp(1.0, DEAREST);
        self.patience = if vague { HASTE } else { cost };
        // One bad second does not undo what is known: the rate is halved at most.
        self.base = Some(measured.max(known / 2.0).max(if known > 0.0 { LEAST } else { FIRST }));
        first
    }

    fn end_stretch(&mut self, now: Instant) {
        let since = |at: Instant| now.saturating_duration_since(at).as_secs_f64();
        self.last = Stretch {
            taken: (self.taken - 1) as f64,
            seconds: since(self.resumed).max(1e-3),
            begin: self.resumed,
            end: now,
            pause: self.resumed.saturating_duration_since(self.last.end).as_secs_f64(),
            known: self.base.unwrap_or(0.0),
            again: self.last.at_once(),
        };
        self.taken = 0;
    }

    /// Requests go on at `until`.
    pub(super) fn resume(&mut self, until: Instant) {
        self.resumed = self.resumed.max(until);
        self.next = self.resumed;
    }

    /// What was taken at once at the end of a stretch in which nothing was held back, beside what a rate
    /// would have brought.
    fn burst_seen(&self) -> f64 {
        if self.last.at_once() {
            return self.last.taken.max(0.0);
        }
        let (last, over) = self.last_part();
        let even = self.last.taken / self.last.seconds;
        let newest = self.in_part(last) as f64;
        let newer = newest + self.in_part(last.saturating_sub(1)) as f64;
        let beside = |taken: f64, parts: f64| taken - even * parts / PER_SECOND;
        SURE * beside(newest, over).max(beside(newer, 1.0 + over)).max(0.0)
    }

    /// The most that the last seconds of the stretch can tell of the rate.
    fn latest(&self) -> f64 {
        let first = self.part(self.last.begin);
        let (last, over) = self.last_part();
        let unseen = self.burst == 0.0;
        let fewest = FEWEST[usize::from(!self.burst_seen_alone)];
        let (mut taken, mut most) = (0, 0.0_f64);
        for back in 0..PARTS as u64 {
            let Some(part) = last.checked_sub(back).filter(|part| *part > first) else { break };
            taken += self.in_part(part);
            if back as usize >= fewest {
                most = most.max((taken as f64 - self.burst) * PER_SECOND / (back as f64 + over));
            }
        }
        MARGIN[usize::from(unseen)] * most
    }

    /// The part in which the last stretch ended, and how much of it had passed.
    fn last_part(&self) -> (u64, f64) {
        let last = self.part(self.last.end);
        (last, self.last.end.duration_since(self.start).as_secs_f64() * PER_SECOND - last as f64)
    }

    fn in_part(&self, part: u64) -> i64 {
        let (known, count) = self.recent[part as usize % PARTS];
        if known == part { count } else { 0 }
    }

    fn part(&self, at: Instant) -> u64 {
        (at.saturating_duration_since(self.start).as_secs_f64() * PER_SECOND) as u64
    }

    fn slot(&mut self, now: Instant) -> &mut i64 {
        let part = self.part(now);
        let slot = &mut self.recent[part as usize % PARTS];
        if slot.0 != part {
            *slot = (part, 0);
        }
        &mut slot.1
    }
}

impl Stretch {
    fn at_once(&self) -> bool {
        self.seconds < AT_ONCE && self.taken > 0.0
    }

    /// The rate to go on at. A provider that takes a burst and a rate took no more than both in any time, so
    /// the most of what is left without the burst is the rate.
    fn rate(&self, burst: f64) -> f64 {
        let with_pause = self.taken / (self.seconds + self.pause);
        if self.at_once() {
            return if self.again { with_pause } else { MARGIN[1] * self.taken / SHORTEST };
        }
        let margin = MARGIN[usize::from(burst == 0.0)];
        margin * ((self.taken - burst) / self.seconds).max(with_pause)
    }
}

/// The rate so many seconds after requests went on.
fn rate(base: f64, seconds: f64, patience: f64) -> f64 {
    let (back, gentle) = (BACK * patience, GENTLE * patience);
    if seconds < back {
        return base * (1.0 - 0.5 * (-seconds / HALF).exp());
    }
    let probed = base * (1.0 + PROBE * ((seconds - back) / gentle).min(1.0));
    let doubling = DOUBLING * patience.max(1.0 / 3.0);
    probed * 2_f64.powf(((seconds - back - gentle) / doubling).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_goes_from_half_to_all_to_more() {
        for (seconds, expected) in [(0.0, 50.0), (5.0, 100.0), (20.0, 100.0), (30.0, 108.0), (33.0, 216.0)] {
            let found = rate(100.0, seconds, 1.0);
            assert!((found - expected).abs() < 0.01, "{seconds}: {found}");
        }
        // From one request a second to a thousand within a minute.
        assert!(rate(1.0, 60.0, 1.0) > 1000.0);
    }

    #[test]
    fn the_rate_is_what_was_taken() {
        let start = Instant::now();
        let mut ramp = Ramp::new(start);
        for step in 0..600 {
            let now = start + Duration::from_millis(10) * step;
            assert_eq!(ramp.early(now), None);
            ramp.sent(now);
        }
        let now = start + Duration::from_secs(6);
        assert!(ramp.refused(now, now));
        ramp.resume(now + Duration::from_secs(2));
        assert!(!ramp.refused(now, now));
        let base = ramp.base.unwrap();
        assert!((90.0..=130.0).contains(&base), "{base}");
        ramp.sent(ramp.resumed);
        assert!(ramp.early(ramp.resumed).is_some());
    }
}
