//! The endpoints of one model: which of them gets the next request, and how each is doing.
//!
//! Each attempt takes a `EndpointLease` here and tells how it ended. Requests that begin alike get it at the same endpoint,
//! others at the one with less to do of two (`choose`); one that keeps failing gets none for a while (`breaker`); how
//! many requests each may have is declared or found (`places`). What a provider meters is `quota`'s affair.

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
use breaker::Breaker;
pub(super) use choose::Wish;
use choose::{Candidate, choose};
use concurrency::ConcurrencyLimit;
pub(super) use queue_metrics::read as read_queue;

/// The endpoints of one model.
pub(super) struct Endpoints {
    model: String,
    list: Vec<Endpoint>,
    chance: Mutex<Jitter>,
    /// Held by the request that is next; the others queue up behind it in order.
    head: tokio::sync::Mutex<()>,
    /// Tells the request at the head that a place came free.
    changed: Notify,
}

struct Endpoint {
    address: Address,
    /// A hash of it, the same in every run.
    hash: u64,
    health: Mutex<Health>,
}

struct Health {
    breaker: Breaker,
    places: ConcurrencyLimit,
    /// Places given and not yet back; some of them wait for the quota.
    held: u32,
    /// Requests sent and not yet ended.
    in_flight: u32,
    /// Places given so far.
    given: u64,
    /// Requests sent so far.
    sent: u64,
    answered: u64,
    failed: u64,
    /// It answered since it last failed every time.
    answers: bool,
}

/// How an attempt ended, as far as the endpoint is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    /// It answered, be it with a refusal of the question.
    Good,
    /// It has no room, and may have said when it will.
    Refused(Option<Duration>),
    /// The account has no room, or it is not known to be the endpoint that has none; then it may be of how many came
    /// at a time.
    Throttled { counts_places: bool },
    /// It failed.
    Bad,
}

/// One request's place at an endpoint. Dropped without a word, it says nothing of the endpoint.
pub(super) struct EndpointLease {
    endpoints: Arc<Endpoints>,
    index: usize,
    /// The attempt's number at its endpoint and when it was sent, once it is.
    sent: Option<(u64, Instant)>,
    /// It sees whether the endpoint is back.
    is_probe: bool,
    ended: bool,
}

/// What `status` shows of an endpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointFigures {
    /// The model's name in the pipeline.
    pub model: String,
    /// The base URL, without password.
    pub url: String,
    /// `up`; `down`, after several failures in a row; `probing`, when one request sees whether it is back.
    pub state: Cow<'static, str>,
    /// Requests under way.
    pub in_flight: u32,
    /// Requests it may have at a time, where that is being found.
    pub limit: Option<u32>,
    /// Attempts that it answered.
    pub answered: u64,
    /// Attempts that failed.
    pub failed: u64,
}

impl Endpoints {
    pub(super) fn new(
        model: &str,
        addresses: Vec<Address>,
        concurrency: Concurrency,
        chance: Jitter,
    ) -> Arc<Self> {
        let share = u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let places = || match concurrency {
            Concurrency::Fixed(places) => ConcurrencyLimit::declared(places.div_ceil(share).max(1), places),
            Concurrency::Auto => ConcurrencyLimit::auto(Concurrency::Auto.most()),
        };
        let list = addresses.into_iter().map(|address| Endpoint {
            hash: affinity(address.base.as_str().as_bytes()),
            address,
            health: Mutex::new(Health {
                breaker: Breaker::Up(0),
                places: places(),
                held: 0,
                in_flight: 0,
                given: 0,
                sent: 0,
                answered: 0,
                failed: 0,
                answers: false,
            }),
        });
        Arc::new(Self {
            model: model.to_owned(),
            list: list.collect(),
            chance: Mutex::new(chance),
            head: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Waits for a place at the endpoint that can best use one more request.
    pub(super) async fn place(self: &Arc<Self>, wish: Wish) -> EndpointLease {
        let _head = self.head.lock().await;
        loop {
            let changed = self.changed.notified();
            if let Some(place) = self.try_place(wish) {
                return place;
            }
            // One that is due and has no room yet waits for that.
            let now = Instant::now();
            let due = self.list.iter().filter_map(|endpoint| endpoint.health().breaker.due());
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

    /// A place, if there is one now.
    pub(super) fn try_place(self: &Arc<Self>, wish: Wish) -> Option<EndpointLease> {
        let index = self.choose(wish, Instant::now())?;
        let mut health = self.list[index].health();
        let is_probe = health.breaker.begin();
        health.held += 1;
        health.given += 1;
        Some(EndpointLease { endpoints: Arc::clone(self), index, sent: None, is_probe, ended: false })
    }

    fn choose(&self, wish: Wish, now: Instant) -> Option<usize> {
        let mut up = Vec::with_capacity(self.list.len());
        for (index, endpoint) in self.list.iter().enumerate() {
            let health = endpoint.health();
            if health.breaker.lets(now) {
                up.push(Candidate {
                    index,
                    address: endpoint.hash,
                    held: health.held,
                    limit: health.places.now(),
                    has_room: health.places.has_room(health.held),
                    given: health.given,
                });
            }
        }
        choose(&up, wish, &mut self.chance.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The endpoints at this moment.
    pub(super) fn figures(&self) -> Vec<EndpointFigures> {
        let figures = |endpoint: &Endpoint| {
            let health = endpoint.health();
            EndpointFigures {
                model: self.model.clone(),
                url: endpoint.address.shown.clone(),
                state: health.breaker.word().into(),
                in_flight: health.in_flight,
                limit: health.places.found(),
                answered: health.answered,
                failed: health.failed,
            }
        };
        self.list.iter().map(figures).collect()
    }

    /// Where each endpoint tells of its queue.
    pub(super) fn queues(&self) -> Vec<Url> {
        self.list.iter().map(|endpoint| queue_metrics::address(&endpoint.address.base)).collect()
    }

    /// Notes that endpoint `index` tells of its queue no more.
    pub(super) fn forget_queue(&self, index: usize) {
        self.list[index].health().places.forget_queue();
    }

    /// Notes what endpoint `index` says of its queue.
    pub(super) fn note_queue(&self, index: usize, running: f64, waiting: f64) {
        self.list[index].health().places.queue(running, waiting);
        self.changed.notify_one();
    }
}

/// The hash of what is hashed to choose an endpoint.
pub(crate) fn affinity(of: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(of).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

impl Endpoint {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Whether the endpoint went down since the place was given.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.endpoints.list[self.index].health().breaker, Breaker::Down { .. })
    }

    /// Whether there are other endpoints.
    pub(super) fn has_others(&self) -> bool {
        self.endpoints.len() > 1
    }

    /// Whether another endpoint answers, as far as is known.
    pub(super) fn others_answer(&self) -> bool {
        let others = self.endpoints.list.iter().enumerate().filter(|(index, _)| *index != self.index);
        others.into_iter().any(|(_, endpoint)| endpoint.health().answers)
    }

    /// Whether the endpoint's places are being found, and can be fewer.
    pub(super) fn can_shrink(&self) -> bool {
        self.endpoints.list[self.index].health().places.can_shrink()
    }

    /// The request is sent now.
    pub(super) fn begin(&mut self) {
        let mut health = self.endpoints.list[self.index].health();
        health.in_flight += 1;
        self.sent = Some((health.sent, Instant::now()));
        health.sent += 1;
        let in_flight = health.in_flight;
        health.places.sent(in_flight);
    }

    /// The request has ended. Gives whether losses answer to how many the endpoint gets at a time.
    pub(super) fn end(mut self, outcome: AttemptOutcome) -> bool {
        self.ended = true;
        let now = Instant::now();
        let endpoint = &self.endpoints.list[self.index];
        let mut health = endpoint.health();
        let (number, at) = self.sent.unwrap_or((health.sent, now));
        let next = health.sent;
        let was_up = health.breaker.word() == "up";
        match outcome {
            AttemptOutcome::Good => {
                health.answered += 1;
                health.answers = true;
                health.places.answered(number, next, now.saturating_duration_since(at), now);
                if !was_up && self.endpoints.list.len() > 1 {
                    info!(url = endpoint.address.shown, "the endpoint is back");
                }
                health.breaker.good();
            }
            AttemptOutcome::Throttled { counts_places } => {
                health.failed += 1;
                match counts_places && health.places.are_found() {
                    true => health.places.lost(number, next, now),
                    false => health.places.throttled(),
                }
                self.unknown(&mut health, now);
            }
            AttemptOutcome::Refused(asked) => {
                health.failed += 1;
                health.places.lost(number, next, now);
                // One that is alone is not left alone.
                match self.endpoints.list.len() {
                    1 => self.unknown(&mut health, now),
                    _ => self.note_failure(&mut health, asked, now),
                }
            }
            AttemptOutcome::Bad => {
                health.failed += 1;
                if health.places.are_found() {
                    health.places.lost(number, next, now);
                }
                self.note_failure(&mut health, None, now);
            }
        }
        health.places.losses_answer()
    }

    /// Says nothing of the endpoint: where this one was to see, another may.
    fn unknown(&self, health: &mut Health, now: Instant) {
        if self.is_probe {
            health.breaker.unknown(now);
        }
    }

    fn note_failure(&self, health: &mut Health, asked: Option<Duration>, now: Instant) {
        let was_up = health.breaker.word() == "up";
        if !health.breaker.bad(asked, now) {
            return;
        }
        health.answers = false;
        if was_up {
            let url = &self.address().shown;
            let model = &self.endpoints.model;
            warn!(model, url, "the endpoint fails every time; it is left alone for a while");
        }
    }
}

impl Drop for EndpointLease {
    fn drop(&mut self) {
        let mut health = self.endpoints.list[self.index].health();
        health.held -= 1;
        if self.sent.is_some() {
            health.in_flight -= 1;
        }
        if !self.ended {
            self.unknown(&mut health, Instant::now());
        }
        drop(health);
        self.endpoints.changed.notify_one();
    }
}
