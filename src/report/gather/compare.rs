//! How one set of findings differs from the first of a report: shares, measures, words.

use crate::report::findings::{Difference, Findings, Measure, ShareChange, Term, TermList};
use crate::report::statistics::shares;
use crate::report::statistics::word_counts::WordCounts;

/// Shares that are listed.
const SHARES: usize = 200;
/// Terms that are listed.
const TERMS: usize = 60;
/// |z| from which a term is listed.
const SURE: f64 = 1.96;

/// `first` is the report's first, `after` the one that is compared with it.
pub(super) fn difference(first: (&Findings, &WordCounts), after: (&Findings, &WordCounts)) -> Difference {
    let [words, _, first_words] = after.1.against(Some(first.1));
    Difference {
        from: first.0.name.clone(),
        shares: changed(first.0, after.0),
        measures: measures(first.0, after.0),
        words: surest(words),
        first_words: surest(first_words),
    }
}

fn changed(first: &Findings, after: &Findings) -> Vec<ShareChange> {
    let mut changes = Vec::new();
    for there in &first.attributes {
        let Some(here) = after.attributes.iter().find(|attribute| attribute.name == there.name) else {
            continue;
        };
        let kept = |attribute: &crate::report::findings::Attribute| attribute.items * (1.0 - lost(attribute));
        let (size_there, size_here) = (kept(there), kept(here));
        let mut values: Vec<&str> =
            there.values.iter().chain(&here.values).map(|value| value.value.as_str()).collect();
        values.sort_unstable();
        values.dedup();
        for value in values {
            let count = |attribute: &crate::report::findings::Attribute| {
                attribute.values.iter().find(|found| found.value == value).map_or(0.0, |found| found.kept)
            };
            let (before, now) = (count(there), count(here));
            if let Some(z) = shares::z_between(now, size_here, before, size_there) {
                changes.push(ShareChange {
                    attribute: there.name.clone(),
                    value: value.to_owned(),
                    before: before / size_there,
                    after: now / size_here,
                    z,
                });
            }
        }
    }
    changes.sort_by(|a, b| b.z.abs().total_cmp(&a.z.abs()));
    changes.truncate(SHARES);
    changes
}

/// The share of an attribute's items that were rejected.
fn lost(attribute: &crate::report::findings::Attribute) -> f64 {
    let drawn: f64 = attribute.values.iter().map(|value| value.drawn).sum();
    let kept: f64 = attribute.values.iter().map(|value| value.kept).sum();
    if drawn > 0.0 { 1.0 - kept / drawn } else { 0.0 }
}

fn measures(first: &Findings, after: &Findings) -> Vec<(Measure, Measure)> {
    let mut pairs = Vec::new();
    for there in &first.variety.measures {
        if let Some(here) = after.variety.measures.iter().find(|measure| measure.key == there.key) {
            pairs.push((there.clone(), here.clone()));
        }
    }
    pairs
}

fn surest(list: TermList) -> Vec<Term> {
    let mut terms: Vec<Term> = list.over.into_iter().chain(list.under).collect();
    terms.retain(|term| term.z.abs() > SURE);
    terms.sort_by(|a, b| b.z.abs().total_cmp(&a.z.abs()));
    terms.truncate(TERMS);
    terms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::statistics::ngrams::words;

    fn counts(text: &str) -> WordCounts {
        let mut counts = WordCounts::default();
        (0..100).for_each(|_| _ = counts.add(&words(text)));
        counts
    }

    #[test]
    fn what_changed_is_listed_surest_first() {
        let first = Findings::sample();
        let mut after = first.clone();
        after.attributes[0].values[0].kept /= 2.0;
        let found = difference((&first, &counts("how do i renew")), (&after, &counts("please may i renew")));
        assert_eq!((found.shares[0].attribute.as_str(), found.shares[0].value.as_str()), ("tone", ""));
        assert!(found.shares[0].z < -10.0 && found.shares[0].after < found.shares[0].before);
        assert_eq!(found.measures.len(), first.variety.measures.len());
        let z = |term: &str| found.words.iter().find(|found| found.term == term).unwrap().z;
        assert!(z("please") > 4.0 && z("how") < -4.0);
        assert!(found.words.iter().all(|term| term.term != "renew"));
    }
}
