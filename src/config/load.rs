//! Loads a pipeline file: from its text to a plan, or to all of its problems.
//!
//! In this order: parse the text, substitute environment values, apply overrides, validate the globals and each
//! stage against their schemas, check the pipeline as a whole, and only if there is no problem build the plan.

mod diagnostics;
mod mock_rules;
mod overrides;
mod test_files;

use std::path::{Path, PathBuf};

pub use self::overrides::{Overrides, pipeline_name};
pub use self::test_files::read_tests;
use super::check::{
    DeclaredStage, Globals, PipelineCheckInput, check_pipeline, declare_stages, vars_in_texts,
};
use super::plan::{Plan, PlannedStage};
use crate::pipeline::document::Document;
use crate::pipeline::environment::{self, Lookup};
use crate::pipeline::problem::{Problem, Problems};
use crate::pipeline::schema_check::SchemaCheckContext;
use crate::stages::StageType;

/// Loads the `text` of `file`. `table` lists the stage types.
pub(super) fn load(
    file: &str,
    text: &str,
    overrides: &Overrides,
    lookup: Lookup<'_>,
    table: &'static [StageType],
) -> Result<Plan, Problems> {
    load_after(file, text, overrides, &[], lookup, table)
}

/// The same after earlier pipelines of the same command, which will create the run directories `coming`.
pub(super) fn load_after(
    file: &str,
    text: &str,
    overrides: &Overrides,
    coming: &[PathBuf],
    lookup: Lookup<'_>,
    table: &'static [StageType],
) -> Result<Plan, Problems> {
    let mut problems = Vec::new();
    let mut document =
        Document::parse(text, &mut problems).map_err(|problem| Problems::unreadable(file, text, *problem))?;
    document.remove_extension_keys();
    let computed = environment::substitute(&mut document, lookup, &mut problems);
    let unset = problems.len();
    overrides::apply(&mut document, overrides, &mut problems);
    let vars = document.value.get("vars").and_then(|vars| vars.as_object()).cloned().unwrap_or_default();
    mock_rules::include(&mut document, &vars, lookup, &mut problems);
    let context = SchemaCheckContext { vars: &vars, computed: &computed };
    let read_before = vars_in_texts(&document, &vars);
    let globals = Globals::load(&mut document, &context, &mut problems);
    let stages = declare_stages(&mut document, table, &context, &mut problems);
    let input = PipelineCheckInput { file: Path::new(file), coming, vars: &vars, read_before: &read_before };
    let mut checked = check_pipeline(&document, &input, &globals, &stages, table, &mut problems);
    drop_consequences(&mut problems, unset);
    let mut warnings = std::mem::take(&mut checked.unused_vars);
    if overrides.sets.is_empty() {
        problems.append(&mut warnings);
    }
    warnings.append(&mut checked.warnings);
    match globals.pipeline {
        Some(pipeline) if problems.is_empty() => {
            let stages = stages.into_iter().filter_map(planned).collect();
            let warnings = Problems::locate(file, &document, warnings);
            Ok(Plan::new(file, pipeline, stages, &document.value, checked, warnings))
        }
        _ => Err(Problems::locate(file, &document, problems)),
    }
}

/// Removes problems that follow from the first `unset` problems, which are about variables without a value.
fn drop_consequences(problems: &mut Vec<Problem>, unset: usize) {
    let rest = problems.split_off(unset.min(problems.len()));
    let caused = |problem: &Problem| problems.iter().any(|unset| unset.at == problem.at);
    let own: Vec<Problem> = rest.into_iter().filter(|problem| !caused(problem)).collect();
    problems.extend(own);
}

fn planned(stage: DeclaredStage) -> Option<PlannedStage> {
    let inner = stage.inner.into_iter().map(planned).collect::<Option<Vec<_>>>()?;
    Some(PlannedStage {
        id: stage.id.into(),
        kind: stage.kind?,
        when: stage.when,
        declared: stage.declared?,
        inner,
    })
}
