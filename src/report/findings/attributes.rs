//! Attributes: configured, drawn and kept shares; alone, and cross-tabulated if one depends on another.

use serde::{Deserialize, Serialize};

use super::Interval;

/// One attribute, such as `tone` or `question_type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Whether the sampler drew it (it is a key in the draws of provenance); otherwise it is a field of the records.
    pub drawn: bool,
    /// Its values, most frequent first.
    pub values: Vec<AttributeValue>,
    /// The number of values too rare to list; 0 if all are listed.
    pub other_values: u64,
    /// Items that have the attribute and were drawn (kept, rejected or dropped).
    pub items: f64,
    /// Whether drawn shares differ significantly from the configured ones, over all values or for a single one.
    pub differs: bool,
    /// Whether a value is rejected significantly more often than the others.
    pub rejects: bool,
    /// p of a chi-square test of the drawn shares against the configured ones; `None` without configured shares.
    pub p_configured: Option<f64>,
    /// p of a chi-square test that all values are rejected equally often; `None` if nothing was rejected.
    pub p_rejected: Option<f64>,
    /// Shannon entropy of the drawn shares over its maximum for this number of values, 0 to 1.
    pub evenness: Option<f64>,
}

/// One value of an attribute. Counts are in items: the records of one item share its weight of 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttributeValue {
    /// The value; empty if nothing was injected.
    pub value: String,
    /// The configured share.
    pub configured: Option<f64>,
    /// Items drawn with it (kept, rejected or dropped).
    pub drawn: f64,
    /// Share of the items drawn.
    pub drawn_share: f64,
    /// 95 % interval of the drawn share.
    pub interval: Interval,
    /// Items kept.
    pub kept: f64,
    /// Share of the items kept.
    pub kept_share: f64,
    /// Items rejected.
    pub rejected: f64,
    /// Share of the items drawn with this value that were rejected.
    pub rejected_share: f64,
    /// z of the drawn share against the configured one.
    pub z_configured: Option<f64>,
    /// z of its rejected share against that of all other values (two proportions); positive: rejected more often.
    pub z_rejected: Option<f64>,
    /// Whether its drawn share differs significantly from the configured one: at least 5 items are expected, and |z| is
    /// above what any value of the attribute would reach by chance in one of a thousand reports.
    pub drawn_otherwise: bool,
    /// Whether it is rejected significantly more often than the others, by the same criterion.
    pub rejected_often: bool,
}

/// The cross-tabulation of an attribute with the one that its shares depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossTab {
    /// The attribute.
    pub attribute: String,
    /// The attribute it depends on.
    pub on: String,
    /// The values of the attribute, by column.
    pub values: Vec<String>,
    /// A row for each value of the other attribute.
    pub rows: Vec<CrossTabRow>,
    /// All items counted.
    pub items: f64,
    /// The number of rows and columns that are not listed.
    pub left_out: u64,
}

/// The items with one value of the attribute that another depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossTabRow {
    /// The value.
    pub value: String,
    /// Items drawn with it.
    pub items: f64,
    /// The cells, by column.
    pub cells: Vec<CrossTabCell>,
}

/// Items with one value of each of two attributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossTabCell {
    /// Items drawn with both.
    pub items: f64,
    /// Their share of the row.
    pub share: f64,
    /// The configured share of the row.
    pub configured: Option<f64>,
    /// Whether the two differ significantly.
    pub differs: bool,
}
