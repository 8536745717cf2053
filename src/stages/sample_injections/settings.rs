//! The options of one attribute.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::drawn::Draw;

/// How one attribute is drawn.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AttributeSettings {
    /// A law to draw from, for an attribute without a file.
    pub(super) draw: Option<Draw>,
    /// Rows of a file to draw from, for an attribute without a file in the folder.
    pub(super) rows: Option<Table>,
    /// Draws so many different values, as a list.
    pub(super) sample: Option<usize>,
    /// Meets the shares to within one record over all items of the run, instead of by chance. Needs a
    /// `generate` with `count`, and a run that goes through all of it.
    pub(super) quota: Option<QuotaKind>,
    /// Scores that depend on another attribute: `{topic: {late fees: {annoyed: 20}}}` gives the value
    /// `annoyed` the score 20 where the topic is `late fees`; all others keep theirs.
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
    /// The field of a row that is the value; the whole row by default, whose fields are then reached as
    /// `injections.ATTRIBUTE.FIELD`.
    #[serde(default)]
    pub(super) field: Option<String>,
    /// The field of a row that is its frequency score; by default all rows are as likely.
    #[serde(default)]
    pub(super) score: Option<String>,
}

/// How shares are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum QuotaKind {
    /// To within one record.
    Exact,
}
