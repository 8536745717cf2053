//! HTML that a reader does not see, and HTML tables.

use super::scanner::DialectScanner;

/// Elements whose content is not text.
const UNREADABLE: &[&str] = &["script", "style", "svg", "iframe", "noscript", "video", "audio", "object"];

/// Comments, scripts, styles, drawings, tables.
pub(super) fn tag(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    let rest = &scan.text[at + 1..];
    if rest.starts_with("!--") {
        let end = scan.find(at + 4, "-->")? + 3;
        scan.draft.silence(at..end);
        return Some(end);
    }
    let name = scan.near(at + 1).split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let follows = rest.as_bytes().get(name.len()).copied();
    if !matches!(follows, Some(b'>' | b' ' | b'\n' | b'\t' | b'/')) {
        return None;
    }
    if name.eq_ignore_ascii_case("table") {
        let end = scan.element(at, "table")?;
        scan.draft.table(at..end);
        return Some(end);
    }
    let name: &'static str = UNREADABLE.iter().find(|known| known.eq_ignore_ascii_case(name))?;
    let tag = scan.near(at + 1).find('>')?;
    if rest[..tag].ends_with('/') {
        return None;
    }
    let end = scan.element(at, name)?;
    scan.draft.silence(at..end);
    Some(end)
}

/// The length of an element at the start of a text, including nested ones of the same name.
pub(in super::super) fn element(html: &str, name: &str) -> Option<usize> {
    let (open, close) = (format!("<{name}"), format!("</{name}"));
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        at += html[at..].find('<')?;
        let is =
            |tag: &str| html.get(at..at + tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
        if is(&close) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return Some(at + html[at..].find('>')? + 1);
            }
        } else if is(&open) {
            depth += 1;
        }
        at += 1;
    }
}
