//! Passes given records through the stages of a pipeline and collects the output, for `synthmill test`.
//!
//! As in a preview, there are no tasks and no run directory, and nothing is written; the source part does not run.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use super::build::BuiltPipeline;
use super::event::{FatalError, Halt, InFlightRecord};
use super::execute::Executor;
use super::preview::ask_directly;
use super::record_end::{EndedRecord, RecordEnd, Rejection};
use super::responder::{ModelResult, Question, Responder};
use crate::journal::SINKS;
use crate::record::{Record, RecordId};

/// The output for the records of a test.
#[derive(Debug, Default)]
pub struct CaseOutcome {
    /// The lines of each sink, in the order of the pipeline.
    pub lines: Vec<Vec<Map<String, Value>>>,
    /// The reasons for which records were dropped.
    pub dropped: Vec<String>,
    /// Why records were rejected.
    pub rejected: Vec<(RecordId, Rejection)>,
}

/// Passes records through the stages, one after the other.
pub async fn run_case(
    pipeline: &BuiltPipeline,
    records: Vec<Map<String, Value>>,
) -> Result<CaseOutcome, FatalError> {
    let executor = Executor::observed(Arc::new(CaseResponder), None);
    let mut outcome = CaseOutcome { lines: vec![Vec::new(); pipeline.sinks.len()], ..CaseOutcome::default() };
    for (number, fields) in (0..).zip(records) {
        let record = Record { id: RecordId::item(number), ..Record::new(fields) };
        let record = InFlightRecord { record, ..InFlightRecord::default() };
        match executor.execute_all(&pipeline.stages, record).await {
            Ok(children) => {
                for child in children {
                    outcome.add(child.record, child.end);
                }
            }
            Err(Halt::Fatal(error)) => return Err(error),
            // Nothing is journaled, reserved or aborted here.
            Err(_) => {}
        }
    }
    Ok(outcome)
}

impl CaseOutcome {
    fn add(&mut self, record: InFlightRecord, end: Option<RecordEnd>) {
        for (sink, line) in &record.lines {
            // A sink has written the line, so it is an object.
            let line = serde_json::from_slice(line).unwrap_or_default();
            let index = sink.checked_sub(SINKS);
            if let Some(lines) = index.and_then(|index| self.lines.get_mut(index)) {
                lines.push(line);
            }
        }
        let end = match end {
            Some(end) => Some(end),
            None => EndedRecord::completed_end(&record),
        };
        match end {
            Some(RecordEnd::Dropped(reason)) => self.dropped.push(reason.into_owned()),
            Some(RecordEnd::Rejected(rejection)) => self.rejected.push((record.record.id, rejection)),
            None => {}
        }
    }
}

/// Asks the models, which are mocks.
struct CaseResponder;

impl Responder for CaseResponder {
    fn respond<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<ModelResult, Halt>> {
        ask_directly(question).boxed()
    }
}
