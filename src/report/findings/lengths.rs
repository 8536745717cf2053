//! Asked and actual lengths.

use serde::{Deserialize, Serialize};

use super::Proportion;

/// Lengths of all records, by part and unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lengths {
    /// One entry a part and unit that has texts: (`text` | `user` | `assistant`) x (`words` | `tokens`).
    pub parts: Vec<PartLengths>,
    /// How well an asked length was met; `None` when no record has `target_words`.
    pub asked: Option<LengthAdherence>,
}

/// The lengths of one part of the records, in one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartLengths {
    /// `text` (records of one text), `user` or `assistant` (conversations; all turns of the role together).
    pub part: String,
    /// `words` (Unicode words; one by one for scripts without spaces) or `tokens` (o200k_base).
    pub unit: String,
    /// Of the actual lengths.
    pub actual: LengthSummary,
    /// Whether the lengths come of the sample (tokens of very large data) rather than of all records.
    pub sampled: bool,
    /// Actual lengths, and asked ones over the same bins where they are known.
    pub histogram: Histogram,
}

/// A distribution of lengths in a few numbers; quantiles are exact up to the bins' width.
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

/// Counts in bins, the same bins for the same part and unit in all findings of a report; the first bin begins at `edges[0]`, bin `i` is `edges[i] <= length < edges[i + 1]`. Bins are of
/// equal width but the last, which is open and holds the rest up to the longest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Edges, one more than bins.
    pub edges: Vec<u64>,
    /// Actual lengths by bin.
    pub actual: Vec<u64>,
    /// Asked lengths by bin.
    pub asked: Option<Vec<u64>>,
}

/// How well the asked number of words was met, over records with `target_words`. The part compared is the only
/// one there is, else `user` where the pipeline makes user inputs, else `assistant`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LengthAdherence {
    /// The part whose length was asked for.
    pub part: String,
    /// Of the asked lengths, in words.
    pub asked: LengthSummary,
    /// Records compared.
    pub records: u64,
    /// Pearson's correlation of asked and actual; `None` when one of them does not vary.
    pub correlation: Option<f64>,
    /// Mean of actual over mean of asked.
    pub ratio: f64,
    /// Records within ± 25 % of the asked length.
    pub within_25: Proportion,
    /// Records within ± 50 %.
    pub within_50: Proportion,
    /// (asked, actual) of some sampled records, for a scatter plot; at most 500.
    pub pairs: Vec<(u64, u64)>,
}
