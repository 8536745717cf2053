//! Checks of the pipeline as a whole: what each stage makes and needs, what is never used.
//!
//! One `CheckContext` passes through the stages, in and out of blocks, and each stage checks its own values with
//! it. Nothing is reported that may follow from a stage that could not be deserialized. Where stages are allowed
//! is checked in `stage_order`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::globals::Globals;
use super::stage_order::check_order;
use super::stages::DeclaredStage;
use crate::nearest::did_you_mean_this;
use crate::pipeline::InputFile;
use crate::pipeline::document::{Document, each_text, join};
use crate::pipeline::problem::Problem;
use crate::pipeline::{CheckContext, CheckFindings};
use crate::stage::BlockConfig;
use crate::stages::{Role, StageType};
use crate::text_file;

/// The maximum size, in bytes, of a file that is searched for variables because the stage that names it could not
/// be deserialized.
const LARGEST_SEARCHED: u64 = 1 << 20;

/// The result of checking a whole pipeline.
pub(in crate::config) struct CheckedPipeline {
    /// A problem for each variable that nothing uses.
    pub(in crate::config) unused_vars: Vec<Problem>,
    /// Warnings of stages.
    pub(in crate::config) warnings: Vec<Problem>,
    /// The variables that stages use while they run.
    pub(in crate::config) still_read: BTreeSet<String>,
    /// The files that stages read, with the hashes of their contents.
    pub(in crate::config) inputs: BTreeMap<String, InputFile>,
    /// The number of items, if the source knows it.
    pub(in crate::config) items: Option<u64>,
    /// The known fields of records as they reach each stage, by its id.
    pub(in crate::config) fields: BTreeMap<Arc<str>, Vec<String>>,
}

/// What the check needs to know besides the stages.
pub(in crate::config) struct PipelineCheckInput<'a> {
    /// The pipeline's file.
    pub(in crate::config) file: &'a Path,
    /// The run directories that earlier pipelines of the same command will create.
    pub(in crate::config) coming: &'a [PathBuf],
    /// Its variables, overrides applied.
    pub(in crate::config) vars: &'a Map<String, Value>,
    /// The variables that were used before templates for numbers were rendered.
    pub(in crate::config) read_before: &'a BTreeSet<String>,
}

/// Checks everything that involves more than one part of the file.
pub(in crate::config) fn check_pipeline(
    document: &Document,
    input: &PipelineCheckInput<'_>,
    globals: &Globals,
    stages: &[DeclaredStage],
    table: &[StageType],
    problems: &mut Vec<Problem>,
) -> CheckedPipeline {
    let vars = input.vars;
    let misplaced = check_order(document, stages, table, problems);
    let mut context = CheckContext::new(vars, &globals.models);
    context.set_file(input.file);
    context.set_planned_runs(input.coming);
    context.accepts(globals.pipeline.as_ref().is_some_and(|pipeline| pipeline.accept.is_some()));
    let mut checker = StageChecker { misplaced, fields: BTreeMap::new() };
    checker.stages(stages, &mut context);
    let CheckFindings { mut used_vars, mut used_models, inputs, items, problems: found, warnings } =
        context.finish();
    problems.extend(found);
    used_vars.extend(vars_in_texts(document, vars));
    let still_read = used_vars.clone();
    used_vars.extend(input.read_before.iter().cloned());
    for at in undeclared(stages) {
        collect_possible_uses(document, at, vars, &mut used_vars, &mut used_models);
    }
    used_vars.extend(vars.keys().filter(|name| is_proposed(name, problems)).cloned());
    used_models.extend(globals.models.keys().filter(|name| is_proposed(name, problems)).cloned());
    let unread = vars.keys().filter(|name| !used_vars.contains(*name));
    let unused_vars = unread
        .map(|name| unused(join("/vars", name), format!("nothing reads the variable `{name}`")))
        .collect();
    for name in globals.models.keys().filter(|name| !used_models.contains(*name)) {
        problems.push(unused(join("/models", name), format!("no stage asks the model `{name}`")));
    }
    CheckedPipeline { unused_vars, warnings, still_read, inputs, items, fields: checker.fields }
}

/// Passes one context through all stages.
struct StageChecker {
    /// Pointers to stages that are not allowed where they are.
    misplaced: BTreeSet<String>,
    /// The known fields of records as they reach each stage, by its id.
    fields: BTreeMap<Arc<str>, Vec<String>>,
}

impl StageChecker {
    fn stages(&mut self, stages: &[DeclaredStage], context: &mut CheckContext<'_>) {
        stages.iter().for_each(|stage| self.stage(stage, context));
    }

    fn stage(&mut self, stage: &DeclaredStage, context: &mut CheckContext<'_>) {
        context.enter(&stage.at, stage.when.is_some());
        self.fields.insert(stage.id.as_str().into(), context.field_names());
        if let Some(when) = &stage.when {
            context.expression("/when", when);
            context.mark_conditional();
        }
        let (progress, problems) = context.progress();
        let declared = stage.declared.as_ref().or(stage.partial.as_ref());
        if let Some(declared) = declared {
            declared.check(context);
        }
        if stage.declared.is_none() || self.misplaced.contains(&stage.at) {
            // What it lacks follows from its position, or from what could not be deserialized.
            context.retain_problems_inside(problems);
            context.may_have_other_fields();
        }
        let block = declared.and_then(|declared| declared.block());
        if stage.kind.is_some_and(|kind| kind.role == Role::Block) {
            self.block(stage, block, context);
            return;
        }
        let (progress_after, problems_after) = context.progress();
        // A check that stopped at a problem declared no field; nothing is known of what follows.
        let sink = stage.kind.is_some_and(|kind| kind.role == Role::Sink);
        if problems_after > problems && progress_after == progress && !sink {
            context.may_have_other_fields();
        }
    }

    /// Checks the stages of a block; without its configuration nothing is known of what they see.
    fn block(
        &mut self,
        stage: &DeclaredStage,
        block: Option<&dyn BlockConfig>,
        context: &mut CheckContext<'_>,
    ) {
        context.open_block(&stage.id, &stage.at, stage.when.is_some());
        if let Some(block) = block {
            let trial = if block.is_loop() { context.trial() } else { None };
            if let Some(mut trial) = trial {
                block.enter(&mut trial);
                self.stages(&stage.inner, &mut trial);
                context.merge_trial_pass(&trial);
            }
            block.enter(context);
        }
        self.stages(&stage.inner, context);
        context.end_block_stages();
        if let Some(block) = block {
            block.leave(context);
        }
        context.close_block();
        if stage.inner.is_empty() {
            // The stages it should contain are missing, and so are the fields they would make.
            context.may_have_other_fields();
        }
    }
}

/// Pointers to the stages that could not be deserialized.
fn undeclared(stages: &[DeclaredStage]) -> Vec<&str> {
    let mut found = Vec::new();
    for stage in stages {
        match stage.declared {
            None => found.push(stage.at.as_str()),
            Some(_) => found.extend(undeclared(&stage.inner)),
        }
    }
    found
}

/// The variables that texts of the file use.
pub(in crate::config) fn vars_in_texts(document: &Document, vars: &Map<String, Value>) -> BTreeSet<String> {
    let mut read = BTreeSet::new();
    each_text(&document.value, "", &mut |at, text| {
        if !at.starts_with("/vars") {
            collect_vars(text, vars, &mut read);
        }
    });
    read
}

/// Whether a misspelling was reported for which `name` is the suggestion: that nothing uses the name is then no
/// second problem.
fn is_proposed(name: &str, problems: &[Problem]) -> bool {
    let proposal = did_you_mean_this(name);
    problems.iter().any(|problem| problem.hint.as_ref() == Some(&proposal))
}

fn unused(at: String, message: String) -> Problem {
    let mut problem = Problem::new(at, message);
    problem.on_key().hint("use it or take it out");
    problem
}

/// Collects the variables that a text names anywhere.
fn collect_vars(text: &str, vars: &Map<String, Value>, used: &mut BTreeSet<String>) {
    for (start, _) in text.match_indices("vars") {
        let rest = text[start + 4..].trim_start_matches(['.', '[', '\'', '"']);
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if vars.contains_key(&rest[..end]) {
            used.insert(rest[..end].to_owned());
        }
    }
}

/// Collects what a stage that could not be deserialized may use: models it names, and variables in files it
/// names.
fn collect_possible_uses(
    document: &Document,
    at: &str,
    vars: &Map<String, Value>,
    used_vars: &mut BTreeSet<String>,
    used_models: &mut BTreeSet<String>,
) {
    let Some(body) = document.value.pointer(at) else { return };
    each_text(body, at, &mut |_, text| {
        used_models.insert(text.to_owned());
        let small = std::fs::metadata(text).is_ok_and(|file| file.is_file() && file.len() < LARGEST_SEARCHED);
        if let Some(content) = small.then(|| text_file::read(text).ok()).flatten() {
            collect_vars(&content, vars, used_vars);
        }
    });
}
