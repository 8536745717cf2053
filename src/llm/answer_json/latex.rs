//! Recognizes LaTeX in the raw text of a JSON string: names of commands, and the positions of formulas.
//!
//! `escapes` uses both to distinguish a command that lost a backslash from a line break. Names are compared, never
//! guessed: `\next` is a line break and a word, since LaTeX has no such command.

mod names;

use std::ops::Range;

pub(super) use self::names::{is_command, is_white_space_like, rest_is_a_word, wants_brace};

/// Returns the letters at the start of `text`: the name of a command.
pub(super) fn name(text: &str) -> &str {
    let end = text.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
    &text[..end]
}

/// A formula, as a byte range of its string without the delimiters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Formula {
    pub(super) inside: Range<usize>,
    /// Whether it is a display formula (`$$`, `\[`, an environment), where line breaks are usual.
    pub(super) display: bool,
    /// Whether it contains an unambiguous line break.
    pub(super) lines: bool,
    /// Whether it is an environment without a row end that is escaped for JSON, with four backslashes.
    pub(super) bare_rows: bool,
}

/// The longest formula between single dollars, in bytes; more between two of them is prose about money.
const LONGEST_INLINE: usize = 400;

/// Returns the formulas of a string's raw text, in order. Linear: the search continues after the end of each formula,
/// and an unclosed delimiter is not searched for again.
pub(super) fn formulas(raw: &str) -> Vec<Formula> {
    let mut found = Vec::new();
    let mut unclosed: Vec<&str> = Vec::new();
    let mut at = 0;
    while let Some(offset) = raw[at..].find(['$', '\\']) {
        at += offset;
        let rest = &raw[at..];
        if rest.starts_with("\\\\$") {
            // An escaped dollar.
            at += 3;
            continue;
        }
        let Some((open, close)) = opening(rest) else {
            at += if rest.starts_with('\\') { escape_length(rest) } else { 1 };
            continue;
        };
        let inside = at + open.len();
        let end = match close {
            "$" => inline_end(&raw[inside..]),
            close if unclosed.contains(&close) => None,
            close => raw[inside..].find(close),
        };
        match end {
            Some(length) => {
                let text = &raw[inside..inside + length];
                found.push(Formula {
                    inside: inside..inside + length,
                    display: !matches!(close, "$" | "\\)" | "\\\\)"),
                    lines: breaks_lines(text),
                    bare_rows: open.ends_with("begin{") && !text.contains("\\\\\\\\"),
                });
                at = inside + length + close.len();
            }
            None => {
                if close != "$" {
                    unclosed.push(close);
                }
                at = inside;
            }
        }
    }
    found
}

/// Returns the opening delimiter of a formula at the start of `raw`, and its closing one, with single or doubled
/// backslashes.
fn opening(raw: &str) -> Option<(&'static str, &'static str)> {
    const MARKS: &[(&str, &str)] = &[
        ("$$", "$$"),
        ("$", "$"),
        ("\\\\(", "\\\\)"),
        ("\\(", "\\)"),
        ("\\\\[", "\\\\]"),
        ("\\[", "\\]"),
        ("\\\\begin{", "\\\\end{"),
        ("\\begin{", "\\end{"),
    ];
    MARKS.iter().find(|(open, _)| raw.starts_with(open)).copied()
}

/// Returns the length of a backslash and what it escapes, in bytes.
fn escape_length(raw: &str) -> usize {
    1 + raw[1..].chars().next().map_or(0, char::len_utf8)
}

/// Returns the position of the dollar that closes a formula, by the rules of Markdown: no white space before it, no
/// digit after it, no white space right after the opening one, no paragraph break in between.
fn inline_end(inside: &str) -> Option<usize> {
    if inside.starts_with(|next: char| next.is_whitespace() || next == '$') {
        return None;
    }
    let mut previous = '$';
    let mut skipped = false;
    for (at, next) in inside.char_indices() {
        if at > LONGEST_INLINE || next == '\n' {
            return None;
        }
        if skipped {
            let escape = &inside[at..];
            if next == 'n' && !is_white_space_like(name(escape)) {
                // An unambiguous line break: prose.
                return None;
            }
            skipped = false;
        } else if next == '\\' {
            skipped = true;
        } else if next == '$' && previous != '\\' {
            // A dollar that cannot close opens another formula, so the first one was money.
            let digit = inside[at + 1..].starts_with(|next: char| next.is_ascii_digit());
            return (previous != ' ' && !digit).then_some(at);
        }
        previous = next;
    }
    None
}

/// Whether a raw text contains an unambiguous line break.
fn breaks_lines(raw: &str) -> bool {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at + 1..];
        if escape.starts_with('n') && !is_white_space_like(name(escape)) {
            return true;
        }
        rest = &rest[at + escape_length(&rest[at..])..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_found() {
        let check = |raw: &str, expected: &[&str]| {
            let found: Vec<&str> = formulas(raw).iter().map(|found| &raw[found.inside.clone()]).collect();
            assert_eq!(found, expected, "{raw}");
        };
        check("a $x$ and $$y$$", &["x", "y"]);
        check(r"\(x\) \\(y\\) \[z\] \\[w\\]", &["x", "y", "z", "w"]);
        check(r"\begin{a} x \end{a} \\begin{b}y\\end{b}", &["a} x ", "b}y"]);
        check("it costs $5 or $6", &[]);
        check("it costs $5 and $10", &[]);
        check("it costs $5 and $x$, $$y$$", &["x", "y"]);
        check(r"from $5\nto 6$", &[]);
        check(r"\\$x$ and \$y", &[]);
        check("$$ never closed $x$", &["x"]);
        check(&"$".repeat(9), &["", ""]);
        assert!(formulas(&r"\(".repeat(50_000)).is_empty());
        assert!(formulas(&"$a ".repeat(50_000)).is_empty());
    }
}
