//! The endpoints of one model: which of them gets the next request, and the state of each.
//!
//! Each attempt acquires an `EndpointLease` and reports its outcome through it. Requests with a common prefix go to the
//! same endpoint, others to the less loaded of two (`choose`). An endpoint that keeps failing gets no requests for a
//! while (`breaker`). How many requests each may have is declared or discovered (`concurrency`). Provider quotas are in
//! `quota`.

mod address;
mod breaker;
mod choose;
mod concurrency;
mod queue_metrics;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use super::jitter::Jitter;
use crate::pipeline::Concurrency;
pub(super) use address::Address;
use breaker::CircuitBreaker;
pub(super) use choose::EndpointPreference;
use choose::{Candidate, choose};
use concurrency::ConcurrencyLimit;
pub(super) use queue_metrics::read as read_queue;

/// The endpoints of one model.
pub(super) struct Endpoints {
    model: String,
    list: Vec<Endpoint>,
    jitter: Mutex<Jitter>,
    /// Held by the request at the head of the queue; the others wait behind it in order.
    head: tokio::sync::Mutex<()>,
    /// Wakes the request at the head when a lease was returned.
    changed: Notify,
}

struct Endpoint {
    address: Address,
    /// A hash of the address, the same in every run.
    hash: u64,
    state: Mutex<EndpointState>,
}

struct EndpointState {
    breaker: CircuitBreaker,
    concurrency: ConcurrencyLimit,
    /// Leases held; some of them wait for the quota.
    held: u32,
    /// Requests in flight.
    in_flight: u32,
    /// Leases granted so far.
    granted: u64,
    /// Requests sent so far.
    sent: u64,
    answered: u64,
    failed: u64,
    /// Whether it answered since it last went down.
    responds: bool,
}

/// The outcome of an attempt, as far as the endpoint is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    /// It answered, even if with a refusal of the question.
    Answered,
    /// It is overloaded, and may have said for how long.
    Refused(Option<Duration>),
    /// The account is throttled, or it is unknown whether the endpoint is overloaded; in the latter case the number of
    /// concurrent requests may be the reason.
    Throttled { counts_concurrency: bool },
    /// It failed.
    Failed,
}

/// One request's lease of an endpoint. Dropping it without `finish` says nothing about the endpoint.
pub(super) struct EndpointLease {
    endpoints: Arc<Endpoints>,
    index: usize,
    /// The attempt's number at its endpoint and when it was sent; none before.
    sent: Option<(u64, Instant)>,
    /// Whether it probes if the endpoint is back.
    is_probe: bool,
    ended: bool,
}

/// The figures of an endpoint that `status` shows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointFigures {
    /// The model's name in the pipeline.
    pub model: String,
    /// The base URL, without password.
    pub url: String,
    /// `up`; `down`, after several failures in a row; `probing`, while one request tests whether it is back.
    pub state: Cow<'static, str>,
    /// Requests in flight.
    pub in_flight: u32,
    /// The discovered limit of concurrent requests, if there is one.
    pub limit: Option<u32>,
    /// Answered attempts.
    pub answered: u64,
    /// Failed attempts.
    pub failed: u64,
}

impl Endpoints {
    pub(super) fn new(
        model: &str,
        addresses: Vec<Address>,
        concurrency: Concurrency,
        jitter: Jitter,
    ) -> Arc<Self> {
        let share = u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let limit = || match concurrency {
            Concurrency::Fixed(places) => ConcurrencyLimit::declared(places.div_ceil(share).max(1), places),
            Concurrency::Auto => ConcurrencyLimit::auto(Concurrency::Auto.most()),
        };
        let list = addresses.into_iter().map(|address| Endpoint {
            hash: affinity(address.base.as_str().as_bytes()),
            address,
            state: Mutex::new(EndpointState {
                breaker: CircuitBreaker::Up(0),
                concurrency: limit(),
                held: 0,
                in_flight: 0,
                granted: 0,
                sent: 0,
                answered: 0,
                failed: 0,
                responds: false,
            }),
        });
        Arc::new(Self {
            model: model.to_owned(),
            list: list.collect(),
            jitter: Mutex::new(jitter),
            head: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Waits for a lease of the endpoint that suits the request best.
    pub(super) async fn acquire(self: &Arc<Self>, preference: EndpointPreference) -> EndpointLease {
        let _head = self.head.lock().await;
        loop {
            let changed = self.changed.notified();
            if let Some(place) = self.try_acquire(preference) {
                return place;
            }
            // An endpoint that may be probed but has no room yet changes only when a lease returns.
            let now = Instant::now();
            let due = self.list.iter().filter_map(|endpoint| endpoint.state().breaker.next_change());
            let due = due.filter(|due| *due > now).min();
            match due {
                None => changed.await,
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = changed => {}
                },
            }
        }
    }

    /// Returns a lease if one is available now.
    pub(super) fn try_acquire(self: &Arc<Self>, preference: EndpointPreference) -> Option<EndpointLease> {
        let index = self.choose(preference, Instant::now())?;
        let mut state = self.list[index].state();
        let is_probe = state.breaker.begin();
        state.held += 1;
        state.granted += 1;
        Some(EndpointLease { endpoints: Arc::clone(self), index, sent: None, is_probe, ended: false })
    }

    fn choose(&self, preference: EndpointPreference, now: Instant) -> Option<usize> {
        let mut up = Vec::with_capacity(self.list.len());
        for (index, endpoint) in self.list.iter().enumerate() {
            let state = endpoint.state();
            if state.breaker.allows(now) {
                up.push(Candidate {
                    index,
                    address: endpoint.hash,
                    held: state.held,
                    limit: state.concurrency.current(),
                    has_room: state.concurrency.has_room(state.held),
                    granted: state.granted,
                });
            }
        }
        choose(&up, preference, &mut self.jitter.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the current figures of all endpoints.
    pub(super) fn figures(&self) -> Vec<EndpointFigures> {
        let figures = |endpoint: &Endpoint| {
            let state = endpoint.state();
            EndpointFigures {
                model: self.model.clone(),
                url: endpoint.address.shown.clone(),
                state: state.breaker.label().into(),
                in_flight: state.in_flight,
                limit: state.concurrency.discovered(),
                answered: state.answered,
                failed: state.failed,
            }
        };
        self.list.iter().map(figures).collect()
    }

    /// Returns the address of each endpoint's queue metrics.
    pub(super) fn queues(&self) -> Vec<Url> {
        self.list.iter().map(|endpoint| queue_metrics::address(&endpoint.address.base)).collect()
    }

    /// Records that endpoint `index` no longer reports its queue.
    pub(super) fn forget_queue(&self, index: usize) {
        self.list[index].state().concurrency.forget_queue();
    }

    /// Records what endpoint `index` reports about its queue.
    pub(super) fn note_queue(&self, index: usize, running: f64, waiting: f64) {
        self.list[index].state().concurrency.record_queue(running, waiting);
        self.changed.notify_one();
    }
}

/// The hash by which an endpoint is chosen.
pub(crate) fn affinity(of: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(of).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

impl Endpoint {
    fn state(&self) -> MutexGuard<'_, EndpointState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndpointLease {
    pub(super) fn address(&self) -> &Address {
        &self.endpoints.list[self.index].address
    }

    /// The endpoint's number in `base_urls`, from 1.
    pub(super) fn number(&self) -> u32 {
        u32::try_from(self.index + 1).unwrap_or(u32::MAX)
    }

    /// Whether the endpoint went down since the lease was granted.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.endpoints.list[self.index].state().breaker, CircuitBreaker::Down { .. })
    }

    /// Whether there are other endpoints.
    pub(super) fn has_others(&self) -> bool {
        self.endpoints.len() > 1
    }

    /// Whether another endpoint is known to respond.
    pub(super) fn others_respond(&self) -> bool {
        let others = self.endpoints.list.iter().enumerate().filter(|(index, _)| *index != self.index);
        others.into_iter().any(|(_, endpoint)| endpoint.state().responds)
    }

    /// Whether the endpoint's concurrency limit is adaptive and can be lowered.
    pub(super) fn can_decrease(&self) -> bool {
        self.endpoints.list[self.index].state().concurrency.can_decrease()
    }

    /// Records that the request is sent.
    pub(super) fn mark_sent(&mut self) {
        let mut state = self.endpoints.list[self.index].state();
        state.in_flight += 1;
        self.sent = Some((state.sent, Instant::now()));
        state.sent += 1;
        let in_flight = state.in_flight;
        state.concurrency.record_sent(in_flight);
    }

    /// Records the outcome of the request. Returns whether losses depend on the endpoint's concurrency.
    pub(super) fn finish(mut self, outcome: AttemptOutcome) -> bool {
        self.ended = true;
        let now = Instant::now();
        let endpoint = &self.endpoints.list[self.index];
        let mut state = endpoint.state();
        let (number, at) = self.sent.unwrap_or((state.sent, now));
        let next = state.sent;
        let was_up = state.breaker.label() == "up";
        match outcome {
            AttemptOutcome::Answered => {
                state.answered += 1;
                state.responds = true;
                state.concurrency.record_answered(number, next, now.saturating_duration_since(at), now);
                if !was_up && self.endpoints.list.len() > 1 {
                    info!(url = endpoint.address.shown, "the endpoint is back");
                }
                state.breaker.record_success();
            }
            AttemptOutcome::Throttled { counts_concurrency } => {
                state.failed += 1;
                match counts_concurrency && state.concurrency.is_adaptive() {
                    true => state.concurrency.record_lost(number, next, now),
                    false => state.concurrency.record_throttled(),
                }
                self.unknown(&mut state, now);
            }
            AttemptOutcome::Refused(asked) => {
                state.failed += 1;
                state.concurrency.record_lost(number, next, now);
                // The only endpoint is not suspended.
                match self.endpoints.list.len() {
                    1 => self.unknown(&mut state, now),
                    _ => self.note_failure(&mut state, asked, now),
                }
            }
            AttemptOutcome::Failed => {
                state.failed += 1;
                if state.concurrency.is_adaptive() {
                    state.concurrency.record_lost(number, next, now);
                }
                self.note_failure(&mut state, None, now);
            }
        }
        state.concurrency.losses_depend_on_limit()
    }

    /// Records an outcome that says nothing about the endpoint: if this was a probe, another one may follow.
    fn unknown(&self, state: &mut EndpointState, now: Instant) {
        if self.is_probe {
            state.breaker.record_unknown(now);
        }
    }

    fn note_failure(&self, state: &mut EndpointState, asked: Option<Duration>, now: Instant) {
        let was_up = state.breaker.label() == "up";
        if !state.breaker.record_failure(asked, now) {
            return;
        }
        state.responds = false;
        if was_up {
            let url = &self.address().shown;
            let model = &self.endpoints.model;
            warn!(model, url, "the endpoint fails every time; it is left alone for a while");
        }
    }
}

impl Drop for EndpointLease {
    fn drop(&mut self) {
        let mut state = self.endpoints.list[self.index].state();
        state.held -= 1;
        if self.sent.is_some() {
            state.in_flight -= 1;
        }
        if !self.ended {
            self.unknown(&mut state, Instant::now());
        }
        drop(state);
        self.endpoints.changed.notify_one();
    }
}
