//! A few prompts with their answers: those with the lowest draws in provenance, which are a random sample.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::report::findings::{SampledExchange, Turn};
use crate::report::read::DataRecord;

/// Exchanges shown per stage.
const OF_A_STAGE: usize = 3;
/// Stages whose exchanges are shown.
const STAGES: usize = 4;
/// Bytes of a message that are shown.
const LONGEST: usize = 200_000;

/// The exchanges with the lowest draws, by stage.
#[derive(Debug, Default)]
pub(super) struct ExchangeSample {
    stages: BTreeMap<String, Vec<(f64, SampledExchange)>>,
}

impl ExchangeSample {
    /// Adds the exchanges of a record, if their draws are low enough.
    pub(super) fn add(&mut self, record: &DataRecord) {
        for call in &record.calls {
            let Some(exchange) = call.get("exchange") else { continue };
            let Some(draw) = exchange.get("draw").and_then(Value::as_f64) else { continue };
            let stage = text(call, "stage");
            if !self.stages.contains_key(&stage) && self.stages.len() >= STAGES {
                continue;
            }
            let kept = self.stages.entry(stage.clone()).or_default();
            let is_there = kept.iter().any(|(other, _)| *other == draw);
            let is_low = kept.len() < OF_A_STAGE || kept.last().is_some_and(|(last, _)| draw < *last);
            if is_there || !is_low {
                continue;
            }
            kept.push((draw, sampled_exchange(record, call, exchange, stage)));
            kept.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            kept.truncate(OF_A_STAGE);
        }
    }

    /// Returns the exchanges, grouped by stage.
    pub(super) fn into_exchanges(self) -> Vec<SampledExchange> {
        self.stages.into_values().flatten().map(|(_, exchange)| exchange).collect()
    }
}

fn sampled_exchange(record: &DataRecord, call: &Value, exchange: &Value, stage: String) -> SampledExchange {
    let messages = exchange.get("messages").and_then(Value::as_array).into_iter().flatten();
    let message = |message: &Value| {
        let images = message.get("images").and_then(Value::as_array).map_or(0, Vec::len);
        let mut text = cut(text(message, "content"));
        if images > 0 {
            text.push_str(&format!("\n[{images} images]"));
        }
        Turn { role: self::text(message, "role"), text }
    };
    SampledExchange {
        id: record.id.clone(),
        stage,
        model: text(call, "model"),
        provider: text(call, "provider"),
        outcome: match (&record.rejected, record.dropped) {
            (Some(why), _) if why.class.is_empty() => "rejected".to_owned(),
            (Some(why), _) => format!("rejected: {}", why.class),
            (None, true) => "dropped".to_owned(),
            (None, false) => "ok".to_owned(),
        },
        messages: messages.map(message).collect(),
        answer: exchange.get("answer").and_then(Value::as_str).map(|answer| cut(answer.to_owned())),
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let left = text.len() - LONGEST;
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push_str(&format!(" … ({left} more bytes)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_three_exchanges_with_the_lowest_draws_are_shown_in_full() {
        let mut exchanges = ExchangeSample::default();
        for (item, draw) in [0.9, 0.5, 0.1, 0.3, 0.7].iter().enumerate() {
            let messages =
                json!([{"role": "system", "content": "S"}, {"role": "user", "content": format!("Q{item}")}]);
            let call = json!({"stage": "llm", "model": "m", "provider": "openai",
                "exchange": {"draw": draw, "messages": messages, "answer": "A"}});
            let record = DataRecord { id: format!("{item:06}"), calls: vec![call], ..DataRecord::default() };
            // The children of a fan-out carry the call of their parent: it is shown once.
            exchanges.add(&record);
            exchanges.add(&record);
        }
        let shown = exchanges.into_exchanges();
        let ids: Vec<&str> = shown.iter().map(|exchange| exchange.id.as_str()).collect();
        assert_eq!(ids, ["000002", "000003", "000001"]);
        assert_eq!((shown[0].messages[1].text.as_str(), shown[0].answer.as_deref()), ("Q2", Some("A")));
    }
}
