//! The pipeline file as the user writes it: one struct per section, validated by `config::check`.
//!
//! The JSON schema of `synthmill schema` is derived from the same structs. What a value means, and whether it
//! fits the others, is decided in `config`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::model::{Limits, ModelConfig};
use super::test_case::PipelineTest;

/// A pipeline: a list of stages and what they share.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Names the run directory: `output/NAME`. Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What the pipeline makes, for people.
    #[serde(default)]
    pub description: String,
    /// Every random draw of the run depends on it.
    #[serde(default)]
    pub seed: u64,
    /// Defaults of variables; templates see them as `vars.NAME`, `--var NAME=VALUE` overrides them.
    #[serde(default)]
    pub vars: Map<String, Value>,
    /// The models that `llm` stages name.
    #[serde(default)]
    pub models: BTreeMap<String, ModelConfig>,
    /// Quotas that several models share, by name.
    #[serde(default)]
    pub pools: BTreeMap<String, Limits>,
    /// When too many rejected items stop the run.
    #[serde(default)]
    pub error_budget: ErrorBudget,
    /// What a crash of the machine may cost.
    #[serde(default)]
    pub durability: Durability,
    /// What the run may spend at its models, over all its starts.
    #[serde(default)]
    pub budget: Budget,
    /// Goes on until this many items have ended ok: the first ones by number, so that the result does not
    /// depend on which answer comes first. Items behind them are dropped as `surplus`.
    #[serde(default)]
    pub accept: Option<u64>,
    /// Whether the answers kept in the run's journal are packed by zstd.
    #[serde(default = "pack_answers")]
    pub pack_answers: bool,
    /// Seconds that answers in flight are awaited after the first SIGINT or SIGTERM.
    #[serde(default = "drain_timeout")]
    pub drain_timeout: f64,
    /// Items between admission and their end at a time, but for those that wait for items before them (`accept`), and
    /// those of which a server refused a question, up to 8,192, while they wait to ask again; by default twice the
    /// models' concurrency, 64 at least.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// Tests of the pipeline, which `synthmill test` runs. A run does not depend on them.
    #[serde(default, skip_serializing)]
    pub tests: Vec<PipelineTest>,
    /// The stages, in the order records go through them; each a map with one key, its type.
    pub stages: Vec<Value>,
}

fn pack_answers() -> bool {
    true
}

fn drain_timeout() -> f64 {
    25.0
}

/// What a run may spend; it stops, resumable, before it would spend more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Tokens read and written, of all models together.
    #[serde(default)]
    pub max_tokens_total: Option<u64>,
    /// Money, in the currency of the models' `prices`.
    #[serde(default)]
    pub max_cost: Option<f64>,
}

/// When too many rejected items stop the run, resumable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorBudget {
    /// The share of rejected items that stops the run, from 0 to 1.
    pub share: f64,
    /// Items that must have ended before the share counts.
    pub after: u64,
    /// Rejected items in a row that stop the run at once.
    pub in_a_row: u64,
}

impl Default for ErrorBudget {
    fn default() -> Self {
        Self { share: 0.05, after: 200, in_a_row: 50 }
    }
}

/// What a crash may cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Files are synced in groups: neither a kill nor a loss of power loses a committed item.
    #[default]
    Power,
    /// No periodic sync: a kill loses nothing, a loss of power may.
    Process,
}
