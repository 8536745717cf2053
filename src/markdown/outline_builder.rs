//! Builds the outline of a Markdown text from parser events: headings, blocks and atoms.
//!
//! Which blocks become facts is decided here: an item with the text of its parents, each sentence of a paragraph,
//! a table row with its headers. Code and lines of links are content; images and tables of contents are nothing;
//! `images` collects the images from the same events.

mod html_blocks;

use std::collections::HashSet;
use std::ops::Range;

use pulldown_cmark::{BrokenLink, CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::dialects::{self, RewrittenText};
use super::html;
use super::images::ImageCollector;
use super::inline_text::{InlineText, one_line};
use super::outline::{AtomKind, Heading, Outline, leads};
use super::sentences;

/// The maximum length of a parent item or table header that its children repeat, in characters.
const LABEL: usize = 160;

/// The parser's extensions of CommonMark.
fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_GFM
}

/// The outline of a Markdown text.
pub(super) fn outline(text: &str) -> Outline {
    let mut rewritten = dialects::rewrite(text);
    let parsed = rewritten.parsed.take();
    let mut walk = OutlineBuilder::new(&rewritten);
    let mut images = ImageCollector::default();
    let mut see = |event: Event<'_>, range: Range<usize>| {
        images.event(&rewritten.text, &event, &range);
        walk.event(event, range);
    };
    match parsed {
        Some(events) => events.into_iter().for_each(|(event, range)| see(event, range)),
        None => {
            for (event, range) in events(&rewritten.text) {
                match rewritten.restored(text, &event, &range) {
                    Some(pieces) => pieces.into_iter().for_each(|(event, range)| see(event, range)),
                    None => see(event, range),
                }
            }
        }
    }
    for table in &rewritten.tables {
        walk.html_table(text, table);
        images.html(&text[table.clone()], table.start);
    }
    walk.outline.images = images.shown;
    walk.outline.silent = rewritten.silent.clone();
    walk.outline.is_open = rewritten.is_open;
    walk.outline
}

/// The events of the parser, each with its range.
pub(super) fn events(text: &str) -> impl Iterator<Item = (Event<'_>, Range<usize>)> {
    Parser::new_with_broken_link_callback(text, options(), Some(name_of_item)).into_offset_iter()
}

/// Accepts a link without an address if it names an item of code, as in `rustdoc`: its brackets are not part of
/// the text.
fn name_of_item<'a>(link: BrokenLink<'a>) -> Option<(CowStr<'a>, CowStr<'a>)> {
    let name = link.reference;
    let is_code = name.len() > 2 && name.starts_with('`') && name.ends_with('`');
    if is_code || name.contains("::") { Some((name, "".into())) } else { None }
}

/// The state of the pass over the events.
struct OutlineBuilder<'a> {
    /// The text as the parser sees it.
    source: &'a str,
    rewritten: &'a RewrittenText<'a>,
    /// The names of the tags that are closed somewhere.
    closed: HashSet<&'a str>,
    outline: Outline,
    /// The number of open blocks.
    depth: usize,
    /// The open list items.
    items: Vec<OpenItem>,
    /// The current inline text.
    line: InlineText,
    /// The text of the code or HTML block that is open.
    raw: Option<RawBlock>,
    header: Vec<String>,
    row: Vec<String>,
}

/// The text of a code or HTML block.
#[derive(Default)]
struct RawBlock {
    text: String,
    /// The offsets of its pieces, in the text and in the source.
    places: Vec<(usize, usize)>,
    /// Whether it is a fenced formula.
    formula: bool,
}

/// An open list item.
struct OpenItem {
    /// Its index among the atoms, reserved before its children's.
    atom: usize,
    /// The text of its parents.
    parents: String,
    text: String,
}

impl<'a> OutlineBuilder<'a> {
    fn new(rewritten: &'a RewrittenText<'a>) -> Self {
        Self {
            source: &rewritten.text,
            rewritten,
            closed: html::closed(&rewritten.text),
            outline: Outline::default(),
            depth: 0,
            items: Vec::new(),
            line: InlineText::default(),
            raw: None,
            header: Vec::new(),
            row: Vec::new(),
        }
    }

    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(&tag, &range),
            Event::End(tag) => self.end(tag, &range),
            Event::Text(text) | Event::Html(text) | Event::InlineMath(text) | Event::DisplayMath(text)
                if self.raw.is_some() =>
            {
                self.add_raw(&text, range.start);
            }
            Event::Text(text) => self.line.push(&text, range),
            Event::Code(code) | Event::InlineMath(code) => self.line.push_code(&code, range),
            Event::DisplayMath(formula) => self.line.push_formula(&formula, range),
            Event::InlineHtml(html) | Event::Html(html) if html.starts_with("<br") => self.line.hard_break(),
            Event::SoftBreak => {
                if self.rewritten.ends_title(range.start) {
                    return self.line.hard_break();
                }
                let next = self.source[range.end..].trim_start_matches([' ', '>']).chars().next();
                self.line.soft_break(next);
            }
            Event::HardBreak => self.line.hard_break(),
            Event::Rule => self.open_block(range.start),
            Event::InlineHtml(tag) if !html::is_markup(&tag, &self.closed) => {
                self.line.push_code(&tag, range)
            }
            Event::InlineHtml(_)
            | Event::Html(_)
            | Event::FootnoteReference(_)
            | Event::TaskListMarker(_) => {}
        }
    }

    fn add_raw(&mut self, text: &str, place: usize) {
        if let Some(raw) = &mut self.raw {
            raw.places.push((raw.text.len(), place));
            raw.text.push_str(text);
        }
    }

    fn start(&mut self, tag: &Tag<'_>, range: &Range<usize>) {
        match tag {
            Tag::Link { link_type, dest_url, .. } => {
                let address = matches!(link_type, LinkType::Autolink | LinkType::Email);
                return self.line.open_link(dest_url, address);
            }
            Tag::Image { .. } => return self.line.open_image(),
            Tag::Emphasis | Tag::Strong | Tag::Strikethrough | Tag::Superscript | Tag::Subscript => return,
            _ => self.flush(),
        }
        if !matches!(tag, Tag::Heading { .. }) {
            self.open_block(range.start);
        }
        self.depth += 1;
        match tag {
            Tag::Item => self.open_item(range.start),
            Tag::CodeBlock(kind) => {
                let formula =
                    matches!(kind, CodeBlockKind::Fenced(info) if matches!(info.trim(), "math" | "{math}"));
                self.raw = Some(RawBlock { formula, ..RawBlock::default() });
            }
            Tag::HtmlBlock => self.raw = Some(RawBlock::default()),
            Tag::TableHead | Tag::TableRow => self.row.clear(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd, range: &Range<usize>) {
        match tag {
            TagEnd::Link => return self.line.close_link(),
            TagEnd::Image => return self.line.close_image(),
            TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Superscript
            | TagEnd::Subscript => return,
            _ => self.depth = self.depth.saturating_sub(1),
        }
        match tag {
            TagEnd::Heading(level) if self.depth == 0 => self.close_heading(level as u8, range),
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.line).plain();
                self.row.push(cell);
            }
            TagEnd::TableHead => self.header = self.row.drain(..).map(|cell| label(&cell)).collect(),
            TagEnd::TableRow => self.close_row(range.start),
            TagEnd::CodeBlock => self.close_code(range),
            TagEnd::HtmlBlock => self.close_html(range.start),
            TagEnd::Item => {
                self.flush();
                self.close_item();
            }
            _ => self.flush(),
        }
    }

    /// Records the offset of a top-level block.
    fn open_block(&mut self, start: usize) {
        if self.depth == 0 {
            self.outline.blocks.push(start);
        }
    }

    /// Adds the current text where it belongs: to the open item, or to the atoms.
    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.own_words && !line.linked_words {
            return;
        }
        if let Some(item) = self.items.last_mut() {
            if !item.text.is_empty() {
                item.text.push(' ');
            }
            item.text.push_str(&line.plain());
            return;
        }
        if !line.own_words || is_tags(&line.text) {
            return self.outline.add(line.place(0), 0, line.plain(), AtomKind::Content);
        }
        if line.is_formula() && self.join_formula(&line) {
            return;
        }
        self.add_sentences(&line);
    }

    /// Adds each sentence of a paragraph; titles of admonitions are not sentences.
    fn add_sentences(&mut self, line: &InlineText) {
        let first = self.outline.atoms.len();
        self.outline.add_sentences(line, 0);
        for atom in &mut self.outline.atoms[first..] {
            if atom.kind == AtomKind::Fact && self.rewritten.is_title(atom.start) {
                atom.kind = AtomKind::Content;
            }
        }
    }

    /// Joins a display formula to the sentence above it if that continues; returns whether it did.
    fn join_formula(&mut self, line: &InlineText) -> bool {
        let formula = line.plain();
        let start = line.place(0);
        let Some(above) = self.outline.atoms.last_mut() else { return false };
        let between = self.source.get(above.start..start).unwrap_or_default();
        let goes_on = !above.text.ends_with(['.', '!', '?', '。', '$', ']']) && above.depth == 0;
        // Only the text directly above: one blank line, no heading in between.
        let apart = between.trim_end().matches("\n\n").count() > 0;
        let heading = self.outline.headings.last().is_some_and(|heading| heading.lines.end > above.start);
        if !goes_on || apart || heading || !matches!(above.kind, AtomKind::Fact | AtomKind::Content) {
            return false;
        }
        above.text.push(' ');
        above.text.push_str(&formula);
        above.kind = AtomKind::Fact;
        true
    }

    fn open_item(&mut self, start: usize) {
        let parents = match self.items.last() {
            Some(parent) => join(&parent.parents, &label(&parent.text)),
            None => String::new(),
        };
        let atom = self.outline.atoms.len();
        self.items.push(OpenItem { atom, parents, text: String::new() });
        self.outline.add(start, self.items.len(), String::new(), AtomKind::Nothing);
    }

    fn close_item(&mut self) {
        let Some(item) = self.items.pop() else { return };
        let Some(atom) = self.outline.atoms.get_mut(item.atom) else { return };
        if item.text.is_empty() {
            return;
        }
        let is_lead = leads(&item.text) && sentences::split(&item.text, &[]).len() < 2;
        atom.kind = if is_lead { AtomKind::Content } else { AtomKind::Fact };
        atom.text = join(&item.parents, &item.text);
    }

    fn close_heading(&mut self, level: u8, range: &Range<usize>) {
        let line = std::mem::take(&mut self.line);
        let mut title = line.plain();
        if title.is_empty() {
            title = one_line(&line.text);
        }
        let start = self.source[..range.start].rfind('\n').map_or(0, |end| end + 1);
        let end = if self.source[..range.end].ends_with('\n') {
            range.end
        } else {
            self.source[range.end..].find('\n').map_or(self.source.len(), |offset| range.end + offset + 1)
        };
        self.outline.headings.push(Heading { lines: start..end, level, title });
    }

    /// Adds a table row as `header: cell; header: cell`.
    fn close_row(&mut self, start: usize) {
        let mut text = String::new();
        for (column, cell) in self.row.drain(..).enumerate() {
            if cell.is_empty() {
                continue;
            }
            if !text.is_empty() {
                text.push_str("; ");
            }
            let header = self.header.get(column).map_or("", String::as_str);
            if !header.is_empty() {
                text.push_str(header);
                text.push_str(": ");
            }
            text.push_str(&cell);
        }
        self.outline.add(start, self.items.len(), text, AtomKind::Fact);
    }

    fn close_code(&mut self, range: &Range<usize>) {
        let RawBlock { text: code, formula, .. } = self.raw.take().unwrap_or_default();
        if !code.contains(char::is_alphanumeric) {
            return;
        }
        if formula {
            return self.outline.add(range.start, self.items.len(), one_line(&code), AtomKind::Fact);
        }
        // Located in the source line by line, as the parser removes indentation.
        let mut start = range.start;
        for line in code.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(offset) = self.source[start..range.end].find(line) {
                start += offset;
            }
            self.outline.add(start, self.items.len() + 1, one_line(line), AtomKind::Code);
        }
    }
}

fn join(parents: &str, text: &str) -> String {
    match (parents.is_empty(), text.is_empty()) {
        (true, _) => text.to_owned(),
        (_, true) => parents.to_owned(),
        _ => format!("{parents} - {text}"),
    }
}

/// The part of an item or header that its children repeat: no colon at the end, not too long.
fn label(text: &str) -> String {
    let text = text.trim_end_matches([':', '：', ' ']);
    let Some((limit, _)) = text.char_indices().nth(LABEL) else { return text.to_owned() };
    let start = &text[..limit];
    let sentences = sentences::split(start, &[]);
    if let [first, _, ..] = sentences.as_slice() {
        return start[first.clone()].trim_end_matches('.').to_owned();
    }
    let cut = start.rfind(' ').unwrap_or(limit);
    format!("{}…", &start[..cut])
}

/// Whether a paragraph consists of tags, such as `#tea #water`.
fn is_tags(text: &str) -> bool {
    text.split_whitespace()
        .all(|word| word.strip_prefix('#').is_some_and(|tag| tag.starts_with(char::is_alphabetic)))
}
