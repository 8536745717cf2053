//! Prose right above a line of hyphens: by the letter of CommonMark a heading, by the looks of it a paragraph and a rule
//! across the page.

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag};

use super::super::walk;
use super::draft::Draft;

/// A line of more characters above a short underline is no title.
const LONG: usize = 120;
/// Lines of words above an underline that are too many for a title.
const LINES: usize = 3;

/// Makes such underlines rules.
pub(super) fn rewrite(draft: &mut Draft<'_>) {
    let text = draft.text();
    if !text.contains("\n-") && !text.contains("-\n") {
        return;
    }
    for (event, range) in Parser::new_ext(&text, walk::options()).into_offset_iter() {
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

/// Whether the words above an underline are a paragraph: they end as a sentence does, or are too many for a title, and
/// the underline was not drawn to their length.
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
