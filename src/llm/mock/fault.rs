//! Scripted errors: each becomes the failure that `classify` makes of the same error from a server.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::Fault;
use crate::llm::classify::{self, Failure, Verdict};

const WHO: &str = "mock";

/// Returns the response of a fault, or the failure of the attempt; `retry_after` is in seconds.
pub(super) fn respond(
    fault: Fault,
    message: Option<&str>,
    retry_after: Option<f64>,
) -> Result<Vec<u8>, Failure> {
    let retry = |class: &str, what: &str| {
        let said = message.map(|message| format!(": {message}")).unwrap_or_default();
        Err(Failure::new(Verdict::Retry, class, format!("`{WHO}` {what}{said}")))
    };
    let refuse = |status: u16, code: &str| Err(refusal(status, code, message, retry_after));
    match fault {
        Fault::Status(status) => refuse(status, ""),
        Fault::ContextLength => refuse(400, "context_length_exceeded"),
        Fault::ContentFilter => refuse(400, "content_filter"),
        Fault::Quota => refuse(429, "insufficient_quota"),
        Fault::Timeout | Fault::Hang => retry("timeout", "did not answer in time"),
        Fault::Reset => retry("reset", "closed the connection"),
        Fault::CutBody => retry("cut_body", "broke off its answer"),
        Fault::Unreachable => retry("unreachable", "cannot be reached"),
        Fault::NotJson => Ok(format!("<html>{}</html>", message.unwrap_or("no model here")).into_bytes()),
        Fault::EmptyChoices => Ok(br#"{"choices": []}"#.to_vec()),
    }
}

/// Returns the failure of a response with this status, as classified by `classify`.
pub(super) fn refusal(status: u16, code: &str, message: Option<&str>, retry_after: Option<f64>) -> Failure {
    let mut headers = HeaderMap::new();
    let milliseconds = retry_after.map(|seconds| (seconds * 1000.0).to_string());
    if let Some(Ok(value)) = milliseconds.map(|text| HeaderValue::from_str(&text)) {
        headers.insert(HeaderName::from_static("retry-after-ms"), value);
    }
    let body = json!({"error": {"code": code, "message": message.unwrap_or_default()}}).to_string();
    // The statuses were checked when the file was read.
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    classify::response(status, &headers, body.as_bytes(), WHO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn check(fault: Fault, verdict: Verdict, class: &str) {
        let failure = respond(fault, None, Some(1.5)).unwrap_err();
        assert_eq!((failure.verdict, &*failure.class), (verdict, class), "{fault:?}");
    }

    #[test]
    fn faults_are_classified_like_a_servers() {
        use Verdict::*;
        check(Fault::Status(429), Throttled, "rate_limited");
        check(Fault::Status(500), Retry, "status_500");
        check(Fault::Status(400), RejectRecord, "status_400");
        check(Fault::Status(401), Fatal, "unauthorized");
        check(Fault::Quota, Fatal, "quota");
        check(Fault::ContextLength, RejectRecord, "context_length");
        check(Fault::ContentFilter, RejectRecord, "content_filter");
        check(Fault::Timeout, Retry, "timeout");
        check(Fault::Hang, Retry, "timeout");
        check(Fault::CutBody, Retry, "cut_body");
        check(Fault::Unreachable, Retry, "unreachable");
    }

    #[test]
    fn messages_and_waits_are_those_of_the_script() {
        let failure = respond(Fault::Status(429), Some("slow down"), Some(1.5)).unwrap_err();
        assert_eq!(failure.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(failure.message, "`mock` answered with status 429: slow down");
        let failure = respond(Fault::Status(429), Some("Please try again in 4s."), None).unwrap_err();
        assert_eq!(failure.retry_after, Some(Duration::from_secs(4)));
        let failure = respond(Fault::Reset, Some("gone"), None).unwrap_err();
        assert_eq!(failure.message, "`mock` closed the connection: gone");
    }
}
