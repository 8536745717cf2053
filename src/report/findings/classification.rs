//! What the stages that classify found: how many records have which label, and how sure that is.

use serde::{Deserialize, Serialize};

use super::Proportion;

/// What one `classify` stage of the run found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassifyTotals {
    /// The stage's id.
    pub stage: String,
    /// Records that it classified, each once however many records were made of it.
    pub records: u64,
    /// The labels, the most frequent first.
    pub labels: Vec<LabelCount>,
    /// How much of the model's answers named a choice at all, on average.
    pub coverage: f64,
    /// Records whose probabilities come from samples, as the server gave no log probabilities.
    pub sampled: u64,
}

/// The records with one label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelCount {
    /// The label.
    pub label: String,
    /// Its proportion of all.
    pub part: Proportion,
    /// The mean probability of the label in its records.
    pub probability: f64,
}
