//! How a run was configured, and what its model was asked: what a reader wants to know beside the numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Turn;

/// The configuration of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The resolved pipeline, without secrets, as it stands in the run directory.
    pub pipeline: String,
    /// Every setting by its path, such as `models.teacher.model`, and the hash of every file that was read, as
    /// `file config/context.txt`.
    pub settings: BTreeMap<String, String>,
}

/// A setting that two runs have different values of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingChange {
    /// Its path.
    pub setting: String,
    /// Its value in the first; `None` where it is not set.
    pub before: Option<String>,
    /// Its value in the other.
    pub after: Option<String>,
}

/// A prompt with its answer, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampledExchange {
    /// The record.
    pub id: String,
    /// The `llm` stage that asked.
    pub stage: String,
    /// The model's name in the pipeline.
    pub model: String,
    /// Who answered: the provider, or `heuristic`.
    pub provider: String,
    /// How the record ended: `ok`, `rejected`, or why it was dropped.
    pub outcome: String,
    /// The messages sent.
    pub messages: Vec<Turn>,
    /// The last answer; `None` where there was none.
    pub answer: Option<String>,
}
