//! Connects the models that a plan declares.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Plan;
use crate::heuristic::Heuristic;
use crate::llm::{ConnectError, MockContext, Model, Pools, connect};
use crate::pipeline::{ModelConfig, Provider, RequestMode};

/// The models of a plan, connected.
pub struct ConnectedModels {
    /// The models by their names in the pipeline.
    pub models: BTreeMap<String, Arc<dyn Model>>,
    /// Answers where `on_error` says `heuristic`.
    pub heuristic: Arc<dyn Model>,
}

impl ConnectedModels {
    /// Connects a plan's models, which draw on the quotas in `pools`.
    pub fn connect(plan: &Plan, pools: &Pools) -> Result<Self, ConnectError> {
        Self::new(plan, &plan.models, pools)
    }

    /// Connects a plan's models in direct mode, for a preview of a few records.
    pub fn connect_direct(plan: &Plan) -> Result<Self, ConnectError> {
        let mut models = plan.models.clone();
        for model in models.values_mut() {
            model.mode = Some(RequestMode::Direct);
        }
        Self::new(plan, &models, &Pools::new(&plan.pools, &models))
    }

    /// Connects the models for an estimate: those with a script answer from it, without delays, limits and errors.
    pub fn connect_scripts(plan: &Plan) -> Result<Self, ConnectError> {
        let mut models = plan.models.clone();
        for model in models.values_mut() {
            model.mode = Some(RequestMode::Direct);
            let Some(mock) = &mut model.mock else { continue };
            model.provider = Provider::Mock;
            (mock.delay, mock.limit) = (None, None);
            mock.rules.retain(|rule| rule.error.is_none() && rule.endpoint.is_none());
            mock.rules.iter_mut().for_each(|rule| rule.delay = None);
        }
        Self::new(plan, &models, &Pools::new(&plan.pools, &models))
    }

    fn new(
        plan: &Plan,
        declared: &BTreeMap<String, ModelConfig>,
        pools: &Pools,
    ) -> Result<Self, ConnectError> {
        let heuristic: Arc<dyn Model> = Arc::new(Heuristic::default());
        let context = MockContext { seed: plan.seed, vars: &plan.vars };
        let mut models = BTreeMap::new();
        for (name, config) in declared {
            models.insert(name.clone(), connect(name, config, pools, context, &heuristic)?);
        }
        Ok(Self { models, heuristic })
    }
}
