//! A pipeline as it will be run: every value resolved, every stage declared, nothing left to look up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::pipeline::{Durability, ErrorBudget, ModelConfig};
use crate::stage::Declare;
use crate::stages::StageType;

/// What the engine runs.
pub struct Plan {
    /// The pipeline's name.
    pub name: String,
    /// The file it came from.
    pub file: PathBuf,
    /// Every random draw depends on it.
    pub seed: u64,
    /// The variables, overrides applied.
    pub vars: Map<String, Value>,
    /// The models that stages name.
    pub models: BTreeMap<String, ModelConfig>,
    /// When too many rejected items stop the run.
    pub error_budget: ErrorBudget,
    /// What a crash may cost.
    pub durability: Durability,
    /// Seconds that answers in flight are awaited after the first signal.
    pub drain_timeout: f64,
    /// Items between admission and commit at a time.
    pub max_in_flight: u32,
    /// The stages in order.
    pub stages: Vec<PlannedStage>,
    /// The whole pipeline as a tree, variables and environment values put in, without secrets; written to
    /// the run directory and compared on resume.
    pub resolved: Value,
}

/// One stage of a plan.
pub struct PlannedStage {
    /// Given, or the type, then `type-2`, ...
    pub id: Arc<str>,
    /// Its row of the stage table.
    pub kind: &'static StageType,
    /// The condition under which a record goes through it; others go past.
    pub when: Option<String>,
    /// What the user declared.
    pub declared: Box<dyn Declare>,
}
