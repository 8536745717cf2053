//! Classifies failed attempts: stop the run, wait, retry, or reject the record.
//!
//! `remote` and `dialect` make a `Failure` of every unusable response or missing one; `retry` acts on it:
//!
//! | response | class | verdict |
//! |---|---|---|
//! | 401, 403, a message about a wrong key | `unauthorized`, `forbidden` | fatal |
//! | 402, a message about a used-up quota or balance, with any status | `quota` | fatal |
//! | 404, 405, a message about an unknown model, a redirect | `model_not_found`, `not_found`, `redirect` | fatal |
//! | a request that exceeds a limit by itself, with any status | `request_too_large` | reject |
//! | 429 | `rate_limited` | throttled |
//! | 503, 529 | `status_503`, `status_529` | throttled |
//! | no connection (refused, DNS) | `unreachable` | retry |
//! | a certificate that is not trusted, or no TLS | `tls` | retry; fatal before the first answer |
//! | 408, 409, 425, 5xx but 501 | `status_N` | retry |
//! | a timeout, a reset, a truncated body | `timeout`, `reset`, `cut_body` | retry |
//! | 200 with a body that is not JSON, or without choices | `not_json`, `empty_choices` | retry |
//! | 200 with an error | by its message and code, else `error_in_200` | else retry |
//! | 200 with an answer that was cut off, or without text (`dialect::finish`) | `unfinished`, `no_content` | retry |
//! | the model's output failed the server's own check | `json_validate_failed` | retry |
//! | 400, 413, 422, other 4xx, 501 | `context_length`, `content_filter`, `status_N` | reject |
//! | the same because of a setting that every request has (`refused_settings`) | `setting_refused` | fatal |
//! | a body over the size limit, a refusal | `body_too_large`, `refusal` | reject |

mod error_body;
mod phrases;

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION};
use serde_json::Value;

use super::{Usage, retry_after};
pub(super) use error_body::ErrorBody;
pub(super) use phrases::FORMAT;
use phrases::{ACCOUNT, FILTERED, GENERATED, NO_ROOM, OVERLOADED, PASSES, QUOTA, RATE, TOO_LONG, WRONG_KEY};

/// What a failed attempt means for the record and the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No question can be answered; the run stops.
    Fatal,
    /// The server is overloaded or a quota is exceeded; wait, at no cost for the record.
    Throttled,
    /// A transient fault; retry a few times.
    Retry,
    /// The question is at fault; asking again would not help.
    RejectRecord,
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    pub(super) class: String,
    pub(super) message: String,
    /// How long the server asks to wait.
    pub(super) retry_after: Option<Duration>,
    /// Set if the endpoint rather than the question is to blame: advice for the user if no other request was answered
    /// meanwhile either, which makes the failure fatal.
    pub(super) hint: Option<&'static str>,
    /// The parsed error body, if the server sent one.
    pub(super) error_body: Option<Box<ErrorBody>>,
    /// Whether it is from an earlier start of the run: the cause may have been fixed since.
    pub(super) earlier: bool,
    /// Whether it names a quota of the account, which all endpoints share.
    pub(super) names_quota: bool,
    /// Whether sending more requests would cause more such failures.
    pub(super) depends_on_load: bool,
    /// The usage that the server reported for an unusable answer.
    pub(super) usage: Option<Box<Usage>>,
}

impl Failure {
    pub(super) fn new(verdict: Verdict, class: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            verdict,
            class: class.into(),
            message: message.into(),
            retry_after: None,
            hint: None,
            error_body: None,
            earlier: false,
            names_quota: false,
            depends_on_load: false,
            usage: None,
        }
    }

    /// Adds the usage that the server reported for the answer.
    pub(super) fn after(self, usage: Usage) -> Self {
        // A throttled request was not started.
        let worked = self.verdict != Verdict::Throttled || usage != Usage::default();
        Self { usage: worked.then(|| Box::new(usage)), ..self }
    }

    /// Returns the usage of the attempt if the server may have worked on it: the reported one, or an unknown one.
    pub(super) fn took(&self) -> Option<Usage> {
        const SERVED: &[&str] = &[
            "timeout",
            "reset",
            "cut_body",
            "body_too_large",
            "json_validate_failed",
            "status_408",
            "status_504",
            "status_524",
        ];
        self.usage.as_deref().copied().or_else(|| SERVED.contains(&&*self.class).then(Usage::default))
    }

    /// Whether the endpoint rather than the answer is to blame.
    pub(super) fn blames_endpoint(&self) -> bool {
        let class = &*self.class;
        matches!(class, "unreachable" | "tls" | "reset" | "timeout" | "cut_body" | "not_json")
            || class.starts_with("status_5")
    }

    /// Whether the endpoint may be to blame as well as the question: if there are other endpoints, a replica that keeps
    /// answering like this is of no use.
    pub(super) fn suspects_endpoint(&self) -> bool {
        matches!(&*self.class, "empty_choices" | "error_in_200" | "no_content" | "unfinished")
    }
}

const NO_SERVER: &str =
    "is a model server running there? name another with `--base-url` or LLM_BASE_URL, or use `--no-llm`";

const UNKNOWN_AUTHORITY: &str = "nobody trusted here vouches for its certificate: name the file of its \
    authority in SSL_CERT_FILE";
const BAD_CERTIFICATE: &str = "the server needs another certificate, or is not the one that was meant";
const NO_TLS: &str = "does it speak TLS? an address without starts with http://";

/// Classifies a request without a complete response. `url` names the endpoint in messages.
pub(super) fn transport(error: &reqwest::Error, url: &str) -> Failure {
    let cause = root_cause(error);
    if error.is_connect() && is_tls(error) {
        let hint = match &*cause {
            cause if cause.contains("UnknownIssuer") => UNKNOWN_AUTHORITY,
            cause if cause.contains("certificate") => BAD_CERTIFICATE,
            _ => NO_TLS,
        };
        let message = format!("no secure connection to `{url}`: {cause}");
        return Failure { hint: Some(hint), ..Failure::new(Verdict::Retry, "tls", message) };
    }
    if error.is_connect() && lacks_descriptors(error) {
        let message = format!(
            "cannot open a connection to `{url}`: {cause}; `ulimit -n` shows how many files a process may open"
        );
        return Failure::new(Verdict::Retry, "too_many_open_files", message);
    }
    if error.is_connect() {
        let message = format!("cannot reach `{url}`: {cause}");
        return Failure { hint: Some(NO_SERVER), ..Failure::new(Verdict::Retry, "unreachable", message) };
    }
    if error.is_builder() {
        return Failure::new(Verdict::RejectRecord, "request", format!("cannot ask `{url}`: {cause}"));
    }
    if error.is_timeout() {
        return Failure::new(Verdict::Retry, "timeout", format!("`{url}` took too long: {cause}"));
    }
    let (class, what) = if error.is_body() || error.is_decode() {
        ("cut_body", "broke off its answer")
    } else {
        ("reset", "closed the connection")
    };
    Failure::new(Verdict::Retry, class, format!("`{url}` {what}: {cause}"))
}

/// Whether this process or system has run out of file descriptors, which is not the server's fault.
fn lacks_descriptors(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        // EMFILE and ENFILE, the same numbers on all Unix systems.
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| matches!(io.raw_os_error(), Some(23 | 24)))
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether a connection failed in TLS, which is always reported as invalid data.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
        let mut io = cause.downcast_ref::<std::io::Error>();
        while let Some(error) = io {
            if error.kind() == std::io::ErrorKind::InvalidData {
                return true;
            }
            // An inner I/O error is not its source.
            io = error.get_ref().and_then(|inner| inner.downcast_ref());
        }
    }
    false
}

/// Returns the innermost error: the outer ones repeat the URL, which may contain a password.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<reqwest::Error>() {
        Some(_) => "no reason given".to_owned(),
        None => clean(&cause.to_string()),
    }
}

/// Classifies a response whose status is not a success.
pub(super) fn response(status: StatusCode, headers: &HeaderMap, body: &[u8], url: &str) -> Failure {
    if status.is_redirection() {
        let target = headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
        let target = target.split(['?', '#']).next().unwrap_or_default();
        let message = format!("`{url}` redirects to `{}`; name that as the base URL", clean(target));
        return Failure::new(Verdict::Fatal, "redirect", message);
    }
    let mut failure = judge(status.as_u16(), ErrorBody::of(body), url);
    let throttled = failure.verdict == Verdict::Throttled;
    failure.retry_after = retry_after::retry_after_header(headers)
        .or(failure.retry_after)
        .or_else(|| throttled.then(|| retry_after::reset(headers)).flatten());
    failure
}

/// Classifies an error that came with status 200, by its message and code instead of the status.
pub(super) fn error_in_200(error: &Value) -> Failure {
    judge(200, ErrorBody::of_value(error), "the server")
}

/// Classifies a body with status 200 without an answer: a message in it is an error.
pub(super) fn no_answer(body: &Value) -> Failure {
    let error = ErrorBody::of_value(body);
    let names_error = ["choices", "content"].iter().all(|name| !body.get(*name).is_some_and(Value::is_array));
    if names_error && error.has_message {
        return judge(200, error, "the server");
    }
    let message = format!("the response holds no answer: {}", clean(&body.to_string()));
    Failure::new(Verdict::Retry, "empty_choices", message)
}

fn judge(http: u16, error: ErrorBody, url: &str) -> Failure {
    let message = if error.message.is_empty() {
        format!("`{url}` answered with status {http}")
    } else {
        format!("`{url}` answered with status {http}: {}", error.message)
    };
    // An error in a 200 is classified by its code.
    let status = if http == 200 { error.status.unwrap_or(200) } else { http };
    let of_request = matches!(http, 200 | 400 | 404 | 413 | 422 | 500);
    let (verdict, class) = match status {
        402 => (Verdict::Fatal, "quota"),
        429 if error.contains_any(PASSES) => (Verdict::Throttled, "rate_limited"),
        _ if error.contains_any(QUOTA) => (Verdict::Fatal, "quota"),
        _ if error.exceeds_limit_alone() => (Verdict::RejectRecord, "request_too_large"),
        // The provider's batch queue is full.
        400 if error.contains_any(NO_ROOM) => (Verdict::Throttled, "rate_limited"),
        400 | 422 if error.contains_any(GENERATED) => (Verdict::Retry, "json_validate_failed"),
        _ if (of_request || http == 403) && error.contains_any(FILTERED) => {
            (Verdict::RejectRecord, "content_filter")
        }
        401 => (Verdict::Fatal, "unauthorized"),
        _ if of_request && error.contains_any(WRONG_KEY) => (Verdict::Fatal, "unauthorized"),
        200 | 400 | 403 if error.contains_any(RATE) => (Verdict::Throttled, "rate_limited"),
        200 if error.contains_any(OVERLOADED) => (Verdict::Throttled, "overloaded"),
        404 if error.contains_any(&["model", "deployment"]) => (Verdict::Fatal, "model_not_found"),
        200 | 400 | 403 | 404 | 422 if error.no_model() => (Verdict::Fatal, "model_not_found"),
        403 => (Verdict::Fatal, "forbidden"),
        404 | 405 => {
            let message = format!("{message}; does the base URL end in /v1?");
            return Failure::new(Verdict::Fatal, "not_found", message);
        }
        _ if of_request && error.contains_any(TOO_LONG) => (Verdict::RejectRecord, "context_length"),
        429 => (Verdict::Throttled, "rate_limited"),
        503 | 529 => (Verdict::Throttled, ""),
        408 | 409 | 425 | 500 | 502 | 504..=599 => (Verdict::Retry, ""),
        200 => (Verdict::Retry, "error_in_200"),
        _ => (Verdict::RejectRecord, ""),
    };
    let class = if class.is_empty() { format!("status_{status}") } else { class.to_owned() };
    let retry_after = match verdict {
        Verdict::Throttled => error.retry_after.max(retry_after::in_words(&error.words)),
        // Its words may repeat the prompt, and a long wait would stop the run.
        Verdict::Retry => error.retry_after,
        Verdict::Fatal | Verdict::RejectRecord => None,
    };
    let names_quota = verdict == Verdict::Throttled && error.contains_any(ACCOUNT);
    Failure {
        retry_after,
        names_quota,
        error_body: Some(Box::new(error)),
        ..Failure::new(verdict, class, message)
    }
}

/// Returns one line of at most 300 characters, without control characters.
pub(super) fn clean(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, "\u{fffd}");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, verdict: Verdict, class: &str) {
        let status = StatusCode::from_u16(status).unwrap();
        let failure = response(status, &HeaderMap::new(), body.as_bytes(), "http://x/v1");
        assert_eq!((failure.verdict, failure.class.as_str()), (verdict, class), "{failure:?}");
    }

    #[test]
    fn statuses_and_bodies_have_their_class() {
        use Verdict::*;
        check(401, "", Fatal, "unauthorized");
        check(403, "no", Fatal, "forbidden");
        check(402, "", Fatal, "quota");
        check(
            404,
            r#"{"object": "error", "message": "The model `x` does not exist."}"#,
            Fatal,
            "model_not_found",
        );
        check(404, r#"{"detail": "Not Found"}"#, Fatal, "not_found");
        check(301, "", Fatal, "redirect");
        check(429, r#"{"error": {"code": "rate_limit_exceeded"}}"#, Throttled, "rate_limited");
        check(429, r#"{"error": {"code": "insufficient_quota"}}"#, Fatal, "quota");
        check(503, "<html>", Throttled, "status_503");
        check(529, r#"{"error": {"type": "overloaded_error"}}"#, Throttled, "status_529");
        for status in [408, 409, 500, 502, 504, 520] {
            check(status, "", Retry, &format!("status_{status}"));
        }
        check(400, r#"{"error": {"message": "bad"}}"#, RejectRecord, "status_400");
        check(400, r#"{"error": {"type": "exceed_context_size_error"}}"#, RejectRecord, "context_length");
        check(400, r#"{"error": {"message": "x", "param": "input_tokens"}}"#, RejectRecord, "context_length");
        let vllm = "max_tokens=9000 cannot be greater than max_model_len=2048";
        check(400, &format!(r#"{{"error": {{"message": "{vllm}"}}}}"#), RejectRecord, "context_length");
        check(400, r#"{"error": {"code": "content_filter"}}"#, RejectRecord, "content_filter");
        check(400, r#"{"error": {"message": "Model Not Exist"}}"#, Fatal, "model_not_found");
        check(400, r#"{"error": "API key not valid."}"#, Fatal, "unauthorized");
        check(413, "", RejectRecord, "status_413");
        check(422, r#"{"detail": [{"loc": ["body"]}]}"#, RejectRecord, "status_422");
        check(501, "", RejectRecord, "status_501");
    }

    #[test]
    fn errors_with_status_200_are_classified_by_their_code() {
        let check = |error: Value, verdict: Verdict, class: &str| {
            let failure = error_in_200(&error);
            assert_eq!((failure.verdict, failure.class.as_str()), (verdict, class), "{error}");
        };
        check(serde_json::json!({"code": 429, "message": "slow"}), Verdict::Throttled, "rate_limited");
        check(serde_json::json!({"code": "insufficient_quota"}), Verdict::Fatal, "quota");
        check(serde_json::json!("Unexpected endpoint"), Verdict::Retry, "error_in_200");
    }

    #[test]
    fn messages_are_short_and_printable() {
        let body = format!(r#"{{"error": {{"message": "no {}"}}}}"#, "x ".repeat(999));
        let failure = response(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes(), "u");
        assert!(failure.message.len() < 400, "{}", failure.message.len());
        assert_eq!(clean("a\u{1b}[31m\n\u{0}b"), "a\u{fffd}[31m \u{fffd}b");
    }
}
