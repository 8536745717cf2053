//! The types of a report: everything found in the data of one run, or of one file.
//!
//! `report::gather` fills these types, `report::page` renders them, and `--json` prints them as they are. They have no
//! behaviour. Shares are fractions of 1, times are in seconds.

mod attributes;
mod classification;
mod configuration;
mod difference;
mod generation;
mod judging;
mod lengths;
mod standouts;
mod texts;

#[cfg(test)]
mod sample;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use attributes::{Attribute, AttributeValue, CrossTab, CrossTabCell, CrossTabRow};
pub use classification::{ClassifyTotals, LabelCount};
pub use configuration::{Configuration, SampledExchange, SettingChange};
pub use difference::{Difference, MeanEstimate, MeasureChange, MoreVaried, ShareChange};
pub use generation::{
    CostBreakdown, FileCount, GenerationTotals, InputSource, Interval, ItemAccounting, ModelUse, NamedCount,
    RejectionCause, RequiredSize, ShareEstimate, TokenTotals,
};
pub use judging::{
    AspectRatings, DifferingRecord, FieldAgreement, JudgeTotals, PreferenceTotals, RatingCount, RecoveredGap,
    SlotRatings, VoteAgreement,
};
pub use lengths::{Histogram, LengthAdherence, LengthSummary, Lengths, PartLengths};
pub use standouts::{DrawnShare, Proportion, Standout};
pub use texts::{
    Direction, DuplicateGroup, FirstWord, LanguageCell, Languages, Measure, Point, Term, TermList, TextMap,
    ValueTerms, Variety, WordComparison,
};

/// Everything found in one run directory, or in the files of one argument.
///
/// A report of several is a list of these, in the order of the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// A short name for headings: the pipeline's, or the file's stem.
    pub name: String,
    /// What was read.
    pub source: InputSource,
    /// The program's version.
    pub synthmill: String,
    /// When the report was made, local time, `YYYY-MM-DD HH:MM`.
    pub generated: String,
    /// The seed of all samples taken for the report.
    pub seed: u64,
    /// Records measured: the denominator of all exact counts. A record written to two files counts once.
    pub records: u64,
    /// Items measured: all records from one planned question or row are one item. Equal to `records` for files without
    /// record ids.
    pub items: u64,
    /// Texts in the sample for the costly measures and the map, one per item.
    pub sampled: u64,
    /// Sentences to read before the numbers: lines that could not be read, what is missing.
    pub notes: Vec<String>,
    /// What stands out, most important first.
    pub stands_out: Vec<Standout>,
    /// How the run was configured; `None` for bare files.
    pub configuration: Option<Configuration>,
    /// A few prompts with their answers, chosen at random.
    pub exchanges: Vec<SampledExchange>,
    /// Counts, tokens, cost, time, and the precision of shares estimated from so many records.
    pub made: GenerationTotals,
    /// Requested and actual lengths.
    pub lengths: Lengths,
    /// Drawn attributes and fields with few values, those of the sampler first.
    pub attributes: Vec<Attribute>,
    /// Attributes that depend on others, cross-tabulated with them.
    pub crossed: Vec<CrossTab>,
    /// Words that are more frequent than in a reference.
    pub words: WordComparison,
    /// How much the texts differ.
    pub variety: Variety,
    /// The sample in two dimensions; `None` for fewer than three texts.
    pub map: Option<TextMap>,
    /// Detected against requested languages; `None` if no language could be detected.
    pub languages: Option<Languages>,
    /// The results of the run's `judge` stages.
    pub judging: Vec<JudgeTotals>,
    /// The results of the run's `classify` stages.
    pub classified: Vec<ClassifyTotals>,
    /// The agreement of the requested pairs of fields.
    pub agreement: Vec<FieldAgreement>,
    /// The gaps between models that were asked for.
    pub gaps: Vec<RecoveredGap>,
    /// Records for browsing, sampled by `seed`, in the order of the data; includes rejected ones.
    pub sample: Vec<SampleRecord>,
    /// In a report of several: how this one differs from the first; `None` for the first.
    pub difference: Option<Difference>,
    /// How the configuration of the reference corpus (`--against`) differs, if both are runs.
    pub against: Vec<SettingChange>,
}

/// A record for browsing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRecord {
    /// The record's id, or `file:line`.
    pub id: String,
    /// Its texts: the conversation's turns, or one turn of role `text`. Long texts are cut, with ` …`.
    pub turns: Vec<Turn>,
    /// Attributes by name (`split`, `question_type`, `tone`, ...); an empty draw is the empty text.
    pub attributes: BTreeMap<String, String>,
    /// Words requested, if a length was drawn.
    pub target_words: Option<u64>,
    /// Words of the text whose length was requested, or of the whole record.
    pub words: u64,
    /// Why it was rejected (`class: message`); `None` for a record that was kept.
    pub rejected: Option<String>,
}

/// One turn of a record's text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// `system`, `user`, `assistant`, `tool`, or `text` for a record that is one text.
    pub role: String,
    /// The text as in the data; markup in it is text.
    pub text: String,
}
