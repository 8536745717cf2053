//! The number of records with each label, by stage.
//!
//! Read from provenance, for all records that were classified, kept or not. Memory grows with the number of labels
//! only.

use std::collections::BTreeMap;

use crate::report::findings::{ClassifyTotals, LabelCount, Proportion};
use crate::report::read::DataRecord;
use crate::stages::Classification;

/// Counts over the classifications of all stages.
#[derive(Debug, Default)]
pub(super) struct LabelCounter {
    by_stage: BTreeMap<String, ClassifyStageCounter>,
}

#[derive(Debug, Default)]
struct ClassifyStageCounter {
    records: u64,
    /// The records with each label, and the sum of its probabilities.
    labels: BTreeMap<String, (u64, f64)>,
    coverage: f64,
    sampled: u64,
}

impl LabelCounter {
    /// Adds the classifications of one item's records. Those made of one record share its label, which counts once.
    pub(super) fn add(&mut self, records: &[DataRecord]) {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for found in records.iter().flat_map(|record| &record.classifications) {
            let about = (found.stage.as_str(), found.record.as_str());
            if seen.contains(&about) {
                continue;
            }
            seen.push(about);
            self.by_stage.entry(found.stage.clone()).or_default().add(found);
        }
    }

    pub(super) fn totals(self) -> Vec<ClassifyTotals> {
        self.by_stage.into_iter().map(|(stage, counter)| counter.totals(stage)).collect()
    }
}

impl ClassifyStageCounter {
    fn add(&mut self, found: &Classification) {
        self.records += 1;
        self.coverage += found.coverage;
        self.sampled += u64::from(found.method == "samples");
        let (count, sum) = self.labels.entry(found.classified.clone()).or_default();
        *count += 1;
        *sum += found.probability;
    }

    fn totals(self, stage: String) -> ClassifyTotals {
        let records = self.records;
        let mut labels: Vec<LabelCount> = self
            .labels
            .into_iter()
            .map(|(label, (count, sum))| LabelCount {
                label,
                part: Proportion { count, of: records },
                probability: sum / count as f64,
            })
            .collect();
        labels.sort_by_key(|label| std::cmp::Reverse(label.part.count));
        let coverage = self.coverage / records.max(1) as f64;
        ClassifyTotals { stage, records, labels, coverage, sampled: self.sampled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_are_counted_once_a_record() {
        let found = |record: &str, label: &str, probability: f64, method: &str| {
            let value = json!({
                "classified": label, "stage": "topic", "record": record, "probability": probability,
                "coverage": 0.5, "method": method,
            });
            let classifications = vec![Classification::read(&value).unwrap()];
            DataRecord { classifications, ..DataRecord::default() }
        };
        let mut counter = LabelCounter::default();
        counter.add(&[found("000000", "bread", 0.9, "logprobs"), found("000000", "bread", 0.9, "logprobs")]);
        counter.add(&[found("000001", "tea", 0.6, "samples")]);
        counter.add(&[found("000002", "bread", 0.7, "logprobs")]);
        let totals = counter.totals();
        let [topic] = &totals[..] else { panic!("{totals:?}") };
        assert_eq!((topic.records, topic.sampled, topic.coverage), (3, 1, 0.5));
        let labels: Vec<_> =
            topic.labels.iter().map(|label| (&*label.label, label.part.count, label.probability)).collect();
        assert_eq!(labels, [("bread", 2, 0.8), ("tea", 1, 0.6)]);
        assert!(Classification::read(&json!({"judged": "rating"})).is_none());
    }
}
