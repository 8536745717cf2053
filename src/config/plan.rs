//! The plan: a pipeline with every value resolved and every stage deserialized, ready to be built.

mod fingerprint;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

pub(crate) use self::fingerprint::without_transient_faults;
use super::check::CheckedPipeline;
use super::load::{Overrides, load, load_after};
use crate::draw::Draws;
use crate::nearest::{listed, nearest};
use crate::pipeline::InputFile;
use crate::pipeline::problem::Problems;
use crate::pipeline::secrets;
use crate::pipeline::{Budget, Durability, ErrorBudget, Pipeline, PipelineTest};
use crate::pipeline::{Limits, ModelConfig};
use crate::stage::{BuildContext, BuildError, Explanation, StageConfig};
use crate::stages::{STAGES, StageType};
use crate::text_file;

/// The maximum size of a pipeline file, in bytes: long texts belong into files of their own.
const LARGEST_PIPELINE: u64 = 4 << 20;
/// The minimum number of items in flight, however few requests the models may have.
const LEAST_IN_FLIGHT: u32 = 64;

/// A checked pipeline, which the engine runs.
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
    /// Quotas that models share.
    pub pools: BTreeMap<String, Limits>,
    /// When too many rejected items stop the run.
    pub error_budget: ErrorBudget,
    /// What a crash may cost.
    pub durability: Durability,
    /// What the run may spend.
    pub budget: Budget,
    /// How many items must end ok, if the run does not process all of them.
    pub accept: Option<u64>,
    /// Whether journaled answers are compressed.
    pub pack_answers: bool,
    /// Seconds that answers in flight are awaited after the first signal.
    pub drain_timeout: f64,
    /// The maximum number of items between admission and their end.
    pub max_in_flight: u32,
    /// Tests of the pipeline.
    pub tests: Vec<PipelineTest>,
    /// The stages in order; a block contains its own.
    pub stages: Vec<PlannedStage>,
    /// The input files of stages, as the check found them.
    pub inputs: BTreeMap<String, InputFile>,
    /// The number of items, if the source knows it.
    pub items: Option<u64>,
    /// The known fields of records as they reach each stage, by its id.
    fields: BTreeMap<Arc<str>, Vec<String>>,
    /// The whole pipeline as a value, variables and environment values substituted, without secrets; written to
    /// the run directory and compared on resume.
    pub resolved: Value,
    /// Valid settings that are probably not meant.
    pub warnings: Problems,
}

/// One stage of a plan.
pub struct PlannedStage {
    /// Given, or the type, then `type-2`, ...; in a block its path, such as `evolve/judge`.
    pub id: Arc<str>,
    /// Its row of the stage table.
    pub kind: &'static StageType,
    /// The condition under which a record passes through it; others bypass it.
    pub when: Option<String>,
    /// The stage's configuration.
    pub declared: Box<dyn StageConfig>,
    /// The stages of a block, in order; empty for other stages.
    pub inner: Vec<PlannedStage>,
}

impl PlannedStage {
    /// The number of blocks around it.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.id.matches('/').count()
    }

    /// Its id without the path of its block.
    #[must_use]
    pub fn own_id(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }
}

/// Why a file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {source}{near}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
        /// A suggestion, as the end of the sentence; empty if no file has a similar name.
        near: String,
    },
    /// The file is invalid.
    #[error("{0}")]
    Problems(Problems),
}

impl Plan {
    /// Loads a pipeline file, with the command line's changes and the process's environment.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, LoadError> {
        Self::load_after(path, overrides, &[])
    }

    /// The same for a pipeline that runs after others, which will create the run directories `coming`: what it
    /// reads from them is not checked yet.
    pub fn load_after(path: &Path, overrides: &Overrides, coming: &[PathBuf]) -> Result<Self, LoadError> {
        let text = read_pipeline_file(path)?;
        let lookup = |name: &str| std::env::var(name).ok();
        let file = path.display().to_string();
        load_after(&file, &text, overrides, coming, &lookup, STAGES).map_err(LoadError::Problems)
    }

    /// Loads a pipeline from a text; `file` names it in messages.
    pub fn load_text(file: &str, text: &str, overrides: &Overrides) -> Result<Self, Problems> {
        load(file, text, overrides, &|name| std::env::var(name).ok(), STAGES)
    }

    /// Makes the plan of a valid pipeline; `tree` is the file with everything substituted, `checked` the result
    /// of its check.
    pub(super) fn new(
        file: &str,
        pipeline: Pipeline,
        stages: Vec<PlannedStage>,
        tree: &Value,
        checked: CheckedPipeline,
        warnings: Problems,
    ) -> Self {
        let items = pipeline.models.values().fold(0_u32, |sum, model| sum.saturating_add(model.items()));
        let in_flight = items.max(LEAST_IN_FLIGHT);
        Self {
            resolved: resolved(&pipeline, tree, &checked.still_read),
            max_in_flight: pipeline.max_in_flight.unwrap_or(in_flight),
            name: pipeline.name,
            file: PathBuf::from(file),
            seed: pipeline.seed,
            vars: pipeline.vars,
            models: pipeline.models,
            pools: pipeline.pools,
            error_budget: pipeline.error_budget,
            durability: pipeline.durability,
            budget: pipeline.budget,
            accept: pipeline.accept,
            pack_answers: pipeline.pack_answers,
            drain_timeout: pipeline.drain_timeout,
            tests: pipeline.tests,
            stages,
            inputs: checked.inputs,
            items: checked.items,
            fields: checked.fields,
            warnings,
        }
    }

    /// All stages, those in blocks too: a block comes before the stages inside it.
    pub fn all_stages(&self) -> impl Iterator<Item = &PlannedStage> {
        let mut rest: Vec<&PlannedStage> = self.stages.iter().rev().collect();
        std::iter::from_fn(move || {
            let next = rest.pop()?;
            rest.extend(next.inner.iter().rev());
            Some(next)
        })
    }

    /// The context to build `stage` with; `started` is the run's first start.
    #[must_use]
    pub fn build_context(&self, stage: &PlannedStage, started: &str) -> BuildContext {
        BuildContext {
            vars: self.vars.clone(),
            draws: Draws::new(self.seed, Arc::clone(&stage.id)),
            started: started.to_owned(),
            // The number of records that reach a stage in a block is not known.
            items: self.items.filter(|_| stage.depth() == 0),
            fields: self.fields.get(&stage.id).cloned().unwrap_or_default(),
        }
    }

    /// What a stage explains about itself before a run, if anything.
    pub fn explain(&self, stage: &PlannedStage) -> Result<Option<Explanation>, BuildError> {
        stage.declared.explain(&self.build_context(stage, "now"))
    }
}

/// The pipeline with defaults filled in and passwords masked.
fn resolved(pipeline: &Pipeline, tree: &Value, read: &BTreeSet<String>) -> Value {
    let mut pipeline = pipeline.clone();
    // A variable that was only used for numbers has been substituted; kept, it would count as unused.
    pipeline.vars.retain(|name, _| read.contains(name));
    if let Some(stages) = tree.get("stages").and_then(Value::as_array) {
        pipeline.stages.clone_from(stages);
    }
    write_out_bodies(&mut pipeline.stages);
    // Serialization of these types cannot fail: keys are texts, numbers are finite.
    let mut resolved = serde_json::to_value(&pipeline).unwrap_or_default();
    if let Some(models) = resolved.get_mut("models") {
        secrets::redact(models);
    }
    resolved
}

/// Replaces each empty body by an empty map.
fn write_out_bodies(stages: &mut [Value]) {
    for body in stages.iter_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if body.is_null() {
            *body = Value::Object(Map::new());
        }
        if let Some(inner) = body.get_mut("stages").and_then(Value::as_array_mut) {
            write_out_bodies(inner);
        }
    }
}

/// Reads a pipeline file.
pub fn read_pipeline_file(path: &Path) -> Result<String, LoadError> {
    text_file::read_at_most(path, LARGEST_PIPELINE).map_err(|error| {
        let near = match error.hint() {
            Some(hint) => format!("; {hint}"),
            None => near_files(path),
        };
        LoadError::Read { path: path.display().to_string(), source: error.into(), near }
    })
}

/// A suggestion for a path that does not exist: the most similar pipeline, or all of them.
fn near_files(path: &Path) -> String {
    if path.exists() {
        return String::new();
    }
    let mut files: Vec<String> = Vec::new();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    for folder in [parent.unwrap_or(Path::new(".")), Path::new("pipelines")] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.path();
            let name = file.strip_prefix(".").unwrap_or(&file).display().to_string();
            if file.extension().is_some_and(|end| end == "yaml" || end == "yml") && !files.contains(&name) {
                files.push(name);
            }
        }
    }
    files.sort();
    let wanted = path.display().to_string();
    if let Some(near) = nearest(&wanted, files.iter().map(String::as_str)) {
        return format!("; did you mean `{near}`?");
    }
    match files.is_empty() {
        true => String::new(),
        false => format!("; there is {}", listed(files.iter().map(String::as_str))),
    }
}
