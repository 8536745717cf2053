//! The pools of a pipeline: those that `pools:` names, and one for each model that has its own limits.
//!
//! Made once a run, before the models are connected; two models that name one pool share it. Limits that
//! are changed while the run lasts come in here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Pool;
use crate::pipeline::{Limits, ModelConfig};

/// The pools of a pipeline.
#[derive(Debug, Default)]
pub struct Pools {
    named: BTreeMap<String, Arc<Pool>>,
    /// By the model's name.
    own: BTreeMap<String, Arc<Pool>>,
}

impl Pools {
    /// One pool for each name, and one for each model that names none.
    #[must_use]
    pub fn new(pools: &BTreeMap<String, Limits>, models: &BTreeMap<String, ModelConfig>) -> Self {
        let named = pools.iter().map(|(name, limits)| (name.clone(), Pool::new(name, *limits)));
        let own = models.iter().filter(|(_, model)| model.pool.is_none());
        let own = own.map(|(name, model)| (name.clone(), Pool::new(name, model.limits)));
        Self { named: named.collect(), own: own.collect() }
    }

    /// The pool that a model draws on.
    #[must_use]
    pub fn of(&self, name: &str, model: &ModelConfig) -> Arc<Pool> {
        let found = match &model.pool {
            Some(pool) => self.named.get(pool),
            None => self.own.get(name),
        };
        found.cloned().unwrap_or_else(|| Pool::new(name, model.limits))
    }

    /// Puts other limits in place, of the pools that are known; which model draws on which pool stays.
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
