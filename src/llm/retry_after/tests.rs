//! What real servers say of waiting, through `classify`, which decides what of it counts; and that nothing panics.
//!
//! Wordings are copied from bug reports and documentation of the servers named.

use super::*;
use crate::llm::classify::{self, Failure};
use proptest::prelude::*;
use reqwest::StatusCode;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;

/// What comes of a response with these headers and this body.
fn judged(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
    };
    let headers: HeaderMap = headers.iter().map(pair).collect();
    classify::response(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), "http://x/v1")
}

#[track_caller]
fn check(status: u16, headers: &[(&str, &str)], body: &str, expected: Option<f64>) {
    let wait = judged(status, headers, body).retry_after.map(|wait| wait.as_secs_f64());
    let same = match (wait, expected) {
        (Some(wait), Some(expected)) => (wait - expected).abs() < 1e-6,
        (wait, expected) => wait == expected,
    };
    assert!(same, "{status} {headers:?} {body}: {wait:?}, not {expected:?}");
}

#[track_caller]
fn says(message: &str, expected: Option<f64>) {
    check(429, &[], &json!({"error": {"message": message, "code": "429"}}).to_string(), expected);
}

/// The wait that headers name or imply, at noon.
fn at_noon(headers: &[(&str, &str)]) -> Option<f64> {
    let now = "2026-11-20T12:00:00Z".parse().unwrap();
    let pairs = headers.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let pairs = HeaderPairs(pairs);
    pairs.retry_after(now).or_else(|| pairs.reset(now)).map(|wait| wait.as_secs_f64())
}

#[test]
fn retry_after_is_a_number_a_span_or_a_date() {
    for (name, value, seconds) in [
        ("retry-after", "7", 7.0),
        ("retry-after", " 0.25 ", 0.25),
        ("retry-after", "4s", 4.0),
        ("retry-after", "4000ms", 4.0),
        ("retry-after", "1m30s", 90.0),
        ("retry-after", "4.5 s", 4.5),
        ("retry-after", "1000000000", 1e9),
        ("retry-after", "Fri, 20 Nov 2026 12:01:30 GMT", 90.0),
        ("retry-after", "Friday, 20-Nov-26 12:01:30 GMT", 90.0),
        ("retry-after", "Fri Nov 20 12:01:30 2026", 90.0),
        ("retry-after", "2026-11-20T12:01:30Z", 90.0),
        ("retry-after-ms", "1500", 1.5),
    ] {
        assert_eq!(at_noon(&[(name, value)]), Some(seconds), "{name}: {value}");
    }
    // Milliseconds that say nothing do not hide seconds.
    assert_eq!(at_noon(&[("retry-after-ms", "0"), ("retry-after", "2")]), Some(2.0));
}

#[test]
fn nonsense_is_no_wait() {
    for value in ["Fri, 20 Nov 2026 11:59:00 GMT", "-5", "0", "0s", "NaN", "inf", "soon", "4 parsecs", ""] {
        assert_eq!(at_noon(&[("retry-after", value)]), None, "{value}");
    }
    assert_eq!(at_noon(&[("retry-after-ms", "-1")]), None);
    assert_eq!(at_noon(&[("x-other", "5")]), None);
}

#[test]
fn used_up_limits_report_when_they_reset() {
    let left = |name: &'static str| (name, "0");
    for (headers, seconds) in [
        (vec![("x-ratelimit-reset", "8")], Some(8.0)),
        (vec![("x-ratelimit-reset", "8s"), left("x-ratelimit-remaining")], Some(8.0)),
        (vec![("x-ratelimit-reset", "8"), ("x-ratelimit-remaining", "3")], None),
        (vec![("ratelimit-reset", "30"), left("ratelimit-remaining")], Some(30.0)),
        (vec![("x-ratelimit-reset", "1795176045")], Some(45.0)),
        (vec![("x-ratelimit-reset", "1795176002500")], Some(2.5)),
        (vec![("x-ratelimit-reset", "1795175000")], None),
        (vec![("x-ratelimit-reset-after", "1.5")], Some(1.5)),
        (vec![("x-rate-limit-reset", "3")], Some(3.0)),
        // Of one meter it counts only where nothing is left of that one.
        (vec![("x-ratelimit-reset-requests", "6m0s")], None),
        (
            vec![
                ("x-ratelimit-reset-requests", "8.64s"),
                ("x-ratelimit-remaining-requests", "9999"),
                ("x-ratelimit-reset-tokens", "1.2s"),
                left("x-ratelimit-remaining-tokens"),
            ],
            Some(1.2),
        ),
        (
            vec![("x-ratelimit-reset-tokens-minute", "11.38"), left("x-ratelimit-remaining-tokens-minute")],
            Some(11.38),
        ),
        (
            vec![
                ("anthropic-ratelimit-requests-remaining", "4000"),
                ("anthropic-ratelimit-requests-reset", "2026-11-20T12:14:45Z"),
                left("anthropic-ratelimit-input-tokens-remaining"),
                ("anthropic-ratelimit-input-tokens-reset", "2026-11-20T12:00:16Z"),
                left("anthropic-ratelimit-output-tokens-remaining"),
                ("anthropic-ratelimit-output-tokens-reset", "2026-11-20T12:00:09Z"),
            ],
            Some(16.0),
        ),
        (vec![("x-ratelimit-reset", "9"), ("retry-after", "2")], Some(2.0)),
    ] {
        assert_eq!(at_noon(&headers), seconds, "{headers:?}");
    }
}

#[test]
fn resets_count_only_for_refusals() {
    let reset = [("x-ratelimit-reset", "8")];
    for status in [429, 503, 529] {
        check(status, &reset, "", Some(8.0));
    }
    check(400, &reset, r#"{"error": {"code": "RESOURCE_EXHAUSTED", "message": "slow"}}"#, Some(8.0));
    check(500, &reset, "", None);
    check(400, &reset, r#"{"error": {"message": "bad"}}"#, None);
    check(500, &[("retry-after", "8")], "", Some(8.0));
}

#[test]
fn messages_may_ask_to_wait() {
    // OpenAI
    says(
        "Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Used 14567, \
         Requested 24754. Please try again in 18.642s. Visit https://platform.openai.com/account/rate-limits to \
         learn more.",
        Some(18.642),
    );
    says(
        "Rate limit reached for 10KTPM-200RPM in organization org-1 on tokens per min. Limit: 10000 / min. Please \
         try again in 6ms. Contact us through our help center at help.openai.com.",
        Some(0.006),
    );
    says("Limit: 3 / min. Please try again in 20s. Contact us", Some(20.0));
    says("Please try again in 1m12.5s.", Some(72.5));
    // Azure
    says(
        "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-02-01 have exceeded \
         token rate limit of your current OpenAI S0 pricing tier. Please retry after 58 seconds. Please go here: \
         https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.",
        Some(58.0),
    );
    says("Rate limit is exceeded. Try again in 60 seconds.", Some(60.0));
    says("Please retry after 340 milliseconds.", Some(0.34));
    // Groq
    says(
        "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_01` service tier `on_demand` \
         on tokens per day (TPD): Limit 100000, Used 97050, Requested 3619. Please try again in 9m38.016s. Need \
         more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing",
        Some(578.016),
    );
    // LiteLLM, which passes on the upstream server's message
    says("No deployments available for selected model, Try again in 60 seconds. Passed model=m", Some(60.0));
    says(
        "litellm.RateLimitError: AzureException RateLimitError - Error code: 429 - {'error': {'code': '429', \
         'message': 'Please retry after 9 seconds. Please contact Azure support.'}}\\nReceived Model Group=m",
        Some(9.0),
    );
    // Gemini's Code Assist
    says(
        "You have exhausted your capacity on this model. Your quota will reset after 12h34m16s.",
        Some(45_256.0),
    );
    says("Too busy, retry your request in about 7 seconds", Some(7.0));
    says("Too many requests: wait 12 seconds before the next", Some(12.0));
    says("try again in the next 5 minutes", Some(300.0));
    // Of two the later.
    says("upstream: try again in 4s; all cooling down, retry in 30s", Some(30.0));
}

#[test]
fn other_phrases_name_no_wait() {
    for message in [
        "Rate limit reached: 30000 tokens per 60 seconds",
        "More than 10 requests in 60 seconds.",
        "the upstream timed out after 30 seconds",
        "Please retry shortly, or add your own key to accumulate your rate limits.",
        "Resource has been exhausted (e.g. check quota). Please try again later.",
        "Please try again in a few minutes.",
        "Please wait. The limit is 60 s",
        "do not retry more than 3 times",
        "try again in -4s",
        "try again in 0s",
        "try again in 99999999999999999999999999s",
        "retry",
        "wait é 3",
    ] {
        says(message, None);
    }
    let prompt = r#"{"error": {"message": "failed on: wait 3 days and try again in 4 s"}}"#;
    check(500, &[], prompt, None);
    check(400, &[], prompt, None);
}

#[test]
fn fields_of_a_body_may_ask_to_wait() {
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    let gemini = |delay: Value| {
        json!({"error": {"code": 429, "message": quota, "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "q"}]},
            {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": "https://ai.google.dev"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
        ]}})
    };
    check(429, &[], &gemini(json!("8s")).to_string(), Some(8.0));
    check(429, &[], &json!([gemini(json!("8.5s"))]).to_string(), Some(8.5));
    check(429, &[], &gemini(json!({"seconds": 8, "nanos": 500_000_000})).to_string(), Some(8.5));
    check(429, &[], &gemini(json!({"seconds": "8"})).to_string(), Some(8.0));
    check(503, &[], &gemini(json!("45.837906927s")).to_string(), Some(45.837_906_927));
    for nonsense in [json!("-8s"), json!("0s"), json!("soon"), json!({}), json!(null), json!({"nanos": -1})] {
        check(429, &[], &gemini(nonsense).to_string(), None);
    }
    // Its field is cut to seconds, its words are not.
    let mut both = gemini(json!("58s"));
    both["error"]["message"] = json!("Quota exceeded.\nPlease retry in 58.934310785s.");
    check(429, &[], &both.to_string(), Some(58.934_310_785));
    // As a gateway passes it on: JSON within a message.
    let passed_on =
        json!({"error": {"message": both.to_string(), "code": 429, "status": "Too Many Requests"}});
    check(429, &[], &passed_on.to_string(), Some(58.934_310_785));

    for body in [
        json!({"error": {"message": "slow", "retry_after": 3}}),
        json!({"error": {"message": "slow", "retryAfter": "3s"}}),
        json!({"error": {"message": "slow", "retry_after_ms": 3000}}),
        json!({"detail": "Too many requests", "retry_after_seconds": 3}),
        json!({"error": {"message": "Provider returned error", "code": 429, "metadata": {"retry_after": 3}}}),
    ] {
        check(429, &[], &body.to_string(), Some(3.0));
        check(500, &[], &body.to_string(), Some(3.0));
        check(429, &[("retry-after", "2")], &body.to_string(), Some(2.0));
        check(429, &[("x-ratelimit-reset", "60")], &body.to_string(), Some(3.0));
        check(413, &[], r#"{"error": {"message": "too large", "retry_after": 3}}"#, None);
    }
    // OpenRouter's headers within the body.
    let now = Timestamp::now().as_millisecond();
    let reset = |after: i64, remaining: &str| {
        json!({"error": {"message": "Rate limit exceeded: free-models-per-min.", "code": 429, "metadata": {"headers":
            {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": remaining,
             "X-RateLimit-Reset": (now + after).to_string()}}}})
    };
    let wait = judged(429, &[], &reset(42_000, "0").to_string()).retry_after.unwrap().as_secs_f64();
    assert!((41.0..=42.0).contains(&wait), "{wait}");
    check(429, &[], &reset(-42_000, "0").to_string(), None);
    check(429, &[], &reset(42_000, "7").to_string(), None);
}

#[test]
fn a_refusal_with_status_200_may_ask_to_wait_too() {
    let error = json!({"code": 429, "message": "Please retry in 8s.", "details": [{"retryDelay": "7s"}]});
    assert_eq!(classify::error_in_200(&error).retry_after, Some(Duration::from_secs(8)));
    let mistral =
        json!({"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "code": "1300"});
    assert_eq!(classify::error_in_200(&mistral).retry_after, None);
}

proptest! {
    #[test]
    fn any_response_is_read(
        status in 400_u16..600,
        name in prop::sample::select(vec![
            "retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-reset-requests", "ratelimit-reset-after",
        ]),
        value in prop::collection::vec(any::<u8>(), 0..40),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let value = HeaderValue::from_bytes(&value);
        let headers = value.map(|value| HeaderMap::from_iter([(HeaderName::from_static(name), value)]));
        let status = StatusCode::from_u16(status).unwrap();
        let failure = classify::response(status, &headers.unwrap_or_default(), &body, "u");
        prop_assert!(failure.retry_after != Some(Duration::ZERO));
    }

    #[test]
    fn any_likely_words_are_read(
        words in "(try again|retry| in | after |wait|reset|[0-9]{1,30}|[.]|e308|-| |ms|m|s|hours|é|µ|\"|[{}]){0,14}",
    ) {
        let in_message = judged(429, &[], &json!({"error": {"message": words}}).to_string()).retry_after;
        prop_assert!(in_message != Some(Duration::ZERO));
        judged(429, &[("retry-after", "x")], &words);
    }

    #[test]
    fn any_field_is_read(number in any::<f64>(), text in "\\PC{0,20}", seconds in any::<i64>(), nanos in any::<i64>()) {
        let bodies = [json!(number), json!(text), json!({"seconds": seconds, "nanos": nanos}), json!([seconds])];
        for value in bodies {
            let body = json!({"error": {"retryDelay": value, "retry_after_ms": value, "headers": {"retry-after": value}}});
            prop_assert!(judged(429, &[], &body.to_string()).retry_after != Some(Duration::ZERO));
        }
    }
}
