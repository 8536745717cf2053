//! The result of a `classify` stage for one record, as stored in provenance, where `report` reads it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The label of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Classification {
    /// The most probable choice.
    pub(crate) classified: String,
    /// The path of the stage.
    pub(crate) stage: String,
    /// The id of the record when it was classified.
    pub(crate) record: String,
    /// The probability of the label.
    pub(crate) probability: f64,
    /// The probability that an answer names any of the choices.
    pub(crate) coverage: f64,
    /// `logprobs`, `samples` or `heuristic`.
    pub(crate) method: String,
}

impl Classification {
    /// Reads a classification from provenance; `None` for any other value.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        value.get("classified")?;
        Self::deserialize(value).ok()
    }
}
