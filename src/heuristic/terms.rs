//! Key terms: noun phrases and code spans that a question can be about.
//!
//! Without a parser, the preceding word is the best sign: a noun follows an article or a preposition, and German nouns begin
//! with a capital. English verbs are listed in `wording/english_grammar.yaml`.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::english::is_verb;
use super::language::Language;
use super::passage::Passage;
use super::sentences::Sentence;
use super::wording::{self, english_grammar};
use super::words::{Script, Word};

/// A key term of a sentence.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeyTerm {
    /// The words of the term, without article.
    pub(super) text: String,
    /// Its form in a question: in English with its article, otherwise in the language's quotation marks.
    pub(super) shown: String,
    /// Byte range in the sentence.
    pub(super) at: std::ops::Range<usize>,
    score: f64,
}

impl KeyTerm {
    /// How well the term represents its sentence or section; comparable within one passage.
    pub(super) fn score(&self) -> f64 {
        self.score
    }
}

/// Words of measure and place in every language, since texts also use those of other languages.
static UNITS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| wording::all().flat_map(|wording| wording.words.units.iter()).collect());
/// Prepositions of every language.
static PREPOSITIONS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| wording::all().flat_map(|wording| wording.words.prepositions.iter()).collect());

/// The key terms of one sentence, best first, without overlap.
pub(super) fn terms(passage: &Passage, sentence: &Sentence) -> Vec<KeyTerm> {
    let words = &sentence.words;
    let mut found = Vec::new();
    let mut start = 0;
    while start < words.len() {
        let end = run_end(passage, sentence, start);
        if end == start {
            start += 1;
            continue;
        }
        if let Some(term) = term(passage, sentence, start, end) {
            found.push(term);
        }
        start = end;
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.at.start.cmp(&b.at.start)));
    found
}

/// The end of the run of words from `start` that can be one term; `start` if none begins there.
fn run_end(passage: &Passage, sentence: &Sentence, start: usize) -> usize {
    let words = &sentence.words;
    let most = match passage.language {
        Language::English => 3,
        Language::German | Language::Spanish | Language::French => 1,
        Language::Japanese | Language::Other => 1,
    };
    let mut end = start;
    while end < words.len() && end - start < most && fits(passage.language, words, end, end > start) {
        let joined = end == start || &sentence.text[words[end - 1].at.end..words[end].at.start] == " ";
        // "the starter smells": a word in -s after a noun that is common here is probably its verb.
        let verb_like = end > start
            && words[end].lower.ends_with('s')
            && passage.counts.get(&words[end - 1].lower) > Some(&1)
            && passage.counts.get(&words[end].lower) == Some(&1);
        if !joined || verb_like || (end > start && (words[end].code || words[end - 1].code)) {
            break;
        }
        end += 1;
    }
    end
}

fn fits(language: Language, words: &[Word], index: usize, inside: bool) -> bool {
    let word = &words[index];
    if word.code {
        return word.lower.len() <= 40;
    }
    let letters = word.lower.chars().count();
    match Script::of_word(&word.lower) {
        Script::Spaced => {}
        Script::Hiragana => return false,
        Script::Kanji | Script::Katakana => {
            return (2..=8).contains(&letters)
                && !Language::Japanese.wording().words.no_terms.contains(&word.lower);
        }
    }
    let hangul = word.lower.starts_with(|c| ('가'..='힣').contains(&c));
    if !(if hangul { 2 } else { 3 }..=40).contains(&letters)
        || UNITS.contains(word.lower.as_str())
        || language.is_stop(&word.lower)
        || !word.lower.starts_with(char::is_alphabetic)
    {
        return false;
    }
    let determined = index > 0 && language.is_determiner(&words[index - 1].lower);
    match language {
        // A verb's form directly after an article is a noun ("the run"), after a noun it is a verb.
        Language::English => {
            let named = determined && !["this", "these"].contains(&words[index - 1].lower.as_str());
            !(is_verb(&word.lower) && (inside || !named))
                && !word.lower.ends_with("ly")
                && !language.wording().words.no_terms.contains(&word.lower.replace('’', "'"))
        }
        // Hangul writes a syllable in a letter; a verb that ends a sentence ends in one of them.
        Language::Other if hangul => !word.lower.ends_with('다'),
        _ => letters >= 4,
    }
}

fn term(passage: &Passage, sentence: &Sentence, start: usize, end: usize) -> Option<KeyTerm> {
    let words = &sentence.words;
    let english = passage.language == Language::English;
    // A run that ends in an adjective lacks its noun.
    let end = (start..end).rev().find(|index| !(english && is_adjective(&words[*index])))? + 1;
    let before = start.checked_sub(1).map_or("", |index| words[index].lower.as_str());
    let adjacent = start == 0 || sentence.text[words[start - 1].at.end..words[start].at.start] == *" ";
    // In languages without articles, the first word of a sentence counts as if it had one.
    let determined = adjacent
        && (passage.language.is_determiner(before) || start == 0 && !passage.language.has_determiners());
    let led = adjacent && PREPOSITIONS.contains(before);
    let capital = sentence.text[words[start].at.start..].starts_with(char::is_uppercase);
    let code = words[start].code;
    let count = |word: &Word| passage.counts.get(&word.lower).copied().unwrap_or(0).min(5) as f64;
    let mut score = words[start..end].iter().map(count).fold(0.0, f64::max);
    score += if code { 3.0 } else { 0.0 } + if determined { 2.0 } else { 0.0 } + if led { 1.5 } else { 0.0 };
    score += if capital && start > 0 { 2.0 } else { 0.0 } + if end - start == 2 { 1.0 } else { 0.0 };
    let lone = end - start == 1 && !code;
    match passage.language {
        Language::German if !capital && !code => return None,
        Language::German if start == 0 && !code => score -= 2.0,
        Language::Spanish | Language::French if !(determined || led || code || (capital && start > 0)) => {
            return None;
        }
        Language::English if lone && english_grammar().before_adjectives.contains(before) => {
            return None;
        }
        Language::English if !(determined || led || code || capital) => score -= 2.5,
        _ => {}
    }
    let at = words[start].at.start..words[end - 1].at.end;
    let text = sentence.text[at.clone()].to_owned();
    let shown = shown(passage, sentence, start, &text, determined && !code);
    Some(KeyTerm { text, shown, at, score })
}

/// Whether an English word looks like an adjective, a participle or a genitive, so that it names nothing by itself.
fn is_adjective(word: &Word) -> bool {
    let lower = word.lower.as_str();
    let participle = lower.ends_with("ed") && !lower.ends_with("eed") && lower.len() > 4;
    let ending = english_grammar()
        .adjective_endings
        .iter()
        .any(|ending| lower.ends_with(ending) && lower.len() > ending.len() + 2);
    let genitive = lower.ends_with("'s") || lower.ends_with("’s");
    !word.code
        && (genitive
            || english_grammar().adjectives.contains(lower)
            || participle
            || ending && lower != "table" && lower != "variable")
}

/// The term with its article in English, otherwise in the language's quotation marks; code is unchanged.
fn shown(passage: &Passage, sentence: &Sentence, start: usize, text: &str, determined: bool) -> String {
    if sentence.words[start].code {
        return text.to_owned();
    }
    if passage.language != Language::English {
        return super::wording::fill(&passage.phrases.quoted, &[("text", text)]);
    }
    // A capital that only marks the beginning of the sentence is lowered.
    let text = match (start, passage.counts.get(&sentence.words[start].lower)) {
        (0, _) if text.chars().filter(|c| c.is_uppercase()).count() == 1 => super::subject::lower_first(text),
        _ => text.to_owned(),
    };
    let article = if start > 0 { sentence.words[start - 1].lower.as_str() } else { "" };
    match article {
        "the" | "a" | "an" if determined => format!("{article} {text}"),
        "your" | "its" | "their" | "this" | "these" | "our" if determined => format!("the {text}"),
        _ => text,
    }
}

/// The key terms of the sentences `among`, best first: a term's score grows with each sentence that contains it.
pub(super) fn key_terms(passage: &Passage, among: &[usize]) -> Vec<KeyTerm> {
    let mut all: Vec<KeyTerm> = Vec::new();
    for index in among {
        for term in terms(passage, &passage.sentences[*index]).into_iter().take(4) {
            let lower = term.text.to_lowercase();
            match all.iter_mut().find(|known| known.text.to_lowercase() == lower) {
                Some(known) => known.score += term.score.max(0.0),
                None => all.push(term),
            }
        }
    }
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
}
