//! Counters that the stages' tasks increment and the ledger reads: plain atomics, one set per stage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::execute::StageOutcome;
use super::record_end::RecordEnd;
use crate::journal::Spent;
use crate::llm::Tokens;

/// The counters of one stage.
#[derive(Debug)]
pub(crate) struct StageMetrics {
    id: Arc<str>,
    received: AtomicU64,
    sent: AtomicU64,
    dropped: AtomicU64,
    rejected: AtomicU64,
    skipped: AtomicU64,
    busy_nanos: AtomicU64,
    /// The part of the busy time in which records waited for a slot at the model.
    waited_nanos: AtomicU64,
    queue: AtomicU64,
    longest_queue: AtomicU64,
    requests: AtomicU64,
    re_asks: AtomicU64,
    retries: AtomicU64,
    truncated: AtomicU64,
    fallbacks: AtomicU64,
    without_usage: AtomicU64,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    /// In billionths of the currency.
    cost: AtomicU64,
    /// Answers with a time to first token, the sum of these times, and the longest.
    streamed: AtomicU64,
    first_token_nanos: AtomicU64,
    longest_first_token_nanos: AtomicU64,
}

/// The counters of a stage at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StageFigures {
    /// The stage's id.
    pub stage: Arc<str>,
    /// Records that entered the stage.
    pub received: u64,
    /// Records that left it, those that it was split into counted singly.
    pub sent: u64,
    /// Records dropped with a reason.
    pub dropped: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Passes or elements of a block that failed and were skipped.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Records waiting before the stage.
    pub queue: u64,
    /// The most records that waited before the stage at a time.
    pub longest_queue: u64,
    /// Seconds that the stage worked or waited for an answer, summed over records; without those spent waiting for a
    /// slot at the model.
    pub busy_seconds: f64,
    /// Requests to its model.
    pub requests: u64,
    /// Tokens its model read; estimated where its server did not report them.
    pub prompt_tokens: u64,
    /// Tokens its model wrote; estimated where its server did not report them.
    pub completion_tokens: u64,
    /// The part of the tokens read that its server reports as cached.
    pub cached_tokens: u64,
    /// The cost of these tokens, in the currency of the model's prices.
    pub cost: f64,
    /// The time until the first tokens of answers, if they are streamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_first_token: Option<FirstTokens>,
}

/// The times from sending a request to the first event of its answer with text, reasoning or a tool call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FirstTokens {
    /// Streamed answers, in this start.
    pub answers: u64,
    /// The mean time.
    pub mean_seconds: f64,
    /// The longest time.
    pub longest_seconds: f64,
}

/// The sums of the counters of all stages that ask a model.
#[derive(Debug, Default)]
pub(crate) struct ModelFigures {
    pub(crate) requests: u64,
    pub(crate) re_asks: u64,
    pub(crate) retries: u64,
    pub(crate) truncated: u64,
    pub(crate) fallbacks: u64,
    pub(crate) without_usage: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) cached_tokens: u64,
}

impl StageMetrics {
    pub(crate) fn new(id: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            id,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            waited_nanos: AtomicU64::new(0),
            queue: AtomicU64::new(0),
            longest_queue: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            re_asks: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            truncated: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            without_usage: AtomicU64::new(0),
            prompt_tokens: AtomicU64::new(0),
            completion_tokens: AtomicU64::new(0),
            cached_tokens: AtomicU64::new(0),
            cost: AtomicU64::new(0),
            streamed: AtomicU64::new(0),
            first_token_nanos: AtomicU64::new(0),
            longest_first_token_nanos: AtomicU64::new(0),
        })
    }

    /// Counts a record that entered the stage.
    pub(crate) fn count_received(&self) {
        self.received.fetch_add(1, Relaxed);
    }

    /// Sets the number of records that wait before the stage.
    pub(crate) fn set_queue(&self, waiting: usize) {
        self.queue.store(waiting as u64, Relaxed);
        self.longest_queue.fetch_max(waiting as u64, Relaxed);
    }

    /// Counts what happened to a record.
    pub(crate) fn count_outcome(&self, outcome: &StageOutcome) {
        match outcome {
            StageOutcome::Passed => self.count_end(None),
            StageOutcome::Split(children) => {
                children.iter().for_each(|child| self.count_end(child.end.as_ref()))
            }
            StageOutcome::Ended(end) => self.count_end(Some(end)),
            StageOutcome::Halted(_) => {}
        }
    }

    fn count_end(&self, end: Option<&RecordEnd>) {
        let counter = match end {
            None => &self.sent,
            Some(RecordEnd::Dropped(_)) => &self.dropped,
            Some(RecordEnd::Rejected(_)) => &self.rejected,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_skipped(&self) {
        self.skipped.fetch_add(1, Relaxed);
    }

    /// Adds the time that a record was in the stage.
    pub(crate) fn add_busy(&self, time: Duration) {
        self.busy_nanos.fetch_add(nanos(time), Relaxed);
    }

    /// Adds the part of that time in which it waited for a slot at the model.
    pub(crate) fn add_waited(&self, time: Duration) {
        self.waited_nanos.fetch_add(nanos(time), Relaxed);
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Counts the attempts of a request after its first.
    pub(crate) fn count_retries(&self, attempts: u32) {
        self.retries.fetch_add(u64::from(attempts.saturating_sub(1)), Relaxed);
    }

    /// Counts an answer that was truncated, by its finish reason.
    pub(crate) fn count_finish_reason(&self, reason: Option<&str>) {
        if matches!(reason, Some("length" | "max_tokens")) {
            self.truncated.fetch_add(1, Relaxed);
        }
    }

    /// Adds the time that a streamed answer took to begin.
    pub(crate) fn add_first_token(&self, time: Duration) {
        self.streamed.fetch_add(1, Relaxed);
        self.first_token_nanos.fetch_add(nanos(time), Relaxed);
        self.longest_first_token_nanos.fetch_max(nanos(time), Relaxed);
    }

    pub(crate) fn count_reask(&self) {
        self.re_asks.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_fallback(&self) {
        self.fallbacks.fetch_add(1, Relaxed);
    }

    /// Adds the cost of a request.
    pub(crate) fn add_cost(&self, spent: Spent) {
        self.cost.fetch_add((spent.cost * 1e9).round() as u64, Relaxed);
    }

    /// Adds the tokens of an answer; `reported` says whether its server counted them.
    pub(crate) fn add_tokens(&self, tokens: Tokens, reported: bool) {
        self.without_usage.fetch_add(u64::from(!reported), Relaxed);
        self.prompt_tokens.fetch_add(tokens.prompt, Relaxed);
        self.completion_tokens.fetch_add(tokens.completion, Relaxed);
        self.cached_tokens.fetch_add(tokens.cached, Relaxed);
    }

    pub(crate) fn figures(&self) -> StageFigures {
        StageFigures {
            stage: Arc::clone(&self.id),
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            queue: self.queue.load(Relaxed),
            longest_queue: self.longest_queue.load(Relaxed),
            busy_seconds: self.busy_nanos.load(Relaxed).saturating_sub(self.waited_nanos.load(Relaxed))
                as f64
                / 1e9,
            requests: self.requests.load(Relaxed),
            prompt_tokens: self.prompt_tokens.load(Relaxed),
            completion_tokens: self.completion_tokens.load(Relaxed),
            cached_tokens: self.cached_tokens.load(Relaxed),
            cost: self.cost.load(Relaxed) as f64 / 1e9,
            time_to_first_token: self.first_tokens(),
        }
    }

    fn first_tokens(&self) -> Option<FirstTokens> {
        let answers = self.streamed.load(Relaxed);
        let seconds = |nanos: &AtomicU64| nanos.load(Relaxed) as f64 / 1e9;
        (answers > 0).then(|| FirstTokens {
            answers,
            mean_seconds: seconds(&self.first_token_nanos) / answers as f64,
            longest_seconds: seconds(&self.longest_first_token_nanos),
        })
    }
}

impl ModelFigures {
    pub(crate) fn of(stages: &[Arc<StageMetrics>]) -> Self {
        let mut sum = Self::default();
        for stage in stages {
            sum.requests += stage.requests.load(Relaxed);
            sum.re_asks += stage.re_asks.load(Relaxed);
            sum.retries += stage.retries.load(Relaxed);
            sum.truncated += stage.truncated.load(Relaxed);
            sum.fallbacks += stage.fallbacks.load(Relaxed);
            sum.without_usage += stage.without_usage.load(Relaxed);
            sum.prompt_tokens += stage.prompt_tokens.load(Relaxed);
            sum.completion_tokens += stage.completion_tokens.load(Relaxed);
            sum.cached_tokens += stage.cached_tokens.load(Relaxed);
        }
        sum
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde requires")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
