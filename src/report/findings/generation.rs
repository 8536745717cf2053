//! What was made: files, counts, tokens, cost and time, and how sure a share of so many records is.

use serde::{Deserialize, Serialize};

use super::Proportion;

/// What was read.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputSource {
    /// Whether it is a run directory, with provenance and accounting, or bare files.
    pub run: bool,
    /// The path as it was given.
    pub path: String,
    /// The pipeline's name, for a run.
    pub pipeline: Option<String>,
    /// When the run was begun, `YYYY-MM-DD_HH-MM-SS`.
    pub started: Option<String>,
    /// `finished`, `interrupted`, `running`; for a run.
    pub state: Option<String>,
}

/// Counts, tokens, cost and time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationTotals {
    /// The files read, with their records.
    pub files: Vec<FileCount>,
    /// Records by split, where records or file names say it (`train`, `validation`).
    pub splits: Vec<NamedCount>,
    /// How the items ended; for a run.
    pub identity: Option<ItemAccounting>,
    /// Dropped records by reason.
    pub drops: Vec<NamedCount>,
    /// Rejected records by class and stage, most frequent first.
    pub rejections: Vec<Rejection>,
    /// What each model did; from provenance, for records that were kept or rejected.
    pub models: Vec<ModelUse>,
    /// Files or rows of the source that could not be read.
    pub source_unread: u64,
    /// What the run has spent by the prices of its pipeline; `None` where it has none.
    pub spent: Option<f64>,
    /// Tokens of the models over the run.
    pub tokens: Option<TokenTotals>,
    /// What the tokens cost, if prices were given.
    pub cost: Option<CostBreakdown>,
    /// Seconds the run took, all starts together.
    pub seconds: Option<f64>,
    /// How sure a share estimated from these records is: for 50, 20, 10, 5 and 1 %.
    pub estimates: Vec<ShareEstimate>,
    /// How many records an interval of a wanted width needs.
    pub needed: Vec<RequiredSize>,
}

/// A file and its records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileCount {
    /// The path, relative to the run directory for a run.
    pub path: String,
    /// Records in it.
    pub records: u64,
    /// Lines that are no record; they are counted and left out.
    pub malformed: u64,
    /// What is wrong with the file as a whole, such as an array that is not closed; the end of a sentence about it.
    pub damage: Option<String>,
    /// Records that the heuristic answered, as far as they say so.
    pub by_heuristic: u64,
    /// Whether its texts are measured; `false` for a second copy of records that another file holds.
    pub measured: bool,
}

/// A name and how often it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedCount {
    /// What was counted.
    pub name: String,
    /// How often, of the whole it belongs to.
    pub part: Proportion,
}

/// `admitted = ok + dropped + rejected + in flight`, in items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemAccounting {
    /// Items taken from the source.
    pub admitted: u64,
    /// Items of which a record was written.
    pub ok: u64,
    /// Items that a filter took out.
    pub dropped: u64,
    /// Items that could not be made.
    pub rejected: u64,
    /// Items not ended yet.
    pub in_flight: u64,
    /// Whether the sum is right.
    pub holds: bool,
}

/// Rejected records of one class and stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejection {
    /// The error's class, such as `schema`.
    pub class: String,
    /// The stage that rejected.
    pub stage: String,
    /// Records, of all that were kept or rejected.
    pub part: Proportion,
    /// The message of the first one.
    pub example: String,
}

/// What one model did, over kept, rejected and dropped records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelUse {
    /// The model's name in the pipeline.
    pub model: String,
    /// The provider that answers for it.
    pub provider: String,
    /// Its name at the server, as it was asked for; none where no server is asked.
    pub asked_as: Option<String>,
    /// The names that the server reports, with the answers that came under each.
    pub reported_as: Vec<NamedCount>,
    /// Questions, each with its re-asks; the records of one item share theirs.
    pub calls: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Questions put again because an answer was invalid.
    pub re_asks: u64,
    /// Questions that the heuristic answered in the end.
    pub fallbacks: Proportion,
    /// HTTP attempts.
    pub attempts: u64,
    /// Why the model stopped at the last answer of each question (`stop`, `length`, ...).
    pub finish_reasons: Vec<NamedCount>,
}

/// Tokens of all models over all starts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenTotals {
    /// Read, by provenance.
    pub prompt: u64,
    /// Written, by provenance.
    pub completion: u64,
    /// What the run has on its books beyond that: of answers that no record holds any more, as after a kill or
    /// `retry-rejected`, and estimates where the server told no usage.
    pub elsewhere: u64,
}

/// What tokens cost, in the currency of the prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostBreakdown {
    /// Price of a million tokens read.
    pub price_in: f64,
    /// Price of a million tokens written.
    pub price_out: f64,
    /// Cost of the tokens read.
    pub prompt: f64,
    /// Cost of the tokens written.
    pub completion: f64,
    /// Both.
    pub total: f64,
    /// Cost of a thousand kept records; `None` when none was kept.
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

/// How sure a share is at this number of items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShareEstimate {
    /// The share.
    pub share: f64,
    /// Items it is estimated from.
    pub size: u64,
    /// Its interval.
    pub interval: Interval,
}

/// The number of independent items at which a share of one half is known within ± `half_width`, 95 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequiredSize {
    /// Half the interval's width, such as 0.01 for ± 1 percentage point.
    pub half_width: f64,
    /// Items needed.
    pub size: u64,
    /// Whether this report's items are enough.
    pub reached: bool,
}
