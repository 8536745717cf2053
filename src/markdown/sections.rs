//! Splits a text into sections at its headings, and long sections into parts.

use std::cell::OnceCell;
use std::ops::Range;

use super::outline::Outline;

/// The text under one heading, up to the next heading of any level.
#[derive(Debug, PartialEq, Eq)]
pub struct OutlineSection {
    /// The heading's text; if it is empty, that of the nearest heading above that has one; the document's title
    /// for the text before the first heading.
    pub title: String,
    /// The headings above and the heading itself, outermost first.
    pub path: Vec<String>,
    /// 1 to 6; 0 for the text before the first heading.
    pub level: u8,
    /// Heading and body.
    pub whole: Range<usize>,
    /// The text after the heading.
    pub body: Range<usize>,
}

/// The headings above a place in a text, outermost first, with their levels.
pub type HeadingPath = Vec<(u8, String)>;

/// The sections of a text in order, including those without a body. Together they contain the whole text.
#[must_use]
pub fn split(text: &str, outline: &Outline, document_title: &str) -> Vec<OutlineSection> {
    split_below(text, outline, document_title, &mut HeadingPath::new())
}

/// The sections of a piece of a text below the headings of `above`, which then has those above the next piece.
pub fn split_below(
    text: &str,
    outline: &Outline,
    document_title: &str,
    above: &mut HeadingPath,
) -> Vec<OutlineSection> {
    let first = outline.headings.first().map_or(text.len(), |heading| heading.lines.start);
    let mut sections = vec![OutlineSection {
        title: document_title.to_owned(),
        path: vec![document_title.to_owned()],
        level: 0,
        whole: 0..first,
        body: 0..first,
    }];
    for (number, heading) in outline.headings.iter().enumerate() {
        let end = outline.headings.get(number + 1).map_or(text.len(), |next| next.lines.start);
        above.retain(|(level, _)| *level < heading.level);
        above.push((heading.level, heading.title.clone()));
        let titles = above.iter().map(|(_, title)| title);
        let path: Vec<String> = titles.filter(|title| !title.is_empty()).cloned().collect();
        let path = if path.is_empty() { vec![document_title.to_owned()] } else { path };
        sections.push(OutlineSection {
            title: path.last().cloned().unwrap_or_default(),
            path,
            level: heading.level,
            whole: heading.lines.start..end,
            body: heading.lines.end..end,
        });
    }
    sections
}

/// `text` without blank lines at its ends.
#[must_use]
pub fn trim_blank_lines(text: &str) -> &str {
    let text = text.trim_end();
    let indent = text.trim_start();
    let start = text.len() - indent.len();
    // The indentation of the first line stays: it may make the line code.
    let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
    &text[line..]
}

/// The offsets at which long sections may be split.
pub struct SplitPoints<'a> {
    text: &'a str,
    outline: &'a Outline,
    /// From coarse to fine: blocks, items and sentences, nested items, any atom. Most texts have no section to split.
    levels: OnceCell<[Vec<usize>; 4]>,
    max_chars: usize,
}

impl<'a> SplitPoints<'a> {
    /// The split points of a text, for parts of at most `max_chars` characters.
    #[must_use]
    pub fn new(text: &'a str, outline: &'a Outline, max_chars: usize) -> Self {
        Self { text, outline, levels: OnceCell::new(), max_chars: max_chars.max(1) }
    }

    fn levels(&self) -> &[Vec<usize>; 4] {
        self.levels.get_or_init(|| {
            let atoms = |depth: usize| -> Vec<usize> {
                let deep_enough = self.outline.atoms.iter().filter(|atom| atom.depth <= depth);
                deep_enough.map(|atom| start_of_line(self.text, atom.start)).collect()
            };
            [self.outline.blocks.clone(), atoms(1), atoms(2), atoms(usize::MAX)]
        })
    }

    /// Splits `range` into parts of at most `max_chars` characters: between blocks if possible, then between
    /// items or sentences, then lines, then words. Together the parts are the whole range.
    #[must_use]
    pub fn parts(&self, range: Range<usize>) -> Vec<Range<usize>> {
        self.pack(range, 0)
    }

    fn pack(&self, range: Range<usize>, level: usize) -> Vec<Range<usize>> {
        let text = self.text;
        if self.fits(range.len()) || self.fits(text[range.clone()].chars().count()) {
            return vec![range];
        }
        let Some(pieces) = self.pieces(&range, level) else { return self.chunks(range) };
        if pieces.len() < 2 {
            return self.pack(range, level + 1);
        }
        let mut parts: Vec<Range<usize>> = Vec::new();
        let mut length = 0;
        for piece in pieces {
            let chars = text[piece.clone()].chars().count();
            match parts.last_mut() {
                Some(last) if self.fits(length + chars) => {
                    last.end = piece.end;
                    length += chars;
                }
                _ => {
                    parts.extend(self.pack(piece, level + 1));
                    length = parts.last().map_or(0, |last| text[last.clone()].chars().count());
                }
            }
        }
        parts
    }

    fn fits(&self, chars: usize) -> bool {
        chars <= self.max_chars
    }

    /// `range` split at every offset of the level; `None` past the last level.
    fn pieces(&self, range: &Range<usize>, level: usize) -> Option<Vec<Range<usize>>> {
        let lines: Vec<usize>;
        let levels = self.levels();
        let borders = match levels.get(level) {
            Some(borders) => borders,
            None if level == levels.len() => {
                lines = self.text[range.clone()]
                    .match_indices('\n')
                    .map(|(at, _)| range.start + at + 1)
                    .collect();
                &lines
            }
            None => return None,
        };
        let mut pieces = Vec::new();
        let mut start = range.start;
        let first = borders.partition_point(|border| *border <= start);
        for border in borders[first..].iter().take_while(|border| **border < range.end) {
            if *border > start {
                pieces.push(start..*border);
                start = *border;
            }
        }
        pieces.push(start..range.end);
        Some(pieces)
    }

    /// `range` split every `max_chars` characters, at white space if there is any.
    fn chunks(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut chunks = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let rest = &self.text[start..range.end];
            let Some((limit, _)) = rest.char_indices().nth(self.max_chars) else {
                chunks.push(start..range.end);
                break;
            };
            let end = match rest[..limit].rfind([' ', '\t']) {
                Some(space) => space + 1,
                None => limit,
            };
            chunks.push(start..start + end);
            start += end;
        }
        chunks
    }
}

/// The start of the line if only indentation and quote marks precede `at`, otherwise `at`.
fn start_of_line(text: &str, at: usize) -> usize {
    let before = text[..at].trim_end_matches(['>', ' ', '\t']);
    if before.is_empty() || before.ends_with('\n') { before.len() } else { at }
}

#[cfg(test)]
mod tests {
    use super::super::outline::Syntax;
    use super::*;
    use proptest::prelude::*;

    /// Checks the level, heading path and body of each section that has a body.
    fn check(text: &str, expected: &[(u8, &str, &str)]) {
        let outline = Outline::of(text, Syntax::Markdown);
        let found: Vec<(u8, String, &str)> = split(text, &outline, "Doc")
            .into_iter()
            .map(|section| {
                (section.level, section.path.join(" > "), trim_blank_lines(&text[section.body.clone()]))
            })
            .filter(|(_, _, body)| !body.is_empty())
            .collect();
        let found: Vec<(u8, &str, &str)> =
            found.iter().map(|(level, path, body)| (*level, path.as_str(), *body)).collect();
        assert_eq!(found, expected);
    }

    /// Checks the parts of a whole text.
    fn check_parts(text: &str, max_chars: usize, expected: &[&str]) {
        let outline = Outline::of(text, Syntax::Markdown);
        let parts = SplitPoints::new(text, &outline, max_chars).parts(0..text.len());
        let found: Vec<&str> = parts.into_iter().map(|part| trim_blank_lines(&text[part])).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn headings_open_sections_and_make_paths() {
        check(
            "Before.\n\n# Guide\nA\n## Setup\n### Linux ##\nB\n### Mac\nC\n## Use\nD\n",
            &[
                (0, "Doc", "Before."),
                (1, "Guide", "A"),
                (3, "Guide > Setup > Linux", "B"),
                (3, "Guide > Setup > Mac", "C"),
                (2, "Guide > Use", "D"),
            ],
        );
        check(
            "Set\next\n===\n\nA\n\nSecond\n------\nB",
            &[(1, "Set ext", "A"), (2, "Set ext > Second", "B")],
        );
        check("## `code` and *more* [link](x) ![pic](y) {#id}\nA\n", &[(2, "code and more link pic", "A")]);
        check("# ![Logo](x)\nA\n## \nB\n#\nC\n", &[(1, "Logo", "A"), (2, "Logo", "B"), (1, "Doc", "C")]);
        check("# A\n    indented code\n", &[(1, "A", "    indented code")]);
    }

    #[test]
    fn only_real_headings_open_sections() {
        let body = "```sh\n# a comment\n```\n\n> # quoted\n\n- # in a list\n\n<div>\n# in html\n</div>\n\n    # indented\n\n#hashtag";
        check(&format!("# A\n{body}\n"), &[(1, "A", body)]);
        check("# A\n\n~~~\n# x\n", &[(1, "A", "~~~\n# x")]);
    }

    #[test]
    fn long_texts_are_cut_between_blocks_first() {
        check_parts("aaaa\n\nbbbb\n\ncccc\n", 12, &["aaaa\n\nbbbb", "cccc"]);
        check_parts(
            "short\n\n```\nfn a() {}\n\nfn b() {}\n```\n",
            30,
            &["short", "```\nfn a() {}\n\nfn b() {}\n```"],
        );
        check_parts("- a1\n  - a2\n- b1\n  - b2\n", 14, &["- a1\n  - a2", "- b1\n  - b2"]);
        check_parts("One two three. Four five six. Seven.", 22, &["One two three.", "Four five six. Seven."]);
        check_parts("aaaa bbbb cccc", 10, &["aaaa bbbb", "cccc"]);
        check_parts("ääääää", 4, &["ääää", "ää"]);
        check_parts(
            "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n",
            30,
            &["| a | b |\n|---|---|\n| 1 | 2 |", "| 3 | 4 |"],
        );
    }

    fn markdown() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            "#{1,7} ?[a-z#{}]{0,5}",
            "[ >]{0,5}[-*+] [a-zA-Zé`\\[\\]!.: ]{0,12}",
            "[ ]{0,5}[0-9]{1,2}[.)] [a-z]{0,8}",
            "[|][a-z |]{0,8}",
            "[|:-]{3,6}",
            "`{3,4}[a-z]{0,2}",
            "[-=]{1,4}",
            "<[/a-z!-]{1,6}>?",
            "\\[[a-z^]{1,3}\\]: [a-z]{0,3}",
            "[\\PC]{0,20}",
            Just(String::new()),
        ];
        proptest::collection::vec(line, 0..20).prop_map(|lines| lines.join("\n"))
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in prop_oneof![markdown(), any::<String>()], max in 1..60_usize) {
            for syntax in [Syntax::Markdown, Syntax::Plain] {
                let outline = Outline::of(&text, syntax);
                let borders = SplitPoints::new(&text, &outline, max);
                let mut rebuilt = String::new();
                for section in split(&text, &outline, "Doc") {
                    rebuilt.push_str(&text[section.whole.start..section.body.start]);
                    for part in borders.parts(section.body.clone()) {
                        prop_assert!(text[part.clone()].chars().count() <= max);
                        for fact in super::super::facts::of(&text, &outline, &part) {
                            prop_assert!(!fact.contains(['\n', '\r']) && fact.trim() == fact);
                        }
                        rebuilt.push_str(&text[part]);
                    }
                }
                prop_assert_eq!(&rebuilt, &text);
            }
        }

        #[test]
        fn sentences_hold_every_word(text in any::<String>()) {
            let joined: String =
                super::super::sentences::split(&text, &[]).into_iter().map(|range| text[range].to_owned()).collect();
            let bare = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(bare(&joined), bare(&text));
        }
    }
}
