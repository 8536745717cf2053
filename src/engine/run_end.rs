//! How a run ended: derives the reason from the ledger's report, makes the files of a complete run, and saves the
//! status and the manifest.

use std::collections::BTreeMap;

use super::build::SinkFile;
use super::event::FatalError;
use super::ledger::{ErrorRateExceeded, LedgerReport};
use super::options::RunOptions;
use super::status::{RunPhase, RunStatus};
use super::stop::Stop;
use crate::journal::{RunDirectory, RunState, Spent, StorageError, write_array};

/// The result of a run.
#[derive(Debug)]
pub struct RunReport {
    /// The final figures.
    pub snapshot: RunStatus,
    /// Why it ended.
    pub end: RunEnd,
    /// The first ten documents or rows that could not be read, with the reasons.
    pub source_failures: Vec<(String, String)>,
    /// The files made at the end, with the number of their elements.
    pub arrays: Vec<(String, u64)>,
    /// The limit on the number of items.
    pub limit: Option<u64>,
}

/// Why a run ended.
#[derive(Debug)]
pub enum RunEnd {
    /// Every item has ended.
    Complete,
    /// It was asked to stop; the same command continues it.
    Interrupted,
    /// The source ended, or the limit was reached, before as many items ended ok as `accept` demands.
    SourceEnded {
        /// Items that ended ok.
        accepted: u64,
        /// Items that should have.
        wanted: u64,
    },
    /// Too many items were rejected.
    ErrorRateExceeded(ErrorRateExceeded),
    /// The next request might exceed the budget; the same command continues once that is raised.
    OutOfBudget(Spent),
    /// A model or the source cannot continue.
    Fatal(FatalError),
    /// Files of the source have changed since the start began, one line each: the records may be of rows that the
    /// files do not contain, and lack others that they do.
    SourceChanged(Vec<String>),
    /// A file cannot be written.
    Storage(StorageError),
}

/// Closes a run. `changed` lists the source files that have changed since the start began.
pub(super) fn finish(
    mut directory: RunDirectory,
    mut report: LedgerReport,
    changed: Vec<String>,
    sinks: &[SinkFile],
    options: &RunOptions,
    stop: &Stop,
) -> Result<RunReport, StorageError> {
    let end = end_of(&mut report, changed, options, stop);
    let LedgerReport { mut snapshot, source_ended, source_failures, .. } = report;
    snapshot.state = state_of(&end);
    snapshot.failure = failure_of(&end);
    let is_complete = matches!(end, RunEnd::Complete);
    let mut arrays = Vec::new();
    let mut sums = BTreeMap::new();
    if is_complete {
        for sink in sinks {
            if let Some(array) = &sink.array {
                let (count, sum) = write_array(&**directory.disk(), directory.root(), &sink.path, array)?;
                arrays.push((array.path.clone(), count));
                sums.insert(array.path.clone(), sum);
            }
        }
    }
    let status = RunStatus { start: Some(directory.manifest().generation), ..snapshot.clone() };
    if matches!(end, RunEnd::Storage(_)) {
        // For `status`, if the disk still accepts it. The manifest is not touched: what it says may be all that is
        // certain.
        let _ = directory.save_status(&status);
    } else {
        directory.save_status(&status)?;
        directory.close(|manifest| {
            manifest.seconds += snapshot.seconds;
            manifest.limit = options.limit;
            manifest.state = if is_complete { RunState::Finished } else { RunState::Interrupted };
            if is_complete {
                manifest.arrays = sums;
            }
            if source_ended && !matches!(end, RunEnd::SourceChanged(_)) {
                manifest.items = snapshot.total;
            }
        })?;
    }
    Ok(RunReport { snapshot, end, source_failures, arrays, limit: options.limit })
}

/// Why a run ended. Of several reasons the gravest is returned.
fn end_of(report: &mut LedgerReport, changed: Vec<String>, options: &RunOptions, stop: &Stop) -> RunEnd {
    let snapshot = &report.snapshot;
    let is_covered = report.source_ended || options.limit.is_some_and(|limit| snapshot.admitted >= limit);
    let has_ended = is_covered && snapshot.in_flight == 0;
    if let Some(error) = report.storage.take() {
        return RunEnd::Storage(error);
    }
    if let Some(error) = report.fatal.take() {
        return RunEnd::Fatal(error);
    }
    if let Some(exceeded) = report.error_rate_exceeded.take() {
        return RunEnd::ErrorRateExceeded(exceeded);
    }
    if report.out_of_budget {
        return RunEnd::OutOfBudget(snapshot.spent);
    }
    if !changed.is_empty() {
        return RunEnd::SourceChanged(changed);
    }
    match (report.accepted, options.accept) {
        (Some((_, true)), _) => RunEnd::Complete,
        (Some((accepted, false)), Some(wanted)) if has_ended => RunEnd::SourceEnded { accepted, wanted },
        _ if has_ended => RunEnd::Complete,
        _ => {
            debug_assert!(stop.is_draining(), "a run that nobody stopped must be complete");
            RunEnd::Interrupted
        }
    }
}

/// The state in `status.json`.
fn state_of(end: &RunEnd) -> RunPhase {
    match end {
        RunEnd::Complete => RunPhase::Finished,
        RunEnd::Interrupted | RunEnd::ErrorRateExceeded(_) | RunEnd::SourceEnded { .. } => {
            RunPhase::Interrupted
        }
        RunEnd::OutOfBudget(_) => RunPhase::OutOfBudget,
        RunEnd::Fatal(_) | RunEnd::Storage(_) | RunEnd::SourceChanged(_) => RunPhase::Failed,
    }
}

/// The failure in `status.json`.
fn failure_of(end: &RunEnd) -> Option<String> {
    match end {
        RunEnd::Fatal(error) => Some(format!("stage `{}`: {error}", error.stage)),
        RunEnd::Storage(error) => Some(error.to_string()),
        RunEnd::SourceChanged(changed) => Some(format!("the source changed: {}", changed.join("; "))),
        _ => None,
    }
}
