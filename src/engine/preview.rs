//! A few records brought through the stages one after the other, with what each stage made of them.
//!
//! For `synthmill preview`: no tasks, no run directory, nothing written. Uses the same parts and the same
//! question-and-answer unit as a run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::ask::{AskUnit, Asked};
use super::build::{Parts, Work};
use super::event::FatalError;
use super::metrics::StageMetrics;
use super::stop::Stop;
use super::worker::{Post, Step, panicked};
use crate::draw::Draws;
use crate::record::{Record, RecordId};
use crate::stage::{Emit, StageError};

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
    /// The stage's id.
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
pub enum Choice {
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
    mut parts: Parts,
    choice: Choice,
    prompts_only: bool,
    mut show: impl FnMut(Preview),
) -> Result<Vec<String>, FatalError> {
    let mut failures = Vec::new();
    let mut chosen = Chosen::new(choice);
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
                show(walk(&parts, record, prompts_only).await?);
            }
            number += 1;
        }
    }
    for record in chosen.sampled() {
        show(walk(&parts, record, prompts_only).await?);
    }
    Ok(failures)
}

/// The items chosen so far.
struct Chosen {
    choice: Choice,
    rng: ChaCha8Rng,
    sample: Vec<(u64, Record)>,
}

impl Chosen {
    fn new(choice: Choice) -> Self {
        let seed = if let Choice::Sample { seed, .. } = choice { seed } else { 0 };
        Self { choice, rng: Draws::new(seed, "preview".into()).rng("sample", ""), sample: Vec::new() }
    }

    /// Whether the item of this number and all after it are of no interest.
    fn is_past(&self, number: u64) -> bool {
        match self.choice {
            Choice::First(count) => number >= count,
            Choice::Item(wanted) => number > wanted,
            Choice::Sample { count, .. } => number >= SAMPLED_FROM || count == 0,
        }
    }

    /// Takes an item; returns it if it is to be shown now.
    fn take(&mut self, number: u64, record: Record) -> Option<Record> {
        match self.choice {
            Choice::First(_) => Some(record),
            Choice::Item(wanted) => (number == wanted).then_some(record),
            Choice::Sample { count, .. } => {
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

async fn walk(parts: &Parts, item: Record, prompts_only: bool) -> Result<Preview, FatalError> {
    let mut preview = Preview { item: item.clone(), steps: Vec::new() };
    let mut records = vec![item];
    for stage in &parts.stages {
        let mut next = Vec::new();
        for mut record in std::mem::take(&mut records) {
            let id = record.id.clone();
            let applies = match &stage.when {
                Some(when) => when.is_true(&record).map_err(StageError::from),
                None => Ok(true),
            };
            let (made, note) = match (&stage.work, applies) {
                (_, Err(error)) => (Vec::new(), Some(format!("rejected: {error}"))),
                (Work::Step(_), Ok(false)) => {
                    next.push(record);
                    continue;
                }
                (Work::Ask(_), _) if prompts_only => return Ok(preview),
                (Work::Ask(unit), _) => ask(unit, &stage.id, stage.when.as_ref(), record).await?,
                (Work::Step(step), Ok(true)) => {
                    let result = catch_unwind(AssertUnwindSafe(|| take_step(step, &mut record)));
                    match result.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                        Ok((Emit::Pass, note)) => (vec![record], note),
                        Ok((Emit::Many(children), _)) if children.is_empty() => {
                            (Vec::new(), Some("dropped: empty".to_owned()))
                        }
                        Ok((Emit::Many(mut children), note)) => {
                            for (index, child) in (0_u32..).zip(&mut children) {
                                child.id = id.child(&stage.id, index);
                            }
                            (children, note)
                        }
                        Ok((Emit::Drop(reason), _)) => (Vec::new(), Some(format!("dropped: {reason}"))),
                        Err(error) => (Vec::new(), Some(format!("rejected: {error}"))),
                    }
                }
            };
            next.extend(made.iter().cloned());
            preview.steps.push(PreviewStep { stage: Arc::clone(&stage.id), id, records: made, note });
        }
        records = next;
    }
    Ok(preview)
}

pub(super) fn take_step(step: &Step, record: &mut Record) -> Result<(Emit, Option<String>), StageError> {
    match step {
        Step::Transform(transform) => Ok((transform.process(record)?, None)),
        Step::Sink(sink, _) => {
            let line = sink.line(record)?;
            Ok((Emit::Pass, Some(format!("{} <- {}", sink.path(), String::from_utf8_lossy(&line)))))
        }
    }
}

async fn ask(
    unit: &AskUnit,
    id: &Arc<str>,
    when: Option<&crate::template::Expression>,
    mut record: Record,
) -> Result<(Vec<Record>, Option<String>), FatalError> {
    let post = Post {
        id: Arc::clone(id),
        when: when.cloned(),
        input: async_channel::bounded(1).1,
        output: None,
        facts: async_channel::bounded(1).0,
        metrics: StageMetrics::new(Arc::clone(id)),
    };
    match unit.answer(&post, &mut record, None, &Stop::default()).await {
        Asked::Answered => {
            let call = record.provenance.calls.last();
            let note = call.and_then(|call| call.fallback.clone());
            Ok((vec![record], note.map(|why| format!("answered by the heuristic, because {why}"))))
        }
        Asked::Failed(failure) => Ok((Vec::new(), Some(format!("rejected: {}", failure.message)))),
        Asked::Fatal(error) => Err(error),
        Asked::Storage(_) | Asked::OutOfBudget | Asked::Aborted => Ok((Vec::new(), None)),
    }
}
