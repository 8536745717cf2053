//! Extracts the text of HTML: of blocks between those of Markdown, and of tables.
//!
//! Tags that begin a block (`p`, `div`, `li`, `h1`, ...) end the text run before them. Whether a run is a title,
//! an item, code or prose depends on the innermost of them.

use std::collections::HashSet;

use memchr::memchr_iter;

use super::inline_text::one_line;

/// A run of text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TextRun {
    /// Its offset in the HTML, and that of the tag that began it.
    pub(super) start: usize,
    pub(super) text: String,
    pub(super) kind: TextRunKind,
    /// Whether all of its words are in links.
    pub(super) linked: bool,
}

/// The kind of a text run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextRunKind {
    Words,
    Heading(u8),
    Item,
    /// The summary of details, or a caption: it introduces something.
    Label,
    Code,
}

/// The maximum length of a tag's name.
const NAME: usize = 100;

/// Inline elements, which do not end a run. `br` ends a sentence.
const INLINE: &[&str] = &[
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "br", "cite", "code", "data", "del", "dfn", "em",
    "font", "i", "img", "input", "ins", "kbd", "label", "mark", "picture", "q", "s", "samp", "small",
    "source", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr", "button", "nobr",
    "ruby", "rt", "rp",
];
/// Other elements.
const BLOCK: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "center",
    "col",
    "colgroup",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "frame",
    "frameset",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hgroup",
    "hr",
    "html",
    "legend",
    "li",
    "link",
    "main",
    "map",
    "menu",
    "meta",
    "nav",
    "ol",
    "optgroup",
    "option",
    "output",
    "p",
    "param",
    "pre",
    "progress",
    "script",
    "section",
    "select",
    "style",
    "summary",
    "svg",
    "table",
    "tbody",
    "td",
    "template",
    "textarea",
    "tfoot",
    "th",
    "thead",
    "title",
    "tr",
    "track",
    "ul",
    "video",
    "audio",
    "iframe",
    "noscript",
    "object",
    "embed",
    "canvas",
    "area",
    "base",
    "math",
    "slot",
    "search",
    "meter",
    "datalist",
    "path",
    "g",
];

/// Whether HTML has an element of this name.
pub(super) fn is_element(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    INLINE.contains(&name.as_str()) || BLOCK.contains(&name.as_str())
}

/// The text runs of a piece of HTML. Comments, scripts and styles have none.
pub(super) fn stretches(html: &str) -> Vec<TextRun> {
    let mut reader =
        HtmlReader { found: Vec::new(), open: vec![], start: 0, text: String::new(), links: 0, linked: true };
    let mut at = 0;
    while at < html.len() {
        let Some(open) = html[at..].find('<') else {
            reader.words(&html[at..], at);
            break;
        };
        reader.words(&html[at..at + open], at);
        at += open;
        let rest = &html[at..];
        if rest.starts_with("<!--") {
            at += rest.find("-->").map_or(rest.len(), |end| end + 3);
            continue;
        }
        let inside = rest[1..].trim_start_matches('/');
        if !inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?')
            && !rest.starts_with("</")
        {
            reader.words("<", at);
            at += 1;
            continue;
        }
        let Some(end) = rest.find('>') else { break };
        let name = inside
            .split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let closes = rest.starts_with("</");
        at += end + 1;
        if !closes && matches!(name.as_str(), "script" | "style") {
            let close = html[at..].to_ascii_lowercase().find(&format!("</{name}"));
            at = close.map_or(html.len(), |close| at + close);
            continue;
        }
        reader.tag(&name, closes, at - end - 1);
    }
    reader.end();
    reader.found
}

struct HtmlReader {
    found: Vec<TextRun>,
    /// The open blocks.
    open: Vec<(String, TextRunKind)>,
    start: usize,
    text: String,
    links: usize,
    linked: bool,
}

impl HtmlReader {
    fn words(&mut self, text: &str, at: usize) {
        if text.trim().is_empty() {
            self.text.push_str(text);
            return;
        }
        if self.text.trim().is_empty() {
            self.start = at + (text.len() - text.trim_start().len());
        }
        self.linked &= self.links > 0 || !text.contains(char::is_alphanumeric);
        self.text.push_str(text);
    }

    fn tag(&mut self, name: &str, closes: bool, at: usize) {
        match name {
            "br" => return self.text.push('\u{1}'),
            "a" if closes => self.links = self.links.saturating_sub(1),
            "a" => self.links += 1,
            _ => {}
        }
        if INLINE.contains(&name) {
            return;
        }
        self.end();
        self.start = at;
        if closes {
            if let Some(last) = self.open.iter().rposition(|(open, _)| open == name) {
                self.open.truncate(last);
            }
            return;
        }
        let kind = match name.as_bytes() {
            [b'h', level @ b'1'..=b'6'] => TextRunKind::Heading(level - b'0'),
            b"li" | b"dd" => TextRunKind::Item,
            b"summary" | b"caption" | b"figcaption" | b"legend" | b"dt" => TextRunKind::Label,
            b"pre" => TextRunKind::Code,
            b"hr" | b"col" | b"meta" | b"link" => return,
            _ => self.open.last().map_or(TextRunKind::Words, |(_, kind)| *kind),
        };
        // Deeper than any real page; a file that is nested deeper is read flat.
        if self.open.len() < 1_000 {
            self.open.push((name.to_owned(), kind));
        }
    }

    fn end(&mut self) {
        let text = std::mem::take(&mut self.text);
        let linked = std::mem::replace(&mut self.linked, true);
        if !text.contains(char::is_alphanumeric) {
            return;
        }
        let kind = self.open.last().map_or(TextRunKind::Words, |(_, kind)| *kind);
        let text = decoded(&text);
        let lines = if kind == TextRunKind::Code {
            text
        } else {
            // Hard line breaks stay; the others become spaces.
            let lines: Vec<String> =
                text.split('\u{1}').map(one_line).filter(|line| !line.is_empty()).collect();
            lines.join("\n")
        };
        self.found.push(TextRun { start: self.start, text: lines, kind, linked });
    }
}

/// The text of HTML with its character references resolved.
pub(super) fn decoded(html: &str) -> String {
    html_escape::decode_html_entities(html).replace('\u{a0}', " ")
}

/// The rows of a table, each with the offset of its tag: whether it is a header, and its cells.
pub(super) fn rows(table: &str, read_cell: impl Fn(&str) -> String) -> Vec<(usize, bool, Vec<String>)> {
    let mut rows: Vec<(usize, bool, Vec<String>)> = Vec::new();
    let mut cell: Option<usize> = None;
    let (mut at, mut head) = (1, false);
    while let Some(open) = table.get(at..).and_then(|rest| rest.find('<')) {
        at += open;
        let rest = &table[at..];
        let inside = rest[1..].trim_start_matches('/');
        let name = inside
            .split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let closes = rest.starts_with("</");
        if name == "table" && !closes {
            // A table in a cell is part of the cell's text.
            at += super::dialects::element(rest, "table").unwrap_or(1);
            continue;
        }
        let ends_cell = matches!(name.as_str(), "td" | "th" | "tr" | "tbody" | "thead" | "tfoot" | "table");
        if let (Some(start), true) = (cell, ends_cell) {
            if let Some((_, _, cells)) = rows.last_mut() {
                cells.push(read_cell(&table[start..at]));
            }
            cell = None;
        }
        let end = at + rest.find('>').map_or(rest.len(), |end| end + 1);
        match (name.as_str(), closes) {
            ("tr", false) => rows.push((at, true, Vec::new())),
            ("thead", _) => head = !closes,
            ("td" | "th", false) => {
                if rows.is_empty() {
                    rows.push((at, true, Vec::new()));
                }
                if let Some(row) = rows.last_mut() {
                    row.1 &= name == "th" || head;
                }
                cell = Some(end);
            }
            _ => {}
        }
        at = if ends_cell { end } else { at + 1 };
    }
    rows
}

/// The names of the tags that are closed in a text.
pub(super) fn closed(text: &str) -> HashSet<&str> {
    let tags = memchr_iter(b'<', text.as_bytes()).filter_map(|at| text[at + 1..].strip_prefix('/'));
    tags.filter_map(|tag| {
        let end =
            tag.char_indices().take(NAME).find(|(_, c)| !(c.is_alphanumeric() || "._-:".contains(*c)))?.0;
        tag[end..].trim_start().starts_with('>').then(|| &tag[..end])
    })
    .collect()
}

/// Whether an inline tag is markup: that of an element, or of a custom one that is closed. Otherwise it is a word
/// in angle brackets, such as `Vec<String>` or `<name>`.
pub(super) fn is_markup(tag: &str, closed: &HashSet<&str>) -> bool {
    let inside = tag.trim_start_matches('<').trim_end_matches('>');
    if inside.starts_with(['/', '!', '?']) || inside.ends_with('/') || inside.contains('=') {
        return true;
    }
    let name = inside.split_whitespace().next().unwrap_or_default();
    is_element(name) || closed.contains(name)
}
