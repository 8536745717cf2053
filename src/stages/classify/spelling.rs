//! Which of a few answers a text spells: `A`, ` a`, `(A)`, `**A.** It is ...`.
//!
//! Texts are compared without regard to case and to characters that may precede an answer (white space, brackets,
//! quotes, Markdown). A prefix that may still become one of the answers is distinguished from one that cannot.

/// Characters that may precede an answer.
const BEFORE: &[char] = &['(', '[', '{', '"', '\'', '`', '*', '_', '#', '>', ':', '-', '“', '‘', '«', '「'];
/// The number of characters from which a prefix of an answer counts for it: `I` need not become `Irrelevant`.
const SHORTEST_BEGINNING: usize = 2;

/// The possible answers, normalized for comparison.
#[derive(Debug, Clone)]
pub(super) struct Spellings {
    forms: Vec<String>,
}

/// What a prefix of an answer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// The answer with this index, and it can no longer become another.
    Answer(usize),
    /// Nothing yet: it is empty or a prefix of one or more answers.
    Open,
    /// None of the answers.
    Other,
}

impl Spellings {
    pub(super) fn new<'a>(answers: impl IntoIterator<Item = &'a str>) -> Self {
        Self { forms: answers.into_iter().map(form).collect() }
    }

    /// Whether an answer cannot be distinguished from an earlier one, or cannot be recognized.
    pub(super) fn is_ambiguous(&self, index: usize) -> bool {
        let form = &self.forms[index];
        form.is_empty() || self.forms[..index].contains(form)
    }

    /// What a prefix of an answer decides.
    pub(super) fn said(&self, text: &str) -> Said {
        let text = form_of_beginning(text);
        let grows = |form: &String| form.len() > text.len() && form.starts_with(&text);
        if self.forms.iter().any(grows) {
            return Said::Open;
        }
        self.longest_in_front(&text).map_or(Said::Other, Said::Answer)
    }

    /// The answer that a prefix counts for if its continuation is unknown.
    pub(super) fn begun(&self, text: &str) -> Option<usize> {
        let text = form_of_beginning(text);
        if let Some(found) = self.longest_in_front(&text) {
            return Some(found);
        }
        if text.chars().count() < SHORTEST_BEGINNING {
            return None;
        }
        let mut beginning = self.forms.iter().enumerate().filter(|(_, form)| form.starts_with(&text));
        match (beginning.next(), beginning.next()) {
            (Some((index, _)), None) => Some(index),
            _ => None,
        }
    }

    /// The answer in a complete text: at its beginning, as its last line, or as the only one that it names.
    pub(super) fn given(&self, text: &str) -> Option<usize> {
        if let Some(found) = self.in_front_of_whole(&form_of_beginning(text)) {
            return Some(found);
        }
        let last = text.lines().rev().find(|line| !line.trim().is_empty())?;
        if let Some(found) = self.forms.iter().position(|answer| *answer == form(last)) {
            return Some(found);
        }
        let text = text.to_lowercase();
        let mut named = (0..self.forms.len()).filter(|index| self.is_named(*index, &text));
        match (named.next(), named.next()) {
            (Some(index), None) => Some(index),
            _ => None,
        }
    }

    /// The longest answer that a text begins with, as a word of its own.
    fn longest_in_front(&self, text: &str) -> Option<usize> {
        let ends = |form: &str| !text[form.len()..].starts_with(char::is_alphanumeric);
        let fitting = |form: &String| !form.is_empty() && text.starts_with(form.as_str()) && ends(form);
        let found = self.forms.iter().enumerate().filter(|(_, form)| fitting(form));
        found.max_by_key(|(_, form)| form.len()).map(|(index, _)| index)
    }

    /// The answer that a complete text begins with. A single letter before a word may be a word itself.
    fn in_front_of_whole(&self, text: &str) -> Option<usize> {
        let found = self.longest_in_front(text)?;
        let form = &self.forms[found];
        let is_word = form.chars().count() == 1
            && text[form.len()..].trim_start_matches(' ').starts_with(char::is_alphanumeric);
        (!is_word).then_some(found)
    }

    /// Whether a lowercase text names an answer: as a word, or in brackets if it is a single letter, which could be a
    /// word of the language.
    fn is_named(&self, index: usize, text: &str) -> bool {
        let form = &self.forms[index];
        if form.chars().count() == 1 {
            return text.contains(&format!("({form})"));
        }
        let is_word = |(at, _): (usize, &str)| {
            let (before, after) = (&text[..at], &text[at + form.len()..]);
            !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
        };
        text.match_indices(form.as_str()).any(is_word)
    }
}

/// An answer or a line without the characters around it.
fn form(text: &str) -> String {
    let inner = form_of_beginning(text);
    inner
        .trim_end_matches(|end: char| end.is_whitespace() || end.is_ascii_punctuation() && end != '+')
        .to_owned()
}

/// A prefix without the characters that precede the answer.
fn form_of_beginning(text: &str) -> String {
    text.trim_start_matches(|start: char| start.is_whitespace() || BEFORE.contains(&start)).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_found_in_their_spellings() {
        let letters = Spellings::new(["A", "B"]);
        for (text, expected) in [
            ("A", Said::Answer(0)),
            (" b", Said::Answer(1)),
            ("(A)", Said::Answer(0)),
            ("**B.** It is", Said::Answer(1)),
            ("A) because", Said::Answer(0)),
            ("(", Said::Open),
            ("\n\n", Said::Open),
            ("", Said::Open),
            ("As", Said::Other),
            ("The", Said::Other),
            ("C", Said::Other),
        ] {
            assert_eq!(letters.said(text), expected, "{text:?}");
        }
    }

    #[test]
    fn words_may_be_begun() {
        let words = Spellings::new(["no", "not sure", "Irrelevant", "C++"]);
        for (text, said, begun) in [
            ("no", Said::Open, Some(0)),
            ("No.", Said::Answer(0), Some(0)),
            ("Not", Said::Open, Some(1)),
            (" not sure", Said::Answer(1), Some(1)),
            ("I", Said::Open, None),
            ("Ir", Said::Open, Some(2)),
            ("n", Said::Open, None),
            ("c++", Said::Answer(3), Some(3)),
            ("nothing", Said::Other, None),
            ("", Said::Open, None),
        ] {
            assert_eq!((words.said(text), words.begun(text)), (said, begun), "{text:?}");
        }
        assert_eq!(Spellings::new(["in", "inside", "insert"]).begun("ins"), None);
    }

    #[test]
    fn a_whole_answer_names_one_or_none() {
        let letters = Spellings::new(["A", "B"]);
        let words = Spellings::new(["positive", "negative"]);
        for (answers, text, expected) in [
            (&letters, "A", Some(0)),
            (&letters, "(B)", Some(1)),
            (&letters, "It is a matter of taste.\n\n**B**.", Some(1)),
            (&letters, "The better one is (B).", Some(1)),
            (&letters, "A: it is shorter", Some(0)),
            (&letters, "A matter of taste.", None),
            (&letters, "A matter of taste: (B)", Some(1)),
            (&letters, "Both (A) and (B).", None),
            (&letters, "It is a matter of taste.", None),
            (&letters, "", None),
            (&words, "Negative, as the customer is angry.", Some(1)),
            (&words, "This is positive.", Some(0)),
            (&words, "More positive than negative", None),
            (&words, "Unpositively", None),
        ] {
            assert_eq!(answers.given(text), expected, "{text:?}");
        }
    }

    #[test]
    fn answers_that_read_alike_are_ambiguous() {
        let answers = Spellings::new(["Yes", " yes.", "no", "?"]);
        let found: Vec<bool> = (0..4).map(|index| answers.is_ambiguous(index)).collect();
        assert_eq!(found, [false, true, false, true]);
    }
}
