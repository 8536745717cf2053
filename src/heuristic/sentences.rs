//! Sentences without markup that can be quoted in an answer, distinguished from fragments and code.
//!
//! The `section` stage provides facts as sentences, list items or table rows, which become `Sentence`s here. A text without
//! facts is split into sentences here too.

use super::language::Language;
use super::wording;
use super::words::{Script, Word, words};

/// A sentence or list item of a section.
#[derive(Debug, Clone)]
pub(super) struct Sentence {
    /// The text without markup, on one line; code spans keep their backticks.
    pub(super) text: String,
    /// Its words in order.
    pub(super) words: Vec<Word>,
    /// Whether it ends like a sentence; a list item or table cell often does not.
    pub(super) complete: bool,
    /// Whether it only refers the reader to another place, or describes what a text is about.
    pub(super) is_cross_reference: bool,
    /// How central it is to its section; set by the passage.
    pub(super) weight: f64,
}

impl Sentence {
    /// The sentence in `raw`; `None` if it is code or has no words.
    pub(super) fn of(raw: &str) -> Option<Self> {
        if raw.contains("```") || raw.contains("~~~") {
            return None;
        }
        let text = plain(raw);
        let words = words(&text);
        if words.is_empty() {
            return None;
        }
        let end = text.trim_end_matches(['"', '”', '“', '»', '\'', ')', ' ']);
        let complete = end.ends_with(['.', '!', '?', '。', '！', '？', '…']) && words.len() > 2;
        let is_cross_reference = refers_elsewhere(&text);
        Some(Self { text, words, complete, is_cross_reference, weight: 0.0 })
    }

    /// Whether it depends on the sentence before it: begins with a pronoun or a word such as "therefore".
    pub(super) fn depends_on_previous(&self, language: Language) -> bool {
        language.wording().words.leaning.contains(&self.words[0].lower)
    }

    /// Its content words in lower case.
    pub(super) fn content(&self, language: Language) -> impl Iterator<Item = &str> {
        self.words.iter().filter(move |word| word.is_content(language)).map(|word| word.lower.as_str())
    }

    /// The text, with a full stop if it has no final punctuation.
    pub(super) fn with_full_stop(&self) -> String {
        let text = self.text.trim_end_matches([':', ';', ',', ' ']);
        if text.ends_with(['.', '!', '?', '。', '！', '？', '…']) || self.complete {
            return text.to_owned();
        }
        let wide = text.chars().next_back().is_some_and(|c| Script::of(c) != Script::Spaced);
        format!("{text}{}", if wide { "。" } else { "." })
    }
}

/// Whether a sentence refers the reader elsewhere, in any of the languages.
fn refers_elsewhere(text: &str) -> bool {
    let lower = text.to_lowercase();
    wording::all().map(|wording| &wording.words.elsewhere).any(|elsewhere| {
        elsewhere.beginnings.iter().any(|front| lower.starts_with(front.as_str()))
            || elsewhere.parts.iter().any(|part| lower.contains(part.as_str()))
    })
}

/// `text` cut at a word to at most `limit` characters, with an ellipsis if anything was cut.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    let Some((cut, _)) = text.char_indices().nth(limit) else { return text.to_owned() };
    let head = &text[..cut];
    let head = head.rsplit_once(' ').map_or(head, |(head, _)| head);
    // A cut code span would leave a lone backtick.
    let head = if head.matches('`').count() % 2 == 1 {
        head.rsplit_once('`').map_or(head, |(head, _)| head)
    } else {
        head
    };
    format!("{} …", head.trim_end_matches([' ', ',', ';', ':', '-', '–']))
}

/// A text without inline markup, on one line: links and emphasis become their words, images and HTML
/// tags go, code spans stay.
pub(super) fn plain(raw: &str) -> String {
    let raw = strip_marker(raw.trim());
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let next = after.chars().next().unwrap_or(' ');
        let (text, left): (&str, &str) = match c {
            '`' => code_span(rest),
            '!' if next == '[' => ("", link(&after[1..]).map_or(after, |(_, left)| left)),
            '[' if next == '^' => ("", after.split_once(']').map_or(after, |(_, left)| left)),
            '[' => link(after).map_or(("[", after), |(_, _)| ("", after)),
            ']' if link_tail(after).is_some() => ("", link_tail(after).unwrap_or(after)),
            '<' if next.is_alphabetic() || next == '/' => tag(rest),
            '*' if !(before.is_whitespace() && next.is_whitespace()) => ("", after),
            '_' if !(before.is_alphanumeric() && next.is_alphanumeric()) => ("", after),
            '\\' if next.is_ascii_punctuation() => (&after[..1], &after[1..]),
            _ => (&rest[..c.len_utf8()], after),
        };
        out.push_str(text);
        before = if text.is_empty() { before } else { text.chars().next_back().unwrap_or(' ') };
        rest = left;
    }
    let line = out.split_whitespace().collect::<Vec<_>>().join(" ");
    line.trim_matches(['|', ' ']).replace(" | ", ", ").replace(". - ", ". ")
}

/// Removes a list marker, quote mark or check box from the beginning.
fn strip_marker(text: &str) -> &str {
    let text = text.trim_start_matches(['>', ' ']);
    let after =
        text.strip_prefix("- ").or_else(|| text.strip_prefix("* ")).or_else(|| text.strip_prefix("+ "));
    let text = after.unwrap_or(text).trim_start();
    let text = text.strip_prefix("[ ] ").or_else(|| text.strip_prefix("[x] ")).unwrap_or(text);
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let numbered = text[digits..].strip_prefix(". ").or_else(|| text[digits..].strip_prefix(") "));
    if (1..=3).contains(&digits) { numbered.unwrap_or(text) } else { text }
}

/// The code span at the front of `rest` and what follows it.
fn code_span(rest: &str) -> (&str, &str) {
    match rest[1..].find('`') {
        Some(length) if length > 0 => rest.split_at(length + 2),
        _ => ("", &rest[1..]),
    }
}

/// For the text after `[`: the link's words and what follows the link; nothing if it is no link.
fn link(after: &str) -> Option<(&str, &str)> {
    let (words, left) = after.split_once(']')?;
    link_tail(left).map(|left| (words, left))
}

/// What follows a link's target, for the text after `]`.
fn link_tail(after: &str) -> Option<&str> {
    let (open, close) = match after.chars().next()? {
        '(' => ('(', ')'),
        '[' => ('[', ']'),
        _ => return None,
    };
    let inner = after.strip_prefix(open)?;
    inner.split_once(close).map(|(_, left)| left)
}

/// An HTML tag at the front of `rest` disappears; an address in angle brackets keeps its words.
fn tag(rest: &str) -> (&str, &str) {
    match rest.split_once('>') {
        Some((inside, left)) if inside.contains("://") => (&inside[1..], left),
        Some((inside, left)) if !inside[1..].contains('<') => ("", left),
        _ => ("<", &rest[1..]),
    }
}

/// Splits running text into sentences, roughly, for texts that come without facts.
pub(super) fn split(text: &str) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            fenced = !fenced;
            continue;
        }
        if fenced || line.trim_start().starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let mut start = 0;
        for (index, c) in line.char_indices() {
            let end = index + c.len_utf8();
            let wide = matches!(c, '。' | '！' | '？');
            let space = line[end..].starts_with(' ')
                && !line[end..].trim_start().starts_with(|c: char| c.is_lowercase());
            if wide || (matches!(c, '.' | '!' | '?') && space && index - start > 3) {
                sentences.extend(Sentence::of(&line[start..end]));
                start = end;
            }
        }
        sentences.extend(Sentence::of(&line[start..]));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: &str) {
        assert_eq!(plain(raw), expected, "{raw}");
    }

    #[test]
    fn markup_goes_and_words_stay() {
        check("- **Bold** and _soft_ text", "Bold and soft text");
        check("See [the guide](https://x.org/a_b) and ![logo](l.png) now", "See the guide and now");
        check("A [ref][1], a note[^2] and [brackets] stay", "A ref, a note and [brackets] stay");
        check("Run `a*b*` on snake_case, 2 * 3", "Run `a*b*` on snake_case, 2 * 3");
        check("Line<br>break <https://x.org>", "Linebreak https://x.org");
        check("1. First\n   goes on", "First goes on");
        check("[x] done \\*star\\*", "done *star*");
    }

    #[test]
    fn text_is_split_outside_fences() {
        let found =
            split("One sentence here. Another e.g. with more words.\n\n```\nlet x = 1;\n```\n- item text");
        let texts: Vec<&str> = found.iter().map(|sentence| sentence.text.as_str()).collect();
        assert_eq!(texts, ["One sentence here.", "Another e.g. with more words.", "item text"]);
    }

    #[test]
    fn a_cut_keeps_words_and_code_whole() {
        assert_eq!(shorten("one two three", 9), "one two …");
        assert_eq!(shorten("run `a b c` now", 8), "run …");
        assert_eq!(shorten("short", 9), "short");
    }

    #[test]
    fn leaning_sentences_are_known() {
        let leans = |text: &str| Sentence::of(text).unwrap().depends_on_previous(Language::English);
        assert!(leans("It then rests.") && !leans("Dough then rests."));
    }
}
