//! The options of a run, which may change between two starts of it.

use std::time::Duration;

use crate::config::Plan;
use crate::journal::StorageOptions;
use crate::pipeline::{Budget, Durability, ErrorBudget};

/// The options of a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The pipeline's name.
    pub pipeline: String,
    /// The number of items that are covered, from the first on; all if `None`.
    pub limit: Option<u64>,
    /// What the run may spend.
    pub budget: Budget,
    /// The number of items that have to end ok, after which the run ends; these are the first ones by number.
    pub accept: Option<u64>,
    /// The most items between admission and their end.
    pub max_in_flight: u32,
    /// When rejected items stop the run.
    pub error_budget: ErrorBudget,
    /// How long answers in flight are awaited after a drain began.
    pub drain_timeout: Duration,
    /// How files are written.
    pub storage: StorageOptions,
}

impl RunOptions {
    /// The options that a plan declares, for a run over its first `limit` items.
    #[must_use]
    pub fn new(plan: &Plan, limit: Option<u64>) -> Self {
        Self {
            pipeline: plan.name.clone(),
            limit,
            budget: plan.budget,
            accept: plan.accept,
            max_in_flight: plan.max_in_flight,
            error_budget: plan.error_budget,
            drain_timeout: Duration::from_secs_f64(plan.drain_timeout),
            storage: StorageOptions { sync: plan.durability == Durability::Power, pack: plan.pack_answers },
        }
    }
}
