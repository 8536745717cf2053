//! Runs a built pipeline: chains of stages connected by bounded channels, from the source to the last stage.
//!
//! ```text
//! source thread -> admission, first chain -> a task per record: model, chain -> ...
//!                     ^  permits                 |  events
//!                     +---------- ledger <-------+
//!                                   |  ended items        |  events
//!                                 writer thread         progress, summary
//! ```
//!
//! Only admission waits for permits (`admission`). A chain knows its stages and where its records go next (`chain`),
//! and every record goes through a stage in one place (`execute`). The ledger owns the run's state (`ledger`), and
//! the writer makes it durable (`journal`). A run ends when the source ends: each channel closes when the tasks
//! before it are done.

mod accept;
mod admission;
mod ask;
mod block;
mod build;
mod case;
mod chain;
mod connected_models;
mod effect;
mod estimate;
mod event;
mod execute;
mod gate;
mod ledger;
mod lending;
mod metrics;
mod model_effect;
mod options;
mod preview;
mod program_effect;
mod programs;
mod reask;
mod record_end;
mod responder;
mod run_end;
mod slot;
mod source_part;
mod spending;
mod status;
mod stop;

use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, watch};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use admission::Admission;
pub use build::{BuildPipelineError, BuiltPipeline};
pub use case::{CaseOutcome, run_case};
pub use connected_models::ConnectedModels;
use effect::EffectRunner;
pub use estimate::{Estimate, ProgramEstimate, StageEstimate, estimate};
pub use event::{FatalError, RunEvent};
use event::{Halt, LedgerEvent};
use execute::Executor;
use gate::AdmissionLimit;
pub use gate::WindowFigures;
pub use ledger::ErrorRateExceeded;
use ledger::{Ledger, LedgerContext, LedgerReport};
use lending::LendingSemaphore;
pub use metrics::{FirstTokens, StageFigures};
use model_effect::JournaledResponder;
pub use options::RunOptions;
pub use preview::{ItemSelection, Preview, PreviewStep, SAMPLED_FROM, preview};
pub use record_end::Rejection;
pub use run_end::{RunEnd, RunReport};
use slot::RetryBacklog;
use source_part::thread_failed;
use spending::Spending;
pub use status::{RunPhase, RunStatus};
pub use stop::Stop;

use crate::journal::{OpenError, OpenedRun, RunDirectory, StartedRun, StorageError};
use crate::llm::{BackgroundContext, BatchFiles, Model, carry_batches};
use crate::pipeline::InputFile;

/// The capacity of the channel to the ledger, in events.
const EVENTS: usize = 256;

/// Runs a pipeline in `opened` until the source ends or `stop` is used. Sends events to `events` meanwhile.
pub async fn run(
    mut pipeline: BuiltPipeline,
    opened: OpenedRun,
    options: RunOptions,
    stop: Stop,
    events: async_channel::Sender<RunEvent>,
) -> Result<RunReport, OpenError> {
    let OpenedRun { mut directory, done, before, keys, .. } = opened;
    let StartedRun { writer, answers, collector, answers_thread, notes, notes_thread, spent } =
        directory.start(&done, options.limit, options.storage, carry_batches)?;
    let spending = Arc::new(Spending::new(options.budget, spent));
    let (ledger, incoming) = mpsc::channel(EVENTS);
    let permits = LendingSemaphore::new(options.max_in_flight.max(1) as usize);
    let backlog = RetryBacklog::new(options.max_in_flight);
    let last_done = done.max();
    pipeline.source.source.keep_results(directory.kept_results(options.storage.sync));
    let mut units = directory.units()?;
    let (first_item, skipped) = pipeline.source.skip_done(&done, &units);
    units.truncate(skipped);
    // Files whose items are all done are not read again, and may have been deleted.
    let files = pipeline.source.source.files();
    let inputs: Vec<(String, InputFile)> =
        files.into_iter().filter_map(|path| pipeline.inputs.remove_entry(&path)).collect();
    let tasks = TaskTracker::new();
    tasks.spawn(collector.run());
    spawn_verification(&directory, &ledger, &tasks);
    let metrics = pipeline.metrics();
    let done = Arc::new(done);
    let effects = EffectRunner {
        answers: Arc::clone(&answers),
        spending: Arc::clone(&spending),
        backlog: Arc::clone(&backlog),
    };
    let executor = Executor::new(Arc::new(JournaledResponder(effects)), stop.clone());
    let (first, mut gates) = chain::start(pipeline.stages, &done, &ledger, executor, &tasks);
    gate::rebuild(&mut gates, keys);
    let (admission_limit, gate_limit) = watch::channel(AdmissionLimit::default());
    let context = LedgerContext {
        unit_count: pipeline.source.units(),
        files: pipeline.source.left_out(),
        // After a skip by records the first unit is incomplete, and its items cannot be counted.
        units: (first_item == 0 || skipped > 0).then_some(units),
        pipeline: options.pipeline.clone(),
        incoming,
        answers,
        spending,
        events,
        error_budget: options.error_budget,
        stop: stop.clone(),
        stages: metrics,
        models: pipeline.models.clone(),
        sinks: pipeline.sinks.iter().map(|sink| sink.path.clone()).collect(),
        before,
        limit: options.limit,
        max_in_flight: u64::from(options.max_in_flight.max(1)),
        permits: Arc::clone(&permits),
        backlog,
        accept: options.accept,
        done: Arc::clone(&done),
        gates,
        admission_limit,
        total: directory.manifest().items.or(pipeline.source.items()),
    };
    let background_failure = Arc::new(OnceLock::new());
    let batches = Arc::new(BatchFiles::new(notes));
    let background = BackgroundContext { batches, draining: stop.drain_token() };
    let background_tasks =
        spawn_background_tasks(pipeline.models, background, &background_failure, &stop, &tasks);
    let source_id = Arc::clone(&pipeline.source.source_id);
    match pipeline.source.start() {
        Ok(batches) => {
            let limit = options.limit.unwrap_or(u64::MAX);
            let admission = Admission {
                first_item,
                source_id,
                batches,
                done,
                limit,
                permits,
                ledger,
                first,
                gate_limit,
                admitted: 0,
                stop: stop.clone(),
            };
            tasks.spawn(admission.run());
        }
        Err(error) => {
            let _ = ledger.send(LedgerEvent::Halted(Halt::Fatal(thread_failed(&error)))).await;
            // The ledger ends when its last sender is dropped, the chains when their input is closed.
            first.close().await;
            drop(ledger);
        }
    }
    let drain_timer = AbortOnDropHandle::new(tasks.spawn(stop.clone().limit_drain(options.drain_timeout)));
    // As a separate task, it is woken without switching to the thread that waits here.
    let ledger = tasks.spawn(Ledger::new(context, writer).run());
    let mut report = ledger.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    drop((drain_timer, background_tasks));
    // A task that was aborted may still hold the answers' log for a moment.
    tasks.close();
    tasks.wait().await;
    let finished = tokio::task::spawn_blocking(move || {
        notes_thread.finish();
        answers_thread.finish()
    });
    if let Ok(Err(error)) = finished.await {
        report.storage.get_or_insert(error);
    }
    if let Some(error) = background_failure.get() {
        report.storage.get_or_insert(StorageError::clone(error));
    }
    let changed = changed_inputs(inputs, &report, last_done).await;
    Ok(run_end::finish(directory, report, changed, &pipeline.sinks, &options, &stop)?)
}

/// Describes each way in which the source has changed since the start began.
async fn changed_inputs(
    inputs: Vec<(String, InputFile)>,
    report: &LedgerReport,
    last_done: Option<u64>,
) -> Vec<String> {
    let compare = move || inputs.iter().filter_map(|(path, input)| input.change(path)).collect();
    let mut changed: Vec<String> = tokio::task::spawn_blocking(compare).await.unwrap_or_default();
    // An earlier start read more items than there are now.
    if let (Some(last), Some(total), true) = (last_done, report.snapshot.total, report.source_ended)
        && changed.is_empty()
        && last >= total
    {
        changed.push(format!("it has {total} items, but item {last} is done"));
    }
    changed
}

/// Starts the models' background tasks. The ledger does not wait for them; the error of one that cannot write is in
/// `failure` before the run is aborted.
fn spawn_background_tasks(
    models: Vec<Arc<dyn Model>>,
    context: BackgroundContext,
    failure: &Arc<OnceLock<StorageError>>,
    stop: &Stop,
    tasks: &TaskTracker,
) -> Vec<AbortOnDropHandle<()>> {
    let mut handles = Vec::new();
    let batches = Arc::clone(&context.batches);
    for task in models.into_iter().filter_map(|model| model.background_task(context.clone())) {
        let (failure, stop) = (Arc::clone(failure), stop.clone());
        handles.push(AbortOnDropHandle::new(tasks.spawn(async move {
            if let Err(error) = task.await {
                let _ = failure.set(error);
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
    handles
}

/// Checks concurrently with the run that the outputs are still what earlier starts committed.
fn spawn_verification(directory: &RunDirectory, ledger: &mpsc::Sender<LedgerEvent>, tasks: &TaskTracker) {
    let (verifier, ledger) = (directory.verifier(), ledger.clone());
    drop(tasks.spawn_blocking(move || {
        if let Err(error) = verifier() {
            let _ = ledger.blocking_send(LedgerEvent::Halted(Halt::Storage(error)));
        }
    }));
}
