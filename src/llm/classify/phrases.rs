//! Phrases by which a server's error is understood if the status says too little, or the wrong thing.
//!
//! Each list has parts of codes and messages, in lower case. They are narrow on purpose: a message may repeat a prompt.
//! An error that matches no list is classified by its status.

use super::error_body::ErrorBody;

/// The account's quota or balance is used up.
pub(super) const QUOTA: &[&str] = &[
    "insufficient_quota",
    "exceeded_current_quota",
    "billing_hard_limit",
    "billing_not_active",
    "insufficient balance",
    "insufficient_balance",
    "insufficient credit",
    "credit balance is too low",
    "requires more credits",
    "reached your specified api usage limit",
    "arrearage",
    "freetieronly",
    "余额不足",
    "账户已欠费",
];
/// DashScope's per-minute quota, whose code looks like a used-up quota.
pub(super) const PASSES: &[&str] = &["error-code#token-limit", "allocationquota", "allocated quota exceeded"];
/// The provider's batch queue is full.
pub(super) const NO_ROOM: &[&str] = &["token_limit_exceeded", "enqueued token", "enqueued request"];
pub(super) const FILTERED: &[&str] = &[
    "content_filter",
    "content filter",
    "content_policy",
    "content policy",
    "content management policy",
    "content exists risk",
    "responsibleaipolicy",
    "moderation",
    "was flagged",
    "usage guidelines",
    "data_inspection",
    "datainspection",
    "inappropriate content",
    "sensitive content",
    "sensitive_words",
    "new_sensitive",
    "敏感",
];
pub(super) const WRONG_KEY: &[&str] = &[
    "invalid_api_key",
    "invalidapikey",
    "invalid api key",
    "invalid api-key",
    "invalid x-api-key",
    "incorrect api key",
    "api key not valid",
    "api_key_invalid",
    "missing api key",
    "authentication_error",
    "authentication fails",
    "unauthenticated",
    "login fail",
    "access token invalid",
    "no auth credentials",
    "unrecognizedclient",
];
const NO_MODEL: &[&str] = &[
    "model_not_found",
    "model_not_supported",
    "model_not_available",
    "modelnotfound",
    "model not exist",
    "model not found",
    "model does not exist",
    "not a valid model",
    "invalid model",
    "invalid_model",
    "unknown model",
    "unsupported model",
    "no such model",
    "model identifier is invalid",
    "unable to access model",
    "unable to access non-serverless model",
    "dedicated_endpoint_not_running",
    "model_decommissioned",
    "has been decommissioned",
    "deploymentnotfound",
    "no endpoints found",
    "模型不存在",
];
/// What may follow the name of a model that does not exist.
const NOT_THERE: &[&str] = &[
    "does not exist",
    "doesn't exist",
    "not found",
    "is not found",
    "was not found",
    "is not available",
    "is not supported",
];
pub(super) const TOO_LONG: &[&str] = &[
    "context_length",
    "context_size",
    "context length",
    "context size",
    "context window",
    "context limit",
    "maximum context",
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "string too long",
    "string_above_max_length",
    "input token count",
    "input_tokens",
    "range of input length",
    "longer than the model",
    "exceeded model token limit",
    "exceeds the maximum number of tokens",
    "exceed the maximum number of tokens",
    "too large for model with",
    "`max_new_tokens` must be",
    "max_model_len",
    "reduce the length of",
    "must be at least 1, got -",
];
pub(super) const RATE: &[&str] = &[
    "rate limit",
    "rate_limit",
    "ratelimit",
    "too many requests",
    "throttl",
    "resource_exhausted",
    "resource has been exhausted",
];
/// A limit of the account, which other endpoints share.
pub(super) const ACCOUNT: &[&str] = &[
    "quota",
    "per min",
    "per hour",
    "per day",
    "(rpm)",
    "(tpm)",
    "(rpd)",
    "(tpd)",
    "organization",
    "your account",
    "your project",
    "your tier",
];
pub(super) const OVERLOADED: &[&str] = &["overloaded", "server is busy", "server busy"];
/// The model's output is not JSON or does not conform to the schema, by the server's own check.
pub(super) const GENERATED: &[&str] = &["json_validate_failed", "failed_generation"];
/// Parts of the parameters by which a schema is sent.
pub(in crate::llm) const FORMAT: &[&str] = &[
    "response_format",
    "response_schema",
    "responseschema",
    "json_schema",
    "json schema",
    "json_object",
    "json mode",
    "json_mode",
    "output_config.format",
    "guided",
    "grammar",
    "structured output",
    "structured_output",
];

impl ErrorBody {
    /// Whether the model does not exist.
    pub(super) fn no_model(&self) -> bool {
        self.contains_any(NO_MODEL) || self.params.iter().any(|param| param == "model") || self.names_model()
    }

    /// Whether it says that a named model does not exist: "The model `x` does not exist".
    fn names_model(&self) -> bool {
        self.words.match_indices("model").any(|(at, _)| {
            let rest = self.words[at + "model".len()..].trim_start_matches(|c: char| !c.is_whitespace());
            let rest = rest.trim_start();
            let behind_name = rest.split_once(char::is_whitespace).map(|(_, behind)| behind.trim_start());
            [Some(rest), behind_name].into_iter().flatten().any(|rest| {
                let rest = rest.trim_start_matches(['`', '"', '\'', ':', ',']);
                NOT_THERE.iter().any(|words| rest.starts_with(words))
            })
        })
    }

    /// Whether the request exceeds a limit by itself, so that waiting does not help: it says so, or names a limit below
    /// the requested amount.
    pub(super) fn exceeds_limit_alone(&self) -> bool {
        let limit = self.number_after("limit");
        let requested = self.number_after("requested");
        self.words.contains("request too large")
            || limit.zip(requested).is_some_and(|(limit, requested)| requested > limit)
    }

    /// Returns the number right after a word: `Limit 30000`, `limit: 30,000`.
    pub(in crate::llm) fn number_after(&self, word: &str) -> Option<u64> {
        self.words.match_indices(word).find_map(|(at, _)| {
            let rest = self.words[at + word.len()..].trim_start_matches([':', '=', ' ', '`']);
            let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
            digits.replace(',', "").parse().ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str) -> ErrorBody {
        ErrorBody::of(message.as_bytes())
    }

    #[test]
    fn a_missing_model_is_recognized_by_many_phrases() {
        for message in [
            "The model `x` does not exist or you do not have access to it.",
            "model \"llama9\" not found, try pulling it first",
            "models/gemini-9 is not found for API version v1main",
            "The requested model 'x' is not supported by any provider you have enabled.",
            "x is not a valid model ID",
            "The provided model identifier is invalid.",
            "Model Not Exist",
            "Invalid model: x",
        ] {
            assert!(said(message).no_model(), "{message}");
        }
        for message in [
            "'temperature' is not supported with this model.",
            "This model does not support image input.",
            "The model could not load the image: not found",
            "model is loading",
        ] {
            assert!(!said(message).no_model(), "{message}");
        }
    }

    #[test]
    fn a_request_over_the_limit_differs_from_a_used_up_minute() {
        let check = |message: &str, expected: bool| {
            assert_eq!(said(message).exceeds_limit_alone(), expected, "{message}")
        };
        check("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 45123.", true);
        check("Rate limit reached for gpt-4o on tokens per min: Limit: 10,000, Requested: 12,000.", true);
        check(
            "Rate limit reached for x on tokens per minute (TPM): Limit 6000, Used 5034, Requested 1443.",
            false,
        );
        check("This request would exceed the rate limit of 30,000 input tokens per minute.", false);
        check("Limit 5, Requested many", false);
    }
}
