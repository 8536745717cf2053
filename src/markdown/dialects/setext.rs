//! Prose directly above a line of hyphens: a heading according to CommonMark, but meant as a paragraph and a
//! thematic break.

use pulldown_cmark::{Event, HeadingLevel, Tag};

use super::super::outline_builder;
use super::line_starts;
use super::rewrite_buffer::RewriteBuffer;

/// A longer line above a short underline is not a title, in characters.
const LONG: usize = 120;
/// This many lines above an underline are too many for a title.
const LINES: usize = 3;

/// Turns such underlines into thematic breaks.
pub(super) fn rewrite(draft: &mut RewriteBuffer<'_>) {
    let text = draft.text();
    if !may_have_underlines(&text) {
        return;
    }
    for (event, range) in outline_builder::events(&text) {
        if !matches!(event, Event::Start(Tag::Heading { level: HeadingLevel::H2, .. })) {
            continue;
        }
        let heading = text[range.clone()].trim_end();
        let Some((words, underline)) = heading.rsplit_once('\n') else { continue };
        let marks = underline.trim_start_matches([' ', '>', '\t']);
        if marks.is_empty() || !marks.bytes().all(|byte| byte == b'-') || !is_prose(words, marks.len()) {
            continue;
        }
        let start = range.start + heading.len() - marks.len();
        draft.put(start..start + marks.len(), if marks.len() < 3 { b"" } else { b"***" });
    }
}

/// Whether a line of hyphens may be an underline below prose. Asks the parser only about texts that have one.
fn may_have_underlines(text: &str) -> bool {
    line_starts(text).any(|start| {
        let line = text[start..].trim_start_matches([' ', '>', '\t']);
        if !line.starts_with('-') {
            return false;
        }
        let marks = line.lines().next().unwrap_or_default().trim_end();
        if !marks.bytes().all(|byte| byte == b'-') {
            return false;
        }
        let above = text[..start].lines().rev().take(LINES).take_while(|line| !bare(line).is_empty());
        let above: Vec<&str> = above.collect();
        let Some(last) = above.first() else { return false };
        // Inside of a quote or a list, the text above may begin later.
        let begins_line = last.starts_with(char::is_alphabetic);
        let words: Vec<&str> = above.iter().rev().copied().collect();
        !begins_line || is_prose(&words.join("\n"), marks.len())
    })
}

/// A line without the marks of quotes, and without white space at its ends.
fn bare(line: &str) -> &str {
    line.trim_start_matches([' ', '>', '\t']).trim_end()
}

/// Whether the text above an underline is a paragraph: it ends as a sentence does, or is too long for a title,
/// and the underline was not drawn to its length.
fn is_prose(words: &str, underline: usize) -> bool {
    let last = words.lines().last().unwrap_or_default().trim();
    let length = last.chars().count();
    if underline > 3 && length.abs_diff(underline) <= 2 {
        return false;
    }
    let bare = last.trim_end_matches(['*', '_', '`', '"', '”', ')', '」', ' ']);
    let ends = bare.ends_with(['.', '。', '।', '۔', '።', '։'])
        && !bare.ends_with("..")
        && last.contains([' ', '。'])
        || last.contains("。");
    // `Introduction to Foo Inc.` and `1.` are titles.
    let many =
        last.split_whitespace().count() > 4 || last.chars().any(|c| matches!(c, '\u{3000}'..='\u{9fff}'));
    let lines = words.lines().count();
    ends && many || lines >= LINES || underline == 3 && length > LONG
}
