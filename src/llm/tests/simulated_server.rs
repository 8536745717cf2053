//! Simulated servers: with a rate and a burst, limited concurrency with a queue, random faults, and a latency.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::llm::classify::{Failure, Verdict};

/// How a server behaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerTraits {
    /// The latency of an answer without load, in seconds.
    pub(super) latency: f64,
    /// The share of it that is random.
    pub(super) jitter: f64,
    /// The rate limit: requests per second, and burst.
    pub(super) rate: Option<(f64, f64)>,
    /// Counts the rate in fixed windows of this many seconds instead.
    pub(super) window: Option<f64>,
    /// The wait that a refusal asks for, in seconds.
    pub(super) retry_after: Option<f64>,
    /// The class of a refusal.
    pub(super) refusal: &'static str,
    /// Random faults with their shares of requests.
    pub(super) faults: &'static [(ServerFault, f64)],
    /// Counts the rate in tokens: a request takes a random number up to this.
    pub(super) tokens: Option<f64>,
    pub(super) places: usize,
    pub(super) over: Overload,
}

/// What happens to requests beyond the concurrency limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Overload {
    /// They are queued.
    Wait,
    Refuse,
    /// They get no answer.
    Drop,
    /// All are processed, but the more there are, the slower each is and the less the total throughput.
    Slow,
}

/// A random fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ServerFault {
    /// Refuses it, as it does above its rate.
    Refuse,
    /// Fails at once, in one of these ways.
    Fail(&'static str),
    /// Fails after the time of an answer.
    FailLate(&'static str),
    /// Takes this many times as long.
    Slow(f64),
    /// Never answers.
    Hang,
}

pub(super) struct SimulatedServer {
    start: Instant,
    state: Mutex<State>,
    freed: Notify,
}

struct State {
    traits: ServerTraits,
    level: f64,
    at: Instant,
    running: usize,
    waiting: usize,
    refused: u64,
    early: u64,
    /// Until when each refused question has to wait.
    waits: HashMap<u64, Instant>,
    rng: ChaCha8Rng,
}

impl ServerTraits {
    /// Refuses nothing and answers within 200 ms.
    pub(super) const PLAIN: Self = Self {
        latency: 0.2,
        jitter: 0.0,
        rate: None,
        window: None,
        retry_after: None,
        refusal: "rate_limited",
        faults: &[],
        tokens: None,
        places: usize::MAX,
        over: Overload::Wait,
    };
}

impl SimulatedServer {
    pub(super) fn new(traits: ServerTraits, seed: u64) -> Self {
        let now = Instant::now();
        let state = State {
            traits,
            level: traits.rate.map_or(0.0, |(_, burst)| burst),
            at: now,
            running: 0,
            waiting: 0,
            refused: 0,
            early: 0,
            waits: HashMap::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        };
        Self { start: now, state: Mutex::new(state), freed: Notify::new() }
    }

    /// Changes the concurrency limit.
    pub(super) fn set_places(&self, places: usize) {
        self.state.lock().unwrap().traits.places = places;
        self.freed.notify_one();
    }

    /// Changes the rate and burst.
    pub(super) fn set_rate(&self, rate: (f64, f64)) {
        self.state.lock().unwrap().traits.rate = Some(rate);
    }

    /// Uses up the burst.
    pub(super) fn empty(&self) {
        self.state.lock().unwrap().level = 0.0;
    }

    /// Changes the faults.
    pub(super) fn set_faults(&self, faults: &'static [(ServerFault, f64)]) {
        self.state.lock().unwrap().traits.faults = faults;
    }

    pub(super) fn queue(&self) -> (f64, f64) {
        let state = self.state.lock().unwrap();
        (state.running as f64, state.waiting as f64)
    }

    /// Returns the refusals so far, and the requests that were retried before the time that their refusal named.
    pub(super) fn refusals(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap();
        (state.refused, state.early)
    }

    pub(super) async fn ask(&self, question: u64) -> Result<(), Failure> {
        // Network latency.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (seconds, over, fault) = {
            let mut state = self.state.lock().unwrap();
            state.note(question);
            let fault = state.fault();
            if fault == Some(ServerFault::Refuse) || state.is_over(self.start) {
                return Err(state.refuse(question));
            }
            (state.latency(), state.traits.over, fault)
        };
        let seconds = match fault {
            Some(ServerFault::Fail(class)) => return Err(failed(class)),
            Some(ServerFault::Hang) => std::future::pending().await,
            Some(ServerFault::Slow(times)) => seconds * times,
            _ => seconds,
        };
        if over == Overload::Drop && self.is_full() {
            return std::future::pending().await;
        }
        let _stay = self.enter(over).await;
        let crowd = match over {
            Overload::Slow => self.crowd(),
            Overload::Wait | Overload::Refuse | Overload::Drop => 1.0,
        };
        tokio::time::sleep(Duration::from_secs_f64(seconds * crowd)).await;
        match fault {
            Some(ServerFault::FailLate(class)) => Err(failed(class)),
            _ => Ok(()),
        }
    }

    fn is_full(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.running >= state.traits.places
    }

    /// Returns the slowdown under the current load: beyond the concurrency limit the total throughput is constant, and
    /// finally decreases.
    fn crowd(&self) -> f64 {
        let state = self.state.lock().unwrap();
        let load = state.running as f64 / state.traits.places as f64;
        if load <= 1.0 { 1.0 } else { load * (1.0 + 0.05 * (load - 1.0)) }
    }

    async fn enter(&self, over: Overload) -> ServiceSlot<'_> {
        let mut stay = ServiceSlot { server: self, running: false };
        self.state.lock().unwrap().waiting += 1;
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock().unwrap();
                if over == Overload::Slow || state.running < state.traits.places {
                    state.running += 1;
                    state.waiting -= 1;
                    stay.running = true;
                    break;
                }
            }
            freed.await;
        }
        // There may be room for more than one request.
        self.freed.notify_one();
        stay
    }
}

/// A request in the server; it ends when the client gives up, too.
struct ServiceSlot<'a> {
    server: &'a SimulatedServer,
    running: bool,
}

impl Drop for ServiceSlot<'_> {
    fn drop(&mut self) {
        let mut state = self.server.state.lock().unwrap();
        *(if self.running { &mut state.running } else { &mut state.waiting }) -= 1;
        drop(state);
        self.server.freed.notify_one();
    }
}

impl State {
    fn latency(&mut self) -> f64 {
        let spread = self.traits.jitter;
        // Long-tailed, as answers are.
        let draw: f64 = self.rng.random_range(0.0..1.0);
        self.traits.latency * (1.0 - spread + spread * -(1.0 - draw).ln())
    }

    /// Records that a question arrives, possibly too early.
    fn note(&mut self, question: u64) {
        let wait = self.waits.remove(&question);
        self.early += u64::from(wait.is_some_and(|until| Instant::now() < until));
    }

    fn fault(&mut self) -> Option<ServerFault> {
        let mut draw: f64 = self.rng.random_range(0.0..1.0);
        for (fault, share) in self.traits.faults {
            if draw < *share {
                return Some(*fault);
            }
            draw -= share;
        }
        None
    }

    fn refuse(&mut self, question: u64) -> Failure {
        self.refused += 1;
        let wait = self.traits.retry_after.map(Duration::from_secs_f64);
        if let Some(wait) = wait {
            self.waits.insert(question, Instant::now() + wait);
        }
        // No time and a time of nothing are the same to a client.
        let retry_after = wait.filter(|wait| !wait.is_zero());
        Failure { retry_after, ..Failure::new(Verdict::Throttled, self.traits.refusal, "slow down") }
    }

    /// Whether a request that arrives now exceeds the rate or the concurrency limit.
    fn is_over(&mut self, start: Instant) -> bool {
        let now = Instant::now();
        let Some((per_second, burst)) = self.traits.rate else {
            return self.traits.over == Overload::Refuse && self.running >= self.traits.places;
        };
        match self.traits.window {
            None => {
                let risen = per_second * now.duration_since(self.at).as_secs_f64();
                self.level = (self.level + risen).min(burst);
            }
            Some(window) => {
                let which = |at: Instant| (at.duration_since(start).as_secs_f64() / window) as u64;
                if which(now) != which(self.at) {
                    self.level = per_second * window;
                }
            }
        }
        self.at = now;
        let takes = self.traits.tokens.map_or(1.0, |most| self.rng.random_range(0.0..most));
        let is_over = self.level < takes;
        if !is_over {
            self.level -= takes;
        }
        is_over
    }
}

fn failed(class: &str) -> Failure {
    Failure::new(Verdict::Retry, class, "it failed")
}
