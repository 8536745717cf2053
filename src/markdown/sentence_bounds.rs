//! The boundaries between sentences by the Unicode rules (UAX 29).
//!
//! Most terminators are surrounded by ASCII characters, where a few comparisons decide; about every other place, and
//! texts in scripts with terminators of their own, `unicode_segmentation` is asked, which looks up each character.

use memchr::{memchr2, memchr3};
use unicode_segmentation::UnicodeSegmentation;

/// The offsets at which a sentence of `text` begins, except the first.
pub(super) fn bounds(text: &str) -> Vec<usize> {
    if !has_latin_terminators_only(text) {
        return text.split_sentence_bound_indices().skip(1).map(|(bound, _)| bound).collect();
    }
    let bytes = text.as_bytes();
    let has_lines = memchr2(b'\n', b'\r', bytes).is_some();
    let next_terminator = |rest: &[u8]| match has_lines {
        false => memchr3(b'.', b'!', b'?', rest),
        true => rest.iter().position(|byte| matches!(byte, b'.' | b'!' | b'?' | b'\n' | b'\r')),
    };
    let mut bounds = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(found) = next_terminator(&bytes[at..]) {
        let end = at + found;
        let bound = match after_terminator(bytes, end) {
            Decision::Bound(bound) => bound,
            Decision::Same => {
                at = end + 1;
                continue;
            }
            Decision::Unknown => match text[start..].split_sentence_bound_indices().nth(1) {
                Some((bound, _)) => start + bound,
                None => break,
            },
        };
        bounds.push(bound);
        (start, at) = (bound, bound);
    }
    bounds
}

/// What follows a terminator.
enum Decision {
    /// The next sentence begins here.
    Bound(usize),
    /// The same sentence goes on, or the text ends.
    Same,
    /// A character that is not ASCII decides.
    Unknown,
}

/// Decides whether the terminator at `end` ends a sentence. The names of the rules are those of UAX 29.
fn after_terminator(bytes: &[u8], end: usize) -> Decision {
    let is_close = |byte: &u8| matches!(byte, b'"' | b'\'' | b'(' | b')' | b'[' | b']' | b'{' | b'}');
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | 0x0b | 0x0c);
    let mut next = end + 1;
    if !matches!(bytes[end], b'\n' | b'\r') {
        let is_full_stop = bytes[end] == b'.';
        if is_full_stop {
            let before = end.checked_sub(1).map(|before| bytes[before]);
            match (before, bytes.get(next)) {
                // SB6, SB7
                (_, Some(b'0'..=b'9')) => return Decision::Same,
                (Some(before), Some(b'A'..=b'Z')) if before.is_ascii_alphabetic() => return Decision::Same,
                (Some(before), Some(b'A'..=b'Z')) if !before.is_ascii() => return Decision::Unknown,
                _ => {}
            }
        }
        next += bytes[next..].iter().take_while(|byte| is_close(byte)).count();
        next += bytes[next..].iter().take_while(|byte| is_space(byte)).count();
        match bytes.get(next) {
            None => return Decision::Same,
            Some(byte) if !byte.is_ascii() => return Decision::Unknown,
            // SB8a
            Some(b',' | b'-' | b':' | b';' | b'.' | b'!' | b'?') => return Decision::Same,
            Some(_) => {}
        }
        if is_full_stop {
            // SB8
            let is_decisive = |byte: &&u8| {
                byte.is_ascii_alphabetic()
                    || matches!(byte, b'.' | b'!' | b'?' | b'\n' | b'\r')
                    || !byte.is_ascii()
            };
            match bytes[next..].iter().find(is_decisive) {
                Some(byte) if byte.is_ascii_lowercase() => return Decision::Same,
                Some(byte) if !byte.is_ascii() => return Decision::Unknown,
                _ => {}
            }
        }
        // SB9, SB10
        if matches!(bytes[next], b'\n' | b'\r') {
            next += 1;
        } else {
            return Decision::Bound(next);
        }
    }
    // SB3, SB4
    if bytes[next - 1] == b'\r' && bytes.get(next) == Some(&b'\n') {
        next += 1;
    }
    match bytes.get(next) {
        Some(byte) if byte.is_ascii() => Decision::Bound(next),
        Some(_) => Decision::Unknown,
        None => Decision::Same,
    }
}

/// Whether all terminators in the text are ASCII: its other characters are letters of Latin, Greek or Cyrillic, or
/// quotation marks, dashes and symbols.
fn has_latin_terminators_only(text: &str) -> bool {
    if text.is_ascii() {
        return true;
    }
    text.chars().all(|c| {
        matches!(c, '\0'..='\u{7f}' | '\u{a0}'..='\u{2ff}' | '\u{384}'..='\u{481}' | '\u{48a}'..='\u{52f}'
            | '\u{2010}'..='\u{2023}' | '\u{2025}'..='\u{2027}' | '\u{2030}'..='\u{203a}' | '\u{20a0}'..='\u{20c0}'
            | '\u{2100}'..='\u{2bff}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_bounds_are_those_of_unicode(
            text in "([ab]|[AB]|[.!?]|[ \t]|[\n\r]|[,;:-]|[\"'()\\[\\]{}]|[0-9]|[=`<_\u{2}\u{b}\u{c}]|[é’“”–…«ßÄж°ªº→]|[。\u{301}\u{ad}\u{85}\u{2028}中․]){0,30}|\\PC{0,30}"
        ) {
            let expected: Vec<usize> =
                text.split_sentence_bound_indices().skip(1).map(|(bound, _)| bound).collect();
            prop_assert_eq!(bounds(&text), expected);
        }
    }
}
