//! `run`: loads the pipeline, opens the run directory, runs, and reports the end. `several` runs more than one in
//! order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::SignalStream;
use tokio_stream::{Stream, StreamExt};

use super::exit::{Exit, UsageError};
use super::repair::{self, RetryArgs};
use super::{OverrideArgs, default_run_dir, file_descriptors, inspect, print_data, reload, several};
use crate::config::{Overrides, Plan};
use crate::engine::{self, BuiltPipeline, ConnectedModels, RunEnd, RunOptions, RunReport, Stop};
use crate::journal::disk::RealDisk;
use crate::journal::{OpenedRun, RunDirectory, RunSpec, RunState};
use crate::{journal, llm, run};

/// The arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The pipeline's YAML file. Several are run in order, up to the first that is not complete; each is changed by the
    /// options that it has a place for.
    #[arg(required = true, value_name = "PIPELINE")]
    pub(super) pipelines: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) changes: OverrideArgs,
    /// The run directory; `output/NAME` by default. Of several pipelines, the folder of their run directories.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Covers only the first N items, counted over all starts; may be raised later.
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Moves an old run aside and begins anew.
    #[arg(long)]
    pub(super) fresh: bool,
    /// With `--fresh`: uses the answers of the run that is moved aside, or of the one in DIR, for questions
    /// that are the same; each answer once.
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, requires = "fresh")]
    pub(super) reuse_answers: Option<Option<PathBuf>>,
}

/// One pipeline to be run.
pub(super) struct PipelineRun {
    /// Its file.
    pub(super) file: PathBuf,
    /// The overrides of the command line.
    pub(super) overrides: Overrides,
    /// The run directory; `output/NAME` by default.
    pub(super) root: Option<PathBuf>,
    /// As the options of the same names.
    pub(super) limit: Option<u64>,
    pub(super) fresh: bool,
    pub(super) reuse_answers: Option<Option<PathBuf>>,
    /// Whether to run the `pipeline.yaml` of the run directory, and leave it unchanged.
    pub(super) retrying: bool,
}

pub(super) fn run(args: &RunArgs, json: bool, quiet: bool, bar: ProgressBar) -> anyhow::Result<Exit> {
    let [file] = args.pipelines.as_slice() else { return several::run(args, json, quiet, &bar) };
    let one = PipelineRun {
        file: file.clone(),
        overrides: args.changes.overrides(),
        root: args.out.clone(),
        limit: args.limit,
        fresh: args.fresh,
        reuse_answers: args.reuse_answers.clone(),
        retrying: false,
    };
    run_one(&one, json, quiet, bar)
}

pub(super) fn run_one(args: &PipelineRun, json: bool, quiet: bool, bar: ProgressBar) -> anyhow::Result<Exit> {
    let mut plan = load(&args.file, &args.overrides)?;
    let sinks = plan.all_stages().filter(|stage| stage.kind.role == crate::stages::Role::Sink).count();
    file_descriptors::reserve(&mut plan.models, sinks);
    let root = args.root.clone().unwrap_or_else(|| default_run_dir(&plan.name));
    let pools = llm::Pools::new(&plan.pools, &plan.models);
    let models = ConnectedModels::connect(&plan, &pools).map_err(|error| UsageError(error.to_string()))?;
    let now = jiff::Zoned::now().strftime("%Y-%m-%d_%H-%M-%S").to_string();
    let mut pipeline = BuiltPipeline::build(&plan, &models, &now)?;
    if pipeline.is_endless() && args.limit.is_none() && plan.accept.is_none() {
        return Err(endless_source(&plan).into());
    }
    let wanted = RunSpec {
        pipeline: plan.name.clone(),
        fingerprint: plan.fingerprint(),
        explained: explanations(&plan),
        sinks: pipeline.sink_paths(),
        pipeline_yaml: match args.retrying {
            true => std::fs::read_to_string(&args.file)?,
            false => plan.to_yaml(),
        },
        now,
        fresh: args.fresh,
        reuse_moved: matches!(args.reuse_answers, Some(None)),
        reuse: args.reuse_answers.clone().flatten(),
    };
    let opened = RunDirectory::open(Arc::new(RealDisk), &root, wanted)?;
    if let Some(moved) = &opened.moved {
        tracing::info!("moved the old run to {}", moved.display());
        warn_of_open_batches(moved);
    }
    if opened.replaced {
        tracing::info!(
            "the run in {} had made nothing, and gives way to the changed pipeline",
            root.display()
        );
    }
    let manifest = opened.directory.manifest();
    if manifest.state == RunState::Finished && is_covered(manifest.limit, args.limit) {
        opened.directory.verifier()()?;
        let lost = opened.directory.lost()?;
        if lost.is_empty() {
            return report_finished(&root, json);
        }
        lost.iter().for_each(|path| tracing::warn!("{} is gone, and made again", path.display()));
    }
    if opened.resumed {
        tracing::info!("going on with {}: {} items are done", plan.name, opened.done.len());
        // Files made at the end are named after the first start, which only the manifest knows.
        pipeline = BuiltPipeline::build(&plan, &models, &manifest.started)?;
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let report = runtime.block_on(execute(&plan, pipeline, opened, args, &pools, bar, quiet))?;
    // The source's thread may still be reading a file that is no longer needed.
    runtime.shutdown_background();
    let exit = report_end(&report, &root, json, quiet);
    Ok(exit)
}

/// Makes the rejected items of a run again, with the pipeline stored in the run directory.
pub(super) fn retry_rejected(
    args: &RetryArgs,
    json: bool,
    quiet: bool,
    bar: ProgressBar,
) -> anyhow::Result<Exit> {
    let Some(found) = journal::inspect(&args.run_dir)? else {
        return Err(journal::OpenError::NoRun(args.run_dir.clone()).into());
    };
    // These items failed before, so they may fail again; the error budget is for runs whose outcome is unknown.
    let sets = ["error_budget.share=1", "error_budget.in_a_row=1000000000"].map(str::to_owned).to_vec();
    let overrides = Overrides { sets, ..Overrides::default() };
    let file = args.run_dir.join("pipeline.yaml");
    // Loaded before anything is changed, so that a pipeline that cannot run changes nothing.
    let plan = Plan::load(&file, &overrides)?;
    let is_reached = plan.accept.is_some_and(|accept| found.done.ok >= accept);
    if is_reached && !found.manifest.retrying {
        repair::log_no_room(args, found.done.ok);
        return Ok(Exit::Complete);
    }
    if !repair::remove_rejected(args)? {
        return Ok(Exit::Complete);
    }
    let again = PipelineRun {
        file,
        overrides,
        root: Some(args.run_dir.clone()),
        limit: found.manifest.limit,
        fresh: false,
        reuse_answers: None,
        retrying: true,
    };
    run_one(&again, json, quiet, bar)
}

/// Warns of batches that the old run left with a provider: they are paid for, but the new run does not use them.
fn warn_of_open_batches(old: &Path) {
    let ids = llm::batch_ids(&journal::pending_notes(old, llm::carry_batches));
    if !ids.is_empty() {
        tracing::warn!(
            "the old run has batches with a provider, whose answers will not be used here: {}",
            ids.join(", ")
        );
    }
}

/// Returns the explanations of the stages. A stage that fails to explain itself reports the error when it is built.
fn explanations(plan: &Plan) -> Vec<serde_json::Value> {
    let explanations = plan.all_stages().filter_map(|stage| plan.explain(stage).ok().flatten());
    explanations.map(|explanation| explanation.data).collect()
}

/// Loads a pipeline with the overrides of the command line.
pub(super) fn load(file: &Path, overrides: &Overrides) -> anyhow::Result<Plan> {
    let plan = Plan::load(file, overrides)?;
    log_warnings(&plan);
    Ok(plan)
}

/// Logs the warnings about a pipeline: what is valid but hardly intended.
pub(super) fn log_warnings(plan: &Plan) {
    for warning in &plan.warnings.list {
        tracing::warn!("{}", warning.message);
    }
}

/// Connects a plan's models in direct mode: nobody waits a day to see a few records.
pub(super) fn connect_direct(plan: &Plan) -> anyhow::Result<ConnectedModels> {
    Ok(ConnectedModels::connect_direct(plan).map_err(|error| UsageError(error.to_string()))?)
}

/// Connects what answers where a run is foreseen.
pub(super) fn connect_scripts(plan: &Plan) -> anyhow::Result<ConnectedModels> {
    Ok(ConnectedModels::connect_scripts(plan).map_err(|error| UsageError(error.to_string()))?)
}

/// The error for a run that would never end.
fn endless_source(plan: &Plan) -> UsageError {
    let source = plan.stages.first().map_or("source", |stage| &*stage.id);
    UsageError(format!(
        "`{source}` never ends by itself\nhint: say how many items to make, with `--limit N`, or `count` in the stage"
    ))
}

/// Whether a run that finished under the limit `before` is complete under the limit `now`.
fn is_covered(before: Option<u64>, now: Option<u64>) -> bool {
    match (before, now) {
        (None, _) => true,
        (Some(before), Some(now)) => now <= before,
        (Some(_), None) => false,
    }
}

/// Reports a run that was complete before this start.
fn report_finished(root: &Path, json: bool) -> anyhow::Result<Exit> {
    let status = inspect::inspect(root)?;
    if json {
        print_data(&format!("{}\n", serde_json::to_string_pretty(&status.to_json()?)?));
    } else {
        let done = status.admitted();
        tracing::info!("{} is finished: {done} items, nothing to do (`--fresh` begins anew)", root.display());
    }
    let latest = status.latest.unwrap_or_default();
    let counts = run::RunCounts {
        ok: status.done.ok,
        dropped: status.done.dropped,
        rejected: status.done.rejected,
        unread: latest.source_failures,
        drops: latest.drops,
        limit: status.manifest.limit,
    };
    if counts.made_nothing() {
        tracing::error!("{}", counts.nothing_made_message(root));
        return Ok(Exit::TooManyRejected);
    }
    Ok(Exit::Complete)
}

async fn execute(
    plan: &Plan,
    pipeline: BuiltPipeline,
    opened: OpenedRun,
    args: &PipelineRun,
    pools: &llm::Pools,
    bar: ProgressBar,
    quiet: bool,
) -> anyhow::Result<RunReport> {
    let stop = Stop::default();
    let (events, watch) = async_channel::bounded(256);
    let options = RunOptions::new(plan, args.limit);
    let signals = termination_signals().context("cannot listen for signals")?;
    let report = tokio::select! {
        report = engine::run(pipeline, opened, options, stop.clone(), events) => report?,
        failed = reload::on_hangup(args, pools) => {
            failed.context("cannot listen for signals")?;
            anyhow::bail!("no signal can be heard any more")
        }
        () = handle_signals(signals, stop) => std::process::exit(Exit::Interrupted as i32),
        () = run::show_progress(watch, bar, quiet) => anyhow::bail!("the run's events ended before the run"),
    };
    Ok(report)
}

/// Returns SIGINT and SIGTERM as one stream.
fn termination_signals() -> std::io::Result<impl Stream<Item = ()>> {
    let interrupt = SignalStream::new(signal(SignalKind::interrupt())?);
    let terminate = SignalStream::new(signal(SignalKind::terminate())?);
    Ok(interrupt.merge(terminate))
}

/// First signal: drain. Second: abort. Third: returns, and the process exits at once.
async fn handle_signals(mut signals: impl Stream<Item = ()> + Unpin, stop: Stop) {
    signals.next().await;
    tracing::warn!("stopping: waiting for what is in flight (again to stop waiting)");
    stop.drain();
    signals.next().await;
    tracing::warn!("stopping now: committing what is complete");
    stop.abort();
    signals.next().await;
}

/// Prints the summary and returns the exit code for the end of a run.
fn report_end(report: &RunReport, root: &Path, json: bool, quiet: bool) -> Exit {
    if json {
        print_data(&format!("{}\n", run::summary_json(report)));
    } else if !quiet {
        run::print_to_stderr(&run::summary(report, root));
    }
    match &report.end {
        RunEnd::Complete if run::run_counts(report).made_nothing() => {
            tracing::error!("{}", run::run_counts(report).nothing_made_message(root));
            Exit::TooManyRejected
        }
        RunEnd::Complete => Exit::Complete,
        RunEnd::Interrupted => Exit::Interrupted,
        RunEnd::OutOfBudget(spent) => {
            tracing::error!(
                "the next request might exceed `budget`: {} tokens are spent, at a cost of {:.4}; \
                 the same command goes on once `budget` is raised",
                spent.tokens,
                spent.cost
            );
            Exit::OutOfBudget
        }
        RunEnd::SourceChanged(changed) => {
            tracing::error!(
                "the source is not what it was when this start began: {}; what was made may be of rows that it does \
                 not have, and lack others: `--fresh --reuse-answers` begins anew, with the answers that are there",
                changed.join("; ")
            );
            Exit::Storage
        }
        RunEnd::SourceEnded { accepted, wanted } => {
            let what = match report.limit.filter(|limit| report.snapshot.admitted >= *limit) {
                Some(limit) => format!("`--limit {limit}` was reached"),
                None => "the source ended".to_owned(),
            };
            tracing::error!("`accept` wants {wanted} items, but {what} with {accepted} accepted");
            Exit::SourceEnded
        }
        RunEnd::ErrorRateExceeded(over) => {
            tracing::error!("{}", run::error_rate_exceeded(over));
            Exit::TooManyRejected
        }
        RunEnd::Fatal(error) => {
            tracing::error!("stage `{}`: {error}; the same command goes on once that is mended", error.stage);
            Exit::Model
        }
        RunEnd::Storage(error) => {
            tracing::error!("{error}; what was committed is safe, the same command goes on");
            Exit::Storage
        }
    }
}
