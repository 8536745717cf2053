//! MDX markup: JavaScript statements, components, comments.

use memchr::memchr_iter;

use super::super::html;
use super::line_starts;
use super::scanner::DialectScanner;

/// The maximum number of lines of a statement; longer ones are text.
const LINES: usize = 100;

/// Whether a text is MDX, in which indented text is not code.
pub(super) fn is_mdx(text: &str) -> bool {
    let has_statement = line_starts(text).any(|start| {
        let rest = &text[start..];
        let line = || rest.lines().next().unwrap_or_default();
        rest.starts_with("import") && is_import(line())
            || rest.starts_with("export const ") && line().contains('=')
    });
    has_statement || memchr_iter(b'<', text.as_bytes()).any(|at| is_closing(&text[at + 1..]))
}

/// Whether the text after a `<` closes a component that only MDX has.
fn is_closing(text: &str) -> bool {
    const NAMES: &[&str] =
        &["TabItem", "Tabs", "CardGroup", "Card", "Steps", "Step", "Accordion", "CodeGroup"];
    let Some(tag) = text.strip_prefix('/') else { return false };
    NAMES.iter().any(|name| tag.strip_prefix(name).is_some_and(|rest| rest.starts_with('>')))
}

/// `import` and `export` statements at the start of a line.
pub(super) fn statement(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    if at > 0 && scan.before(at) != Some('\n') {
        return None;
    }
    let rest = &scan.text[at..];
    let end = if rest.starts_with("import") {
        let near = scan.near(at);
        let line = near.find('\n').map_or(near.len(), |end| end + 1);
        // Names in braces may span lines.
        let open = near[..line].contains('{') && !near[..line].contains('}');
        let end = match open {
            true => {
                let brace = near.find('}').filter(|brace| !near[..*brace].contains("\n\n"))?;
                near[brace..].find('\n').map_or(near.len(), |end| brace + end + 1)
            }
            false => line,
        };
        is_import(&near[..end].replace('\n', " ")).then_some(end)?
    } else {
        export(rest)?
    };
    let end = at + scan.text[at..at + end].trim_end().len();
    scan.draft.silence(at..end);
    Some(end)
}

/// Whether a line is `import names from 'module'` or `import 'module'`.
fn is_import(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("import").filter(|rest| rest.starts_with([' ', '{', '"', '\'']))
    else {
        return false;
    };
    let rest = rest.trim_end().trim_end_matches(';').trim_end();
    let quoted = |text: &str| {
        let text = text.trim();
        ['"', '\''].iter().any(|quote| {
            text.strip_prefix(*quote)
                .and_then(|text| text.strip_suffix(*quote))
                .is_some_and(|name| !name.is_empty() && !name.contains(*quote))
        })
    };
    if quoted(rest) {
        return true;
    }
    let Some((names, module)) = rest.rsplit_once("from") else { return false };
    let is_names = |c: char| c.is_alphanumeric() || "_$*{}, ".contains(c);
    // `import a b from 'c'` is prose.
    let plain = names.split(['{', '}', ',']).all(|part| {
        part.split_whitespace().count() < 2 || part.contains(" as ") || part.trim().starts_with("type ")
    });
    quoted(module) && names.chars().all(is_names) && plain
}

/// The length of an `export` statement.
fn export(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("export ")?;
    let first = rest.lines().next().unwrap_or_default();
    let word = |text: &str| {
        text.trim_start()
            .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
            .next()
            .map(str::len)
            .unwrap_or(0)
    };
    let is_statement = ["const ", "let ", "var "].iter().any(|keyword| {
        first.strip_prefix(keyword).is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.starts_with(['{', '[']) || rest[word(rest)..].trim_start().starts_with(['=', ':'])
        })
    }) || ["function ", "async function ", "default function", "class ", "default class"]
        .iter()
        .any(|keyword| first.starts_with(keyword) && first.contains(['(', '{']))
        || first.starts_with('{')
        || first.starts_with("* from ")
        || first.starts_with("default (")
        || first.starts_with("default {")
        || first.strip_prefix("default ").is_some_and(|rest| rest[word(rest)..].starts_with(['(', ';']));
    if !is_statement {
        return None;
    }
    let (mut depth, mut end, mut quote) = (0_i64, 0, None);
    for line in text.split_inclusive('\n').take(LINES) {
        for c in line.chars() {
            match (quote, c) {
                (Some(open), c) if open == c => quote = None,
                (None, '"' | '\'' | '`') => quote = Some(c),
                (None, '{' | '(' | '[') => depth += 1,
                (None, '}' | ')' | ']') => depth -= 1,
                _ => {}
            }
        }
        end += line.len();
        // An apostrophe in JSX text does not open a string that continues.
        if quote != Some('`') {
            quote = None;
        }
        let goes_on = line.trim_end().ends_with(['=', ',', '>', '|', '&', '?', ':', '+']);
        if depth <= 0 && quote.is_none() && !goes_on {
            return Some(end);
        }
    }
    None
}

/// The tag of a component: `<Tabs groupId="os">`, `</Tabs>`, `<Icon />`, `<>`.
pub(super) fn tag(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    let rest = scan.near(at + 1);
    let closes = rest.starts_with('/');
    let name = rest.trim_start_matches('/');
    let length = name.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_'))).unwrap_or(name.len());
    let is_fragment = length == 0 && name.starts_with('>');
    if !is_fragment && !name.starts_with(|c: char| c.is_ascii_uppercase())
        || scan.before(at).is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '<' | '&'))
    {
        return None;
    }
    let after = &name[length..];
    // `<IMG>` is HTML.
    if length > 0 && !name[..length].contains(char::is_lowercase) && html::is_element(&name[..length]) {
        return None;
    }
    if !after.starts_with(['>', '/', ' ', '\n', '\t']) {
        return None;
    }
    let end = tag_end(after)?;
    let has_more = after[..end].trim_matches(['/', '>', ' ', '\n', '\t']).contains(['=', '{']);
    if is_fragment && !scan.closed.contains("") {
        return None;
    }
    // `<T>` alone is a type or a placeholder.
    let is_component = closes
        || is_fragment
        || after[..end].ends_with("/>")
        || has_more
        || scan.closed.contains(&name[..length]);
    let end = at + 1 + (rest.len() - name.len()) + length + end;
    if !is_component {
        return None;
    }
    scan.draft.hide(at..end);
    Some(end)
}

/// The length of a tag from after its name, considering quotes and braces.
fn tag_end(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => depth -= 1,
            (None, '>') if depth == 0 => return Some(at + 1),
            (None, '<') if depth == 0 => return None,
            _ => {}
        }
    }
    None
}
