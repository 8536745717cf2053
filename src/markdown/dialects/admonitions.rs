//! Blocks whose contents a CommonMark parser takes for code: admonitions of MkDocs (`!!! note`) and MyST (a fence
//! with `{note}`), indented JSX, code between tags of Jekyll and Hugo.

use std::ops::Range;

use memchr::{memchr_iter, memchr2_iter};
use pulldown_cmark::{CodeBlockKind, Event, Tag};

use super::super::outline_builder;
use super::rewrite_buffer::RewriteBuffer;
use super::{line_starts, mdx};

/// The maximum nesting depth of admonitions.
const DEPTH: usize = 5;
/// MyST directives in a fence that are not code.
const DIRECTIVES: &[&str] = &[
    "note",
    "warning",
    "tip",
    "important",
    "caution",
    "danger",
    "attention",
    "hint",
    "seealso",
    "admonition",
    "error",
    "versionadded",
    "versionchanged",
    "deprecated",
    "dropdown",
    "card",
    "grid",
    "grid-item",
    "grid-item-card",
    "tab-set",
    "tab-item",
    "margin",
    "sidebar",
    "epigraph",
    "topic",
    "container",
];

/// The markers of an admonition or a tab of MkDocs.
const MARKS: &[&str] = &["!!! ", "???+ ", "??? ", "=== \"", "===! \"", "===+ \""];
/// The maximum number of lines of an admonition.
const LINES: usize = 500;

/// Rewrites such blocks, from the outermost to the innermost.
pub(super) fn rewrite(draft: &mut RewriteBuffer<'_>) {
    code_tags(draft);
    for _ in 0..DEPTH {
        if !pass(draft) {
            return;
        }
    }
}

/// One pass; returns whether another may find more.
fn pass(draft: &mut RewriteBuffer<'_>) -> bool {
    let text = draft.text();
    let is_mdx = mdx::is_mdx(&text);
    let has_marks = has_marks(draft.source);
    if !is_mdx && !has_marks && !may_have_directives(&text) {
        return false;
    }
    let mut changed = false;
    let mut fences = Vec::new();
    let blocks: Vec<(Range<usize>, Option<String>)> = outline_builder::events(&text)
        .filter_map(|(event, range)| match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => Some((range, None)),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                Some((range, Some(info.to_string())))
            }
            _ => None,
        })
        .collect();
    for (range, info) in blocks {
        match info {
            Some(info) if directive(draft, &text, &range, &info) => changed = true,
            Some(_) => fences.push(range),
            None if is_mdx || has_marks && is_marked(draft.source, range.start) => {
                draft.unindent(range);
                changed = true;
            }
            None => {}
        }
    }
    if has_marks {
        markers(draft, &text, &fences);
    }
    changed
}

/// Whether a line begins with the marker of an admonition or a tab of MkDocs.
fn has_marks(text: &str) -> bool {
    line_starts(text).any(|start| {
        let words = text[start..].trim_start_matches([' ', '>']);
        words.starts_with(['!', '?', '=']) && MARKS.iter().any(|mark| words.starts_with(mark))
    })
}

/// Whether the text may have fences of MyST: what follows some fence is a brace, perhaps escaped.
fn may_have_directives(text: &str) -> bool {
    let is_directive = |at: usize| {
        let info = text[at..].trim_start_matches(['`', '~']);
        let fence = text.len() - at - info.len();
        fence >= 3 && info.trim_start_matches([' ', '\t']).starts_with(['{', '&', '\\'])
    };
    memchr2_iter(b'`', b'~', text.as_bytes()).any(is_directive)
}

/// Whether the nearest line above `at` with less indentation begins a MkDocs admonition.
fn is_marked(text: &str, at: usize) -> bool {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '>']).len();
    let line_end = text[start..].find('\n').map_or(text.len(), |end| start + end);
    let mut own = indent(&text[start..line_end]);
    for line in text[..start].lines().rev().take(LINES) {
        let words = line.trim_start_matches([' ', '>']);
        if words.is_empty() || indent(line) >= own {
            continue;
        }
        let is_item = words.starts_with(['-', '*', '+']) || words.starts_with(|c: char| c.is_ascii_digit());
        if !is_item || own == 0 {
            return marker(line).is_some();
        }
        // The item may itself be in an admonition.
        own = indent(line);
    }
    false
}

/// The length of the type, and the rest, of a line such as `!!! note "Title"`.
fn marker(line: &str) -> Option<(usize, &str)> {
    let words = line.trim_start_matches([' ', '>']);
    let start = line.len() - words.len();
    let rest = MARKS.iter().find_map(|mark| {
        let keep = usize::from(mark.ends_with('"'));
        words.strip_prefix(mark).map(|_| &words[mark.len() - keep..])
    })?;
    (rest.starts_with(|c: char| c.is_alphabetic() || c == '"')).then_some((start, rest))
}

/// Masks the markers of MkDocs admonitions; their titles stay.
fn markers(draft: &mut RewriteBuffer<'_>, text: &str, fences: &[Range<usize>]) {
    let mut start = 0;
    let is_code = |at: usize| {
        let after = fences.partition_point(|fence| fence.start <= at);
        after > 0 && fences[after - 1].contains(&at)
    };
    for line in text.split_inclusive('\n') {
        // A marker needs an indented line below it.
        let below = text[start + line.len()..].trim_start_matches('\n');
        if let Some((indent, _)) =
            marker(line.trim_end()).filter(|_| below.starts_with(['>', ' ']) && !is_code(start))
        {
            let end = start + line.trim_end().len();
            let title = text[start..end].find('"').map(|quote| start + quote + 1);
            match title {
                Some(from) => {
                    let to = text[from..end].find('"').map_or(end, |quote| from + quote);
                    draft.hide(start + indent..from);
                    draft.hide(to..end);
                    draft.title(from..to);
                }
                None => draft.hide(start + indent..end),
            }
        }
        start += line.len();
    }
}

/// Unwraps a MyST fence; returns whether it was one.
fn directive(draft: &mut RewriteBuffer<'_>, text: &str, range: &Range<usize>, info: &str) -> bool {
    let Some((name, _)) = info.strip_prefix('{').and_then(|info| info.split_once('}')) else { return false };
    if !DIRECTIVES.contains(&name) {
        return false;
    }
    let end = text[range.start..].find('\n').map_or(range.end, |end| range.start + end);
    let Some(brace) = text[range.start..end].find('}') else { return false };
    let title = range.start + brace + 1;
    if text[title..end].trim().is_empty() {
        draft.hide(range.start..end);
    } else {
        draft.hide(range.start..title);
        draft.title(title..end);
    }
    options(draft, text, end + 1, range.end);
    let last = text[range.clone()].trim_end().rfind('\n').map_or(range.end, |line| range.start + line + 1);
    let closing = text[last..range.end].trim_end();
    if last > end && closing.trim_start_matches([' ', '>']).starts_with(['`', '~', ':']) {
        draft.hide(last..last + closing.len());
    }
    true
}

/// Masks lines such as `:option: value`.
pub(super) fn options(draft: &mut RewriteBuffer<'_>, text: &str, mut start: usize, end: usize) {
    while start < end {
        let length = text[start..end].find('\n').unwrap_or(end - start);
        let line = text[start..start + length].trim();
        let is_option =
            line.strip_prefix(':').and_then(|line| line.split_once(':')).is_some_and(|(name, _)| {
                !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '-')
            });
        if !is_option {
            return;
        }
        draft.hide(start..start + length);
        start += length + 1;
    }
}

/// Whether what such a block is may depend on a distant line: an import, a marker, a tag.
pub(super) fn depends_on_whole(text: &str) -> bool {
    mdx::is_mdx(text) || has_marks(text) || has_code_tags(text)
}

fn has_code_tags(text: &str) -> bool {
    const TAGS: &[&str] = &["{% highlight", "{%- highlight", "{{< highlight", "{% codeblock"];
    memchr_iter(b'{', text.as_bytes()).any(|at| TAGS.iter().any(|tag| text[at..].starts_with(tag)))
}

/// Turns the tags of Jekyll and Hugo that enclose code into the fences of a code block.
fn code_tags(draft: &mut RewriteBuffer<'_>) {
    let source = draft.source;
    if !has_code_tags(source) {
        return;
    }
    let (mut start, mut open) = (0, false);
    for line in source.split_inclusive('\n') {
        let words = line.trim();
        let tag = words.trim_start_matches(['{', '%', '<', '-', ' ']);
        let is_tag = (words.starts_with("{%") || words.starts_with("{{<")) && words.ends_with('}');
        let begins = tag.starts_with("highlight") || tag.starts_with("codeblock");
        let ends = tag.starts_with("endhighlight")
            || tag.starts_with("endcodeblock")
            || tag.starts_with("/highlight");
        if is_tag && (if open { ends } else { begins && words.matches("{%").count() < 2 }) {
            let at = start + (line.len() - line.trim_start().len());
            draft.put(at..at + words.len(), b"~~~");
            open = !open;
        }
        start += line.len();
    }
}
