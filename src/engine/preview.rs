//! A few records brought through the stages one after the other, with what each stage made of them.
//!
//! For `synthmill preview`: no tasks, no run directory, nothing written. Uses the same parts and the same
//! question-and-answer unit as a run.

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

/// One item's way through the stages.
#[derive(Debug)]
pub struct Preview {
    /// The item as it left the source part.
    pub item: Record,
    /// What each stage made of its records, in order.
    pub steps: Vec<PreviewStep>,
}

/// What one stage made of one record.
#[derive(Debug)]
pub struct PreviewStep {
    /// The stage's id; within a block its path. The steps inside a block stand before the block's own.
    pub stage: Arc<str>,
    /// The record's id when it came in.
    pub id: RecordId,
    /// The records that went on.
    pub records: Vec<Record>,
    /// Why it ended here, or what a sink would write.
    pub note: Option<String>,
}

/// Which items are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemSelection {
    /// The first so many.
    First(u64),
    /// The one with this number, counted from 0.
    Item(u64),
    /// So many, drawn by the seed from the first `SAMPLED_FROM`; in the order of the source.
    Sample {
        /// How many.
        count: u64,
        /// The seed of the draw.
        seed: u64,
    },
}

/// The items that a sample is drawn from at most: a source may be endless.
pub const SAMPLED_FROM: u64 = 10_000;

/// Brings the chosen items through the stages; with `prompts_only`, up to the first question. Calls `show` with
/// each item as it is done. Returns the documents or rows that could not be read.
pub async fn preview(
    mut parts: BuiltPipeline,
    choice: ItemSelection,
    prompts_only: bool,
    mut show: impl FnMut(Preview),
) -> Result<Vec<String>, FatalError> {
    let mut failures = Vec::new();
    let mut chosen = ItemSelector::new(choice);
    let steps = Arc::new(StepRecorder::default());
    let responder: Arc<dyn Responder> = match prompts_only {
        true => Arc::new(PromptsOnlyResponder),
        false => Arc::new(DirectResponder),
    };
    let executor = Executor::observed(responder, Some(Arc::clone(&steps) as Arc<dyn StageObserver>));
    let mut number = 0;
    while !chosen.is_past(number) {
        let next = tokio::task::block_in_place(|| parts.source.next_readable(&mut failures));
        let Some(unit) = next else { break };
        for mut record in unit.records {
            if chosen.is_past(number) {
                break;
            }
            record.id = RecordId::item(number);
            // The first ones are shown while the source is read on, the others once they are known.
            if let Some(record) = chosen.take(number, record) {
                show(preview_item(&parts, &executor, &steps, record).await?);
            }
            number += 1;
        }
    }
    for record in chosen.sampled() {
        show(preview_item(&parts, &executor, &steps, record).await?);
    }
    Ok(failures)
}

/// The items chosen so far.
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

    /// Whether the item of this number and all after it are of no interest.
    fn is_past(&self, number: u64) -> bool {
        match self.choice {
            ItemSelection::First(count) => number >= count,
            ItemSelection::Item(wanted) => number > wanted,
            ItemSelection::Sample { count, .. } => number >= SAMPLED_FROM || count == 0,
        }
    }

    /// Takes an item; returns it if it is to be shown now.
    fn take(&mut self, number: u64, record: Record) -> Option<Record> {
        match self.choice {
            ItemSelection::First(_) => Some(record),
            ItemSelection::Item(wanted) => (number == wanted).then_some(record),
            ItemSelection::Sample { count, .. } => {
                // Each item so far is kept with the same probability.
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
    parts: &BuiltPipeline,
    executor: &Executor,
    steps: &StepRecorder,
    item: Record,
) -> Result<Preview, FatalError> {
    let record = InFlightRecord { record: item.clone(), ..InFlightRecord::default() };
    let result = executor.execute_all(&parts.stages, record).await;
    let steps = std::mem::take(&mut *steps.lock());
    match result {
        Err(Halt::Fatal(error)) => Err(error),
        _ => Ok(Preview { item, steps }),
    }
}

/// Asks without keeping or paying for anything.
struct DirectResponder;

impl Responder for DirectResponder {
    fn respond<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<ModelResult, Halt>> {
        async move {
            let _place = question.unit.model.acquire().await;
            Ok(question.unit.model.complete(question.request, question.record).await)
        }
        .boxed()
    }
}

/// Asks nobody: what comes behind a question is not looked at.
struct PromptsOnlyResponder;

impl Responder for PromptsOnlyResponder {
    fn respond<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Result<ModelResult, Halt>> {
        async { Err(Halt::Aborted) }.boxed()
    }
}

/// The steps seen so far of one item.
#[derive(Default)]
struct StepRecorder(Mutex<Vec<PreviewStep>>);

impl StepRecorder {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<PreviewStep>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StageObserver for StepRecorder {
    fn observe(&self, stage: &BuiltStage, id: &RecordId, record: &InFlightRecord, outcome: &StageOutcome) {
        let (records, note) = match outcome {
            StageOutcome::Passed => (vec![record.record.clone()], note(stage, record)),
            StageOutcome::Split(children) => {
                let on = children.iter().filter(|child| child.end.is_none());
                (on.map(|child| child.record.record.clone()).collect(), None)
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

/// What is told of a record that came through a stage.
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
        BuiltProcessor::Transform(_) | BuiltProcessor::Block(_) => None,
    }
}
