//! What a run will ask, before anything is spent: a sample of items brought through the stages.
//!
//! For `synthmill plan`. The source part is run to its end to count the items; of them a sample, drawn by the
//! run's seed, has its prompts rendered. The heuristic answers, so that prompts behind an answer can be
//! rendered too. Asks no model.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rand::RngExt;

use super::ask::AskUnit;
use super::build::{BuiltStage, Parts, Work};
use super::preview::take_step;
use super::worker::panicked;
use crate::draw::Draws;
use crate::llm::{HEURISTIC, IMAGE_TOKENS};
use crate::record::{Record, RecordId};
use crate::stage::{Emit, StageError};

/// What a run will ask, as far as a sample tells.
#[derive(Debug)]
pub struct Estimate {
    /// Items that the source part makes.
    pub items: u64,
    /// Items whose prompts were rendered.
    pub sampled: u64,
    /// One entry for each stage that asks a model.
    pub stages: Vec<StageEstimate>,
    /// Documents or rows that could not be read.
    pub failures: Vec<String>,
}

/// What one stage will ask in the whole run.
#[derive(Debug, Clone)]
pub struct StageEstimate {
    /// The stage's id.
    pub stage: Arc<str>,
    /// The model's name in the pipeline.
    pub model: Arc<str>,
    /// Requests, none of them asked again.
    pub requests: f64,
    /// Images that go along with them.
    pub images: f64,
    /// Tokens of the prompts, each image counted as `IMAGE_TOKENS`.
    pub prompt_tokens: f64,
    /// Tokens of answers as long as those of the heuristic.
    pub answer_tokens: f64,
    /// Tokens of answers as long as `max_tokens` lets them be; none where it is not set.
    pub most_answer_tokens: Option<f64>,
}

/// Foresees a run over the first `limit` items, by a sample of at most `sample` of them. `tokens` counts the
/// tokens of a text.
pub async fn estimate(
    mut parts: Parts,
    seed: u64,
    limit: Option<u64>,
    sample: usize,
    tokens: impl Fn(&str) -> u64,
) -> Estimate {
    let mut rng = Draws::new(seed, "plan".into()).rng("sample", "");
    let (mut items, mut failures, mut kept) = (0, Vec::new(), Vec::new());
    'source: while let Some(unit) = tokio::task::block_in_place(|| parts.source.next_readable(&mut failures))
    {
        for mut record in unit.records {
            if limit.is_some_and(|limit| items >= limit) {
                break 'source;
            }
            record.id = RecordId::item(items);
            items += 1;
            // Each item so far is kept with the same probability.
            if kept.len() < sample {
                kept.push(record);
            } else if let Some(place) = kept.get_mut(rng.random_range(0..items) as usize) {
                *place = record;
            }
        }
    }
    let asking = parts.stages.iter().filter_map(|stage| match &stage.work {
        Work::Ask(unit) => Some(StageEstimate {
            stage: Arc::clone(&stage.id),
            model: Arc::clone(&unit.model_name),
            requests: 0.0,
            images: 0.0,
            prompt_tokens: 0.0,
            answer_tokens: 0.0,
            most_answer_tokens: Some(0.0),
        }),
        Work::Step(_) => None,
    });
    let mut stages: Vec<StageEstimate> = asking.collect();
    let sampled = kept.len() as u64;
    let each = items as f64 / (sampled as f64).max(1.0);
    for record in kept {
        walk(&parts, record, &mut stages, &tokens).await;
    }
    for stage in &mut stages {
        stage.requests *= each;
        stage.images *= each;
        stage.prompt_tokens *= each;
        stage.answer_tokens *= each;
        stage.most_answer_tokens = stage.most_answer_tokens.map(|most| most * each);
    }
    Estimate { items, sampled, stages, failures }
}

/// Brings one item through the stages and counts what is asked on the way.
async fn walk(parts: &Parts, item: Record, sums: &mut [StageEstimate], tokens: &impl Fn(&str) -> u64) {
    let mut records = vec![item];
    let mut asking = 0;
    for stage in &parts.stages {
        let mut next = Vec::new();
        for mut record in std::mem::take(&mut records) {
            if !applies(stage, &record) {
                next.push(record);
                continue;
            }
            match &stage.work {
                Work::Ask(unit) => {
                    if answer(unit, &mut record, &mut sums[asking], tokens).await.is_ok() {
                        next.push(record);
                    }
                }
                Work::Step(step) => {
                    let result = catch_unwind(AssertUnwindSafe(|| take_step(step, &mut record)));
                    match result.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                        Ok((Emit::Pass, _)) => next.push(record),
                        Ok((Emit::Many(mut children), _)) => {
                            for (index, child) in (0_u32..).zip(&mut children) {
                                child.id = record.id.child(&stage.id, index);
                            }
                            next.extend(children);
                        }
                        Ok((Emit::Drop(_), _)) | Err(_) => {}
                    }
                }
            }
        }
        asking += usize::from(matches!(stage.work, Work::Ask(_)));
        records = next;
    }
}

fn applies(stage: &BuiltStage, record: &Record) -> bool {
    stage.when.as_ref().is_none_or(|when| when.is_true(record).unwrap_or(false))
}

/// Counts one question, and lets the heuristic answer it.
async fn answer(
    unit: &AskUnit,
    record: &mut Record,
    sum: &mut StageEstimate,
    tokens: &impl Fn(&str) -> u64,
) -> Result<(), StageError> {
    let mut request = unit.ask.request(record)?;
    let reader = unit.reader_for(record)?;
    request.schema = reader.and_then(|reader| reader.read.schema()).cloned().map(Arc::new);
    // A few tokens mark where each message begins and who says it.
    let prompt: u64 = request.texts().map(|text| tokens(&text) + 4).sum();
    let images = request.images_shown() as u64;
    let param = |name: &str| request.params.get(name).or_else(|| unit.params.get(name))?.as_u64();
    let most = param("max_tokens").or_else(|| param("max_completion_tokens"));
    let several = param("n").unwrap_or(1) as f64;
    sum.requests += 1.0;
    sum.images += images as f64;
    sum.prompt_tokens += (prompt + images * IMAGE_TOKENS) as f64;
    sum.most_answer_tokens = sum.most_answer_tokens.zip(most).map(|(sum, most)| sum + most as f64 * several);
    let completion = unit.heuristic.complete(&request, record).await;
    let completion = completion.map_err(|error| StageError::new(HEURISTIC, error.message))?;
    let length = tokens(&completion.text).min(most.unwrap_or(u64::MAX));
    sum.answer_tokens += length as f64 * several;
    unit.read(record, &completion, HEURISTIC, reader).await
}
