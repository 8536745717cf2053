//! From the text of a pipeline file to a plan, or to all its problems.
//!
//! The order: read (`tree`), put environment values and overrides in, check the shape of the head and of
//! each stage (`head`, `declared`), check the file as a whole (`order`, `whole`), and only then make the plan.

use std::path::{Path, PathBuf};

use super::declared::{Declared, declare_stages};
use super::head::Head;
use super::overrides::{self, Overrides};
use super::plan::{Plan, PlannedStage};
use super::whole;
use crate::pipeline::environment::{self, Lookup};
use crate::pipeline::problem::{Problem, Problems};
use crate::pipeline::shape::Surroundings;
use crate::pipeline::tree::Document;
use crate::stages::StageType;

/// Loads `text`, which stands in `file`. `table` lists the stage types there are.
pub(super) fn load(
    file: &str,
    text: &str,
    overrides: &Overrides,
    lookup: Lookup<'_>,
    table: &'static [StageType],
) -> Result<Plan, Problems> {
    load_after(file, text, overrides, &[], lookup, table)
}

/// The same where earlier pipelines of the same command are going to make the run directories `coming`.
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
    document.leave_out_extensions();
    let computed = environment::substitute(&mut document, lookup, &mut problems);
    let unset = problems.len();
    overrides::apply(&mut document, overrides, &mut problems);
    let vars = document.value.get("vars").and_then(|vars| vars.as_object()).cloned().unwrap_or_default();
    let around = Surroundings { vars: &vars, computed: &computed };
    let read_before = whole::read_vars(&document, &vars);
    let head = Head::read(&mut document, &around, &mut problems);
    let stages = declare_stages(&mut document, table, &around, &mut problems);
    let file_and_reads =
        whole::Around { file: Path::new(file), coming, vars: &vars, read_before: &read_before };
    let mut seen = whole::check(&document, &file_and_reads, &head, &stages, table, &mut problems);
    drop_consequences(&mut problems, unset);
    let mut warnings = std::mem::take(&mut seen.unused_vars);
    if overrides.sets.is_empty() {
        problems.append(&mut warnings);
    }
    warnings.append(&mut seen.warnings);
    match head.pipeline {
        Some(pipeline) if problems.is_empty() => {
            let stages = stages.into_iter().filter_map(planned).collect();
            let warnings = Problems::gather(file, &document, warnings);
            Ok(Plan::new(file, pipeline, stages, &document.value, seen, warnings))
        }
        _ => Err(Problems::gather(file, &document, problems)),
    }
}

/// Leaves out what was found wrong with texts in which the first `unset` problems found no value to put.
fn drop_consequences(problems: &mut Vec<Problem>, unset: usize) {
    let rest = problems.split_off(unset.min(problems.len()));
    let caused = |problem: &Problem| problems.iter().any(|unset| unset.at == problem.at);
    let own: Vec<Problem> = rest.into_iter().filter(|problem| !caused(problem)).collect();
    problems.extend(own);
}

fn planned(stage: Declared) -> Option<PlannedStage> {
    let inner = stage.inner.into_iter().map(planned).collect::<Option<Vec<_>>>()?;
    Some(PlannedStage {
        id: stage.id.into(),
        kind: stage.kind?,
        when: stage.when,
        declared: stage.declared?,
        inner,
    })
}
