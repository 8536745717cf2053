//! `status.json`: the status of a run, as the run writes it and `status` reads it back.
//!
//! The ledger builds a `RunStatus` on each tick, for the progress line and about once a second for the file; the engine
//! writes the last one at the end of a start. Serialization order is field order. Reading is tolerant, since the file may
//! come from another version: unknown fields are ignored, missing ones take their defaults.

use serde::{Deserialize, Serialize};

use super::gate::WindowFigures;
use super::metrics::StageFigures;
use crate::journal::Spent;
use crate::llm::{BatchFigures, EndpointFigures, PoolFigures, Tokens};
use crate::stage::LeftOut;

/// The status of a run at one moment, which is what `status.json` holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunStatus {
    /// State of the start that wrote the file.
    pub state: RunPhase,
    /// What failed; absent unless the state is `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The pipeline's name.
    pub pipeline: String,
    /// Items admitted, over all starts.
    pub admitted: u64,
    /// Items that ended ok and are committed, over all starts.
    pub ok: u64,
    /// Items that ended dropped and are committed, over all starts.
    pub dropped: u64,
    /// Items that ended rejected and are committed, over all starts.
    pub rejected: u64,
    /// Items between admission and commit.
    pub in_flight: u64,
    /// Requests that were refused or failed, and wait before they are sent again.
    pub waiting_to_retry: u64,
    /// Documents or rows that could not be read, in this start.
    pub source_failures: u64,
    /// The files that the source reads and leaves out, if it looks for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_files: Option<LeftOut>,
    /// The number of items of the whole run, once known.
    pub total: Option<u64>,
    /// The number of items estimated from the documents read so far, for the time left; not written.
    #[serde(skip)]
    pub estimate: Option<u64>,
    /// Records written, over all starts, by the path of the sink's file.
    pub records: Vec<(String, u64)>,
    /// Dropped records by reason, in this start.
    pub drops: Vec<(String, u64)>,
    /// Rejected records by class, in this start.
    pub rejections: Vec<(String, u64)>,
    /// Requests to models, in this start.
    pub requests: u64,
    /// Answers recovered from earlier starts of the run, in this start.
    pub recovered: u64,
    /// Answers reused from another run, in this start.
    pub reused: u64,
    /// Requests repeated because an answer was invalid, in this start.
    pub re_asks: u64,
    /// Attempts at requests beyond the first ones, in this start.
    pub retries: u64,
    /// Answers that ended at their token limit, in this start.
    pub cut_off: u64,
    /// Answers of the heuristic in place of a model, in this start.
    pub fallbacks: u64,
    /// Tokens read and written by models, in this start; estimated for answers without usage.
    pub tokens: Tokens,
    /// Answers whose token usage the server did not report, in this start. `spent` counts all that was reserved for
    /// them.
    pub without_usage: u64,
    /// Tokens and cost over all starts: what counts against the budget.
    pub spent: Spent,
    /// The projected cost of the whole run, in the currency of the models' prices. `None` before any item has ended,
    /// once all have, and if nothing has a cost.
    pub projected_cost: Option<f64>,
    /// The records that wait at the gates; absent in a run without `accept` or another gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowFigures>,
    /// Duration of this start, in seconds.
    pub seconds: f64,
    /// Items ended per second, over the last ticks.
    pub rate: f64,
    /// Figures by stage, in this start.
    pub stages: Vec<StageFigures>,
    /// The models' endpoints.
    pub endpoints: Vec<EndpointFigures>,
    /// The quota pools that the models draw on.
    pub pools: Vec<PoolFigures>,
    /// The batches that are being gathered or are with a provider.
    pub batches: Vec<BatchFigures>,
    /// Number of the start that wrote the file, from 1; absent until the start ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<u32>,
}

/// State of a start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    /// Items are being made.
    #[default]
    Running,
    /// Waits for what is in flight, admits nothing more.
    Draining,
    /// Every item has ended.
    Finished,
    /// Stopped before the end; the same command resumes the run.
    Interrupted,
    /// The next request might have exceeded the budget.
    OutOfBudget,
    /// Ended by an error, which `failure` names.
    Failed,
    /// A state that only another version of the program knows.
    #[serde(other)]
    Unknown,
}

impl RunStatus {
    /// Parses the bytes of a `status.json`; `None` if they are none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_read_back_as_it_was_written() {
        let status = RunStatus {
            state: RunPhase::OutOfBudget,
            failure: Some("no".into()),
            records: vec![("train.jsonl".into(), 7)],
            tokens: Tokens { prompt: 5, completion: 3, cached: 1 },
            spent: Spent { tokens: 8, cost: 0.1 },
            projected_cost: Some(0.3),
            window: Some(WindowFigures { records: 2, ..WindowFigures::default() }),
            stages: vec![StageFigures { stage: "llm".into(), received: 4, ..StageFigures::default() }],
            endpoints: vec![EndpointFigures {
                state: "up".into(),
                limit: Some(2),
                ..EndpointFigures::default()
            }],
            pools: vec![PoolFigures { pool: "teacher".into(), ..PoolFigures::default() }],
            batches: vec![BatchFigures { number: 1, state: "gathering".into(), ..BatchFigures::default() }],
            start: Some(3),
            ..RunStatus::default()
        };
        let written = serde_json::to_string_pretty(&status).unwrap();
        let read: RunStatus = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string_pretty(&read).unwrap(), written);
        assert!(
            written.starts_with("{\n  \"state\": \"out_of_budget\",\n  \"failure\": \"no\",\n"),
            "{written}"
        );
        assert!(written.ends_with("\n  \"start\": 3\n}"), "{written}");
    }

    #[test]
    fn files_of_other_versions_are_read() {
        let earlier = json!({"state": "running", "admitted": 9, "tokens": {"prompt": 5, "completion": 3},
            "stages": [{"stage": "llm", "received": 9}], "endpoints": [{"url": "http://a"}]});
        let read: RunStatus = serde_json::from_value(earlier).unwrap();
        assert_eq!((read.state, read.admitted, read.tokens.prompt), (RunPhase::Running, 9, 5));
        assert_eq!((read.stages[0].received, read.stages[0].cached_tokens), (9, 0));
        let later = json!({"state": "paused", "ok": 4, "mood": {"good": true}});
        let read: RunStatus = serde_json::from_value(later).unwrap();
        assert_eq!((read.state, read.ok), (RunPhase::Unknown, 4));
    }
}
