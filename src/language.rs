//! Detects the language of a text by its most common words, otherwise by its letters and their order.
//!
//! Short questions consist mostly of common words, which are more reliable than a few letters; `whatlang` decides
//! between languages that share words, and for texts with too few of them. The words are in
//! `language/common_words.yaml`.

mod names;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

pub(crate) use whatlang::Lang;
use whatlang::{Detector, Info};

pub(crate) use names::from_name;

/// The confidence of `whatlang` that suffices for English and for an expected language.
const LIKELY: f64 = 0.2;
/// The confidence that any other language needs: short texts often resemble Danish or Dutch by chance.
const UNLIKELY: f64 = 0.7;
/// The confidence that suffices for a language of which the text has a common word.
const WITH_A_WORD: f64 = 0.05;
/// A text has at least one common word of its language in this number of words.
const SPARSEST: usize = 8;

/// The languages that are detected in any data. A short question resembles several of the seventy known languages;
/// among the likely ones, the right one is clear.
static COMMON: &[Lang] = &[
    Lang::Ara,
    Lang::Ces,
    Lang::Cmn,
    Lang::Dan,
    Lang::Deu,
    Lang::Eng,
    Lang::Fra,
    Lang::Hin,
    Lang::Ind,
    Lang::Ita,
    Lang::Jpn,
    Lang::Kor,
    Lang::Nld,
    Lang::Pol,
    Lang::Por,
    Lang::Rus,
    Lang::Spa,
    Lang::Swe,
    Lang::Tur,
    Lang::Ukr,
    Lang::Vie,
];

/// Detects the common languages and the expected ones.
pub(crate) struct LanguageDetector {
    letters: Detector,
    likely: BTreeSet<&'static str>,
}

impl LanguageDetector {
    /// A detector for data in which these languages are expected.
    pub(crate) fn new(expected: impl Iterator<Item = Lang>) -> Self {
        let likely: BTreeSet<&str> = expected.chain([Lang::Eng]).map(|language| language.code()).collect();
        let codes: BTreeSet<&str> = COMMON.iter().map(Lang::code).chain(likely.iter().copied()).collect();
        let languages = codes.into_iter().filter_map(Lang::from_code).collect();
        Self { letters: Detector::with_allowlist(languages), likely }
    }

    /// The language of a text; `None` if it is too short or too mixed.
    pub(crate) fn detect(&self, text: &str) -> Option<Lang> {
        let lower = text.to_lowercase();
        // URLs are in no language.
        let pieces = lower.split_whitespace().filter(|piece| !piece.contains("://"));
        let words = pieces.flat_map(|piece| piece.split(|c: char| !c.is_alphanumeric() && c != '\''));
        let counts = WordVotes::of(words.filter(|word| !word.is_empty()));
        let by_letters = self.letters.detect(text);
        // The letters distinguish languages without a list of common words from those that have one and share words with them.
        let unlisted =
            by_letters.as_ref().filter(|info| info.is_reliable() && !COMMON_WORDS.has(info.lang()));
        match unlisted.map(Info::lang) {
            Some(language) => Some(language),
            None => self.decide(&counts, by_letters),
        }
    }

    /// The language of a text, given its words in lower case, if it has several common words; `None` for names, code
    /// and tables. `text` is called only if two languages share these words.
    pub(crate) fn detect_by_words<'w>(
        &self,
        words: impl Iterator<Item = &'w str>,
        text: impl FnOnce() -> String,
    ) -> Option<Lang> {
        let counts = WordVotes::of(words);
        if let Some(language) = counts.settled() {
            return Some(language);
        }
        let (most, leaders) = counts.leaders();
        if !counts.suffice(most) {
            return None;
        }
        let by_letters = self.letters.detect(&text())?.lang();
        leaders.contains(&by_letters).then_some(by_letters)
    }

    /// The language by the counts of common words and by the letters.
    fn decide(&self, counts: &WordVotes, by_letters: Option<Info>) -> Option<Lang> {
        if let Some(language) = counts.settled() {
            return Some(language);
        }
        let info = by_letters?;
        let (most, leaders) = counts.leaders();
        let has_word = leaders.contains(&info.lang());
        if counts.suffice(most) {
            return has_word.then(|| info.lang());
        }
        if has_word && info.confidence() >= WITH_A_WORD {
            return Some(info.lang());
        }
        // A word of one language, but the letters of another that has a list: either may be chance.
        if !leaders.is_empty() && COMMON_WORDS.has(info.lang()) && !info.is_reliable() {
            return None;
        }
        let long_enough = counts.letters >= 8 || info.is_reliable();
        let required = if self.likely.contains(info.lang().code()) { LIKELY } else { UNLIKELY };
        (long_enough && info.confidence() >= required).then(|| info.lang())
    }
}

/// The common words of the languages in the file; each word has a bit set for each of its languages.
struct CommonWords {
    languages: Vec<Lang>,
    words: HashMap<String, u32>,
}

impl CommonWords {
    fn has(&self, language: Lang) -> bool {
        self.languages.contains(&language)
    }
}

static COMMON_WORDS: LazyLock<CommonWords> = LazyLock::new(|| {
    // The tests parse the file, so that the default is never taken.
    let file = parse(include_str!("language/common_words.yaml")).unwrap_or_default();
    let mut found = CommonWords { languages: Vec::new(), words: HashMap::new() };
    for (code, words) in file {
        let Some(language) = Lang::from_code(code) else { continue };
        let bit = 1 << found.languages.len();
        found.languages.push(language);
        for word in words.split_whitespace() {
            *found.words.entry(word.to_owned()).or_default() |= bit;
        }
    }
    found
});

/// The lists of the file by their language codes.
fn parse(text: &str) -> Result<BTreeMap<String, String>, serde_saphyr::Error> {
    serde_saphyr::from_str(text)
}

/// The number of common words in a text, by language.
struct WordVotes {
    by_language: Vec<usize>,
    words: usize,
    letters: usize,
    /// Letters that only Japanese uses.
    kana: usize,
}

impl WordVotes {
    fn of<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let mut counts =
            Self { by_language: vec![0; COMMON_WORDS.languages.len()], words: 0, letters: 0, kana: 0 };
        for word in words {
            counts.words += 1;
            for c in word.chars().filter(|c| c.is_alphabetic()) {
                counts.letters += 1;
                counts.kana += usize::from(matches!(c, '\u{3041}'..='\u{309f}' | '\u{30a1}'..='\u{30ff}'));
            }
            let languages = COMMON_WORDS.words.get(word).copied().unwrap_or(0);
            for (index, count) in counts.by_language.iter_mut().enumerate() {
                *count += usize::from(languages >> index & 1 == 1);
            }
        }
        counts
    }

    /// The language that the counts alone determine: the only one with the most common words.
    fn settled(&self) -> Option<Lang> {
        if self.kana * 5 > self.letters {
            return Some(Lang::Jpn);
        }
        match self.leaders() {
            (most, leaders) if leaders.len() == 1 && self.suffice(most) => leaders.first().copied(),
            _ => None,
        }
    }

    /// Whether this number of common words suffices: a single one may be chance.
    fn suffice(&self, common: usize) -> bool {
        common >= 2 && common * SPARSEST >= self.words
    }

    /// The highest count and the languages that have it; none if no word is common.
    fn leaders(&self) -> (usize, Vec<Lang>) {
        let most = self.by_language.iter().copied().max().unwrap_or(0);
        let counted = COMMON_WORDS.languages.iter().zip(&self.by_language);
        let leaders = counted.filter(|(_, count)| most > 0 && **count == most).map(|(language, _)| *language);
        (most, leaders.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts by the code of their language; `none` for those without one.
    fn table() -> Vec<(String, String)> {
        let text = include_str!("../tests/cases/languages.yaml");
        let table: BTreeMap<String, Vec<String>> = serde_saphyr::from_str(text).unwrap();
        assert!(table.len() > 10);
        table
            .into_iter()
            .flat_map(|(code, texts)| texts.into_iter().map(move |text| (code.clone(), text)))
            .collect()
    }

    /// Checks that a detector is wrong about no text and undecided about at most `unsure` of them.
    fn check(detector: &LanguageDetector, unsure: usize) {
        let mut undecided = Vec::new();
        for (code, text) in table() {
            match detector.detect(&text) {
                Some(found) => assert_eq!(found.code(), code, "{text}"),
                None if code == "none" => {}
                None => undecided.push(text),
            }
        }
        assert!(undecided.len() <= unsure, "{undecided:#?}");
    }

    #[test]
    fn short_texts_are_told_by_their_words_and_letters() {
        check(&LanguageDetector::new(std::iter::empty()), 2);
        check(&LanguageDetector::new([Lang::Deu, Lang::Fra, Lang::Spa, Lang::Jpn].into_iter()), 2);
    }

    #[test]
    fn common_words_are_of_known_languages() {
        let lists = parse(include_str!("language/common_words.yaml")).unwrap();
        assert_eq!(COMMON_WORDS.languages.len(), lists.len());
        for (code, words) in lists {
            assert!(words.split_whitespace().all(|word| word == word.to_lowercase()), "{code}");
        }
    }

    #[test]
    fn languages_are_found_in_short_questions() {
        let detector = LanguageDetector::new([Lang::Cat, Lang::Fra, Lang::Spa].into_iter());
        let texts = [
            (Lang::Deu, "Wie kann ich meinen Ausweis verlängern?"),
            (Lang::Eng, "What time does the Auwald branch close on Thursdays?"),
            (Lang::Fra, "Comment puis-je renouveler ma carte de bibliothèque pendant les vacances ?"),
            (Lang::Spa, "¿Cómo puedo renovar mi tarjeta de la biblioteca?"),
            (Lang::Jpn, "図書館のカードはどうやって更新しますか？"),
            (Lang::Eng, "How do I renew my library card?"),
        ];
        for (language, text) in texts {
            assert_eq!(detector.detect(text), Some(language), "{text}");
        }
        // Too short: undecided is better than wrong.
        assert_eq!(detector.detect("ok"), None);
        assert_eq!(detector.detect("12 + 3"), None);
    }
}
