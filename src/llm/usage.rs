//! Token usage of a request: as reported by the server, or else estimated.
//!
//! `dialect` reads what a server reports. The engine counts and shows tokens, with estimates apart, and decides what an
//! unreported count costs of the budget.
//!
//! Servers differ in what they call the prompt's tokens: OpenAI's `prompt_tokens` include those from a cache,
//! Anthropic's `input_tokens` exclude them. Here the prompt's tokens always include all, and cached tokens are part of
//! them.

use serde::{Deserialize, Serialize};

use super::quota;
use super::{Completion, ModelRequest};

/// Tokens read and written, as reported by the server; a count that is missing or implausible is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of the prompt, including cached ones.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, including reasoning.
    pub completion_tokens: Option<u64>,
    /// The part of the prompt's tokens that was read from the server's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// The part of the prompt's tokens that was written to the cache, if it is reported separately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
}

/// A prompt's tokens by their use of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptTokens {
    /// Neither read from nor written to the cache, as far as is reported.
    pub uncached: u64,
    /// Read from the cache.
    pub cached: u64,
    /// Written to the cache.
    pub cache_write: u64,
}

/// Token counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// Tokens read.
    pub prompt: u64,
    /// Tokens written.
    pub completion: u64,
    /// The part of the tokens read that came from a server's cache.
    pub cached: u64,
}

impl Usage {
    /// Creates a usage with both counts.
    #[must_use]
    pub fn of(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens: Some(prompt_tokens),
            completion_tokens: Some(completion_tokens),
            ..Self::default()
        }
    }

    /// Returns the prompt's tokens by their use of the cache, if they are reported. The parts never exceed the whole,
    /// whatever the server reports.
    #[must_use]
    pub fn prompt(self) -> Option<PromptTokens> {
        let all = self.prompt_tokens?;
        let cached = self.cached_tokens.unwrap_or(0).min(all);
        let cache_write = self.cache_write_tokens.unwrap_or(0).min(all - cached);
        Some(PromptTokens { uncached: all - cached - cache_write, cached, cache_write })
    }

    /// Whether both counts are reported.
    #[must_use]
    pub fn is_reported(self) -> bool {
        self.prompt_tokens.is_some() && self.completion_tokens.is_some()
    }

    /// Returns the reported counts, and estimates from `request` and `answer` for the missing ones.
    #[must_use]
    pub fn or_estimated(self, request: &ModelRequest, answer: &Completion) -> (Tokens, Tokens) {
        let reported = Tokens {
            prompt: self.prompt_tokens.unwrap_or(0),
            completion: self.completion_tokens.unwrap_or(0),
            cached: self.prompt().map_or(0, |prompt| prompt.cached),
        };
        let mut estimated = Tokens::default();
        if self.prompt_tokens.is_none() {
            estimated.prompt = quota::prompt_tokens(request);
        }
        if self.completion_tokens.is_none() {
            estimated.completion = quota::answer_tokens(answer);
        }
        (reported, estimated)
    }
}

impl Tokens {
    /// Returns the sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            prompt: self.prompt.saturating_add(other.prompt),
            completion: self.completion.saturating_add(other.completion),
            cached: self.cached.saturating_add(other.cached),
        }
    }

    /// Returns all tokens, read and written.
    #[must_use]
    pub fn total(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Message;

    #[test]
    fn only_unreported_counts_are_estimated() {
        let request =
            ModelRequest { messages: vec![Message::new("user", "twelve bytes")], ..Default::default() };
        let answer = Completion { text: "four".into(), reasoning: Some("hmmm".into()), ..Default::default() };
        let tokens = |prompt, completion| Tokens { prompt, completion, cached: 0 };
        for (usage, reported, estimated) in [
            (Usage::of(7, 5), tokens(7, 5), tokens(0, 0)),
            (Usage { prompt_tokens: Some(7), ..Usage::default() }, tokens(7, 0), tokens(0, 2)),
            (Usage::default(), tokens(0, 0), tokens(3, 2)),
        ] {
            assert_eq!(usage.or_estimated(&request, &answer), (reported, estimated));
        }
        let cached = Usage { cached_tokens: Some(4), ..Usage::of(7, 5) };
        let reported = Tokens { cached: 4, ..tokens(7, 5) };
        assert_eq!(cached.or_estimated(&request, &answer), (reported, tokens(0, 0)));
    }

    #[test]
    fn parts_of_a_prompt_are_never_more_than_it() {
        let check = |prompt, cached, written, expected: Option<[u64; 3]>| {
            let usage = Usage {
                prompt_tokens: prompt,
                cached_tokens: cached,
                cache_write_tokens: written,
                ..Usage::default()
            };
            let parts = usage.prompt().map(|prompt| [prompt.uncached, prompt.cached, prompt.cache_write]);
            assert_eq!(parts, expected, "{usage:?}");
        };
        check(None, Some(5), Some(5), None);
        check(Some(10), None, None, Some([10, 0, 0]));
        check(Some(10), Some(4), None, Some([6, 4, 0]));
        check(Some(10), Some(4), Some(5), Some([1, 4, 5]));
        check(Some(10), Some(11), Some(5), Some([0, 10, 0]));
        check(Some(10), Some(4), Some(u64::MAX), Some([0, 4, 6]));
    }

    #[test]
    fn usage_from_an_older_journal_is_read() {
        let stored = r#"{"prompt_tokens":7,"completion_tokens":3}"#;
        let usage: Usage = serde_json::from_str(stored).unwrap();
        assert_eq!(usage, Usage::of(7, 3));
        assert_eq!(serde_json::to_string(&usage).unwrap(), stored);
        let cached = Usage { cached_tokens: Some(0), cache_write_tokens: Some(2), ..usage };
        let stored = serde_json::to_string(&cached).unwrap();
        assert_eq!(serde_json::from_str::<Usage>(&stored).unwrap(), cached);
    }
}
