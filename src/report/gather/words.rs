//! Counts words over all kept items, in total and by attribute value, and finds those that are overused.

use std::collections::BTreeMap;

use crate::report::findings::{Attribute, ValueTerms, WordComparison};
use crate::report::read::{DataRecord, RecordAttribute};
use crate::report::statistics::ngrams::words;
use crate::report::statistics::word_counts::{TermCounts, WordCounts};

use super::sample::{number, text};

/// Attribute values whose words are counted, in order of appearance.
const VALUES: usize = 150;
/// Values of one attribute among them; a field with more is a text or a name, and is discarded.
const VALUES_OF_ONE: usize = 40;
/// Distinct words that are counted for a value.
const WORDS_OF_A_VALUE: usize = 20_000;
/// First words that are listed.
const OPENINGS: usize = 12;
/// Texts that a value needs for a comparison.
const MIN_TEXTS: u64 = 20;

/// Counts words over all kept items, in one record per item, so that the words of a question do not count once for
/// each conversation made from it.
#[derive(Debug, Default)]
pub(super) struct ItemWordCounter {
    pub(super) counts: WordCounts,
    by_value: BTreeMap<(String, String), ValueWords>,
    /// How many values of each attribute are counted; `None` for one that has too many.
    values: BTreeMap<String, Option<usize>>,
}

#[derive(Debug, Default)]
struct ValueWords {
    texts: u64,
    counts: TermCounts,
}

impl ItemWordCounter {
    /// Counts the representative record of an item.
    pub(super) fn add(&mut self, record: &DataRecord) {
        let numbers = self.counts.add(&words(&text(&record.turns)));
        for attribute in &record.attributes {
            if attribute.number || !self.counts_value(attribute) {
                continue;
            }
            let key = (attribute.name.clone(), attribute.value.clone());
            let part = self.by_value.entry(key).or_default();
            part.texts += 1;
            for number in &numbers {
                if part.counts.len() < WORDS_OF_A_VALUE || part.counts.contains_key(number) {
                    *part.counts.entry(*number).or_default() += 1;
                }
            }
        }
    }

    /// Returns whether the words of this value are counted.
    fn counts_value(&mut self, attribute: &RecordAttribute) -> bool {
        let key = (attribute.name.clone(), attribute.value.clone());
        if self.by_value.contains_key(&key) {
            return true;
        }
        let known = self.values.contains_key(&attribute.name);
        if self.by_value.len() >= VALUES || (!known && self.values.len() >= VALUES) {
            return false;
        }
        let count = self.values.entry(attribute.name.clone()).or_insert(Some(0));
        let Some(values) = count else { return false };
        if *values >= VALUES_OF_ONE {
            if attribute.by_sampler {
                return false;
            }
            *count = None;
            self.by_value.retain(|(name, _), _| *name != attribute.name);
            return false;
        }
        *values += 1;
        true
    }

    /// Compares the words with a named reference or the built-in list.
    pub(super) fn words(
        &self,
        reference: Option<(&str, &WordCounts)>,
        attributes: &[Attribute],
    ) -> WordComparison {
        let [words, bigrams, first_words] = self.counts.against(reference.map(|(_, counts)| counts));
        let mut by_value = Vec::new();
        for ((name, value), part) in &self.by_value {
            let known =
                attributes.iter().any(|attribute| attribute.name == *name && attribute.values.len() > 1);
            if !known || part.texts < MIN_TEXTS {
                continue;
            }
            let (over, under) = self.counts.part(&part.counts);
            if !over.is_empty() || !under.is_empty() {
                by_value.push(ValueTerms {
                    attribute: name.clone(),
                    value: value.clone(),
                    texts: part.texts,
                    over,
                    under,
                });
            }
        }
        let reference = reference.map_or("built-in word list", |(name, _)| name).to_owned();
        WordComparison {
            reference,
            words,
            bigrams,
            first_words,
            openings: self.counts.openings(OPENINGS),
            texts: self.counts.texts(),
            by_value,
        }
    }
}

/// Returns the record that represents an item, chosen by hash so that each kind of record is equally likely.
pub(super) fn representative(records: &[DataRecord], seed: u64) -> Option<&DataRecord> {
    let kept = records.iter().filter(|record| record.is_kept() && !record.turns.is_empty());
    kept.min_by_key(|record| number(seed, &record.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::findings::Turn;
    use crate::report::gather::attributes::AttributeCounter;

    #[test]
    fn the_words_of_a_value_are_found() {
        let (mut words, mut attributes) = (ItemWordCounter::default(), AttributeCounter::default());
        for n in 0..100 {
            let (tone, text) =
                if n % 2 == 0 { ("angry", "ridiculous, my card") } else { ("", "please my card") };
            let record = DataRecord {
                turns: vec![Turn { role: "text".into(), text: text.into() }],
                attributes: vec![RecordAttribute {
                    name: "tone".into(),
                    value: tone.into(),
                    by_sampler: true,
                    number: false,
                }],
                ..DataRecord::default()
            };
            words.add(&record);
            attributes.add(&record, 1.0);
        }
        let found = words.words(None, &attributes.attributes(&BTreeMap::new()));
        let angry = found.by_value.iter().find(|terms| terms.value == "angry").unwrap();
        assert_eq!(
            (angry.texts, angry.over[0].term.as_str(), angry.under[0].term.as_str()),
            (50, "ridiculous", "please")
        );
    }
}
