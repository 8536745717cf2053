//! Over the shipped documents, which are in five languages: every pair stands alone, and what it quotes as
//! evidence stands in its section.

use std::sync::LazyLock;

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

type Pairs = Vec<(&'static str, draft::Pair)>;

static PAIRS: LazyLock<Vec<(Case, Pairs)>> = LazyLock::new(|| {
    cases()
        .into_iter()
        .map(|case| {
            let pairs = pairs_of(&case);
            (case, pairs)
        })
        .collect()
});

/// Every pair of a case: each fact's, and two variants of every other type.
fn pairs_of(case: &Case) -> Pairs {
    let mut pairs = Vec::new();
    for kind in KINDS {
        let two = ["MULTI_HOP_REASONING", "COMPARATIVE_ANALYSIS"].contains(&kind);
        let facts = case.section["facts"].as_array().map_or(0, Vec::len);
        let count = if kind == "FACT_BASED" { facts } else { 2 };
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
    for (case, pairs) in &*PAIRS {
        let one = folded(case.section["text"].as_str().unwrap());
        let two = folded(case.companion["text"].as_str().unwrap());
        for (kind, pair) in pairs {
            let quotes = &pair.evidence;
            assert!((1..=3).contains(&quotes.len()), "{} {kind}: {pair:?}", case.file);
            for quote in quotes {
                let held = one.contains(&folded(quote))
                    || two.contains(&folded(quote))
                        && ["MULTI_HOP_REASONING", "COMPARATIVE_ANALYSIS"].contains(kind);
                assert!(held && quote.chars().count() <= 200, "{} {kind}: `{quote}`", case.file);
                let says = quote.chars().filter(|c| c.is_alphanumeric()).nth(3).is_some();
                assert!(says, "{} {kind}: `{quote}`", case.file);
            }
        }
    }
}

/// Words that mention a source a reader does not see, in the languages of the shipped documents.
const MENTIONS: &str = "section|passage|the text|this text|paragraph|document|heading|headed|chapter|source|excerpt|stated|states|says:|\
    according to|as described|described in|mentioned|listed under|treated under|covers it|above|below|the given|the statement|\
    abschnitt|überschrift|dokument|textstelle|der quelle|laut |heißt es|gemäß dem|zufolge|oben|genannt|beschrieben|behandelt|aufgeführt|\
    sección|apartado|documento|encabezado|el texto|fuente|según|se dice|se indica|se afirma|mencionad|descrit|arriba|figura en|\
    la section|le passage|titre|le document|le texte|selon|d'après|on lit|ci-dessus|indiqué|mentionné|trouve-t-on|traite|\
    見出し|節|本文|文書|資料|によると|によれば|とある|記載|書かれ|述べ|上記|示され|『";

/// Whether `part` stands in `text` with no letter before it; in Japanese, whether it stands there.
fn begins_a_word(text: &str, part: &str) -> bool {
    let free =
        |at: usize| !text[..at].ends_with(char::is_alphanumeric) || !part.starts_with(char::is_lowercase);
    text.match_indices(part).any(|(at, _)| free(at))
}

#[test]
fn pairs_mention_no_source() {
    for (case, pairs) in &*PAIRS {
        let field = |value: &Value, name: &str| value[name].as_str().unwrap().to_lowercase();
        // What the sections say themselves, or are called, may be said.
        let own =
            ["text", "heading_path"].map(|name| field(&case.section, name) + &field(&case.companion, name));
        let own = own.concat() + &case.document.to_lowercase();
        for (kind, pair) in pairs {
            for text in pair.steps.iter().chain([&pair.question, &pair.answer]) {
                let lower = text.to_lowercase();
                let found = MENTIONS.split('|').find(|one| begins_a_word(&lower, one) && !own.contains(one));
                assert_eq!(found, None, "{} {kind}: {text}", case.file);
                // The file's own names, as a place of text, would come in quotes behind a preposition.
                for place in ["In \"", "in \"", "Under \"", "Dans « ", "Sous « ", "Unter „"] {
                    assert!(!text.starts_with(place), "{} {kind}: {text}", case.file);
                }
            }
        }
    }
}

/// What the sections' own words may hide over the documents: no wording holds a mention itself.
#[test]
fn no_wording_mentions_a_source() {
    let files = [
        include_str!("../phrases/en.rs"),
        include_str!("../phrases/de.rs"),
        include_str!("../phrases/es.rs"),
        include_str!("../phrases/fr.rs"),
        include_str!("../phrases/ja.rs"),
        include_str!("../phrases/neutral.rs"),
    ];
    for line in files.iter().flat_map(|file| file.lines()).filter(|line| !line.starts_with("//")) {
        let lower = line.to_lowercase();
        let found = MENTIONS.split('|').find(|one| begins_a_word(&lower, one));
        assert_eq!(found, None, "{line}");
    }
}

#[test]
fn three_steps_lead_to_the_answer() {
    for (case, pairs) in &*PAIRS {
        for (kind, pair) in pairs {
            let [aim, fact, end] = &pair.steps;
            assert!(pair.steps.iter().all(|step| step.chars().count() > 4), "{} {kind}: {pair:?}", case.file);
            assert!(aim != fact && fact != end && aim != end, "{} {kind}: {pair:?}", case.file);
            assert!(!pair.steps.contains(&pair.question), "{} {kind}: {pair:?}", case.file);
            // The last step ends the thought; it does not say the whole answer once more.
            assert_ne!(end, &pair.answer, "{} {kind}", case.file);
            let held = pair
                .steps
                .iter()
                .any(|step| step.contains('{') && !case.section["text"].as_str().unwrap().contains('{'));
            assert!(!held, "{} {kind}: {pair:?}", case.file);
        }
    }
}
