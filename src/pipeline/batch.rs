//! `mode: batch` of a model: its questions are sent in files, at half the price, and answered within a day.
//!
//! Part of `model`. The defaults and limits are those of the providers. Implemented by `llm/batch`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{ModelConfig, Provider};
use super::problem::Problem;

/// How a model's requests are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestMode {
    /// Each request by itself, answered immediately.
    #[default]
    Direct,
    /// Many requests in a file, with OpenAI's batch API (`/files` and `/batches`): half the price at most providers,
    /// with answers within a day. A run that is stopped or killed fetches them when it is continued. `concurrency`,
    /// `limits` and `pool` apply to direct requests only; here `batch.in_flight` limits their number.
    Batch,
}

/// How requests are collected into batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchConfig {
    /// The maximum number of requests in a batch; 10,000 by default, so that several batches are processed at a time.
    /// OpenAI accepts at most 50,000, and fewer if an account's queue is short.
    #[serde(default = "requests")]
    pub requests: u32,
    /// The maximum size of a batch's file, in bytes; providers accept at most 200 MB.
    #[serde(default = "bytes")]
    pub bytes: u64,
    /// The maximum number of requests that wait for an answer, over all batches; replaces `concurrency`. Each keeps
    /// its record in memory.
    #[serde(default = "in_flight")]
    pub in_flight: u32,
    /// A batch that is not full is sent when no request was added for this number of seconds, or 15 minutes after its
    /// first.
    #[serde(default = "linger")]
    pub linger: f64,
    /// The number of seconds between two polls of a batch.
    #[serde(default = "poll")]
    pub poll: f64,
    /// The time within which the provider should answer.
    #[serde(default = "window")]
    pub completion_window: String,
    /// The numbers of batches whose answers are no longer awaited; their requests are sent again.
    #[serde(default)]
    pub give_up: Vec<u32>,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            requests: requests(),
            bytes: bytes(),
            in_flight: in_flight(),
            linger: linger(),
            poll: poll(),
            completion_window: window(),
            give_up: Vec::new(),
        }
    }
}

fn requests() -> u32 {
    10_000
}

fn bytes() -> u64 {
    200_000_000
}

fn in_flight() -> u32 {
    50_000
}

fn linger() -> f64 {
    10.0
}

fn poll() -> f64 {
    30.0
}

fn window() -> String {
    "24h".to_owned()
}

impl ModelConfig {
    /// How its questions are sent.
    #[must_use]
    pub fn mode(&self) -> RequestMode {
        self.mode.unwrap_or_default()
    }

    /// The maximum number of unanswered questions.
    #[must_use]
    pub fn places(&self) -> u32 {
        match self.mode() {
            RequestMode::Direct => self.concurrency.most().min(self.connections.unwrap_or(u32::MAX)),
            RequestMode::Batch => self.batch.in_flight,
        }
    }

    /// The number of items that keep the model busy; more than its concurrent requests if it answers within
    /// seconds.
    pub(crate) fn items(&self) -> u32 {
        match self.mode() {
            RequestMode::Direct => self.places().saturating_mul(2),
            // As many records are in memory already.
            RequestMode::Batch => self.places(),
        }
    }
}

/// Reports what is wrong with a model's `mode` and `batch`; `at` is the model's pointer.
pub(crate) fn check(at: &str, model: &ModelConfig, problems: &mut Vec<Problem>) {
    let mut wrong = |field: &str, message: &str, expected: &str| {
        problems.push(Problem::new(format!("{at}/{field}"), message).with_expected(expected));
    };
    let batch = &model.batch;
    if model.mode() == RequestMode::Direct {
        if model.mode.is_none() && *batch != BatchConfig::default() {
            let message = "the model has settings for batches, but is not asked in any";
            wrong("batch", message, "`mode: batch` beside them, or `mode: direct`");
        }
        return;
    }
    // A provider without a server, as with `--no-llm`, answers at once in either mode.
    if model.provider == Provider::Anthropic {
        wrong("mode", "the batch API is OpenAI's, not Anthropic's", "`direct`");
    }
    if model.stream {
        wrong(
            "stream",
            "the answers of a batch come in a file, not in a stream",
            "`false`, or `mode: direct`",
        );
    }
    if model.base_urls.len() > 1 {
        wrong("base_urls", "a batch is with one provider, not with several", "one address");
    }
    for (field, none) in [
        ("batch/requests", batch.requests == 0),
        ("batch/bytes", batch.bytes == 0),
        ("batch/in_flight", batch.in_flight == 0),
    ] {
        if none {
            wrong(field, "found the number `0`", "1 or more");
        }
    }
    if batch.requests > MOST {
        let message = format!("found the number `{}`", batch.requests);
        wrong("batch/requests", &message, "at most 100000; OpenAI takes 50000");
    }
    for (field, seconds) in [("batch/linger", batch.linger), ("batch/poll", batch.poll)] {
        if !(seconds > 0.0 && seconds <= LONGEST) {
            wrong(field, &format!("found the number `{seconds}`"), "seconds, more than 0 and at most 86400");
        }
    }
}

/// No provider accepts more questions in one batch.
const MOST: u32 = 100_000;
/// A longer polling interval is a mistake.
const LONGEST: f64 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn invalid_settings_are_reported() {
        let check = |more: Value, expected: &[&str]| {
            let mut model = json!({"model": "m", "base_urls": ["http://h/v1"]});
            model.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            let model: ModelConfig = serde_json::from_value(model).unwrap();
            let mut problems = Vec::new();
            super::check("/models/m", &model, &mut problems);
            let places: Vec<&str> = problems.iter().map(|problem| &*problem.at).collect();
            assert_eq!(places, expected, "{model:?}");
        };
        check(json!({}), &[]);
        check(json!({"mode": "batch"}), &[]);
        check(json!({"mode": "direct", "batch": {"requests": 10}}), &[]);
        check(json!({"batch": {"requests": 10}}), &["/models/m/batch"]);
        check(json!({"mode": "batch", "provider": "anthropic"}), &["/models/m/mode"]);
        check(json!({"mode": "batch", "provider": "heuristic"}), &[]);
        check(json!({"mode": "batch", "stream": true}), &["/models/m/stream"]);
        check(json!({"stream": true}), &[]);
        check(
            json!({"mode": "batch", "base_urls": ["http://a/v1", "http://b/v1"]}),
            &["/models/m/base_urls"],
        );
        let none = json!({"mode": "batch", "batch": {"requests": 0, "bytes": 0, "in_flight": 0, "poll": 0}});
        check(
            none,
            &[
                "/models/m/batch/requests",
                "/models/m/batch/bytes",
                "/models/m/batch/in_flight",
                "/models/m/batch/poll",
            ],
        );
    }
}
