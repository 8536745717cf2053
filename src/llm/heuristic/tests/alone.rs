//! Over the shipped documents, which are in five languages: what every pair quotes stands in its section.

use super::*;
use crate::markdown::{Outline, Syntax, facts, front_matter, sections};

/// A section of a shipped document with the one that stands in as its companion.
struct Case {
    file: String,
    document: String,
    section: Value,
    companion: Value,
}

/// Every section of the shipped documents, as the section stage makes them.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/markdown_docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let front_matter = front_matter::split(&text);
        let text = front_matter.rest;
        let outline = Outline::of(text, Syntax::Markdown);
        let document = outline.headings[0].title.clone();
        let mut found: Vec<Value> = Vec::new();
        for cut in sections::split(text, &outline, &document) {
            let body = sections::trim_blank_lines(&text[cut.body.clone()]);
            if !body.is_empty() {
                found.push(json!({
                    "key": format!("{file}#{}", found.len() + 1), "title": cut.title, "level": cut.level,
                    "heading_path": cut.path.join(" > "), "text": body,
                    "facts": facts::of(text, &outline, &cut.body),
                }));
            }
        }
        for (index, section) in found.iter().enumerate() {
            let companion = found[(index + 1) % found.len()].clone();
            let (file, document) = (file.clone(), document.clone());
            cases.push(Case { file, document, section: section.clone(), companion });
        }
    }
    assert!(cases.len() > 60, "{} sections", cases.len());
    cases
}

/// Every pair of a case: each fact's, and three variants of every other type.
fn pairs_of(case: &Case) -> Vec<(&'static str, draft::Pair)> {
    let mut pairs = Vec::new();
    for kind in KINDS {
        let two = ["MULTI_HOP_REASONING", "COMPARATIVE_ANALYSIS"].contains(&kind);
        let facts = case.section["facts"].as_array().map_or(0, Vec::len);
        let count = if kind == "FACT_BASED" { facts } else { 3 };
        for number in 0..count {
            let fact = (kind == "FACT_BASED").then_some(number);
            let mut record = record(kind, &case.section, two.then_some(&case.companion), fact);
            record.set("document", json!({"title": case.document}));
            record.set("variant", number + 1);
            pairs.push((kind, question::pair(&record).unwrap()));
        }
    }
    pairs
}

/// As the check of evidence compares: white space as one space, without case.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[test]
fn evidence_stands_in_the_sections() {
    for case in cases() {
        let one = folded(case.section["text"].as_str().unwrap());
        let two = folded(case.companion["text"].as_str().unwrap());
        for (kind, pair) in pairs_of(&case) {
            let quotes = &pair.evidence;
            assert!((1..=3).contains(&quotes.len()), "{} {kind}: {pair:?}", case.file);
            for quote in quotes {
                let held = one.contains(&folded(quote))
                    || two.contains(&folded(quote))
                        && ["MULTI_HOP_REASONING", "COMPARATIVE_ANALYSIS"].contains(&kind);
                assert!(held && quote.chars().count() <= 200, "{} {kind}: `{quote}`", case.file);
                let says = quote.chars().filter(|c| c.is_alphanumeric()).nth(3).is_some();
                assert!(says, "{} {kind}: `{quote}`", case.file);
            }
        }
    }
}
