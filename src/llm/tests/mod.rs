//! The whole of the client but HTTP against servers that are played on a clock that turns by itself: whether
//! the rate and the number of requests at a time that a server bears are found, and how soon.

mod places;
mod played;
mod rates;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{FutureExt, StreamExt, stream};
use tokio::time::Instant;

use super::Completion;
use super::chance::Chance;
use super::classify::{Failure, Verdict};
use super::endpoints::{Address, Endpoints, Outcome, Wish};
use super::quota::{Need, Pool};
use super::retry::Retry;
use crate::config::{Concurrency, Limits};
use played::{Played, Said};

/// Each run is played with chances and answers of these, and what is said of it holds for all.
const SEEDS: std::ops::Range<u64> = 0..8;

/// What stands between a question and the server, as `remote` puts it together.
struct Client {
    endpoints: Arc<Endpoints>,
    pool: Arc<Pool>,
    retry: Retry,
    timeout: Duration,
    /// Questions that were given up.
    rejected: AtomicU64,
}

impl Client {
    fn new(concurrency: Concurrency, limits: Limits, seed: u64) -> Self {
        let address = Address::new("http://h/v1", &[]).unwrap();
        Self {
            endpoints: Endpoints::new("m", vec![address], concurrency, Chance::seeded(seed)),
            pool: Pool::with_chance("m", limits, Chance::seeded(seed)),
            retry: Retry::with_chance("m", 6, Duration::from_millis(500), Chance::seeded(seed)),
            timeout: Duration::from_secs(10),
            rejected: AtomicU64::new(0),
        }
    }

    /// Whether a question was answered in the end.
    async fn ask(&self, server: &Played) -> bool {
        let answered = self.retry.run(None, || self.attempt(server).boxed()).await.is_ok();
        self.rejected.fetch_add(u64::from(!answered), Ordering::Relaxed);
        answered
    }

    async fn attempt(&self, server: &Played) -> Result<Completion, Failure> {
        let mut place = self.endpoints.place(Wish::default()).await;
        let turn = self.pool.turn(Need::default()).await;
        place.begin();
        let failure = match tokio::time::timeout(self.timeout, server.ask()).await {
            Ok(Said::Answer) => {
                place.end(Outcome::Good);
                turn.settle(Need::default());
                return Ok(Completion::default());
            }
            Ok(Said::Refusal(retry_after)) => {
                let fewer = place.end(if retry_after.is_some() { Outcome::Paced } else { Outcome::Full });
                if !fewer {
                    self.pool.refused(turn.at, retry_after, self.retry.base(), "rate_limited");
                }
                Failure { retry_after, ..Failure::new(Verdict::Pause, "rate_limited", "slow down") }
            }
            Err(_) => {
                place.end(Outcome::Bad);
                Failure::new(Verdict::Retry, "timeout", "no answer")
            }
        };
        turn.refund();
        Err(failure)
    }

    /// Keeps so many questions waiting or under way for so long; gives those answered a second.
    async fn keep_asking(&self, server: &Played, places: usize, seconds: f64) -> f64 {
        let start = Instant::now();
        let going = stream::iter(0..).take_while(|_: &u64| {
            let go = start.elapsed().as_secs_f64() < seconds;
            async move { go }
        });
        let work = going.map(|_| self.ask(server)).buffer_unordered(places);
        let done = work.filter(|done| std::future::ready(*done)).count().await;
        done as f64 / start.elapsed().as_secs_f64()
    }

    /// The same without an end: what is under way is given up when the time is over.
    async fn keep(&self, server: &Played, places: usize, seconds: f64) {
        let asking = self.keep_asking(server, places, f64::MAX);
        let _ = tokio::time::timeout(Duration::from_secs_f64(seconds), asking).await;
    }

    /// Answers so far.
    fn answered(&self) -> u64 {
        self.endpoints.figures()[0].answered
    }

    /// Reads the server's queue every second, for ever.
    async fn watch(&self, server: &Played) {
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
