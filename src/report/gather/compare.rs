//! Compares a set of findings with the first of a report: settings, shares, measures, words.

use std::collections::BTreeMap;

use crate::report::findings::{
    Attribute, Configuration, Difference, Findings, MeanEstimate, Measure, MeasureChange, MoreVaried,
    SettingChange, ShareChange, Term, TermList, Variety,
};
use crate::report::statistics::duplicates::DistinctTexts;
use crate::report::statistics::shares;
use crate::report::statistics::word_counts::WordCounts;

use super::ComparisonData;
use super::variety::{TextSample, variety};

/// Shares that are listed.
const SHARES: usize = 200;
/// Terms that are listed.
const TERMS: usize = 60;
/// Terms with a larger |z| are listed.
const SURE: f64 = 1.96;
/// Settings that are listed.
const SETTINGS: usize = 300;
/// Parts on which measures are taken, to estimate their standard error.
const PARTS: usize = 5;
/// The minimum and maximum number of texts in a part.
const MIN_TEXTS: usize = 10;
const MAX_TEXTS: usize = 200;
/// The 97.5 % quantile of Student's t with eight degrees of freedom, for two samples of five values.
const T: f64 = 2.306;

/// Compares `after` with `first`, the first findings of the report.
pub(super) fn difference(
    first: (&Findings, &ComparisonData),
    after: (&Findings, &ComparisonData),
) -> Difference {
    let [words, _, first_words] = after.1.words.against(Some(&first.1.words));
    Difference {
        from: first.0.name.clone(),
        settings_known: first.0.configuration.is_some() && after.0.configuration.is_some(),
        settings: settings(first.0.configuration.as_ref(), after.0.configuration.as_ref()),
        shares: changed(first.0, after.0),
        measures: measures(first.1, after.1),
        words: surest(words),
        first_words: surest(first_words),
    }
}

/// Returns the settings whose values differ between two runs.
pub(super) fn settings(first: Option<&Configuration>, after: Option<&Configuration>) -> Vec<SettingChange> {
    let (Some(first), Some(after)) = (first, after) else { return Vec::new() };
    let mut both: BTreeMap<&String, [Option<&String>; 2]> = BTreeMap::new();
    for (place, settings) in [&first.settings, &after.settings].into_iter().enumerate() {
        settings.iter().for_each(|(path, value)| both.entry(path).or_default()[place] = Some(value));
    }
    let differing = both.into_iter().filter(|(_, [before, after])| before != after);
    let changes = differing.map(|(setting, [before, after])| SettingChange {
        setting: setting.clone(),
        before: before.cloned(),
        after: after.cloned(),
    });
    changes.take(SETTINGS).collect()
}

fn changed(first: &Findings, after: &Findings) -> Vec<ShareChange> {
    let mut changes = Vec::new();
    for there in &first.attributes {
        let Some(here) = after.attributes.iter().find(|attribute| attribute.name == there.name) else {
            continue;
        };
        let kept = |attribute: &Attribute| attribute.items * (1.0 - lost(attribute));
        let (size_there, size_here) = (kept(there), kept(here));
        let mut values: Vec<&str> =
            there.values.iter().chain(&here.values).map(|value| value.value.as_str()).collect();
        values.sort_unstable();
        values.dedup();
        for value in values {
            let count = |attribute: &Attribute| {
                attribute.values.iter().find(|found| found.value == value).map_or(0.0, |found| found.kept)
            };
            let (before, now) = (count(there), count(here));
            if let Some(z) = shares::two_sample_z(now, size_here, before, size_there) {
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

/// Returns the share of an attribute's items that were not kept.
fn lost(attribute: &Attribute) -> f64 {
    let drawn: f64 = attribute.values.iter().map(|value| value.drawn).sum();
    let kept: f64 = attribute.values.iter().map(|value| value.kept).sum();
    if drawn > 0.0 { 1.0 - kept / drawn } else { 0.0 }
}

/// Compares measures on parts of equal size, since most depend on the number of texts and all on their choice.
fn measures(first: &ComparisonData, after: &ComparisonData) -> Vec<MeasureChange> {
    let size = (first.texts.len().min(after.texts.len()) / PARTS).min(MAX_TEXTS);
    if size < MIN_TEXTS {
        return Vec::new();
    }
    let of_parts =
        |measured: &ComparisonData| (0..PARTS).map(|part| of_part(measured, part, size)).collect::<Vec<_>>();
    let (before, after) = (of_parts(first), of_parts(after));
    before[0].measures.iter().filter_map(|measure| change(measure, size, &before, &after)).collect()
}

fn of_part(measured: &ComparisonData, part: usize, size: usize) -> Variety {
    let range = part * size..(part + 1) * size;
    let (mut all, mut distinct) = (WordCounts::default(), DistinctTexts::default());
    for (text, words) in measured.texts[range.clone()].iter().zip(&measured.tokens[range.clone()]) {
        all.add(words);
        distinct.add(text);
    }
    variety(&TextSample {
        all: &all,
        distinct: &distinct,
        texts: &measured.texts[range.clone()],
        words: &measured.tokens[range.clone()],
        vectors: measured.vectors.get(range).unwrap_or_default(),
        similarity: &measured.similarity,
        sampled: true,
    })
}

fn change(measure: &Measure, size: usize, before: &[Variety], after: &[Variety]) -> Option<MeasureChange> {
    let (before, after) = (spread(&measure.key, before)?, spread(&measure.key, after)?);
    let step = after.mean - before.mean;
    let half = T * before.error.hypot(after.error);
    let change = (step - half, step + half);
    let is_sure = change.0 > 1e-9 || change.1 < -1e-9;
    let higher = matches!(measure.more_varied, crate::report::findings::Direction::Higher);
    let verdict = match is_sure {
        false => MoreVaried::Neither,
        true if (step > 0.0) == higher => MoreVaried::After,
        true => MoreVaried::Before,
    };
    Some(MeasureChange {
        key: measure.key.clone(),
        name: measure.name.clone(),
        share: measure.share,
        more_varied: measure.more_varied,
        texts: size as u64,
        before,
        after,
        change,
        verdict,
    })
}

/// Estimates the mean of a measure over the parts; `None` if a part lacks it.
fn spread(key: &str, parts: &[Variety]) -> Option<MeanEstimate> {
    let value = |variety: &Variety| {
        variety.measures.iter().find(|measure| measure.key == key).map(|found| found.value)
    };
    let values = parts.iter().map(value).collect::<Option<Vec<f64>>>()?;
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some(MeanEstimate { mean, error: (squares / (count - 1.0) / count).sqrt() })
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
    use crate::report::statistics::{ngrams::words, vectors::tf_idf};

    fn measured(texts: Vec<String>) -> ComparisonData {
        let tokens: Vec<Vec<String>> = texts.iter().map(|text| words(text)).collect();
        let mut counts = WordCounts::default();
        tokens.iter().for_each(|words| _ = counts.add(words));
        let vectors = tf_idf(&tokens);
        ComparisonData { words: counts, texts, tokens, vectors, similarity: "words".to_owned() }
    }

    fn repeated(text: &str) -> ComparisonData {
        measured((0..100).map(|_| text.to_owned()).collect())
    }

    #[test]
    fn changes_are_listed_by_significance() {
        let first = Findings::sample();
        let mut after = first.clone();
        after.attributes[0].values[0].kept /= 2.0;
        let (here, there) = (repeated("how do i renew"), repeated("please may i renew"));
        let found = difference((&first, &here), (&after, &there));
        assert_eq!((found.shares[0].attribute.as_str(), found.shares[0].value.as_str()), ("tone", ""));
        assert!(found.shares[0].z < -10.0 && found.shares[0].after < found.shares[0].before);
        let z = |term: &str| found.words.iter().find(|found| found.term == term).unwrap().z;
        assert!(z("please") > 4.0 && z("how") < -4.0);
        assert!(found.words.iter().all(|term| term.term != "renew"));
        assert_eq!(found.settings, []);
    }

    #[test]
    fn only_a_significant_difference_is_called_more_varied() {
        let of = |count: usize, step: usize| {
            let text =
                |n: usize| format!("word{} word{} word{} again", n * step % 97, n * step % 89, n * step % 83);
            measured((0..count).map(text).collect())
        };
        let verdict = |first: &ComparisonData, after: &ComparisonData, key: &str| {
            let measures = measures(first, after);
            measures.iter().find(|measure| measure.key == key).unwrap().verdict
        };
        // The same kind of text in other numbers, which alone would change every measure.
        let (few, many) = (of(300, 7), of(900, 11));
        assert_eq!(verdict(&few, &many, "exact_duplicates"), MoreVaried::Neither);
        assert_eq!(verdict(&few, &few, "distinct_1"), MoreVaried::Neither);
        let same = repeated("word1 word2 word3 again");
        assert_eq!(verdict(&same, &few, "distinct_1"), MoreVaried::After);
        assert_eq!(verdict(&few, &same, "vendi_share"), MoreVaried::Before);
        assert!(measures(&of(40, 7), &many).is_empty(), "too few texts");
    }

    #[test]
    fn settings_that_differ_are_named_with_both_values() {
        let configuration = |pairs: &[(&str, &str)]| Configuration {
            pipeline: String::new(),
            settings: pairs.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect(),
        };
        let first = configuration(&[("seed", "1"), ("same", "x"), ("models.m.model", "a")]);
        let after = configuration(&[("seed", "2"), ("same", "x"), ("stages.judge.model", "m")]);
        let found = settings(Some(&first), Some(&after));
        let shown: Vec<_> = found
            .iter()
            .map(|change| (change.setting.as_str(), change.before.as_deref(), change.after.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                ("models.m.model", Some("a"), None),
                ("seed", Some("1"), Some("2")),
                ("stages.judge.model", None, Some("m"))
            ]
        );
        assert_eq!(settings(Some(&first), None), []);
    }
}
