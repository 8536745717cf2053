//! The most that one request can cost.

use serde_json::{Map, Value};

use crate::journal::Spent;
use crate::llm::{IMAGE_TOKENS, ModelRequest, Tokens, Usage};
use crate::pipeline::Prices;

/// How many times its usual number of tokens an image may take: open models split large images into many tiles.
const IMAGE_MARGIN: u64 = 3;
/// The tokens reserved for an answer if no parameter limits them.
pub(super) const DEFAULT_ANSWER_TOKENS: u64 = 4096;
/// The parameters that limit the tokens of an answer, as different servers name them.
const TOKEN_LIMIT_PARAMS: &[&str] = &[
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "n_predict",
    "num_predict",
];
/// The parameters that multiply the number of answers.
const ANSWER_COUNT_PARAMS: &[&str] = &["n", "best_of"];

/// The most tokens that a request can take, with the prices of its model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorstCase {
    pub(super) tokens: Tokens,
    pub(super) prices: Prices,
}

impl WorstCase {
    /// The worst case of a request of `bytes` bytes. `settings` holds the maps of parameters that are sent; of several
    /// limits the highest counts.
    pub(crate) fn new(
        request: &ModelRequest,
        bytes: usize,
        settings: &[&Map<String, Value>],
        prices: Prices,
    ) -> Self {
        let limit = |names: &[&str]| {
            let values =
                settings.iter().flat_map(|map| names.iter().filter_map(|name| map.get(*name)?.as_u64()));
            values.max()
        };
        // Never zero: nothing could wait for a reservation of zero.
        let answers = limit(ANSWER_COUNT_PARAMS).unwrap_or(1).max(1);
        let completion =
            limit(TOKEN_LIMIT_PARAMS).unwrap_or(DEFAULT_ANSWER_TOKENS).max(1).saturating_mul(answers);
        let images = request.images_shown() as u64 * IMAGE_TOKENS * IMAGE_MARGIN;
        Self { tokens: Tokens { prompt: bytes as u64 + images, completion, cached: 0 }, prices }
    }

    /// The cost of the worst case.
    pub(super) fn cost(self) -> Spent {
        self.cost_of(Usage::default())
    }

    /// The cost of a request by its usage; what is not reported counts with the worst case.
    pub(super) fn cost_of(self, usage: Usage) -> Spent {
        let Prices { input, output, cached_input, cache_write } = self.prices;
        let (cached_input, cache_write) = (cached_input.unwrap_or(input), cache_write.unwrap_or(input));
        let read = match usage.prompt() {
            Some(prompt) => {
                prompt.uncached as f64 * input
                    + prompt.cached as f64 * cached_input
                    + prompt.cache_write as f64 * cache_write
            }
            // It is unknown which part a cache handled.
            None => self.tokens.prompt as f64 * input.max(cached_input).max(cache_write),
        };
        let prompt = usage.prompt_tokens.unwrap_or(self.tokens.prompt);
        let completion = usage.completion_tokens.unwrap_or(self.tokens.completion);
        let cost = (read + completion as f64 * output) / 1e6;
        Spent { tokens: prompt.saturating_add(completion), cost }
    }
}
