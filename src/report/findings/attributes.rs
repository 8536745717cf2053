//! Attributes: what was configured, what was drawn, what was kept.

use serde::{Deserialize, Serialize};

use super::{Interval, Measure, Term};

/// One attribute, such as `tone` or `question_type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Whether it was drawn by the sampler (a key of the provenance's draws), or is a field of the records.
    pub drawn: bool,
    /// Its values, most frequent first.
    pub values: Vec<AttributeValue>,
    /// Values that are too rare to list, together; 0 when all are listed.
    pub other_values: u64,
    /// Items that have the attribute and were drawn (kept or rejected).
    pub items: f64,
    /// p of a chi-square test that the drawn shares are the configured ones; `None` without configured shares.
    pub p_configured: Option<f64>,
    /// p of a chi-square test that all values are rejected equally often; `None` when nothing was rejected.
    pub p_rejected: Option<f64>,
    /// Shannon entropy of the drawn shares over the largest possible for this number of values, 0 to 1.
    pub evenness: Option<f64>,
}

/// One value of an attribute. Numbers are in items: the records made of one item share its weight of 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttributeValue {
    /// The value; the empty text means that nothing was injected.
    pub value: String,
    /// Share that the configuration asks for.
    pub configured: Option<f64>,
    /// Items drawn with it (kept or rejected).
    pub drawn: f64,
    /// Share of the items drawn.
    pub drawn_share: f64,
    /// 95 % interval of the drawn share.
    pub interval: Interval,
    /// Items kept.
    pub kept: f64,
    /// Share of the items kept.
    pub kept_share: f64,
    /// Share of the items drawn with this value that were rejected.
    pub rejected_share: f64,
    /// z of the drawn share against the configured one.
    pub z_configured: Option<f64>,
    /// z of its rejected share against that of all other values (two proportions); positive: rejected more often.
    pub z_rejected: Option<f64>,
    /// Whether it stands out: |z| > 3 in one of the tests, with at least 5 items expected.
    pub outlier: bool,
}

/// How one set of findings differs from the first of the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The name of the first.
    pub from: String,
    /// Shares among kept items that differ, the surest first; at most 200.
    pub shares: Vec<ShareChange>,
    /// The measures of variety here and there.
    pub measures: Vec<(Measure, Measure)>,
    /// Words said more often here (positive z) or there (negative z), the surest first.
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
