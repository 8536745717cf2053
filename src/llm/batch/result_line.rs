//! One line of a batch's results: an answer, or a classified failure.
//!
//! `results` reads the files and delivers the answers. A line is classified like the response to a single request; one
//! that the provider never processed may go into another batch.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::journal::{RequestKey, decode_hex};
use crate::llm::Completion;
use crate::llm::classify::{self, Failure, Verdict, clean};
use crate::llm::dialect::{Dialect, parse};

/// Parses a line; `None` if it names no question.
pub(super) fn read(
    line: &[u8],
    dialect: Dialect,
    address: &str,
) -> Option<(RequestKey, Result<Completion, Failure>)> {
    let mut line = parse(line)?;
    let key = decode_hex(line.get("custom_id")?.as_str()?)?;
    Some((key, classify_line(&mut line, dialect, address)))
}

fn classify_line(line: &mut Value, dialect: Dialect, address: &str) -> Result<Completion, Failure> {
    let response = line.get_mut("response").map(Value::take).unwrap_or_default();
    let error = line.get("error").cloned().unwrap_or_default();
    let body = response.get("body").cloned().unwrap_or_default();
    let status = response.get("status_code").and_then(Value::as_u64);
    let Some(status) = status else {
        // An answer counts, even without a status.
        return if body.get("choices").is_some() {
            dialect.read_value(body)
        } else {
            Err(unprocessed(&error))
        };
    };
    // Some providers put the error beside the response.
    let body = if body.is_null() { json!({"error": error}) } else { body };
    match StatusCode::from_u16(u16::try_from(status).unwrap_or_default()) {
        Ok(status) if status.is_success() => dialect.read_value(body),
        Ok(status) => {
            Err(classify::response(status, &HeaderMap::new(), body.to_string().as_bytes(), address))
        }
        Err(_) => {
            Err(Failure::new(Verdict::Retry, "batch_line", format!("a line has the status `{status}`")))
        }
    }
}

/// Classifies a question that the provider did not process: it expired, was cancelled, or failed internally.
fn unprocessed(error: &Value) -> Failure {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let class = match text("code") {
        "batch_expired" => "batch_expired",
        "batch_cancelled" => "batch_cancelled",
        _ => "batch_line",
    };
    let message = match text("message") {
        "" => "the batch has no answer to this question".to_owned(),
        message => format!("the batch has no answer to this question: {}", clean(message)),
    };
    Failure::new(Verdict::Retry, class, message)
}

/// The failure of a question that no line of the results names.
pub(super) fn missing(state: &str) -> Failure {
    let class = match state {
        "expired" => "batch_expired",
        "cancelled" => "batch_cancelled",
        _ => "batch_line",
    };
    Failure::new(Verdict::Retry, class, format!("the batch ended as `{state}` without this question"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: Value, expected: Result<&str, (Verdict, &str)>) {
        let mut line = line;
        line["custom_id"] = "0b".repeat(16).into();
        let (key, read) = read(line.to_string().as_bytes(), Dialect::Chat, "http://h/v1").unwrap();
        assert_eq!(key, [11; 16]);
        let read = read.map(|completion| completion.text).map_err(|f| (f.verdict, f.class));
        let expected = expected.map(str::to_owned).map_err(|(verdict, class)| (verdict, class.to_owned()));
        assert_eq!(read, expected, "{line}");
    }

    #[test]
    fn lines_are_classified_like_responses() {
        let answer = json!({"choices": [{"message": {"content": "Oslo"}}]});
        check(json!({"response": {"status_code": 200, "body": answer.clone()}, "error": null}), Ok("Oslo"));
        check(json!({"response": {"body": answer}}), Ok("Oslo"));
        let beside = json!({"response": {"status_code": 400}, "error": {"message": "context length"}});
        check(beside, Err((Verdict::RejectRecord, "context_length")));
        let error = |status: u64, message: &str| json!({"response": {"status_code": status, "body": {"error": {"message": message}}}});
        check(error(400, "context_length_exceeded"), Err((Verdict::RejectRecord, "context_length")));
        check(error(400, "no"), Err((Verdict::RejectRecord, "status_400")));
        check(error(429, "slow down"), Err((Verdict::Throttled, "rate_limited")));
        check(error(500, "oops"), Err((Verdict::Retry, "status_500")));
        check(json!({"response": {"status_code": 200, "body": {}}}), Err((Verdict::Retry, "empty_choices")));
        let ended = |text: &str, reason: &str| json!({"response": {"status_code": 200, "body": {"choices": [{"message": {"content": text}, "finish_reason": reason}]}}});
        check(ended("Os", "error"), Err((Verdict::Retry, "unfinished")));
        check(ended("", "stop"), Err((Verdict::Retry, "no_content")));
        check(ended("", "content_filter: SAFETY"), Err((Verdict::RejectRecord, "content_filter")));
        check(json!({"response": {"status_code": 99_999}}), Err((Verdict::Retry, "batch_line")));
        let expired = json!({"response": null, "error": {"code": "batch_expired", "message": "too late"}});
        check(expired, Err((Verdict::Retry, "batch_expired")));
        check(json!({}), Err((Verdict::Retry, "batch_line")));
    }

    #[test]
    fn lines_without_a_question_are_ignored() {
        for line in ["", "null", "[]", "{", r#"{"custom_id": 7}"#, r#"{"custom_id": "request-1"}"#] {
            assert!(read(line.as_bytes(), Dialect::Chat, "h").is_none(), "{line}");
        }
    }
}
