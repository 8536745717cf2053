//! Counts words, adjacent pairs and first words over any number of texts in bounded memory, and compares two sets of counts.
//!
//! Words that appear after `VOCABULARY` others count in the total only; pairs that occurred once are discarded when there
//! are too many. Both affect only rare terms, which no list would show.

use std::collections::HashMap;

use rustc_hash::FxHashMap;

use super::english;
use super::log_odds::{TermPair, compare};
use crate::report::findings::{FirstWord, Proportion, Term, TermList};

const VOCABULARY: usize = 200_000;
const BIGRAMS: usize = 1_000_000;

/// Counts by index of the word in the vocabulary.
pub(crate) type TermCounts = FxHashMap<u32, u32>;

/// The word counts of a corpus.
#[derive(Debug, Default)]
pub(crate) struct WordCounts {
    numbers: HashMap<Box<str>, u32>,
    counts: Vec<u64>,
    total: u64,
    bigrams: FxHashMap<u64, u32>,
    bigram_total: u64,
    first: FxHashMap<u32, u64>,
    texts: u64,
}

impl WordCounts {
    /// Counts a text given as words; returns their indexes in the vocabulary, for counts of parts of the corpus.
    pub(crate) fn add(&mut self, words: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<u32> {
        let numbers: Vec<Option<u32>> = words.into_iter().map(|word| self.number(word.as_ref())).collect();
        self.total += numbers.len() as u64;
        for number in numbers.iter().flatten() {
            self.counts[*number as usize] += 1;
        }
        for pair in numbers.windows(2) {
            self.bigram_total += 1;
            if let [Some(a), Some(b)] = pair {
                *self.bigrams.entry(u64::from(*a) << 32 | u64::from(*b)).or_default() += 1;
            }
        }
        if self.bigrams.len() > BIGRAMS {
            self.bigrams.retain(|_, count| *count > 1);
        }
        if let Some(first) = numbers.first() {
            self.texts += 1;
            if let Some(first) = first {
                *self.first.entry(*first).or_default() += 1;
            }
        }
        numbers.into_iter().flatten().collect()
    }

    fn number(&mut self, word: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(word) {
            return Some(*number);
        }
        if self.numbers.len() >= VOCABULARY {
            return None;
        }
        let number = self.counts.len() as u32;
        self.numbers.insert(word.into(), number);
        self.counts.push(0);
        Some(number)
    }

    /// Returns the number of texts with at least one word.
    pub(crate) fn texts(&self) -> u64 {
        self.texts
    }

    /// Returns the count of each word.
    pub(crate) fn frequencies(&self) -> Vec<f64> {
        self.counts.iter().map(|count| *count as f64).collect()
    }

    fn names(&self) -> Vec<&str> {
        let mut names = vec![""; self.counts.len()];
        for (word, number) in &self.numbers {
            names[*number as usize] = word;
        }
        names
    }

    fn words(&self) -> TermFrequencies {
        let words =
            self.numbers.iter().map(|(word, at)| (word.to_string(), self.counts[*at as usize] as f64));
        TermFrequencies { counts: words.collect(), total: self.total as f64 }
    }

    fn bigrams(&self) -> TermFrequencies {
        let names = self.names();
        let name = |pair: u64| format!("{} {}", names[(pair >> 32) as usize], names[pair as u32 as usize]);
        let seen = self.bigrams.iter().filter(|(_, count)| **count > 1);
        let counts = seen.map(|(pair, count)| (name(*pair), f64::from(*count)));
        TermFrequencies { counts: counts.collect(), total: self.bigram_total as f64 }
    }

    fn first_words(&self) -> TermFrequencies {
        let names = self.names();
        let counts = self.first.iter().map(|(at, count)| (names[*at as usize].to_owned(), *count as f64));
        TermFrequencies { counts: counts.collect(), total: self.texts as f64 }
    }

    /// Returns the words that most texts begin with, most frequent first.
    pub(crate) fn openings(&self, most: usize) -> Vec<FirstWord> {
        let names = self.names();
        let mut counts: Vec<(&str, u64)> =
            self.first.iter().map(|(at, count)| (names[*at as usize], *count)).collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let mut so_far = Proportion { count: 0, of: self.texts };
        let opening = |(word, texts): (&str, u64)| {
            so_far.count += texts;
            FirstWord { word: word.to_owned(), texts, so_far }
        };
        counts.into_iter().take(most).map(opening).collect()
    }

    /// Compares words, pairs and first words with a reference, or with general English for `None`.
    pub(crate) fn against(&self, reference: Option<&Self>) -> [TermList; 3] {
        let size = (50, 25);
        let Some(reference) = reference else {
            let pair = |term: &str| {
                let (first, second) = term.split_once(' ').unwrap_or((term, ""));
                english::per_million(first) * english::per_million(second) / english::TOTAL
            };
            return [
                self.words().against_law(english::per_million, size, WORDS_BUILT_IN),
                self.bigrams().against_law(pair, size, BIGRAMS_BUILT_IN),
                self.first_words().against_law(english::per_million, size, FIRST_BUILT_IN),
            ];
        };
        [
            self.words().against(&reference.words(), size, READING),
            self.bigrams().against(&reference.bigrams(), size, READING),
            self.first_words().against(&reference.first_words(), size, READING),
        ]
    }

    /// Returns the terms that are more and less frequent in a part of the corpus than in the rest, with |z| > 1.96.
    pub(crate) fn part(&self, part: &TermCounts) -> (Vec<Term>, Vec<Term>) {
        let names = self.names();
        let total: f64 = part.values().map(|count| f64::from(*count)).sum();
        let pairs = names.iter().zip(&self.counts).zip(0_u32..).filter(|((_, count), _)| **count > 4);
        let pairs = pairs.map(|((name, count), number)| {
            let here = f64::from(part.get(&number).copied().unwrap_or(0));
            TermPair { term: (*name).to_owned(), here, there: *count as f64 - here }
        });
        let mut list = compare(pairs.collect(), (total, self.total as f64 - total), (12, 6), "");
        list.over.retain(|term| term.z > 1.96);
        list.under.retain(|term| term.z < -1.96);
        (list.over, list.under)
    }
}

const READING: &str = "A term with a z above 4 is said more often than in the reference by far more than chance; \
the log-odds ratio says how much more often (0.7 is twice).";
const WORDS_BUILT_IN: &str = "A word with a z above 4 is said far more often than in general English. The built-in \
list has some thousand common words, others count as rare: words of your subject stand here by right, filler does not.";
const BIGRAMS_BUILT_IN: &str = "Pairs of words against what chance would make of general English: phrases stand out, \
and those that the model repeats stand out most.";
const FIRST_BUILT_IN: &str = "First words against the same words anywhere in general English: questions begin with \
question words, but a few openings that fill the list mean that the texts are cast in one mould.";

/// Terms with their counts.
struct TermFrequencies {
    counts: HashMap<String, f64>,
    total: f64,
}

impl TermFrequencies {
    fn against(mut self, reference: &Self, size: (usize, usize), reading: &str) -> TermList {
        let mut pairs = Vec::new();
        for (term, there) in &reference.counts {
            let here = self.counts.remove(term).unwrap_or(0.0);
            pairs.push(TermPair { term: term.clone(), here, there: *there });
        }
        for (term, here) in self.counts {
            pairs.push(TermPair { term, here, there: 0.0 });
        }
        compare(pairs, (self.total, reference.total), size, reading)
    }

    /// Compares with known rates per million, as if counted in a corpus so large that chance plays no part in it. Terms with
    /// fewer than five occurrences here are never listed as more frequent.
    fn against_law(self, law: impl Fn(&str) -> f64, size: (usize, usize), reading: &str) -> TermList {
        let mut pairs = Vec::new();
        for (term, here) in self.counts {
            let there = law(&term) * CERTAINTY;
            if here >= 5.0 || here < there / CERTAINTY * self.total / english::TOTAL {
                pairs.push(TermPair { term, here, there });
            }
        }
        let mut list = compare(pairs, (self.total, english::TOTAL * CERTAINTY), size, reading);
        list.total_reference = english::TOTAL as u64;
        for term in list.over.iter_mut().chain(&mut list.under) {
            term.count_reference = (term.count_reference as f64 / CERTAINTY).round() as u64;
        }
        list
    }
}

/// The assumed size of the corpus of known rates, in millions of words.
const CERTAINTY: f64 = 1_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::statistics::ngrams::words;

    fn counts(text: &str, times: usize) -> WordCounts {
        let mut counts = WordCounts::default();
        for _ in 0..times {
            counts.add(words(text));
        }
        counts
    }

    #[test]
    fn swapping_the_corpora_flips_the_sign() {
        let a = counts("how do i renew a card", 100);
        let b = counts("where is a museum with a garden", 100);
        let [words, bigrams, first] = a.against(Some(&b));
        let [swapped, ..] = b.against(Some(&a));
        assert_eq!(first.over[0].term, "how");
        assert!(bigrams.over.iter().any(|term| term.term == "renew a" && term.count == 100));
        let z = |terms: &[Term], word: &str| terms.iter().find(|term| term.term == word).unwrap().z;
        assert!((z(&words.over, "renew") + z(&swapped.under, "renew")).abs() < 1e-9);
    }

    #[test]
    fn openings_have_cumulative_counts() {
        let mut all = counts("how do i renew", 6);
        all.add(words("where is it"));
        all.add(words(""));
        let shown: Vec<_> = all
            .openings(5)
            .into_iter()
            .map(|opening| (opening.word, opening.texts, opening.so_far.count))
            .collect();
        assert_eq!(shown, [("how".to_owned(), 6, 6), ("where".to_owned(), 1, 7)]);
        assert_eq!(all.openings(1)[0].so_far, Proportion { count: 6, of: 7 });
    }

    #[test]
    fn words_of_the_subject_are_overrepresented_against_english() {
        let [words, ..] =
            counts("the renewal of a library card and where to find it in the town", 200).against(None);
        let rank = |word: &str| words.over.iter().position(|term| term.term == word);
        assert!(rank("renewal") < rank("where") && rank("library") < rank("town"), "{:?}", words.over);
        assert!(rank("renewal").is_some());
    }

    #[test]
    fn a_part_is_compared_with_the_rest() {
        let mut all = WordCounts::default();
        let mut angry = TermCounts::default();
        for n in 0..200 {
            let text =
                if n % 4 == 0 { "this is ridiculous where is my card" } else { "please where is my card" };
            let numbers = all.add(words(text));
            if n % 4 == 0 {
                numbers.into_iter().for_each(|number| *angry.entry(number).or_default() += 1);
            }
        }
        let (over, under) = all.part(&angry);
        assert!(over.iter().any(|term| term.term == "ridiculous"), "{over:?}");
        assert_eq!(under[0].term, "please");
    }
}
