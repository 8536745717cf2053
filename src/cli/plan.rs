//! `plan`: the requests and the cost of a run, before anything is spent.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::exit::Exit;
use super::{PipelineArgs, print, print_data, run};
use crate::config::Plan;
use crate::engine::{self, BuiltPipeline, Estimate, ProgramEstimate, StageEstimate};
use crate::llm::IMAGE_TOKENS;
use crate::pipeline::{Limits, ModelConfig, Provider, RequestMode};
use crate::token_count;

/// The assumed tokens per second of a request, if concurrency is the limit.
const SPEED: f64 = 50.0;

/// The minimum width of the column with the names of stages and models.
const NAME: usize = 12;

/// The default number of items whose prompts are rendered.
pub(super) const SAMPLE: usize = 200;

/// The arguments of `plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// How many items have their prompts rendered.
    #[arg(long, default_value_t = SAMPLE, value_name = "K")]
    sample: usize,
    /// Covers only the first N items.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Scales the estimate to N items like those of the source, which may have fewer.
    #[arg(long, value_name = "N", conflicts_with = "limit")]
    items: Option<u64>,
    /// The number of tokens of an answer, limited by `max_tokens`; by default that of answers of a model's `mock` script,
    /// or of the heuristic.
    #[arg(long, value_name = "N")]
    answer_tokens: Option<u64>,
}

pub(super) fn run(args: &PlanArgs, json: bool) -> anyhow::Result<Exit> {
    let plan = run::load(&args.pipeline.pipeline, &args.pipeline.changes.overrides())?;
    let mut estimate = estimate(&plan, args.sample, args.limit)?;
    if let Some(items) = args.items {
        estimate.scale_to(items);
    }
    if let Some(tokens) = args.answer_tokens {
        for stage in &mut estimate.stages {
            let most = stage.most_answer_tokens.unwrap_or(f64::INFINITY);
            stage.answer_tokens = (stage.requests * tokens as f64).min(most);
        }
    }
    match json {
        true => print_data(&format!("{:#}\n", as_json(&plan, &estimate))),
        false => print(&text(&plan, &estimate)),
    }
    Ok(Exit::Complete)
}

/// Estimates a run from the prompts of `sample` items.
pub(super) fn estimate(plan: &Plan, sample: usize, limit: Option<u64>) -> anyhow::Result<Estimate> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let estimate = runtime.block_on(async {
        let pipeline = BuiltPipeline::build(plan, &run::connect_scripts(plan)?, "now")?;
        anyhow::Ok(engine::estimate(pipeline, plan.seed, limit, sample.max(1), token_count::count).await)
    })?;
    for failure in &estimate.failures {
        tracing::warn!("cannot read {failure}");
    }
    Ok(estimate)
}

pub(super) fn text(plan: &Plan, estimate: &Estimate) -> String {
    let (items, sampled) = (thousands(estimate.items as f64), thousands(estimate.sampled as f64));
    let mut text = format!("{}: {items} items, foreseen from {sampled} of them\n", plan.name);
    let stages = estimate.stages.iter().map(|stage| &*stage.stage);
    let programs = estimate.programs.iter().map(|stage| &*stage.stage);
    let names = stages.chain(programs).chain(plan.models.keys().map(String::as_str));
    let width = names.map(|name| name.chars().count()).fold(NAME, usize::max);
    for stage in &estimate.stages {
        let Some(model) = plan.models.get(&*stage.model) else { continue };
        let _ = writeln!(
            text,
            "  {:<width$} {} requests to {}, {} tokens read, {} written{}",
            &*stage.stage,
            thousands(stage.requests),
            stage.model,
            thousands(stage.prompt_tokens),
            thousands(stage.answer_tokens),
            stage.most_answer_tokens.map(|most| format!(", {} at most", thousands(most))).unwrap_or_default(),
        );
        if stage.images > 0.0 {
            let images = thousands(stage.images);
            let _ = writeln!(text, "  {:<width$} {images} images, each taken for {IMAGE_TOKENS} tokens", "");
        }
        if let Some((cost, most)) = cost(model, stage) {
            let most = most.map(|most| format!(", {most:.4} at most")).unwrap_or_default();
            let _ = writeln!(text, "  {:<width$} costs {cost:.4}{most}", "");
        }
    }
    for stage in &estimate.programs {
        let _ = writeln!(text, "  {:<width$} {}", &*stage.stage, program_line(stage));
    }
    for (pool, hours) in hours(plan, estimate) {
        let _ =
            writeln!(text, "  {pool:<width$} takes about {}", crate::run::format_duration(hours * 3600.0));
    }
    for (model, rounds, hours) in rounds(plan, estimate) {
        let time = crate::run::format_duration(rounds * hours * 3600.0);
        let _ =
            writeln!(text, "  {model:<width$} answers in batches, {rounds} after each other: {time} at most");
    }
    if estimate.stages.is_empty() {
        return text;
    }
    let _ = writeln!(
        text,
        "  tokens are {}; answers as long as a script's or the heuristic's unless told;\n  \
         without limits, {SPEED} tokens a second for each request at a time",
        token_count::unit()
    );
    text
}

/// Describes how many programs a stage runs, and how long they take.
fn program_line(stage: &ProgramEstimate) -> String {
    let each = 1e3 * stage.seconds / stage.programs.max(1.0);
    let time = crate::run::format_duration(stage.seconds / f64::from(stage.slots));
    format!("{} programs, {each:.1} ms each, {} at a time: {time}", thousands(stage.programs), stage.slots)
}

pub(super) fn as_json(plan: &Plan, estimate: &Estimate) -> Value {
    let stages: Vec<Value> = estimate
        .stages
        .iter()
        .map(|stage| {
            let cost = plan.models.get(&*stage.model).and_then(|model| cost(model, stage));
            json!({
                "stage": stage.stage,
                "model": stage.model,
                "requests": stage.requests.round(),
                "images": stage.images.round(),
                "prompt_tokens": stage.prompt_tokens.round(),
                "answer_tokens": stage.answer_tokens.round(),
                "most_answer_tokens": stage.most_answer_tokens.map(f64::round),
                "cost": cost.map(|(cost, _)| cost),
                "most_cost": cost.and_then(|(_, most)| most),
            })
        })
        .collect();
    let programs: Vec<Value> = estimate
        .programs
        .iter()
        .map(|stage| {
            json!({
                "stage": stage.stage,
                "programs": stage.programs.round(),
                "seconds": stage.seconds,
                "at_a_time": stage.slots,
            })
        })
        .collect();
    let mut hours: BTreeMap<String, f64> = hours(plan, estimate).into_iter().collect();
    hours.extend(rounds(plan, estimate).into_iter().map(|(model, rounds, hours)| (model, rounds * hours)));
    json!({
        "pipeline": plan.name,
        "items": estimate.items,
        "sampled": estimate.sampled,
        "tokens_are": token_count::unit(),
        "stages": stages,
        "programs": programs,
        "hours": hours,
    })
}

/// Returns the cost of a stage, and its upper bound; `None` if the model has no prices.
fn cost(model: &ModelConfig, stage: &StageEstimate) -> Option<(f64, Option<f64>)> {
    let prices = model.prices;
    if prices.input + prices.output == 0.0 {
        return None;
    }
    let of = |answer: f64| (stage.prompt_tokens * prices.input + answer * prices.output) / 1e6;
    Some((of(stage.answer_tokens), stage.most_answer_tokens.map(of)))
}

/// Returns, for each model used in batch mode, how many batches have to be awaited one after another, and the most
/// hours that the provider takes for one.
fn rounds(plan: &Plan, estimate: &Estimate) -> Vec<(String, f64, f64)> {
    let mut rounds: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for stage in &estimate.stages {
        let Some(model) = plan.models.get(&*stage.model).filter(|model| model.mode() == RequestMode::Batch)
        else {
            continue;
        };
        let window = model.batch.completion_window.strip_suffix('h').and_then(|hours| hours.parse().ok());
        // A second stage can ask only once the first has been answered.
        let entry = rounds.entry(stage.model.to_string()).or_insert((0.0, window.unwrap_or(24.0)));
        entry.0 += (stage.requests / f64::from(model.places())).ceil();
    }
    rounds.into_iter().map(|(model, (rounds, hours))| (model, rounds, hours)).collect()
}

/// Returns the hours that each quota pool takes, or the model itself if it has no limits.
fn hours(plan: &Plan, estimate: &Estimate) -> Vec<(String, f64)> {
    let mut pools: BTreeMap<String, (Limits, [f64; 3], f64)> = BTreeMap::new();
    for stage in &estimate.stages {
        let Some(model) = plan.models.get(&*stage.model) else { continue };
        if model.provider == Provider::Heuristic || model.mode() == RequestMode::Batch {
            continue;
        }
        let shared = model.pool.as_ref().and_then(|pool| Some((pool, plan.pools.get(pool)?)));
        let (name, limits) =
            shared.map_or((stage.model.to_string(), model.limits), |(name, limits)| (name.clone(), *limits));
        let (_, sums, busy) = pools.entry(name).or_insert((limits, [0.0; 3], 0.0));
        for (sum, more) in sums.iter_mut().zip([stage.requests, stage.prompt_tokens, stage.answer_tokens]) {
            *sum += more;
        }
        *busy += stage.answer_tokens / SPEED / f64::from(model.places().max(1));
    }
    let hours = |(name, (limits, sums, busy)): (String, (Limits, [f64; 3], f64))| {
        (name, hours_at(&limits, sums).unwrap_or(0.0).max(busy / 3600.0))
    };
    pools.into_iter().map(hours).collect()
}

/// Returns the hours that these requests, tokens read and tokens written take at the limits; `None` without limits.
fn hours_at(limits: &Limits, [requests, read, written]: [f64; 3]) -> Option<f64> {
    let meters = [
        (requests, limits.requests_per_minute.map(u64::from)),
        (read + written, limits.tokens_per_minute),
        (read, limits.input_tokens_per_minute),
        (written, limits.output_tokens_per_minute),
    ];
    let hours = meters.iter().filter_map(|(amount, limit)| Some(amount / (*limit)? as f64 / 60.0));
    hours.max_by(f64::total_cmp)
}

/// Formats a count with a comma between thousands.
fn thousands(count: f64) -> String {
    let digits = format!("{:.0}", count.max(0.0));
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_the_narrowest_limit() {
        let limits = Limits {
            requests_per_minute: Some(100),
            tokens_per_minute: Some(1000),
            output_tokens_per_minute: Some(10),
            ..Limits::default()
        };
        assert_eq!(hours_at(&limits, [6000.0, 30_000.0, 3000.0]), Some(5.0));
        assert_eq!(hours_at(&limits, [60_000.0, 0.0, 0.0]), Some(10.0));
        assert_eq!(hours_at(&Limits::default(), [1.0; 3]), None);
        for (count, shown) in [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (1234567.0, "1,234,567")] {
            assert_eq!(thousands(count), shown);
        }
    }
}
