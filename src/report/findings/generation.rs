//! Totals of the generated data: files, counts, tokens, cost and time, and the precision of shares.

use serde::{Deserialize, Serialize};

use super::Proportion;

/// The input that was read.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputSource {
    /// Whether it is a run directory, with provenance and accounting, or bare files.
    pub run: bool,
    /// The path as given by the user.
    pub path: String,
    /// The pipeline's name, for a run.
    pub pipeline: Option<String>,
    /// When the run started, `YYYY-MM-DD_HH-MM-SS`.
    pub started: Option<String>,
    /// `finished`, `interrupted`, `running`; for a run.
    pub state: Option<String>,
}

/// Counts, tokens, cost and time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationTotals {
    /// The files read, with their records.
    pub files: Vec<FileCount>,
    /// Records by split, if records or file names have one (`train`, `validation`).
    pub splits: Vec<NamedCount>,
    /// Items by outcome; for a run.
    pub identity: Option<ItemAccounting>,
    /// Dropped records by reason.
    pub drops: Vec<NamedCount>,
    /// Rejected records by class and stage, most frequent first.
    pub rejections: Vec<RejectionCause>,
    /// Use of each model, from provenance, over records that were kept or rejected.
    pub models: Vec<ModelUse>,
    /// Files or rows of the source that could not be read.
    pub source_unread: u64,
    /// Cost of the run by the prices in its pipeline; `None` without prices.
    pub spent: Option<f64>,
    /// Tokens of the models over the run.
    pub tokens: Option<TokenTotals>,
    /// Cost of the tokens by the prices given to the report, if any.
    pub cost: Option<CostBreakdown>,
    /// Duration of the run in seconds, over all starts.
    pub seconds: Option<f64>,
    /// Confidence intervals for shares of 50, 20, 10, 5 and 1 % estimated from these records.
    pub estimates: Vec<ShareEstimate>,
    /// Sample sizes for intervals of several widths.
    pub needed: Vec<RequiredSize>,
}

/// A file and its records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileCount {
    /// The path, relative to the run directory for a run.
    pub path: String,
    /// Records in it.
    pub records: u64,
    /// Lines that are not records; they are counted and left out.
    pub malformed: u64,
    /// What is wrong with the file as a whole, such as an unclosed array; the end of a sentence about it.
    pub damage: Option<String>,
    /// Records answered by the heuristic, as far as they say so.
    pub by_heuristic: u64,
    /// Whether its texts are measured; `false` for a second copy of records in another file.
    pub measured: bool,
}

/// A name and how often it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedCount {
    /// What was counted.
    pub name: String,
    /// Its count and the total.
    pub part: Proportion,
}

/// `admitted = ok + dropped + rejected + in flight`, in items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemAccounting {
    /// Items taken from the source.
    pub admitted: u64,
    /// Items with at least one record written.
    pub ok: u64,
    /// Items that a filter dropped.
    pub dropped: u64,
    /// Items that could not be generated.
    pub rejected: u64,
    /// Items not finished yet.
    pub in_flight: u64,
    /// Whether the equation holds.
    pub holds: bool,
}

/// Rejected records of one class and stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RejectionCause {
    /// The error's class, such as `schema`.
    pub class: String,
    /// The stage that rejected.
    pub stage: String,
    /// Its records, of all that were kept or rejected.
    pub part: Proportion,
    /// The message of the first record.
    pub example: String,
}

/// Use of one model, over kept, rejected and dropped records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelUse {
    /// The model's name in the pipeline.
    pub model: String,
    /// The provider that answers for it.
    pub provider: String,
    /// The name sent to the server; `None` if no server is asked.
    pub asked_as: Option<String>,
    /// The names that the server reported, with the number of answers for each.
    pub reported_as: Vec<NamedCount>,
    /// Questions, each counted once with its reprompts; the records of one item share theirs.
    pub calls: u64,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Completion tokens.
    pub completion_tokens: u64,
    /// Reprompts after an invalid answer.
    pub re_asks: u64,
    /// Questions that fell back to the heuristic.
    pub fallbacks: Proportion,
    /// HTTP attempts.
    pub attempts: u64,
    /// Finish reasons of the last answer to each question (`stop`, `length`, ...).
    pub finish_reasons: Vec<NamedCount>,
}

/// Tokens of all models over all starts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenTotals {
    /// Prompt tokens, from provenance.
    pub prompt: u64,
    /// Completion tokens, from provenance.
    pub completion: u64,
    /// Tokens that the run accounted for in addition: of answers that no record refers to any more, as after a kill or
    /// `retry-rejected`, and estimates for responses without usage.
    pub elsewhere: u64,
}

/// The cost of tokens, in the currency of the prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostBreakdown {
    /// Price per million prompt tokens.
    pub price_in: f64,
    /// Price per million completion tokens.
    pub price_out: f64,
    /// Cost of prompt tokens.
    pub prompt: f64,
    /// Cost of completion tokens.
    pub completion: f64,
    /// The sum of both.
    pub total: f64,
    /// Cost per thousand kept records; `None` if none was kept.
    pub per_thousand_records: Option<f64>,
}

/// A 95 % confidence interval of a share (Wilson).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The precision of a share estimated from this number of items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShareEstimate {
    /// The share.
    pub share: f64,
    /// Items it is estimated from.
    pub size: u64,
    /// Its confidence interval.
    pub interval: Interval,
}

/// The number of independent items needed to estimate a share of one half within ± `half_width` at 95 % confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequiredSize {
    /// Half the interval's width, such as 0.01 for ± 1 percentage point.
    pub half_width: f64,
    /// Items needed.
    pub size: u64,
    /// Whether this report's items are enough.
    pub reached: bool,
}
