//! Key terms: the noun phrases and code spans a question can be about.
//!
//! Without a grammar at hand, what precedes a word tells most: a noun follows an article or a preposition;
//! German writes nouns with a capital. Words that are verbs in English are listed in `english`.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::english::is_verb;
use super::language::Language;
use super::passage::Passage;
use super::sentences::Sentence;
use super::words::{Script, Word};

/// A key term of a sentence.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    /// The words as they stand, without article.
    pub(super) text: String,
    /// As it stands in a question: in English with the article it has, else quoted by the wording.
    pub(super) shown: String,
    /// Byte range in the sentence.
    pub(super) at: std::ops::Range<usize>,
    score: f64,
}

impl Term {
    /// How well the term stands for its sentence or section; comparable within one passage.
    pub(super) fn score(&self) -> f64 {
        self.score
    }
}

/// Words before a noun that are not articles.
const PREPOSITIONS: &str = "of in with for from by on to into at about without through under over between per via \
    de en con para por sin sobre entre à dans avec pour sans sous sur entre";

/// Words that measure or place and name no subject by themselves.
const UNITS: &str = "two three four five six seven eight nine ten twelve twenty second seconds minute minutes hour hours day days \
    week weeks month months year years gram grams kilogram liter litre liters litres percent degree degrees meter meters times \
    inside outside out up off down back away today way ways case cases number numbers bit lot zwei drei vier fünf sechs sieben acht neun zehn sekunden \
    minute minuten stunde stunden tag tage tagen woche wochen monat monate jahr jahre jahren gramm liter kilometer meter \
    prozent grad mal millimeter dos tres cuatro cinco seis siete ocho nueve diez segundos minutos hora horas día días semana \
    semanas mes meses año años gramos litro litros grados poco deux trois quatre cinq sept huit neuf dix secondes heure heures \
    jour jours semaine semaines mois ans année années grammes litres degrés fois bout";

/// Common adjectives, which name nothing when they stand alone.
const ADJECTIVES: &str = "hard simple new old large small big good better best fast slow high low easy long short full same internal \
    external optimized optional possible necessary available different similar important useful common general special \
    single double main minor major own current previous next open free clear clean dark light deep wide thin thick warm cold hot dry wet \
    soft heavy strong weak early late entire whole various automatic manual random default null empty dead alive broken related certain likely standard basic modern \
    safe unsafe sure able ready specific particular significant typical usual valid invalid correct wrong higher lower larger \
    smaller faster slower greater fewer better worse primary additional extra known given based native raw minimum maximum dense even one";

/// Verbs that stand before other verbs, and words that a scan of nouns would take for one.
const NO_NOUNS: &str = "may might must should would could can cannot shall will does did has had have been being was were are is \
    let lets via etc per due ago yet nor ever maybe because that's it's don't doesn't can't won't isn't aren't you'll you're \
    we're they're there's i'm i've we've cause causes example examples docs documentation readme readme.md thing things fact facts \
    question questions answer answers statement statements sentence sentences section sections passage passages paragraph paragraphs heading headings chapter chapters source sources stated document documents text texts";

/// Endings of adjectives.
const ADJECTIVE_ENDINGS: [&str; 6] = ["able", "ible", "ful", "ous", "less", "ical"];

/// Words of two letters and more that the scan of Japanese takes for nouns and that name nothing.
const EMPTY_JAPANESE: &str = "場合 必要 可能 以下 以上 以外 以内 程度 部分 一部 全体 全部 自分 最初 最後 最近 今回 同様 一般 通常 普通 \
    場所 時間 時期 理由 方法 結果 種類 前後 途中 一度 一つ 二つ 十分 大切 重要 代表的 基本的 一般的 次第 多数 少量 適量 約束 関係 状態 存在";

/// Words before an adjective that stands alone.
const BEFORE_ADJECTIVE: &str =
    "is are be was were too very more most less becomes become so as stays remains looks";

static UNIT_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| UNITS.split_whitespace().collect());
static ADJECTIVE_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| ADJECTIVES.split_whitespace().collect());
static NO_NOUN_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| NO_NOUNS.split_whitespace().collect());
static PREPOSITION_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| PREPOSITIONS.split_whitespace().collect());

/// The key terms of one sentence, best first, without overlap.
pub(super) fn terms(passage: &Passage, sentence: &Sentence) -> Vec<Term> {
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
        // "the starter smells": what ends in -s behind a noun that is common here is rather its verb.
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
                && !EMPTY_JAPANESE.split_whitespace().any(|empty| empty == word.lower);
        }
    }
    let hangul = word.lower.starts_with(|c| ('가'..='힣').contains(&c));
    if !(if hangul { 2 } else { 3 }..=40).contains(&letters)
        || UNIT_SET.contains(word.lower.as_str())
        || language.is_stop(&word.lower)
        || !word.lower.starts_with(char::is_alphabetic)
    {
        return false;
    }
    let determined = index > 0 && language.is_determiner(&words[index - 1].lower);
    match language {
        // A verb's form right behind an article is a noun ("the run"), behind a noun it is a verb.
        Language::English => {
            let named = determined && !["this", "these"].contains(&words[index - 1].lower.as_str());
            !(is_verb(&word.lower) && (inside || !named))
                && !word.lower.ends_with("ly")
                && !NO_NOUN_SET.contains(word.lower.replace('’', "'").as_str())
        }
        // Hangul writes a syllable in a letter; a verb that ends a sentence ends in one of them.
        Language::Other if hangul => !word.lower.ends_with('다'),
        _ => letters >= 4,
    }
}

fn term(passage: &Passage, sentence: &Sentence, start: usize, end: usize) -> Option<Term> {
    let words = &sentence.words;
    let english = passage.language == Language::English;
    // A run that ends in an adjective has lost its noun.
    let end = (start..end).rev().find(|index| !(english && is_adjective(&words[*index])))? + 1;
    let before = start.checked_sub(1).map_or("", |index| words[index].lower.as_str());
    let adjacent = start == 0 || sentence.text[words[start - 1].at.end..words[start].at.start] == *" ";
    let determined = adjacent && passage.language.is_determiner(before);
    let led = adjacent && PREPOSITION_SET.contains(before);
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
        Language::English if lone && BEFORE_ADJECTIVE.split_whitespace().any(|word| word == before) => {
            return None;
        }
        Language::English if !(determined || led || code || capital) => score -= 2.5,
        _ => {}
    }
    let at = words[start].at.start..words[end - 1].at.end;
    let text = sentence.text[at.clone()].to_owned();
    let shown = shown(passage, sentence, start, &text, determined && !code);
    Some(Term { text, shown, at, score })
}

/// Whether an English word is an adjective, a participle or a genitive by its look, so that it names nothing by itself.
fn is_adjective(word: &Word) -> bool {
    let lower = word.lower.as_str();
    let participle = lower.ends_with("ed") && !lower.ends_with("eed") && lower.len() > 4;
    let ending =
        ADJECTIVE_ENDINGS.iter().any(|ending| lower.ends_with(ending) && lower.len() > ending.len() + 2);
    let genitive = lower.ends_with("'s") || lower.ends_with("’s");
    !word.code
        && (genitive
            || ADJECTIVE_SET.contains(lower)
            || participle
            || ending && lower != "table" && lower != "variable")
}

/// The term with its article for English, in the language's quotes elsewhere; code stays as it is.
fn shown(passage: &Passage, sentence: &Sentence, start: usize, text: &str, determined: bool) -> String {
    if sentence.words[start].code {
        return text.to_owned();
    }
    if passage.language != Language::English {
        return super::phrases::fill(passage.phrases.quoted, &[("text", text)]);
    }
    // A capital that only opens the sentence goes.
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

/// The best term of the whole passage: in most sentences, and well placed in one of them.
pub(super) fn key_terms(passage: &Passage, among: &[usize]) -> Vec<Term> {
    let mut all: Vec<Term> = Vec::new();
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
