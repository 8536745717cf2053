//! The outline of a text: its headings, the offsets of its blocks, and its atoms.
//!
//! Atoms are the pieces that may become facts: list items, sentences, table rows; and pieces that count as
//! content only, such as lines of code. `sections` splits at the offsets, `facts` selects among the atoms.

use std::borrow::Cow;
use std::ops::Range;

use super::images::ShownImage;
use super::inline_text::{InlineText, one_line};
use super::{outline_builder, plain, sentences};

/// The syntax of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Markdown: CommonMark with tables, footnotes, task lists and alerts.
    Markdown,
    /// Plain text: paragraphs and simple lists, no headings.
    Plain,
}

/// The structure of a text. Offsets are in bytes; every list is in the order of the text.
#[derive(Debug, Default)]
pub struct Outline {
    /// The headings that begin a section.
    pub headings: Vec<Heading>,
    /// The offsets of top-level blocks.
    pub blocks: Vec<usize>,
    /// The pieces that may be facts.
    pub atoms: Vec<Atom>,
    /// The images in the text.
    pub images: Vec<ShownImage>,
    /// What a reader does not see: comments, scripts, styles, imports.
    pub silent: Vec<Range<usize>>,
    /// Whether markup was left open that text after the end might close.
    pub(super) is_open: bool,
}

/// A heading that begins a section.
#[derive(Debug)]
pub struct Heading {
    /// Its lines, line ends included.
    pub lines: Range<usize>,
    /// 1 to 6.
    pub level: u8,
    /// Its text without markup; may be empty.
    pub title: String,
}

/// A piece of a text.
#[derive(Debug)]
pub struct Atom {
    /// Where it begins.
    pub start: usize,
    /// Its nesting depth in lists, from 0; the lines of a code block are one level deeper than the block.
    pub depth: usize,
    /// Its text, on one line.
    pub text: String,
    /// How it can be used.
    pub kind: AtomKind,
}

/// How an atom can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtomKind {
    /// It is meaningful on its own.
    Fact,
    /// It is meaningful together with others: a line of links, or words that introduce what follows.
    Content,
    /// A line of code.
    Code,
    /// It has no readable content: images, tables of contents, empty items. Only its offset matters.
    Nothing,
}

impl Outline {
    /// Makes the outline of `text`.
    #[must_use]
    pub fn of(text: &str, syntax: Syntax) -> Self {
        let mut outline = match syntax {
            Syntax::Markdown => outline_builder::outline(text),
            Syntax::Plain => plain::outline(text),
        };
        // The parser may split a masked range within a character.
        for start in outline.atoms.iter_mut().map(|atom| &mut atom.start).chain(&mut outline.blocks) {
            *start = text.floor_char_boundary(*start);
        }
        outline.atoms.sort_by_key(|atom| atom.start);
        outline.images.sort_by_key(|image| image.start);
        outline.blocks.sort_unstable();
        outline.headings.sort_by_key(|heading| heading.lines.start);
        outline
    }

    /// The atoms that begin within `range`.
    #[must_use]
    pub fn atoms_in(&self, range: &Range<usize>) -> &[Atom] {
        let first = self.atoms.partition_point(|atom| atom.start < range.start);
        let last = self.atoms.partition_point(|atom| atom.start < range.end);
        &self.atoms[first..last.max(first)]
    }

    /// The images within `range`.
    #[must_use]
    pub fn images_in(&self, range: &Range<usize>) -> &[ShownImage] {
        let first = self.images.partition_point(|image| image.start < range.start);
        let last = self.images.partition_point(|image| image.start < range.end);
        &self.images[first..last.max(first)]
    }

    /// `range` of the text without what a reader does not see, and without lines that contained nothing else.
    #[must_use]
    pub fn readable<'a>(&self, text: &'a str, range: &Range<usize>) -> Cow<'a, str> {
        let first = self.silent.partition_point(|silent| silent.end <= range.start);
        let mut silent = self.silent[first..].iter().take_while(|silent| silent.start < range.end).peekable();
        if silent.peek().is_none() {
            return Cow::Borrowed(&text[range.clone()]);
        }
        let mut readable = String::with_capacity(range.len());
        let mut from = range.start;
        for silent in silent {
            let (start, mut end) = (silent.start.max(from), silent.end.min(range.end));
            readable.push_str(&text[from..start]);
            let begins = readable.is_empty() || readable.ends_with('\n');
            let rest = &text[end.max(from)..range.end];
            let line = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            if begins && (rest[line..].starts_with('\n') || line == rest.len()) {
                end = end.max(from) + line + usize::from(line < rest.len());
            }
            from = end.max(from);
        }
        readable.push_str(&text[from..range.end]);
        Cow::Owned(readable)
    }

    /// Whether anything within `range` can be read: images, comments and tables of contents cannot.
    #[must_use]
    pub fn is_readable(&self, range: &Range<usize>) -> bool {
        self.atoms_in(range).iter().any(|atom| !atom.text.is_empty())
    }

    /// Removes what begins at `end` or after it.
    pub(super) fn truncate(&mut self, end: usize) {
        self.headings.retain(|heading| heading.lines.start < end);
        self.blocks.retain(|block| *block < end);
        self.atoms.retain(|atom| atom.start < end);
        self.images.retain(|image| image.start < end);
        self.silent.retain(|silent| silent.start < end);
    }

    pub(super) fn add(&mut self, start: usize, depth: usize, text: String, kind: AtomKind) {
        let kind = if text.is_empty() { AtomKind::Nothing } else { kind };
        self.atoms.push(Atom { start, depth, text, kind });
    }

    /// Adds each sentence of a paragraph.
    pub(super) fn add_sentences(&mut self, line: &InlineText, depth: usize) {
        for range in sentences::split(&line.text, &line.solid) {
            let text = one_line(&line.text[range.clone()]);
            let kind = if leads(&text) { AtomKind::Content } else { AtomKind::Fact };
            self.add(line.place(range.start), depth, text, kind);
        }
    }
}

/// Whether the words only introduce what follows: a list, code, an image.
pub(super) fn leads(text: &str) -> bool {
    text.ends_with([':', '：', '፦', '៖'])
}
