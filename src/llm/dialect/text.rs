//! Parses a response's bytes as JSON, for all APIs.

use serde_json::Value;

use crate::llm::classify::{Failure, Verdict, clean};

/// Parses a body as JSON. Invalid UTF-8 and lone surrogates, which models do write, become replacement characters: the
/// rest of the answer is paid for and may be usable.
pub(in crate::llm) fn parse(body: &[u8]) -> Option<Value> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Some(value);
    }
    let text = String::from_utf8_lossy(body);
    serde_json::from_str(&without_lone_surrogates(&text)).ok()
}

/// Replaces each `\uD800` to `\uDFFF` that is not part of a pair by `\uFFFD`.
fn without_lone_surrogates(text: &str) -> String {
    let unit = |at: usize| {
        let escape = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        out.push_str(&text[at..at + found]);
        at += found;
        let length = match (unit(at), unit(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str("\\uFFFD");
                at += 6;
                continue;
            }
            // Any other escape: skip the character after the backslash.
            _ => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&text[at..at + length]);
        at += length;
    }
    out.push_str(&text[at..]);
    out
}

/// The failure of a response that is not JSON: a gateway's error page, which is temporary, or a wrong address.
pub(super) fn not_json(body: &[u8]) -> Failure {
    let start: String = String::from_utf8_lossy(&body[..body.len().min(600)]).chars().take(80).collect();
    let message = format!("the response is not JSON: `{}`", clean(&start));
    Failure {
        hint: Some("does the base URL end in /v1?"),
        ..Failure::new(Verdict::Retry, "not_json", message)
    }
}

/// Returns a string field of an object.
pub(super) fn string(object: &Value, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_characters_do_not_lose_an_answer() {
        let check = |content: &[u8], text: &str| {
            let body = [br#"{"content": ""#, content, br#""}"#].concat();
            assert_eq!(parse(&body).unwrap()["content"], text);
        };
        check(br"a\ud83d b", "a\u{fffd} b");
        check(br"\ude00\ud83d\ude00\n", "\u{fffd}\u{1f600}\n");
        check(br"\\ud83d \ud83d", "\\ud83d \u{fffd}");
        check(b"caf\xe9", "caf\u{fffd}");
    }
}
