//! The one place where a request is repeated: backoff, the budget of retries, and when to give up.
//!
//! `remote` and `batch` hand it a way to make one attempt; `classify` has judged what each brought. A request that was
//! refused waits here for as long as the server asked; whether others wait too, the quota pool and the endpoints
//! decide before an attempt. Time is tokio's, so tests can turn it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;
use tracing::debug;

use super::classify::{Failure, Verdict};
use super::jitter::Jitter;
use super::quota::RetryBudget;
use super::slot::{self, Slot};

/// The longest wait that is accepted from a server, and the longest that endpoints may be out of reach;
/// after it the run stops, to be resumed.
pub(super) const MAX_PAUSE: Duration = Duration::from_mins(15);
/// How long a server may refuse everything, saying each time to come back soon.
const LONGEST_STORM: Duration = Duration::from_hours(1);
/// Waits between attempts grow to this.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// The same while the server has not answered anyone yet: who forgot to start it should hear it soon.
const LONGEST_FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long a server that never answered anyone may be out of reach.
const PATIENCE_AT_START: Duration = Duration::from_secs(4);

/// How the requests to one model are repeated, and what they know together.
#[derive(Debug)]
pub(super) struct Retry {
    model: String,
    max_attempts: u32,
    base: Duration,
    budget: RetryBudget,
    news: Mutex<News>,
}

/// How it went lately, for all requests to the model.
#[derive(Debug)]
struct News {
    answered: u64,
    /// When the first failure since the last answer was seen.
    failing_since: Option<Instant>,
    chance: Jitter,
}

impl Retry {
    /// `base` is the upper bound of the first wait; each further one doubles it.
    pub(super) fn new(model: &str, max_attempts: u32, base: Duration) -> Self {
        Self::with_jitter(model, max_attempts, base, Jitter::new())
    }

    pub(super) fn with_jitter(model: &str, max_attempts: u32, base: Duration, chance: Jitter) -> Self {
        let news = Mutex::new(News { answered: 0, failing_since: None, chance });
        Self { model: model.to_owned(), max_attempts, base, budget: RetryBudget::new(), news }
    }

    pub(super) fn set_base(&mut self, base: Duration) {
        self.base = base;
    }

    pub(super) fn base(&self) -> Duration {
        self.base
    }

    /// Makes attempts until one succeeds or the failure is final. A pause costs no attempt, only time. Between attempts
    /// it waits without the slot.
    pub(super) async fn run<'a, T>(
        &self,
        slot: Option<&dyn Slot>,
        mut attempt: impl FnMut() -> BoxFuture<'a, Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        let answered_before = self.news().answered;
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
                // The server is there and answers, even if not this question.
                self.note_answer_of(&failure);
                return Err(failure);
            }
            let asked = failure.retry_after.unwrap_or_default();
            let (answered, failing) = self.note_failure();
            if (asked > MAX_PAUSE && failure.verdict == Verdict::Throttled) || failing > LONGEST_STORM {
                let message = format!("{}; the server has no room for too long", failure.message);
                return Err(Failure { verdict: Verdict::Fatal, message, ..failure });
            }
            // A certificate does not mend itself, and who set the address up should hear of it at once.
            if failure.class == "tls" && answered == 0 {
                return Err(hinted(failure));
            }
            // A lack of our own passes as connections are closed.
            let lacking = failure.class == "too_many_open_files";
            let down = failure.class == "unreachable";
            let patience = if answered > 0 { MAX_PAUSE } else { PATIENCE_AT_START };
            if (down && failing > patience) || (lacking && failing > MAX_PAUSE) {
                return Err(hinted(failure));
            }
            let wait = match failure.verdict {
                // It costs no attempt. Others wait too where the pool or the endpoint finds that there is no room.
                Verdict::Throttled => {
                    refusals += 1;
                    match asked.is_zero() {
                        true => self.back_off(refusals, LONGEST_WAIT),
                        false => asked + self.jitter(asked),
                    }
                }
                // Somebody was answered before, so the endpoint is down, not wrong: that costs no attempt.
                _ if lacking || (down && answered > 0) => {
                    tries += 1;
                    self.back_off(tries, LONGEST_WAIT)
                }
                // The server had closed an idle connection; the question never reached it.
                _ if failure.class == "reset" && free => {
                    free = false;
                    Duration::ZERO
                }
                _ => {
                    failures += 1;
                    if failures >= self.max_attempts {
                        return Err(self.last_word(failure, answered_before));
                    }
                    let quick = answered == 0 && failure.hint.is_some();
                    let longest = if quick { LONGEST_FIRST_WAIT } else { LONGEST_WAIT };
                    asked.min(MAX_PAUSE) + self.back_off(failures, longest)
                }
            };
            let waits = async {
                // Even a sleep of nothing takes until the clock's next tick.
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                if failure.answers_to_load {
                    self.budget.withdraw().await;
                }
            };
            slot::without(slot, waits).await;
        }
    }

    /// An endpoint that answered nobody since this request began is down: that is no fault of the record,
    /// and the next ones would fare no better.
    fn last_word(&self, failure: Failure, answered_before: u64) -> Failure {
        let answered = self.news().answered;
        let alone = answered == answered_before;
        // A gateway with nothing behind it. Other failures may be the question's: a run that stopped at one would
        // stop there at each start.
        let never_worked = answered == 0 && matches!(&*failure.class, "status_502" | "status_504");
        match alone && (failure.hint.is_some() || never_worked) {
            true => hinted(failure),
            false => Failure { verdict: Verdict::RejectRecord, ..failure },
        }
    }

    fn note_answer(&self) {
        self.budget.deposit();
        let mut news = self.news();
        news.answered += 1;
        news.failing_since = None;
    }

    fn note_answer_of(&self, failure: &Failure) {
        if failure.verdict == Verdict::RejectRecord {
            self.news().failing_since = None;
        }
    }

    /// How many were answered so far, and how long there has been nothing but failures.
    fn note_failure(&self) -> (u64, Duration) {
        let mut news = self.news();
        let since = *news.failing_since.get_or_insert_with(Instant::now);
        (news.answered, since.elapsed())
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A little later than asked, so that several runs do not all come back at once.
    fn jitter(&self, asked: Duration) -> Duration {
        self.news().chance.part_of((asked / 10).min(Duration::from_secs(1)))
    }

    /// Full jitter: any time between nothing and a bound that doubles with each failure.
    fn back_off(&self, failures: u32, longest: Duration) -> Duration {
        let bound = self.base.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        self.news().chance.part_of(bound.min(longest))
    }
}

/// The failure as one that stops the run, with what to do about it.
fn hinted(failure: Failure) -> Failure {
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

    /// Plays the outcomes one after the other, then success; gives the result and the attempts' times.
    async fn play(retry: &Retry, outcomes: &[Failure]) -> (Result<Completion, Failure>, Vec<Duration>) {
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

    fn retry() -> Retry {
        Retry::new("m", 3, Duration::from_millis(500))
    }

    #[tokio::test(start_paused = true)]
    async fn final_failures_are_asked_once() {
        for verdict in [Verdict::Fatal, Verdict::RejectRecord] {
            let (result, times) = play(&retry(), &[failure(verdict)]).await;
            assert_eq!((result.unwrap_err().verdict, times.len()), (verdict, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bad_luck_is_tried_again_within_bounds() {
        let bad = failure(Verdict::Retry);
        let (result, times) = play(&retry(), &[bad.clone(), bad.clone()]).await;
        assert!(result.is_ok());
        assert!(times[1] <= Duration::from_millis(601), "{times:?}");
        assert!(times[2] - times[1] <= Duration::from_millis(1101), "{times:?}");
        let (result, times) = play(&retry(), &vec![bad; 9]).await;
        assert_eq!((result.unwrap_err().verdict, times.len()), (Verdict::RejectRecord, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_cost_no_attempt_but_do_not_last_for_ever() {
        let (result, times) = play(&retry(), &vec![failure(Verdict::Throttled); 60]).await;
        assert!(result.is_ok());
        assert_eq!(times.len(), 61);
        let (result, times) = play(&retry(), &vec![failure(Verdict::Throttled); 999]).await;
        assert_eq!(result.unwrap_err().verdict, Verdict::Fatal);
        assert!(times[times.len() - 1] > LONGEST_STORM, "{:?}", times.len());
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
    async fn a_connection_closed_at_the_moment_of_use_is_tried_again_at_once() {
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
    async fn a_certificate_is_fatal_at_once_but_bad_luck_later() {
        let bad = Failure { class: "tls".to_owned(), ..down() };
        let retry = retry();
        let (result, times) = play(&retry, &vec![bad.clone(); 9]).await;
        assert_eq!((result.unwrap_err().verdict, times.len()), (Verdict::Fatal, 1));
        assert!(play(&retry, &[]).await.0.is_ok());
        let (result, times) = play(&retry, &[bad.clone(), bad]).await;
        assert!(result.is_ok() && times.len() == 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_was_there_before_is_waited_for() {
        let retry = retry();
        assert!(play(&retry, &[]).await.0.is_ok());
        let (result, times) = play(&retry, &vec![down(); 12]).await;
        assert!(result.is_ok() && times.len() == 13);
        let (result, times) = play(&retry, &vec![down(); 9999]).await;
        assert_eq!(result.unwrap_err().verdict, Verdict::Fatal);
        let last = times[times.len() - 1];
        assert!(last > MAX_PAUSE && last < MAX_PAUSE + 2 * LONGEST_WAIT, "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_with_nothing_behind_it_stops_the_run() {
        let broken = Failure::new(Verdict::Retry, "status_502", "bad gateway");
        let other = Failure::new(Verdict::Retry, "status_500", "oops");
        assert_eq!(play(&retry(), &vec![other; 9]).await.0.unwrap_err().verdict, Verdict::RejectRecord);
        let retry = retry();
        assert_eq!(play(&retry, &vec![broken.clone(); 9]).await.0.unwrap_err().verdict, Verdict::Fatal);
        assert!(play(&retry, &[]).await.0.is_ok());
        assert_eq!(play(&retry, &vec![broken; 9]).await.0.unwrap_err().verdict, Verdict::RejectRecord);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_for_some_is_bad_luck_where_others_are_answered() {
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
