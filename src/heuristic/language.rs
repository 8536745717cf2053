//! The languages in which the heuristic can phrase questions, and their stop words.
//!
//! `crate::language` detects them. Five languages have wording of their own; a text in any other language gets wording made
//! of its own words and of signs.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::language::{Lang, LanguageDetector};

/// A language the heuristic can phrase questions in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Language {
    English,
    German,
    Spanish,
    French,
    Japanese,
    /// Any other: no words of its own are added to the text's.
    Other,
}

/// The languages whose words have spaces between them, in the order of their bits.
const SPOKEN: [Language; 4] = [Language::English, Language::German, Language::Spanish, Language::French];

impl From<Lang> for Language {
    fn from(language: Lang) -> Self {
        match language {
            Lang::Eng => Self::English,
            Lang::Deu => Self::German,
            Lang::Spa => Self::Spanish,
            Lang::Fra => Self::French,
            Lang::Jpn => Self::Japanese,
            _ => Self::Other,
        }
    }
}

impl Language {
    /// Every language, the most likely first.
    pub(super) const ALL: [Self; 6] =
        [Self::English, Self::German, Self::Spanish, Self::French, Self::Japanese, Self::Other];

    /// The language of a text whose words in lower case are known; `None` if too few of them are common words of any, as in a
    /// list of names. `text` is called only if the words do not settle it.
    pub(super) fn detect<'w>(
        words: impl Iterator<Item = &'w str>,
        text: impl FnOnce() -> String,
    ) -> Option<Self> {
        static DETECTOR: LazyLock<LanguageDetector> =
            LazyLock::new(|| LanguageDetector::new(std::iter::empty()));
        DETECTOR.detect_by_words(words, text).map(Self::from)
    }

    /// Whether a lower-case word carries no content in this language.
    pub(super) fn is_stop(self, lower: &str) -> bool {
        let bits = stops().get(lower).copied().unwrap_or(0);
        match self {
            Self::Other => bits != 0,
            spoken => {
                SPOKEN.iter().position(|one| *one == spoken).is_some_and(|index| bits >> index & 1 == 1)
            }
        }
    }

    /// Whether a lower-case word is an article or the like, which a noun follows.
    pub(super) fn is_determiner(self, lower: &str) -> bool {
        self.wording().words.determiners.contains(lower)
    }

    /// Whether nouns of this language have articles.
    pub(super) fn has_determiners(self) -> bool {
        !self.wording().words.determiners.is_empty()
    }
}

type Bits = HashMap<&'static str, u8>;

/// Which languages each word without content belongs to.
fn stops() -> &'static Bits {
    static STOPS: LazyLock<Bits> = LazyLock::new(|| {
        let mut bits = Bits::new();
        for (index, language) in SPOKEN.into_iter().enumerate() {
            for word in language.wording().words.stop.iter() {
                *bits.entry(word).or_default() |= 1 << index;
            }
        }
        bits
    });
    &STOPS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Language>) {
        let lower = text.to_lowercase();
        let found = Language::detect(lower.split_whitespace(), || text.to_owned());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn languages_with_wording_are_told_from_others() {
        check("The dough rests until it has doubled in size.", Some(Language::English));
        check("Der Teig ruht, bis er sich verdoppelt hat und nicht mehr klebt.", Some(Language::German));
        check("La masa reposa hasta que dobla su volumen, y no se debe tocar.", Some(Language::Spanish));
        check("La pâte repose dans un bol jusqu'à ce que le volume soit doublé.", Some(Language::French));
        check("Deigen hviler til den har dobbel størrelse.", Some(Language::Other));
        check("生地 を 休 ませる", Some(Language::Japanese));
        check("", None);
    }

    #[test]
    fn stop_words_belong_to_their_language() {
        assert!(Language::German.is_stop("nicht") && !Language::English.is_stop("nicht"));
        assert!(Language::Other.is_stop("nicht") && !Language::Other.is_stop("deigen"));
    }
}
