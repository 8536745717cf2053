//! The one place where a request is repeated: backoff, waits that a server asks for, and when to give up.
//!
//! `openai` hands it a way to make one attempt; `classify` has judged what each brought. Waits that a
//! server asks for are shared by all requests to the model. Time is tokio's, so tests can turn it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rand::RngExt;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Completion;
use super::classify::{Failure, Verdict};

/// The longest that a request waits for a server without room; after it the run stops, to be resumed.
const MAX_PAUSE: Duration = Duration::from_mins(15);
/// Waits between attempts grow to this.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// The same while the server has not answered anyone yet: who forgot to start it should hear it soon.
const LONGEST_FIRST_WAIT: Duration = Duration::from_secs(1);

/// How the requests to one model are repeated, and what they know together.
#[derive(Debug)]
pub(super) struct Retry {
    model: String,
    max_attempts: u32,
    base: Duration,
    /// No request is sent before this.
    paused_until: Mutex<Option<Instant>>,
    /// Requests answered so far.
    answered: AtomicU64,
}

impl Retry {
    /// `base` is the upper bound of the first wait; each further one doubles it.
    pub(super) fn new(model: &str, max_attempts: u32, base: Duration) -> Self {
        Self {
            model: model.to_owned(),
            max_attempts,
            base,
            paused_until: Mutex::new(None),
            answered: AtomicU64::new(0),
        }
    }

    pub(super) fn set_base(&mut self, base: Duration) {
        self.base = base;
    }

    /// Makes attempts until one succeeds or the failure is final. A pause costs no attempt, only time.
    pub(super) async fn run<'a>(
        &self,
        mut attempt: impl FnMut() -> BoxFuture<'a, Result<Completion, Failure>> + Send,
    ) -> Result<Completion, Failure> {
        let answered_before = self.answered.load(Ordering::Relaxed);
        let mut paused_since = None;
        let mut pauses = 0;
        let mut failures = 0;
        loop {
            self.wait_for_pause().await;
            let failure = match attempt().await {
                Ok(completion) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    return Ok(completion);
                }
                Err(failure) => failure,
            };
            debug!(model = self.model, class = failure.class, message = failure.message, "attempt failed");
            let asked = failure.retry_after.unwrap_or_default();
            match failure.verdict {
                Verdict::Fatal | Verdict::Record => return Err(failure),
                Verdict::Pause => {
                    let since = *paused_since.get_or_insert_with(Instant::now);
                    if asked > MAX_PAUSE || since.elapsed() + asked > MAX_PAUSE {
                        let message = format!("{}; the server has no room for too long", failure.message);
                        return Err(Failure { verdict: Verdict::Fatal, message, ..failure });
                    }
                    self.pause(asked, &failure);
                    self.back_off(pauses, LONGEST_WAIT).await;
                    pauses += 1;
                }
                Verdict::Retry => {
                    failures += 1;
                    if failures >= self.max_attempts || asked > MAX_PAUSE {
                        return Err(self.last_word(failure, answered_before));
                    }
                    tokio::time::sleep(asked).await;
                    let never = self.answered.load(Ordering::Relaxed) == 0;
                    let quick = never && failure.hint.is_some();
                    let longest = if quick { LONGEST_FIRST_WAIT } else { LONGEST_WAIT };
                    self.back_off(failures - 1, longest).await;
                }
            }
        }
    }

    /// An endpoint that answered nobody since this request began is down: that is no fault of the record,
    /// and the next ones would fare no better.
    fn last_word(&self, failure: Failure, answered_before: u64) -> Failure {
        let alone = self.answered.load(Ordering::Relaxed) == answered_before;
        match failure.hint {
            Some(hint) if alone => Failure {
                verdict: Verdict::Fatal,
                message: format!("{}; {hint}", failure.message),
                ..failure
            },
            _ => Failure { verdict: Verdict::Record, ..failure },
        }
    }

    /// Lets no request of this model out for `wait`; of two pauses the later end counts.
    fn pause(&self, wait: Duration, failure: &Failure) {
        if wait.is_zero() {
            return;
        }
        let until = Instant::now() + wait;
        let mut paused_until = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        if paused_until.is_some_and(|present| present >= until) {
            return;
        }
        let is_new = paused_until.is_none_or(|present| present <= Instant::now());
        *paused_until = Some(until);
        if is_new {
            let seconds = wait.as_secs_f64();
            warn!(model = self.model, class = failure.class, seconds, "the server asks to wait");
        }
    }

    /// Waits until no pause is in force, then up to a second more, so that not all come back at once.
    async fn wait_for_pause(&self) {
        let mut waited = Duration::ZERO;
        loop {
            let until = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
            let left = until.map_or(Duration::ZERO, |until| until.duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            waited += left;
            tokio::time::sleep(left).await;
        }
        if waited.is_zero() {
            return;
        }
        let spread = (waited / 10).min(Duration::from_secs(1));
        tokio::time::sleep(part_of(spread)).await;
    }

    /// Full jitter: any time between nothing and a bound that doubles with each failure.
    async fn back_off(&self, failures: u32, longest: Duration) {
        let bound = self.base.saturating_mul(2_u32.saturating_pow(failures)).min(longest);
        tokio::time::sleep(part_of(bound)).await;
    }
}

/// Any time from nothing to `bound`. Not one of a run's own draws: it decides when, never what.
fn part_of(bound: Duration) -> Duration {
    bound.mul_f64(rand::rng().random_range(0.0..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    /// Plays the outcomes one after the other, then success; gives the result and the attempts' times.
    async fn play(retry: &Retry, outcomes: &[Failure]) -> (Result<Completion, Failure>, Vec<Duration>) {
        let start = Instant::now();
        let mut times = Vec::new();
        let mut left = outcomes.iter().cloned();
        let result = retry
            .run(|| {
                times.push(start.elapsed());
                let outcome = left.next().map_or_else(|| Ok(Completion::default()), Err);
                async { outcome }.boxed()
            })
            .await;
        (result, times)
    }

    fn failure(verdict: Verdict) -> Failure {
        Failure::new(verdict, "test", "it failed")
    }

    fn retry() -> Retry {
        Retry::new("m", 3, Duration::from_millis(500))
    }

    #[tokio::test(start_paused = true)]
    async fn final_failures_are_asked_once() {
        for verdict in [Verdict::Fatal, Verdict::Record] {
            let (result, times) = play(&retry(), &[failure(verdict)]).await;
            assert_eq!((result.unwrap_err().verdict, times.len()), (verdict, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bad_luck_is_tried_again_within_bounds() {
        let bad = failure(Verdict::Retry);
        let (result, times) = play(&retry(), &[bad.clone(), bad.clone()]).await;
        assert!(result.is_ok());
        assert!(times[1] <= Duration::from_millis(501), "{times:?}");
        assert!(times[2] - times[1] <= Duration::from_millis(1001), "{times:?}");
        let (result, times) = play(&retry(), &vec![bad; 9]).await;
        assert_eq!((result.unwrap_err().verdict, times.len()), (Verdict::Record, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_floors_shared_by_all_and_cost_no_attempt() {
        let wait =
            |seconds| Failure { retry_after: Some(Duration::from_secs(seconds)), ..failure(Verdict::Pause) };
        let retry = retry();
        let (result, times) = play(&retry, &[wait(30), wait(5), wait(7), wait(9)]).await;
        assert!(result.is_ok());
        let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert!(gaps.iter().zip([30, 5, 7, 9]).all(|(gap, floor)| *gap >= floor), "{gaps:?}");

        retry.pause(Duration::from_secs(40), &failure(Verdict::Pause));
        retry.pause(Duration::from_secs(20), &failure(Verdict::Pause));
        let (_, times) = play(&retry, &[]).await;
        assert!(times[0] >= Duration::from_secs(40), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_room_for_long_stops_the_run() {
        let (result, times) = play(&retry(), &vec![failure(Verdict::Pause); 9999]).await;
        assert_eq!(result.unwrap_err().verdict, Verdict::Fatal);
        assert!(times.len() > 9 && times[times.len() - 1] <= MAX_PAUSE + LONGEST_WAIT, "{times:?}");
        let long =
            Failure { retry_after: Some(Duration::from_secs(1_000_000_000)), ..failure(Verdict::Pause) };
        let (result, times) = play(&retry(), &[long]).await;
        assert_eq!((result.unwrap_err().verdict, times.len()), (Verdict::Fatal, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_answers_nobody_is_fatal_soon() {
        let down = Failure { hint: Some("is it running?"), ..failure(Verdict::Retry) };
        let retry = retry();
        let (result, times) = play(&retry, &vec![down.clone(); 3]).await;
        let error = result.unwrap_err();
        assert_eq!((error.verdict, &*error.message), (Verdict::Fatal, "it failed; is it running?"));
        assert!(times[2] < Duration::from_secs(2), "{times:?}");

        // Somebody else is answered meanwhile: the endpoint is up, the record had bad luck.
        let result = retry
            .run(|| {
                retry.answered.fetch_add(1, Ordering::Relaxed);
                let down = down.clone();
                async { Err(down) }.boxed()
            })
            .await;
        assert_eq!(result.unwrap_err().verdict, Verdict::Record);
    }
}
