//! The results of `classify` stages: the number of records with each label, and how certain the labels are.

use serde::{Deserialize, Serialize};

use super::Proportion;

/// The results of one `classify` stage of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassifyTotals {
    /// The stage's id.
    pub stage: String,
    /// Records that it classified, each counted once even if it was expanded into several.
    pub records: u64,
    /// The labels, the most frequent first.
    pub labels: Vec<LabelCount>,
    /// The mean probability that an answer names any of the choices.
    pub coverage: f64,
    /// Records whose probabilities come from samples, since the server returned no log probabilities.
    pub sampled: u64,
}

/// The records with one label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelCount {
    /// The label.
    pub label: String,
    /// The proportion of records with this label.
    pub part: Proportion,
    /// The mean probability of the label in its records.
    pub probability: f64,
}
