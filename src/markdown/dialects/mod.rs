//! What Markdown's dialects add to it, rewritten so that a CommonMark parser reads the words and nothing else.
//!
//! Before `walk`: markup of Obsidian, MDX, MyST, MkDocs, Hugo, Jekyll and kramdown is covered, formulas become one word
//! each, HTML tables are set apart. The rewritten text has the length and the lines of the text, so places hold. Nothing
//! inside code is touched. What is covered for the parser still stands in the texts of sections, but for comments,
//! scripts and imports, which are nothing to a reader.

mod asides;
mod draft;
mod math;
mod mdx;
mod obsidian;
mod scan;
mod setext;
mod tags;
mod templates;

use std::ops::Range;

use pulldown_cmark::{CowStr, Event};

use draft::Draft;
use scan::Scan;
pub(super) use tags::element;

/// Covers markup within a line. A control character, so that nothing reads it as an indentation or a word.
const HIDDEN: u8 = 2;
/// Covers a formula.
const FORMULA: u8 = b'X';

/// A text whose dialects are rewritten.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    /// The text for the parser.
    pub(super) text: String,
    /// Where formulas stand, and whether each is set apart from the text.
    formulas: Vec<(Range<usize>, bool)>,
    /// What is nothing to a reader.
    pub(super) silent: Vec<Range<usize>>,
    /// HTML tables.
    pub(super) tables: Vec<Range<usize>>,
    /// Titles of asides.
    pub(super) titles: Vec<Range<usize>>,
}

/// Rewrites a text.
pub(super) fn rewrite(source: &str) -> Rewritten {
    let mut draft = Draft::new(source);
    asides::rewrite(&mut draft);
    let text = draft.text();
    Scan::new(&mut draft, &text).run();
    setext::rewrite(&mut draft);
    draft.finish()
}

impl Rewritten {
    /// What the parser's event says in terms of what was written: formulas as they are, covered markup gone. None for
    /// an event that says just what was written.
    pub(super) fn restored(
        &self,
        source: &str,
        event: &Event<'_>,
        range: &Range<usize>,
    ) -> Option<Vec<(Event<'static>, Range<usize>)>> {
        let (text, make): (_, fn(CowStr<'static>) -> Event<'static>) = match event {
            Event::Text(text) => (text, Event::Text),
            Event::Html(text) => (text, Event::Html),
            Event::InlineHtml(text) => (text, Event::InlineHtml),
            _ => return None,
        };
        if text.len() != range.len()
            || self.text.as_bytes()[range.clone()] == source.as_bytes()[range.clone()]
        {
            return None;
        }
        let first = self.formulas.partition_point(|(formula, _)| formula.start < range.start);
        let within = self.formulas[first..].iter().take_while(|(formula, _)| formula.end <= range.end);
        let mut from = range.start;
        let mut events = Vec::new();
        for (formula, display) in within {
            events.extend(self.pieces(from..formula.start, make));
            let text = CowStr::from(math::written(source, formula));
            let event = if *display { Event::DisplayMath(text) } else { Event::InlineMath(text) };
            events.push((event, formula.clone()));
            from = formula.end;
        }
        events.extend(self.pieces(from..range.end, make));
        Some(events)
    }

    /// What is not covered within `range`.
    fn pieces(
        &self,
        range: Range<usize>,
        make: fn(CowStr<'static>) -> Event<'static>,
    ) -> Vec<(Event<'static>, Range<usize>)> {
        let mut pieces = Vec::new();
        let mut start = range.start;
        for part in self.text[range].split(char::from(HIDDEN)) {
            if !part.is_empty() {
                pieces.push((make(part.to_owned().into()), start..start + part.len()));
            }
            start += part.len() + 1;
        }
        pieces
    }

    /// Whether the title of an aside ends in the line whose end is `at`.
    pub(super) fn ends_title(&self, at: usize) -> bool {
        let after = self.titles.partition_point(|title| title.start < at);
        let title = after.checked_sub(1).and_then(|last| self.titles.get(last));
        title.is_some_and(|title| !self.text[title.end.min(at)..at].contains('\n'))
    }

    /// Whether the words at `at` are the title of an aside.
    pub(super) fn is_title(&self, at: usize) -> bool {
        let after = self.titles.partition_point(|title| title.start <= at);
        after > 0 && self.titles[after - 1].contains(&at)
    }
}

#[cfg(test)]
mod tests;
