//! The wording of each language: texts and word lists, from the YAML files in `wording/`.
//!
//! The files are embedded in the program, and each is parsed once, when its language is first used. To add a language, add
//! a file and a variant of `Language`.

mod phrases;
mod user_inputs;
mod word_lists;

use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::language::Language;

pub(super) use phrases::{Phrases, fill};
pub(super) use user_inputs::{CountedText, Tone, UserInputTexts, count_words, instructions};
use word_lists::WordLists;
pub(super) use word_lists::{HeadingWords, WordList, english_grammar};

/// The phrases and word lists of one language: the content of one file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wording {
    pub(super) words: WordLists,
    /// Texts of users' inputs, in the languages that have them.
    pub(super) user_inputs: Option<UserInputTexts>,
    pub(super) phrases: Phrases,
}

static ENGLISH: LazyLock<Wording> = LazyLock::new(|| parse(include_str!("wording/en.yaml")));
static GERMAN: LazyLock<Wording> = LazyLock::new(|| parse(include_str!("wording/de.yaml")));
static SPANISH: LazyLock<Wording> = LazyLock::new(|| parse(include_str!("wording/es.yaml")));
static FRENCH: LazyLock<Wording> = LazyLock::new(|| parse(include_str!("wording/fr.yaml")));
static JAPANESE: LazyLock<Wording> = LazyLock::new(|| parse(include_str!("wording/ja.yaml")));
static NEUTRAL: LazyLock<Wording> = LazyLock::new(|| parse(include_str!("wording/neutral.yaml")));

impl Language {
    /// The wording of the language; for `Other`, one without words of any language.
    pub(super) fn wording(self) -> &'static Wording {
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
            Self::Spanish => &SPANISH,
            Self::French => &FRENCH,
            Self::Japanese => &JAPANESE,
            Self::Other => &NEUTRAL,
        }
    }
}

/// Every wording, in the order of `Language::ALL`.
pub(super) fn all() -> impl Iterator<Item = &'static Wording> {
    Language::ALL.into_iter().map(Language::wording)
}

/// An embedded file. The tests below parse each, so that the default is never taken.
fn parse<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FILES: [(Language, &str); 6] = [
        (Language::English, include_str!("wording/en.yaml")),
        (Language::German, include_str!("wording/de.yaml")),
        (Language::Spanish, include_str!("wording/es.yaml")),
        (Language::French, include_str!("wording/fr.yaml")),
        (Language::Japanese, include_str!("wording/ja.yaml")),
        (Language::Other, include_str!("wording/neutral.yaml")),
    ];

    /// All keys are required and no others are known, so that a file that can be parsed is complete.
    #[test]
    fn every_language_has_all_keys() {
        for (language, text) in FILES {
            if let Err(error) = serde_saphyr::from_str::<Wording>(text) {
                panic!("{language:?}: {error}");
            }
            let has_user_inputs = language.wording().user_inputs.is_some();
            assert_eq!(has_user_inputs, !matches!(language, Language::Japanese | Language::Other));
        }
        assert!(!english_grammar().verbs.is_empty() && !instructions().tones.formal.is_empty());
    }

    /// Lists of phrases of which one is chosen; a language without pronouns has none about them.
    #[test]
    fn no_list_that_a_phrase_is_taken_from_is_empty() {
        for (language, text) in FILES {
            let file: serde_json::Value = serde_saphyr::from_str(text).unwrap();
            let may_be_empty =
                ["openings", "copulas", "reasons", "negations", "joints", "refer"].map(str::to_owned);
            let phrases = file["phrases"].as_object().unwrap();
            for (key, value) in phrases.iter().filter(|(key, _)| !may_be_empty.contains(key)) {
                assert!(value.as_array().is_none_or(|list| !list.is_empty()), "{language:?}: `{key}`");
            }
            let tones = |list: &str| file["user_inputs"][list].as_object().map(|tones| tones.values());
            for texts in ["greetings", "closings"].into_iter().filter_map(tones).flatten() {
                assert!(!texts.as_array().unwrap().is_empty(), "{language:?}");
            }
        }
    }

    #[test]
    fn every_file_says_how_it_is_edited() {
        let others =
            [include_str!("wording/english_grammar.yaml"), include_str!("wording/instructions.yaml")];
        for text in FILES.map(|(_, text)| text).into_iter().chain(others) {
            let head: String = text.lines().take_while(|line| line.starts_with('#')).collect();
            assert!(head.contains("To edit: "), "{head}");
        }
    }

    /// A name in braces that no language's phrase of that key uses but one is most likely misspelt.
    #[test]
    fn phrases_use_the_names_that_english_uses() {
        let names = |value: &serde_json::Value| {
            let text = value.to_string();
            let parts = text.split('{').skip(1).filter_map(|part| part.split('}').next());
            parts.filter(|name| name.chars().all(char::is_lowercase)).map(str::to_owned).collect()
        };
        let common = ["title", "doc", "pre", "post", "ctx"];
        let english: serde_json::Value = serde_saphyr::from_str(FILES[0].1).unwrap();
        for (language, text) in FILES {
            let file: serde_json::Value = serde_saphyr::from_str(text).unwrap();
            for (key, value) in file["phrases"].as_object().unwrap() {
                let known: BTreeSet<String> = names(&english["phrases"][key]);
                let mut used: BTreeSet<String> = names(value);
                used.retain(|name| !known.contains(name) && !common.contains(&name.as_str()));
                // English turns its statements into questions by grammar.
                assert!(used.is_empty() || key == "copulas", "{language:?}: `{key}` has {used:?}");
            }
        }
    }
}
