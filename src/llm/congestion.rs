//! How much a server bears: one controller for requests a second and for requests at a time.
//!
//! `quota/rate` and `endpoints/places` measure rounds, each in its own unit, and ask for the limit. What counts is
//! what was taken, as in BBR, and whether losses answer to the limit: where a round loses more than is usual, the
//! limit is lowered to less than what was taken, and the losses are looked at again. If they vanish, the limit
//! stays near what was taken and grows slowly. If they stay, they are no matter of load but of the weather: the
//! limit is what it was, and that share of losses is usual from then on. Plain arithmetic; time and units are
//! the caller's.

mod throughput_probe;

use throughput_probe::ThroughputProbe;

/// A share of losses beyond what is usual that is not worth slowing down for: it costs less than finding out.
const IGNORED: f64 = 0.02;
/// What is sent of what was taken, to see whether losses answer: little enough that a server that was overloaded
/// shows none; and of that, where a burst may have been taken that never comes back.
const LOWER: f64 = 0.9;
const LOWER_STILL: f64 = 0.75;
/// Losses that would have come if they did not answer, before that is judged.
const ENOUGH: f64 = 4.0;
/// What remains of losses that do not answer, at the least: half, since the round that was cut had more than most.
const REMAINS: f64 = 0.5;
/// The most that is taken for weather: who loses more is not worth asking so much.
const MOST: f64 = 0.5;
/// The limit after losses that answered, of what was taken.
const NEAR: f64 = 0.97;
/// Growth after each round without trouble: by a hundredth where the limit is known, then twice as fast each time, for
/// the server may have recovered.
const STEP: f64 = 0.01;
const FASTER: f64 = 2.0;
/// Below this share of where losses answered, what is lost is usual.
const BELOW: f64 = 0.95;
const BEYOND: f64 = 1.1;
/// Requests that the usual share of losses is remembered over.
const REMEMBERED: f64 = 500.0;
/// Few requests say little of it: as many are thought to have lost none.
const DOUBT: f64 = 50.0;

/// What was sent for a while, and what became of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// Requests whose outcome is known, and those of them that were lost.
    pub(super) sent: f64,
    pub(super) lost: f64,
    /// How much was sent and how much of it taken, in the unit of the limit.
    pub(super) level: f64,
    pub(super) taken: f64,
    /// Answers a second.
    pub(super) rate: f64,
    /// One request more in it, in the unit of the limit.
    pub(super) one: f64,
    /// Whether more would have been sent if the limit allowed it.
    pub(super) used: bool,
}

/// Finds how much a server bears.
#[derive(Debug)]
pub(super) struct Controller {
    /// Nothing while nothing speaks for one.
    limit: Option<f64>,
    least: f64,
    most: f64,
    /// The share by which it grows at most once it is known.
    fastest: f64,
    growth: f64,
    /// Losses that do not answer to the limit.
    usual: Share,
    /// What was taken where losses last answered.
    ceiling: Option<f64>,
    /// What was sent in the last round without trouble.
    good: f64,
    trial: Option<Trial>,
    /// Looks whether more brings more, where a server may let requests wait.
    gain: Option<ThroughputProbe>,
}

/// Losses among requests.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    sent: f64,
    lost: f64,
}

/// Whether losses answer to a lower limit is being found out.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// The limit before it.
    before: Option<f64>,
    /// The share that was lost, and what was taken, at what was sent then.
    loss: f64,
    taken: f64,
    /// What came of the lower limit so far.
    seen: Share,
    /// Whether it is the second and lower one.
    again: bool,
}

impl Controller {
    /// One that holds nothing back until losses answer. From then on the limit is within `least` and `most`, and
    /// grows by no more than the share `fastest` where it is known.
    pub(super) fn open(least: f64, most: f64, fastest: f64) -> Self {
        Self {
            good: 0.0,
            fastest,
            limit: None,
            least,
            most,
            growth: STEP,
            usual: Share::default(),
            ceiling: None,
            trial: None,
            gain: None,
        }
    }

    /// Begins with `first` and doubles it until more brings no more, or losses.
    pub(super) fn seeking(self, first: f64) -> Self {
        let limit = Some(first.clamp(self.least, self.most));
        Self { limit, growth: 1.0, gain: Some(ThroughputProbe::default()), ..self }
    }

    /// How much may be sent.
    pub(super) fn limit(&self) -> Option<f64> {
        self.limit
    }

    /// Whether losses answered lately, or may: more of them would be made by sending more.
    pub(super) fn losses_answer(&self) -> bool {
        self.ceiling.is_some() || self.trial.is_some()
    }

    /// Whether a lower limit is no remedy, as far as is known: there is none, or it is or was lowered in vain.
    pub(super) fn is_in_vain(&self) -> bool {
        self.limit.is_some_and(|limit| limit <= self.least)
            || self.trial.is_some_and(|trial| trial.again)
            || self.usual_losses() > 2.0 * IGNORED
    }

    /// Takes account of a round that is over.
    pub(super) fn judge(&mut self, round: Round) {
        match self.trial.take() {
            Some(trial) => self.look_again(trial, round),
            None if self.is_too_much(round.sent, round.lost) => {
                let loss = round.lost / round.sent;
                let trial =
                    Trial { before: self.limit, loss, taken: 0.0, seen: Share::default(), again: false };
                // A server that has no burst refuses half of what is a little too much.
                let taken = round.taken.max(self.good.min(round.level));
                self.lower(trial, Round { taken, ..round }, LOWER);
            }
            None => self.clear(round),
        }
    }

    /// Sets the limit to what was seen to be taken otherwise, unless it is lower already.
    pub(super) fn set(&mut self, limit: f64) {
        let limit = (limit / (1.0 - self.usual_losses())).clamp(self.least, self.most);
        if self.limit.is_none_or(|present| limit < present) {
            self.limit = Some(limit);
            self.settle(limit);
        }
    }

    /// The share of losses that does not answer to the limit, as far as is known.
    pub(super) fn usual_losses(&self) -> f64 {
        (self.usual.lost / self.usual.sent.max(DOUBT)).min(MOST)
    }

    /// Begins with a limit that is hardly known, unless there is a lower one, and doubles it.
    pub(super) fn begin(&mut self, limit: f64) {
        if self.limit.is_none_or(|present| limit < present) {
            self.limit = Some(limit.clamp(self.least, self.most));
            (self.growth, self.trial) = (1.0, None);
        }
    }

    /// Sets the limit to what the server itself says.
    pub(super) fn steer(&mut self, limit: f64) {
        self.limit = Some(limit.clamp(self.least, self.most));
        self.trial = None;
    }

    /// Forgets the limit, which nobody has reached for long.
    pub(super) fn release(&mut self) {
        if self.trial.is_none() {
            (self.limit, self.ceiling) = (None, None);
        }
    }

    /// Whether more was lost than is usual, and than chance would have it.
    pub(super) fn is_too_much(&self, sent: f64, lost: f64) -> bool {
        let expected = sent * (self.usual_losses() + IGNORED);
        lost > expected + 2.0 * expected.sqrt() + 1.0
    }

    fn lower(&mut self, trial: Trial, round: Round, factor: f64) {
        // Of many that come at a time, hardly one is taken at first.
        let taken = round.taken.max(round.level / 10.0);
        self.limit = Some((taken * factor).clamp(self.least, self.most));
        self.trial = Some(Trial { taken: round.taken, seen: Share::default(), ..trial });
        self.forget_gain();
    }

    /// Judges what a lower limit brought, once there was enough of it.
    fn look_again(&mut self, mut trial: Trial, round: Round) {
        trial.seen.add(round.sent, round.lost);
        let expected = trial.seen.sent * trial.loss;
        if expected < ENOUGH {
            self.trial = Some(trial);
            return;
        }
        let is_fewer = trial.seen.lost < expected * REMAINS;
        if is_fewer && self.is_too_much(trial.seen.sent, trial.seen.lost) {
            self.lower(Trial { loss: trial.seen.share(), again: false, ..trial }, round, LOWER);
        } else if is_fewer {
            self.usual.note(trial.seen);
            let near = (trial.taken * NEAR).clamp(self.least, self.most);
            self.limit = self.limit.map(|limit| limit.max(near));
            self.settle(if trial.taken > 0.0 { trial.taken } else { near });
        } else if trial.again && trial.seen.share() <= MOST {
            self.usual.note(trial.seen);
            self.usual = self.usual.of(trial.seen.share());
            (self.limit, self.ceiling) = (trial.before, None);
            self.forget_gain();
        } else {
            self.lower(Trial { loss: trial.seen.share(), again: true, ..trial }, round, LOWER_STILL);
        }
    }

    fn clear(&mut self, round: Round) {
        if self.ceiling.is_none_or(|ceiling| round.level < ceiling * BELOW) {
            self.usual.note(Share { sent: round.sent, lost: round.lost });
        }
        // Where more is taken than when losses last answered, that is over.
        if round.used && self.ceiling.is_some_and(|ceiling| round.level > ceiling * BEYOND) {
            self.ceiling = None;
        }
        self.good = round.level;
        let Some(limit) = self.limit.filter(|_| round.used) else { return };
        let more = self.gain.as_mut().map(|gain| gain.judge(round, limit));
        match more {
            None | Some(throughput_probe::ProbeDecision::Grow) => self.grow(limit, round.one),
            Some(throughput_probe::ProbeDecision::Keep) => {}
            Some(throughput_probe::ProbeDecision::Set(limit)) => {
                self.growth = STEP;
                self.limit = Some(limit.clamp(self.least, self.most));
            }
        }
    }

    fn grow(&mut self, limit: f64, one: f64) {
        self.limit = Some((limit + (limit * self.growth).max(one)).min(self.most));
        if self.growth < self.fastest {
            self.growth = (self.growth * FASTER).min(self.fastest);
        }
    }

    /// Goes on from a limit that is known.
    fn settle(&mut self, ceiling: f64) {
        self.ceiling = Some(ceiling);
        self.growth = STEP;
        self.trial = None;
        self.forget_gain();
    }

    /// Compares with no earlier round any more.
    pub(super) fn forget_gain(&mut self) {
        if let Some(gain) = &mut self.gain {
            *gain = ThroughputProbe::default();
        }
    }
}

impl Share {
    fn share(self) -> f64 {
        if self.sent > 0.0 { self.lost / self.sent } else { 0.0 }
    }

    fn add(&mut self, sent: f64, lost: f64) {
        self.sent += sent;
        self.lost += lost;
    }

    /// Adds what was seen, for which older requests are forgotten.
    fn note(&mut self, seen: Self) {
        let kept = ((REMEMBERED - seen.sent) / self.sent.max(1.0)).clamp(0.0, 1.0);
        *self = Self { sent: self.sent * kept + seen.sent, lost: self.lost * kept + seen.lost };
    }

    /// As many requests with another share of losses.
    fn of(self, share: f64) -> Self {
        let sent = self.sent.max(DOUBT);
        Self { sent, lost: sent * share }
    }
}
