//! Reads a large text piece by piece, so that its outline need not be in memory as a whole.
//!
//! A piece ends before a heading, and its outline is the one that the whole text has there. Texts in which distant parts
//! depend on each other, through link definitions for example, are one piece, as are all of moderate size.

use memchr::memchr_iter;

use super::outline::{Outline, Syntax};
use super::{dialects, html};

/// The length up to which a text is one piece, in bytes.
const PIECE: usize = 512 * 1024;
/// How far markup may reach that is limited in length.
const REACH: usize = 32 * 1024;

/// How a text is cut into pieces.
#[derive(Debug)]
pub struct Pieces {
    syntax: Syntax,
    /// The length to aim at; `None` for a single piece.
    length: Option<usize>,
    reach: usize,
}

impl Pieces {
    /// Finds out whether `text` can be read in pieces.
    #[must_use]
    pub fn new(text: &str, syntax: Syntax) -> Self {
        Self::of_length(text, syntax, PIECE, REACH)
    }

    fn of_length(text: &str, syntax: Syntax, length: usize, reach: usize) -> Self {
        let is_cut = syntax == Syntax::Markdown && text.len() > length + reach && is_local(text);
        Self { syntax, length: is_cut.then_some(length), reach }
    }

    /// The outline of the piece that begins at `start`, with offsets from there, and the end of the piece.
    #[must_use]
    pub fn read(&self, text: &str, start: usize) -> (Outline, usize) {
        let rest = &text[start..];
        let mut length = self.length.unwrap_or(rest.len());
        loop {
            let reach = rest.floor_char_boundary(length.saturating_add(self.reach));
            // A whole number of lines.
            let end = rest[reach..].find('\n').map_or(rest.len(), |line| reach + line + 1);
            let mut outline = Outline::of(&rest[..end], self.syntax);
            if end == rest.len() {
                return (outline, text.len());
            }
            if let Some(cut) = last_cut(rest, &outline, length) {
                outline.truncate(cut);
                return (outline, start + cut);
            }
            length = length.saturating_mul(2);
        }
    }

    /// The title of the first heading of level 1 that has one. `first` is the outline of the first piece, which ends at
    /// `end`.
    #[must_use]
    pub fn first_title(&self, text: &str, first: &Outline, end: usize) -> Option<String> {
        let of = |outline: &Outline| {
            let mut headings = outline.headings.iter();
            let found = headings.find(|heading| heading.level == 1 && !heading.title.is_empty());
            found.map(|heading| heading.title.clone())
        };
        let (mut title, mut at) = (of(first), end);
        while title.is_none() && at < text.len() && may_have_title(&text[at..]) {
            let (outline, end) = self.read(text, at);
            (title, at) = (of(&outline), end);
        }
        title
    }
}

/// The last place up to `limit` at which the outline of a text can be cut: a heading below a blank line, if no markup was
/// left open that the text after the outline may close.
fn last_cut(text: &str, outline: &Outline, limit: usize) -> Option<usize> {
    if outline.is_open {
        return None;
    }
    let starts = outline.headings.iter().map(|heading| heading.lines.start).rev();
    starts
        .skip_while(|start| *start > limit)
        .find(|start| text[*start..].starts_with('#') && text[..*start].ends_with("\n\n"))
}

/// Whether no part of a text depends on a distant one.
fn is_local(text: &str) -> bool {
    let is_element = |name: &&str| html::is_element(name) && !name.contains(|c: char| c.is_ascii_uppercase());
    html::closed(text).iter().all(is_element) && !dialects::depends_on_whole(text) && !has_definitions(text)
}

/// Whether a text may define a link or a footnote: brackets at the start of a line, and a colon.
fn has_definitions(text: &str) -> bool {
    const LABEL: usize = 4_000;
    text.match_indices("]:").any(|(end, _)| {
        let from = text.floor_char_boundary(end.saturating_sub(LABEL));
        let Some(open) = text[from..end].rfind('[') else { return false };
        let before = &text[..from + open];
        let line = &before[before.rfind('\n').map_or(0, |end| end + 1)..];
        let is_mark = |c: char| c.is_ascii_digit() || " \t>-*+.)".contains(c);
        before.ends_with('\\') || line.chars().all(is_mark)
    })
}

/// Whether some line may be a heading of level 1, or its underline.
fn may_have_title(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start();
        line.starts_with('=') || line.strip_prefix('#').is_some_and(|rest| !rest.starts_with('#'))
    }) || memchr_iter(b'<', text.as_bytes())
        .any(|at| text[at..].get(1..3).is_some_and(|tag| tag.eq_ignore_ascii_case("h1")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Checks the outline of a text in pieces of `length` against that of the whole text; returns the number of pieces.
    fn check(text: &str, length: usize) -> usize {
        let pieces = Pieces::of_length(text, Syntax::Markdown, length, 9_000);
        let whole = Outline::of(text, Syntax::Markdown);
        let (mut joined, mut at, mut count) = (Outline::default(), 0, 0);
        while at < text.len() {
            let (outline, end) = pieces.read(text, at);
            joined.headings.extend(outline.headings.into_iter().map(|mut heading| {
                heading.lines = heading.lines.start + at..heading.lines.end + at;
                heading
            }));
            joined.blocks.extend(outline.blocks.into_iter().map(|block| block + at));
            joined.atoms.extend(outline.atoms.into_iter().map(|mut atom| {
                atom.start += at;
                atom
            }));
            joined.images.extend(outline.images.into_iter().map(|mut image| {
                image.start += at;
                image
            }));
            joined.silent.extend(outline.silent.into_iter().map(|silent| silent.start + at..silent.end + at));
            (at, count) = (end, count + 1);
        }
        joined.is_open = whole.is_open;
        assert_eq!(format!("{joined:#?}"), format!("{whole:#?}"), "{text}");
        let (first, end) = pieces.read(text, 0);
        assert_eq!(
            pieces.first_title(text, &first, end),
            whole
                .headings
                .iter()
                .find(|heading| heading.level == 1 && !heading.title.is_empty())
                .map(|heading| heading.title.clone())
        );
        count
    }

    #[test]
    fn a_long_text_is_cut_at_headings_only() {
        let text = "## A *title*\n\nTwo sentences. In a row.\n\n- an item\n\n".repeat(600);
        assert!(check(&text, 2_000) > 5);
        // A fence, a comment and a formula over the places where it would be cut.
        for (open, close) in
            [("```", "```"), ("<!--", "-->"), ("%%", "%%"), ("<table>", "</table>"), ("<pre>", "</pre>")]
        {
            let long = format!("{text}{open}\n\n{text}{close}\n\n{text}");
            check(&long, 2_000);
        }
    }

    #[test]
    fn texts_whose_parts_depend_on_each_other_are_one_piece() {
        let text = "## A title\n\nOne sentence here.\n\n".repeat(600);
        for more in [
            "[a]: b\n",
            "> 1. [^a]: b\n",
            "x </Tab>\n",
            "\nimport a from 'b'\n",
            "!!! note\n    A\n",
            "\\(x_i\\)\n",
        ] {
            assert_eq!(check(&format!("{text}{more}"), 2_000), 1, "{more}");
        }
    }

    /// Text that has nothing special, longer than markup may reach if there are a few of it.
    const FILLER: &str = "Words that fill the text. And some more of them.\n\n";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn pieces_have_the_outline_of_the_whole_text(
            blocks in proptest::collection::vec(prop_oneof![
                15 => Just(""),
                1 => Just("## A title\n\n"), 1 => Just("# One\n\n"), 1 => Just("Words. And more.\n\n"), 1 => Just("Words.\n# Two\n"), 1 => Just("- a\n\n  ```\n"),
                1 => Just("```\n\n"), 1 => Just("~~~\n"), 1 => Just("- item\n"), 1 => Just("> quote\n"), 1 => Just("<!-- x\n\n"), 1 => Just("-->\n\n"), 1 => Just("%%\n\n"),
                1 => Just("$$\n"), 1 => Just("<div>\n"), 1 => Just("</div>\n\n"), 1 => Just("<h1>T</h1>\n\n"), 1 => Just("<script>\n"), 1 => Just("</script>\n\n"), 1 => Just("<video>\n\n"),
                1 => Just("Title\n---\n\n"), 1 => Just("Prose ends here in more words.\n---\n\n"), 1 => Just("| a |\n|---|\n| b |\n\n"),
                1 => Just("![a](b.png)\n\n"), 1 => Just("    code\n\n"), 1 => Just("{% comment %}\n\n"), 1 => Just("endcomment %}\n\n"), 1 => Just("<Tab a={1}\n\n"), 1 => Just("\\begin{align}\n\n"), 1 => Just("\\end{align}\n\n"),
            ], 0..90),
            length in 1_000..9_000_usize,
        ) {
            let filler = FILLER.repeat(40);
            let text: String = blocks.into_iter().map(|block| if block.is_empty() { &filler } else { block }).collect();
            check(&text, length);
        }
    }
}
