//! Requested and actual lengths.

use serde::{Deserialize, Serialize};

use super::Proportion;

/// Lengths of all records, by part and unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lengths {
    /// One entry per part and unit with texts: (`text` | `user` | `assistant`) x (`words` | `tokens`).
    pub parts: Vec<PartLengths>,
    /// How well requested lengths were met; `None` if no record has `target_words`.
    pub asked: Option<LengthAdherence>,
}

/// The lengths of one part of the records, in one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartLengths {
    /// `text` (records of one text), `user` or `assistant` (conversations; all turns of the role together).
    pub part: String,
    /// `words` (Unicode words; one by one for scripts without spaces) or `tokens` (o200k_base).
    pub unit: String,
    /// Summary of the actual lengths.
    pub actual: LengthSummary,
    /// Whether the lengths are those of the sample (tokens of very large data) rather than of all records.
    pub sampled: bool,
    /// Actual lengths, and requested ones over the same bins if known.
    pub histogram: Histogram,
}

/// Summary statistics of lengths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LengthSummary {
    /// Texts.
    pub count: u64,
    /// Shortest.
    pub min: u64,
    /// 5 % are not longer.
    pub p5: u64,
    /// Half are not longer.
    pub median: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// 95 % are not longer.
    pub p95: u64,
    /// Longest.
    pub max: u64,
}

/// Counts in bins, which are the same for a part and unit in all findings of a report. Bin `i` covers
/// `edges[i] <= length < edges[i + 1]`. Bins have equal width, except for the last, which covers the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The edges: one more than there are bins.
    pub edges: Vec<u64>,
    /// Actual lengths by bin.
    pub actual: Vec<u64>,
    /// Requested lengths by bin.
    pub asked: Option<Vec<u64>>,
}

/// How well the requested number of words was met, over records with `target_words`. The part compared is `text` if
/// records have one, else `assistant`, else `user`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LengthAdherence {
    /// The part whose length was requested.
    pub part: String,
    /// Summary of the requested lengths, in words.
    pub asked: LengthSummary,
    /// Records compared.
    pub records: u64,
    /// Pearson correlation of requested and actual lengths; `None` if either does not vary.
    pub correlation: Option<f64>,
    /// Mean actual length over mean requested length.
    pub ratio: f64,
    /// Records within ± 25 % of the requested length.
    pub within_25: Proportion,
    /// Records within ± 50 %.
    pub within_50: Proportion,
    /// (requested, actual) lengths of some sampled records, for a scatter plot; at most 500.
    pub pairs: Vec<(u64, u64)>,
}
