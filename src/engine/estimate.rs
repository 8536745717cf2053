//! Estimates what a run will ask, before anything is spent, from a sample of its items.
//!
//! For `synthmill plan`. Runs the source part to its end to count the items, and brings a sample of them, drawn by
//! the run's seed, through the stages. The models' scripts or the heuristic answer, so that prompts that depend on an
//! answer can be rendered too. No model is asked; programs are run.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use rand::RngExt;

use super::build::BuiltPipeline;
use super::event::{Halt, InFlightRecord};
use super::execute::{BuiltProcessor, BuiltStage, Executor};
use super::programs::ProgramRun;
use super::responder::{ModelResult, Question, Responder};
use crate::draw::Draws;
use crate::llm::{IMAGE_TOKENS, MOCK};
use crate::record::RecordId;
use crate::sandbox::ProgramOutcome;

/// Tokens that mark the start and the role of a message.
const MESSAGE_OVERHEAD: u64 = 4;

/// The estimate of what a run will ask.
#[derive(Debug)]
pub struct Estimate {
    /// Items that the source part makes.
    pub items: u64,
    /// Items whose prompts were rendered.
    pub sampled: u64,
    /// One entry per stage that asks a model.
    pub stages: Vec<StageEstimate>,
    /// One entry per stage that runs programs.
    pub programs: Vec<ProgramEstimate>,
    /// Documents or rows that could not be read.
    pub failures: Vec<String>,
}

/// The estimate of what one stage will ask in the whole run.
#[derive(Debug, Clone)]
pub struct StageEstimate {
    /// The stage's id.
    pub stage: Arc<str>,
    /// The model's name in the pipeline.
    pub model: Arc<str>,
    /// Requests, without retries and re-asks.
    pub requests: f64,
    /// Images sent with them.
    pub images: f64,
    /// Tokens of the prompts, each image counted as `IMAGE_TOKENS`.
    pub prompt_tokens: f64,
    /// The tokens of answers of the length of the script's or the heuristic's.
    pub answer_tokens: f64,
    /// Tokens of answers as long as `max_tokens` allows; `None` if that is not set.
    pub most_answer_tokens: Option<f64>,
}

/// The estimate of the programs that one stage will run in the whole run.
#[derive(Debug, Clone)]
pub struct ProgramEstimate {
    /// The stage's id.
    pub stage: Arc<str>,
    /// Programs, or lines that workers answer.
    pub programs: f64,
    /// Seconds that they take, all together.
    pub seconds: f64,
    /// How many run at a time.
    pub slots: u32,
}

impl Estimate {
    /// Scales it to a run of this many items, each with as many questions as the counted ones.
    pub fn scale_to(&mut self, items: u64) {
        let factor = items as f64 / (self.items as f64).max(1.0);
        self.items = items;
        self.multiply(factor);
    }

    fn multiply(&mut self, factor: f64) {
        self.stages.iter_mut().for_each(|stage| stage.multiply(factor));
        for stage in &mut self.programs {
            stage.programs *= factor;
            stage.seconds *= factor;
        }
    }
}

impl StageEstimate {
    fn multiply(&mut self, factor: f64) {
        self.requests *= factor;
        self.images *= factor;
        self.prompt_tokens *= factor;
        self.answer_tokens *= factor;
        self.most_answer_tokens = self.most_answer_tokens.map(|most| most * factor);
    }
}

/// Estimates a run over the first `limit` items from a sample of at most `sample` of them. `tokens` counts the tokens
/// of a text.
pub async fn estimate(
    mut pipeline: BuiltPipeline,
    seed: u64,
    limit: Option<u64>,
    sample: usize,
    tokens: impl Fn(&str) -> u64 + Send + Sync + 'static,
) -> Estimate {
    let mut rng = Draws::new(seed, "plan".into()).rng("sample", "");
    let (mut items, mut failures, mut kept) = (0, Vec::new(), Vec::new());
    'source: while let Some(unit) =
        tokio::task::block_in_place(|| pipeline.source.next_readable(&mut failures))
    {
        for mut record in unit.records {
            if limit.is_some_and(|limit| items >= limit) {
                break 'source;
            }
            record.id = RecordId::item(items);
            items += 1;
            // Reservoir sampling: each item so far is kept with the same probability.
            if kept.len() < sample {
                kept.push(record);
            } else if let Some(place) = kept.get_mut(rng.random_range(0..items) as usize) {
                *place = record;
            }
        }
    }
    let sampled = kept.len() as u64;
    let items_per_sample = items as f64 / (sampled as f64).max(1.0);
    let estimator =
        Arc::new(UsageEstimator { totals: Mutex::new(empty_estimates(&pipeline)), tokens: Box::new(tokens) });
    let executor = Executor::observed(Arc::clone(&estimator) as Arc<dyn Responder>, None);
    for record in kept {
        let record = InFlightRecord { record, ..InFlightRecord::default() };
        // Halts only if a program cannot be run, which the run will say.
        let _ = executor.execute_all(&pipeline.stages, record).await;
    }
    let totals = std::mem::take(&mut *estimator.totals.lock().unwrap_or_else(PoisonError::into_inner));
    let EstimateTotals { stages, programs } = totals;
    let mut estimate = Estimate { items, sampled, stages, programs, failures };
    estimate.multiply(items_per_sample);
    estimate
}

/// The sums over the sampled items.
#[derive(Default)]
struct EstimateTotals {
    stages: Vec<StageEstimate>,
    programs: Vec<ProgramEstimate>,
}

/// An entry per stage that asks a model or runs programs, including those in blocks.
fn empty_estimates(pipeline: &BuiltPipeline) -> EstimateTotals {
    let mut totals = EstimateTotals::default();
    let mut see = |stage: &BuiltStage| match &stage.processor {
        BuiltProcessor::Ask(unit) => {
            totals.stages.push(StageEstimate {
                stage: Arc::clone(&stage.path),
                model: Arc::clone(&unit.model_name),
                requests: 0.0,
                images: 0.0,
                prompt_tokens: 0.0,
                answer_tokens: 0.0,
                most_answer_tokens: Some(0.0),
            });
        }
        BuiltProcessor::Programs(unit) => {
            let slots = u32::try_from(unit.pool.size()).unwrap_or(u32::MAX);
            let stage = Arc::clone(&stage.path);
            totals.programs.push(ProgramEstimate { stage, programs: 0.0, seconds: 0.0, slots });
        }
        _ => {}
    };
    pipeline.stages.iter().for_each(|stage| stage.visit(&mut see));
    totals
}

/// Counts each question and has the model's script or the heuristic answer it.
struct UsageEstimator {
    totals: Mutex<EstimateTotals>,
    tokens: Box<dyn Fn(&str) -> u64 + Send + Sync>,
}

impl Responder for UsageEstimator {
    fn respond<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<ModelResult, Halt>> {
        async move {
            let Question { unit, request, record, .. } = question;
            let model = unit.model.model();
            let scripted = match model.provider() == MOCK {
                true => model.complete(request, record).await.ok(),
                false => None,
            };
            let result = match scripted {
                Some(completion) => Ok(completion),
                None => unit.heuristic.complete(request, record).await,
            };
            // Re-asks are not estimated.
            if request.sample == 0 {
                let prompt: u64 = request.texts().map(|text| (self.tokens)(&text) + MESSAGE_OVERHEAD).sum();
                let param = |name: &str| request.params.get(name).or_else(|| unit.params.get(name))?.as_u64();
                let max_answer = param("max_tokens").or_else(|| param("max_completion_tokens"));
                let length = result.as_ref().map_or(0, |completion| (self.tokens)(&completion.text));
                let tokens = QuestionTokens {
                    prompt,
                    images: request.images_shown() as u64,
                    max_answer,
                    answer: length.min(max_answer.unwrap_or(u64::MAX)),
                    answers: param("n").unwrap_or(1) as f64,
                };
                self.count(&unit.path, &tokens);
            }
            Ok(result)
        }
        .boxed()
    }

    fn run_program<'a>(&'a self, run: ProgramRun<'a>) -> BoxFuture<'a, Result<ProgramOutcome, Halt>> {
        async move {
            let outcome = run.perform().await?.outcome;
            let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(sum) = totals.programs.iter_mut().find(|sum| sum.stage == run.unit.path) {
                sum.programs += 1.0;
                sum.seconds += outcome.seconds;
            }
            Ok(outcome)
        }
        .boxed()
    }
}

/// The tokens of one question and its answer.
struct QuestionTokens {
    prompt: u64,
    images: u64,
    /// Of the longest answer that the parameters allow.
    max_answer: Option<u64>,
    /// Of an answer of the length of the script's or the heuristic's.
    answer: u64,
    /// The number of answers (`n`).
    answers: f64,
}

impl UsageEstimator {
    fn count(&self, stage: &Arc<str>, tokens: &QuestionTokens) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sum) = totals.stages.iter_mut().find(|sum| sum.stage == *stage) else { return };
        sum.requests += 1.0;
        sum.images += tokens.images as f64;
        sum.prompt_tokens += (tokens.prompt + tokens.images * IMAGE_TOKENS) as f64;
        sum.most_answer_tokens = sum
            .most_answer_tokens
            .zip(tokens.max_answer)
            .map(|(sum, most)| sum + most as f64 * tokens.answers);
        sum.answer_tokens += tokens.answer as f64 * tokens.answers;
    }
}
