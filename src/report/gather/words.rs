//! Counts words over all kept items, in total and by attribute value, and finds those that are overused.

use std::collections::BTreeMap;

use crate::report::findings::{Attribute, ValueTerms, WordComparison};
use crate::report::read::{DataRecord, RecordAttribute};
use crate::report::statistics::ngrams::words_of;
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
    by_attribute: BTreeMap<String, AttributeWords>,
    /// The maximum number of values of all attributes whose words are counted.
    values: usize,
}

/// The words of an attribute's values; `None` if it has too many values.
type AttributeWords = Option<BTreeMap<String, ValueWords>>;

#[derive(Debug, Default)]
struct ValueWords {
    texts: u64,
    counts: TermCounts,
}

impl ItemWordCounter {
    /// Counts the representative record of an item.
    pub(super) fn add(&mut self, record: &DataRecord) {
        let numbers = self.counts.add(words_of(&text(&record.turns)));
        for attribute in record.attributes.iter().filter(|attribute| !attribute.number) {
            let Some(part) = self.value(attribute) else { continue };
            part.texts += 1;
            for number in &numbers {
                if part.counts.len() < WORDS_OF_A_VALUE || part.counts.contains_key(number) {
                    *part.counts.entry(*number).or_default() += 1;
                }
            }
        }
    }

    /// Returns the words of this value; `None` if they are not counted.
    fn value(&mut self, attribute: &RecordAttribute) -> Option<&mut ValueWords> {
        if !self.by_attribute.contains_key(&attribute.name) {
            if self.values >= VALUES || self.by_attribute.len() >= VALUES {
                return None;
            }
            self.by_attribute.insert(attribute.name.clone(), Some(BTreeMap::new()));
        }
        let counted = self.by_attribute.get_mut(&attribute.name)?;
        let values = counted.as_mut()?;
        if !values.contains_key(&attribute.value) {
            if self.values >= VALUES {
                return None;
            }
            if values.len() >= VALUES_OF_ONE {
                if !attribute.by_sampler {
                    self.values -= values.len();
                    *counted = None;
                }
                return None;
            }
            self.values += 1;
            values.insert(attribute.value.clone(), ValueWords::default());
        }
        counted.as_mut()?.get_mut(&attribute.value)
    }

    /// Compares the words with a named reference or the built-in list.
    pub(super) fn words(
        &self,
        reference: Option<(&str, &WordCounts)>,
        attributes: &[Attribute],
    ) -> WordComparison {
        let [words, bigrams, first_words] = self.counts.against(reference.map(|(_, counts)| counts));
        let mut by_value = Vec::new();
        let values = self
            .by_attribute
            .iter()
            .flat_map(|(name, values)| values.iter().flatten().map(move |(value, part)| (name, value, part)));
        for (name, value, part) in values {
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
