//! Finds the stretches of an answer that look like JSON, prose and reasoning between them left out.
//!
//! `answer_json` chooses among them. Linear in the answer's length: a bracket without a partner takes the rest of the
//! text, so nothing is looked at twice.

use crate::llm::reasoning;

/// The most bytes behind a bracket in which the first text of its JSON is looked for.
const LONGEST_LEAD: usize = 1024;

/// A stretch of an answer that looks like JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonCandidate<'a> {
    pub(super) text: &'a str,
    /// Whether its first bracket has its partner at the end.
    pub(super) closed: bool,
    /// Whether it stands in a line of prose as code, as what is spoken of does.
    pub(super) quoted: bool,
}

impl JsonCandidate<'_> {
    /// Whether it ends before its first bracket's partner. One that ends in the right bracket is whole
    /// and lost count somewhere inside, by a quote too many.
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

/// The outermost pieces of `text`, in order.
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

/// Whether the bracket at `at` starts JSON rather than a remark, a link or code.
fn opens_json(text: &str, at: usize) -> bool {
    // Bounded, or a row of brackets that each begin a comment would cost its square.
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

/// Whether a text may begin with this character, in JSON or what models write for it.
pub(super) fn is_quote(first: char) -> bool {
    matches!(first, '"' | '\'' | '\u{201c}' | '\u{2018}' | '＂')
}

/// How many bytes of white space, of any kind, and of comments `text` starts with.
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

/// White space: Unicode's, and what is invisible besides.
pub(super) fn is_space(next: char) -> bool {
    next.is_whitespace()
        || matches!(next, '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
}

/// How many bytes a comment at the start of `text` takes, its line end left out.
pub(super) fn comment(text: &str) -> Option<usize> {
    if let Some(inside) = text.strip_prefix("/*") {
        return Some(inside.find("*/").map_or(text.len(), |end| end + 4));
    }
    let starts = text.starts_with("//") || text.starts_with('#');
    starts.then(|| text.find('\n').unwrap_or(text.len()))
}

/// The place after the partner of the bracket at `start`; brackets in strings and comments do not count, and a closing
/// bracket closes what was left open inside it.
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
            // Counted before it is looked for, or a row of wrong brackets would cost its square.
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

/// Whether a comment may start at `at`: what stands in the middle of a word, as in an address, is none.
fn may_comment(bytes: &[u8], at: usize) -> bool {
    let starts = bytes[at] == b'#' || matches!(bytes.get(at + 1), Some(b'/' | b'*'));
    starts && bytes[at - 1].is_ascii_whitespace()
}

/// Which kinds of comments are known not to end, so that their end is looked for once.
#[derive(Default)]
struct UnclosedComments {
    block: bool,
    line: bool,
}

impl UnclosedComments {
    /// The length of the comment that `bytes` start with. One that does not end is none, so that the rest is not lost.
    fn comment(&mut self, bytes: &[u8]) -> usize {
        let (endless, end) = if bytes.starts_with(b"/*") {
            let end = |bytes: &[u8]| bytes.windows(2).position(|two| two == b"*/").map(|end| end + 2);
            (&mut self.block, end as fn(&[u8]) -> Option<usize>)
        } else {
            let end = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'\n');
            (&mut self.line, end as fn(&[u8]) -> Option<usize>)
        };
        let length = if *endless { None } else { end(bytes) };
        *endless = length.is_none();
        length.unwrap_or(1)
    }
}

/// Closes brackets up to the last `partner`, and says how many of them were braces.
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
