//! Rewrites the extensions of Markdown's dialects so that a CommonMark parser sees only the text.
//!
//! Runs before `outline_builder`: markup of Obsidian, MDX, MyST, MkDocs, Hugo, Jekyll and kramdown is masked,
//! formulas become one word each, HTML tables are separated. The rewritten text has the same length and lines, so
//! offsets stay valid. Nothing inside code is changed. What is masked for the parser remains in the texts of
//! sections, except comments, scripts and imports, which a reader does not see.

mod admonitions;
mod math;
mod mdx;
mod obsidian;
mod rewrite_buffer;
mod scanner;
mod setext;
mod tags;
mod templates;

use std::borrow::{Borrow, Cow};
use std::ops::Range;

use memchr::memchr_iter;
use pulldown_cmark::{CowStr, Event, Tag};

use super::outline_builder;
use rewrite_buffer::RewriteBuffer;
use scanner::DialectScanner;
pub(super) use tags::element;

/// Masks inline markup. A control character, so that it is taken neither for indentation nor for a word.
const HIDDEN: u8 = 2;
/// Masks a formula.
const FORMULA: u8 = b'X';

/// The events of the parser, each with its range.
pub(super) type ParsedText<'a> = Vec<(Event<'a>, Range<usize>)>;

/// A text with rewritten dialects.
#[derive(Debug, Default)]
pub(super) struct RewrittenText<'a> {
    /// The text for the parser.
    pub(super) text: Cow<'a, str>,
    /// The text as it was parsed; `None` if it was rewritten after that.
    pub(super) parsed: Option<ParsedText<'a>>,
    /// The ranges of formulas, and whether each is a display formula.
    formulas: Vec<(Range<usize>, bool)>,
    /// What a reader does not see.
    pub(super) silent: Vec<Range<usize>>,
    /// HTML tables.
    pub(super) tables: Vec<Range<usize>>,
    /// Whether markup was left open that text after the end might close.
    pub(super) is_open: bool,
    /// Titles of admonitions.
    pub(super) titles: Vec<Range<usize>>,
}

/// Rewrites a text.
pub(super) fn rewrite(source: &str) -> RewrittenText<'_> {
    let mut draft = RewriteBuffer::new(source);
    admonitions::rewrite(&mut draft);
    // Most texts need no rewriting, so their events are kept for the outline.
    let parsed: Option<ParsedText<'_>> = if draft.is_changed() { None } else { Some(parse(source)) };
    let text = draft.text();
    let code = match &parsed {
        Some(events) => code_ranges(events.iter().map(|(event, range)| (event, range.clone()))),
        None => code_ranges(outline_builder::events(&text)),
    };
    let is_open = DialectScanner::new(&mut draft, &text, code).run();
    setext::rewrite(&mut draft);
    let parsed = parsed.filter(|_| !draft.is_changed());
    RewrittenText { parsed, is_open, ..draft.finish() }
}

/// Whether rules for one part of a text may depend on another, distant part.
pub(super) fn depends_on_whole(text: &str) -> bool {
    admonitions::depends_on_whole(text) || math::has_brackets(text)
}

fn parse(text: &str) -> ParsedText<'_> {
    /// As many bytes or more of an ordinary text make an event.
    const BYTES: usize = 16;
    let mut parsed = Vec::with_capacity(text.len() / BYTES);
    parsed.extend(outline_builder::events(text));
    parsed
}

/// The offsets at which lines begin.
fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1))
}

/// The ranges of code, in order.
fn code_ranges<'a>(
    events: impl Iterator<Item = (impl Borrow<Event<'a>>, Range<usize>)>,
) -> Vec<Range<usize>> {
    let is_code = |event: &Event<'_>| matches!(event, Event::Code(_) | Event::Start(Tag::CodeBlock(_)));
    let code = events.filter(|(event, _)| is_code(event.borrow()));
    let mut code: Vec<Range<usize>> = code.map(|(_, range)| range).collect();
    code.sort_by_key(|range| range.start);
    code
}

impl RewrittenText<'_> {
    /// Translates a parser event back to what was written: formulas are restored, masked markup is removed.
    /// `None` for an event that needs no translation.
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

    /// The parts of `range` that are not masked.
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

    /// Whether the title of an admonition ends in the line that ends at `at`.
    pub(super) fn ends_title(&self, at: usize) -> bool {
        let after = self.titles.partition_point(|title| title.start < at);
        let title = after.checked_sub(1).and_then(|last| self.titles.get(last));
        title.is_some_and(|title| !self.text[title.end.min(at)..at].contains('\n'))
    }

    /// Whether the text at `at` is the title of an admonition.
    pub(super) fn is_title(&self, at: usize) -> bool {
        let after = self.titles.partition_point(|title| title.start <= at);
        after > 0 && self.titles[after - 1].contains(&at)
    }
}

#[cfg(test)]
mod tests;
