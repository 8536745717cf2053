//! How fast a pool goes on after a refusal: at half of what the provider last took, then back, then probing.
//!
//! Without refusals there is no ramp and nothing is held back. `quota` tells it what was sent and refused,
//! and asks it before each request. Time is given from outside.

use std::time::Duration;

use tokio::time::Instant;

/// Seconds until the rate is back at what was taken.
const BACK: f64 = 20.0;
/// Seconds during which it is probed gently, up to `PROBE` more.
const GENTLE: f64 = 10.0;
const PROBE: f64 = 0.08;
/// After that the rate doubles in so many seconds: the provider may have recovered altogether.
const DOUBLING: f64 = 3.0;
/// After this long without a refusal nothing is held back.
const OVER: f64 = 100.0;
/// A little less than what was taken, so that coming back does not end in a refusal.
const MARGIN: f64 = 0.95;
/// The shortest time that a rate is measured over, and what is made of the way back when it was so short.
const SHORTEST: f64 = 0.2;
const HASTE: f64 = 0.05;
/// The same when the rate turned out to be so much higher than the last time.
const RISING: f64 = 1.2;
/// Seconds over which the rate that was taken is measured.
const MEASURED: u64 = 3;

/// The rate of a pool that was refused.
#[derive(Debug)]
pub(super) struct Ramp {
    start: Instant,
    /// Requests a second that were taken before the last refusal.
    base: Option<f64>,
    /// When requests went on, or will: the end of the last pause.
    pub(super) resumed: Instant,
    next: Instant,
    recent: [(u64, i64); MEASURED as usize + 1],
    /// Seconds over which `base` was measured.
    window: f64,
    /// What the times of the way back are multiplied by: little while the rate is hardly known.
    patience: f64,
}

impl Ramp {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            start: now,
            base: None,
            resumed: now,
            next: now,
            recent: [(0, 0); 4],
            window: 1.0,
            patience: 1.0,
        }
    }

    /// When the next request may be sent, if not now.
    pub(super) fn early(&self, now: Instant) -> Option<Instant> {
        (self.base.is_some() && self.next > now).then_some(self.next)
    }

    /// Notes that a request is sent.
    pub(super) fn sent(&mut self, now: Instant) {
        *self.slot(now) += 1;
        let Some(base) = self.base else { return };
        let seconds = now.saturating_duration_since(self.resumed).as_secs_f64();
        if seconds > OVER {
            self.base = None;
            return;
        }
        // A request that is a little late does not make the ones after it late.
        let from = self.next.max(now.checked_sub(Duration::from_millis(20)).unwrap_or(now));
        self.next = from + Duration::from_secs_f64(1.0 / rate(base, seconds, self.patience));
    }

    /// Notes that a request sent at `sent` was refused. Gives whether it is the first since requests last
    /// went on; the others were under way already and say nothing new.
    pub(super) fn refused(&mut self, sent: Instant, now: Instant) -> bool {
        let second = self.second(sent);
        if let Some((_, count)) = self.recent.iter_mut().find(|(known, _)| *known == second) {
            *count -= 1;
        }
        if sent < self.resumed {
            if let Some(base) = &mut self.base {
                *base = (*base - MARGIN / self.window).max(1.0);
            }
            return false;
        }
        let from = self.second(now).saturating_sub(MEASURED - 1).max(self.second(self.resumed));
        let counted = self.recent.iter().filter(|(second, _)| *second >= from);
        let taken: i64 = counted.map(|(_, count)| *count).sum();
        let begun = self.start + Duration::from_secs(from);
        self.window = now.saturating_duration_since(begun.max(self.resumed)).as_secs_f64().max(SHORTEST);
        let measured = MARGIN * taken.max(0) as f64 / self.window;
        // A burst that was cut off says little of the rate, and while it doubles the mean lags behind.
        let rising = self.base.is_some_and(|base| measured > RISING * base);
        self.patience = if self.window < 1.0 || rising { HASTE } else { 1.0 };
        // One bad second does not undo what is known: the rate is halved at most.
        self.base = Some(measured.max(self.base.map_or(0.0, |base| base / 2.0)).max(1.0));
        true
    }

    /// Requests go on at `until`.
    pub(super) fn resume(&mut self, until: Instant) {
        self.resumed = self.resumed.max(until);
        self.next = self.resumed;
    }

    fn second(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_secs()
    }

    fn slot(&mut self, now: Instant) -> &mut i64 {
        let second = self.second(now);
        let slot = &mut self.recent[(second % self.recent.len() as u64) as usize];
        if slot.0 != second {
            *slot = (second, 0);
        }
        &mut slot.1
    }
}

/// The rate so many seconds after requests went on.
fn rate(base: f64, seconds: f64, patience: f64) -> f64 {
    let (back, gentle) = (BACK * patience, GENTLE * patience);
    if seconds < back {
        return base * (1.0 - 0.5 * (1.0 - seconds / back).powi(12));
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
        for (seconds, expected) in [(0.0, 50.0), (20.0, 100.0), (30.0, 108.0), (33.0, 216.0)] {
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
