//! Prose directly above a line of hyphens: a heading according to CommonMark, but meant as a paragraph and a
//! thematic break.

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag};

use super::super::outline_builder;
use super::rewrite_buffer::RewriteBuffer;

/// A longer line above a short underline is not a title, in characters.
const LONG: usize = 120;
/// This many lines above an underline are too many for a title.
const LINES: usize = 3;

/// Turns such underlines into thematic breaks.
pub(super) fn rewrite(draft: &mut RewriteBuffer<'_>) {
    let text = draft.text();
    if !text.contains("\n-") && !text.contains("-\n") {
        return;
    }
    for (event, range) in Parser::new_ext(&text, outline_builder::options()).into_offset_iter() {
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
