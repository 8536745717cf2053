//! The limits of the server: a rate limit, and a concurrency limit with a queue that `/metrics` shows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Notify;

use super::reply::Reply;
use super::script::Script;

/// How often a queue checks whether the capacity has changed with time.
const TICK: Duration = Duration::from_millis(20);

/// A rate limit: a token bucket.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    per_second: f64,
    /// The size of the bucket; a quarter of a second's worth by default.
    burst: Option<f64>,
    /// The reply to refused questions; 429 with `Retry-After: 1` by default.
    refusal: Option<Reply>,
}

/// A concurrency limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Capacity {
    /// Pairs of a second and the limit from then on; the first entry counts from the start.
    places: Vec<(f64, usize)>,
    /// What happens to questions beyond the limit.
    #[serde(default)]
    over: OverloadPolicy,
    /// Whether `/metrics` shows the queue.
    #[serde(default)]
    metrics: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OverloadPolicy {
    /// They wait.
    #[default]
    Wait,
    /// They are refused with 429.
    Refuse,
    /// They get no reply.
    Drop,
}

pub(super) struct AdmissionControl {
    start: Instant,
    rate: Option<Rate>,
    capacity: Option<Capacity>,
    state: Arc<Mutex<QueueState>>,
    /// Notified when a slot is released.
    freed: Arc<Notify>,
    /// Held by the question at the head of the queue.
    head: Arc<tokio::sync::Mutex<()>>,
}

struct QueueState {
    /// The tokens left in the bucket, as of `at`.
    level: f64,
    at: Instant,
    running: usize,
    waiting: usize,
}

/// Whether a question is admitted.
pub(super) enum Admission {
    Admitted(Slot),
    Refused(Box<Reply>),
    Dropped,
}

/// The slot of an admitted question, in the queue and then in progress.
pub(super) struct Slot {
    start: Instant,
    places: Option<Vec<(f64, usize)>>,
    state: Arc<Mutex<QueueState>>,
    freed: Arc<Notify>,
    head: Arc<tokio::sync::Mutex<()>>,
    running: bool,
}

impl AdmissionControl {
    pub(super) fn new(script: &Script) -> Self {
        let now = Instant::now();
        let level = script.rate.as_ref().map_or(0.0, Rate::burst);
        Self {
            start: now,
            rate: script.rate.clone(),
            capacity: script.capacity.clone(),
            state: Arc::new(Mutex::new(QueueState { level, at: now, running: 0, waiting: 0 })),
            freed: Arc::default(),
            head: Arc::default(),
        }
    }

    /// Returns the number of questions in progress or queued.
    pub(super) fn load(&self) -> usize {
        let state = lock(&self.state);
        state.running + state.waiting
    }

    /// Admits, refuses or drops a question.
    pub(super) fn enter(&self) -> Admission {
        let mut state = lock(&self.state);
        if let Some(rate) = &self.rate
            && !state.takes(rate)
        {
            let refusal = || Reply::error(429, "rate_limit_exceeded", "slow down").with("retry-after", "1");
            return Admission::Refused(Box::new(rate.refusal.clone().unwrap_or_else(refusal)));
        }
        if let Some(capacity) = &self.capacity {
            let full = state.running >= places(&capacity.places, self.start);
            match capacity.over {
                OverloadPolicy::Refuse if full => {
                    return Admission::Refused(Box::new(Reply::error(429, "overloaded", "no place")));
                }
                OverloadPolicy::Drop if full => return Admission::Dropped,
                OverloadPolicy::Wait | OverloadPolicy::Refuse | OverloadPolicy::Drop => {}
            }
        }
        state.waiting += 1;
        drop(state);
        Admission::Admitted(Slot {
            start: self.start,
            places: self.capacity.as_ref().map(|capacity| capacity.places.clone()),
            state: Arc::clone(&self.state),
            freed: Arc::clone(&self.freed),
            head: Arc::clone(&self.head),
            running: false,
        })
    }

    /// Returns the text of `/metrics`, in the format of vLLM, if enabled.
    pub(super) fn metrics_text(&self) -> Option<String> {
        self.capacity.as_ref().filter(|capacity| capacity.metrics)?;
        let state = lock(&self.state);
        let (running, waiting) = (state.running, state.waiting);
        Some(format!("vllm:num_requests_running {running}.0\nvllm:num_requests_waiting {waiting}.0\n"))
    }
}

impl Slot {
    /// Waits until the question may be processed.
    pub(super) async fn wait_for_turn(&mut self) {
        let head = Arc::clone(&self.head);
        let _head = head.lock().await;
        loop {
            let freed = self.freed.notified();
            {
                let mut state = lock(&self.state);
                let free = |list: &Vec<(f64, usize)>| state.running < places(list, self.start);
                if self.places.as_ref().is_none_or(free) {
                    state.waiting -= 1;
                    state.running += 1;
                    self.running = true;
                    return;
                }
            }
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let count = if self.running { &mut state.running } else { &mut state.waiting };
        *count -= 1;
        self.freed.notify_one();
    }
}

impl QueueState {
    fn takes(&mut self, rate: &Rate) -> bool {
        let now = Instant::now();
        let risen = rate.per_second * now.duration_since(self.at).as_secs_f64();
        (self.level, self.at) = ((self.level + risen).min(rate.burst()), now);
        if self.level < 1.0 {
            return false;
        }
        self.level -= 1.0;
        true
    }
}

impl Rate {
    fn burst(&self) -> f64 {
        self.burst.unwrap_or(self.per_second / 4.0).max(1.0)
    }
}

fn places(steps: &[(f64, usize)], start: Instant) -> usize {
    let seconds = start.elapsed().as_secs_f64();
    let passed = steps.iter().take_while(|(from, _)| *from <= seconds).last();
    passed.or(steps.first()).map_or(usize::MAX, |(_, places)| *places)
}

fn lock(state: &Mutex<QueueState>) -> MutexGuard<'_, QueueState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
