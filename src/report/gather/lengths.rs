//! Lengths of the parts of records, in words and tokens, and how well requested lengths were met.

use std::collections::BTreeMap;
use std::ops::Add;

use crate::report::findings::{LengthAdherence, Lengths, PartLengths, SampleRecord};
use crate::report::read::DataRecord;
use crate::report::statistics::lengths::{BinScale, LengthCorrelation, LengthCounts};
use crate::report::statistics::ngrams::count_words;
use crate::report::statistics::text_lengths::TextMeasurer;

/// Points of the scatter plot.
const PAIRS: usize = 500;

/// The parts, in the order in which they are shown.
const PARTS: [&str; 3] = ["text", "user", "assistant"];

/// The scale of bins by part and unit, shared by all data sets of a report.
pub(super) type PartScales = BTreeMap<(&'static str, &'static str), BinScale>;

/// Lengths over all kept records.
#[derive(Debug, Default)]
pub(super) struct PartLengthCounter {
    measurer: TextMeasurer,
    words: BTreeMap<&'static str, LengthCounts>,
    tokens: BTreeMap<&'static str, LengthCounts>,
    asked: LengthCounts,
    /// Requested against actual lengths, by part.
    follow: BTreeMap<&'static str, LengthCorrelation>,
}

impl PartLengthCounter {
    /// Measures a kept record.
    pub(super) fn add(&mut self, record: &DataRecord) {
        if let Some(target) = record.target_words {
            self.asked.add(target);
        }
        for part in PARTS {
            let turns = record.turns.iter().filter(|turn| turn.role == part);
            let lengths = turns.map(|turn| self.measurer.measure(&turn.text));
            let Some(length) = lengths.reduce(Add::add) else { continue };
            self.words.entry(part).or_default().add(length.words);
            if let Some(tokens) = length.tokens {
                self.tokens.entry(part).or_default().add(tokens);
            }
            if let Some(target) = record.target_words {
                self.follow.entry(part).or_default().add(target, length.words);
            }
        }
    }

    /// Extends the scales to cover these lengths.
    pub(super) fn extend(&self, scales: &mut PartScales) {
        for (unit, lengths) in [("words", &self.words), ("tokens", &self.tokens)] {
            for (part, lengths) in lengths {
                let scale = scales.entry((part, unit)).or_default();
                scale.extend(lengths);
                if unit == "words" && self.asked_of() == Some(*part) {
                    scale.extend(&self.asked);
                }
            }
        }
    }

    /// Returns the part that requested lengths apply to: what the model writes.
    fn asked_of(&self) -> Option<&'static str> {
        ["text", "assistant", "user"].into_iter().find(|part| self.follow.contains_key(part))
    }

    /// Returns the lengths; the points of the scatter plot are from `sample`.
    pub(super) fn lengths(&self, sample: &[SampleRecord], scales: &PartScales) -> Lengths {
        let asked_of = self.asked_of();
        let mut parts = Vec::new();
        for part in PARTS {
            for (unit, lengths) in [("words", &self.words), ("tokens", &self.tokens)] {
                let Some(lengths) = lengths.get(part) else { continue };
                let asked = (unit == "words" && asked_of == Some(part)).then_some(&self.asked);
                let scale = scales.get(&(part, unit)).copied().unwrap_or_default();
                parts.push(PartLengths {
                    part: part.to_owned(),
                    unit: unit.to_owned(),
                    actual: lengths.summary(),
                    sampled: false,
                    histogram: lengths.histogram(asked, &scale),
                });
            }
        }
        let asked = asked_of.and_then(|part| Some(self.asked(part, self.follow.get(part)?, sample)));
        Lengths { parts, asked }
    }

    fn asked(&self, part: &str, follow: &LengthCorrelation, sample: &[SampleRecord]) -> LengthAdherence {
        let (within_25, within_50) = follow.within();
        let pair = |record: &SampleRecord| {
            let turns = record.turns.iter().filter(|turn| turn.role == part);
            Some((record.target_words?, turns.map(|turn| count_words(&turn.text)).sum()))
        };
        LengthAdherence {
            part: part.to_owned(),
            asked: self.asked.summary(),
            records: follow.count,
            correlation: follow.correlation(),
            ratio: follow.ratio(),
            within_25,
            within_50,
            pairs: sample.iter().filter_map(pair).take(PAIRS).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::findings::Turn;

    fn record(role: &str, text: &str, target_words: Option<u64>) -> DataRecord {
        let turns = vec![Turn { role: role.into(), text: text.into() }];
        DataRecord { turns, target_words, ..DataRecord::default() }
    }

    #[test]
    fn parts_are_measured_apart() {
        let mut lengths = PartLengthCounter::default();
        lengths.add(&record("user", "one two", None));
        lengths.add(&record("assistant", "one two three", None));
        lengths.add(&record("system", "unheard", None));
        let mut scales = PartScales::default();
        lengths.extend(&mut scales);
        let found = lengths.lengths(&[], &scales);
        let words = found.parts.iter().filter(|part| part.unit == "words");
        let words: Vec<_> = words.map(|part| (part.part.as_str(), part.actual.median)).collect();
        assert_eq!(words, [("user", 2), ("assistant", 3)]);
        assert_eq!(found.asked, None);
    }

    #[test]
    fn requested_lengths_are_compared_with_actual_ones() {
        let mut lengths = PartLengthCounter::default();
        lengths.add(&record("text", "one two three four", Some(4)));
        lengths.add(&record("text", "one two three", Some(5)));
        let mut scales = PartScales::default();
        lengths.extend(&mut scales);
        let found = lengths.lengths(&[], &scales);
        let asked = found.asked.unwrap();
        assert_eq!((asked.records, asked.within_25.count, asked.within_50.count), (2, 1, 2));
        assert_eq!(found.parts[0].histogram.asked.as_ref().unwrap().iter().sum::<u64>(), 2);
    }
}
