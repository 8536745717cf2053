//! Which language a text is in, by counting its commonest small words.
//!
//! Five languages have wording of their own, Japanese known by its letters; every other one falls to wording built from the text alone.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::wording::WordList;
use super::words::Script;

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

/// The languages with wording, in the order that settles a tie.
const SPOKEN: [Language; 4] = [Language::English, Language::German, Language::Spanish, Language::French];

impl Language {
    /// Every language, the most likely first.
    pub(super) const ALL: [Self; 6] =
        [Self::English, Self::German, Self::Spanish, Self::French, Self::Japanese, Self::Other];

    /// The language most of the marking words of a text belong to; `Other` if there are too few.
    pub(super) fn of<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let marks = marks();
        let mut counts = [0_usize; 5];
        let (mut all, mut kana) = (0, 0);
        for word in words {
            all += 1;
            kana += usize::from(Script::of_word(word) == Script::Hiragana);
            let languages = marks.get(word).copied().unwrap_or(0);
            for (index, count) in counts.iter_mut().enumerate() {
                *count += usize::from(languages >> index & 1);
            }
        }
        if kana * 5 > all {
            return Self::Japanese;
        }
        let mut best = 0;
        for index in 1..SPOKEN.len() {
            if counts[index] > counts[best] {
                best = index;
            }
        }
        // A text of one of the four is a quarter such words; one alone may be chance.
        let rare = counts[best] * 8 < all || counts[best] < 2;
        if rare || counts[4] > counts[best] { Self::Other } else { SPOKEN[best] }
    }

    /// Whether words speak for a language without wording of its own rather than for English.
    pub(super) fn is_foreign<'a>(words: impl Iterator<Item = &'a str>) -> bool {
        let marks = marks();
        let (mut english, mut other) = (0_u32, 0_u32);
        for bits in words.filter_map(|word| marks.get(word)) {
            english += u32::from(bits & 1);
            other += u32::from(bits >> 4 & 1);
        }
        other > english
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

/// Which languages each marking word belongs to, a bit each; the last is for those without wording of their own.
fn marks() -> &'static Bits {
    static MARKS: LazyLock<Bits> = LazyLock::new(|| {
        let mut bits = Bits::new();
        for (index, language) in SPOKEN.into_iter().chain([Language::Other]).enumerate() {
            add(&mut bits, index, &language.wording().words.common);
        }
        bits
    });
    &MARKS
}

/// Which languages each word without content belongs to.
fn stops() -> &'static Bits {
    static STOPS: LazyLock<Bits> = LazyLock::new(|| {
        let mut bits = Bits::new();
        for (index, language) in SPOKEN.into_iter().enumerate() {
            let words = &language.wording().words;
            add(&mut bits, index, &words.common);
            add(&mut bits, index, &words.stop);
        }
        bits
    });
    &STOPS
}

fn add(bits: &mut Bits, index: usize, list: &'static WordList) {
    for word in list.iter() {
        *bits.entry(word).or_default() |= 1 << index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Language) {
        assert_eq!(Language::of(text.to_lowercase().split_whitespace()), expected, "{text}");
    }

    #[test]
    fn four_languages_are_told_apart() {
        check("The dough rests until it has doubled in size.", Language::English);
        check("Der Teig ruht, bis er sich verdoppelt hat und nicht mehr klebt.", Language::German);
        check("La masa reposa hasta que dobla su volumen, y no se debe tocar.", Language::Spanish);
        check("La pâte repose dans un bol jusqu'à ce que le volume soit doublé.", Language::French);
        check("Deigen hviler til den har dobbel størrelse.", Language::Other);
        check("生地 を 休 ませる", Language::Japanese);
        check("", Language::Other);
    }

    #[test]
    fn stop_words_belong_to_their_language() {
        assert!(Language::German.is_stop("nicht") && !Language::English.is_stop("nicht"));
        assert!(Language::Other.is_stop("nicht") && !Language::Other.is_stop("deigen"));
    }
}
