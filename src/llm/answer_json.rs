//! Finds the JSON in a model's answer: bare, fenced, wrapped in prose, or slightly broken.
//!
//! `stages::parse` calls it and then checks the value against the schema. Pure functions, nothing is
//! asked or remembered. Valid JSON comes back as it is; repair (jsonrepair-rs) is given a piece that was
//! cut out of the prose, never the prose, which it would turn into JSON too.

use std::borrow::Cow;

use serde_json::Value;

use super::reasoning;

/// The JSON of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Extracted {
    /// An object or an array.
    pub value: Value,
    /// Whether the answer stopped before the JSON did; what is missing was closed, not made up, so the
    /// last text in it may be half a sentence.
    pub cut: bool,
}

/// An answer without usable JSON. The messages are fit to be shown to the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// Nothing was answered, reasoning apart.
    #[error("the answer is empty")]
    Empty,
    /// There is text, but no JSON object or array in it.
    #[error("there is no JSON object in the answer")]
    NoJson,
    /// There is something like JSON that cannot be repaired.
    #[error("the JSON in the answer is broken: {0}")]
    Broken(String),
}

/// Finds the JSON object or array in `text`; of several, the longest that is valid as it stands, else the
/// longest that can be repaired.
pub fn extract(text: &str) -> Result<Extracted, ExtractError> {
    let (_, answer) = reasoning::split(text.trim_start_matches('\u{feff}'));
    if answer.is_empty() {
        return Err(ExtractError::Empty);
    }
    if answer.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(answer)
    {
        return Ok(Extracted { value, cut: false });
    }

    let mut pieces = pieces(answer);
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.text.len()));
    for piece in pieces.iter().filter(|piece| piece.closed) {
        if let Ok(value) = serde_json::from_str(piece.text) {
            return Ok(Extracted { value, cut: false });
        }
    }
    for piece in &pieces {
        if let Some(value) = repair(piece.text) {
            return Ok(Extracted { value, cut: piece.cut() });
        }
    }
    match pieces.first() {
        None => Err(ExtractError::NoJson),
        Some(piece) => match serde_json::from_str::<Value>(piece.text) {
            Err(error) => Err(ExtractError::Broken(error.to_string())),
            Ok(_) => Err(ExtractError::NoJson),
        },
    }
}

/// A stretch of an answer that looks like JSON.
struct Piece<'a> {
    text: &'a str,
    /// Whether its first bracket has its partner at the end.
    closed: bool,
}

impl Piece<'_> {
    /// Whether it ends before its first bracket's partner. One that ends in the right bracket is whole
    /// and lost count somewhere inside, by a quote too many.
    fn cut(&self) -> bool {
        let close = if self.text.starts_with('{') { '}' } else { ']' };
        !self.closed && !self.text.ends_with(close)
    }
}

/// The outermost stretches in brackets, prose and reasoning between them left out. Linear: a bracket
/// without a partner takes the rest of the text, so nothing is looked at twice.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = bytes[at..].iter().position(|byte| matches!(byte, b'{' | b'[' | b'<')) {
        at += offset;
        if let Some(after) = reasoning::skip(text, at) {
            at = after;
            continue;
        }
        if !opens_json(bytes, at) {
            at += 1;
            continue;
        }
        let Some(end) = closing(bytes, at) else {
            let rest = &text[at..];
            let rest = rest.find("\n```").map_or(rest, |fence| &rest[..fence]);
            found.push(Piece { text: rest.trim_end(), closed: false });
            break;
        };
        found.push(Piece { text: &text[at..end], closed: true });
        at = end;
    }
    found
}

/// Whether the bracket at `at` starts JSON rather than a remark, a link or code.
fn opens_json(bytes: &[u8], at: usize) -> bool {
    let inside = bytes[at + 1..].trim_ascii_start();
    match (bytes[at], inside.first()) {
        (b'{', Some(b'"' | b'\'' | b'}')) => true,
        (b'{', _) => {
            let key = inside.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
            key > 0 && inside[key..].trim_ascii_start().starts_with(b":")
                || inside.starts_with(b"\\\"")
                || starts_curly_quote(inside)
        }
        (b'[', Some(b'{' | b'[' | b'"' | b'\'')) => true,
        (b'[', _) => at == 0,
        _ => false,
    }
}

/// Typographic quotes, which some models put around keys.
fn starts_curly_quote(bytes: &[u8]) -> bool {
    bytes.starts_with("\u{201c}".as_bytes()) || bytes.starts_with("\u{2018}".as_bytes())
}

/// The place after the partner of the bracket at `start`; brackets in strings do not count, and a closing
/// bracket closes what was left open inside it.
fn closing(bytes: &[u8], start: usize) -> Option<usize> {
    let mut open = Vec::new();
    let mut braces = 0;
    let mut in_string = false;
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
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

/// The value of a piece after mending: first its escapes alone, then everything else.
fn repair(piece: &str) -> Option<Value> {
    if piece.starts_with('{') && !piece.contains(':') {
        return None;
    }
    let mended = mend_escapes(piece);
    if let Ok(value) = serde_json::from_str(&mended) {
        return Some(value);
    }
    let repaired = jsonrepair_rs::jsonrepair(&mended).ok()?;
    let value: Value = serde_json::from_str(&repaired).ok()?;
    // Anything else is prose that was turned into a string or a list.
    let kept = if piece.starts_with('{') { value.is_object() } else { value.is_array() };
    kept.then_some(value)
}

/// Doubles backslashes that start no JSON escape (`C:\path`, LaTeX), which repair would drop, and
/// replaces halves of surrogate pairs, which no JSON reader takes.
fn mend_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut mended = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (taken, put) = mended_escape(&rest[at..]);
        mended.push_str(&rest[..at]);
        mended.push_str(put);
        rest = &rest[at + taken..];
    }
    mended.push_str(rest);
    Cow::Owned(mended)
}

/// How many bytes the escape at the start of `text` takes, and what to put in its place.
fn mended_escape(text: &str) -> (usize, &str) {
    match text.as_bytes().get(1) {
        // A lone backslash at the end of an answer that was cut.
        None => (1, ""),
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'\'' | b'\n') => (2, &text[..2]),
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

/// The number in a `\uXXXX` escape at the start of `text`.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests;
