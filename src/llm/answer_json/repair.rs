//! Makes valid JSON of a piece that is slightly broken.
//!
//! First what jsonrepair-rs does not know: white space of any kind, and punctuation of full width, between texts. Then
//! jsonrepair-rs itself, whose time may grow with the square of a text's length, so it is given no piece that could
//! take long.

use std::borrow::Cow;

use serde_json::Value;

use super::candidates::{is_quote, is_space};

/// The most that quotes and bytes of a piece may multiply to. About two seconds of work at the worst; a proper answer of
/// 100,000 bytes with 1,000 quotes takes a thousandth of that.
const MOST_WORK: usize = 1 << 27;

/// Why a piece cannot be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RepairError {
    /// Nothing can be made of it.
    Invalid,
    /// It is too long to be tried.
    TooLong,
}

/// The value of a piece that is no valid JSON.
pub(super) fn repair(candidate: &str) -> Result<Value, RepairError> {
    if candidate.starts_with('{') && !candidate.contains([':', '：']) {
        return Err(RepairError::Invalid);
    }
    let plain = plain_between_texts(candidate);
    if let Ok(value) = serde_json::from_str(&plain) {
        return Ok(value);
    }
    let quotes =
        plain.chars().filter(|next| is_quote(*next) || matches!(next, '\u{2019}' | '\u{201d}' | '`' | '´'));
    if (quotes.count() + 16).saturating_mul(plain.len()) > MOST_WORK {
        return Err(RepairError::TooLong);
    }
    let repaired = jsonrepair_rs::jsonrepair(&plain).map_err(|_| RepairError::Invalid)?;
    let value: Value = serde_json::from_str(&repaired).map_err(|_| RepairError::Invalid)?;
    // Anything else is prose that was turned into a string or a list.
    let kept = if candidate.starts_with('{') { value.is_object() } else { value.is_array() };
    if kept { Ok(value) } else { Err(RepairError::Invalid) }
}

/// The piece with plain white space and punctuation between its texts; the texts stay as they are.
fn plain_between_texts(candidate: &str) -> Cow<'_, str> {
    if candidate.bytes().all(|byte| byte.is_ascii() && !matches!(byte, 0xb | 0xc)) {
        return Cow::Borrowed(candidate);
    }
    let mut plain = String::with_capacity(candidate.len());
    let mut rest = candidate;
    while let Some(first) = rest.chars().next() {
        if is_quote(first) {
            let end = text_end(rest, first);
            let inside = &rest[first.len_utf8()..end];
            match first {
                // Nobody but us knows this quote.
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

/// Where the text ends that starts with `quote`, behind its last quote. A quote within, which should be escaped, is told
/// by what follows it.
fn text_end(text: &str, quote: char) -> usize {
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
