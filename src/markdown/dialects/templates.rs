//! Markup of site generators: Hugo shortcodes, Jekyll tags, kramdown attribute lists, directives of Docusaurus
//! and MyST, table of contents markers.

use super::admonitions;
use super::scanner::DialectScanner;

/// The maximum length of a tag, in bytes.
const MOST: usize = 2 * 1024;

/// Markup between braces.
pub(super) fn braces(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    let rest = scan.near(at);
    if rest.starts_with("{/*") {
        let end = scan.find(at + 3, "*/}")? + 3;
        scan.draft.silence(at..end);
        return Some(end);
    }
    if rest.starts_with("{% comment %}") || rest.starts_with("{%- comment -%}") {
        let end = scan.find(at, "endcomment")?;
        let end = end + scan.line(end).find('}')? + 1;
        scan.draft.silence(at..end);
        return Some(end);
    }
    let in_address = scan.text[..at].ends_with("](") || scan.text[..at].ends_with("](<");
    for (open, close) in [("{{<", ">}}"), ("{{%", "%}}"), ("{%", "%}"), ("{{", "}}")] {
        let Some(inside) = rest.strip_prefix(open) else { continue };
        let end = inside.find(close).filter(|end| *end < MOST && !inside[..*end].contains("\n\n"))?;
        let whole = at..at + open.len() + end + close.len();
        match (in_address, open) {
            // With spaces in its address the link would not be one.
            (true, _) => scan.draft.fill(whole.clone(), b'x'),
            // A variable is replaced by words.
            (false, "{{") => {}
            (false, _) => scan.draft.hide(whole.clone()),
        }
        return Some(whole.end);
    }
    let line = scan.line(at);
    let inside = line.strip_prefix('{')?;
    let end = inside.find('}')?;
    let list = &inside[..end];
    // A MyST role: `{ref}` before a code span.
    let is_role = inside[end + 1..].starts_with('`') && !list.contains(' ') && !list.is_empty();
    let is_kramdown = list.starts_with(':') && !list.starts_with("::");
    let behind = scan.before(at).is_some_and(|c| matches!(c, ')' | ']' | '`' | '*' | '_' | ':'));
    let is_last = inside[end + 1..].trim().is_empty();
    let is_list =
        is_kramdown && is_attributes(list, true) || (behind || is_last) && is_attributes(list, false);
    if !is_role && !is_list {
        return None;
    }
    scan.draft.hide(at..at + end + 2);
    Some(at + end + 2)
}

/// Whether a text is a list of attributes: `.class`, `#id`, `key=value`; in kramdown also words, such as `:toc`.
fn is_attributes(list: &str, words: bool) -> bool {
    let mut rest = list.trim_start_matches(':').trim();
    if rest.is_empty() {
        return false;
    }
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ':' | '%' | '/');
    while !rest.is_empty() {
        let mark = rest.starts_with(['.', '#']);
        let name = if mark { &rest[1..] } else { rest };
        let length = name.find(|c: char| !is_name(c)).unwrap_or(name.len());
        let after = &name[length..];
        let value = after.strip_prefix('=');
        if length == 0 || !mark && value.is_none() && !words {
            return false;
        }
        rest = match value {
            Some(value) if value.starts_with(['"', '\'']) => match value[1..].split_once(&value[..1]) {
                Some((_, after)) => after,
                None => return false,
            },
            Some(value) => value.trim_start_matches(|c: char| is_name(c) || c == '.'),
            None => after,
        };
        if !rest.is_empty() && !rest.starts_with(' ') {
            return false;
        }
        rest = rest.trim_start();
    }
    true
}

/// Icons such as `:material-clock:`, which have no text.
pub(super) fn icon(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    let is_set = |set: &&str| scan.text[at + 1..].starts_with(*set);
    if !["material-", "octicons-", "fontawesome-", "simple-"].iter().any(is_set) {
        return None;
    }
    let name = &scan.line(at)[1..];
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))?;
    if !name[end..].starts_with(':') {
        return None;
    }
    scan.draft.hide(at..at + end + 2);
    Some(at + end + 2)
}

/// `:::note Title`, `:::tip[Title]`, `:::{note} Title`, `:::`.
pub(super) fn directive(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    let line = scan.line(at).trim_end();
    let name = line.trim_start_matches(':');
    let colons = line.len() - name.len();
    if colons < 3 {
        return None;
    }
    let end = at + line.len();
    let words = name.trim_start();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ':');
    let skipped = match words.strip_prefix('{') {
        Some(braced) => braced.find('}')? + 2,
        None => words.find(|c: char| !is_name(c)).unwrap_or(words.len()),
    };
    let title = words[skipped..].trim_start();
    let (mut from, mut to) = (end - title.len(), end);
    if title.starts_with('{') {
        from = end;
    } else if let Some(close) = title.strip_prefix('[').and_then(|title| title.find(']')) {
        (from, to) = (from + 1, from + 1 + close);
    }
    if from == to {
        scan.draft.hide(at..end);
    } else {
        scan.draft.hide(at..from);
        scan.draft.hide(to..end);
        scan.draft.title(from..to);
    }
    if words.starts_with('{') {
        let length = scan.text.len();
        admonitions::options(scan.draft, scan.text, (end + 1).min(length), length);
    }
    Some(to.min(end).max(at + colons))
}

/// `[TOC]`, `[[toc]]`, `[[_TOC_]]`, `{{TOC}}`, `- TOC` above `{:toc}`.
pub(super) fn contents(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    let line = scan.line(at).trim_end();
    let is = |mark: &&str| line.eq_ignore_ascii_case(mark);
    let is_mark = ["[toc]", "[[toc]]", "[[_toc_]]", "{{toc}}", "{{ toc }}"].iter().any(is);
    let next = || scan.text.get(at + scan.line(at).len() + 1..).unwrap_or_default();
    let is_item = ["- toc", "* toc", "+ toc"].iter().any(is) && next().starts_with("{:toc");
    if !is_mark && !is_item {
        return None;
    }
    scan.draft.hide(at..at + line.len());
    Some(at + line.len())
}
