//! Builds a plan's stages: blocks with their inner stages, `llm` joined with the `parse` after it, models with their
//! slots, and for a stage that asks several questions about a record, the block that asks them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::ask::{AskUnit, BuiltParser, encode};
use super::block::{Block, BlockKind};
use super::connected_models::ConnectedModels;
use super::execute::{BuiltProcessor, BuiltStage};
use super::metrics::StageMetrics;
use super::programs::{ProgramPool, ProgramUnit};
use super::source_part::SourcePart;
use crate::config::{self, Plan, PlannedStage};
use crate::draw::Draws;
use crate::journal::ArrayFile;
use crate::journal::SINKS;
use crate::llm::{Client, Model};
use crate::pipeline::{Api, InputFile, ModelConfig, Provider};
use crate::sandbox::{Sandbox, SandboxError, SandboxMode};
use crate::stage::{Ask, BuildError, Processor, QuestionSet, RunPrograms};
use crate::stages::Role;
use crate::template::Expression;

/// The name of the stage that asks, in the block of a stage with several questions.
const ASK: &str = "ask";

/// A pipeline that is ready to run.
pub struct BuiltPipeline {
    pub(super) source: SourcePart,
    pub(super) stages: Vec<BuiltStage>,
    pub(super) sinks: Vec<SinkFile>,
    /// The files that stages read, as they were when the pipeline was checked.
    pub(super) inputs: BTreeMap<String, InputFile>,
    /// The models that stages ask, each once.
    pub(super) models: Vec<Arc<dyn Model>>,
}

/// A sink's file, in the order of the pipeline.
pub(super) struct SinkFile {
    pub(super) path: String,
    pub(super) array: Option<ArrayFile>,
}

/// Why a plan cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildPipelineError {
    /// A stage cannot be built.
    #[error("stage `{stage}`: {source}")]
    Build {
        /// The stage's id.
        stage: Arc<str>,
        /// Why.
        source: BuildError,
    },
    /// The order of the stages cannot be run; `config` refuses such a plan before.
    #[error("stage `{stage}` is not allowed there")]
    Order {
        /// The stage's id.
        stage: Arc<str>,
    },
    /// A stage runs programs that must be confined, and the machine offers no sandbox.
    #[error("stage `{stage}`: {source}")]
    NoSandbox {
        /// The stage's id.
        stage: Arc<str>,
        /// What is missing.
        source: SandboxError,
    },
    /// An `llm` stage names a model that was not connected.
    #[error("stage `{stage}` asks for the model `{model}`, which is not connected")]
    ModelNotConnected {
        /// The stage's id.
        stage: Arc<str>,
        /// The model's name.
        model: String,
    },
}

impl BuiltPipeline {
    /// Builds every stage of a plan. `started` is the time of the run's first start, as the manifest stores it.
    pub fn build(
        plan: &Plan,
        connected: &ConnectedModels,
        started: &str,
    ) -> Result<Self, BuildPipelineError> {
        let mut builder = StageBuilder {
            plan,
            connected,
            started,
            clients: clients(plan, connected),
            sinks: Vec::new(),
            sandbox: None,
        };
        let mut source: Option<SourcePart> = None;
        let mut planned = plan.stages.iter().peekable();
        while let Some(stage) =
            planned.next_if(|stage| matches!(stage.kind.role, Role::Source | Role::SourceTransform))
        {
            let order = || BuildPipelineError::Order { stage: Arc::clone(&stage.id) };
            match builder.processor(stage)? {
                Processor::Source(part) if source.is_none() => {
                    let source_id = Arc::clone(&stage.id);
                    source = Some(SourcePart { source_id, source: part, steps: Vec::new() });
                }
                Processor::SourceTransform(step) => {
                    source.as_mut().ok_or_else(order)?.steps.push((Arc::clone(&stage.id), step));
                }
                _ => return Err(order()),
            }
        }
        let source = source.ok_or_else(|| BuildPipelineError::Order { stage: "stages".into() })?;
        let stages = builder.stages(planned)?;
        let mut models: Vec<Arc<dyn Model>> = Vec::new();
        let mut see = |stage: &BuiltStage| {
            if let BuiltProcessor::Ask(unit) = &stage.processor
                && !models.iter().any(|known| Arc::ptr_eq(known, unit.model.model()))
            {
                models.push(Arc::clone(unit.model.model()));
            }
        };
        stages.iter().for_each(|stage| stage.visit(&mut see));
        Ok(Self { source, stages, sinks: builder.sinks, inputs: plan.inputs.clone(), models })
    }

    /// The counters of every stage after the source part; those of stages in a block follow the block's own.
    pub(super) fn metrics(&self) -> Vec<Arc<StageMetrics>> {
        let mut metrics = Vec::new();
        let mut see = |stage: &BuiltStage| metrics.push(Arc::clone(&stage.metrics));
        self.stages.iter().for_each(|stage| stage.visit(&mut see));
        metrics
    }

    /// Whether the source never ends.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.source.source.is_endless()
    }

    /// The sinks' paths, relative to the run directory.
    pub fn sink_paths(&self) -> Vec<String> {
        self.sinks.iter().map(|sink| sink.path.clone()).collect()
    }
}

/// What building the stages needs, and the sinks found so far.
struct StageBuilder<'a> {
    plan: &'a Plan,
    connected: &'a ConnectedModels,
    started: &'a str,
    clients: BTreeMap<&'a str, Arc<Client>>,
    sinks: Vec<SinkFile>,
    /// The sandbox of this machine, once a stage asked for it.
    sandbox: Option<Result<Sandbox, SandboxError>>,
}

/// The models with their slots, which stages that ask the same model share.
fn clients<'a>(plan: &'a Plan, connected: &ConnectedModels) -> BTreeMap<&'a str, Arc<Client>> {
    let mut clients = BTreeMap::new();
    for (name, config) in &plan.models {
        if let Some(model) = connected.models.get(name) {
            clients.insert(name.as_str(), Arc::new(Client::new(Arc::clone(model), config.places())));
        }
    }
    clients
}

impl<'a> StageBuilder<'a> {
    /// Builds the stages after the source part, or those of a block.
    fn stages(
        &mut self,
        planned: impl Iterator<Item = &'a PlannedStage>,
    ) -> Result<Vec<BuiltStage>, BuildPipelineError> {
        let mut stages: Vec<BuiltStage> = Vec::new();
        for planned in planned {
            let order = || BuildPipelineError::Order { stage: Arc::clone(&planned.id) };
            let when = when(self.plan, planned)?;
            let path = Arc::clone(&planned.id);
            let metrics = StageMetrics::new(Arc::clone(&path));
            let processor = match self.processor(planned)? {
                Processor::AnswerParser(stage) => {
                    let Some(BuiltStage { processor: BuiltProcessor::Ask(unit), .. }) = stages.last_mut()
                    else {
                        return Err(order());
                    };
                    if unit.parser.is_some() {
                        return Err(order());
                    }
                    unit.parser = Some(BuiltParser { id: path, when, stage: stage.into() });
                    continue;
                }
                Processor::Transform(part) => BuiltProcessor::Transform(part),
                Processor::Sink(part) => {
                    let file = SINKS + self.sinks.len();
                    self.sinks.push(SinkFile { path: part.path().to_owned(), array: part.array().cloned() });
                    BuiltProcessor::Sink(part, file)
                }
                Processor::Ask(ask) => BuiltProcessor::Ask(Box::new(self.ask_unit(&path, ask, &metrics)?)),
                Processor::Questions(questions) => self.question_block(&path, *questions)?,
                Processor::Programs(stage) => {
                    BuiltProcessor::Programs(Box::new(self.program_unit(&path, stage, &metrics)?))
                }
                Processor::Gate(gate) => BuiltProcessor::Gate(gate),
                Processor::Repeat(repeat) => self.block(planned, BlockKind::Repeat(repeat))?,
                Processor::ForEach(for_each) => self.block(planned, BlockKind::ForEach(for_each))?,
                Processor::Source(_) | Processor::SourceTransform(_) => {
                    return Err(order());
                }
            };
            stages.push(BuiltStage { path, when, processor, metrics });
        }
        Ok(stages)
    }

    fn block(
        &mut self,
        planned: &'a PlannedStage,
        kind: BlockKind,
    ) -> Result<BuiltProcessor, BuildPipelineError> {
        let stages = self.stages(planned.inner.iter())?;
        Ok(BuiltProcessor::Block(Box::new(Block { stages, kind })))
    }

    /// The block of a stage that asks several questions about each record.
    fn question_block(
        &self,
        stage: &Arc<str>,
        set: QuestionSet,
    ) -> Result<BuiltProcessor, BuildPipelineError> {
        let QuestionSet { questions, ask, parser, fold } = set;
        let path: Arc<str> = format!("{stage}/{ASK}").into();
        let metrics = StageMetrics::new(Arc::clone(&path));
        let mut unit = self.ask_unit(&path, ask, &metrics)?;
        unit.parser = Some(BuiltParser { id: Arc::clone(&path), when: None, stage: parser.into() });
        unit.makes_prompt = true;
        let asking = BuiltStage { path, when: None, processor: BuiltProcessor::Ask(Box::new(unit)), metrics };
        let kind = BlockKind::Questions(questions, fold);
        Ok(BuiltProcessor::Block(Box::new(Block { stages: vec![asking], kind })))
    }

    fn ask_unit(
        &self,
        path: &Arc<str>,
        ask: Box<dyn Ask>,
        metrics: &Arc<StageMetrics>,
    ) -> Result<AskUnit, BuildPipelineError> {
        let name = ask.model().to_owned();
        let no_model =
            || BuildPipelineError::ModelNotConnected { stage: Arc::clone(path), model: name.clone() };
        let config: &ModelConfig = self.plan.models.get(&name).ok_or_else(no_model)?;
        let (params, settings) = (recorded_params(config), key_settings(config));
        let mut key_prefix = encode(&(path, &config.model, &settings));
        // The array continues with what differs.
        key_prefix.pop();
        key_prefix.push(b',');
        Ok(AskUnit {
            path: Arc::clone(path),
            metrics: Arc::clone(metrics),
            parser: None,
            makes_prompt: false,
            model: self.clients.get(name.as_str()).cloned().ok_or_else(no_model)?,
            params_json: encode(&params),
            params: Arc::new(params),
            draws: Draws::new(self.plan.seed, Arc::clone(path)),
            heuristic: Arc::clone(&self.connected.heuristic),
            slow_parses: Semaphore::new(processors()),
            model_name: name.as_str().into(),
            prices: config.prices_paid(),
            key_settings: settings,
            key_prefix,
            served_name: config.model.as_str().into(),
            ask,
        })
    }

    fn program_unit(
        &mut self,
        path: &Arc<str>,
        stage: Box<dyn RunPrograms>,
        metrics: &Arc<StageMetrics>,
    ) -> Result<ProgramUnit, BuildPipelineError> {
        let mut settings = stage.settings();
        let sandbox = match settings.sandbox {
            SandboxMode::Off => Sandbox::Off,
            SandboxMode::Required => {
                let found = self.sandbox.get_or_insert_with(Sandbox::detect).clone();
                found.map_err(|source| BuildPipelineError::NoSandbox { stage: Arc::clone(path), source })?
            }
        };
        let key = std::mem::take(&mut settings.key);
        let pool = ProgramPool::new(sandbox, settings);
        Ok(ProgramUnit { path: Arc::clone(path), stage, pool, metrics: Arc::clone(metrics), key })
    }

    fn processor(&self, planned: &PlannedStage) -> Result<Processor, BuildPipelineError> {
        planned
            .declared
            .build(&self.plan.build_context(planned, self.started))
            .map_err(|source| BuildPipelineError::Build { stage: Arc::clone(&planned.id), source })
    }
}

/// The settings that a model is asked with: part of the key of its answers, and recorded in provenance.
fn recorded_params(config: &ModelConfig) -> Map<String, Value> {
    let mut params = config.params.clone();
    if config.api != Api::Chat {
        params.insert("api".to_owned(), json!(config.api));
    }
    if !config.extra_body.is_empty() {
        params.insert("extra_body".to_owned(), Value::Object(config.extra_body.clone()));
    }
    params
}

/// The other settings that change answers. A mock's answers must not match a server's, nor those of another script.
fn key_settings(config: &ModelConfig) -> Value {
    match config.provider {
        Provider::Mock => {
            let script = json!(config.mock);
            json!([config.api, config.extra_body, "mock", config::without_transient_faults(&script)])
        }
        _ => json!([config.api, config.extra_body]),
    }
}

fn when(plan: &Plan, planned: &PlannedStage) -> Result<Option<Expression>, BuildPipelineError> {
    let Some(source) = &planned.when else { return Ok(None) };
    let expression = Expression::new(source, &plan.vars).map_err(|error| BuildPipelineError::Build {
        stage: Arc::clone(&planned.id),
        source: error.into(),
    })?;
    Ok(Some(expression))
}

/// The number of processors: more slow parses at a time would only take memory.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}
