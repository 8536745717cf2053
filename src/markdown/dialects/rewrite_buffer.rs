//! A text being rewritten: same length in bytes, same lines, so that every offset in it is an offset in the
//! original.

use std::borrow::Cow;
use std::ops::Range;

use super::{FORMULA, HIDDEN, RewrittenText};

/// The buffer of one text.
pub(super) struct RewriteBuffer<'a> {
    /// The original text.
    pub(super) source: &'a str,
    /// A copy of it, once something has been overwritten.
    bytes: Cow<'a, [u8]>,
    found: RewrittenText<'a>,
}

impl<'a> RewriteBuffer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, bytes: Cow::Borrowed(source.as_bytes()), found: RewrittenText::default() }
    }

    /// Whether the text differs from the original.
    pub(super) fn is_changed(&self) -> bool {
        matches!(self.bytes, Cow::Owned(_))
    }

    /// The text in its current state.
    pub(super) fn text(&self) -> Cow<'a, str> {
        if !self.is_changed() {
            return Cow::Borrowed(self.source);
        }
        // Only whole characters are replaced, by ASCII.
        Cow::Owned(String::from_utf8_lossy(&self.bytes).into_owned())
    }

    /// Returns the result.
    pub(super) fn finish(mut self) -> RewrittenText<'a> {
        self.found.text = self.text();
        self.found.formulas.sort_by_key(|(range, _)| range.start);
        for ranges in [&mut self.found.silent, &mut self.found.titles, &mut self.found.tables] {
            ranges.sort_by_key(|range| range.start);
        }
        self.found
    }

    /// Masks markup: the parser sees nothing there. Markup that fills whole lines leaves them blank.
    pub(super) fn hide(&mut self, range: Range<usize>) {
        // A longer line contains more than markup, or its indentation makes no difference.
        const LINE: usize = 4 * 1024;
        let is_blank = |byte: &u8| matches!(*byte, b' ' | b'\t' | b'>' | HIDDEN);
        let before = self.bytes[..range.start].iter().rev().take(LINE).find(|byte| !is_blank(byte));
        let after = self.bytes[range.end..].iter().take(LINE).find(|byte| !is_blank(byte));
        let whole = [before, after].iter().all(|byte| byte.is_none_or(|byte| *byte == b'\n'));
        self.fill(range, if whole { b' ' } else { HIDDEN });
    }

    /// Masks what a reader does not see, and removes it from the texts of sections too.
    pub(super) fn silence(&mut self, range: Range<usize>) {
        self.found.silent.push(range.clone());
        self.hide(range);
    }

    /// Masks a formula by one long word, line ends included.
    pub(super) fn formula(&mut self, range: Range<usize>, display: bool) {
        self.bytes.to_mut()[range.clone()].fill(FORMULA);
        self.found.formulas.push((range, display));
    }

    /// Masks an HTML table, whose rows are parsed separately.
    pub(super) fn table(&mut self, range: Range<usize>) {
        self.hide(range.clone());
        self.found.tables.push(range);
    }

    /// Records the title of an admonition, which is not a sentence.
    pub(super) fn title(&mut self, range: Range<usize>) {
        if !self.source[range.clone()].trim().is_empty() {
            self.found.titles.push(range);
        }
    }

    /// Overwrites a range except its line ends.
    pub(super) fn fill(&mut self, range: Range<usize>, with: u8) {
        for byte in &mut self.bytes.to_mut()[range] {
            if *byte != b'\n' {
                *byte = with;
            }
        }
    }

    /// Overwrites the start of a range with ASCII and fills the rest of it with spaces.
    pub(super) fn put(&mut self, range: Range<usize>, ascii: &[u8]) {
        self.fill(range.clone(), b' ');
        for (byte, with) in self.bytes.to_mut()[range].iter_mut().zip(ascii) {
            if *byte != b'\n' {
                *byte = *with;
            }
        }
    }

    /// Turns the lines of an indented block into those of a block quote, whose text the parser reads.
    pub(super) fn unindent(&mut self, range: Range<usize>) {
        let mut start =
            self.bytes[..range.start].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        while start < range.end {
            let line = &self.bytes[start..];
            let length = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
            let words = line[..length].iter().position(|byte| !matches!(byte, b' ' | b'>')).unwrap_or(length);
            let quote = line[..words].iter().rposition(|byte| *byte == b'>').map_or(0, |at| at + 2);
            if words < length && words >= quote + 3 {
                self.bytes.to_mut()[start + quote] = b'>';
            }
            start += length + 1;
        }
    }
}
