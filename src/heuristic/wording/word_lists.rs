//! The heuristic's word lists of each language, and those of English grammar.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::Deserialize;

use super::parse;

/// Words that are written as one text, separated by spaces.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "String")]
pub(crate) struct WordList(HashSet<String>);

impl From<String> for WordList {
    fn from(text: String) -> Self {
        Self(text.split_whitespace().map(str::to_owned).collect())
    }
}

impl WordList {
    pub(crate) fn contains(&self, word: &str) -> bool {
        self.0.contains(word)
    }

    /// The word as the list holds it.
    pub(crate) fn get(&self, word: &str) -> Option<&str> {
        self.0.get(word).map(String::as_str)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The words of one language: the section `words` of its file. Words are in lower case.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WordLists {
    /// Words without content.
    pub(crate) stop: WordList,
    /// Articles and other words that a noun follows.
    pub(crate) determiners: WordList,
    /// Words before a noun that are not articles.
    pub(crate) prepositions: WordList,
    /// First words of a sentence that cannot be understood without the one before it.
    pub(crate) leaning: WordList,
    /// Words of a clause that refer to something outside it.
    pub(crate) pointing: WordList,
    /// Words of measure and place, which name no subject by themselves.
    pub(crate) units: WordList,
    /// Words that look like a key term but name nothing.
    pub(crate) no_terms: WordList,
    pub(crate) headings: HeadingWords,
    pub(crate) elsewhere: ElsewhereWords,
}

/// Words of headings and titles.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadingWords {
    /// Headings that name no subject by themselves.
    pub(crate) vague: Vec<String>,
    /// Titles of documents that name no subject.
    pub(crate) untitled: Vec<String>,
    /// Beginnings of a title that only say that it is a document: "a guide to ".
    pub(crate) lead_ins: Vec<String>,
    /// Such endings: " guide".
    pub(crate) endings: Vec<String>,
}

/// Parts of sentences that send their reader elsewhere.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ElsewhereWords {
    pub(crate) beginnings: Vec<String>,
    /// At any place in the sentence.
    pub(crate) parts: Vec<String>,
}

/// The lists that only English needs.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnglishGrammar {
    /// Verbs in their base form; other forms are found by their endings.
    pub(crate) verbs: WordList,
    /// Verbs that take an object, so that "What does X ...?" asks for it.
    pub(crate) transitive_verbs: WordList,
    /// Common adjectives, which name nothing when they stand alone.
    pub(crate) adjectives: WordList,
    pub(crate) adjective_endings: WordList,
    /// Words before an adjective that stands alone.
    pub(crate) before_adjectives: WordList,
    /// First words of a message's lines that only say what to do with the message.
    pub(crate) instruction_verbs: WordList,
}

/// The grammar of English, from its file.
pub(crate) fn english_grammar() -> &'static EnglishGrammar {
    static GRAMMAR: LazyLock<EnglishGrammar> = LazyLock::new(|| parse(include_str!("english_grammar.yaml")));
    &GRAMMAR
}
