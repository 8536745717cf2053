//! The pass over a Markdown text: parser events in, headings, blocks and atoms out.
//!
//! Which blocks become facts is decided here: an item with what its parents say, each sentence of a
//! paragraph, a table row with its headers. Code and lines of links are content; pictures and tables of
//! contents are nothing; which pictures there are is noted by `images`, from the same events.

use std::ops::Range;

use pulldown_cmark::{BrokenLink, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::images::Images;
use super::line::{Line, one_line};
use super::outline::{AtomKind, Heading, Outline, leads};
use super::sentences;

/// Characters of a parent item or a table header that its children repeat.
const LABEL: usize = 160;

/// The outline of a Markdown text.
pub(super) fn outline(text: &str) -> Outline {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_GFM;
    let mut walk = Walk { source: text, ..Walk::default() };
    let parser = Parser::new_with_broken_link_callback(text, options, Some(name_of_item));
    let mut images = Images::default();
    for (event, range) in parser.into_offset_iter() {
        images.event(text, &event, &range);
        walk.event(event, range);
    }
    walk.outline.images = images.shown;
    walk.outline
}

/// Takes a link without an address for a link where it names an item of code, as `rustdoc` does: its
/// brackets are no part of the text.
fn name_of_item<'a>(link: BrokenLink<'a>) -> Option<(CowStr<'a>, CowStr<'a>)> {
    let name = link.reference;
    let is_code = name.len() > 2 && name.starts_with('`') && name.ends_with('`');
    if is_code || name.contains("::") { Some((name, "".into())) } else { None }
}

/// The state of the pass.
#[derive(Default)]
struct Walk<'a> {
    source: &'a str,
    outline: Outline,
    /// Blocks that are open.
    depth: usize,
    /// List items that are open.
    items: Vec<Item>,
    /// The inline text being gathered.
    line: Line,
    /// The text of the code or HTML block that is open.
    raw: Option<String>,
    header: Vec<String>,
    row: Vec<String>,
}

/// An open list item.
struct Item {
    /// Its place among the atoms, taken before its children's.
    atom: usize,
    /// What its parents say.
    parents: String,
    text: String,
}

impl Walk<'_> {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(&tag, &range),
            Event::End(tag) => self.end(tag, &range),
            Event::Text(text) | Event::Html(text) if self.raw.is_some() => self.add_raw(&text),
            Event::Text(text) => self.line.push(&text, range),
            Event::Code(code) | Event::InlineMath(code) | Event::DisplayMath(code) => {
                self.line.push_code(&code, range);
            }
            Event::InlineHtml(html) | Event::Html(html) if html.starts_with("<br") => self.line.hard_break(),
            Event::SoftBreak => {
                let next = self.source[range.end..].trim_start_matches([' ', '>']).chars().next();
                self.line.soft_break(next);
            }
            Event::HardBreak => self.line.hard_break(),
            Event::Rule => self.open_block(range.start),
            Event::InlineHtml(_)
            | Event::Html(_)
            | Event::FootnoteReference(_)
            | Event::TaskListMarker(_) => {}
        }
    }

    fn add_raw(&mut self, text: &str) {
        if let Some(raw) = &mut self.raw {
            raw.push_str(text);
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
            Tag::CodeBlock(_) | Tag::HtmlBlock => {
                self.raw = Some(String::new());
            }
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
            TagEnd::HtmlBlock => {
                let html = self.raw.take().unwrap_or_default();
                self.outline.add(range.start, self.items.len(), words_of_html(&html), AtomKind::Content);
            }
            TagEnd::Item => {
                self.flush();
                self.close_item();
            }
            _ => self.flush(),
        }
    }

    /// Notes where a block begins that stands in no other.
    fn open_block(&mut self, start: usize) {
        if self.depth == 0 {
            self.outline.blocks.push(start);
        }
    }

    /// Puts the text gathered so far where it belongs: into the open item, or among the atoms.
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
        if !line.own_words {
            return self.outline.add(line.place(0), 0, line.plain(), AtomKind::Content);
        }
        self.outline.add_sentences(&line, 0);
    }

    fn open_item(&mut self, start: usize) {
        let parents = match self.items.last() {
            Some(parent) => join(&parent.parents, &label(&parent.text)),
            None => String::new(),
        };
        let atom = self.outline.atoms.len();
        self.items.push(Item { atom, parents, text: String::new() });
        self.outline.add(start, self.items.len(), String::new(), AtomKind::Nothing);
    }

    fn close_item(&mut self) {
        let Some(item) = self.items.pop() else { return };
        let Some(atom) = self.outline.atoms.get_mut(item.atom) else { return };
        if item.text.is_empty() {
            return;
        }
        let one_sentence = sentences::split(&item.text, &[]).len() < 2;
        atom.kind = if one_sentence && leads(&item.text) { AtomKind::Content } else { AtomKind::Fact };
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
        let code = self.raw.take().unwrap_or_default();
        if !code.contains(char::is_alphanumeric) {
            return;
        }
        // Found again in the source line by line, as the parser takes indentation off.
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

/// What children repeat of the item or header above them: no colon at the end, not too long.
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

/// The words of an HTML block outside of its tags and comments.
fn words_of_html(html: &str) -> String {
    if ["<script", "<style"].iter().any(|tag| html.trim_start().starts_with(tag)) {
        return String::new();
    }
    let mut words = String::new();
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        words.push_str(&rest[..open]);
        words.push(' ');
        rest = &rest[open..];
        let close = if rest.starts_with("<!--") { "-->" } else { ">" };
        match rest.find(close) {
            Some(end) => rest = &rest[end + close.len()..],
            None => return one_line(&words),
        }
    }
    words.push_str(rest);
    let words = one_line(&words);
    if words.contains(char::is_alphanumeric) { words } else { String::new() }
}
