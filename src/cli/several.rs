//! Several pipelines on one command line: all are loaded before anything runs, each with the overrides that apply
//! to it. `run` then executes them in order; `validate` reports on each.
//!
//! A pipeline may read the output of one before it, whose run directory does not exist yet; that input is checked
//! when its turn comes.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::exit::{self, Exit, WrongUse};
use super::run::{self, PipelineRun, RunArgs};
use super::{Changes, default_out};
use crate::config::{self, LoadError, Overrides, Plan};

/// A loaded pipeline.
pub(super) struct Loaded {
    /// Its file.
    pub(super) file: PathBuf,
    /// The overrides that apply to it.
    pub(super) overrides: Overrides,
    /// The plan, or the problems found.
    pub(super) plan: Result<Plan, LoadError>,
}

/// Loads all files. `out` is the folder of their run directories.
pub(super) fn load(files: &[PathBuf], changes: &Changes, out: Option<&Path>) -> Vec<Loaded> {
    // An unreadable file reports its error when it is loaded.
    let texts: Vec<String> =
        files.iter().map(|file| config::read_pipeline_file(file).unwrap_or_default()).collect();
    let shared = changes.overrides().shared_among(&texts);
    let mut coming = Vec::new();
    let mut loaded = Vec::with_capacity(files.len());
    for ((file, text), overrides) in files.iter().zip(&texts).zip(shared) {
        let plan = Plan::load_after(file, &overrides, &coming);
        let name = match &plan {
            Ok(plan) => Some(plan.name.clone()),
            // Pipelines after it must not fail because of its problems.
            Err(_) => config::pipeline_name(text),
        };
        coming.extend(name.map(|name| root(out, &name)));
        loaded.push(Loaded { file: file.clone(), overrides, plan });
    }
    loaded
}

/// Runs the pipelines in order, up to the first that is not complete, whose exit code is returned.
pub(super) fn run(args: &RunArgs, json: bool, quiet: bool, bar: &ProgressBar) -> anyhow::Result<Exit> {
    let loaded = load(&args.pipelines, &args.changes, args.out.as_deref());
    let mut runs = Vec::with_capacity(loaded.len());
    let mut refused = None;
    for Loaded { file, overrides, plan } in loaded {
        match plan {
            Ok(plan) => runs.push((plan.name, file, overrides)),
            Err(error) => refused = Some(exit::report(&error.into(), json)),
        }
    }
    same_name(&runs)?;
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
            root: Some(root(args.out.as_deref(), &name)),
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
fn same_name(runs: &[(String, PathBuf, Overrides)]) -> Result<(), WrongUse> {
    for (index, (name, file, _)) in runs.iter().enumerate() {
        if let Some((_, first, _)) = runs[..index].iter().find(|(other, ..)| other == name) {
            return Err(WrongUse(format!(
                "`{}` and `{}` are both named `{name}`, and would have one run directory\n\
                 hint: give one of them another `name`",
                first.display(),
                file.display()
            )));
        }
    }
    Ok(())
}

fn root(out: Option<&Path>, name: &str) -> PathBuf {
    out.map_or_else(|| default_out(name), |out| out.join(name))
}
