//! Interprets the finish reason of an answer, in the terms of any server.
//!
//! The dialects consult it before they use a text. An unknown reason counts as unfinished: half a sentence must not
//! become an answer because a server has a new term for it. If retries do not help, the record is rejected with that
//! term.

use serde_json::Value;

use crate::llm::classify::{Failure, Verdict, clean};

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FinishReason {
    /// The model finished, or the server does not say.
    Done(Option<&'static str>),
    /// The token limit of the request or the model was reached.
    Length,
    /// A content filter stopped it; holds the server's term.
    Filtered(String),
    /// The model refused to answer.
    Refused,
    /// It was cut off, or the reason is unknown; holds the server's term.
    Unfinished(String),
}

const STOP: &[&str] = &[
    "stop",
    "end_turn",
    "stop_sequence",
    "stop_string",
    "stop_token",
    "eos",
    "eos_token",
    "end_of_text",
    "end",
    "done",
    "complete",
    "completed",
    "finish",
    "finished",
    "normal",
    "success",
];
const LENGTH: &[&str] = &[
    "length",
    "max_tokens",
    "max_length",
    "max_new_tokens",
    "max_output_tokens",
    "max_completion_tokens",
    "model_length",
    "token_limit",
    "context_length_exceeded",
    "model_context_window_exceeded",
];
const TOOLS: &[&str] = &["tool_calls", "tool_call", "tool_use", "function_call"];
/// Parts of the terms for a filter: `content_filter: PROHIBITED_CONTENT`, `IMAGE_SAFETY`, `guardrail_intervened`.
const FILTER: &[&str] = &[
    "filter",
    "safety",
    "sensitive",
    "prohibited",
    "recitation",
    "blocklist",
    "blocked",
    "spii",
    "moderation",
    "guardrail",
    "toxic",
];

impl FinishReason {
    /// Parses a reason: a word in any case, or an object with a `type`.
    pub(super) fn read(reason: Option<&Value>) -> Self {
        let reason = reason.map(|reason| reason.get("type").unwrap_or(reason));
        let said = reason.and_then(Value::as_str).unwrap_or_default().trim();
        let word = said.to_ascii_lowercase();
        let is = |list: &[&str]| list.contains(&&*word);
        match &*word {
            "" | "null" | "none" => Self::Done(None),
            _ if is(STOP) => Self::Done(Some("stop")),
            _ if is(TOOLS) => Self::Done(Some("tool_calls")),
            _ if is(LENGTH) => Self::Length,
            _ if FILTER.iter().any(|part| word.contains(part)) => Self::Filtered(clean(said)),
            _ if word.contains("refus") => Self::Refused,
            _ => Self::Unfinished(clean(said)),
        }
    }

    /// The normalized reason that is stored with an answer.
    pub(super) fn label(&self) -> Option<&str> {
        match self {
            Self::Done(word) => *word,
            Self::Length => Some("length"),
            Self::Filtered(said) | Self::Unfinished(said) => Some(said),
            Self::Refused => Some("refusal"),
        }
    }

    /// Returns a failure if a response with this reason is never an answer.
    pub(super) fn failure(&self) -> Option<Failure> {
        let (verdict, class, message) = match self {
            Self::Done(_) | Self::Length => return None,
            Self::Filtered(said) => {
                let message = format!("the server's filter stopped the answer (finish reason: {said})");
                (Verdict::RejectRecord, "content_filter", message)
            }
            Self::Refused => (Verdict::RejectRecord, "refusal", "the model refuses".to_owned()),
            Self::Unfinished(said) => {
                let message = format!("the answer is not finished (finish reason: {said})");
                (Verdict::Retry, "unfinished", message)
            }
        };
        Some(Failure::new(verdict, class, message))
    }

    /// Returns the failure of an answer without text. At the token limit the model was still reasoning, and would be
    /// again.
    pub(super) fn no_text(&self) -> Failure {
        let verdict = if *self == Self::Length { Verdict::RejectRecord } else { Verdict::Retry };
        let reason = self.label().unwrap_or("none given");
        Failure::new(verdict, "no_content", format!("the answer has no text (finish reason: {reason})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(reason: Value, word: Option<&str>, failure: Option<(Verdict, &str)>) {
        let finish = FinishReason::read(Some(&reason));
        let found = finish.failure().map(|failure| (failure.verdict, failure.class));
        let expected = failure.map(|(verdict, class)| (verdict, class.to_owned()));
        assert_eq!((finish.label(), found), (word, expected), "{reason}");
    }

    #[test]
    fn known_finish_reasons_are_normalized() {
        for reason in ["stop", "STOP", "end_turn", "eos_token", "COMPLETE", "stop_sequence"] {
            check(json!(reason), Some("stop"), None);
        }
        for reason in ["length", "MAX_TOKENS", "model_length", "model_context_window_exceeded"] {
            check(json!(reason), Some("length"), None);
        }
        check(json!("tool_use"), Some("tool_calls"), None);
        check(json!({"type": "length", "length": 7}), Some("length"), None);
        for reason in [json!(null), json!(""), json!(7), json!([])] {
            check(reason, None, None);
        }
    }

    #[test]
    fn filtered_refused_and_unfinished_responses_are_not_answers() {
        for reason in
            ["content_filter", "content_filter: PROHIBITED_CONTENT", "sensitive", "SAFETY", "RECITATION"]
        {
            check(json!(reason), Some(reason), Some((Verdict::RejectRecord, "content_filter")));
        }
        check(json!("refusal"), Some("refusal"), Some((Verdict::RejectRecord, "refusal")));
        for reason in
            ["error", "abort", "network_error", "insufficient_system_resource", "pause_turn", "a new word"]
        {
            check(json!(reason), Some(reason), Some((Verdict::Retry, "unfinished")));
        }
    }

    #[test]
    fn no_text_at_the_limit_is_final() {
        assert_eq!(FinishReason::Length.no_text().verdict, Verdict::RejectRecord);
        assert_eq!(FinishReason::Done(Some("stop")).no_text().verdict, Verdict::Retry);
    }
}
