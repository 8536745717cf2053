//! The configuration of a run, and sampled exchanges with its models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Turn;

/// The configuration of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The resolved pipeline, without secrets, as stored in the run directory.
    pub pipeline: String,
    /// Every setting by its path, such as `models.teacher.model`, and the hash of every file read, under
    /// `file config/context.txt`.
    pub settings: BTreeMap<String, String>,
}

/// A setting whose values differ between two runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingChange {
    /// Its path.
    pub setting: String,
    /// Its value in the first; `None` if it is not set.
    pub before: Option<String>,
    /// Its value in the other.
    pub after: Option<String>,
}

/// A whole prompt with its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampledExchange {
    /// The record.
    pub id: String,
    /// The `llm` stage that asked.
    pub stage: String,
    /// The model's name in the pipeline.
    pub model: String,
    /// The provider that answered, or `heuristic`.
    pub provider: String,
    /// The outcome of the record: `ok`, `dropped` or `rejected: CLASS`.
    pub outcome: String,
    /// The messages sent.
    pub messages: Vec<Turn>,
    /// The last answer, if any.
    pub answer: Option<String>,
}
