//! BM25: ranks texts by the words they share with a query, in which rare words count more than frequent ones.
//!
//! An inverted index in memory, with the usual constants (Robertson and Zaragoza 2009; idf as in Lucene, which is never
//! negative).

use std::collections::{BTreeSet, HashMap};

use unicode_segmentation::UnicodeSegmentation;

/// How quickly repeated occurrences of a word stop adding to the score.
const K1: f64 = 1.2;
/// How strongly long texts are discounted.
const B: f64 = 0.75;

/// The words of a collection of texts.
#[derive(Debug, Default)]
pub(super) struct Bm25 {
    /// For each word, the texts in which it occurs and the number of occurrences.
    occurrences: HashMap<String, Vec<(u32, u32)>>,
    /// The number of words of each text.
    lengths: Vec<u32>,
    mean_length: f64,
}

impl Bm25 {
    /// Indexes texts; they are identified by their position.
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut index = Self::default();
        for (number, text) in texts.enumerate() {
            let mut counts: HashMap<String, u32> = HashMap::new();
            let mut length = 0;
            for word in words(text) {
                *counts.entry(word).or_default() += 1;
                length += 1;
            }
            for (word, count) in counts {
                index.occurrences.entry(word).or_default().push((number as u32, count));
            }
            index.lengths.push(length);
        }
        let sum: f64 = index.lengths.iter().map(|length| f64::from(*length)).sum();
        index.mean_length = (sum / index.lengths.len().max(1) as f64).max(1.0);
        index
    }

    /// The texts that share a word with the query, the most similar first; ties keep the order of the texts.
    pub(super) fn ranked(&self, query: &str) -> Vec<u32> {
        // Sorted, so that sums of floats are the same in every run.
        let query: BTreeSet<String> = words(query).collect();
        let mut scores: HashMap<u32, f64> = HashMap::new();
        for word in &query {
            let Some(texts) = self.occurrences.get(word) else { continue };
            let (all, with) = (self.lengths.len() as f64, texts.len() as f64);
            let rarity = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
            for (text, count) in texts {
                let (count, length) = (f64::from(*count), f64::from(self.lengths[*text as usize]));
                let saturation = count + K1 * (1.0 - B + B * length / self.mean_length);
                *scores.entry(*text).or_default() += rarity * count * (K1 + 1.0) / saturation;
            }
        }
        let mut ranked: Vec<(u32, f64)> = scores.into_iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked.into_iter().map(|(text, _)| text).collect()
    }
}

/// The words of a text in lower case; scripts without spaces count by character.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.unicode_words().map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(texts: &[&str], query: &str, expected: &[u32]) {
        assert_eq!(Bm25::new(texts.iter().copied()).ranked(query), expected, "{query}");
    }

    #[test]
    fn rare_words_short_texts_and_repeated_words_count_more() {
        check(&["the cat", "the dog", "the bird"], "The DOG!", &[1, 0, 2]);
        check(&["a cat in a very large house with a garden", "a cat"], "cat", &[1, 0]);
        check(&["cat dog", "cat cat"], "cat", &[1, 0]);
        check(&["x", "x"], "x", &[0, 1]);
        check(&["x", ""], "y", &[]);
        check(&[], "x", &[]);
        check(&["緑茶", "紅茶"], "緑", &[0]);
    }

    #[test]
    fn scores_are_those_of_the_formula() {
        // Three texts, one with the word: idf = ln(1 + 2.5 / 1.5) = 0.980829; at the mean length the rest is 1.
        let index = Bm25::new(["a b", "c d", "e f"].into_iter());
        assert!((index.mean_length - 2.0).abs() < f64::EPSILON);
        assert_eq!(index.ranked("c"), [1]);
        // A second word that is rarer outweighs one that two texts share.
        let index = Bm25::new(["a b", "a c", "d e"].into_iter());
        assert_eq!(index.ranked("a d"), [2, 0, 1]);
    }
}
