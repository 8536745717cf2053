//! Makes untrusted text safe to print: file names, answers, error bodies, unknown keys.
//!
//! A terminal interprets control characters, so a document's name could repaint the screen or hide a line, and
//! bidirectional control characters can make a text read as another. Everything that reaches a terminal or a log
//! goes through here; the files of a run hold the texts unchanged.

use std::borrow::Cow;
use std::fmt::Write;

/// Escapes control characters and bidirectional marks of a text, as `\u{1b}`. Line endings and tabs stay.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    // Nearly every text is plain, and plain ASCII is scanned fast.
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        // A Windows line ending hides nothing.
        if character == '\r' && characters.peek() == Some(&'\n') {
            continue;
        }
        if is_hidden(character) {
            let _ = write!(out, "{}", character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// As `printable`, on one line: line endings and tabs are escaped too.
#[must_use]
pub fn printable_line(text: &str) -> Cow<'_, str> {
    match printable(text) {
        plain if !plain.contains(['\n', '\t']) => plain,
        lines => Cow::Owned(lines.replace('\n', "\\n").replace('\t', "\\t")),
    }
}

fn is_hidden(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        // Embeddings, overrides and isolates of direction, and single direction marks; line separators that only
        // some programs recognize.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}' => true,
        '\u{2028}' | '\u{2029}' => true,
        // Invisible characters, and tags, which can spell out a hidden text.
        '\u{feff}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        for (text, expected) in [
            ("plain, ä 水 👩‍🔬\n\ttab", "plain, ä 水 👩‍🔬\n\ttab"),
            ("a\u{1b}[2Jb\u{7}", "a\\u{1b}[2Jb\\u{7}"),
            ("a\r\nb\rc", "a\nb\\u{d}c"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
            ("\u{2066}x\u{2069}\u{feff}\u{e0041}", "\\u{2066}x\\u{2069}\\u{feff}\\u{e0041}"),
            ("\0\u{7f}", "\\u{0}\\u{7f}"),
        ] {
            assert_eq!(printable(text), expected, "{text:?}");
        }
        assert_eq!(printable_line("a\n\tb\u{1b}"), "a\\n\\tb\\u{1b}");
        assert!(matches!(printable("fine"), Cow::Borrowed(_)));
    }
}
