//! Words of a text: where they are, which of them carry content, and how much of an answer its sources support.
//!
//! The lowest layer of the heuristic: a fast tokenizer without a dictionary. `terms` and the question writers decide what
//! the words mean for a question.

use std::collections::HashSet;
use std::ops::Range;

use super::language::Language;

/// The minimum share of an answer's content words that its sources must contain, somewhat above the promised 70 %,
/// since other lists of stop words count slightly differently.
const SUPPORT: f64 = 0.78;

/// A word or a code span of a text.
#[derive(Debug, Clone)]
pub(super) struct Word {
    /// Its byte range in the text; a code span includes its backticks.
    pub(super) at: Range<usize>,
    /// In lower case, without backticks.
    pub(super) lower: String,
    /// Whether it is a code span.
    pub(super) code: bool,
}

impl Word {
    /// Whether the word is specific to the subject: four letters or more, and not a stop word.
    pub(super) fn is_content(&self, language: Language) -> bool {
        is_content(&self.lower, language)
    }
}

/// The script of a letter, which separates words where there are no spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// With spaces between words, as in Europe.
    Spaced,
    Kanji,
    Katakana,
    Hiragana,
}

impl Script {
    pub(super) fn of(c: char) -> Self {
        match c {
            '\u{3041}'..='\u{309f}' => Self::Hiragana,
            '\u{30a1}'..='\u{30ff}' => Self::Katakana,
            '\u{3400}'..='\u{9fff}' | '々' => Self::Kanji,
            _ => Self::Spaced,
        }
    }

    pub(super) fn of_word(word: &str) -> Self {
        word.chars().next().map_or(Self::Spaced, Self::of)
    }
}

/// Whether a lower-case word carries content.
pub(super) fn is_content(lower: &str, language: Language) -> bool {
    match Script::of_word(lower) {
        Script::Spaced => {}
        Script::Hiragana => return false,
        Script::Kanji | Script::Katakana => return lower.chars().nth(1).is_some(),
    }
    lower.chars().filter(|c| c.is_alphabetic()).nth(3).is_some() && !language.is_stop(lower)
}

/// The words of a text in order. Apostrophes, hyphens, underscores and dots inside a word belong to it.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::with_capacity(text.len() / 6 + 1);
    let mut rest = 0;
    while let Some(offset) = text[rest..].find(|c: char| c.is_alphanumeric() || c == '`') {
        let start = rest + offset;
        let code = text[start..].starts_with('`');
        let end = if code { code_end(text, start) } else { word_end(text, start) };
        let inner = text[start..end].trim_matches('`');
        if !inner.is_empty() {
            words.push(Word { at: start..end, lower: inner.to_lowercase(), code });
        }
        rest = end;
    }
    words
}

/// The end of the code span that opens at `start`; just behind the backtick if none closes it.
fn code_end(text: &str, start: usize) -> usize {
    match text[start + 1..].find('`') {
        Some(length) => start + 1 + length + 1,
        None => start + 1,
    }
}

fn word_end(text: &str, start: usize) -> usize {
    let mut end = start;
    let mut chars = text[start..].char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        let joins = matches!(c, '\'' | '’' | '-' | '_' | '.' | ',');
        let next = chars.peek().map(|(_, next)| *next);
        let inside = match (c, next) {
            (',', Some(next)) => {
                next.is_ascii_digit() && text[..start + offset].ends_with(|c: char| c.is_ascii_digit())
            }
            (_, Some(next)) => joins && next.is_alphanumeric(),
            (_, None) => false,
        };
        // Without spaces, a change of script is the most likely border between words.
        let script = Script::of(c);
        let meets = offset > 0 && script != Script::of_word(&text[start..]);
        if (!c.is_alphanumeric() && !inside) || meets {
            break;
        }
        end = start + offset + c.len_utf8();
    }
    end
}

/// The letters-only pieces of a text in lower case, as a reader who compares two texts would count them.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|piece| !piece.is_empty()).map(str::to_lowercase)
}

/// Whether enough of an answer's content words are in the vocabulary of its sources.
pub(super) fn supported(answer: &str, language: Language, vocabularies: &[&HashSet<String>]) -> bool {
    let (mut all, mut held) = (0_u32, 0_u32);
    for piece in pieces(answer) {
        // Numbers count here: an answer with numbers that its source lacks is wrong.
        if piece.chars().nth(3).is_some() && !language.is_stop(&piece) {
            all += 1;
            held += u32::from(vocabularies.iter().any(|words| words.contains(&piece)));
        }
    }
    f64::from(held) >= SUPPORT * f64::from(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_what_joins_them() {
        let found: Vec<String> = words("Don't run `cargo build` on x86-64 v1.2, at 1,500 rpm.")
            .into_iter()
            .map(|word| word.lower)
            .collect();
        assert_eq!(found, ["don't", "run", "cargo build", "on", "x86-64", "v1.2", "at", "1,500", "rpm"]);
    }

    #[test]
    fn an_open_code_span_is_no_word() {
        let found: Vec<String> = words("a ` b `").into_iter().map(|word| word.lower).collect();
        assert_eq!(found, ["a", " b "]);
        assert_eq!(words("`").len(), 0);
        let japanese: Vec<String> =
            words("緑茶の葉をカテキンに").into_iter().map(|word| word.lower).collect();
        assert_eq!(japanese, ["緑茶", "の", "葉", "を", "カテキン", "に"]);
    }

    #[test]
    fn support_counts_content_words_only() {
        let vocabulary: HashSet<String> = ["dough", "rests"].map(str::to_owned).into();
        assert!(supported("The dough rests.", Language::English, &[&vocabulary]));
        assert!(!supported("The dough sings.", Language::English, &[&vocabulary]));
    }
}
