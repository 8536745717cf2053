//! The limits of the server: questions a second, and questions at a time, with a queue that `/metrics` shows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Notify;

use super::reply::Reply;
use super::script::Script;

/// How often a queue looks whether the capacity has changed with time.
const TICK: Duration = Duration::from_millis(20);

/// Questions a second.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    per_second: f64,
    /// Questions that may come at once after a pause; a quarter of a second's worth without it.
    burst: Option<f64>,
    /// What is replied to the others; 429 with `Retry-After: 1` without it.
    refusal: Option<Reply>,
}

/// Questions at a time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Capacity {
    /// From which second on how many; the first entry counts from the start.
    places: Vec<(f64, usize)>,
    /// What becomes of those that exceed it.
    #[serde(default)]
    over: Over,
    /// Whether `/metrics` tells of the queue.
    #[serde(default)]
    metrics: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Over {
    /// They wait.
    #[default]
    Wait,
    /// They are refused with 429.
    Refuse,
    /// They get no reply.
    Drop,
}

pub(super) struct Traffic {
    start: Instant,
    rate: Option<Rate>,
    capacity: Option<Capacity>,
    state: Arc<Mutex<State>>,
    /// A place came free.
    freed: Arc<Notify>,
    /// Held by the question that is next.
    head: Arc<tokio::sync::Mutex<()>>,
}

struct State {
    /// What is left of the burst, and since when.
    level: f64,
    at: Instant,
    running: usize,
    waiting: usize,
}

/// What becomes of a question.
pub(super) enum Way {
    In(Visit),
    Refused(Box<Reply>),
    Dropped,
}

/// A question's stay at the server.
pub(super) struct Visit {
    start: Instant,
    places: Option<Vec<(f64, usize)>>,
    state: Arc<Mutex<State>>,
    freed: Arc<Notify>,
    head: Arc<tokio::sync::Mutex<()>>,
    running: bool,
}

impl Traffic {
    pub(super) fn new(script: &Script) -> Self {
        let now = Instant::now();
        let level = script.rate.as_ref().map_or(0.0, Rate::burst);
        Self {
            start: now,
            rate: script.rate.clone(),
            capacity: script.capacity.clone(),
            state: Arc::new(Mutex::new(State { level, at: now, running: 0, waiting: 0 })),
            freed: Arc::default(),
            head: Arc::default(),
        }
    }

    /// Questions under way.
    pub(super) fn load(&self) -> usize {
        let state = lock(&self.state);
        state.running + state.waiting
    }

    /// Lets a question in, or says what becomes of it.
    pub(super) fn enter(&self) -> Way {
        let mut state = lock(&self.state);
        if let Some(rate) = &self.rate
            && !state.takes(rate)
        {
            let refusal = || Reply::error(429, "rate_limit_exceeded", "slow down").with("retry-after", "1");
            return Way::Refused(Box::new(rate.refusal.clone().unwrap_or_else(refusal)));
        }
        if let Some(capacity) = &self.capacity {
            let full = state.running >= places(&capacity.places, self.start);
            match capacity.over {
                Over::Refuse if full => {
                    return Way::Refused(Box::new(Reply::error(429, "overloaded", "no place")));
                }
                Over::Drop if full => return Way::Dropped,
                Over::Wait | Over::Refuse | Over::Drop => {}
            }
        }
        state.waiting += 1;
        drop(state);
        Way::In(Visit {
            start: self.start,
            places: self.capacity.as_ref().map(|capacity| capacity.places.clone()),
            state: Arc::clone(&self.state),
            freed: Arc::clone(&self.freed),
            head: Arc::clone(&self.head),
            running: false,
        })
    }

    /// What `/metrics` says, as vLLM says it, if it says anything.
    pub(super) fn figures(&self) -> Option<String> {
        self.capacity.as_ref().filter(|capacity| capacity.metrics)?;
        let state = lock(&self.state);
        let (running, waiting) = (state.running, state.waiting);
        Some(format!("vllm:num_requests_running {running}.0\nvllm:num_requests_waiting {waiting}.0\n"))
    }
}

impl Visit {
    /// Waits until the server works on the question.
    pub(super) async fn served(&mut self) {
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

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let count = if self.running { &mut state.running } else { &mut state.waiting };
        *count -= 1;
        self.freed.notify_one();
    }
}

impl State {
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

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
