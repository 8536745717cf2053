//! Congestion control: one controller for the request rate of a quota and for the concurrency of an endpoint.
//!
//! `quota/rate` and `endpoints/concurrency` measure rounds, each in its own unit, and ask for the limit. What counts is
//! the accepted load, as in BBR, and whether losses depend on the limit: when a round loses more than the base loss,
//! the limit is lowered below the accepted load and the losses are measured again (a trial). If they vanish, the limit
//! stays near the accepted load and grows slowly. If they persist, they are transient faults unrelated to load: the
//! limit is restored, and that share of losses becomes the base loss. Pure arithmetic; time and units are the caller's.

mod throughput_probe;

use throughput_probe::ThroughputProbe;

/// The share of losses above the base loss that is tolerated: it costs less than a trial.
const TOLERATED_LOSS: f64 = 0.02;
/// The limit of a trial, relative to the accepted load: low enough that a server that was overloaded shows no losses.
/// `SECOND_TRIAL_FACTOR` is for a second trial, since the accepted load may have contained a burst that never comes back.
const TRIAL_FACTOR: f64 = 0.9;
const SECOND_TRIAL_FACTOR: f64 = 0.75;
/// The number of losses to expect, if they do not depend on the limit, before a trial is judged.
const MIN_EXPECTED_LOSSES: f64 = 4.0;
/// The least share of losses that remains in a trial if they do not depend on the limit: half, since the round that
/// caused the trial had more than most.
const PERSISTENT_SHARE: f64 = 0.5;
/// The highest share that is accepted as base loss: a server that loses more is not worth that load.
const MAX_BASE_LOSS: f64 = 0.5;
/// The limit after a trial in which the losses vanished, relative to the accepted load.
const RECOVERED_FACTOR: f64 = 0.97;
/// Growth after each clear round: by a hundredth where the limit is known, then twice as fast each time, since the
/// server may have recovered.
const INITIAL_GROWTH: f64 = 0.01;
const GROWTH_FACTOR: f64 = 2.0;
/// Below this share of the ceiling, losses count towards the base loss; beyond `ABOVE_CEILING`, the ceiling is obsolete.
const BELOW_CEILING: f64 = 0.95;
const ABOVE_CEILING: f64 = 1.1;
/// The number of requests over which the base loss is averaged.
const MEMORY: f64 = 500.0;
/// Requests without losses that are assumed at first, since a few requests say little about the base loss.
const PRIOR_REQUESTS: f64 = 50.0;

/// A round: what was sent for a while, and its outcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// Requests whose outcome is known, and how many of them were lost.
    pub(super) sent: f64,
    pub(super) lost: f64,
    /// The load that was sent, and the accepted part of it, in the unit of the limit.
    pub(super) level: f64,
    pub(super) taken: f64,
    /// Answers per second.
    pub(super) rate: f64,
    /// The weight of one more request, in the unit of the limit.
    pub(super) one: f64,
    /// Whether the limit was used: more would have been sent without it.
    pub(super) used: bool,
}

/// Finds how much load a server sustains.
#[derive(Debug)]
pub(super) struct Controller {
    /// None while there is no sign of congestion.
    limit: Option<f64>,
    least: f64,
    most: f64,
    /// The highest growth per round once the limit is known, as a share.
    fastest: f64,
    growth: f64,
    /// The base loss: losses that do not depend on the limit.
    base: LossShare,
    /// The accepted load when losses last depended on the limit.
    ceiling: Option<f64>,
    /// The load of the last clear round.
    good: f64,
    trial: Option<Trial>,
    /// Tests whether more load brings more throughput, for servers that queue requests.
    probe: Option<ThroughputProbe>,
}

/// The losses among a number of requests.
#[derive(Debug, Clone, Copy, Default)]
struct LossShare {
    sent: f64,
    lost: f64,
}

/// A trial of whether losses depend on the limit.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// The limit before the trial.
    before: Option<f64>,
    /// The share of losses and the accepted load before the trial.
    loss: f64,
    taken: f64,
    /// What was seen at the lower limit so far.
    seen: LossShare,
    /// Whether it is the second trial, with the lower limit.
    again: bool,
}

impl Controller {
    /// Creates a controller without a limit until losses depend on one. From then on the limit is within `least` and
    /// `most`, and grows by at most the share `fastest` per round once it is known.
    pub(super) fn open(least: f64, most: f64, fastest: f64) -> Self {
        Self {
            good: 0.0,
            fastest,
            limit: None,
            least,
            most,
            growth: INITIAL_GROWTH,
            base: LossShare::default(),
            ceiling: None,
            trial: None,
            probe: None,
        }
    }

    /// Starts with the limit `first` and doubles it until that brings no more throughput, or losses.
    pub(super) fn seeking(self, first: f64) -> Self {
        let limit = Some(first.clamp(self.least, self.most));
        Self { limit, growth: 1.0, probe: Some(ThroughputProbe::default()), ..self }
    }

    /// Returns the load that may be sent.
    pub(super) fn limit(&self) -> Option<f64> {
        self.limit
    }

    /// Whether losses depended on the limit lately, or may: sending more would cause more of them.
    pub(super) fn losses_depend_on_limit(&self) -> bool {
        self.ceiling.is_some() || self.trial.is_some()
    }

    /// Whether lowering the limit does not help, as far as is known: it cannot be lowered, or was lowered in vain.
    pub(super) fn is_in_vain(&self) -> bool {
        self.limit.is_some_and(|limit| limit <= self.least)
            || self.trial.is_some_and(|trial| trial.again)
            || self.base_loss() > 2.0 * TOLERATED_LOSS
    }

    /// Adjusts the limit by a completed round.
    pub(super) fn judge(&mut self, round: Round) {
        match self.trial.take() {
            Some(trial) => self.judge_trial(trial, round),
            None if self.is_too_much(round.sent, round.lost) => {
                let loss = round.lost / round.sent;
                let trial =
                    Trial { before: self.limit, loss, taken: 0.0, seen: LossShare::default(), again: false };
                // A server without a burst refuses half of a load that is only slightly too high.
                let taken = round.taken.max(self.good.min(round.level));
                self.lower(trial, Round { taken, ..round }, TRIAL_FACTOR);
            }
            None => self.record_clear_round(round),
        }
    }

    /// Sets the limit to an accepted load that was measured elsewhere, unless it is lower already.
    pub(super) fn set(&mut self, limit: f64) {
        let limit = (limit / (1.0 - self.base_loss())).clamp(self.least, self.most);
        if self.limit.is_none_or(|present| limit < present) {
            self.limit = Some(limit);
            self.settle(limit);
        }
    }

    /// Returns the share of losses that does not depend on the limit, as far as is known.
    pub(super) fn base_loss(&self) -> f64 {
        (self.base.lost / self.base.sent.max(PRIOR_REQUESTS)).min(MAX_BASE_LOSS)
    }

    /// Starts with an uncertain limit, unless there is a lower one, and doubles it.
    pub(super) fn begin(&mut self, limit: f64) {
        if self.limit.is_none_or(|present| limit < present) {
            self.limit = Some(limit.clamp(self.least, self.most));
            (self.growth, self.trial) = (1.0, None);
        }
    }

    /// Sets the limit by what the server itself reports.
    pub(super) fn steer(&mut self, limit: f64) {
        self.limit = Some(limit.clamp(self.least, self.most));
        self.trial = None;
    }

    /// Drops the limit, which has not been reached for long.
    pub(super) fn release(&mut self) {
        if self.trial.is_none() {
            (self.limit, self.ceiling) = (None, None);
        }
    }

    /// Whether significantly more than the base loss was lost.
    pub(super) fn is_too_much(&self, sent: f64, lost: f64) -> bool {
        let expected = sent * (self.base_loss() + TOLERATED_LOSS);
        lost > expected + 2.0 * expected.sqrt() + 1.0
    }

    fn lower(&mut self, trial: Trial, round: Round, factor: f64) {
        // Of many requests that arrive at once, hardly one is accepted at first.
        let taken = round.taken.max(round.level / 10.0);
        self.limit = Some((taken * factor).clamp(self.least, self.most));
        self.trial = Some(Trial { taken: round.taken, seen: LossShare::default(), ..trial });
        self.reset_probe();
    }

    /// Judges a trial once there are enough requests.
    fn judge_trial(&mut self, mut trial: Trial, round: Round) {
        trial.seen.add(round.sent, round.lost);
        let expected = trial.seen.sent * trial.loss;
        if expected < MIN_EXPECTED_LOSSES {
            self.trial = Some(trial);
            return;
        }
        let is_fewer = trial.seen.lost < expected * PERSISTENT_SHARE;
        if is_fewer && self.is_too_much(trial.seen.sent, trial.seen.lost) {
            self.lower(Trial { loss: trial.seen.share(), again: false, ..trial }, round, TRIAL_FACTOR);
        } else if is_fewer {
            self.base.absorb(trial.seen);
            let near = (trial.taken * RECOVERED_FACTOR).clamp(self.least, self.most);
            self.limit = self.limit.map(|limit| limit.max(near));
            self.settle(if trial.taken > 0.0 { trial.taken } else { near });
        } else if trial.again && trial.seen.share() <= MAX_BASE_LOSS {
            self.base.absorb(trial.seen);
            self.base = self.base.of(trial.seen.share());
            (self.limit, self.ceiling) = (trial.before, None);
            self.reset_probe();
        } else {
            self.lower(Trial { loss: trial.seen.share(), again: true, ..trial }, round, SECOND_TRIAL_FACTOR);
        }
    }

    fn record_clear_round(&mut self, round: Round) {
        if self.ceiling.is_none_or(|ceiling| round.level < ceiling * BELOW_CEILING) {
            self.base.absorb(LossShare { sent: round.sent, lost: round.lost });
        }
        // If more is accepted than at the ceiling, that is obsolete.
        if round.used && self.ceiling.is_some_and(|ceiling| round.level > ceiling * ABOVE_CEILING) {
            self.ceiling = None;
        }
        self.good = round.level;
        let Some(limit) = self.limit.filter(|_| round.used) else { return };
        let more = self.probe.as_mut().map(|probe| probe.judge(round, limit));
        match more {
            None | Some(throughput_probe::ProbeDecision::Grow) => self.grow(limit, round.one),
            Some(throughput_probe::ProbeDecision::Keep) => {}
            Some(throughput_probe::ProbeDecision::Set(limit)) => {
                self.growth = INITIAL_GROWTH;
                self.limit = Some(limit.clamp(self.least, self.most));
            }
        }
    }

    fn grow(&mut self, limit: f64, one: f64) {
        self.limit = Some((limit + (limit * self.growth).max(one)).min(self.most));
        if self.growth < self.fastest {
            self.growth = (self.growth * GROWTH_FACTOR).min(self.fastest);
        }
    }

    /// Continues from a known limit.
    fn settle(&mut self, ceiling: f64) {
        self.ceiling = Some(ceiling);
        self.growth = INITIAL_GROWTH;
        self.trial = None;
        self.reset_probe();
    }

    /// Forgets earlier rounds, so that throughput is not compared with theirs.
    pub(super) fn reset_probe(&mut self) {
        if let Some(probe) = &mut self.probe {
            *probe = ThroughputProbe::default();
        }
    }
}

impl LossShare {
    fn share(self) -> f64 {
        if self.sent > 0.0 { self.lost / self.sent } else { 0.0 }
    }

    fn add(&mut self, sent: f64, lost: f64) {
        self.sent += sent;
        self.lost += lost;
    }

    /// Adds new requests, and forgets older ones in exchange.
    fn absorb(&mut self, seen: Self) {
        let kept = ((MEMORY - seen.sent) / self.sent.max(1.0)).clamp(0.0, 1.0);
        *self = Self { sent: self.sent * kept + seen.sent, lost: self.lost * kept + seen.lost };
    }

    /// Returns the same number of requests with another share of losses.
    fn of(self, share: f64) -> Self {
        let sent = self.sent.max(PRIOR_REQUESTS);
        Self { sent, lost: sent * share }
    }
}
