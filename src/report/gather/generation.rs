//! Totals of the generated data: counts, rejections, models, tokens, cost and time, and the precision of shares.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::report::findings::{
    CostBreakdown, FileCount, GenerationTotals, ItemAccounting, ModelUse, NamedCount, Proportion,
    RejectionCause, RequiredSize, ShareEstimate, TokenTotals,
};
use crate::report::read::{DataRecord, DeclaredModel, InputMetadata};
use crate::report::statistics::intervals;

/// Shares whose confidence interval is shown.
const SHARES: [f64; 5] = [0.5, 0.2, 0.1, 0.05, 0.01];
/// Half-widths of intervals whose sample size is shown.
const HALF_WIDTHS: [f64; 5] = [0.05, 0.03, 0.02, 0.01, 0.005];

/// Counts over all records.
#[derive(Debug, Default)]
pub(super) struct GenerationCounter {
    /// Kept records with a text.
    pub(super) records: u64,
    /// Items with at least one kept record that has a text.
    pub(super) items: u64,
    rejected: u64,
    rejections: BTreeMap<(String, String), (u64, String)>,
    splits: BTreeMap<String, u64>,
    /// By the name of the model in the pipeline; its tokens count even if the heuristic answered in the end.
    models: BTreeMap<String, ModelCounter>,
    /// Records that the heuristic answered, by sink.
    by_heuristic: HashMap<usize, u64>,
}

#[derive(Debug, Default)]
struct ModelCounter {
    counts: [u64; 6],
    provider: Option<String>,
    asked_as: Option<String>,
    reported_as: HashMap<String, u64>,
    finish_reasons: HashMap<String, u64>,
}

/// Distinct reported model names, and distinct finish reasons; the others are counted together.
const MAX_NAMES: usize = 20;

impl GenerationCounter {
    /// Counts the records of one item.
    pub(super) fn add(&mut self, records: &[DataRecord]) {
        let mut kept = false;
        let mut calls = HashSet::new();
        let is_only_call = records.iter().map(|record| record.calls.len()).sum::<usize>() == 1;
        for record in records {
            if let Some(why) = &record.rejected {
                self.rejected += 1;
                let key = (why.class.clone(), why.stage.clone());
                let entry = self.rejections.entry(key).or_insert_with(|| (0, why.message.clone()));
                entry.0 += 1;
            } else if record.is_kept() && !record.turns.is_empty() {
                self.records += 1;
                kept = true;
                let split = record.attributes.iter().find(|attribute| attribute.name == "split");
                if let Some(split) = split {
                    *self.splits.entry(split.value.clone()).or_default() += 1;
                }
            }
            if record.is_by_heuristic() {
                for sink in &record.sinks {
                    *self.by_heuristic.entry(*sink).or_default() += 1;
                }
            }
            for call in &record.calls {
                // The children of a fan-out carry the calls of their parent.
                if is_only_call || calls.insert(call.to_string()) {
                    self.add_call(call);
                }
            }
        }
        self.items += u64::from(kept);
    }

    fn add_call(&mut self, call: &Value) {
        let text = |key: &str| call.get(key).and_then(Value::as_str);
        let number = |key: &str| call.get(key).and_then(Value::as_u64).unwrap_or_default();
        let name = text("model").unwrap_or("unknown").to_owned();
        let model = self.models.entry(name).or_default();
        let fallback = text("fallback").is_some();
        let counts = [
            1,
            number("prompt_tokens"),
            number("completion_tokens"),
            number("re_asks"),
            u64::from(fallback),
            number("attempts"),
        ];
        for (sum, count) in model.counts.iter_mut().zip(counts) {
            *sum += count;
        }
        // A fallback names the heuristic, which is not the provider of the model.
        if let Some(provider) = text("provider").filter(|_| !fallback) {
            model.provider = Some(provider.to_owned());
        }
        if let Some(asked_as) = text("served_as") {
            model.asked_as = Some(asked_as.to_owned());
        }
        count(&mut model.reported_as, text("reported_as"));
        count(&mut model.finish_reasons, text("finish_reason"));
    }

    /// Returns the totals; `prices` are per million prompt and completion tokens.
    pub(super) fn totals(self, metadata: &InputMetadata, prices: Option<(f64, f64)>) -> GenerationTotals {
        let (records, items) = (self.records, self.items);
        let whole = records + self.rejected;
        let rejections = self.rejections.into_iter().map(|((class, stage), (count, example))| {
            RejectionCause { class, stage, part: Proportion { count, of: whole }, example }
        });
        let mut rejections: Vec<RejectionCause> = rejections.collect();
        rejections.sort_by(|a, b| b.part.count.cmp(&a.part.count).then_with(|| a.class.cmp(&b.class)));
        let named = self.models.into_iter().map(|(name, used)| {
            let declared = metadata.models.get(&name).cloned().unwrap_or_default();
            used.named(name, declared)
        });
        let models: Vec<ModelUse> = named.collect();
        let tokens = tokens(&models, &metadata.status);
        let mut files = metadata.files.clone();
        for (sink, count) in self.by_heuristic {
            files.get_mut(sink).into_iter().for_each(|file| file.by_heuristic = count);
        }
        let number = |key: &str| metadata.status.pointer(key).and_then(Value::as_f64);
        GenerationTotals {
            splits: splits(self.splits, &metadata.files, records),
            files,
            source_unread: number("/source_failures").unwrap_or_default() as u64,
            spent: number("/spent/cost").filter(|cost| *cost > 0.0),
            identity: identity(&metadata.status),
            drops: drops(&metadata.status),
            rejections,
            models,
            cost: prices.zip(tokens).map(|(prices, tokens)| cost(prices, tokens, records)),
            tokens,
            seconds: metadata.status.get("seconds").and_then(Value::as_f64),
            estimates: SHARES.map(|share| estimate(share, items)).into(),
            needed: HALF_WIDTHS.map(|half_width| needed(half_width, items)).into(),
        }
    }
}

impl ModelCounter {
    fn named(self, model: String, declared: DeclaredModel) -> ModelUse {
        let [calls, prompt_tokens, completion_tokens, re_asks, fallbacks, attempts] = self.counts;
        let provider = self.provider.or(declared.provider).unwrap_or_else(|| "unknown".to_owned());
        let is_asked = !["heuristic", "mock"].contains(&&*provider);
        // Reasons and names are those of last answers; shares are of the answers that have one.
        let answered = self.finish_reasons.values().sum();
        let reported = self.reported_as.values().sum();
        ModelUse {
            model,
            asked_as: self.asked_as.or(declared.model.filter(|_| is_asked)),
            provider,
            reported_as: counted(self.reported_as, reported),
            calls,
            prompt_tokens,
            completion_tokens,
            re_asks,
            fallbacks: Proportion { count: fallbacks, of: calls },
            attempts,
            finish_reasons: counted(self.finish_reasons, answered),
        }
    }
}

fn count(counts: &mut HashMap<String, u64>, name: Option<&str>) {
    let Some(name) = name else { return };
    let is_new = !counts.contains_key(name) && counts.len() >= MAX_NAMES;
    *counts.entry(if is_new { "others" } else { name }.to_owned()).or_default() += 1;
}

fn counted(counts: impl IntoIterator<Item = (String, u64)>, whole: u64) -> Vec<NamedCount> {
    let counts =
        counts.into_iter().map(|(name, count)| NamedCount { name, part: Proportion { count, of: whole } });
    let mut counts: Vec<NamedCount> = counts.collect();
    counts.sort_by(|a, b| b.part.count.cmp(&a.part.count).then_with(|| a.name.cmp(&b.name)));
    counts
}

/// Returns the splits that records name, or else the files of a run if there are several.
fn splits(named: BTreeMap<String, u64>, files: &[FileCount], records: u64) -> Vec<NamedCount> {
    if !named.is_empty() {
        return counted(named, records);
    }
    let sinks = files.iter().filter(|file| file.measured && file.path != "rejected.jsonl");
    let sinks: Vec<(String, u64)> =
        sinks.map(|file| (file.path.trim_end_matches(".jsonl").to_owned(), file.records)).collect();
    if sinks.len() > 1 { counted(sinks, records) } else { Vec::new() }
}

fn identity(status: &Value) -> Option<ItemAccounting> {
    let number = |key: &str| status.get(key).and_then(Value::as_u64);
    let (admitted, ok) = (number("admitted")?, number("ok")?);
    let (dropped, rejected, in_flight) = (number("dropped")?, number("rejected")?, number("in_flight")?);
    let holds = admitted == ok + dropped + rejected + in_flight;
    Some(ItemAccounting { admitted, ok, dropped, rejected, in_flight, holds })
}

/// Returns drops by reason; `status.json` has them as a list of pairs or as an object.
fn drops(status: &Value) -> Vec<NamedCount> {
    let pair = |pair: &Value| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_u64()?));
    let drops: Vec<(String, u64)> = match status.get("drops") {
        Some(Value::Array(pairs)) => pairs.iter().filter_map(pair).collect(),
        Some(Value::Object(counts)) => {
            counts.iter().filter_map(|(reason, count)| Some((reason.clone(), count.as_u64()?))).collect()
        }
        _ => Vec::new(),
    };
    counted(drops, status.get("admitted").and_then(Value::as_u64).unwrap_or_default())
}

/// Provenance has the tokens of finished items, by model; `status.json` has all tokens spent, over all starts.
fn tokens(models: &[ModelUse], status: &Value) -> Option<TokenTotals> {
    let spent = status.pointer("/spent/tokens").and_then(Value::as_u64).unwrap_or_default();
    let prompt: u64 = models.iter().map(|model| model.prompt_tokens).sum();
    let completion: u64 = models.iter().map(|model| model.completion_tokens).sum();
    let tokens = TokenTotals { prompt, completion, elsewhere: spent.saturating_sub(prompt + completion) };
    (prompt + completion + tokens.elsewhere > 0).then_some(tokens)
}

fn cost((price_in, price_out): (f64, f64), tokens: TokenTotals, records: u64) -> CostBreakdown {
    let prompt = tokens.prompt as f64 / 1e6 * price_in;
    let completion = tokens.completion as f64 / 1e6 * price_out;
    let total = prompt + completion;
    let per_thousand_records = (records > 0).then(|| total / records as f64 * 1_000.0);
    CostBreakdown { price_in, price_out, prompt, completion, total, per_thousand_records }
}

fn estimate(share: f64, size: u64) -> ShareEstimate {
    ShareEstimate { share, size, interval: intervals::wilson(share, size as f64) }
}

fn needed(half_width: f64, items: u64) -> RequiredSize {
    let size = intervals::needed(half_width);
    RequiredSize { half_width, size, reached: items >= size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_identity_is_checked() {
        let status = json!({"admitted": 10, "ok": 7, "dropped": 1, "rejected": 1, "in_flight": 1});
        assert!(identity(&status).unwrap().holds);
        let status = json!({"admitted": 10, "ok": 7, "dropped": 1, "rejected": 1, "in_flight": 0});
        assert!(!identity(&status).unwrap().holds);
        assert_eq!(identity(&json!({})), None);
    }

    #[test]
    fn drops_are_read_in_both_shapes() {
        let expected = [NamedCount { name: "filter".into(), part: Proportion { count: 5, of: 10 } }];
        assert_eq!(drops(&json!({"admitted": 10, "drops": [["filter", 5]]})), expected);
        assert_eq!(drops(&json!({"admitted": 10, "drops": {"filter": 5}})), expected);
        assert_eq!(drops(&Value::Null), []);
    }

    #[test]
    fn cost_follows_prices_per_million() {
        let cost =
            cost((0.5, 1.5), TokenTotals { prompt: 2_000_000, completion: 1_000_000, elsewhere: 0 }, 5_000);
        assert_eq!((cost.prompt, cost.completion, cost.total), (1.0, 1.5, 2.5));
        assert_eq!(cost.per_thousand_records, Some(0.5));
    }

    #[test]
    fn children_share_the_calls_of_their_parent() {
        let call = json!({"model": "m", "provider": "openai", "prompt_tokens": 10, "finish_reason": "stop"});
        let record = DataRecord { calls: vec![call], ..DataRecord::default() };
        let mut counts = GenerationCounter::default();
        counts.add(&[record.clone(), record.clone()]);
        counts.add(&[record]);
        let used = counts.models.into_values().next().unwrap();
        assert_eq!((used.counts[0], used.counts[1]), (2, 20));
    }

    #[test]
    fn tokens_and_finish_reasons_belong_to_the_model_even_after_a_fallback() {
        let mut counts = GenerationCounter::default();
        for n in 0..12 {
            let call = match n < 3 {
                true => {
                    json!({"model": "teacher", "provider": "heuristic", "fallback": "json: broken", "n": n,
                    "prompt_tokens": 100, "completion_tokens": 50, "finish_reason": "length"})
                }
                false => json!({"model": "teacher", "provider": "openai", "served_as": "small", "n": n,
                    "reported_as": "small-2", "prompt_tokens": 100, "completion_tokens": 20, "finish_reason": "stop"}),
            };
            let turn = crate::report::findings::Turn { role: "text".into(), text: "x".into() };
            counts.add(&[DataRecord {
                calls: vec![call],
                turns: vec![turn],
                sinks: vec![0],
                ..DataRecord::default()
            }]);
        }
        let file = FileCount {
            path: "train.jsonl".into(),
            records: 12,
            malformed: 0,
            damage: None,
            by_heuristic: 0,
            measured: true,
        };
        let status = json!({"spent": {"tokens": 1_600, "cost": 0.0}});
        let metadata = InputMetadata { files: vec![file], status, ..InputMetadata::default() };
        let made = counts.totals(&metadata, None);
        let [model] = &made.models[..] else { panic!("{:?}", made.models) };
        assert_eq!(
            (model.model.as_str(), model.provider.as_str(), model.asked_as.as_deref()),
            ("teacher", "openai", Some("small"))
        );
        assert_eq!(
            (model.calls, model.fallbacks, model.completion_tokens),
            (12, Proportion { count: 3, of: 12 }, 330)
        );
        let cut = model.finish_reasons.iter().find(|reason| reason.name == "length").unwrap();
        assert_eq!(cut.part, Proportion { count: 3, of: 12 });
        assert_eq!(model.reported_as[0].part, Proportion { count: 9, of: 9 });
        assert_eq!(made.files[0].by_heuristic, 3);
        assert_eq!(made.tokens, Some(TokenTotals { prompt: 1_200, completion: 330, elsewhere: 70 }));
    }
}
