//! Cuts a model's `<think>...</think>` off its answer.
//!
//! `wire` uses it on what a server sends, `answer_json` on any answer. What a server keeps apart by itself
//! (`reasoning_content`) never comes here.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// The reasoning at the start of `text`, if there is any, and the answer after it, both trimmed.
///
/// A block that is never closed is all reasoning: the model was stopped before it answered.
#[must_use]
pub fn split(text: &str) -> (Option<&str>, &str) {
    let trimmed = text.trim();
    if let Some(inside) = trimmed.strip_prefix(OPEN) {
        return match inside.split_once(CLOSE) {
            Some((reasoning, answer)) => (non_empty(reasoning), answer.trim()),
            None => (non_empty(inside), ""),
        };
    }
    match headless(trimmed) {
        Some((reasoning, answer)) => (non_empty(reasoning), answer.trim()),
        None => (None, trimmed),
    }
}

/// Some chat templates put `<think>` into the prompt, so that only the end of the block is in the answer.
/// The tag must stand alone on its line there: an answer may well speak of it.
fn headless(text: &str) -> Option<(&str, &str)> {
    let at = text.find(CLOSE)?;
    let (before, after) = (&text[..at], &text[at + CLOSE.len()..]);
    let starts_line = before.is_empty() || before.ends_with('\n');
    let ends_line = after.is_empty() || after.starts_with(['\n', '\r']);
    (starts_line && ends_line && !before.contains(OPEN)).then_some((before, after))
}

fn non_empty(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty()).then_some(text)
}

/// Where the text goes on after a block that starts at `at`; the end of the text if it is never closed.
/// `None` if no block starts there.
pub(super) fn skip(text: &str, at: usize) -> Option<usize> {
    let inside = text[at..].strip_prefix(OPEN)?;
    let length = inside.find(CLOSE).map_or(inside.len(), |end| end + CLOSE.len());
    Some(at + OPEN.len() + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_is_cut_off_the_start() {
        let check = |text: &str, reasoning: Option<&str>, answer: &str| {
            assert_eq!(split(text), (reasoning, answer), "{text:?}");
        };
        check("Oslo", None, "Oslo");
        check(" \n<think>\nhm {x}\n</think>\n\nOslo\n", Some("hm {x}"), "Oslo");
        check("<think></think>Oslo", None, "Oslo");
        check("<think>hm, where", Some("hm, where"), "");
        check("hm\n</think>\n\nOslo", Some("hm"), "Oslo");
        check("The tag is </think> here", None, "The tag is </think> here");
        check(r#"{"a": "<think>x</think>"}"#, None, r#"{"a": "<think>x</think>"}"#);
        check("Use <think>\n</think>\nso", None, "Use <think>\n</think>\nso");
    }

    #[test]
    fn blocks_are_skipped_where_they_start() {
        assert_eq!(skip("a<think>b</think>c", 1), Some(17));
        assert_eq!(skip("a<think>b", 1), Some(9));
        assert_eq!(skip("a<b>", 1), None);
    }
}
