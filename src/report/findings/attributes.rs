//! Attributes: what was configured, what was drawn, what was kept; alone, and crossed where one depends on another.

use serde::{Deserialize, Serialize};

use super::Interval;

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
    /// Items that have the attribute and were drawn (kept, rejected or dropped).
    pub items: f64,
    /// Whether they were surely drawn otherwise than configured: by the test over all values, or by one value's own.
    pub differs: bool,
    /// Whether a value is surely rejected more often than the others.
    pub rejects: bool,
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
    /// Whether it was surely drawn otherwise than configured: with at least 5 items expected, by a z that none of the
    /// attribute's values would reach by chance in more than one of a thousand reports.
    pub drawn_otherwise: bool,
    /// Whether it is surely rejected more often than the others, likewise.
    pub rejected_often: bool,
}

/// An attribute crossed with the one that its shares depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossTab {
    /// The attribute.
    pub attribute: String,
    /// The one it depends on.
    pub on: String,
    /// The attribute's values, by column.
    pub values: Vec<String>,
    /// A row for each value of the other.
    pub rows: Vec<CrossTabRow>,
    /// Items counted in all.
    pub items: f64,
    /// Rows and columns that are too many to list.
    pub left_out: u64,
}

/// The items with one value of the attribute that another depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossTabRow {
    /// The value.
    pub value: String,
    /// Items drawn with it.
    pub items: f64,
    /// By the columns' values.
    pub cells: Vec<CrossTabCell>,
}

/// Items with one value of each of two attributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossTabCell {
    /// Items drawn with both.
    pub items: f64,
    /// Their share among those of the row.
    pub share: f64,
    /// The share among those of the row that the configuration asks for.
    pub configured: Option<f64>,
    /// Whether the two surely differ.
    pub differs: bool,
}
