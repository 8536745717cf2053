//! Texts of users' inputs that suit any service, and how the attributes drawn for them are interpreted.
//!
//! `{topic}` is replaced by the drawn topic. Lists have texts of different lengths, so that an input can have about
//! the requested length.

use std::sync::LazyLock;

use serde::Deserialize;

use super::{all, parse};
use crate::heuristic::language::Language;

/// The tone of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Friendly,
    Annoyed,
    Unsure,
    Formal,
}

/// Texts for each tone.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextsByTone {
    plain: Vec<CountedText>,
    friendly: Vec<CountedText>,
    annoyed: Vec<CountedText>,
    unsure: Vec<CountedText>,
    formal: Vec<CountedText>,
}

/// A text and the number of its words, by which texts are chosen.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(crate) struct CountedText {
    pub(crate) text: String,
    pub(crate) words: usize,
}

impl From<String> for CountedText {
    fn from(text: String) -> Self {
        Self { words: count_words(&text), text }
    }
}

/// The number of words of a text.
pub(crate) fn count_words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The texts of one language: the section `user_inputs` of its file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserInputTexts {
    /// Parts of the language's English and own names, in lower case.
    language_names: Vec<String>,
    /// Quotation marks around a topic, which may be in another language.
    quotes: (String, String),
    pub(crate) greetings: TextsByTone,
    pub(crate) closings: TextsByTone,
    /// Questions about a topic.
    pub(crate) about: Vec<CountedText>,
    /// Questions without a topic.
    pub(crate) open: Vec<CountedText>,
    /// Ends of a question that asks for a second thing.
    pub(crate) second: Vec<CountedText>,
    /// The asker's situation.
    pub(crate) details: Vec<CountedText>,
    /// The same with a date, a number or an amount.
    pub(crate) concrete: Vec<CountedText>,
    /// Short stories.
    pub(crate) stories: Vec<CountedText>,
}

/// Parts of words that mean a tone, and parts of an instruction that ask for something, in lower case.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Instructions {
    pub(crate) tones: ToneWords,
    pub(crate) instructions: InstructionWords,
}

/// Words for each tone but the plain one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToneWords {
    pub(crate) annoyed: Vec<String>,
    pub(crate) unsure: Vec<String>,
    pub(crate) formal: Vec<String>,
    pub(crate) friendly: Vec<String>,
}

/// Words for each thing that an instruction can ask for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstructionWords {
    pub(crate) second_question: Vec<String>,
    pub(crate) story: Vec<String>,
    pub(crate) concrete: Vec<String>,
    pub(crate) typing_mistakes: Vec<String>,
    pub(crate) little_punctuation: Vec<String>,
}

/// How attributes are interpreted, from their file.
pub(crate) fn instructions() -> &'static Instructions {
    static INSTRUCTIONS: LazyLock<Instructions> = LazyLock::new(|| parse(include_str!("instructions.yaml")));
    &INSTRUCTIONS
}

impl Tone {
    /// The tone that words such as `impatient and annoyed` mean.
    pub(crate) fn of(words: &str) -> Self {
        let words = words.to_lowercase();
        let tones = &instructions().tones;
        let known = [
            (Self::Annoyed, &tones.annoyed),
            (Self::Unsure, &tones.unsure),
            (Self::Formal, &tones.formal),
            (Self::Friendly, &tones.friendly),
        ];
        let meant = known.iter().find(|(_, marks)| marks.iter().any(|mark| words.contains(mark.as_str())));
        // `informal` holds `formal`.
        match meant {
            Some((Self::Formal, _)) if words.contains("informal") => Self::Friendly,
            Some((tone, _)) => *tone,
            None => Self::Plain,
        }
    }
}

impl TextsByTone {
    pub(crate) fn of(&self, tone: Tone) -> &[CountedText] {
        match tone {
            Tone::Plain => &self.plain,
            Tone::Friendly => &self.friendly,
            Tone::Annoyed => &self.annoyed,
            Tone::Unsure => &self.unsure,
            Tone::Formal => &self.formal,
        }
    }
}

impl UserInputTexts {
    /// The texts of a language by its English or own name; the English ones for a language without texts.
    pub(crate) fn of(language: &str) -> Option<&'static Self> {
        let language = language.to_lowercase();
        let is_named =
            |texts: &&Self| texts.language_names.iter().any(|name| language.contains(name.as_str()));
        let named = all().filter_map(|wording| wording.user_inputs.as_ref()).find(is_named);
        named.or(Language::English.wording().user_inputs.as_ref())
    }

    /// The topic in the language's quotation marks.
    pub(crate) fn quoted(&self, topic: &str) -> String {
        format!("{}{topic}{}", self.quotes.0, self.quotes.1)
    }
}
