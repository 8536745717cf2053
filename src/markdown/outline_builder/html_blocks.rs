//! The part of the pass that handles HTML: blocks, headings among them, and tables.

use std::ops::Range;

use super::super::html::{self, TextRunKind};
use super::super::inline_text::one_line;
use super::super::outline::{AtomKind, Heading, leads};
use super::super::sentences;
use super::{OutlineBuilder, label, outline};

impl OutlineBuilder<'_> {
    /// Adds the text of an HTML block.
    pub(super) fn close_html(&mut self, start: usize) {
        let raw = self.raw.take().unwrap_or_default();
        for stretch in html::stretches(&raw.text) {
            let line = raw.places.partition_point(|(at, _)| *at <= stretch.start);
            let place = line.checked_sub(1).map_or(start, |line| {
                let (at, place) = raw.places[line];
                place + (stretch.start - at)
            });
            self.add_stretch(stretch, place);
        }
    }

    fn add_stretch(&mut self, stretch: html::TextRun, place: usize) {
        let depth = self.items.len();
        match stretch.kind {
            TextRunKind::Heading(level) if self.depth == 0 && self.html_heading(level, &stretch, place) => {}
            TextRunKind::Code => {
                for line in stretch.text.lines().map(one_line).filter(|line| !line.is_empty()) {
                    self.outline.add(place, depth + 1, line, AtomKind::Code);
                }
            }
            TextRunKind::Heading(_) | TextRunKind::Label => {
                self.outline.add(place, depth, one_line(&stretch.text), AtomKind::Content)
            }
            _ if stretch.linked => self.outline.add(place, depth, one_line(&stretch.text), AtomKind::Content),
            TextRunKind::Item => self.outline.add(place, depth + 1, one_line(&stretch.text), AtomKind::Fact),
            TextRunKind::Words => {
                for range in sentences::split(&stretch.text, &[]) {
                    let text = one_line(&stretch.text[range]);
                    let kind = if leads(&text) { AtomKind::Content } else { AtomKind::Fact };
                    self.outline.add(place, depth, text, kind);
                }
            }
        }
    }

    /// Adds an HTML heading to the outline; returns whether it has lines of its own.
    fn html_heading(&mut self, level: u8, stretch: &html::TextRun, place: usize) -> bool {
        let text = self.source;
        // Its tags are next to it.
        const FAR: usize = 2_000;
        let (first, last) =
            (text.floor_char_boundary(place.saturating_sub(FAR)), text.floor_char_boundary(place + FAR));
        let Some(open) = text[first..place].rfind("<h").or_else(|| text[first..place].rfind("<H")) else {
            return false;
        };
        let open = first + open;
        let Some(close) = text[place..last].find("</h").or_else(|| text[place..last].find("</H")) else {
            return false;
        };
        let start = text[..open].rfind('\n').map_or(0, |end| end + 1);
        let end = text[place + close..].find('\n').map_or(text.len(), |end| place + close + end + 1);
        let after = self.outline.headings.last().map_or(0, |heading| heading.lines.end);
        let is_alone = text[start..open].trim().is_empty() && start >= after;
        let behind = text[place + close..end].find('>').map_or("", |tag| &text[place + close + tag + 1..end]);
        if !is_alone || !behind.trim().is_empty() {
            return false;
        }
        self.outline.headings.push(Heading { lines: start..end, level, title: one_line(&stretch.text) });
        true
    }

    /// Adds the rows of an HTML table like those of a Markdown table.
    pub(super) fn html_table(&mut self, text: &str, range: &Range<usize>) {
        self.outline.blocks.push(range.start);
        self.header.clear();
        for (at, is_header, cells) in html::rows(&text[range.clone()], words_of_cell) {
            if is_header && !cells.is_empty() && self.header.is_empty() {
                self.header = cells.iter().map(|cell| label(cell)).collect();
                continue;
            }
            self.row = cells;
            self.close_row(range.start + at);
        }
        self.header.clear();
    }
}

/// The text of an HTML table's cell. A cell with blank lines is parsed as Markdown, as parsers do.
fn words_of_cell(cell: &str) -> String {
    if cell.contains("\n\n") && !cell.contains("<table") {
        let outline = outline(cell);
        let texts: Vec<&str> = outline
            .atoms
            .iter()
            .filter(|atom| !atom.text.is_empty())
            .map(|atom| atom.text.as_str())
            .collect();
        return texts.join(" ");
    }
    let texts: Vec<String> =
        html::stretches(cell).into_iter().map(|stretch| one_line(&stretch.text)).collect();
    texts.join(" ")
}
