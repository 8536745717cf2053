//! How many tokens an exchange took: as the server counted them, or else by estimate.
//!
//! `dialect` reads what a server says. The engine counts and shows tokens, those by estimate apart; what they cost
//! of the budget where the server says nothing is decided there.

use serde::{Deserialize, Serialize};

use super::quota;
use super::{Completion, ModelRequest};

/// Tokens read and written, as far as the server says: a number that it leaves out, or that cannot be, is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, and of what the model thought before it.
    pub completion_tokens: Option<u64>,
}

/// Numbers of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// Tokens read.
    pub prompt: u64,
    /// Tokens written.
    pub completion: u64,
}

impl Usage {
    /// Both numbers, told.
    #[must_use]
    pub fn of(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self { prompt_tokens: Some(prompt_tokens), completion_tokens: Some(completion_tokens) }
    }

    /// Whether both numbers are told.
    #[must_use]
    pub fn is_told(self) -> bool {
        self.prompt_tokens.is_some() && self.completion_tokens.is_some()
    }

    /// The numbers that are told, and estimates from `request` and `answer` for the others.
    #[must_use]
    pub fn or_estimated(self, request: &ModelRequest, answer: &Completion) -> (Tokens, Tokens) {
        let told = Tokens {
            prompt: self.prompt_tokens.unwrap_or(0),
            completion: self.completion_tokens.unwrap_or(0),
        };
        let mut estimated = Tokens::default();
        if self.prompt_tokens.is_none() {
            estimated.prompt = quota::prompt_tokens(request);
        }
        if self.completion_tokens.is_none() {
            estimated.completion = quota::answer_tokens(answer);
        }
        (told, estimated)
    }
}

impl Tokens {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            prompt: self.prompt.saturating_add(other.prompt),
            completion: self.completion.saturating_add(other.completion),
        }
    }

    /// Tokens read and written.
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
    fn only_what_is_not_told_is_estimated() {
        let request =
            ModelRequest { messages: vec![Message::new("user", "twelve bytes")], ..Default::default() };
        let answer = Completion { text: "four".into(), reasoning: Some("hmmm".into()), ..Default::default() };
        let tokens = |prompt, completion| Tokens { prompt, completion };
        for (usage, told, estimated) in [
            (Usage::of(7, 5), tokens(7, 5), tokens(0, 0)),
            (Usage { prompt_tokens: Some(7), ..Usage::default() }, tokens(7, 0), tokens(0, 2)),
            (Usage::default(), tokens(0, 0), tokens(3, 2)),
        ] {
            assert_eq!(usage.or_estimated(&request, &answer), (told, estimated));
        }
    }
}
