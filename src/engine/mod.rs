//! Runs a plan: chains of stages joined by bounded channels, from the source to the last stage.
//!
//! ```text
//! source thread -> admission, first chain -> a task a record: model, chain -> ...
//!                     ^  room                    |  events
//!                     +---------- ledger <-------+
//!                                   |  ended items        |  events
//!                                 writer thread         progress, summary
//! ```
//!
//! Only admission waits for room (`admission`); a chain knows its stages and its way on (`chain`), and every record
//! comes through a stage in one place (`execute`); the ledger owns the state (`ledger`); the writer makes it durable
//! (`journal`). A run ends when the source ends: each channel closes when the tasks before it are done.

mod accept;
mod admission;
mod ask;
mod block;
mod build;
mod chain;
mod effect;
mod estimate;
mod event;
mod execute;
mod gate;
mod ledger;
mod lending;
mod metrics;
mod model_effect;
mod preview;
mod reask;
mod record_end;
mod responder;
mod slot;
mod spending;
mod stop;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use admission::{Admission, no_thread};
pub use build::{BuildPipelineError, BuiltPipeline, ConnectedModels};
use effect::EffectRunner;
pub use estimate::{Estimate, StageEstimate, estimate};
pub use event::{FatalError, RunEvent, Snapshot};
use event::{Halt, LedgerEvent};
use execute::Executor;
use gate::AdmissionLimit;
pub use gate::WindowFigures;
pub use ledger::ErrorRateExceeded;
use ledger::{Ledger, LedgerContext};
use lending::LendingSemaphore;
pub use metrics::{FirstTokens, StageFigures};
use model_effect::JournaledResponder;
pub use preview::{ItemSelection, Preview, PreviewStep, SAMPLED_FROM, preview};
pub use record_end::Rejection;
use slot::RetryBacklog;
use spending::Spending;
pub use stop::Stop;

use crate::journal::{
    OpenError, OpenedRun, RunDirectory, RunState, Spent, StartedRun, StorageError, StorageOptions,
    write_array,
};
use crate::llm::{BackgroundContext, BatchFiles, Model, carry_batches};
use crate::pipeline::{Budget, ErrorBudget, InputFile};

/// Events that may wait for the ledger.
const EVENTS: usize = 256;

/// How a run is to be done: what may change between two starts of one run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The pipeline's name.
    pub pipeline: String,
    /// Items 0 to this are covered.
    pub limit: Option<u64>,
    /// What the run may spend.
    pub budget: Budget,
    /// The run ends when this many items have ended ok, the first ones by number.
    pub accept: Option<u64>,
    /// Items between admission and their end.
    pub max_in_flight: u32,
    /// When rejected items stop the run.
    pub error_budget: ErrorBudget,
    /// How long answers in flight are awaited after a drain began.
    pub drain_timeout: Duration,
    /// How files are written.
    pub storing: StorageOptions,
}

/// How a run ended.
#[derive(Debug)]
pub struct RunReport {
    /// The final figures.
    pub snapshot: Snapshot,
    /// Why it ended.
    pub end: RunEnd,
    /// Documents or rows that could not be read, the first ten with their reasons.
    pub source_failures: Vec<(String, String)>,
    /// Files made at the end, with the number of their elements.
    pub arrays: Vec<(String, u64)>,
    /// The most items that were asked for.
    pub limit: Option<u64>,
}

/// Why a run ended.
#[derive(Debug)]
pub enum RunEnd {
    /// Every item has ended.
    Complete,
    /// It was asked to stop; the same command goes on.
    Interrupted,
    /// The source ended, or the limit was reached, before as many items ended ok as `accept` wants.
    SourceEnded {
        /// Items that ended ok.
        accepted: u64,
        /// Items that should have.
        wanted: u64,
    },
    /// Too many items were rejected.
    ErrorRateExceeded(ErrorRateExceeded),
    /// The next request might exceed the budget; the same command goes on once that is raised.
    OutOfBudget(Spent),
    /// A model or the source cannot go on.
    Fatal(FatalError),
    /// Files of the source are not what they were when the start began, a line each: what was made may be of rows
    /// that they do not have, and lack some that they have.
    SourceChanged(Vec<String>),
    /// A file cannot be written.
    Storage(StorageError),
}

/// Runs `parts` in `opened` until the source ends or `stop` says so. Events go to `events` while it runs.
pub async fn run(
    mut parts: BuiltPipeline,
    opened: OpenedRun,
    options: RunOptions,
    stop: Stop,
    events: async_channel::Sender<RunEvent>,
) -> Result<RunReport, OpenError> {
    let OpenedRun { mut directory, done, before, keys, .. } = opened;
    let StartedRun { writer, answers, answers_thread, notes, notes_thread, spent } =
        directory.start(&done, options.limit, options.storing, carry_batches)?;
    let spending = Arc::new(Spending::new(options.budget, spent));
    let (ledger, told) = async_channel::bounded(EVENTS);
    let room = LendingSemaphore::new(options.max_in_flight.max(1) as usize);
    let backlog = RetryBacklog::new(options.max_in_flight);
    let last_done = done.max();
    let mut units = directory.units()?;
    let (first_item, skipped) = parts.source.skip(&done, &units);
    units.truncate(skipped);
    // Files whose items are all done are not read again, and may be gone.
    let files = parts.source.source.files();
    let inputs: Vec<(String, InputFile)> =
        files.into_iter().filter_map(|path| parts.inputs.remove_entry(&path)).collect();
    let tasks = TaskTracker::new();
    verify(&directory, &ledger, &tasks);
    let metrics = parts.metrics();
    let done = Arc::new(done);
    let effects = EffectRunner {
        answers: Arc::clone(&answers),
        spending: Arc::clone(&spending),
        backlog: Arc::clone(&backlog),
    };
    let journaled = JournaledResponder(effects);
    let executor = Executor::new(Arc::new(journaled), stop.clone());
    let (first, mut gates) = chain::start(parts.stages, &done, &ledger, executor, &tasks);
    gate::rebuild(&mut gates, keys);
    let (limit_admission, admission_limit) = watch::channel(AdmissionLimit::default());
    let context = LedgerContext {
        unit_count: parts.source.units(),
        files: parts.source.left_out(),
        // After a skip by records the first unit is not whole, and counting would be off.
        units: (first_item == 0 || skipped > 0).then_some(units),
        pipeline: options.pipeline.clone(),
        told,
        answers,
        spending,
        events,
        budget: options.error_budget,
        stop: stop.clone(),
        stages: metrics,
        models: parts.models.clone(),
        sinks: parts.sinks.iter().map(|sink| sink.path.clone()).collect(),
        before,
        limit: options.limit,
        max_in_flight: u64::from(options.max_in_flight.max(1)),
        room: Arc::clone(&room),
        backlog,
        accept: options.accept,
        done: Arc::clone(&done),
        gates,
        admission: limit_admission,
        total: directory.manifest().items.or(parts.source.items()),
    };
    let untended = Arc::new(OnceLock::new());
    let batches = Arc::new(BatchFiles::new(notes));
    let with = BackgroundContext { batches, draining: stop.drain_token() };
    let tending = start_background_tasks(parts.models, with, &untended, &stop, &tasks);
    match parts.source.start() {
        Ok(units) => {
            let limit = options.limit.unwrap_or(u64::MAX);
            let (stop, gates) = (stop.clone(), admission_limit);
            let admitted = 0;
            let admission =
                Admission { first_item, units, done, limit, room, ledger, first, gates, admitted, stop };
            tasks.spawn(admission.run());
        }
        Err(error) => {
            let _ = ledger.send(LedgerEvent::Halted(Halt::Fatal(no_thread(&error)))).await;
            // The ledger ends when the last who tells it is gone, the chains when their input is.
            first.close().await;
            drop(ledger);
        }
    }
    let limiter = AbortOnDropHandle::new(tasks.spawn(stop.clone().limit_drain(options.drain_timeout)));
    let mut report = Ledger::new(context, writer).run().await;
    drop((limiter, tending));
    // A task that was given up may still hold the answers for a moment.
    tasks.close();
    tasks.wait().await;
    let ended = tokio::task::spawn_blocking(move || {
        notes_thread.finish();
        answers_thread.finish()
    });
    let ended = ended.await;
    if let Ok(Err(error)) = ended {
        report.storage.get_or_insert(error);
    }
    if let Some(error) = untended.get() {
        report.storage.get_or_insert(StorageError::clone(error));
    }
    let changed = changes(inputs, &report, last_done).await;
    Ok(finish(directory, report, changed, &parts.sinks, &options, &stop)?)
}

/// What of the source is not as it was when the start began.
async fn changes(
    inputs: Vec<(String, InputFile)>,
    report: &ledger::LedgerReport,
    last_done: Option<u64>,
) -> Vec<String> {
    let compare = move || inputs.iter().filter_map(|(path, input)| input.change(path)).collect();
    let mut changed: Vec<String> = tokio::task::spawn_blocking(compare).await.unwrap_or_default();
    // An earlier start has read more than there is now.
    if let (Some(last), Some(total), true) = (last_done, report.snapshot.total, report.source_ended)
        && changed.is_empty()
        && last >= total
    {
        changed.push(format!("it has {total} items, but item {last} is done"));
    }
    changed
}

/// Starts what the models have to do beside the questions. It does not keep the ledger waiting; what it could
/// not write is in `failed` before anybody learns that it has ended.
fn start_background_tasks(
    models: Vec<Arc<dyn Model>>,
    with: BackgroundContext,
    failed: &Arc<OnceLock<StorageError>>,
    stop: &Stop,
    tasks: &TaskTracker,
) -> Vec<AbortOnDropHandle<()>> {
    let mut tending = Vec::new();
    let batches = Arc::clone(&with.batches);
    for work in models.into_iter().filter_map(|model| model.background_task(with.clone())) {
        let (failed, stop) = (Arc::clone(failed), stop.clone());
        tending.push(AbortOnDropHandle::new(tasks.spawn(async move {
            if let Err(error) = work.await {
                let _ = failed.set(error);
                stop.abort();
            }
        })));
    }
    if batches.abandoned() > 0 {
        tracing::warn!(
            "{} questions are with a provider in batches, but their model is not asked so any more: they are \
             asked again, and paid for twice",
            batches.abandoned()
        );
    }
    tending
}

/// Checks beside the start that the outputs are still what earlier starts committed.
fn verify(directory: &RunDirectory, ledger: &async_channel::Sender<LedgerEvent>, tasks: &TaskTracker) {
    let (verifier, ledger) = (directory.verifier(), ledger.clone());
    drop(tasks.spawn_blocking(move || {
        if let Err(error) = verifier() {
            let _ = ledger.send_blocking(LedgerEvent::Halted(Halt::Storage(error)));
        }
    }));
}

fn finish(
    mut directory: RunDirectory,
    report: ledger::LedgerReport,
    changed: Vec<String>,
    sinks: &[build::SinkFile],
    options: &RunOptions,
    stop: &Stop,
) -> Result<RunReport, StorageError> {
    let mut snapshot = report.snapshot;
    let covered = report.source_ended || options.limit.is_some_and(|limit| snapshot.admitted >= limit);
    let end = if let Some(error) = report.storage {
        RunEnd::Storage(error)
    } else if let Some(error) = report.fatal {
        RunEnd::Fatal(error)
    } else if let Some(over) = report.error_rate_exceeded {
        RunEnd::ErrorRateExceeded(over)
    } else if report.out_of_budget {
        RunEnd::OutOfBudget(snapshot.spent)
    } else if !changed.is_empty() {
        RunEnd::SourceChanged(changed)
    } else if let Some((_, true)) = report.accepted {
        RunEnd::Complete
    } else if let (Some((accepted, false)), true, Some(wanted)) =
        (report.accepted, covered && snapshot.in_flight == 0, options.accept)
    {
        RunEnd::SourceEnded { accepted, wanted }
    } else if covered && snapshot.in_flight == 0 {
        RunEnd::Complete
    } else {
        debug_assert!(stop.is_draining(), "a run that nobody stopped must be complete");
        RunEnd::Interrupted
    };
    let complete = matches!(end, RunEnd::Complete);
    snapshot.state = match &end {
        RunEnd::Complete => "finished",
        RunEnd::Interrupted | RunEnd::ErrorRateExceeded(_) | RunEnd::SourceEnded { .. } => "interrupted",
        RunEnd::OutOfBudget(_) => "out_of_budget",
        RunEnd::Fatal(_) | RunEnd::Storage(_) | RunEnd::SourceChanged(_) => "failed",
    };
    snapshot.failure = match &end {
        RunEnd::Fatal(error) => Some(format!("stage `{}`: {error}", error.stage)),
        RunEnd::Storage(error) => Some(error.to_string()),
        RunEnd::SourceChanged(changed) => Some(format!("the source changed: {}", changed.join("; "))),
        _ => None,
    };
    let mut arrays = Vec::new();
    let mut sums = BTreeMap::new();
    if complete {
        for sink in sinks {
            if let Some(array) = &sink.array {
                let (count, sum) = write_array(&**directory.disk(), directory.root(), &sink.path, array)?;
                arrays.push((array.path.clone(), count));
                sums.insert(array.path.clone(), sum);
            }
        }
    }
    if matches!(end, RunEnd::Storage(_)) {
        // For `status`, where the disk still takes it. The manifest is left alone: what it says may be all that
        // is known for certain.
        let _ = directory.save_status(&snapshot);
    } else {
        directory.save_status(&snapshot)?;
        directory.close(|manifest| {
            manifest.seconds += snapshot.seconds;
            manifest.limit = options.limit;
            manifest.state = if complete { RunState::Finished } else { RunState::Interrupted };
            if complete {
                manifest.arrays = sums;
            }
            if report.source_ended && !matches!(end, RunEnd::SourceChanged(_)) {
                manifest.items = snapshot.total;
            }
        })?;
    }
    let (source_failures, limit) = (report.source_failures, options.limit);
    Ok(RunReport { snapshot, end, source_failures, arrays, limit })
}
