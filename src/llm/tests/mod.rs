//! Tests the whole client except HTTP against simulated servers on a paused clock: whether the rate and the concurrency
//! that a server sustains are discovered, and how soon.

mod concurrency;
mod rates;
mod replicas;
mod simulated_server;
mod transient_faults;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Completion;
use super::classify::Failure;
use super::endpoints::{Address, AttemptOutcome, EndpointPreference, Endpoints};
use super::jitter::Jitter;
use super::quota::{Pool, TokenCost};
use super::retry::RetryPolicy;
use super::throttling;
use crate::pipeline::{Concurrency, Limits};
use simulated_server::SimulatedServer;

/// The seeds of the simulations; assertions hold for all of them.
const SEEDS: std::ops::Range<u64> = 0..8;

/// The client between a question and the servers, assembled like `remote`.
struct SimulatedClient {
    endpoints: Arc<Endpoints>,
    pool: Arc<Pool>,
    retry: RetryPolicy,
    timeout: Duration,
    /// Questions so far, and those that were rejected.
    asked: AtomicU64,
    rejected: AtomicU64,
    /// When each answer arrived.
    answers: std::sync::Mutex<Vec<Instant>>,
}

impl SimulatedClient {
    fn new(concurrency: Concurrency, limits: Limits, seed: u64) -> Self {
        Self::of(1, concurrency, Pool::with_jitter("m", limits, Jitter::seeded(seed)), seed)
    }

    /// Creates a client for this number of endpoints.
    fn of(count: usize, concurrency: Concurrency, pool: Arc<Pool>, seed: u64) -> Self {
        let address = |index: usize| Address::new(&format!("http://{index}/v1"), &[]).unwrap();
        let addresses = (0..count).map(address).collect();
        Self {
            endpoints: Endpoints::new("m", addresses, concurrency, Jitter::seeded(seed)),
            pool,
            retry: RetryPolicy::with_jitter("m", 6, Duration::from_millis(500), Jitter::seeded(seed)),
            timeout: Duration::from_secs(10),
            asked: AtomicU64::new(seed << 32),
            rejected: AtomicU64::new(0),
            answers: std::sync::Mutex::default(),
        }
    }

    /// Asks one question until it is answered or rejected. It has room in the run until its first retry, and a slot at
    /// the model while it does not wait.
    async fn ask(&self, servers: &[SimulatedServer], room: &Semaphore, places: &Semaphore) {
        let question = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut room = room.try_acquire().ok();
        let result = self.retry.run(None, || {
            let admitted = room.take();
            async move {
                let _place = places.acquire().await.unwrap();
                let result = self.attempt(servers, question).await;
                drop(admitted);
                result
            }
            .boxed()
        });
        match result.await {
            Ok(_) => self.answers.lock().unwrap().push(Instant::now()),
            Err(_) => _ = self.rejected.fetch_add(1, Ordering::Relaxed),
        }
    }

    async fn attempt(&self, servers: &[SimulatedServer], question: u64) -> Result<Completion, Failure> {
        let mut lease = self.endpoints.acquire(EndpointPreference::default()).await;
        let permit = self.pool.acquire(TokenCost::default()).await;
        lease.mark_sent();
        let index = usize::from(lease.address().base.host_str().unwrap().as_bytes()[6] - b'0');
        let asked = tokio::time::timeout(self.timeout, servers[index].ask(question));
        let mut failure = match asked.await {
            Ok(Ok(())) => {
                lease.finish(AttemptOutcome::Answered);
                permit.settle(TokenCost::default());
                return Ok(Completion::default());
            }
            Ok(Err(failure)) => failure,
            Err(_) => Failure::new(super::classify::Verdict::Retry, "timeout", "no answer"),
        };
        throttling::note_failure(&mut failure, lease, permit, self.retry.base());
        Err(failure)
    }

    /// Keeps this number of questions in flight for some seconds, and returns the answers per second. Questions in
    /// flight at the end are dropped.
    async fn keep(&self, servers: &[SimulatedServer], places: usize, seconds: f64) -> f64 {
        let before = self.answered();
        let (room, model) = (Semaphore::new(2 * places), Semaphore::new(places));
        let work = async {
            let mut asking = FuturesUnordered::new();
            loop {
                while room.available_permits() > 0 && asking.len() < 2 * places + 8192 {
                    asking.push(self.ask(servers, &room, &model));
                    // Takes its room.
                    let _ = asking.next().now_or_never();
                }
                asking.next().await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs_f64(seconds), async {
            let () = work.await;
        })
        .await;
        (self.answered() - before) as f64 / seconds
    }

    /// Asks this number of questions, and returns the seconds after which each was answered, in order.
    async fn finish(&self, servers: &[SimulatedServer], places: usize, count: usize) -> Vec<f64> {
        let start = Instant::now();
        let (room, model) = (Semaphore::new(2 * places), Semaphore::new(places));
        let mut asking = FuturesUnordered::new();
        for _ in 0..count {
            while room.available_permits() == 0 {
                asking.next().await;
            }
            asking.push(self.ask(servers, &room, &model));
            let _ = asking.next().now_or_never();
        }
        while asking.next().await.is_some() {}
        let answers = self.answers.lock().unwrap();
        answers.iter().map(|at| at.duration_since(start).as_secs_f64()).collect()
    }

    /// Returns the number of answers so far.
    fn answered(&self) -> u64 {
        self.answers.lock().unwrap().len() as u64
    }

    /// Polls the first server's queue every second, forever.
    async fn watch(&self, server: &SimulatedServer) {
        loop {
            let (running, waiting) = server.queue();
            self.endpoints.note_queue(0, running, waiting);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn limit(&self) -> u32 {
        self.endpoints.figures()[0].limit.unwrap_or_default()
    }
}

/// Returns the median result over all seeds.
async fn median(mut run: impl AsyncFnMut(u64) -> f64) -> f64 {
    let mut all = Vec::new();
    for seed in SEEDS {
        all.push(run(seed).await);
    }
    all.sort_by(f64::total_cmp);
    (all[SEEDS.end as usize / 2 - 1] + all[SEEDS.end as usize / 2]) / 2.0
}
