//! The built-in reference corpus: frequencies of common English words.
//!
//! `english.txt` was written for synthmill, under its licence: common words, most frequent first. Frequencies are not
//! counted in a corpus but derived from the rank by the Zipf-Mandelbrot law, so that they are right in magnitude, not in
//! detail. Words that are not on the list count as rank 20,000.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The size, in words, of the corpus that the list represents.
pub(crate) const TOTAL: f64 = 1_000_000.0;

/// The rank of words that are not on the list.
const UNLISTED_RANK: usize = 20_000;

static RANKS: LazyLock<HashMap<&'static str, usize>> =
    LazyLock::new(|| include_str!("english.txt").split_whitespace().zip(1..).collect());

/// Returns the frequency of a lower-case word per million words.
pub(crate) fn per_million(word: &str) -> f64 {
    let rank = RANKS.get(word).copied().unwrap_or(UNLISTED_RANK);
    // Mandelbrot's law with the constants that fit English: `the` at 6 %, the tenth word at 1 %.
    250_000.0 / (rank as f64 + 2.7).powf(1.07)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_fall_with_the_rank() {
        assert!((50_000.0..75_000.0).contains(&per_million("the")), "{}", per_million("the"));
        assert!(per_million("of") > per_million("house"));
        assert!(per_million("house") > 100.0);
        assert!(per_million("bisect") < 10.0);
    }

    #[test]
    fn the_list_has_no_word_twice() {
        assert_eq!(RANKS.len(), include_str!("english.txt").split_whitespace().count());
    }
}
