//! Repairs the backslashes of an answer's JSON before it is parsed: what a model meant, not what JSON makes of it.
//!
//! `\frac` is valid JSON for a form feed and `rac`. A backslash is doubled where it starts no escape (`\alpha`), where
//! the escape is never meant (`\b`, `\f` before a letter), and where letters, formula and the rest of the answer agree
//! that a command (`\nabla`) or a path (`C:\new`) is meant. Where they disagree the answer is ambiguous, and the model
//! is asked again. Works on raw text, so valid and broken JSON, keys and values are treated alike. Linear.

use std::borrow::Cow;

use super::latex::{self, Formula};
use super::windows_paths::{self, PathMatch};

/// A JSON candidate with repaired backslashes.
pub(super) struct RepairedEscapes<'a> {
    pub(super) text: Cow<'a, str>,
    /// The first ambiguous escape, as written. It was left unchanged.
    pub(super) unclear: Option<String>,
}

/// Repairs the backslashes of `candidate`.
pub(super) fn repair(candidate: &str) -> RepairedEscapes<'_> {
    if !needs_repair(candidate) {
        return RepairedEscapes { text: Cow::Borrowed(candidate), unclear: None };
    }
    let style = BackslashStyle::of(candidate);
    let mut repaired = String::with_capacity(candidate.len() + 16);
    let mut unclear = None;
    for (index, raw) in strings(candidate).enumerate() {
        if index > 0 {
            repaired.push('"');
        }
        repair_string(raw, style, &mut repaired, &mut unclear);
    }
    RepairedEscapes { text: Cow::Owned(repaired), unclear }
}

/// Whether there is anything to repair, which most answers do not need.
fn needs_repair(candidate: &str) -> bool {
    let formulas = candidate.contains('$') || candidate.contains("\\(");
    let mut at = 0;
    while let Some(offset) = candidate[at..].find('\\') {
        at += offset;
        let rest = &candidate[at + 1..];
        match rest.as_bytes().first() {
            Some(b'"' | b'\\' | b'/') => {}
            Some(b'n' | b'r' | b't') => {
                let name = latex::name(rest);
                let unknown_command = formulas && name.len() > 1 && !name.starts_with('n');
                if unknown_command
                    || latex::is_white_space_like(name)
                    || windows_paths::may_start(candidate, at)
                {
                    return true;
                }
            }
            _ => return true,
        }
        at += 1 + rest.chars().next().map_or(0, char::len_utf8);
    }
    false
}

/// Iterates over the parts between the quotes of `candidate`: strings, and what is between them.
fn strings(candidate: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(candidate);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut skipped = false;
        let end = text.bytes().position(|byte| {
            let escaped = skipped;
            skipped = byte == b'\\' && !escaped;
            byte == b'"' && !escaped
        });
        rest = end.map(|end| &text[end + 1..]);
        Some(end.map_or(text, |end| &text[..end]))
    })
}

/// How an answer writes the backslashes of its LaTeX commands.
#[derive(Debug, Clone, Copy, Default)]
struct BackslashStyle {
    /// Some are single: `\alpha`, `\frac`.
    single: bool,
    /// Some are doubled, as JSON requires: `\\alpha`.
    doubled: bool,
}

impl BackslashStyle {
    fn of(candidate: &str) -> Self {
        let mut style = Self::default();
        let mut at = 0;
        while let Some(offset) = candidate[at..].find('\\') {
            at += offset;
            let rest = &candidate[at + 1..];
            if let Some(rest) = rest.strip_prefix('\\') {
                style.doubled |= latex::is_command(latex::name(rest));
                at += 2;
                continue;
            }
            let name = latex::name(rest);
            // Other names may follow a line break.
            let is_certain =
                !name.starts_with(['n', 'r', 't']) || ["times", "theta", "rho", "right"].contains(&name);
            style.single |= is_certain && latex::is_command(name);
            at += 1 + rest.chars().next().map_or(0, char::len_utf8);
        }
        style
    }
}

/// What an escape for white space means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EscapeMeaning {
    WhiteSpace,
    Backslash,
    Unclear,
}

fn repair_string(raw: &str, style: BackslashStyle, repaired: &mut String, unclear: &mut Option<String>) {
    let formulas = if raw.contains('\\') { latex::formulas(raw) } else { Vec::new() };
    let string = RawString { raw, formulas, style };
    let mut copied = 0;
    let mut at = 0;
    // The end of the current path.
    let mut path = 0;
    while let Some(offset) = raw[at..].find('\\') {
        at += offset;
        if at >= path && windows_paths::may_start(raw, at) {
            match windows_paths::match_path(raw, at) {
                PathMatch::Path(end) => path = end,
                PathMatch::Unclear(end) => {
                    unclear.get_or_insert_with(|| raw[at - 2..end].to_owned());
                }
                PathMatch::None => {}
            }
        }
        let (taken, put) = match raw.as_bytes().get(at + 1) {
            _ if at < path => (1, "\\\\"),
            Some(b'n' | b'r' | b't') => match string.meaning(at) {
                EscapeMeaning::Backslash => (1, "\\\\"),
                EscapeMeaning::WhiteSpace => (2, &raw[at..at + 2]),
                EscapeMeaning::Unclear => {
                    unclear.get_or_insert_with(|| format!("\\{}", latex::name(&raw[at + 1..])));
                    (2, &raw[at..at + 2])
                }
            },
            Some(b'\\') => string.pair(at, unclear),
            _ => repair_escape(&raw[at..]),
        };
        repaired.push_str(&raw[copied..at]);
        repaired.push_str(put);
        at += taken;
        copied = at;
    }
    repaired.push_str(&raw[copied..]);
}

/// A raw string of the answer, with the formulas in it.
struct RawString<'a> {
    raw: &'a str,
    formulas: Vec<Formula>,
    style: BackslashStyle,
}

impl<'a> RawString<'a> {
    fn formula(&self, at: usize) -> Option<&Formula> {
        let index = self.formulas.partition_point(|formula| formula.inside.end <= at);
        self.formulas.get(index).filter(|formula| formula.inside.contains(&at))
    }

    /// Whether a formula ends at `at`.
    fn closes_formula(&self, at: usize) -> bool {
        self.formulas.binary_search_by_key(&at, |formula| formula.inside.end).is_ok()
    }

    /// Decides what the escape `\n`, `\r` or `\t` at `at` means.
    fn meaning(&self, at: usize) -> EscapeMeaning {
        let name = latex::name(&self.raw[at + 1..]);
        let behind = &self.raw[at + 1 + name.len()..];
        let formula = self.formula(at);
        let inline = formula.is_some_and(|formula| !formula.display);
        if !latex::is_white_space_like(name) || behind.starts_with(continues_word) {
            // There are no tabs and returns within an inline formula, so it is a user-defined command.
            let lost = inline && name.len() > 1 && !name.starts_with('n');
            return if lost { EscapeMeaning::Unclear } else { EscapeMeaning::WhiteSpace };
        }
        match formula {
            Some(formula) if formula.display => self.meaning_in_display(at, name, formula),
            Some(_) => EscapeMeaning::Backslash,
            None => self.meaning_in_text(at, name, behind),
        }
    }

    /// In display formulas and environments lines break, and `\nu` may be a line that starts with `u`.
    fn meaning_in_display(&self, at: usize, name: &str, formula: &Formula) -> EscapeMeaning {
        if !latex::rest_is_a_word(name) || name.starts_with('r') {
            return EscapeMeaning::Backslash;
        }
        if !formula.lines || (self.style.single && !self.style.doubled) {
            return EscapeMeaning::Backslash;
        }
        let before = &self.raw[formula.inside.start..at];
        let line_begins = before.is_empty() || before.ends_with(['}', '&', ',']) || before.ends_with("\\\\");
        if line_begins { EscapeMeaning::WhiteSpace } else { EscapeMeaning::Unclear }
    }

    fn meaning_in_text(&self, at: usize, name: &str, behind: &str) -> EscapeMeaning {
        if name.starts_with('r') {
            // A return without a line feed is no line end today.
            return EscapeMeaning::Backslash;
        }
        let before = &self.raw[..at];
        if before.ends_with("  ") {
            // Two spaces and a line break: Markdown's way to end a line.
            return EscapeMeaning::WhiteSpace;
        }
        let in_line = before.ends_with(|last: char| " (^_".contains(last))
            || (before.ends_with('$') && !self.closes_formula(at - 1));
        if latex::wants_brace(name) {
            return if behind.starts_with('{') {
                EscapeMeaning::Backslash
            } else {
                EscapeMeaning::WhiteSpace
            };
        }
        let single = self.style.single;
        if !latex::rest_is_a_word(name) {
            // The rest (`imes`, `abla`) is not an English word; at the start of a line it may be one in another
            // language.
            let proven = in_line || single || name.starts_with('t');
            return if proven { EscapeMeaning::Backslash } else { EscapeMeaning::WhiteSpace };
        }
        if !in_line {
            return EscapeMeaning::WhiteSpace;
        }
        let alone = behind.is_empty() || behind.starts_with([' ', '_', '^', ')', '$', ',', '(']);
        match (single, alone && matches!(name, "nu" | "not" | "tau" | "to" | "tan")) {
            (true, _) => EscapeMeaning::Backslash,
            (false, true) => EscapeMeaning::Unclear,
            (false, false) => EscapeMeaning::WhiteSpace,
        }
    }

    /// Repairs two backslashes, which are one in JSON. In an environment of an answer with single backslashes they end
    /// a row, and JSON would remove one of them.
    fn pair(&self, at: usize, unclear: &mut Option<String>) -> (usize, &'a str) {
        let raw = self.raw;
        let pair = &raw[at..at + 2];
        if !self.style.single || !self.formula(at).is_some_and(|formula| formula.bare_rows) {
            return (2, pair);
        }
        let behind = &raw[at + 2..];
        let row_ends =
            behind.starts_with([' ', '[', '&']) || behind.starts_with("\\n") || behind.starts_with("\\h");
        if !row_ends {
            return (2, pair);
        }
        if self.style.doubled {
            unclear.get_or_insert_with(|| pair.to_owned());
            return (2, pair);
        }
        (2, "\\\\\\\\")
    }
}

/// Whether a name is continued by this character as a word of another Latin alphabet.
fn continues_word(next: char) -> bool {
    next.is_alphabetic() && !next.is_ascii() && next < '\u{250}'
}

/// Returns the length of the escape at the start of `text` in bytes, and its replacement. A backslash that starts no
/// escape is doubled, and a lone surrogate replaced, since no JSON parser accepts either.
fn repair_escape(text: &str) -> (usize, &str) {
    match text.as_bytes().get(1) {
        // A lone backslash at the end of a truncated answer.
        None => (1, ""),
        Some(b'"' | b'/' | b'\'' | b'\n') => (2, &text[..2]),
        Some(b'b') => (1, "\\\\"),
        Some(b'f') if !text[2..].starts_with(|next: char| next.is_ascii_alphabetic()) => (2, &text[..2]),
        _ => match code_unit(text) {
            None => (1, "\\\\"),
            Some(0xD800..=0xDBFF) => match text.get(6..).and_then(code_unit) {
                Some(0xDC00..=0xDFFF) => (12, &text[..12]),
                _ => (6, "\\ufffd"),
            },
            Some(0xDC00..=0xDFFF) => (6, "\\ufffd"),
            Some(_) => (6, &text[..6]),
        },
    }
}

/// Parses a `\uXXXX` escape at the start of `text`.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}
