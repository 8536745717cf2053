//! Servers that are played: a rate with a burst, places with a queue, and how long an answer takes.

use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a server does; made of what is set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits {
    /// Seconds of an answer where nobody else is asked.
    pub(super) latency: f64,
    /// The part of it by which answers differ.
    pub(super) jitter: f64,
    /// Requests a second and at once.
    pub(super) rate: Option<(f64, f64)>,
    /// The rate is counted anew each so many seconds instead.
    pub(super) window: Option<f64>,
    /// Seconds that a refusal asks for.
    pub(super) retry_after: Option<f64>,
    pub(super) places: usize,
    pub(super) over: Over,
}

/// What becomes of requests beyond the places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Over {
    /// They wait their turn.
    Wait,
    Refuse,
    /// They get no answer at all.
    Drop,
    /// All are worked on, each the slower, and with more loss the more there are.
    Slow,
}

pub(super) enum Said {
    Answer,
    Refusal(Option<Duration>),
}

pub(super) struct Played {
    start: Instant,
    state: Mutex<State>,
    freed: Notify,
}

struct State {
    traits: Traits,
    level: f64,
    at: Instant,
    running: usize,
    waiting: usize,
    refused: u64,
    early: u64,
    /// The first refusal that asked to wait, and the end of that.
    pause: Option<(Instant, Instant)>,
    rng: ChaCha8Rng,
}

impl Traits {
    /// Refuses nothing and answers within 200 ms.
    pub(super) const PLAIN: Self = Self {
        latency: 0.2,
        jitter: 0.0,
        rate: None,
        window: None,
        retry_after: None,
        places: usize::MAX,
        over: Over::Wait,
    };
}

impl Played {
    pub(super) fn new(traits: Traits, seed: u64) -> Self {
        let now = Instant::now();
        let state = State {
            traits,
            level: traits.rate.map_or(0.0, |(_, burst)| burst),
            at: now,
            running: 0,
            waiting: 0,
            refused: 0,
            early: 0,
            pause: None,
            rng: ChaCha8Rng::seed_from_u64(seed),
        };
        Self { start: now, state: Mutex::new(state), freed: Notify::new() }
    }

    /// Goes on with so many places.
    pub(super) fn set_places(&self, places: usize) {
        self.state.lock().unwrap().traits.places = places;
        self.freed.notify_one();
    }

    pub(super) fn queue(&self) -> (f64, f64) {
        let state = self.state.lock().unwrap();
        (state.running as f64, state.waiting as f64)
    }

    /// Refusals so far, and requests that came before a refusal's time was over.
    pub(super) fn refusals(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap();
        (state.refused, state.early)
    }

    pub(super) async fn ask(&self) -> Said {
        // The way there.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (seconds, over) = {
            let mut state = self.state.lock().unwrap();
            if let Some(refusal) = state.refuses(self.start) {
                return Said::Refusal(refusal);
            }
            (state.latency(), state.traits.over)
        };
        if over == Over::Drop && self.is_full() {
            return std::future::pending().await;
        }
        let _stay = self.enter(over).await;
        let crowd = match over {
            Over::Slow => self.crowd(),
            Over::Wait | Over::Refuse | Over::Drop => 1.0,
        };
        tokio::time::sleep(Duration::from_secs_f64(seconds * crowd)).await;
        Said::Answer
    }

    fn is_full(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.running >= state.traits.places
    }

    /// How many times as long an answer takes with so many under way: beyond the places the work of all is no
    /// more than it was, and in the end less.
    fn crowd(&self) -> f64 {
        let state = self.state.lock().unwrap();
        let load = state.running as f64 / state.traits.places as f64;
        if load <= 1.0 { 1.0 } else { load * (1.0 + 0.05 * (load - 1.0)) }
    }

    async fn enter(&self, over: Over) -> Stay<'_> {
        let mut stay = Stay { server: self, running: false };
        self.state.lock().unwrap().waiting += 1;
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock().unwrap();
                if over == Over::Slow || state.running < state.traits.places {
                    state.running += 1;
                    state.waiting -= 1;
                    stay.running = true;
                    break;
                }
            }
            freed.await;
        }
        // There may be room for more than one.
        self.freed.notify_one();
        stay
    }
}

/// A request's stay; it ends when the client gives up, too.
struct Stay<'a> {
    server: &'a Played,
    running: bool,
}

impl Drop for Stay<'_> {
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

    /// The refusal of a request that comes now, if it is refused.
    fn refuses(&mut self, start: Instant) -> Option<Option<Duration>> {
        let now = Instant::now();
        if let Some((first, until)) = self.pause
            && now > first + Duration::from_millis(50)
            && now < until
        {
            self.early += 1;
        }
        let refused = match self.traits.rate {
            Some((per_second, burst)) => {
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
                self.level < 1.0
            }
            None => self.traits.over == Over::Refuse && self.running >= self.traits.places,
        };
        if !refused {
            self.level -= 1.0;
            return None;
        }
        self.refused += 1;
        let wait = self.traits.retry_after.map(Duration::from_secs_f64);
        if let Some(wait) = wait
            && self.pause.is_none_or(|(_, until)| now >= until)
        {
            self.pause = Some((now, now + wait));
        }
        Some(wait)
    }
}
