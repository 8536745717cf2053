//! A random sample of records that depends only on the seed and the records, drawn in one pass in bounded memory.
//!
//! Each item is ranked by a hash of seed and key; the items with the lowest ranks are kept, one record each. The sample
//! therefore does not depend on the order of the data, and a larger sample contains a smaller one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::report::findings::{SampleRecord, Turn};
use crate::report::read::DataRecord;
use crate::report::statistics::ngrams::count_words;

/// Characters of a turn that are kept.
const LONGEST_TURN: usize = 8_000;
/// Turns of a record that are kept.
const MAX_TURNS: usize = 60;
/// Attributes of a record that are kept.
const MAX_ATTRIBUTES: usize = 40;
/// Bytes of all texts in a sample; fewer records are kept if their texts are long.
const MAX_BYTES: usize = 24 << 20;

/// The records with the lowest ranks.
#[derive(Debug)]
pub(super) struct Sample {
    size: usize,
    seed: u64,
    records: BTreeMap<(u64, String), SampleRecord>,
    bytes: usize,
    most_bytes: usize,
}

impl Sample {
    pub(super) fn new(size: usize, seed: u64) -> Self {
        Self { size, seed, records: BTreeMap::new(), bytes: 0, most_bytes: MAX_BYTES }
    }

    /// Offers a record; `key` names its item.
    pub(super) fn offer(&mut self, key: &str, record: &DataRecord) {
        let number = number(self.seed, key);
        if self.records.len() >= self.size {
            if self.records.last_key_value().is_none_or(|(last, _)| last.0 <= number) {
                return;
            }
            self.remove_last();
        }
        let record = sample_record(record);
        self.bytes += bytes(&record);
        if let Some(before) = self.records.insert((number, key.to_owned()), record) {
            self.bytes -= bytes(&before);
        }
        while self.bytes > self.most_bytes && self.records.len() > 1 {
            self.remove_last();
            // The sample shrinks for good: later records need a lower rank still, or it would be biased.
            self.size = self.records.len();
        }
    }

    fn remove_last(&mut self) {
        if let Some((_, record)) = self.records.pop_last() {
            self.bytes -= bytes(&record);
        }
    }

    /// Returns the records by rank: any prefix of the list is a random sample too.
    pub(super) fn records(self) -> Vec<SampleRecord> {
        self.records.into_values().collect()
    }
}

/// Returns the rank of a key, which is the same in every run of the program.
pub(super) fn number(seed: u64, key: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(key.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

fn bytes(record: &SampleRecord) -> usize {
    record.turns.iter().map(|turn| turn.text.len()).sum()
}

fn sample_record(record: &DataRecord) -> SampleRecord {
    let turn = |turn: &Turn| Turn { role: turn.role.clone(), text: cut(&turn.text, LONGEST_TURN) };
    let mut attributes: BTreeMap<String, String> = BTreeMap::new();
    for attribute in &record.attributes {
        if attributes.len() >= MAX_ATTRIBUTES && !attributes.contains_key(&attribute.name) {
            continue;
        }
        attributes
            .entry(attribute.name.clone())
            .and_modify(|value| *value = format!("{value}, {}", attribute.value))
            .or_insert_with(|| attribute.value.clone());
    }
    let mut turns: Vec<Turn> = record.turns.iter().take(MAX_TURNS).map(turn).collect();
    if let Some(more) = record.turns.len().checked_sub(MAX_TURNS).filter(|more| *more > 0) {
        turns.push(Turn { role: "…".to_owned(), text: format!("{more} more turns") });
    }
    SampleRecord {
        id: record.id.clone(),
        turns,
        attributes,
        target_words: record.target_words,
        words: count_words(&text(&record.turns)),
        rejected: record.rejected.as_ref().map(|why| format!("{}: {}", why.class, why.message)),
    }
}

/// Returns the text of a record that is measured: all turns except those of the system.
pub(super) fn text(turns: &[Turn]) -> Cow<'_, str> {
    let said = turns.iter().filter(|turn| turn.role != "system");
    let said: Vec<&str> = said.map(|turn| turn.text.as_str()).collect();
    match said[..] {
        [alone] => Cow::Borrowed(alone),
        _ => Cow::Owned(said.join("\n")),
    }
}

/// Truncates a text to `longest` characters, marking a cut with ` …`.
pub(super) fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{} …", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(size: usize, seed: u64, keys: impl Iterator<Item = u32>) -> Vec<String> {
        let mut sample = Sample::new(size, seed);
        for key in keys {
            sample.offer(&key.to_string(), &DataRecord { id: key.to_string(), ..DataRecord::default() });
        }
        sample.records().into_iter().map(|record| record.id).collect()
    }

    #[test]
    fn a_sample_depends_on_seed_and_keys_alone() {
        let sample = drawn(10, 1, 0..1_000);
        assert_eq!(sample, drawn(10, 1, (0..1_000).rev()));
        assert_eq!(sample[..5], drawn(5, 1, 0..1_000));
        assert_ne!(sample, drawn(10, 2, 0..1_000));
        assert_eq!(drawn(10, 1, 0..4).len(), 4);
        assert_eq!(drawn(0, 1, 0..4).len(), 0);
    }

    #[test]
    fn a_sample_is_fair() {
        let low = drawn(1_000, 7, 0..10_000).iter().filter(|id| id.len() < 4).count();
        assert!((60..150).contains(&low), "{low} of the first tenth");
    }

    #[test]
    fn a_sample_of_long_texts_is_smaller_and_still_has_the_lowest_ranks() {
        let mut sample = Sample { most_bytes: 10_000, ..Sample::new(100, 3) };
        for key in 0..50 {
            let turn = Turn { role: "text".into(), text: "x".repeat(1_000) };
            let record = DataRecord { id: key.to_string(), turns: vec![turn], ..DataRecord::default() };
            sample.offer(&key.to_string(), &record);
        }
        let kept: Vec<String> = sample.records().into_iter().map(|record| record.id).collect();
        assert_eq!(kept, drawn(10, 3, 0..50));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("äöü", 2), "äö …");
        assert_eq!(cut("äö", 2), "äö");
    }
}
