//! Obsidian markup: comments, links and embeds of notes, highlights, callouts, block ids.

use super::scanner::DialectScanner;

/// `%% a remark %%`, inline or over several lines.
pub(super) fn comment(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    if !scan.text[at..].starts_with("%%") {
        return None;
    }
    let free = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '%');
    if !free(scan.before(at)) {
        return Some(at + 2);
    }
    let end = scan.find(at + 2, "%%")?;
    let after = scan.text[end + 2..].chars().next();
    let over_lines = scan.text[at..end].contains('\n');
    if !free(after) || over_lines && !scan.begins_line(at) || end == at + 2 {
        return Some(at + 2);
    }
    scan.draft.silence(at..end + 2);
    Some(end + 2)
}

/// `[[note|words]]` shows the words, `[[note]]` the name, `![[file]]` nothing readable.
pub(super) fn link(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    if !scan.text[at..].starts_with("[[") && !scan.text[at..].starts_with("![[") {
        return None;
    }
    let line = scan.line(at);
    let embeds = line.starts_with('!');
    let inside = line.strip_prefix('!').unwrap_or(line).strip_prefix("[[")?;
    let start = at + line.len() - inside.len();
    let end = inside.find("]]")?;
    let (target, after) = (&inside[..end], &inside[end + 2..]);
    let is_name = target
        .starts_with(|c: char| c.is_alphabetic() || c == '#' || c.is_ascii_digit() || c == '/')
        && !target.contains(['[', ']', '`'])
        && target.chars().any(char::is_alphabetic);
    if !is_name || after.starts_with(['(', '[']) {
        return None;
    }
    let whole = at..start + end + 2;
    if embeds {
        scan.draft.hide(whole.clone());
        return Some(whole.end);
    }
    // In a table the bar is preceded by a backslash.
    let words = target.find('|').map_or(0, |bar| bar + 1);
    let shown = if words > 0 { start + words } else { start };
    let block = scan.text[shown..start + end].find("#^").map_or(start + end, |id| shown + id);
    scan.draft.hide(at..shown);
    scan.draft.hide(block..whole.end);
    Some(whole.end)
}

/// `==words==`.
pub(super) fn highlight(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    if !scan.text[at..].starts_with("==") {
        return None;
    }
    let line = scan.line(at);
    let inside = line.strip_prefix("==")?;
    let free = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '=');
    if inside.starts_with(['=', ' ']) || !free(scan.before(at)) {
        return Some(at + line.len() - line.trim_start_matches('=').len());
    }
    let end = inside.find("==")?;
    if inside[..end].ends_with(' ') || end == 0 || !free(inside[end + 2..].chars().next()) {
        return Some(at + 2);
    }
    scan.draft.hide(at..at + 2);
    scan.draft.hide(at + 2 + end..at + 4 + end);
    // There may be links inside.
    Some(at + 2)
}

/// `^id` at the end of a line.
pub(super) fn block_id(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    let line = scan.line(at);
    let id = line[1..].trim_end();
    let is_id = id.len() > 2
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && id.contains(|c: char| c.is_ascii_alphabetic());
    let end = at + 1 + id.len();
    if !is_id || !scan.before(at).is_none_or(char::is_whitespace) {
        return None;
    }
    scan.draft.hide(at..end);
    Some(end)
}

/// `> [!type]- Title`.
pub(super) fn callout(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    if !scan.text[at..].starts_with("[!") {
        return None;
    }
    let line = scan.line(at);
    let inside = line.strip_prefix("[!")?;
    let before = &scan.text[..at];
    if !before.trim_end_matches([' ', '\t']).ends_with('>') {
        return None;
    }
    let close = inside.find(']')?;
    let is_type = inside[..close].chars().all(|c| c.is_alphanumeric() || "-_|+ ".contains(c)) && close > 0;
    if !is_type {
        return None;
    }
    let rest = &inside[close + 1..];
    let title = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let (end, start) = (at + line.len(), at + line.len() - title.len());
    scan.draft.hide(at..start);
    scan.draft.title(start..end);
    // The title may contain markup.
    Some(start)
}
