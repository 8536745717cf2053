//! Words of a text, and measures of their diversity: distinct-n and entropy.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use unicode_segmentation::UnicodeSegmentation;

/// Bytes of a word that are considered; longer strings are not words and are cut.
const LONGEST_WORD: usize = 120;

/// Returns the Unicode words of a text in lower case, without punctuation; scripts without spaces count by character.
pub(crate) fn words(text: &str) -> Vec<String> {
    words_of(text).map(Cow::into_owned).collect()
}

/// Iterates over the same words; copies only those that change.
pub(crate) fn words_of(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.unicode_words().map(|word| {
        let word = &word[..word.floor_char_boundary(LONGEST_WORD)];
        let is_lower = word.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        if is_lower { Cow::Borrowed(word) } else { Cow::Owned(word.to_lowercase()) }
    })
}

/// Returns the number of words of a text.
pub(crate) fn count_words(text: &str) -> u64 {
    text.unicode_words().count() as u64
}

/// Returns distinct over all n-grams of the texts; n-grams do not cross the end of a text. `None` without any.
pub(crate) fn distinct(texts: &[Vec<String>], n: usize) -> Option<f64> {
    let mut seen: HashSet<u64> = HashSet::new();
    let mut total = 0_u64;
    for words in texts {
        for gram in words.windows(n) {
            total += 1;
            seen.insert(hash(gram));
        }
    }
    (total > 0).then(|| seen.len() as f64 / total as f64)
}

/// Returns the Shannon entropy of counts in bits.
pub(crate) fn entropy(counts: impl Iterator<Item = f64> + Clone) -> f64 {
    let total: f64 = counts.clone().sum();
    let mut bits = 0.0;
    for count in counts.filter(|count| *count > 0.0) {
        let share = count / total;
        bits -= share * share.log2();
    }
    bits
}

/// Returns the entropy over its maximum, the entropy of as many equally frequent words.
pub(crate) fn entropy_normalised(counts: &[f64]) -> Option<f64> {
    super::shares::evenness(counts)
}

/// Returns a hash that is the same in every run of the program.
pub(crate) fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<Vec<String>> {
        texts.iter().map(|text| words(text)).collect()
    }

    #[test]
    fn words_are_lower_case_and_without_punctuation() {
        assert_eq!(words("How, can't I \"renew\"?"), ["how", "can't", "i", "renew"]);
        assert_eq!(count_words("緑茶 です"), 4);
        assert_eq!(words(&"ä".repeat(1_000)), ["ä".repeat(60)]);
    }

    #[test]
    fn distinct_shares() {
        assert_eq!(distinct(&texts(&["a b a b"]), 1), Some(0.5));
        assert_eq!(distinct(&texts(&["a b a b"]), 2), Some(2.0 / 3.0));
        assert_eq!(distinct(&texts(&["a", "b"]), 2), None);
    }

    #[test]
    fn entropy_is_compared_with_its_own_maximum() {
        let even = |n: usize| vec![1.0; n];
        assert_eq!((entropy(even(10).into_iter()) * 1e6).round(), 3_321_928.0);
        assert!((entropy(even(131).into_iter()) - 7.033_423).abs() < 1e-6);
        assert!((entropy_normalised(&even(131)).unwrap() - 1.0).abs() < 1e-12);
        assert!(entropy_normalised(&[9.0, 1.0]).unwrap() < 0.5);
        assert_eq!(entropy_normalised(&[4.0]), None);
    }
}
