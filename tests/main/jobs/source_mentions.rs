//! The shipped patterns for mentions of a source: they match texts that refer to one, and no self-contained text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The sentences of one language.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    leans: Vec<String>,
    stands_alone: Vec<String>,
}

type Lists = BTreeMap<String, Vec<Regex>>;

fn read<T: DeserializeOwned>(path: &str) -> T {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The shipped lists, by language, as a pipeline matches them: without regard to case.
fn lists() -> Lists {
    let written: BTreeMap<String, Vec<String>> = read("config/source_mentions.yaml");
    let compile =
        |pattern: &String| RegexBuilder::new(pattern).case_insensitive(true).build().expect(pattern);
    written.iter().map(|(language, list)| (language.clone(), list.iter().map(compile).collect())).collect()
}

fn cases(language: &str) -> Cases {
    read(&format!("tests/cases/source_mentions/{language}.yaml"))
}

/// The patterns of any language that find `text`.
fn hits<'a>(lists: &'a Lists, text: &str) -> Vec<&'a str> {
    lists.values().flatten().filter(|pattern| pattern.is_match(text)).map(Regex::as_str).collect()
}

#[test]
fn every_language_matches_its_examples_of_source_mentions() {
    let mut missed = Vec::new();
    for (language, patterns) in lists() {
        for text in cases(&language).leans {
            if !patterns.iter().any(|pattern| pattern.is_match(&text)) {
                missed.push(format!("{language}: {text}"));
            }
        }
    }
    assert!(missed.is_empty(), "no pattern finds:\n{}", missed.join("\n"));
}

#[test]
fn no_language_matches_a_self_contained_question() {
    let lists = lists();
    let mut alarms = Vec::new();
    for language in lists.keys() {
        for text in cases(language).stands_alone {
            for pattern in hits(&lists, &text) {
                alarms.push(format!("{language}: {text}\n    {pattern}"));
            }
        }
    }
    assert!(alarms.is_empty(), "found although it stands alone:\n{}", alarms.join("\n"));
}

#[test]
fn every_pattern_matches_an_example_of_its_language() {
    let mut idle = Vec::new();
    for (language, patterns) in lists() {
        let leans = cases(&language).leans;
        for pattern in patterns {
            if pattern.is_match("") || pattern.is_match(" ") {
                idle.push(format!("{language}: matches the empty text: {pattern}"));
            }
            // With letters beyond ASCII in a text this one makes the search leave its fast way.
            if pattern.as_str().replace(r"(?-u:\b)", "").contains(r"\b") {
                idle.push(format!("{language}: holds \\b by itself: {pattern}"));
            }
            if !leans.iter().any(|text| pattern.is_match(text)) {
                idle.push(format!("{language}: finds no example: {pattern}"));
            }
        }
    }
    assert!(idle.is_empty(), "{}", idle.join("\n"));
}

#[test]
fn each_shipped_language_has_a_list_and_sentences_enough() {
    let lists = lists();
    assert_eq!(lists.keys().collect::<Vec<_>>(), ["de", "en", "es", "fr", "ja"]);
    for (language, patterns) in &lists {
        let least = if language == "en" { 40 } else { 15 };
        let Cases { leans, stands_alone } = cases(language);
        assert!(leans.len() >= least && stands_alone.len() >= least, "{language}");
        assert!((10..=60).contains(&patterns.len()), "{language}: {} patterns", patterns.len());
    }
}
