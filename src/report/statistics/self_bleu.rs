//! Self-BLEU: how similar each text is to the others. The BLEU of each text against all others as references, without
//! itself (which would always score 1), with n up to 3, uniform weights, and smoothing method 1 of Chen and Cherry.

use std::collections::HashMap;

use super::ngrams::hash;

/// The longest n-gram considered.
const LONGEST: usize = 3;

/// Replaces a count of zero matches, so that one missing order does not make the whole score zero.
const SMOOTHING: f64 = 0.1;

/// The two largest counts of an n-gram in a single text, and the text with the largest.
#[derive(Clone, Copy, Default)]
struct TopCounts {
    first: u32,
    holder: usize,
    second: u32,
}

/// Returns the mean over all texts, 0 to 1; `None` for fewer than two texts. Texts are lists of words.
pub(crate) fn self_bleu(texts: &[Vec<String>]) -> Option<f64> {
    if texts.len() < 2 {
        return None;
    }
    let mut most: HashMap<u64, TopCounts> = HashMap::new();
    let counted: Vec<Vec<HashMap<u64, u32>>> = texts.iter().map(|words| counts(words)).collect();
    for (index, orders) in counted.iter().enumerate() {
        for (gram, count) in orders.iter().flatten() {
            let entry = most.entry(*gram).or_default();
            if *count > entry.first {
                *entry = TopCounts { first: *count, holder: index, second: entry.first };
            } else {
                entry.second = entry.second.max(*count);
            }
        }
    }
    let mut lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
    lengths.sort_unstable();
    let mut sum = 0.0;
    for (index, orders) in counted.iter().enumerate() {
        let length = texts[index].len();
        let precision = precision(index, orders, &most);
        sum += precision * brevity(length, closest(&lengths, length));
    }
    Some(sum / texts.len() as f64)
}

/// Returns the n-gram counts of a text by order. The hash of a slice includes its length, and thus the order.
fn counts(words: &[String]) -> Vec<HashMap<u64, u32>> {
    let mut orders = vec![HashMap::new(); LONGEST];
    for (n, order) in orders.iter_mut().enumerate() {
        for gram in words.windows(n + 1) {
            *order.entry(hash(gram)).or_default() += 1;
        }
    }
    orders
}

/// Returns the geometric mean of the clipped precisions, without the orders that the text is too short for.
fn precision(index: usize, orders: &[HashMap<u64, u32>], most: &HashMap<u64, TopCounts>) -> f64 {
    let mut logs = 0.0;
    let mut used = 0;
    for order in orders {
        let total: u32 = order.values().sum();
        if total == 0 {
            continue;
        }
        let mut matched = 0;
        for (gram, count) in order {
            let most = most.get(gram).copied().unwrap_or_default();
            let elsewhere = if most.holder == index { most.second } else { most.first };
            matched += (*count).min(elsewhere);
        }
        let matched = if matched == 0 { SMOOTHING } else { f64::from(matched) };
        logs += (matched / f64::from(total)).ln();
        used += 1;
    }
    if used == 0 { 0.0 } else { (logs / f64::from(used)).exp() }
}

/// Returns the closest length of another text; `lengths` is sorted and includes that of this text once.
fn closest(lengths: &[usize], length: usize) -> usize {
    let at = lengths.partition_point(|other| *other < length);
    let before = at.checked_sub(1).map(|index| lengths[index]);
    match (before, lengths.get(at + 1).copied()) {
        (Some(shorter), Some(longer)) if length - shorter <= longer - length => shorter,
        (_, Some(longer)) => longer,
        (shorter, None) => shorter.unwrap_or(length),
    }
}

fn brevity(length: usize, reference: usize) -> f64 {
    if length >= reference || length == 0 { 1.0 } else { (1.0 - reference as f64 / length as f64).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::statistics::ngrams::words;

    fn check(texts: &[&str], expected: f64) {
        let texts: Vec<Vec<String>> = texts.iter().map(|text| words(text)).collect();
        let found = self_bleu(&texts).unwrap();
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn identical_texts_score_one() {
        check(&["a b c d", "a b c d", "a b c d"], 1.0);
    }

    #[test]
    fn a_text_is_not_its_own_reference() {
        // No word in common: (0.1/3 · 0.1/2 · 0.1/1)^(1/3), not 1.
        check(&["a b c", "d e f"], (0.1_f64.powi(3) / 6.0).cbrt());
    }

    #[test]
    fn half_of_the_words_in_common() {
        // 2/4 words, 1/3 pairs, no triple of 2.
        check(&["a b c d", "a b e f"], (0.5_f64 * (1.0 / 3.0) * (0.1 / 2.0)).cbrt());
    }

    #[test]
    fn one_text_has_no_score() {
        assert_eq!(self_bleu(&[words("a b")]), None);
    }
}
