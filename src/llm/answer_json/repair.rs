//! Repairs a JSON candidate that is slightly broken.
//!
//! It first handles what jsonrepair-rs does not: any kind of white space, and full-width punctuation, between strings.
//! Then it calls jsonrepair-rs, whose time may grow with the square of a text's length, so candidates that could take
//! long are not passed on.

use std::borrow::Cow;

use serde_json::Value;

use super::candidates::{is_quote, is_space};

/// The upper bound of the product of a candidate's quotes and bytes. About two seconds of work in the worst case; a
/// normal answer of 100,000 bytes with 1,000 quotes takes a thousandth of that.
const MAX_WORK: usize = 1 << 27;

/// Why a candidate cannot be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RepairError {
    /// It cannot be turned into JSON.
    Invalid,
    /// It is too long to try.
    TooLong,
}

/// Returns the value of a candidate that is not valid JSON.
pub(super) fn repair(candidate: &str) -> Result<Value, RepairError> {
    if candidate.starts_with('{') && !candidate.contains([':', '：']) {
        return Err(RepairError::Invalid);
    }
    let plain = normalize_between_strings(candidate);
    if let Ok(value) = serde_json::from_str(&plain) {
        return Ok(value);
    }
    let quotes =
        plain.chars().filter(|next| is_quote(*next) || matches!(next, '\u{2019}' | '\u{201d}' | '`' | '´'));
    if (quotes.count() + 16).saturating_mul(plain.len()) > MAX_WORK {
        return Err(RepairError::TooLong);
    }
    let repaired = jsonrepair_rs::jsonrepair(&plain).map_err(|_| RepairError::Invalid)?;
    let value: Value = serde_json::from_str(&repaired).map_err(|_| RepairError::Invalid)?;
    // Any other type is prose that was turned into a string or a list.
    let kept = if candidate.starts_with('{') { value.is_object() } else { value.is_array() };
    if kept { Ok(value) } else { Err(RepairError::Invalid) }
}

/// Normalizes white space and punctuation between the strings of a candidate; the strings are unchanged.
fn normalize_between_strings(candidate: &str) -> Cow<'_, str> {
    if candidate.bytes().all(|byte| byte.is_ascii() && !matches!(byte, 0xb | 0xc)) {
        return Cow::Borrowed(candidate);
    }
    let mut plain = String::with_capacity(candidate.len());
    let mut rest = candidate;
    while let Some(first) = rest.chars().next() {
        if is_quote(first) {
            let end = string_end(rest, first);
            let inside = &rest[first.len_utf8()..end];
            match first {
                // jsonrepair-rs does not know this quote.
                '＂' => {
                    let closed = inside.strip_suffix('＂');
                    plain.push('"');
                    plain.push_str(closed.unwrap_or(inside));
                    plain.extend(closed.map(|_| '"'));
                }
                _ => plain.push_str(&rest[..end]),
            }
            rest = &rest[end..];
            continue;
        }
        plain.push(match first {
            '：' => ':',
            '，' | '、' => ',',
            '｛' => '{',
            '｝' => '}',
            '［' => '[',
            '］' => ']',
            ' ' | '\n' | '\r' | '\t' => first,
            first if is_space(first) => ' ',
            first => first,
        });
        rest = &rest[first.len_utf8()..];
    }
    Cow::Owned(plain)
}

/// Returns the end of the string that starts with `quote`, after its closing quote. An unescaped quote inside it is
/// recognized by what follows.
fn string_end(text: &str, quote: char) -> usize {
    let close = match quote {
        '\u{201c}' => '\u{201d}',
        '\u{2018}' => '\u{2019}',
        other => other,
    };
    let mut skipped = false;
    for (at, next) in text.char_indices().skip(1) {
        let escaped = skipped;
        skipped = next == '\\' && !escaped;
        if next == close && !escaped {
            let end = at + next.len_utf8();
            let after = &text[end..];
            let after = after.trim_start_matches(is_space);
            if after.is_empty()
                || after.starts_with([',', ':', '}', ']', '，', '、', '：', '｝', '］', '/', '#'])
            {
                return end;
            }
        }
    }
    text.len()
}
