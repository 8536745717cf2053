//! Brings a few items through the stages one after the other, and records what each stage makes of them.
//!
//! For `synthmill preview`: no tasks, no run directory, nothing written. Uses the same stages and the same executor
//! as a run.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::build::BuiltPipeline;
use super::event::{FatalError, Halt, InFlightRecord};
use super::execute::{BuiltProcessor, BuiltStage, Executor, StageObserver, StageOutcome};
use super::record_end::RecordEnd;
use super::responder::{ModelResult, Question, Responder};
use crate::draw::Draws;
use crate::record::{Record, RecordId};

/// One item and its steps through the stages.
#[derive(Debug)]
pub struct Preview {
    /// The item as it left the source part.
    pub item: Record,
    /// The steps, in order.
    pub steps: Vec<PreviewStep>,
}

/// What one stage made of one record.
#[derive(Debug)]
pub struct PreviewStep {
    /// The stage's id; inside a block its path. The steps inside a block precede the block's own.
    pub stage: Arc<str>,
    /// The record's id as it entered the stage.
    pub id: RecordId,
    /// The records that continue.
    pub records: Vec<Record>,
    /// Why the record ended here, or what a sink would write.
    pub note: Option<String>,
}

/// Which items are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemSelection {
    /// The first ones, this many.
    First(u64),
    /// The one with this number, counted from 0.
    Item(u64),
    /// A sample of the first `SAMPLED_FROM`, in the order of the source.
    Sample {
        /// The number of items.
        count: u64,
        /// The seed of the draw.
        seed: u64,
    },
}

/// The most items that a sample is drawn from: a source may be endless.
pub const SAMPLED_FROM: u64 = 10_000;

/// Brings the selected items through the stages; with `prompts_only`, up to the first question. Calls `show` with
/// each item as it is done. Returns the documents or rows that could not be read.
pub async fn preview(
    mut pipeline: BuiltPipeline,
    choice: ItemSelection,
    prompts_only: bool,
    mut show: impl FnMut(Preview),
) -> Result<Vec<String>, FatalError> {
    let mut failures = Vec::new();
    let mut selector = ItemSelector::new(choice);
    let steps = Arc::new(StepRecorder::default());
    let responder: Arc<dyn Responder> = match prompts_only {
        true => Arc::new(PromptsOnlyResponder(Arc::clone(&steps))),
        false => Arc::new(DirectResponder(Arc::clone(&steps))),
    };
    let executor = Executor::observed(responder, Some(Arc::clone(&steps) as Arc<dyn StageObserver>));
    let mut number = 0;
    while !selector.is_past(number) {
        let next = tokio::task::block_in_place(|| pipeline.source.next_readable(&mut failures));
        let Some(unit) = next else { break };
        for mut record in unit.records {
            if selector.is_past(number) {
                break;
            }
            record.id = RecordId::item(number);
            // The first items are shown while the source is read; a sample is shown once it is complete.
            if let Some(record) = selector.add(number, record) {
                show(preview_item(&pipeline, &executor, &steps, record).await?);
            }
            number += 1;
        }
    }
    for record in selector.sampled() {
        show(preview_item(&pipeline, &executor, &steps, record).await?);
    }
    Ok(failures)
}

/// Selects items as they are read.
struct ItemSelector {
    choice: ItemSelection,
    rng: ChaCha8Rng,
    sample: Vec<(u64, Record)>,
}

impl ItemSelector {
    fn new(choice: ItemSelection) -> Self {
        let seed = if let ItemSelection::Sample { seed, .. } = choice { seed } else { 0 };
        Self { choice, rng: Draws::new(seed, "preview".into()).rng("sample", ""), sample: Vec::new() }
    }

    /// Whether the item with this number and all after it are certainly not selected.
    fn is_past(&self, number: u64) -> bool {
        match self.choice {
            ItemSelection::First(count) => number >= count,
            ItemSelection::Item(wanted) => number > wanted,
            ItemSelection::Sample { count, .. } => number >= SAMPLED_FROM || count == 0,
        }
    }

    /// Adds an item; returns it if it is to be shown now.
    fn add(&mut self, number: u64, record: Record) -> Option<Record> {
        match self.choice {
            ItemSelection::First(_) => Some(record),
            ItemSelection::Item(wanted) => (number == wanted).then_some(record),
            ItemSelection::Sample { count, .. } => {
                // Reservoir sampling: each item so far is kept with the same probability.
                let place = match (self.sample.len() as u64) < count {
                    true => self.sample.len() as u64,
                    false => self.rng.random_range(0..=number),
                };
                match self.sample.get_mut(place as usize) {
                    Some(kept) => *kept = (number, record),
                    None if place < count => self.sample.push((number, record)),
                    None => {}
                }
                None
            }
        }
    }

    fn sampled(mut self) -> impl Iterator<Item = Record> {
        self.sample.sort_by_key(|(number, _)| *number);
        self.sample.into_iter().map(|(_, record)| record)
    }
}

async fn preview_item(
    pipeline: &BuiltPipeline,
    executor: &Executor,
    steps: &StepRecorder,
    item: Record,
) -> Result<Preview, FatalError> {
    let record = InFlightRecord { record: item.clone(), ..InFlightRecord::default() };
    let result = executor.execute_all(&pipeline.stages, record).await;
    let steps = std::mem::take(&mut *steps.lock());
    match result {
        Err(Halt::Fatal(error)) => Err(error),
        _ => Ok(Preview { item, steps }),
    }
}

/// Asks the models without journaling or reserving anything.
struct DirectResponder(Arc<StepRecorder>);

impl Responder for DirectResponder {
    fn respond<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<ModelResult, Halt>> {
        self.0.note_prompt(&question);
        ask_directly(question).boxed()
    }
}

/// Asks the question's model, without journaling or reserving anything.
pub(super) async fn ask_directly(question: Question<'_>) -> Result<ModelResult, Halt> {
    let _permit = question.unit.model.acquire().await;
    Ok(question.unit.model.complete(question.request, question.record).await)
}

/// Asks no model: halts each record at its first question.
struct PromptsOnlyResponder(Arc<StepRecorder>);

impl Responder for PromptsOnlyResponder {
    fn respond<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<ModelResult, Halt>> {
        self.0.note_prompt(&question);
        async { Err(Halt::Aborted) }.boxed()
    }
}

/// Records the steps of one item.
#[derive(Default)]
struct StepRecorder(Mutex<Vec<PreviewStep>>);

impl StepRecorder {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<PreviewStep>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a prompt that no field contains, as a separate step.
    fn note_prompt(&self, question: &Question<'_>) {
        if !question.unit.makes_prompt || question.request.sample > 0 {
            return;
        }
        let messages = &question.request.messages;
        let turns: Vec<String> =
            messages.iter().map(|turn| format!("[{}]\n{}", turn.role, turn.content)).collect();
        self.lock().push(PreviewStep {
            stage: Arc::clone(&question.unit.path),
            id: question.record.id.clone(),
            records: Vec::new(),
            note: Some(format!("asks:\n{}", turns.join("\n"))),
        });
    }
}

impl StageObserver for StepRecorder {
    fn observe(&self, stage: &BuiltStage, id: &RecordId, record: &InFlightRecord, outcome: &StageOutcome) {
        let (records, note) = match outcome {
            StageOutcome::Passed => (vec![record.record.clone()], note(stage, record)),
            StageOutcome::Split(children) => {
                let continuing = children.iter().filter(|child| child.end.is_none());
                (continuing.map(|child| child.record.record.clone()).collect(), None)
            }
            StageOutcome::Ended(RecordEnd::Dropped(reason)) => {
                (Vec::new(), Some(format!("dropped: {reason}")))
            }
            StageOutcome::Ended(RecordEnd::Rejected(rejection)) => {
                (Vec::new(), Some(format!("rejected: {}", rejection.message)))
            }
            StageOutcome::Halted(_) => return,
        };
        let step = PreviewStep { stage: Arc::clone(&stage.path), id: id.clone(), records, note };
        self.lock().push(step);
    }
}

/// The note on a record that passed a stage.
fn note(stage: &BuiltStage, record: &InFlightRecord) -> Option<String> {
    match &stage.processor {
        BuiltProcessor::Sink(sink, _) => {
            let (_, line) = record.lines.last()?;
            Some(format!("{} <- {}", sink.path(), String::from_utf8_lossy(line).trim_end()))
        }
        BuiltProcessor::Ask(_) => {
            let why = record.record.provenance.calls.last()?.fallback.as_ref()?;
            Some(format!("answered by the heuristic, because {why}"))
        }
        BuiltProcessor::Gate(_) => Some("a run decides in the order of items whether it goes on".to_owned()),
        BuiltProcessor::Transform(_) | BuiltProcessor::Programs(_) | BuiltProcessor::Block(_) => None,
    }
}
