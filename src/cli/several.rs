//! Several pipelines on one command line: all are loaded before anything runs, each with the overrides that apply
//! to it. `run` then executes them in order; `validate` reports on each.
//!
//! A pipeline may read the output of one before it, whose run directory does not exist yet; that input is checked
//! when its turn comes.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::exit::{self, Exit, UsageError};
use super::run::{self, PipelineRun, RunArgs};
use super::{OverrideArgs, default_run_dir};
use crate::config::{self, LoadError, Overrides, Plan};

/// A loaded pipeline.
pub(super) struct LoadedPipeline {
    /// Its file.
    pub(super) file: PathBuf,
    /// The overrides that apply to it.
    pub(super) overrides: Overrides,
    /// The plan, or the problems found.
    pub(super) plan: Result<Plan, LoadError>,
}

/// Loads all files. `out` is the folder of their run directories.
pub(super) fn load(files: &[PathBuf], changes: &OverrideArgs, out: Option<&Path>) -> Vec<LoadedPipeline> {
    // An unreadable file reports its error when it is loaded.
    let texts: Vec<String> =
        files.iter().map(|file| config::read_pipeline_file(file).unwrap_or_default()).collect();
    let shared = changes.overrides().shared_among(&texts);
    let mut upcoming = Vec::new();
    let mut loaded = Vec::with_capacity(files.len());
    for ((file, text), overrides) in files.iter().zip(&texts).zip(shared) {
        let plan = Plan::load_after(file, &overrides, &upcoming);
        let name = match &plan {
            Ok(plan) => Some(plan.name.clone()),
            // Pipelines after it must not fail because of its problems.
            Err(_) => config::pipeline_name(text),
        };
        upcoming.extend(name.map(|name| run_dir(out, &name)));
        loaded.push(LoadedPipeline { file: file.clone(), overrides, plan });
    }
    loaded
}

/// Runs the pipelines in order, up to the first that is not complete, whose exit code is returned.
pub(super) fn run(args: &RunArgs, json: bool, quiet: bool, bar: &ProgressBar) -> anyhow::Result<Exit> {
    let loaded = load(&args.pipelines, &args.changes, args.out.as_deref());
    let mut runs = Vec::with_capacity(loaded.len());
    let mut refused = None;
    for LoadedPipeline { file, overrides, plan } in loaded {
        match plan {
            Ok(plan) => runs.push((plan.name, file, overrides)),
            Err(error) => refused = Some(exit::report(&error.into(), json)),
        }
    }
    refuse_same_name(&runs)?;
    if let Some(exit) = refused {
        return Ok(exit);
    }
    let names: Vec<String> = runs.iter().map(|(name, ..)| name.clone()).collect();
    for (index, (name, file, overrides)) in runs.into_iter().enumerate() {
        tracing::info!("{} of {}: {name}", index + 1, names.len());
        bar.reset();
        let one = PipelineRun {
            file,
            overrides,
            root: Some(run_dir(args.out.as_deref(), &name)),
            limit: args.limit,
            fresh: args.fresh,
            reuse_answers: args.reuse_answers.clone(),
            retrying: false,
        };
        let ended = run::run_one(&one, json, quiet, bar.clone());
        if !matches!(ended, Ok(Exit::Complete)) {
            let waiting = names.get(index + 1..).unwrap_or_default();
            if !waiting.is_empty() {
                tracing::warn!("{name} is not complete, so not begun: {}", waiting.join(", "));
            }
            return ended;
        }
    }
    Ok(Exit::Complete)
}

/// Refuses two pipelines that would share a run directory.
fn refuse_same_name(runs: &[(String, PathBuf, Overrides)]) -> Result<(), UsageError> {
    for (index, (name, file, _)) in runs.iter().enumerate() {
        if let Some((_, first, _)) = runs[..index].iter().find(|(other, ..)| other == name) {
            return Err(UsageError(format!(
                "`{}` and `{}` are both named `{name}`, and would have one run directory\n\
                 hint: give one of them another `name`",
                first.display(),
                file.display()
            )));
        }
    }
    Ok(())
}

fn run_dir(out: Option<&Path>, name: &str) -> PathBuf {
    out.map_or_else(|| default_run_dir(name), |out| out.join(name))
}
