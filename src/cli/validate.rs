//! `validate`: reports all problems of each pipeline, and the plan of those that are valid. Offline.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::exit::{Exit, report};
use super::{OverrideArgs, plan, print, print_data, run, several};
use crate::config::{LoadError, Plan, PlannedStage};
use crate::engine::{BuildPipelineError, Estimate};
use crate::pipeline::{ModelConfig, RequestMode};
use crate::sandbox::{Sandbox, SandboxMode};

/// The arguments of `validate`.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// The pipelines' YAML files, in the order in which they are to be run.
    #[arg(required = true)]
    pipelines: Vec<PathBuf>,
    #[command(flatten)]
    changes: OverrideArgs,
    /// Foresees requests, tokens, cost and time too, as `plan` does, which has options for it.
    #[arg(long)]
    estimate: bool,
}

pub(super) fn run(args: &ValidateArgs, json: bool) -> anyhow::Result<Exit> {
    let mut exit = Exit::Complete;
    for loaded in several::load(&args.pipelines, &args.changes, None) {
        let result =
            loaded.plan.map_err(anyhow::Error::from).and_then(|plan| print_plan(&plan, args.estimate, json));
        if let Err(error) = result {
            exit = report_refused(&loaded.file, &error, json);
        }
    }
    Ok(exit)
}

/// Prints the plan of a valid pipeline.
fn print_plan(plan: &Plan, with_estimate: bool, json: bool) -> anyhow::Result<()> {
    run::log_warnings(plan);
    let sandbox = sandbox(plan)?;
    let sandbox = sandbox.as_deref();
    let estimate = if with_estimate { Some(plan::estimate(plan, plan::SAMPLE, None)?) } else { None };
    if json {
        print_data(&format!("{}\n", as_json(plan, estimate.as_ref(), sandbox)?));
    } else {
        let foreseen = estimate.map(|found| plan::text(plan, &found)).unwrap_or_default();
        print(&(text(plan, sandbox)? + &foreseen));
    }
    Ok(())
}

/// Describes what confines the programs that stages run; `None` if none runs any. A machine that cannot confine those that
/// must be confined is refused.
fn sandbox(plan: &Plan) -> anyhow::Result<Option<String>> {
    let modes = || plan.all_stages().filter_map(|stage| Some((stage, stage.declared.sandbox()?)));
    if let Some((stage, _)) = modes().find(|(_, mode)| *mode == SandboxMode::Required) {
        let stage = std::sync::Arc::clone(&stage.id);
        let found = Sandbox::detect().map_err(|source| BuildPipelineError::NoSandbox { stage, source })?;
        return Ok(Some(found.describe()));
    }
    Ok(modes().next().map(|_| Sandbox::Off.describe()))
}

/// Reports the problems of a pipeline; with `--json` on stdout, in place of its plan.
fn report_refused(file: &Path, error: &anyhow::Error, json: bool) -> Exit {
    if json && let Some(error @ BuildPipelineError::NoSandbox { .. }) = error.downcast_ref() {
        let problem = json!({"file": file, "line": null, "column": null, "end": null, "severity": "error",
            "message": error.to_string(), "expected": null, "hint": null, "path": null, "option": null});
        print_data(&format!("{}\n", json!({"file": file, "diagnostics": [problem]})));
        return Exit::Usage;
    }
    match error.downcast_ref::<LoadError>().filter(|_| json) {
        Some(error) => {
            print_data(&format!("{}\n", json!({"file": file, "diagnostics": error.diagnostics()})));
            Exit::Usage
        }
        None => report(error, json),
    }
}

fn at_a_time(model: &ModelConfig) -> String {
    match model.mode() {
        RequestMode::Direct => model.concurrency.to_string(),
        RequestMode::Batch => format!("in batches of {}, {}", model.batch.requests, model.batch.in_flight),
    }
}

fn text(plan: &Plan, sandbox: Option<&str>) -> anyhow::Result<String> {
    let mut text = format!("{}: {} is right\n", plan.file.display(), plan.name);
    for (name, model) in &plan.models {
        let provider = format!("{:?}", model.provider).to_lowercase();
        let mut words = vec![provider, model.model.clone()];
        // From the resolved pipeline, which has the URLs without the keys that may be in them.
        let urls = plan.resolved["models"][name]["base_urls"].as_array();
        words.extend(urls.into_iter().flatten().filter_map(|url| url.as_str()).map(str::to_owned));
        words.retain(|word| !word.is_empty());
        let _ = writeln!(text, "  model {name}: {}, {} at a time", words.join(" "), at_a_time(model));
    }
    list(&mut text, plan, &plan.stages)?;
    if let Some(sandbox) = sandbox {
        let _ = writeln!(text, "  sandbox of programs: {sandbox}");
    }
    if let Some(items) = plan.items {
        let _ = writeln!(text, "  {items} items");
    }
    let _ = writeln!(text, "  {} items in flight at most, seed {}", plan.max_in_flight, plan.seed);
    Ok(text)
}

/// Lists stages with their explanations; those in a block are indented and numbered separately.
fn list(text: &mut String, plan: &Plan, stages: &[PlannedStage]) -> anyhow::Result<()> {
    for (index, stage) in stages.iter().enumerate() {
        let indent = " ".repeat(4 * stage.depth());
        let when = stage.when.as_ref().map(|when| format!(" when {when}")).unwrap_or_default();
        let id = stage.own_id();
        let name = if id == stage.kind.name { String::new() } else { format!(" ({})", stage.kind.name) };
        let _ = writeln!(text, "{indent}  {:>2}. {id}{name}{when}", index + 1);
        for line in plan.explain(stage)?.iter().flat_map(|explanation| &explanation.lines) {
            let _ = writeln!(text, "{indent}        {line}");
        }
        list(text, plan, &stage.inner)?;
    }
    Ok(())
}

fn as_json(
    plan: &Plan,
    estimate: Option<&Estimate>,
    sandbox: Option<&str>,
) -> anyhow::Result<serde_json::Value> {
    let mut stages = Vec::with_capacity(plan.stages.len());
    for stage in plan.all_stages() {
        let mut result = json!({"id": stage.id, "type": stage.kind.name, "when": stage.when});
        if let Some(explanation) = plan.explain(stage)? {
            result["explanation"] = explanation.data;
        }
        stages.push(result);
    }
    let mut result = json!({"file": plan.file, "diagnostics": plan.warnings.diagnostics("warning"), "name": plan.name, "seed": plan.seed, "items": plan.items,
              "max_in_flight": plan.max_in_flight, "stages": stages, "pipeline": plan.resolved});
    if let Some(sandbox) = sandbox {
        result["sandbox"] = sandbox.into();
    }
    if let Some(estimate) = estimate {
        result["estimate"] = plan::as_json(plan, estimate);
    }
    Ok(result)
}
