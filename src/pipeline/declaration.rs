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

/// A pipeline: a list of stages, and settings for all of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The pipeline's name, from letters, digits, `-`, `_` and `.`. The run directory is `output/NAME`.
    pub name: String,
    /// A description of the pipeline, for people.
    #[serde(default)]
    pub description: String,
    /// The seed of all random draws of a run.
    #[serde(default)]
    pub seed: u64,
    /// Variables with default values, available to templates as `vars.NAME`; `--var NAME=VALUE` overrides them.
    #[serde(default)]
    pub vars: Map<String, Value>,
    /// The models that stages ask, by name.
    #[serde(default)]
    pub models: BTreeMap<String, ModelConfig>,
    /// Rate limits that several models share, by name.
    #[serde(default)]
    pub pools: BTreeMap<String, Limits>,
    /// The number of rejected items at which the run stops.
    #[serde(default)]
    pub error_budget: ErrorBudget,
    /// Which crashes committed items survive.
    #[serde(default)]
    pub durability: Durability,
    /// What the run may spend on its models, over all its starts.
    #[serde(default)]
    pub budget: Budget,
    /// The number of ok items after which the run ends: the first ones by number, so that the result does not depend
    /// on the order of answers. Items after them are dropped as `surplus`.
    #[serde(default)]
    pub accept: Option<u64>,
    /// Whether the answers in the run's journal are compressed with zstd.
    #[serde(default = "pack_answers")]
    pub pack_answers: bool,
    /// The number of seconds for which answers in flight are awaited after the first SIGINT or SIGTERM.
    #[serde(default = "drain_timeout")]
    pub drain_timeout: f64,
    /// The maximum number of items in flight; by default twice the models' concurrency, at least 64. Items that wait
    /// for earlier items (`accept`) do not count, nor do up to 8,192 items that wait to repeat a request which a
    /// server refused.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// Tests of the pipeline, which `synthmill test` runs. They do not affect runs.
    #[serde(default, skip_serializing)]
    pub tests: Vec<PipelineTest>,
    /// The stages in the order in which records pass through them, each a map with one key, its type.
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
    /// Input and output tokens of all models together.
    #[serde(default)]
    pub max_tokens_total: Option<u64>,
    /// The maximum cost, in the currency of the models' `prices`.
    #[serde(default)]
    pub max_cost: Option<f64>,
}

/// The number of rejected items at which the run stops; it can be continued.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorBudget {
    /// The share of rejected items at which the run stops, from 0 to 1.
    pub share: f64,
    /// The number of items that must have ended before the share is considered.
    pub after: u64,
    /// The number of consecutive rejected items at which the run stops.
    pub in_a_row: u64,
}

impl Default for ErrorBudget {
    fn default() -> Self {
        Self { share: 0.05, after: 200, in_a_row: 50 }
    }
}

/// Which crashes committed items survive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Files are synced in groups: no committed item is lost when the process is killed or the power fails.
    #[default]
    Power,
    /// Files are not synced periodically: no committed item is lost when the process is killed, but a power failure
    /// may lose some.
    Process,
}
