//! The one place where a record goes through a stage: evaluates `when`, calls the stage, contains panics, and assigns
//! ids to children.
//!
//! The chains of a run (`chain`), the stages of a block (`block`), `preview` and `estimate` all use it; they differ in
//! who answers questions (`responder`) and in who observes the outcomes. A stage sees one record and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::ask::AskUnit;
use super::block::Block;
use super::event::{Halt, InFlightRecord};
use super::metrics::StageMetrics;
use super::programs::ProgramUnit;
use super::record_end::{RecordEnd, Rejection};
use super::responder::Responder;
use super::source_part::panic_message;
use super::stop::Stop;
use crate::record::{Record, RecordId};
use crate::stage::{Gate, LineSink, StageError, Transform, TransformOutput};
use crate::template::Expression;

/// Elements of one record that run concurrently in a `for_each`.
const CONCURRENT_ELEMENTS: usize = 256;

/// One stage, or an `llm` and the `parse` after it, ready to run.
pub(crate) struct BuiltStage {
    /// Its id; inside a block its path, such as `evolve/judge`.
    pub(crate) path: Arc<str>,
    pub(crate) when: Option<Expression>,
    pub(crate) processor: BuiltProcessor,
    pub(crate) metrics: Arc<StageMetrics>,
}

/// The running part of a stage after the source part.
pub(crate) enum BuiltProcessor {
    Transform(Box<dyn Transform>),
    /// A sink and the index of its file.
    Sink(Box<dyn LineSink>, usize),
    /// A gate. The executor only computes the key that it compares; the ledger makes the decision.
    Gate(Box<dyn Gate>),
    Ask(Box<AskUnit>),
    Programs(Box<ProgramUnit>),
    Block(Box<Block>),
}

/// What happened to a record in a stage.
#[derive(Debug)]
pub(crate) enum StageOutcome {
    /// It continues as it now is.
    Passed,
    /// It was split into these records, in order; some may have ended already.
    Split(Vec<ChildRecord>),
    /// It goes no further.
    Ended(RecordEnd),
    /// It stays in flight.
    Halted(Halt),
}

/// A record that another one was split into.
#[derive(Debug)]
pub(crate) struct ChildRecord {
    pub(crate) record: InFlightRecord,
    /// How it ended, if it ended inside a block.
    pub(crate) end: Option<RecordEnd>,
}

/// Observes the outcome of each record in each stage, including stages inside blocks.
pub(crate) trait StageObserver: Send + Sync {
    /// `id` is the record's id as it entered the stage, `record` the record as it left.
    fn observe(&self, stage: &BuiltStage, id: &RecordId, record: &InFlightRecord, outcome: &StageOutcome);
}

/// Brings records through stages.
pub(crate) struct Executor {
    pub(crate) responder: Arc<dyn Responder>,
    pub(crate) stop: Stop,
    pub(crate) observer: Option<Arc<dyn StageObserver>>,
    /// Elements of one record that run concurrently in a `for_each`.
    pub(crate) concurrent_elements: usize,
}

impl Executor {
    /// The executor of a run.
    pub(crate) fn new(responder: Arc<dyn Responder>, stop: Stop) -> Self {
        Self { responder, stop, observer: None, concurrent_elements: CONCURRENT_ELEMENTS }
    }

    /// An executor outside a run: one record at a time, each reported to `observer`.
    pub(crate) fn observed(responder: Arc<dyn Responder>, observer: Option<Arc<dyn StageObserver>>) -> Self {
        Self { responder, stop: Stop::default(), observer, concurrent_elements: 1 }
    }

    /// Passes a record through one stage.
    pub(crate) async fn execute(&self, stage: &BuiltStage, record: &mut InFlightRecord) -> StageOutcome {
        stage.metrics.count_received();
        let id = self.observer.as_ref().map(|_| record.record.id.clone());
        let outcome = match stage.applies(&record.record) {
            // A record that skips the `llm` stage may still be parsed.
            Ok(false) if !stage.parses_skipped_records() => StageOutcome::Passed,
            Ok(applies) => {
                let begin = Instant::now();
                let outcome = self.work(stage, record, applies).await;
                stage.metrics.add_busy(begin.elapsed());
                outcome
            }
            Err(error) => stage.reject(error),
        };
        stage.metrics.count_outcome(&outcome);
        if let (Some(observer), Some(id)) = (&self.observer, id) {
            observer.observe(stage, &id, record, &outcome);
        }
        outcome
    }

    async fn work(&self, stage: &BuiltStage, record: &mut InFlightRecord, applies: bool) -> StageOutcome {
        match &stage.processor {
            BuiltProcessor::Transform(transform) => stage.transform(&**transform, record),
            BuiltProcessor::Sink(sink, file) => match catching_panics(|| sink.line(&record.record)) {
                Ok(mut line) => {
                    line.push(b'\n');
                    record.lines.push((*file, line));
                    record.written = true;
                    StageOutcome::Passed
                }
                Err(error) => stage.reject(error),
            },
            BuiltProcessor::Gate(gate) => match catching_panics(|| gate.key(&record.record)) {
                Ok(key) => {
                    record.key = Some(key);
                    StageOutcome::Passed
                }
                Err(error) => stage.reject(error),
            },
            // Boxed: otherwise the future of every stage would be as large as that of a question.
            BuiltProcessor::Ask(unit) => {
                let answered = AssertUnwindSafe(unit.answer(stage, record, applies, self)).catch_unwind();
                answered.boxed().await.unwrap_or_else(|panic| stage.reject(panic_error(&*panic)))
            }
            BuiltProcessor::Programs(unit) => {
                let done = AssertUnwindSafe(unit.run(stage, record, self)).catch_unwind();
                done.boxed().await.unwrap_or_else(|panic| stage.reject(panic_error(&*panic)))
            }
            BuiltProcessor::Block(block) => {
                let through = AssertUnwindSafe(block.execute(stage, record, self)).catch_unwind();
                through.boxed().await.unwrap_or_else(|panic| stage.reject(panic_error(&*panic)))
            }
        }
    }

    /// Passes a record through the stages of a block, one after the other. Returns the resulting records, in order.
    pub(crate) fn execute_all<'a>(
        &'a self,
        stages: &'a [BuiltStage],
        record: InFlightRecord,
    ) -> BoxFuture<'a, Result<Vec<ChildRecord>, Halt>> {
        async move {
            // Otherwise a loop in which nothing waits would keep its thread, and continue after an abort.
            tokio::task::consume_budget().await;
            if self.stop.is_aborting() {
                return Err(Halt::Aborted);
            }
            let mut done = Vec::new();
            let mut waiting = vec![(ChildRecord { record, end: None }, 0)];
            'records: while let Some((mut child, first)) = waiting.pop() {
                // Those that ended in an inner block go no further; they keep their position.
                let ahead = if child.end.is_none() { stages.get(first..).unwrap_or_default() } else { &[] };
                for (index, stage) in (first..).zip(ahead) {
                    match self.execute(stage, &mut child.record).await {
                        StageOutcome::Passed => {}
                        StageOutcome::Ended(end) => {
                            child.end = Some(end);
                            break;
                        }
                        StageOutcome::Split(children) => {
                            waiting.extend(children.into_iter().rev().map(|child| (child, index + 1)));
                            continue 'records;
                        }
                        StageOutcome::Halted(halt) => return Err(halt),
                    }
                }
                done.push(child);
            }
            Ok(done)
        }
        .boxed()
    }
}

impl BuiltStage {
    /// Whether the record goes through the stage or skips it.
    fn applies(&self, record: &Record) -> Result<bool, StageError> {
        match &self.when {
            Some(when) => Ok(when.is_true(record)?),
            None => Ok(true),
        }
    }

    /// Whether a record that skips the stage may still be parsed by it.
    fn parses_skipped_records(&self) -> bool {
        matches!(&self.processor, BuiltProcessor::Ask(unit) if unit.parser.is_some())
    }

    /// Whether records wait for a model or a program in it, or in a stage inside it.
    pub(crate) fn waits(&self) -> bool {
        match &self.processor {
            BuiltProcessor::Transform(_) | BuiltProcessor::Sink(..) | BuiltProcessor::Gate(_) => false,
            BuiltProcessor::Ask(_) | BuiltProcessor::Programs(_) => true,
            BuiltProcessor::Block(block) => block.stages.iter().any(Self::waits),
        }
    }

    /// Calls `see` with the stage, then with all stages inside it.
    pub(crate) fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        see(self);
        if let BuiltProcessor::Block(block) = &self.processor {
            block.stages.iter().for_each(|stage| stage.visit(see));
        }
    }

    /// Has a transform process the record.
    pub(crate) fn transform(&self, transform: &dyn Transform, record: &mut InFlightRecord) -> StageOutcome {
        self.apply(record, |record| transform.process(record))
    }

    /// Has the stage change the record by `change`, and returns what becomes of it.
    pub(crate) fn apply(
        &self,
        record: &mut InFlightRecord,
        change: impl FnOnce(&mut Record) -> Result<TransformOutput, StageError>,
    ) -> StageOutcome {
        match catching_panics(|| change(&mut record.record)) {
            Ok(TransformOutput::Pass) => StageOutcome::Passed,
            Ok(TransformOutput::Drop(reason)) => StageOutcome::Ended(RecordEnd::Dropped(reason)),
            Ok(TransformOutput::Many(children)) => split(self, record, children),
            Err(error) => self.reject(error),
        }
    }

    /// Rejects a record that the stage could not handle.
    pub(crate) fn reject(&self, error: StageError) -> StageOutcome {
        StageOutcome::Ended(RecordEnd::Rejected(Rejection::new(Arc::clone(&self.path), error)))
    }

    /// The last part of the stage's path, which is the name that record ids contain.
    pub(crate) fn name(&self) -> Arc<str> {
        match self.path.rsplit_once('/') {
            Some((_, name)) => name.into(),
            None => Arc::clone(&self.path),
        }
    }
}

/// Splits a record: each child gets its id, and the first takes over the lines so far.
fn split(stage: &BuiltStage, parent: &mut InFlightRecord, children: Vec<Record>) -> StageOutcome {
    if children.is_empty() {
        return StageOutcome::Ended(RecordEnd::Dropped("empty".into()));
    }
    let name = stage.name();
    let id = &parent.record.id;
    let mut lines = std::mem::take(&mut parent.lines);
    let children = (0..).zip(children).map(|(index, mut record)| {
        record.id = id.child(&name, index);
        ChildRecord {
            record: InFlightRecord { lines: std::mem::take(&mut lines), ..parent.sibling(record) },
            end: None,
        }
    });
    StageOutcome::Split(children.collect())
}

/// Turns a panic of a stage into an error of the record.
pub(crate) fn catching_panics<T>(call: impl FnOnce() -> Result<T, StageError>) -> Result<T, StageError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(panic_error(&*panic)))
}

/// The error of a stage that panicked.
pub(crate) fn panic_error(panic: &(dyn std::any::Any + Send)) -> StageError {
    StageError::new("panic", format!("the stage panicked: {}", panic_message(panic)))
}
