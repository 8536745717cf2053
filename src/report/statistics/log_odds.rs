//! The log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi, Quinn 2008): which words are significantly
//! more frequent in one corpus than in another.
//!
//! The prior of a word is `a0` times its share of both corpora together, so that a word that is missing in one is judged by
//! its frequency in the other; with a tiny prior such words would be hidden.

use crate::report::findings::{Term, TermList};

/// The weight of the prior in words; reported with every list.
pub(crate) const PRIOR: f64 = 1_000.0;

/// A log-odds ratio and its z-score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LogOdds {
    pub(crate) delta: f64,
    pub(crate) z: f64,
}

/// Compares `y1` of `n1` occurrences with `y2` of `n2`, with a prior of `a` of `a0`.
pub(crate) fn log_odds(y1: f64, n1: f64, y2: f64, n2: f64, a: f64, a0: f64) -> LogOdds {
    let odds = |y: f64, n: f64| ((y + a) / (n + a0 - y - a)).ln();
    let delta = odds(y1, n1) - odds(y2, n2);
    let variance = 1.0 / (y1 + a) + 1.0 / (y2 + a);
    LogOdds { delta, z: delta / variance.sqrt() }
}

/// The counts of a term in both corpora.
#[derive(Debug, Clone)]
pub(crate) struct TermPair {
    pub(crate) term: String,
    pub(crate) here: f64,
    pub(crate) there: f64,
}

/// Compares all terms; returns the `over` most over-represented and `under` most under-represented ones.
pub(crate) fn compare(
    pairs: Vec<TermPair>,
    (n1, n2): (f64, f64),
    (over, under): (usize, usize),
    reading: &str,
) -> TermList {
    let mut terms: Vec<Term> = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let prior = PRIOR * (pair.here + pair.there) / (n1 + n2);
        let odds = log_odds(pair.here, n1, pair.there, n2, prior, PRIOR);
        // The odds of a term that is the whole corpus are undefined.
        if odds.z.is_finite() {
            terms.push(Term {
                term: pair.term,
                count: pair.here.round() as u64,
                count_reference: pair.there.round() as u64,
                expected: if n2 > 0.0 { pair.there / n2 * n1 } else { 0.0 },
                log_odds: odds.delta,
                z: odds.z,
            });
        }
    }
    terms.sort_by(|a, b| b.z.total_cmp(&a.z).then_with(|| a.term.cmp(&b.term)));
    let first_under = terms.iter().rposition(|term| term.z > 0.0).map_or(0, |last| last + 1);
    let mut lowest = terms.split_off(first_under);
    lowest.retain(|term| term.z < 0.0);
    lowest.reverse();
    lowest.truncate(under);
    terms.truncate(over);
    TermList {
        reading: reading.to_owned(),
        total: n1.round() as u64,
        total_reference: n2.round() as u64,
        prior: PRIOR,
        over: terms,
        under: lowest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(here: (f64, f64), there: (f64, f64), prior: (f64, f64), delta: Option<f64>, z: f64) {
        let found = log_odds(here.0, here.1, there.0, there.1, prior.0, prior.1);
        if let Some(delta) = delta {
            assert!((found.delta - delta).abs() < 1e-6, "{found:?}");
        }
        assert!((found.z - z).abs() < 5e-5, "{found:?}");
        let swapped = log_odds(there.0, there.1, here.0, here.1, prior.0, prior.1);
        assert!((swapped.z + found.z).abs() < 1e-12, "swapping the corpora flips the sign");
    }

    #[test]
    fn published_values() {
        check((30.0, 1_000.0), (10.0, 1_000.0), (10.0, 1_000.0), Some(0.703_300), 2.568_087);
        check((5.0, 1_000.0), (0.0, 1_000.0), (0.5, 500.0), Some(2.401_235), 1.625_644);
        check((7.0, 1_000.0), (7.0, 1_000.0), (1.0, 100.0), Some(0.0), 0.0);
        // A tiny prior hides a word that the reference does not have.
        check((50.0, 20_000.0), (0.0, 20_000.0), (0.5, 1_000.0), None, 3.2490);
        check((50.0, 20_000.0), (0.0, 20_000.0), (0.01, 20.0), None, 0.8519);
    }

    #[test]
    fn lists_are_sorted_by_z_from_both_ends() {
        let pair = |term: &str, here: f64, there: f64| TermPair { term: term.into(), here, there };
        let pairs = vec![pair("same", 50.0, 50.0), pair("more", 200.0, 20.0), pair("less", 5.0, 300.0)];
        let list = compare(pairs, (10_000.0, 10_000.0), (5, 5), "");
        let names = |terms: &[Term]| terms.iter().map(|term| term.term.clone()).collect::<Vec<_>>();
        assert_eq!(names(&list.over), ["more"]);
        assert_eq!(names(&list.under), ["less"]);
    }
}
