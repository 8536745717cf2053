//! Reads the token usage that a server reports.
//!
//! Servers use many names and formats for the counts; some omit them, send zeros, or impossible numbers. Only plausible
//! counts are read. The engine settles missing ones by what it reserved, and treats a prompt without a reported cache
//! as uncached, so a missing count is better than a wrong one.

use serde_json::Value;

use crate::llm::Usage;

/// The highest plausible count: a hundred times the longest contexts.
const MAX_TOKENS: u64 = 100_000_000;

/// Where the counts are: OpenAI's and Anthropic's place, Groq's, Gemini's, Cohere's; Ollama's and llama.cpp's own are
/// at the top level.
const PLACES: &[&str] = &[
    "/usage",
    "/x_groq/usage",
    "/usageMetadata",
    "/usage_metadata",
    "/meta/billed_units",
    "/meta/tokens",
    "",
];
const PROMPT: &[&str] = &[
    "prompt_tokens",
    "input_tokens",
    "promptTokenCount",
    "prompt_token_count",
    "prompt_eval_count",
    "promptTokens",
    "inputTokens",
    "tokens_evaluated",
];
const COMPLETION: &[&str] = &[
    "completion_tokens",
    "output_tokens",
    "candidatesTokenCount",
    "candidates_token_count",
    "eval_count",
    "completionTokens",
    "outputTokens",
    "generated_tokens",
    "tokens_predicted",
];
const TOTAL: &[&str] = &["total_tokens", "totalTokenCount", "total_token_count", "totalTokens"];
/// Tokens read from a cache: Anthropic's name; OpenAI's in its two APIs, which vLLM, SGLang, llama.cpp, xAI, Mistral
/// and OpenRouter have too; DeepSeek's; Gemini's; Moonshot's.
const CACHED: &[&str] = &[
    "/cache_read_input_tokens",
    "/prompt_tokens_details/cached_tokens",
    "/input_tokens_details/cached_tokens",
    "/prompt_cache_hit_tokens",
    "/cachedContentTokenCount",
    "/cached_content_token_count",
    "/cached_tokens",
];
/// Tokens written to a cache: Anthropic's name, OpenRouter's, and those of gateways and of Qwen.
const CACHE_WRITE: &[&str] = &[
    "/cache_creation_input_tokens",
    "/prompt_tokens_details/cache_write_tokens",
    "/prompt_tokens_details/cache_creation_input_tokens",
    "/prompt_tokens_details/cache_creation_tokens",
];
/// Counts that Anthropic excludes from `input_tokens`; elsewhere they are part of the prompt's tokens.
const BESIDE: &[&str] = &["cache_read_input_tokens", "cache_creation_input_tokens"];

/// Reads the usage from a response. `wrote` says whether the response has any output of the model; zero output tokens
/// are then not a count.
pub(super) fn read(answer: &Value, wrote: bool) -> Usage {
    let places = PLACES.iter().filter_map(|place| at(answer, place));
    let found = places.map(|place| read_place(place, wrote));
    found.into_iter().find(|usage| *usage != Usage::default()).unwrap_or_default()
}

/// The value at a path of keys, each after a `/`. Unlike a JSON pointer it has no escapes, and so allocates nothing.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('/').skip(1).try_fold(value, |inside, key| inside.get(key))
}

fn read_place(place: &Value, wrote: bool) -> Usage {
    let first = |names: &[&str]| names.iter().find_map(|name| number(place.get(name)?));
    let mut prompt = first(PROMPT);
    if place.get("input_tokens").is_some() && place.get("prompt_tokens").is_none() {
        let beside = BESIDE.iter().filter_map(|name| number(place.get(name)?)).sum::<u64>();
        prompt = prompt.map(|prompt| prompt + beside);
    }
    // Every exchange has a prompt.
    let prompt = prompt.filter(|tokens| *tokens > 0);
    let completion = first(COMPLETION).filter(|tokens| *tokens > 0 || !wrote);
    let total = first(TOTAL).filter(|tokens| *tokens > 0);
    let (prompt_tokens, completion_tokens) = match (prompt, completion, total) {
        // Some servers (Gemini's, xAI's) report reasoning tokens only in the total.
        (Some(prompt), completion, Some(total)) if total > prompt + completion.unwrap_or(0) => {
            (Some(prompt), Some(total - prompt))
        }
        (None, Some(completion), Some(total)) if total > completion => {
            (Some(total - completion), Some(completion))
        }
        // Only a total: counted as output, which costs no less than input.
        (None, None, Some(total)) => (Some(0), Some(total)),
        (prompt, completion, _) => (prompt, completion),
    };
    let part = |paths: &[&str], most: u64| {
        let found = paths.iter().find_map(|path| number(at(place, path)?));
        found.filter(|tokens| *tokens <= most)
    };
    let prompt = prompt_tokens.unwrap_or(0);
    let cached_tokens = part(CACHED, prompt);
    let cache_write_tokens = part(CACHE_WRITE, prompt - cached_tokens.unwrap_or(0));
    Usage { prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens }
}

/// Parses a token count in any format of a whole number.
fn number(value: &Value) -> Option<u64> {
    let count = match value {
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok().or_else(|| whole(text.trim().parse().ok()?)),
        _ => None,
    };
    count.filter(|count| *count <= MAX_TOKENS)
}

fn whole(number: f64) -> Option<u64> {
    let is_count = number.fract() == 0.0 && (0.0..=MAX_TOKENS as f64).contains(&number);
    is_count.then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Checks the usage of a complete answer that has a text.
    fn check(
        answer: Value,
        prompt_tokens: impl Into<Option<u64>>,
        completion_tokens: impl Into<Option<u64>>,
    ) {
        let found = read(&answer, true);
        let expected = (prompt_tokens.into(), completion_tokens.into());
        assert_eq!((found.prompt_tokens, found.completion_tokens), expected, "{answer}");
    }

    fn check_usage(usage: Value, prompt: impl Into<Option<u64>>, completion: impl Into<Option<u64>>) {
        check(json!({ "usage": usage }), prompt, completion);
    }

    #[test]
    fn numbers_are_read_in_each_form() {
        check_usage(json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}), 7, 3);
        check_usage(json!({"prompt_tokens": 7.0, "completion_tokens": 3e0}), 7, 3);
        check_usage(json!({"prompt_tokens": "7", "completion_tokens": " 3.0 "}), 7, 3);
    }

    #[test]
    fn implausible_counts_are_ignored() {
        for usage in [json!(null), json!({}), json!([]), json!("none"), json!(7)] {
            check_usage(usage, None, None);
        }
        check(json!({}), None, None);
        for count in [
            json!(null),
            json!(0),
            json!(-7),
            json!(7.5),
            json!("seven"),
            json!(""),
            json!("-7"),
            json!("NaN"),
            json!("inf"),
            json!([7]),
            json!({"text": 7}),
            json!(true),
            json!(1e300),
            json!("1e300"),
            json!(u64::MAX),
            json!("99999999999999999999999"),
            json!(MAX_TOKENS + 1),
        ] {
            check_usage(json!({"prompt_tokens": count, "completion_tokens": count}), None, None);
            check_usage(json!({"prompt_tokens": 7, "completion_tokens": count}), 7, None);
            check_usage(json!({"prompt_tokens": count, "completion_tokens": 3}), None, 3);
            check_usage(json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": count}), 7, 3);
        }
    }

    #[test]
    fn a_total_implies_the_missing_count() {
        check_usage(json!({"total_tokens": 20}), 0, 20);
        check_usage(json!({"total_tokens": 20, "prompt_tokens": 0, "completion_tokens": 0}), 0, 20);
        check_usage(json!({"total_tokens": 20, "prompt_tokens": 12}), 12, 8);
        check_usage(json!({"total_tokens": 20, "completion_tokens": 8}), 12, 8);
        // Reasoning, which is paid for but not counted as output.
        check_usage(json!({"total_tokens": 500, "prompt_tokens": 12, "completion_tokens": 8}), 12, 488);
        check_usage(json!({"total_tokens": 3, "prompt_tokens": 12, "completion_tokens": 8}), 12, 8);
    }

    #[test]
    fn counts_are_read_under_each_servers_names() {
        check_usage(json!({"input_tokens": 7, "output_tokens": 3}), 7, 3);
        let cached = json!({"input_tokens": 7, "cache_read_input_tokens": 5, "output_tokens": 3});
        check_usage(cached, 12, 3);
        let gateway = json!({"prompt_tokens": 12, "cache_read_input_tokens": 5, "completion_tokens": 3});
        check_usage(gateway, 12, 3);
        check_usage(json!({"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}), 7, 3);
        check(json!({"prompt_eval_count": 7, "eval_count": 3}), 7, 3);
        // Ollama omits a cached prompt.
        check(json!({"eval_count": 3}), None, 3);
        check(json!({"tokens_evaluated": 7, "tokens_predicted": 3}), 7, 3);
        let gemini = json!({"promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 90, "totalTokenCount": 100});
        check(json!({ "usageMetadata": gemini }), 7, 93);
        check(
            json!({"usage": null, "x_groq": {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}}),
            7,
            3,
        );
        check(json!({"meta": {"billed_units": {"input_tokens": 7, "output_tokens": 3}}}), 7, 3);
    }

    /// Checks the prompt's tokens, and those read from and written to a cache.
    fn check_cache(
        usage: Value,
        prompt: u64,
        cached: impl Into<Option<u64>>,
        written: impl Into<Option<u64>>,
    ) {
        let found = read(&json!({ "usage": usage }), true);
        let expected = (Some(prompt), cached.into(), written.into());
        assert_eq!((found.prompt_tokens, found.cached_tokens, found.cache_write_tokens), expected, "{usage}");
    }

    #[test]
    fn the_prompts_tokens_include_cached_ones() {
        let details = |details: Value| json!({"prompt_tokens": 20, "completion_tokens": 3, "prompt_tokens_details": details});
        check_cache(details(json!(null)), 20, None, None);
        check_cache(details(json!({})), 20, None, None);
        check_cache(details(json!({"cached_tokens": 0})), 20, 0, None);
        check_cache(details(json!({"cached_tokens": 16, "audio_tokens": 0})), 20, 16, None);
        check_cache(details(json!({"cached_tokens": 16, "cache_write_tokens": 4})), 20, 16, 4);
        check_cache(details(json!({"cached_tokens": 0, "cache_creation_input_tokens": 15})), 20, 0, 15);
        check_cache(details(json!({"cached_tokens": 0, "cache_creation_tokens": 15})), 20, 0, 15);
        let responses =
            json!({"input_tokens": 20, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 16}});
        check_cache(responses, 20, 16, None);
        let deepseek = json!({"prompt_tokens": 20, "completion_tokens": 3, "prompt_cache_hit_tokens": 16, "prompt_cache_miss_tokens": 4});
        check_cache(deepseek, 20, 16, None);
        check_cache(json!({"prompt_tokens": 20, "completion_tokens": 3, "cached_tokens": 16}), 20, 16, None);
        let gemini = json!({"usageMetadata": {"promptTokenCount": 20, "cachedContentTokenCount": 16, "candidatesTokenCount": 3}});
        let found = read(&gemini, true);
        assert_eq!((found.prompt_tokens, found.cached_tokens), (Some(20), Some(16)));
        // Anthropic's input count excludes both.
        let anthropic = |read: u64, written: u64| {
            json!({"input_tokens": 4, "cache_read_input_tokens": read, "cache_creation_input_tokens": written,
                "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0}, "output_tokens": 3})
        };
        check_cache(anthropic(0, 0), 4, 0, 0);
        check_cache(anthropic(16, 0), 20, 16, 0);
        check_cache(anthropic(10, 6), 20, 10, 6);
        let all = json!({"input_tokens": 0, "cache_read_input_tokens": 16, "output_tokens": 3});
        check_cache(all, 16, 16, None);
    }

    #[test]
    fn an_implausible_cache_count_is_ignored() {
        for count in
            [json!(null), json!(-7), json!(21), json!(1e300), json!("many"), json!({"text": 7}), json!(7.5)]
        {
            let usage = json!({"prompt_tokens": 20, "prompt_tokens_details": {"cached_tokens": count, "cache_write_tokens": count}});
            check_cache(usage, 20, None, None);
        }
        let both = json!({"prompt_tokens": 20, "prompt_tokens_details": {"cached_tokens": 15, "cache_write_tokens": 6}});
        check_cache(both, 20, 15, None);
        check_cache(
            json!({"total_tokens": 20, "prompt_tokens_details": {"cached_tokens": 15}}),
            0,
            None,
            None,
        );
    }

    #[test]
    fn an_answer_without_output_may_have_zero_tokens() {
        let answer = json!({"usage": {"prompt_tokens": 7, "completion_tokens": 0}});
        assert_eq!(read(&answer, false).completion_tokens, Some(0));
    }
}
