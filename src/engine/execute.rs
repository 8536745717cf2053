//! The one place that brings a record through a stage: `when`, the call, panics, ids of children, what becomes of it.
//!
//! The tasks of a run (`chain`), the stages of a block (`block`), `preview` and `estimate` all come through here; they
//! differ in who answers questions (`answering`) and in who watches. A stage sees one record and nothing else.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::admission::panic_message;
use super::answering::Answering;
use super::ask::AskUnit;
use super::block::Block;
use super::event::{Halt, InFlightRecord};
use super::metrics::StageMetrics;
use super::stop::Stop;
use crate::record::{Record, RecordId, Skipped};
use crate::stage::{Gate, Sink, StageError, Transform, TransformOutput};
use crate::template::Expression;

/// Elements of one record that are brought through a `for_each` side by side.
const SIDE_BY_SIDE: usize = 256;

/// One stage, or an `llm` and the `parse` after it, ready to run.
pub(crate) struct BuiltStage {
    /// Its id; within blocks its path, such as `evolve/judge`.
    pub(crate) path: Arc<str>,
    pub(crate) when: Option<Expression>,
    pub(crate) work: Work,
    pub(crate) metrics: Arc<StageMetrics>,
}

/// What a stage does with a record.
pub(crate) enum Work {
    Transform(Box<dyn Transform>),
    /// A sink and the index of its file.
    Sink(Box<dyn Sink>, usize),
    /// A gate: what it compares is made here, what it decides is the ledger's affair.
    Gate(Box<dyn Gate>),
    Ask(Box<AskUnit>),
    Block(Box<Block>),
}

/// What became of a record in a stage.
#[derive(Debug)]
pub(crate) enum Became {
    /// It goes on as it now is.
    Passed,
    /// These take its place, in order; some may have ended already.
    Several(Vec<Child>),
    /// It goes no further.
    Ended(Ending),
    /// It stays in flight.
    Halted(Halt),
}

/// A record that takes the place of another.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) record: InFlightRecord,
    /// How it ended inside a block, if it did.
    pub(crate) end: Option<Ending>,
}

/// Why a record goes no further.
#[derive(Debug)]
pub(crate) enum Ending {
    /// A filter said no.
    Dropped(Cow<'static, str>),
    Rejected(Failure),
}

/// Why a record is given up.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    /// The stage that failed.
    pub(crate) stage: Arc<str>,
    pub(crate) class: String,
    pub(crate) message: String,
    /// Attempts made at the model.
    pub(crate) attempts: u32,
    /// The model's last answer, as it came.
    pub(crate) answer: Option<String>,
}

/// Sees what becomes of each record in each stage, those of blocks included.
pub(crate) trait Watch: Send + Sync {
    /// `id` is the record's as it came in, `record` what it is now.
    fn saw(&self, stage: &BuiltStage, id: &RecordId, record: &InFlightRecord, became: &Became);
}

/// Brings records through stages.
pub(crate) struct Executor {
    pub(crate) answering: Arc<dyn Answering>,
    pub(crate) stop: Stop,
    pub(crate) watch: Option<Arc<dyn Watch>>,
    /// Elements of one record that are brought through a `for_each` at a time.
    pub(crate) side_by_side: usize,
}

impl Executor {
    /// The executor of a run.
    pub(crate) fn new(answering: Arc<dyn Answering>, stop: Stop) -> Self {
        Self { answering, stop, watch: None, side_by_side: SIDE_BY_SIDE }
    }

    /// An executor for looking: one record at a time, each seen by `watch`.
    pub(crate) fn watched(answering: Arc<dyn Answering>, watch: Option<Arc<dyn Watch>>) -> Self {
        Self { answering, stop: Stop::default(), watch, side_by_side: 1 }
    }

    /// Brings a record through one stage.
    pub(crate) async fn execute(&self, stage: &BuiltStage, record: &mut InFlightRecord) -> Became {
        stage.metrics.receive();
        let id = self.watch.as_ref().map(|_| record.record.id.clone());
        let became = match stage.applies(&record.record) {
            // A record that goes past `llm` may still be read.
            Ok(false) if !stage.reads_all() => Became::Passed,
            Ok(applies) => {
                let begin = Instant::now();
                let became = self.work(stage, record, applies).await;
                stage.metrics.work(begin.elapsed());
                became
            }
            Err(error) => stage.reject(&error),
        };
        stage.metrics.count(&became);
        if let (Some(watch), Some(id)) = (&self.watch, id) {
            watch.saw(stage, &id, record, &became);
        }
        became
    }

    async fn work(&self, stage: &BuiltStage, record: &mut InFlightRecord, applies: bool) -> Became {
        match &stage.work {
            Work::Transform(transform) => match contained(|| transform.process(&mut record.record)) {
                Ok(TransformOutput::Pass) => Became::Passed,
                Ok(TransformOutput::Drop(reason)) => Became::Ended(Ending::Dropped(reason)),
                Ok(TransformOutput::Many(children)) => several(stage, record, children),
                Err(error) => stage.reject(&error),
            },
            Work::Sink(sink, file) => match contained(|| sink.line(&record.record)) {
                Ok(mut line) => {
                    line.push(b'\n');
                    record.lines.push((*file, line));
                    record.written = true;
                    Became::Passed
                }
                Err(error) => stage.reject(&error),
            },
            Work::Gate(gate) => match contained(|| gate.key(&record.record)) {
                Ok(key) => {
                    record.key = Some(key);
                    Became::Passed
                }
                Err(error) => stage.reject(&error),
            },
            Work::Ask(unit) => {
                let answered = AssertUnwindSafe(unit.answer(stage, record, applies, self)).catch_unwind();
                answered.await.unwrap_or_else(|panic| stage.reject(&panicked(&*panic)))
            }
            Work::Block(block) => {
                let through = AssertUnwindSafe(block.bring(stage, record, self)).catch_unwind();
                through.await.unwrap_or_else(|panic| stage.reject(&panicked(&*panic)))
            }
        }
    }

    /// Brings a record through the stages of a block, one after the other, and gives what came of it in order.
    pub(crate) fn through<'a>(
        &'a self,
        stages: &'a [BuiltStage],
        record: InFlightRecord,
    ) -> BoxFuture<'a, Result<Vec<Child>, Halt>> {
        async move {
            // A loop in which nothing waits would otherwise keep its thread, and go on when the run is given up.
            tokio::task::consume_budget().await;
            if self.stop.is_aborting() {
                return Err(Halt::Aborted);
            }
            let mut done = Vec::new();
            let mut waiting = vec![(Child { record, end: None }, 0)];
            'records: while let Some((mut child, first)) = waiting.pop() {
                // Those that ended in an inner block go no further; they keep their place.
                let ahead = if child.end.is_none() { stages.get(first..).unwrap_or_default() } else { &[] };
                for (index, stage) in (first..).zip(ahead) {
                    match self.execute(stage, &mut child.record).await {
                        Became::Passed => {}
                        Became::Ended(ending) => {
                            child.end = Some(ending);
                            break;
                        }
                        Became::Several(children) => {
                            waiting.extend(children.into_iter().rev().map(|child| (child, index + 1)));
                            continue 'records;
                        }
                        Became::Halted(halt) => return Err(halt),
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
    /// Whether the record goes through the stage or past it.
    fn applies(&self, record: &Record) -> Result<bool, StageError> {
        match &self.when {
            Some(when) => Ok(when.is_true(record)?),
            None => Ok(true),
        }
    }

    /// Whether a record that goes past the stage may still have to do with it.
    fn reads_all(&self) -> bool {
        matches!(&self.work, Work::Ask(unit) if unit.reader.is_some())
    }

    /// Whether records wait in it: for a model, or for what is inside.
    pub(crate) fn waits(&self) -> bool {
        match &self.work {
            Work::Transform(_) | Work::Sink(..) | Work::Gate(_) => false,
            Work::Ask(_) => true,
            Work::Block(block) => block.stages.iter().any(Self::waits),
        }
    }

    /// Calls `see` with the stage and all inside it, from the outside in.
    pub(crate) fn each<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        see(self);
        if let Work::Block(block) = &self.work {
            block.stages.iter().for_each(|stage| stage.each(see));
        }
    }

    /// The end of a record that the stage could not handle.
    pub(crate) fn reject(&self, error: &StageError) -> Became {
        Became::Ended(Ending::Rejected(self.failure(error)))
    }

    /// What is told of a record that the stage could not handle.
    pub(crate) fn failure(&self, error: &StageError) -> Failure {
        Failure {
            stage: Arc::clone(&self.path),
            class: error.class.clone().into_owned(),
            message: error.message.clone(),
            ..Failure::default()
        }
    }

    /// The stage's own name: the last part of its path, which is what ids of records hold.
    pub(crate) fn name(&self) -> Arc<str> {
        match self.path.rsplit_once('/') {
            Some((_, name)) => name.into(),
            None => Arc::clone(&self.path),
        }
    }
}

impl Ending {
    /// What provenance tells of a pass or an element that failed and was left out.
    pub(crate) fn skipped(&self, id: &RecordId) -> Skipped {
        let (stage, class, message) = match self {
            Self::Dropped(reason) => (None, reason.to_string(), None),
            Self::Rejected(failure) => {
                (Some(Arc::clone(&failure.stage)), failure.class.clone(), Some(failure.message.clone()))
            }
        };
        Skipped { id: id.clone(), stage, class, message }
    }
}

/// The children of a record that a stage split: each has its id, and the first takes the lines that were made so far.
fn several(stage: &BuiltStage, parent: &mut InFlightRecord, children: Vec<Record>) -> Became {
    if children.is_empty() {
        return Became::Ended(Ending::Dropped("empty".into()));
    }
    let name = stage.name();
    let id = &parent.record.id;
    let mut lines = std::mem::take(&mut parent.lines);
    let children = (0..).zip(children).map(|(index, mut record)| {
        record.id = id.child(&name, index);
        Child {
            record: InFlightRecord { lines: std::mem::take(&mut lines), ..parent.beside(record) },
            end: None,
        }
    });
    Became::Several(children.collect())
}

/// A stage's panic is an error of the record.
fn contained<T>(call: impl FnOnce() -> Result<T, StageError>) -> Result<T, StageError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// The error of a stage that panicked.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> StageError {
    StageError::new("panic", format!("the stage panicked: {}", panic_message(panic)))
}
