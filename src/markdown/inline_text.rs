//! Inline text under construction: the text of a paragraph, item, heading or cell without its markup.
//!
//! `outline_builder` fills it from parser events. It remembers the source offset of each piece, which ranges must
//! not be split (code, addresses), and whether there is text besides links and images.

use std::ops::Range;

/// The text of one paragraph, item, heading or cell.
#[derive(Debug, Default)]
pub(super) struct InlineText {
    /// The text; a hard line break is a `\n`.
    pub(super) text: String,
    /// Ranges of `text` that contain no sentence end.
    pub(super) solid: Vec<Range<usize>>,
    /// Whether there are words outside of links and images.
    pub(super) own_words: bool,
    /// Whether there are words in links to elsewhere; links to a heading of the same page are a table of
    /// contents.
    pub(super) linked_words: bool,
    places: Vec<SourceSpan>,
    alts: Vec<Range<usize>>,
    link: Option<OpenLink>,
    images: usize,
    /// Ranges of `text` that are display formulas.
    formulas: Vec<Range<usize>>,
}

#[derive(Debug, Clone, Copy)]
struct SourceSpan {
    text: usize,
    source: usize,
    /// Whether text and source are identical here, byte for byte.
    exact: bool,
}

#[derive(Debug, Clone, Copy)]
struct OpenLink {
    inside_page: bool,
    address: bool,
}

impl InlineText {
    /// Appends text from the range `source`.
    pub(super) fn push(&mut self, text: &str, source: Range<usize>) {
        let start = self.text.len();
        if self.images > 0 && self.link.is_some() {
            // The text of a badge.
            return;
        }
        let exact = source.len() == text.len();
        self.places.push(SourceSpan { text: start, source: source.start, exact });
        self.text.push_str(text);
        if self.images > 0 {
            self.alts.push(start..self.text.len());
            return;
        }
        let words = text.chars().any(char::is_alphanumeric);
        match self.link {
            None => self.own_words |= words,
            Some(link) => {
                self.linked_words |= words && !link.inside_page;
                if link.address {
                    self.solid.push(start..self.text.len());
                }
            }
        }
    }

    /// Appends the text of a code span.
    pub(super) fn push_code(&mut self, code: &str, source: Range<usize>) {
        let start = self.text.len();
        self.push(code, source);
        if self.text.len() > start {
            self.solid.push(start..self.text.len());
        }
    }

    /// Appends a display formula.
    pub(super) fn push_formula(&mut self, formula: &str, source: Range<usize>) {
        let start = self.text.len();
        self.push_code(formula, source);
        self.formulas.push(start..self.text.len());
    }

    /// Whether it consists of one display formula.
    pub(super) fn is_formula(&self) -> bool {
        self.formulas.first().is_some_and(|formula| {
            self.formulas.len() == 1
                && self.text[..formula.start].trim().is_empty()
                && !self.text[formula.end..].contains(char::is_alphanumeric)
        })
    }

    /// Appends a soft line break; `next` is the first character after it.
    pub(super) fn soft_break(&mut self, next: Option<char>) {
        // Chinese and Japanese lines join without a space.
        let joins = self.text.chars().next_back().is_some_and(is_wide) && next.is_some_and(is_wide);
        if !joins {
            self.text.push(' ');
        }
    }

    /// Appends a hard line break.
    pub(super) fn hard_break(&mut self) {
        self.text.push('\n');
    }

    /// A link begins.
    pub(super) fn open_link(&mut self, url: &str, address: bool) {
        self.link = Some(OpenLink { inside_page: url.starts_with('#'), address });
    }

    /// The link ends.
    pub(super) fn close_link(&mut self) {
        self.link = None;
    }

    /// An image begins; the text until its end is its description.
    pub(super) fn open_image(&mut self) {
        self.images += 1;
    }

    /// The image ends.
    pub(super) fn close_image(&mut self) {
        self.images = self.images.saturating_sub(1);
    }

    /// The source offset of the character at `offset` of the text.
    pub(super) fn place(&self, offset: usize) -> usize {
        let after = self.places.partition_point(|place| place.text <= offset);
        match after.checked_sub(1).and_then(|last| self.places.get(last)) {
            Some(place) if place.exact => place.source + (offset - place.text),
            Some(place) => place.source,
            None => 0,
        }
    }

    /// The text on one line, without the descriptions of images if there is other text.
    pub(super) fn plain(&self) -> String {
        if self.own_words || self.alts.is_empty() {
            return one_line(&self.text);
        }
        let mut text = String::new();
        let mut from = 0;
        for alt in &self.alts {
            text.push_str(&self.text[from..alt.start]);
            from = alt.end;
        }
        text.push_str(&self.text[from..]);
        one_line(&text)
    }
}

/// Collapses every run of white space into one space, and trims the ends.
pub(super) fn one_line(text: &str) -> String {
    if is_one_line(text.as_bytes()) {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Whether a text certainly is one line already: ASCII and letters of two bytes, with single spaces inside.
fn is_one_line(text: &[u8]) -> bool {
    // U+0080 to U+00BF begin with C2; there are spaces and control characters among them. No loop ends early, so that the
    // compiler can take many bytes at a time.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | 0x80..=0xc1 | 0xc3..=0xdf);
    let are_plain = text.iter().fold(true, |all, byte| all & is_plain(byte));
    let neighbours = text.iter().zip(text.get(1..).unwrap_or_default());
    let doubled = neighbours.fold(false, |any, (one, next)| any | ((*one == b' ') & (*next == b' ')));
    are_plain && !doubled && !text.starts_with(b" ") && !text.ends_with(b" ")
}

/// Whether the character belongs to a script without spaces between words.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}')
}
