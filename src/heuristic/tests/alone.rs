//! Over the shipped documents, which are in five languages: every pair can be understood alone, and its evidence is
//! quoted verbatim from its section.

use std::sync::LazyLock;

use super::*;
use crate::markdown::{Outline, Syntax, facts, front_matter, sections};

/// A section of a shipped document, with another one as its companion.
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

type Pairs = Vec<(&'static str, draft::QaPair)>;

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
            pairs.push((kind, pair(&record).unwrap()));
        }
    }
    pairs
}

/// Normalized as in the check of evidence: with single spaces, in lower case.
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
                assert!(held && quote.chars().count() <= 160, "{} {kind}: `{quote}`", case.file);
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

/// Words by which a step speaks of the question, the answer or facts as facts, and not of its subject.
const OF_THE_TASK: &str = "the question|the answer|the fact|fact that|second fact|another fact|the claim|the blank|has to be found|turns on|\
    comes down to|decisive|the whole point|completes the picture|\
    die frage|gefragt|der antwort|die antwort|tatsache|zu klären|die aussage|die lücke|der lücke|entscheidend ist|das wesentliche|\
    la cuestión|la pregunta|la respuesta|el hecho|segundo hecho|otro hecho|la afirmación|averiguar|lo decisivo|lo esencial|\
    la question|la réponse|le fait|second fait|autre fait|l'affirmation|s'agit de savoir|déterminer|le blanc|l'essentiel|\
    問われ|問い|質問|答え|事実|決め手|要点|空欄|正誤";

/// The offsets at which `part` occurs in `text` with no letter before it; in Japanese, all of them.
fn word_places<'t>(text: &'t str, part: &'t str) -> impl Iterator<Item = usize> + 't {
    let free = |at: &usize| {
        let inner = part.starts_with(char::is_lowercase) && part.is_ascii();
        !text[..*at].ends_with(char::is_alphanumeric) || !inner
    };
    text.match_indices(part).map(|(at, _)| at).filter(free)
}

fn begins_a_word(text: &str, part: &str) -> bool {
    word_places(text, part).next().is_some()
}

/// The first of `words` that a text adds itself: the words around it, `reach` on both sides or on one, do not occur
/// so in the sections. In Japanese, which has no spaces, letters are counted.
fn of_its_own<'w>(text: &str, words: &'w str, own: &str, reach: usize) -> Option<&'w str> {
    let said = |at: usize, part: &str| {
        let spaced =
            part.is_ascii() || text.is_ascii() || text.matches(' ').count() * 12 > text.chars().count();
        let bound = |c: &char| if spaced { c.is_whitespace() } else { true };
        let reach = if spaced { reach + 1 } else { reach * 2 };
        let before = text[..at].char_indices().rev().filter(|(_, c)| bound(c)).nth(reach - 1);
        let start = before.map_or(0, |(at, c)| at + c.len_utf8());
        let rest = at + part.len();
        let after = text[rest..].char_indices().filter(|(_, c)| bound(c)).nth(reach - 1);
        let end = after.map_or(text.len(), |(more, _)| rest + more);
        let held = |text: &str| own.contains(text.trim_matches(|c: char| !c.is_alphanumeric()));
        // A term may begin or end with the word: then its neighbours on the other side are compared.
        // A name or term in quotation marks is the section's own if it occurs there.
        let marks = ['«', '»', '„', '“', '”', '"', '「', '」'];
        let inner = text[..at].rfind(marks).zip(text[rest..].find(marks));
        let quoted = inner.is_some_and(|(open, close)| held(&text[open..rest + close]));
        quoted
            || held(&text[start..end])
            || after.is_some() && held(&text[at..end])
            || before.is_some() && held(&text[start..rest])
    };
    words.split('|').find(|part| word_places(text, part).any(|at| !said(at, part)))
}

#[test]
fn what_a_section_says_elsewhere_pardons_no_mention() {
    let own = "the question of salt is old. all of it stands above the sea.";
    assert_eq!(
        of_its_own("so the question is the salt.", "the question|above", own, 2),
        Some("the question")
    );
    assert_eq!(of_its_own("the question of salt is old.", "the question|above", own, 2), None);
    assert_eq!(of_its_own("as said above, it is old.", "the question|above", own, 2), Some("above"));
}

#[test]
fn pairs_mention_no_source() {
    let mut leaning = Vec::new();
    for (case, pairs) in &*PAIRS {
        // Words of the sections and of their titles are allowed.
        let mut own = String::new();
        let mut names = vec![sentences::plain(&case.document).to_lowercase()];
        for section in [&case.section, &case.companion] {
            let facts = section["facts"].as_array().unwrap().iter().filter_map(Value::as_str);
            let lines = section["text"].as_str().unwrap().lines().chain(facts);
            lines.for_each(|line| own.extend([sentences::plain(line).to_lowercase().as_str(), " "]));
            let path = section["heading_path"].as_str().unwrap();
            names.extend(path.split(" > ").map(|name| sentences::plain(name).to_lowercase()));
        }
        names.retain(|name| !name.is_empty());
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        let unnamed =
            |text: &str| names.iter().fold(text.to_lowercase(), |text, name| text.replace(name, "…"));
        let own = unnamed(&own);
        for (kind, pair) in pairs {
            let steps = pair.steps.iter().map(|step| (step, true));
            for (text, is_step) in steps.chain([(&pair.question, false), (&pair.answer, false)]) {
                let lower = unnamed(text);
                // A question names what it asks about with words of its own around; a step says whole facts.
                let reach = if is_step { 2 } else { 1 };
                let task = if is_step { of_its_own(&lower, OF_THE_TASK, &own, reach) } else { None };
                let found = task.or_else(|| of_its_own(&lower, MENTIONS, &own, reach));
                leaning.extend(found.map(|found| format!("`{found}` in {} {kind}: {text}", case.file)));
                // The file's own names, as a place of text, would come in quotes behind a preposition.
                for place in ["In \"", "in \"", "Under \"", "Dans « ", "Sous « ", "Unter „"] {
                    assert!(!text.starts_with(place), "{} {kind}: {text}", case.file);
                }
            }
        }
    }
    assert!(leaning.is_empty(), "{}", leaning.join("\n"));
}

/// What the sections' own words may hide over the documents: no wording holds a mention itself.
#[test]
fn no_wording_mentions_a_source() {
    let files = [
        include_str!("../wording/en.yaml"),
        include_str!("../wording/de.yaml"),
        include_str!("../wording/es.yaml"),
        include_str!("../wording/fr.yaml"),
        include_str!("../wording/ja.yaml"),
        include_str!("../wording/neutral.yaml"),
    ];
    for file in files {
        let (_, phrases) = file.split_once("\nphrases:\n").unwrap();
        let steps = phrases.find("\n  part:").unwrap();
        for (text, words) in [(phrases, MENTIONS), (&phrases[steps..], OF_THE_TASK)] {
            for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
                let lower = line.to_lowercase();
                assert_eq!(words.split('|').find(|one| begins_a_word(&lower, one)), None, "{line}");
            }
        }
    }
}

#[test]
fn three_steps_lead_to_the_answer() {
    for (case, pairs) in &*PAIRS {
        for (kind, pair) in pairs {
            let [aim, fact, end] = &pair.steps;
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            assert_ne!(letters(aim), letters(&pair.question), "{} {kind}", case.file);
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
