//! Finds the parts of an answer that look like JSON, skipping prose and reasoning between them.
//!
//! `answer_json` chooses among them. Linear in the answer's length: a bracket without a partner takes the rest of the
//! text, so nothing is searched twice.

use crate::llm::reasoning;

/// How many bytes after a bracket are searched for the first token of its JSON.
const LONGEST_LEAD: usize = 1024;

/// A part of an answer that looks like JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonCandidate<'a> {
    pub(super) text: &'a str,
    /// Whether it ends with the partner of its first bracket.
    pub(super) closed: bool,
    /// Whether it is inline code in prose, which mentions rather than answers.
    pub(super) quoted: bool,
}

impl JsonCandidate<'_> {
    /// Whether it ends before the partner of its first bracket. One that ends in the right bracket is complete, and has
    /// an unbalanced quote somewhere inside.
    pub(super) fn is_truncated(&self) -> bool {
        let close = if self.text.starts_with('{') { '}' } else { ']' };
        !self.closed && !self.text.ends_with(close)
    }

    /// Whether it may be prose: its brace is followed by a bare word.
    pub(super) fn may_be_prose(&self) -> bool {
        let inside = &self.text[1..];
        inside[blank(inside)..].starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
    }
}

/// Returns the outermost candidates in `text`, in order.
pub(super) fn find_candidates(text: &str) -> Vec<JsonCandidate<'_>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = bytes[at..].iter().position(|byte| matches!(byte, b'{' | b'[' | b'<')) {
        at += offset;
        if let Some(after) = reasoning::skip(text, at) {
            at = after;
            continue;
        }
        if !opens_json(text, at) {
            at += 1;
            continue;
        }
        let Some(end) = closing(bytes, at) else {
            let rest = &text[at..];
            let rest = rest.find("\n```").map_or(rest, |fence| &rest[..fence]);
            found.push(JsonCandidate { text: rest.trim_end(), closed: false, quoted: false });
            break;
        };
        let quoted = text[..at].ends_with('`')
            && !text[..at].ends_with("``")
            && text[end..].starts_with('`')
            && !text[end..].starts_with("``");
        found.push(JsonCandidate { text: &text[at..end], closed: true, quoted });
        at = end;
    }
    found
}

/// Whether the bracket at `at` starts JSON rather than an aside, a link or code.
fn opens_json(text: &str, at: usize) -> bool {
    // Bounded: otherwise a row of brackets that each start a comment would take quadratic time.
    let end = text.floor_char_boundary((at + 1).saturating_add(LONGEST_LEAD));
    let inside = &text[at + 1..end];
    let inside = &inside[blank(inside)..];
    let first = inside.chars().next();
    match (text.as_bytes()[at], first) {
        (b'{', Some(first)) if is_quote(first) || first == '}' => true,
        (b'{', Some(_)) => {
            let is_key = |next: char| next.is_ascii_alphanumeric() || next == '_';
            let after = inside.trim_start_matches(is_key);
            after.len() < inside.len() && after[blank(after)..].starts_with([':', '：'])
                || inside.starts_with("\\\"")
        }
        (b'[', Some(first)) if is_quote(first) || matches!(first, '{' | '[') => true,
        (b'[', _) => at == 0,
        _ => false,
    }
}

/// Whether a string may start with this character, in JSON or what models write instead.
pub(super) fn is_quote(first: char) -> bool {
    matches!(first, '"' | '\'' | '\u{201c}' | '\u{2018}' | '＂')
}

/// Returns the length of the white space of any kind and comments at the start of `text`, in bytes.
pub(super) fn blank(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_space);
        match comment(rest) {
            Some(length) => rest = &rest[length..],
            None => return text.len() - rest.len(),
        }
    }
}

/// Whether a character is white space by Unicode, or otherwise invisible.
pub(super) fn is_space(next: char) -> bool {
    next.is_whitespace()
        || matches!(next, '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
}

/// Returns the length of a comment at the start of `text` without its line end, in bytes.
pub(super) fn comment(text: &str) -> Option<usize> {
    if let Some(inside) = text.strip_prefix("/*") {
        return Some(inside.find("*/").map_or(text.len(), |end| end + 4));
    }
    let starts = text.starts_with("//") || text.starts_with('#');
    starts.then(|| text.find('\n').unwrap_or(text.len()))
}

/// Returns the position after the partner of the bracket at `start`. Brackets in strings and comments do not count, and
/// a closing bracket also closes what was left open inside it.
fn closing(bytes: &[u8], start: usize) -> Option<usize> {
    let mut open = Vec::new();
    let mut braces = 0;
    let mut in_string = false;
    let mut unclosed = UnclosedComments::default();
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'/' | b'#' if may_comment(bytes, at) => {
                at += unclosed.comment(&bytes[at..]);
                continue;
            }
            b'{' => {
                open.push(b'{');
                braces += 1;
            }
            b'[' => open.push(b'['),
            // The count avoids a search: otherwise a row of wrong brackets would take quadratic time.
            b'}' if braces > 0 => braces -= pop_to(&mut open, b'{'),
            b']' if open.len() > braces => braces -= pop_to(&mut open, b'['),
            _ => {}
        }
        at += 1;
        if open.is_empty() {
            return Some(at);
        }
    }
    None
}

/// Whether a comment may start at `at`, which it cannot in the middle of a word, as in a URL.
fn may_comment(bytes: &[u8], at: usize) -> bool {
    let starts = bytes[at] == b'#' || matches!(bytes.get(at + 1), Some(b'/' | b'*'));
    starts && bytes[at - 1].is_ascii_whitespace()
}

/// The kinds of comments that are known to be unclosed, so that their end is searched for only once.
#[derive(Default)]
struct UnclosedComments {
    block: bool,
    line: bool,
}

impl UnclosedComments {
    /// Returns the length of the comment at the start of `bytes`. An unclosed one does not count as a comment, so that
    /// the rest is not lost.
    fn comment(&mut self, bytes: &[u8]) -> usize {
        let (unclosed, end) = if bytes.starts_with(b"/*") {
            let end = |bytes: &[u8]| bytes.windows(2).position(|two| two == b"*/").map(|end| end + 2);
            (&mut self.block, end as fn(&[u8]) -> Option<usize>)
        } else {
            let end = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'\n');
            (&mut self.line, end as fn(&[u8]) -> Option<usize>)
        };
        let length = if *unclosed { None } else { end(bytes) };
        *unclosed = length.is_none();
        length.unwrap_or(1)
    }
}

/// Closes brackets up to the last `partner`, and returns how many of them were braces.
fn pop_to(open: &mut Vec<u8>, partner: u8) -> usize {
    let mut braces = 0;
    while let Some(bracket) = open.pop() {
        braces += usize::from(bracket == b'{');
        if bracket == partner {
            break;
        }
    }
    braces
}
