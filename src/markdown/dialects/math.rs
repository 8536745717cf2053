//! LaTeX formulas: `$..$`, `$$..$$`, `\(..\)`, `\[..\]`, `\begin{align}..\end{align}`. Prices are not formulas.

use std::ops::Range;

use memchr::memchr_iter;

use super::scanner::DialectScanner;

/// Environments that are formulas on their own.
const ENVIRONMENTS: &[&str] = &[
    "equation",
    "align",
    "alignat",
    "gather",
    "multline",
    "eqnarray",
    "displaymath",
    "math",
    "flalign",
    "cases",
    "matrix",
    "pmatrix",
    "bmatrix",
    "vmatrix",
    "array",
    "split",
    "aligned",
    "gathered",
];
/// The maximum length of a formula, in bytes.
const MOST: usize = 8 * 1024;

/// Whether brackets with backslashes are formulas in this text: one of them contains what only formulas contain.
pub(super) fn has_brackets(text: &str) -> bool {
    let open = memchr_iter(b'\\', text.as_bytes()).filter(|at| text[at + 1..].starts_with('('));
    open.take(1_000).any(|at| {
        let rest = &text[at + 2..];
        let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
        line.find("\\)").is_some_and(|end| is_sure(&line[..end]))
    })
}

/// `$..$` and `$$..$$`.
pub(super) fn dollars(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    let rest = scan.near(at);
    if rest.starts_with("$$") {
        return Some(double(scan, at).unwrap_or(at + 2));
    }
    // Chinese has no space before a formula, and a price may begin with letters: `US$5`.
    if scan.before(at).is_some_and(|c| c.is_ascii_alphanumeric() || c == '\\' || c == '$') {
        return None;
    }
    let inside = &rest[1..];
    if let Some(code) = inside.strip_prefix('`') {
        let end = code.find("`$").filter(|end| !code[..*end].contains(['\n', '`']))?;
        let end = at + 2 + end + 2;
        scan.draft.formula(at..end, false);
        return Some(end);
    }
    if inside.starts_with(|c: char| c.is_whitespace()) {
        return None;
    }
    let paragraph = within(scan.paragraph(at + 1));
    let end = closing_dollar(paragraph)?;
    let formula = &paragraph[..end];
    let whole = at..at + 1 + end + 1;
    let is_formula = scan.code_at(whole.end - 1).is_none()
        && (!formula.contains('\n') || is_sure(formula) && !formula.lines().skip(1).any(begins_block))
        && !is_prose(formula);
    if !is_formula {
        return None;
    }
    scan.draft.formula(whole.clone(), false);
    Some(whole.end)
}

/// The offset of the dollar sign that ends a formula: not after a space, nor before a digit or letter.
fn closing_dollar(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find(['$', '\\'])?;
        if text[at..].starts_with('\\') {
            from = at + 1 + text[at + 1..].chars().next()?.len_utf8();
            continue;
        }
        let after = text[at + 1..].chars().next();
        let closes = !text[..at].ends_with(char::is_whitespace)
            && !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '$');
        return (closes && at > 0).then_some(at);
    }
}

/// Whether the text between two dollar signs is prose and amounts of money.
fn is_prose(text: &str) -> bool {
    if text.contains(['\\', '^', '_', '{']) {
        return false;
    }
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| word.chars().count() > 3).count();
    let starts_as_price = text.starts_with(|c: char| c.is_ascii_digit());
    words > 1
        || words == 1 && text.contains(' ')
        || starts_as_price && text.contains(' ') && !text.contains('=')
}

/// Whether only a formula contains such a text.
fn is_sure(text: &str) -> bool {
    let bytes = text.as_bytes();
    let letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphabetic);
    text.char_indices().any(|(at, c)| match c {
        '\\' => letter(at + 1) && letter(at + 2),
        '^' => {
            at > 0
                && bytes.get(at + 1).is_some_and(|next| {
                    next.is_ascii_alphanumeric() || matches!(next, b'{' | b'-' | b'\\' | b'*')
                })
        }
        // `x_i` and `x_{ij}`, but not `snake_case`.
        '_' => {
            at > 0
                && letter(at - 1)
                && (at == 1 || !bytes[at - 2].is_ascii_alphanumeric() && bytes[at - 2] != b'_')
                && bytes.get(at + 1).is_some_and(|next| *next == b'{' || next.is_ascii_alphanumeric())
                && !bytes.get(at + 2).is_some_and(u8::is_ascii_alphanumeric)
        }
        '=' => {
            at > 0
                && text[..at].trim_end().ends_with(|c: char| c.is_alphanumeric() || c == ')')
                && bytes.get(at + 1) != Some(&b'=')
        }
        _ => false,
    })
}

/// Whether a line would begin a block of its own if it were not part of a formula.
fn begins_block(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '>', '\t']);
    line.starts_with("# ") || line.starts_with("```") || line.starts_with('|')
}

/// A display formula between double dollar signs. It may contain blank lines if the signs are on lines of their
/// own.
fn double(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    let inside = at + 2;
    let alone = scan.begins_line(at) && scan.line(inside).trim().is_empty();
    let text = if alone { scan.text[inside..].get(..).unwrap_or_default() } else { scan.paragraph(inside) };
    let text = within(text);
    let end = text.find("$$")?;
    let formula = &text[..end];
    let holds_blocks = alone && ["\n#", "\n```", "\n~~~"].iter().any(|block| formula.contains(block));
    if formula.trim().is_empty() || holds_blocks {
        return None;
    }
    let whole = at..inside + end + 2;
    let apart = scan.begins_line(at);
    scan.draft.formula(whole.clone(), apart);
    Some(whole.end)
}

/// `\(..\)`, `\[..\]` and environments.
pub(super) fn brackets(scan: &mut DialectScanner<'_, '_, '_>, at: usize) -> Option<usize> {
    let rest = &scan.text[at..];
    if let Some(begin) = rest.strip_prefix("\\begin{") {
        let name = begin.split_once('}')?.0;
        if !scan.begins_line(at) || !ENVIRONMENTS.contains(&name.trim_end_matches('*')) {
            return None;
        }
        let end = format!("\\end{{{name}}}");
        let length = within(rest).find(&end)? + end.len();
        scan.draft.formula(at..at + length, true);
        return Some(at + length);
    }
    let (close, display) = match rest.as_bytes().get(1)? {
        b'(' => ("\\)", false),
        b'[' => ("\\]", true),
        _ => return None,
    };
    let paragraph = within(scan.paragraph(at + 2));
    let end = paragraph.find(close)?;
    let formula = &paragraph[..end];
    let known = is_sure(formula) || scan.brackets_are_math && !display;
    if formula.trim().is_empty() || !known || formula.contains('`') {
        return None;
    }
    let whole = at..at + 2 + end + 2;
    let apart = display && scan.begins_line(at);
    scan.draft.formula(whole.clone(), apart);
    Some(whole.end)
}

fn within(text: &str) -> &str {
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A formula as it is written, without the quote marks of its lines.
pub(super) fn written(source: &str, range: &Range<usize>) -> String {
    let line = source[..range.start].rfind('\n').map_or(0, |end| end + 1);
    let quotes = source[line..range.start].chars().filter(|c| *c == '>').count();
    let mut text = String::with_capacity(range.len());
    for (number, line) in source[range.clone()].split('\n').enumerate() {
        let mut line = line;
        if number > 0 {
            text.push('\n');
            for _ in 0..quotes {
                line = line.trim_start().strip_prefix('>').unwrap_or(line);
            }
        }
        text.push_str(line);
    }
    text
}
