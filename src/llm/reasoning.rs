//! Removes a model's reasoning from the start of its answer.
//!
//! `dialect` applies it to server responses, `answer_json` to any answer. Reasoning that a server reports separately
//! (`reasoning_content`) is not handled here. Only the start is removed: further on, an answer may mention such tags.

use std::borrow::Cow;

/// The marks of reasoning by model: Qwen, DeepSeek and most others; Claude's and older prompts; Mistral; Seed-OSS;
/// Kimi-VL; OpenThinker.
const MARKS: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
];

/// The marks that end a message of gpt-oss; the last one starts the next message.
const ENDS: &[&str] = &["<|end|>", "<|return|>", "<|call|>", "<|start|>"];

/// Splits `text` into the reasoning at its start, if there is any, and the answer after it, both trimmed.
///
/// An unclosed block is all reasoning: the model was stopped before it answered.
#[must_use]
pub fn split(text: &str) -> (Option<Cow<'_, str>>, &str) {
    let mut rest = text.trim();
    let mut reasoning = None;
    if let Some((first, after)) = headless(rest) {
        add(&mut reasoning, first);
        rest = after.trim();
    }
    while let Some((inside, after)) = block(rest).or_else(|| harmony(rest)) {
        add(&mut reasoning, inside);
        rest = after.trim();
    }
    (reasoning, rest)
}

fn add<'a>(reasoning: &mut Option<Cow<'a, str>>, more: &'a str) {
    let more = more.trim();
    if more.is_empty() {
        return;
    }
    match reasoning {
        None => *reasoning = Some(Cow::Borrowed(more)),
        Some(all) => {
            let all = all.to_mut();
            all.push_str("\n\n");
            all.push_str(more);
        }
    }
}

/// Returns the contents of a marked block at the start of the text, and what follows.
fn block(text: &str) -> Option<(&str, &str)> {
    let (open, close) = MARKS.iter().find(|(open, _)| text.starts_with(open))?;
    let inside = &text[open.len()..];
    Some(inside.split_once(close).unwrap_or((inside, "")))
}

/// Handles chat templates that put the opening mark into the prompt, so that only the end of the block is in the
/// answer.
fn headless(text: &str) -> Option<(&str, &str)> {
    MARKS.iter().find_map(|(open, close)| {
        let ends = text.match_indices(close).map(|(at, _)| (&text[..at], &text[at + close.len()..]));
        let (before, after) = ends.into_iter().find(|(before, after)| ends_block(before, after))?;
        (!before.contains(open)).then_some((before, after))
    })
}

/// Whether a closing mark between the two texts ends a block. It does if it ends its line, or is right between two
/// sentences; an answer that mentions the mark continues after it, or quotes it.
fn ends_block(before: &str, after: &str) -> bool {
    let Some(next) = after.chars().next() else { return true };
    let after_sentence = before.ends_with(['.', '!', '?', '。', '！', '？', '\n']);
    let goes_on = next.is_alphanumeric() || matches!(next, '{' | '[' | '#' | '*');
    matches!(next, '\n' | '\r') || (after_sentence && goes_on)
}

/// Handles the format of gpt-oss, if a server forwards it: messages of several channels, of which `final` is the
/// answer. Returns one message of another channel, or the marks before the answer, and what follows.
fn harmony(text: &str) -> Option<(&str, &str)> {
    // The marks were removed, but not the words in them.
    if text.starts_with("analysis")
        && let Some((reasoning, answer)) = text["analysis".len()..].split_once("assistantfinal")
    {
        return Some((reasoning, answer));
    }
    let inside = text.strip_prefix("<|start|>assistant").unwrap_or(text).strip_prefix("<|channel|>")?;
    let (channel, message) = inside.split_once("<|message|>")?;
    let ends = |rest: &str| ENDS.iter().any(|mark| rest.starts_with(mark));
    let end = message.match_indices("<|").map(|(at, _)| at).find(|at| ends(&message[*at..]));
    let (message, after) = message.split_at(end.unwrap_or(message.len()));
    if channel.trim_start().starts_with("final") {
        return Some(("", message));
    }
    let next = ENDS[..3].iter().find_map(|mark| after.strip_prefix(mark));
    Some((message, next.unwrap_or(after)))
}

/// Returns the position after a block that starts at `at`, which is the end of the text for an unclosed block. `None`
/// if no block starts there.
pub(super) fn skip(text: &str, at: usize) -> Option<usize> {
    let (_, after) = block(text.get(at..)?)?;
    Some(text.len() - after.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, reasoning: Option<&str>, answer: &str) {
        let (found, rest) = split(text);
        assert_eq!((found.as_deref(), rest), (reasoning, answer), "{text:?}");
    }

    #[test]
    fn reasoning_is_removed_from_the_start() {
        check("Oslo", None, "Oslo");
        check(" \n<think>\nhm {x}\n</think>\n\nOslo\n", Some("hm {x}"), "Oslo");
        check("<think></think>Oslo", None, "Oslo");
        check("<think>hm, where", Some("hm, where"), "");
        check("<think>a</think>\n<think>b</think>Oslo", Some("a\n\nb"), "Oslo");
        check("<thinking>hm</thinking>Oslo", Some("hm"), "Oslo");
        check("<reasoning>\nhm\n</reasoning>\nOslo", Some("hm"), "Oslo");
        check("[THINK]hm[/THINK]Oslo", Some("hm"), "Oslo");
        check("◁think▷hm◁/think▷Oslo", Some("hm"), "Oslo");
        check("[THINK]hm", Some("hm"), "");
        check(r#"{"a": "<think>x</think>"}"#, None, r#"{"a": "<think>x</think>"}"#);
        check("See <think>x</think> for more.", None, "See <think>x</think> for more.");
    }

    #[test]
    fn a_block_may_lack_its_start() {
        check("hm\n</think>\n\nOslo", Some("hm"), "Oslo");
        check("2 and 2 make 4.</think>\n\nFour.", Some("2 and 2 make 4."), "Four.");
        check("2 and 2 make 4.</think>Four.", Some("2 and 2 make 4."), "Four.");
        check("hm.</think>{\"a\": 1}", Some("hm."), "{\"a\": 1}");
        check("So I write </think> now.\n</think>\nOslo", Some("So I write </think> now."), "Oslo");
        check("hm[/THINK]\nOslo", Some("hm"), "Oslo");
        check("</think>\n\nOslo", None, "Oslo");
        check("hm, I think.</think>", Some("hm, I think."), "");
        check("The tag is </think> here", None, "The tag is </think> here");
        check("The tag is `</think>`\nhere", None, "The tag is `</think>`\nhere");
        check("Write \"end.</think>\" here", None, "Write \"end.</think>\" here");
        check("Use <think>\n</think>\nso", None, "Use <think>\n</think>\nso");
    }

    #[test]
    fn channels_of_gpt_oss_are_distinguished() {
        let marked =
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Oslo";
        check(marked, Some("hm"), "Oslo");
        check(&format!("{marked}<|return|>"), Some("hm"), "Oslo");
        check("<|channel|>analysis<|message|>hm, where", Some("hm, where"), "");
        check("<|start|>assistant<|channel|>final<|message|>Oslo<|return|>", None, "Oslo");
        let commented = "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>b<|end|>\
             <|start|>assistant<|channel|>final <|constrain|>json<|message|>{}";
        check(commented, Some("a\n\nb"), "{}");
        check("analysisWe need a city.assistantfinalOslo", Some("We need a city."), "Oslo");
        check("analysis of the city", None, "analysis of the city");
    }

    #[test]
    fn blocks_are_skipped_where_they_start() {
        assert_eq!(skip("a<think>b</think>c", 1), Some(17));
        assert_eq!(skip("a<think>b", 1), Some(9));
        assert_eq!(skip("a[THINK]b[/THINK]c", 1), Some(17));
        assert_eq!(skip("a<b>", 1), None);
    }
}
