//! From a plan to running parts: each stage built, `llm` joined with the `parse` after it, models connected.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::admission::SourcePart;
use super::ask::{AskUnit, Reader};
use super::worker::Step;
use crate::config::{self, Api, Input, ModelConfig, Plan, PlannedStage, Provider};
use crate::draw::Draws;
use crate::journal::SINKS;
use crate::llm::Model;
use crate::stage::{ArrayFile, BuildError, Part};
use crate::template::Expression;

/// The running parts of a plan.
pub struct Parts {
    pub(super) source: SourcePart,
    pub(super) stages: Vec<BuiltStage>,
    pub(super) sinks: Vec<SinkFile>,
    /// The files that stages read, as the check found them.
    pub(super) inputs: BTreeMap<String, Input>,
    /// The models that stages ask, each once.
    pub(super) models: Vec<Arc<dyn Model>>,
}

/// One stage, or an `llm` and the `parse` after it, ready to run.
pub(super) struct BuiltStage {
    pub(super) id: Arc<str>,
    pub(super) when: Option<Expression>,
    pub(super) work: Work,
}

pub(super) enum Work {
    Step(Step),
    Ask(Box<AskUnit>),
}

/// A sink's file, in the order of the pipeline.
pub(super) struct SinkFile {
    pub(super) path: String,
    pub(super) array: Option<ArrayFile>,
}

/// Where the models of a plan come from.
pub struct Providers {
    /// The models by the names the pipeline gives them.
    pub models: BTreeMap<String, Arc<dyn Model>>,
    /// Who answers where `on_error` says `heuristic`.
    pub heuristic: Arc<dyn Model>,
}

/// A plan that cannot be made to run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A stage cannot be built.
    #[error("stage `{stage}`: {source}")]
    Build {
        /// The stage's id.
        stage: Arc<str>,
        /// Why.
        source: BuildError,
    },
    /// The stages do not stand in an order that can run; `config` refuses such a plan before.
    #[error("stage `{stage}` cannot stand there")]
    Order {
        /// The stage's id.
        stage: Arc<str>,
    },
    /// An `llm` stage names a model that was not connected.
    #[error("stage `{stage}` asks for the model `{model}`, which is not connected")]
    NoModel {
        /// The stage's id.
        stage: Arc<str>,
        /// The model's name.
        model: String,
    },
}

impl Parts {
    /// Builds every stage of a plan. `started` is the run's first start, as the manifest has it.
    pub fn build(plan: &Plan, providers: &Providers, started: &str) -> Result<Self, RunError> {
        let mut places: BTreeMap<&str, Arc<Semaphore>> = BTreeMap::new();
        for (name, model) in &plan.models {
            places.insert(name, Arc::new(Semaphore::new(model.places().max(1) as usize)));
        }
        let mut source = None;
        let mut stages: Vec<BuiltStage> = Vec::new();
        let mut sinks = Vec::new();
        for planned in &plan.stages {
            let order = || RunError::Order { stage: Arc::clone(&planned.id) };
            let when = when(plan, planned)?;
            let work = match build_part(plan, planned, started)? {
                Part::Source(part) if source.is_none() => {
                    let source_id = Arc::clone(&planned.id);
                    source = Some(SourcePart { source_id, source: part, steps: Vec::new() });
                    continue;
                }
                Part::Derive(step) if stages.is_empty() => {
                    let source: &mut SourcePart = source.as_mut().ok_or_else(order)?;
                    source.steps.push((Arc::clone(&planned.id), step));
                    continue;
                }
                Part::Read(read) => {
                    let Some(BuiltStage { work: Work::Ask(unit), .. }) = stages.last_mut() else {
                        return Err(order());
                    };
                    if unit.reader.is_some() {
                        return Err(order());
                    }
                    unit.reader = Some(Reader { id: Arc::clone(&planned.id), when, read: read.into() });
                    continue;
                }
                Part::Transform(part) => Work::Step(Step::Transform(part)),
                Part::Sink(part) => {
                    let file = SINKS + sinks.len();
                    sinks.push(SinkFile { path: part.path().to_owned(), array: part.array().cloned() });
                    Work::Step(Step::Sink(part, file))
                }
                Part::Ask(ask) => {
                    let name = ask.model().to_owned();
                    let no_model =
                        || RunError::NoModel { stage: Arc::clone(&planned.id), model: name.clone() };
                    let config: &ModelConfig = plan.models.get(&name).ok_or_else(no_model)?;
                    Work::Ask(Box::new(AskUnit {
                        reader: None,
                        model: Arc::clone(providers.models.get(&name).ok_or_else(no_model)?),
                        params: asked_with(config),
                        draws: Draws::new(plan.seed, Arc::clone(&planned.id)),
                        heuristic: Arc::clone(&providers.heuristic),
                        places: places.get(name.as_str()).cloned().ok_or_else(no_model)?,
                        long_readings: Semaphore::new(long_readings()),
                        model_name: name.as_str().into(),
                        prices: config.prices,
                        always: always(config),
                        served_name: config.model.as_str().into(),
                        ask,
                    }))
                }
                Part::Source(_) | Part::Derive(_) | Part::Repeat(_) | Part::ForEach(_) => return Err(order()),
            };
            stages.push(BuiltStage { id: Arc::clone(&planned.id), when, work });
        }
        let source = source.ok_or_else(|| RunError::Order { stage: "stages".into() })?;
        let mut models: Vec<Arc<dyn Model>> = Vec::new();
        for stage in &stages {
            if let Work::Ask(unit) = &stage.work
                && !models.iter().any(|known| Arc::ptr_eq(known, &unit.model))
            {
                models.push(Arc::clone(&unit.model));
            }
        }
        Ok(Self { source, stages, sinks, inputs: plan.inputs.clone(), models })
    }

    /// Whether the source never ends by itself.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.source.source.is_endless()
    }

    /// The sinks' paths, relative to the run directory.
    pub fn sink_paths(&self) -> Vec<String> {
        self.sinks.iter().map(|sink| sink.path.clone()).collect()
    }
}

/// What a model is asked with beside the question: answers are found again by it, and provenance tells it.
fn asked_with(config: &ModelConfig) -> Map<String, Value> {
    let mut params = config.params.clone();
    if config.api != Api::Chat {
        params.insert("api".to_owned(), json!(config.api));
    }
    if !config.extra_body.is_empty() {
        params.insert("extra_body".to_owned(), Value::Object(config.extra_body.clone()));
    }
    params
}

/// What else changes answers. A mock's answers pass for no server's, nor for those of another script.
fn always(config: &ModelConfig) -> Value {
    match config.provider {
        Provider::Mock => {
            let script = json!(config.mock);
            json!([config.api, config.extra_body, "mock", config::without_weather(&script)])
        }
        _ => json!([config.api, config.extra_body]),
    }
}

fn when(plan: &Plan, planned: &PlannedStage) -> Result<Option<Expression>, RunError> {
    let Some(source) = &planned.when else { return Ok(None) };
    let expression = Expression::new(source, &plan.vars)
        .map_err(|error| RunError::Build { stage: Arc::clone(&planned.id), source: error.into() })?;
    Ok(Some(expression))
}

fn build_part(plan: &Plan, planned: &PlannedStage, started: &str) -> Result<Part, RunError> {
    planned
        .declared
        .build(&plan.build_context(planned, started))
        .map_err(|source| RunError::Build { stage: Arc::clone(&planned.id), source })
}

/// As many long readings as there are processors: more would only take memory.
fn long_readings() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}
