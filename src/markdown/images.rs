//! The images of a Markdown text, with their addresses as written.
//!
//! `outline_builder` passes on the parser's events; Markdown images, inline or by reference, and `<img>` tags are
//! collected. The `section` stage resolves the addresses.

use std::ops::Range;

use pulldown_cmark::{Event, Tag, TagEnd};

use super::html::decoded;
use super::inline_text::one_line;

/// An image in a text.
#[derive(Debug, PartialEq, Eq)]
pub struct ShownImage {
    /// Its offset in the text.
    pub start: usize,
    /// Its address as written: a path or a URL.
    pub address: String,
    /// Its description, or its title if it has none; may be empty.
    pub alt: String,
}

/// Collects images from parser events.
#[derive(Debug, Default)]
pub(super) struct ImageCollector {
    pub(super) shown: Vec<ShownImage>,
    /// The number of open images: one may be inside another's description.
    depth: usize,
    title: String,
}

impl ImageCollector {
    /// Processes the next event of the parser over `source`.
    pub(super) fn event(&mut self, source: &str, event: &Event<'_>, range: &Range<usize>) {
        match event {
            Event::Start(Tag::Image { dest_url, title, .. }) => {
                self.depth += 1;
                if self.depth == 1 {
                    title.as_ref().clone_into(&mut self.title);
                    let address = dest_url.to_string();
                    self.shown.push(ShownImage { start: range.start, address, alt: String::new() });
                }
            }
            Event::End(TagEnd::Image) => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.close();
                }
            }
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) => self.describe(text),
            Event::SoftBreak | Event::HardBreak => self.describe(" "),
            Event::Start(Tag::HtmlBlock) => self.html(&source[range.clone()], range.start),
            // Images in a description are not shown.
            Event::InlineHtml(html) if self.depth == 0 => self.html(html, range.start),
            _ => {}
        }
    }

    fn describe(&mut self, text: &str) {
        if self.depth > 0
            && let Some(image) = self.shown.last_mut()
        {
            image.alt.push_str(text);
        }
    }

    fn close(&mut self) {
        let title = std::mem::take(&mut self.title);
        if let Some(image) = self.shown.last_mut() {
            image.alt = one_line(&image.alt);
            if image.alt.is_empty() {
                image.alt = one_line(&title);
            }
        }
    }

    /// Collects the `<img>` tags of a piece of HTML at the offset `start`, except in comments and scripts.
    pub(super) fn html(&mut self, html: &str, start: usize) {
        if ["<script", "<style"].iter().any(|tag| html.trim_start().starts_with(tag)) {
            return;
        }
        let mut at = 0;
        while let Some(open) = html[at..].find('<') {
            at += open;
            if html[at..].starts_with("<!--") {
                let Some(end) = html[at..].find("-->") else { return };
                at += end;
                continue;
            }
            let tag = at;
            at += 1;
            let is_img = html.get(at..at + 3).is_some_and(|name| name.eq_ignore_ascii_case("img"));
            if is_img && html[at + 3..].starts_with([' ', '\t', '\n', '/']) {
                let (attributes, length) = attributes(&html[at + 3..]);
                at += 3 + length;
                let of = |name: &str| attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                let Some((_, address)) = of("src") else { continue };
                let alt = of("alt").or_else(|| of("title")).map_or("", |(_, alt)| *alt);
                let (address, alt) = (decoded(address.trim()), one_line(&decoded(alt)));
                self.shown.push(ShownImage { start: start + tag, address, alt });
            }
        }
    }
}

/// The attributes of a tag, from after its name to its `>`, and their length in bytes.
fn attributes(tag: &str) -> (Vec<(&str, &str)>, usize) {
    let mut attributes = Vec::new();
    let mut rest = tag;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() || rest.starts_with(['>', '<']) {
            return (attributes, tag.len() - rest.len());
        }
        let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/');
        // An attribute's name has at least one character, whatever it is.
        let end = rest.char_indices().skip(1).find(|(_, c)| is_end(*c)).map_or(rest.len(), |(at, _)| at);
        let (name, behind) = rest.split_at(end);
        let Some(value) = behind.trim_ascii_start().strip_prefix('=') else {
            attributes.push((name, ""));
            rest = behind;
            continue;
        };
        let value = value.trim_ascii_start();
        let (value, behind) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => {
                let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>');
                value.split_at(end.unwrap_or(value.len()))
            }
        };
        attributes.push((name, value));
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outline, Syntax};
    use proptest::prelude::*;

    /// Checks `alt: address` of each image, and the offset at which it begins.
    fn check(text: &str, expected: &[&str]) {
        let outline = Outline::of(text, Syntax::Markdown);
        let found: Vec<String> =
            outline.images.iter().map(|image| format!("{}: {}", image.alt, image.address)).collect();
        assert_eq!(found, expected, "{text}");
        for image in &outline.images {
            assert!(text[image.start..].starts_with(['!', '<']), "{image:?} of {text}");
        }
    }

    #[test]
    fn images_of_markdown_are_found() {
        check(
            "See ![a *red* `x`\nhouse](img/a.png \"House\") and ![](b.jpg 'The title').",
            &["a red x house: img/a.png", "The title: b.jpg"],
        );
        check(
            "![one][a]\n\n- ![b][]\n\n| x |\n|---|\n| ![b] |\n\n[a]: <my a.png>\n[b]: b.png 'B'",
            &["one: my a.png", "b: b.png", "b: b.png"],
        );
        check("[![badge](https://x.org/b.svg)](https://x.org)", &["badge: https://x.org/b.svg"]);
        check("![a ![b](inner.png) <img src=c.png> d](outer.png)", &["a b d: outer.png"]);
        check("`![a](b.png)`\n\n    ![a](b.png)\n\n```\n![a](b.png)\n```\n\n\\![a](b.png) ![no]", &[]);
    }

    #[test]
    fn images_of_html_are_found() {
        check(
            "<p align=\"center\">\n  <IMG alt='A &amp; B'\n   src = \"a.png?x=1&amp;y=2\"/>\n</p>",
            &["A & B: a.png?x=1&y=2"],
        );
        check(
            "Text <img src=b.png width=3> and <img alt=\"x > y\" src='c.png'>.",
            &[": b.png", "x > y: c.png"],
        );
        check("> <img src=q.png title=T>\n", &["T: q.png"]);
        check("<!-- <img src=a.png> -->\n", &[]);
        check("<script>\nx = '<img src=a.png>'\n</script>\n", &[]);
        check("<imgx src=a.png> <img> <img alt=x> <img data-src=a.png>\n", &[]);
        check("<div><img src=\"a.png", &["a.png".replace("a", ": a").as_str()]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_all_are_in_order(text in "(<img |src=|<!--|!\\[|\\]\\(|[\"'<>/ä=\n) ]){0,40}") {
            let outline = Outline::of(&text, Syntax::Markdown);
            prop_assert!(outline.images.is_sorted_by_key(|image| image.start));
            let whole = 0..text.len();
            prop_assert_eq!(outline.images_in(&whole).len(), outline.images.len());
        }
    }
}
