//! The only place where requests are retried: backoff, the retry budget, and when to give up.
//!
//! `remote` and `batch` pass a closure that makes one attempt; `classify` has classified its failure. A throttled
//! request waits here for as long as the server asked; whether other requests wait too is decided by the quota pool and
//! the endpoints before an attempt. Time is tokio's, so tests can pause it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;
use tracing::debug;

use super::classify::{Failure, Verdict};
use super::jitter::Jitter;
use super::quota::RetryBudget;
use super::slot::{self, Slot};

/// The longest wait that is accepted from a server, and the longest time that endpoints may be unreachable; after it
/// the run stops and can be resumed.
pub(super) const MAX_PAUSE: Duration = Duration::from_mins(15);
/// How long a server may refuse everything while asking for short waits each time.
const MAX_REFUSAL_TIME: Duration = Duration::from_hours(1);
/// The longest wait between attempts.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// The longest wait while the server has not answered any request yet: users who forgot to start it should learn it
/// soon.
const MAX_FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long a server that never answered may be unreachable.
const MAX_INITIAL_OUTAGE: Duration = Duration::from_secs(4);

/// How the requests to one model are retried, and their shared history.
#[derive(Debug)]
pub(super) struct RetryPolicy {
    model: String,
    max_attempts: u32,
    base: Duration,
    budget: RetryBudget,
    history: Mutex<RetryHistory>,
}

/// The recent outcomes of all requests to the model.
#[derive(Debug)]
struct RetryHistory {
    answered: u64,
    /// When the first failure since the last answer occurred.
    failing_since: Option<Instant>,
    jitter: Jitter,
}

impl RetryPolicy {
    /// Creates a policy; `base` is the upper bound of the first wait, and each further one doubles it.
    pub(super) fn new(model: &str, max_attempts: u32, base: Duration) -> Self {
        Self::with_jitter(model, max_attempts, base, Jitter::new())
    }

    pub(super) fn with_jitter(model: &str, max_attempts: u32, base: Duration, jitter: Jitter) -> Self {
        let history = Mutex::new(RetryHistory { answered: 0, failing_since: None, jitter });
        Self { model: model.to_owned(), max_attempts, base, budget: RetryBudget::new(), history }
    }

    pub(super) fn set_base(&mut self, base: Duration) {
        self.base = base;
    }

    pub(super) fn base(&self) -> Duration {
        self.base
    }

    /// Makes attempts until one succeeds or the failure is final. A throttled request costs no attempt, only time. The
    /// slot is released during waits.
    pub(super) async fn run<'a, T>(
        &self,
        slot: Option<&dyn Slot>,
        mut attempt: impl FnMut() -> BoxFuture<'a, Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        let answered_before = self.history().answered;
        let mut failures = 0;
        let mut tries = 0;
        let mut refusals = 0;
        let mut free = true;
        loop {
            let failure = match attempt().await {
                Ok(answer) => {
                    self.note_answer();
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            debug!(model = self.model, class = failure.class, message = failure.message, "attempt failed");
            if matches!(failure.verdict, Verdict::Fatal | Verdict::RejectRecord) {
                // The server responds, even if it does not answer this question.
                self.note_answer_of(&failure);
                return Err(failure);
            }
            let asked = failure.retry_after.unwrap_or_default();
            let (answered, failing) = self.note_failure();
            if (asked > MAX_PAUSE && failure.verdict == Verdict::Throttled) || failing > MAX_REFUSAL_TIME {
                let message = format!("{}; the server has no room for too long", failure.message);
                return Err(Failure { verdict: Verdict::Fatal, message, ..failure });
            }
            // A certificate does not repair itself, and the user should learn of it at once.
            if failure.class == "tls" && answered == 0 {
                return Err(with_hint(failure));
            }
            // Our own lack of file descriptors passes as connections are closed.
            let lacking = failure.class == "too_many_open_files";
            let down = failure.class == "unreachable";
            let patience = if answered > 0 { MAX_PAUSE } else { MAX_INITIAL_OUTAGE };
            if (down && failing > patience) || (lacking && failing > MAX_PAUSE) {
                return Err(with_hint(failure));
            }
            let wait = match failure.verdict {
                // It costs no attempt. Other requests wait too if the pool or the endpoint decides so.
                Verdict::Throttled => {
                    refusals += 1;
                    match asked.is_zero() {
                        true => self.back_off(refusals, MAX_WAIT),
                        false => asked + self.jitter(asked),
                    }
                }
                // The endpoint answered before, so it is down rather than misconfigured: that costs no attempt.
                _ if lacking || (down && answered > 0) => {
                    tries += 1;
                    self.back_off(tries, MAX_WAIT)
                }
                // The server had closed an idle connection; the request never reached it.
                _ if failure.class == "reset" && free => {
                    free = false;
                    Duration::ZERO
                }
                _ => {
                    failures += 1;
                    if failures >= self.max_attempts {
                        return Err(self.final_failure(failure, answered_before));
                    }
                    let quick = answered == 0 && failure.hint.is_some();
                    let longest = if quick { MAX_FIRST_WAIT } else { MAX_WAIT };
                    asked.min(MAX_PAUSE) + self.back_off(failures, longest)
                }
            };
            let waits = async {
                // Even a sleep of zero takes until the clock's next tick.
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                if failure.depends_on_load {
                    self.budget.withdraw().await;
                }
            };
            slot::without_slot(slot, waits).await;
        }
    }

    /// Returns the failure of a request that has used up its attempts. An endpoint that answered nothing since this
    /// request began is down: the record is not to blame, and the next ones would fail too.
    fn final_failure(&self, failure: Failure, answered_before: u64) -> Failure {
        let answered = self.history().answered;
        let alone = answered == answered_before;
        // A gateway without a server behind it. Other failures may be due to the question: a run that stopped at one
        // would stop there at each start.
        let never_worked = answered == 0 && matches!(&*failure.class, "status_502" | "status_504");
        match alone && (failure.hint.is_some() || never_worked) {
            true => with_hint(failure),
            false => Failure { verdict: Verdict::RejectRecord, ..failure },
        }
    }

    fn note_answer(&self) {
        self.budget.deposit();
        let mut history = self.history();
        history.answered += 1;
        history.failing_since = None;
    }

    fn note_answer_of(&self, failure: &Failure) {
        if failure.verdict == Verdict::RejectRecord {
            self.history().failing_since = None;
        }
    }

    /// Returns the number of answers so far, and how long there have been only failures.
    fn note_failure(&self) -> (u64, Duration) {
        let mut history = self.history();
        let since = *history.failing_since.get_or_insert_with(Instant::now);
        (history.answered, since.elapsed())
    }

    fn history(&self) -> MutexGuard<'_, RetryHistory> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A small addition to the wait that was asked for, so that several runs do not return at the same moment.
    fn jitter(&self, asked: Duration) -> Duration {
        self.history().jitter.up_to((asked / 10).min(Duration::from_secs(1)))
    }

    /// Full jitter: a random time up to a bound that doubles with each failure.
    fn back_off(&self, failures: u32, longest: Duration) -> Duration {
        let bound = self.base.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        self.history().jitter.up_to(bound.min(longest))
    }
}

/// Returns the failure as a fatal one, with its hint.
fn with_hint(failure: Failure) -> Failure {
    let message = match failure.hint {
        Some(hint) => format!("{}; {hint}", failure.message),
        None => failure.message,
    };
    Failure { verdict: Verdict::Fatal, message, ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Completion;
    use futures::FutureExt;

    /// Runs attempts with these outcomes, then success. Returns the result and the times of the attempts.
    async fn play(retry: &RetryPolicy, outcomes: &[Failure]) -> (Result<Completion, Failure>, Vec<Duration>) {
        let start = Instant::now();
        let mut times = Vec::new();
        let mut left = outcomes.iter().cloned();
        let result = retry
            .run(None, || {
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

    fn down() -> Failure {
        Failure { hint: Some("is it running?"), class: "unreachable".to_owned(), ..failure(Verdict::Retry) }
    }

    fn retry() -> RetryPolicy {
        RetryPolicy::new("m", 3, Duration::from_millis(500))
    }

    #[tokio::test(start_paused = true)]
    async fn final_failures_are_asked_once() {
        for verdict in [Verdict::Fatal, Verdict::RejectRecord] {
            let (result, times) = play(&retry(), &[failure(verdict)]).await;
            assert_eq!((result.unwrap_err().verdict, times.len()), (verdict, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn transient_faults_are_retried_within_bounds() {
        let bad = failure(Verdict::Retry);
        let (result, times) = play(&retry(), &[bad.clone(), bad.clone()]).await;
        assert!(result.is_ok());
        assert!(times[1] <= Duration::from_millis(601), "{times:?}");
        assert!(times[2] - times[1] <= Duration::from_millis(1101), "{times:?}");
        let (result, times) = play(&retry(), &vec![bad; 9]).await;
        assert_eq!((result.unwrap_err().verdict, times.len()), (Verdict::RejectRecord, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_costs_no_attempt_but_is_limited_in_time() {
        let (result, times) = play(&retry(), &vec![failure(Verdict::Throttled); 60]).await;
        assert!(result.is_ok());
        assert_eq!(times.len(), 61);
        let (result, times) = play(&retry(), &vec![failure(Verdict::Throttled); 999]).await;
        assert_eq!(result.unwrap_err().verdict, Verdict::Fatal);
        assert!(times[times.len() - 1] > MAX_REFUSAL_TIME, "{:?}", times.len());
        let wait = |seconds| {
            vec![Failure { retry_after: Some(Duration::from_secs(seconds)), ..failure(Verdict::Throttled) }]
        };
        for (seconds, verdict) in
            [(899, None), (901, Some(Verdict::Fatal)), (1_000_000_000, Some(Verdict::Fatal))]
        {
            let (result, _) = play(&retry(), &wait(seconds)).await;
            assert_eq!(result.err().map(|failure| failure.verdict), verdict, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_closed_at_the_moment_of_use_is_retried_at_once() {
        let retry = retry();
        let reset = Failure::new(Verdict::Retry, "reset", "closed");
        let (result, times) = play(&retry, std::slice::from_ref(&reset)).await;
        assert!(result.is_ok());
        assert_eq!(times, [Duration::ZERO; 2]);
        let (result, times) = play(&retry, &vec![reset; 9]).await;
        assert_eq!((result.unwrap_err().verdict, times.len()), (Verdict::RejectRecord, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_never_answered_is_fatal_soon() {
        let retry = retry();
        let (result, times) = play(&retry, &vec![down(); 3]).await;
        let error = result.unwrap_err();
        assert_eq!((error.verdict, &*error.message), (Verdict::Fatal, "it failed; is it running?"));
        assert!(times[2] < Duration::from_secs(3), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_certificate_is_fatal_at_first_but_transient_later() {
        let bad = Failure { class: "tls".to_owned(), ..down() };
        let retry = retry();
        let (result, times) = play(&retry, &vec![bad.clone(); 9]).await;
        assert_eq!((result.unwrap_err().verdict, times.len()), (Verdict::Fatal, 1));
        assert!(play(&retry, &[]).await.0.is_ok());
        let (result, times) = play(&retry, &[bad.clone(), bad]).await;
        assert!(result.is_ok() && times.len() == 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_answered_before_is_waited_for() {
        let retry = retry();
        assert!(play(&retry, &[]).await.0.is_ok());
        let (result, times) = play(&retry, &vec![down(); 12]).await;
        assert!(result.is_ok() && times.len() == 13);
        let (result, times) = play(&retry, &vec![down(); 9999]).await;
        assert_eq!(result.unwrap_err().verdict, Verdict::Fatal);
        let last = times[times.len() - 1];
        assert!(last > MAX_PAUSE && last < MAX_PAUSE + 2 * MAX_WAIT, "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_without_a_server_behind_it_stops_the_run() {
        let broken = Failure::new(Verdict::Retry, "status_502", "bad gateway");
        let other = Failure::new(Verdict::Retry, "status_500", "oops");
        assert_eq!(play(&retry(), &vec![other; 9]).await.0.unwrap_err().verdict, Verdict::RejectRecord);
        let retry = retry();
        assert_eq!(play(&retry, &vec![broken.clone(); 9]).await.0.unwrap_err().verdict, Verdict::Fatal);
        assert!(play(&retry, &[]).await.0.is_ok());
        assert_eq!(play(&retry, &vec![broken; 9]).await.0.unwrap_err().verdict, Verdict::RejectRecord);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_for_some_requests_is_transient_while_others_are_answered() {
        let page = Failure { hint: Some("is it the right address?"), ..failure(Verdict::Retry) };
        let retry = retry();
        let result = retry
            .run(None, || {
                retry.note_answer();
                let page = page.clone();
                async { Err::<Completion, _>(page) }.boxed()
            })
            .await;
        assert_eq!(result.unwrap_err().verdict, Verdict::RejectRecord);
    }
}
