//! The pools of a pipeline, by the names that `pools:` gives them.
//!
//! Made once a run, before the models are connected; two models that name one pool share it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Pool;
use crate::config::{Limits, ModelConfig};

/// The named pools of a pipeline.
#[derive(Debug, Default)]
pub struct Pools {
    pools: BTreeMap<String, Arc<Pool>>,
}

impl Pools {
    /// One pool for each name.
    #[must_use]
    pub fn new(limits: &BTreeMap<String, Limits>) -> Self {
        let pools = limits.iter().map(|(name, limits)| (name.clone(), Pool::new(name, *limits)));
        Self { pools: pools.collect() }
    }

    /// The pool that a model names, or one of its own.
    #[must_use]
    pub fn of(&self, name: &str, model: &ModelConfig) -> Arc<Pool> {
        let named = model.pool.as_ref().and_then(|pool| self.pools.get(pool));
        named.cloned().unwrap_or_else(|| Pool::new(name, model.limits))
    }

    /// The pool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Pool>> {
        self.pools.get(name)
    }
}
