//! The quota pools of a pipeline: those declared under `pools:`, and one for each model with limits of its own.
//!
//! Created once per run, before the models are connected; models that name the same pool share it. Limits that change
//! during the run are applied here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Pool;
use crate::pipeline::{Limits, ModelConfig};

/// The quota pools of a pipeline.
#[derive(Debug, Default)]
pub struct Pools {
    named: BTreeMap<String, Arc<Pool>>,
    /// By model name.
    own: BTreeMap<String, Arc<Pool>>,
}

impl Pools {
    /// Creates a pool for each declared one, and one for each model that names none.
    #[must_use]
    pub fn new(pools: &BTreeMap<String, Limits>, models: &BTreeMap<String, ModelConfig>) -> Self {
        let named = pools.iter().map(|(name, limits)| (name.clone(), Pool::new(name, *limits)));
        let own = models.iter().filter(|(_, model)| model.pool.is_none());
        let own = own.map(|(name, model)| (name.clone(), Pool::new(name, model.limits)));
        Self { named: named.collect(), own: own.collect() }
    }

    /// Returns the pool that a model draws on.
    #[must_use]
    pub fn of(&self, name: &str, model: &ModelConfig) -> Arc<Pool> {
        let found = match &model.pool {
            Some(pool) => self.named.get(pool),
            None => self.own.get(name),
        };
        found.cloned().unwrap_or_else(|| Pool::new(name, model.limits))
    }

    /// Applies new limits to existing pools. Which model draws on which pool does not change.
    pub fn set_limits(&self, pools: &BTreeMap<String, Limits>, models: &BTreeMap<String, ModelConfig>) {
        for (name, pool) in &self.named {
            if let Some(limits) = pools.get(name) {
                pool.set_limits(*limits);
            }
        }
        for (name, pool) in &self.own {
            if let Some(model) = models.get(name) {
                pool.set_limits(model.limits);
            }
        }
    }
}
