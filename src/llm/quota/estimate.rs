//! How many tokens a request will take, before anyone has counted them.
//!
//! The client asks before it reserves room in a pool, and tells what answers took. An estimate decides when a
//! request is sent, and stands in for a count that the server does not give; a budget is kept by upper bounds.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::llm::{Completion, ModelRequest};

/// Answers that the estimate looks back on.
const REMEMBERED: usize = 128;
/// Answers it takes to trust them more than `max_tokens`.
const ENOUGH: usize = 16;
/// Tokens of an answer where nothing is known.
const UNKNOWN: u64 = 1024;

/// Tokens that an image is taken for. Providers count by its size, each in its own way: OpenAI mostly takes 765 to
/// 1,105, Anthropic 1,600 at most, open models some hundreds to a few thousand.
pub const IMAGE_TOKENS: u64 = 1600;

/// Tokens of a text, at four bytes each: near enough for English, and for scripts of three bytes a
/// character not far off.
pub(in crate::llm) fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

/// Tokens of a prompt, its images counted in.
pub(in crate::llm) fn prompt_tokens(request: &ModelRequest) -> u64 {
    let bytes: usize = request.texts().map(|text| text.len()).sum();
    tokens(bytes) + request.images_shown() as u64 * IMAGE_TOKENS
}

/// Tokens of an answer, as far as it can be seen.
pub(in crate::llm) fn answer_tokens(answer: &Completion) -> u64 {
    let mut bytes = answer.text.len() + answer.reasoning.as_ref().map_or(0, String::len);
    if let Some(more) = &answer.more {
        bytes += more.tool_calls.as_ref().map_or(0, |calls| calls.to_string().len());
        // The first of several is the answer's text.
        bytes += more.choices.iter().skip(1).map(String::len).sum::<usize>();
    }
    tokens(bytes)
}

/// The lengths of a model's latest answers.
#[derive(Debug, Default)]
pub(in crate::llm) struct Outputs {
    latest: Mutex<VecDeque<u64>>,
}

impl Outputs {
    /// Remembers the length of an answer.
    pub(in crate::llm) fn note(&self, tokens: u64) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == REMEMBERED {
            latest.pop_front();
        }
        latest.push_back(tokens);
    }

    /// What nine of ten answers stay within, and `max_tokens` at most; that alone while few are known.
    pub(in crate::llm) fn expected(&self, max_tokens: Option<u64>) -> u64 {
        let mut known: Vec<u64> =
            self.latest.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        if known.len() < ENOUGH {
            return max_tokens.unwrap_or(UNKNOWN);
        }
        let at = (known.len() * 9 / 10).min(known.len() - 1);
        let (_, nine_of_ten, _) = known.select_nth_unstable(at);
        (*nine_of_ten).min(max_tokens.unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_the_answers() {
        let outputs = Outputs::default();
        assert_eq!((outputs.expected(None), outputs.expected(Some(4096))), (UNKNOWN, 4096));
        (0..100).for_each(|tokens| outputs.note(tokens));
        assert_eq!((outputs.expected(Some(4096)), outputs.expected(Some(50))), (90, 50));
        (0..REMEMBERED).for_each(|_| outputs.note(7));
        assert_eq!(outputs.expected(None), 7);
        assert_eq!((tokens(0), tokens(1), tokens(8)), (0, 1, 2));
    }
}
