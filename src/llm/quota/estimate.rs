//! Estimates how many tokens a request will use.
//!
//! The client asks for an estimate before it acquires a permit, and records the lengths of answers. An estimate decides
//! when a request is sent, and replaces a count that the server does not report; budgets use upper bounds instead.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::llm::{Completion, ModelRequest};

/// The number of latest answers that the estimate is based on.
const SAMPLE_SIZE: usize = 128;
/// The number of answers from which they are trusted more than `max_tokens`.
const MIN_SAMPLE: usize = 16;
/// The assumed tokens of an answer where nothing is known.
const DEFAULT_TOKENS: u64 = 1024;

/// The assumed tokens of an image. Providers count by its size, each in its own way: OpenAI mostly takes 765 to
/// 1,105, Anthropic 1,600 at most, open models some hundreds to a few thousand.
pub const IMAGE_TOKENS: u64 = 1600;

/// Estimates the tokens of a text at four bytes each: close for English, and not far off for scripts of three bytes per
/// character.
pub(in crate::llm) fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

/// Estimates the tokens of a prompt, including its images.
pub(in crate::llm) fn prompt_tokens(request: &ModelRequest) -> u64 {
    let bytes: usize = request.texts().map(|text| text.len()).sum();
    tokens(bytes) + request.images_shown() as u64 * IMAGE_TOKENS
}

/// Estimates the tokens of an answer, as far as it is visible.
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
pub(in crate::llm) struct AnswerLengths {
    latest: Mutex<VecDeque<u64>>,
}

impl AnswerLengths {
    /// Records the length of an answer, in tokens.
    pub(in crate::llm) fn note(&self, tokens: u64) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == SAMPLE_SIZE {
            latest.pop_front();
        }
        latest.push_back(tokens);
    }

    /// Returns the 90th percentile of the answers, at most `max_tokens`; `max_tokens` alone while few answers are
    /// known.
    pub(in crate::llm) fn expected(&self, max_tokens: Option<u64>) -> u64 {
        let mut known: Vec<u64> =
            self.latest.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        if known.len() < MIN_SAMPLE {
            return max_tokens.unwrap_or(DEFAULT_TOKENS);
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
        let answer_lengths = AnswerLengths::default();
        assert_eq!(
            (answer_lengths.expected(None), answer_lengths.expected(Some(4096))),
            (DEFAULT_TOKENS, 4096)
        );
        (0..100).for_each(|tokens| answer_lengths.note(tokens));
        assert_eq!((answer_lengths.expected(Some(4096)), answer_lengths.expected(Some(50))), (90, 50));
        (0..SAMPLE_SIZE).for_each(|_| answer_lengths.note(7));
        assert_eq!(answer_lengths.expected(None), 7);
        assert_eq!((tokens(0), tokens(1), tokens(8)), (0, 1, 2));
    }
}
