//! How one set of findings differs from the first of a report.

use serde::{Deserialize, Serialize};

use super::{Direction, SettingChange, Term};

/// How one set of findings differs from the first of the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The name of the first.
    pub from: String,
    /// Settings that differ, if both are runs.
    pub settings: Vec<SettingChange>,
    /// Whether settings could be compared.
    pub settings_known: bool,
    /// Shares among kept items, by |z| in descending order; at most 200.
    pub shares: Vec<ShareChange>,
    /// Measures of variety on equally many texts of both.
    pub measures: Vec<MeasureChange>,
    /// Words more frequent here (positive z) or in the first (negative z), by |z| in descending order.
    pub words: Vec<Term>,
    /// The same for first words.
    pub first_words: Vec<Term>,
}

/// A share in the first findings and in these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShareChange {
    /// The attribute.
    pub attribute: String,
    /// The value.
    pub value: String,
    /// Its share among kept items of the first.
    pub before: f64,
    /// Its share among kept items here.
    pub after: f64,
    /// z of a two-proportion test.
    pub z: f64,
}

/// A measure of variety in both, taken on parts of equal size, so that neither the number of texts nor chance appears
/// as a difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasureChange {
    /// The measure's key.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// Whether it is a share, to be shown in percent.
    pub share: bool,
    /// Which way means more variety.
    pub more_varied: Direction,
    /// Texts of each part.
    pub texts: u64,
    /// In the first.
    pub before: MeanEstimate,
    /// In these.
    pub after: MeanEstimate,
    /// The 95 % confidence interval of after minus before.
    pub change: (f64, f64),
    /// Which of the two is significantly more varied.
    pub verdict: MoreVaried,
}

/// The mean of a measure over parts of the texts, with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanEstimate {
    /// The mean over the parts.
    pub mean: f64,
    /// The standard error of that mean.
    pub error: f64,
}

/// Which of two is more varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoreVaried {
    /// The first.
    Before,
    /// The other.
    After,
    /// The confidence interval of their difference contains zero.
    Neither,
}
