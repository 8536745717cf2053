//! Languages of the sampled texts: detected against requested.

use std::collections::HashMap;

use crate::language::{self, LanguageDetector};
use crate::report::findings::{LanguageCell, Languages, Proportion, SampleRecord};

use super::sample::text;

/// Returns `None` if no language can be detected.
pub(super) fn languages(sample: &[SampleRecord], sampled: bool) -> Option<Languages> {
    let mut cells: HashMap<(Option<String>, &'static str), LanguageCell> = HashMap::new();
    let wishes = sample.iter().filter_map(|record| language::from_name(&wish(record)?));
    let detector = LanguageDetector::new(wishes);
    let (mut unsure, mut asked, mut met) = (0, 0_u64, 0_u64);
    for record in sample {
        let Some(found) = detector.detect(&text(&record.turns)) else {
            unsure += 1;
            continue;
        };
        let wish = wish(record);
        let wanted = wish.as_deref().and_then(language::from_name);
        let matches = wanted.map(|wanted| wanted == found);
        asked += u64::from(matches.is_some());
        met += u64::from(matches == Some(true));
        let cell = cells.entry((wish.clone(), found.eng_name())).or_insert_with(|| LanguageCell {
            asked: wish,
            found: found.eng_name().to_owned(),
            count: 0,
            matches,
        });
        cell.count += 1;
    }
    if cells.is_empty() {
        return None;
    }
    let mut cells: Vec<LanguageCell> = cells.into_values().collect();
    cells.sort_by(|a, b| (b.count, &a.asked, &a.found).cmp(&(a.count, &b.asked, &b.found)));
    Some(Languages {
        texts: sample.len() as u64,
        sampled,
        unsure,
        as_asked: (asked > 0).then_some(Proportion { count: met, of: asked }),
        cells,
    })
}

/// Returns a warning if the built-in word list, which is English, is not a fair reference.
pub(super) fn note(languages: &Languages) -> Option<String> {
    let told: u64 = languages.cells.iter().map(|cell| cell.count).sum();
    let english: u64 =
        languages.cells.iter().filter(|cell| cell.found == "English").map(|cell| cell.count).sum();
    let others = Proportion { count: told - english, of: told };
    (others.share() > SHARE_OF_OTHERS).then(|| {
        format!(
            "of {told} texts whose language can be told, {} are not in English, but words are compared with an English list: \
             everyday words of other languages stand out; `--against` takes a reference of your own",
            others.count
        )
    })
}

/// The share of texts in other languages above which the English word list is misleading.
const SHARE_OF_OTHERS: f64 = 0.05;

/// Returns the value of the attribute whose name contains `language`, unless it is blank.
fn wish(record: &SampleRecord) -> Option<String> {
    let named = record.attributes.iter().find(|(name, _)| name.to_lowercase().contains("language"));
    named.map(|(_, value)| value.clone()).filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::findings::Turn;

    const ENGLISH: &str = "How can I renew my library card when it has expired during the summer holidays?";
    const GERMAN: &str =
        "Wie kann ich meinen Bibliotheksausweis verlängern, wenn er in den Ferien abgelaufen ist?";

    fn record(language: &str, text: &str) -> SampleRecord {
        SampleRecord {
            id: String::new(),
            turns: vec![Turn { role: "text".into(), text: text.into() }],
            attributes: [("language".to_owned(), language.to_owned())].into(),
            target_words: None,
            words: 0,
            rejected: None,
        }
    }

    #[test]
    fn detected_languages_are_compared_with_requested_ones() {
        let sample = [
            record("English", ENGLISH),
            record("en", ENGLISH),
            record("English", GERMAN),
            record("Klingon", ENGLISH),
            record("", GERMAN),
            record("English", "?"),
        ];
        let found = languages(&sample, false).unwrap();
        assert_eq!((found.texts, found.unsure, found.as_asked), (6, 1, Some(Proportion { count: 2, of: 3 })));
        assert_eq!(found.cells.iter().map(|cell| cell.count).sum::<u64>(), 5);
        let unknown = found.cells.iter().find(|cell| cell.asked.as_deref() == Some("Klingon")).unwrap();
        assert_eq!(unknown.matches, None);
        assert!(note(&found).unwrap().starts_with("of 5 texts whose language can be told, 2 are not"));
        assert_eq!(languages(&[record("en", "?")], false), None);
    }
}
