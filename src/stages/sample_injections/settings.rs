//! The options of one attribute.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::drawn::Draw;

/// How one attribute is drawn.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AttributeSettings {
    /// The distribution to draw from, for an attribute without a file.
    pub(super) draw: Option<Draw>,
    /// Rows of a file to draw from, for an attribute without a file in the folder.
    pub(super) rows: Option<Table>,
    /// Draws this many distinct values, as a list.
    pub(super) sample: Option<usize>,
    /// With `exact`, the shares are met to within one record over all items of the run, instead of approximately.
    /// Requires a `generate` with `count`, and a run over all of its records.
    pub(super) quota: Option<QuotaKind>,
    /// Scores that depend on another attribute: with `{topic: {late fees: {annoyed: 20}}}`, the value `annoyed` has
    /// the score 20 where the topic is `late fees`; all other scores are unchanged.
    pub(super) given: Option<BTreeMap<String, ScoresByValue>>,
}

/// By a value of another attribute: scores by own value.
pub(super) type ScoresByValue = BTreeMap<String, BTreeMap<String, f64>>;

/// Rows that are values of an attribute.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// The file, JSONL or CSV. May name `vars`.
    pub(super) path: String,
    /// The field of a row that holds the value. By default the whole row is the value, with its fields in
    /// `injections.ATTRIBUTE.FIELD`.
    #[serde(default)]
    pub(super) field: Option<String>,
    /// The field of a row that holds its frequency score; by default all rows are equally likely.
    #[serde(default)]
    pub(super) score: Option<String>,
}

/// How exactly shares are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum QuotaKind {
    /// To within one record.
    Exact,
}
