//! Plain text: paragraphs separated by blank lines, and lines that begin like list items. No headings.

use super::inline_text::InlineText;
use super::outline::{AtomKind, Outline};

/// The outline of a plain text.
pub(super) fn outline(text: &str) -> Outline {
    let mut outline = Outline::default();
    let mut paragraph = Paragraph::default();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let words = line.trim();
        let indent = line.len() - line.trim_start().len();
        if words.is_empty() {
            paragraph.close(&mut outline);
        } else {
            if paragraph.is_empty() {
                outline.blocks.push(start);
            }
            let marker = marker(words);
            if marker > 0 {
                paragraph.close(&mut outline);
                paragraph.item = Some(start + indent);
            }
            paragraph.add(&words[marker..], start + indent + marker);
        }
        start += line.len();
    }
    paragraph.close(&mut outline);
    outline
}

/// The lines collected so far.
#[derive(Default)]
struct Paragraph {
    line: InlineText,
    /// The offset of its list marker, if it is a list item.
    item: Option<usize>,
}

impl Paragraph {
    fn is_empty(&self) -> bool {
        self.line.text.is_empty() && self.item.is_none()
    }

    fn add(&mut self, words: &str, source: usize) {
        if !self.line.text.is_empty() {
            self.line.soft_break(words.chars().next());
        }
        self.line.push(words, source..source + words.len());
    }

    fn close(&mut self, outline: &mut Outline) {
        let paragraph = std::mem::take(self);
        match paragraph.item {
            Some(start) => outline.add(start, 1, paragraph.line.plain(), AtomKind::Fact),
            None => outline.add_sentences(&paragraph.line, 0),
        }
    }
}

/// The length of the list marker at the start of a line, with the white space after it; 0 without one.
fn marker(words: &str) -> usize {
    let rest = match words.strip_prefix(['-', '*', '+', '•', '‣', '–']) {
        Some(rest) => Some(rest),
        None => {
            let after = words.trim_start_matches(|c: char| c.is_ascii_digit());
            let digits = words.len() - after.len();
            if (1..=3).contains(&digits) { after.strip_prefix(['.', ')']) } else { None }
        }
    };
    match rest {
        Some(rest) if rest.starts_with([' ', '\t']) => words.len() - rest.trim_start().len(),
        _ => 0,
    }
}
