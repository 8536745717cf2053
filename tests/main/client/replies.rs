//! How the model client interprets replies: tables of cases in `tests/cases/model_client`.
//!
//! A case has `replies`, sent in order with the last one repeated, and what is `expect`ed of the client. The server runs in
//! another process with all cases of a table in one script, distinguished by their names, which are the questions.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use synthmill::llm::{Completion, Message, Model, ModelError, ModelErrorKind, ModelRequest, Remote};
use synthmill::pipeline::ModelConfig;
use synthmill::record::Record;

use crate::harness::server_process::ServerProcess;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    replies: Vec<Value>,
    /// Options of the model.
    #[serde(default)]
    model: Map<String, Value>,
    expect: Expected,
}

/// The expected result; fields that are absent are not checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    attempts: u32,
    /// The text of the answer, if one is expected.
    answer: Option<String>,
    finish_reason: Option<String>,
    /// Tokens of the answer.
    /// A number, or `none` if that of the server is not plausible.
    tokens: Option<Value>,
    /// The class of the failure, if one is expected.
    class: Option<String>,
    kind: Option<ModelErrorKind>,
    /// A part of the message of the failure.
    says: Option<String>,
}

/// Runs a table and fails with every case that does not end as expected. Those that wait for a timeout run first, together,
/// so that no large body of another case uses up their time.
async fn check(table: &str) {
    let mut cases: Vec<Case> = serde_json::from_str(table).unwrap();
    cases.sort_by_key(|case| !case.model.contains_key("timeout"));
    let timed = cases.iter().filter(|case| case.model.contains_key("timeout")).count();
    let rules: Vec<Value> = cases.iter().flat_map(rules).collect();
    let server = ServerProcess::start(json!({"rules": rules}));
    let (first, then) = cases.split_at(timed);
    let mut results = futures::future::join_all(first.iter().map(|case| ask(case, &server.url))).await;
    results.extend(futures::future::join_all(then.iter().map(|case| ask(case, &server.url))).await);
    let questions = server.questions();
    let mut wrong = Vec::new();
    for (case, result) in cases.iter().zip(results) {
        let asked = questions.iter().filter(|question| question["prompt"] == *case.name).count();
        if !as_expected(&case.expect, &result) || asked != case.expect.attempts as usize {
            wrong.push(format!("{}: asked {asked} times: {result:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn rules(case: &Case) -> Vec<Value> {
    let last = case.replies.len() - 1;
    let rules = case.replies.iter().enumerate().map(|(number, reply)| match number == last {
        true => json!({"when": {"is": case.name}, "reply": reply}),
        false => json!({"when": {"is": case.name}, "uses": 1, "reply": reply}),
    });
    rules.collect()
}

async fn ask(case: &Case, url: &str) -> Result<Completion, ModelError> {
    let mut config = json!({"base_urls": [url], "model": "test-model", "max_attempts": 3});
    config.as_object_mut().unwrap().extend(case.model.clone());
    let config: ModelConfig = serde_json::from_value(config).unwrap();
    let model = Remote::new("teacher", &config).unwrap().first_wait(Duration::from_millis(2));
    let messages = vec![Message::new("user", case.name.clone())];
    let request = ModelRequest { messages, ..ModelRequest::default() };
    // A case that never ends is reported as such, rather than hanging the test.
    let patience = Duration::from_secs(60);
    let answered =
        tokio::time::timeout(patience, async { model.complete(&request, &Record::default()).await });
    answered.await.unwrap_or_else(|_| panic!("{}: no end", case.name))
}

fn as_expected(expected: &Expected, result: &Result<Completion, ModelError>) -> bool {
    match result {
        Ok(completion) => {
            let tokens = completion.usage.completion_tokens;
            expected.class.is_none()
                && completion.attempts == expected.attempts
                && expected.answer.as_ref() == Some(&completion.text)
                && expected.tokens.as_ref().is_none_or(|wanted| tokens == wanted.as_u64())
                && (expected.finish_reason.is_none() || expected.finish_reason == completion.finish_reason)
        }
        Err(error) => {
            error.attempts == expected.attempts
                && expected.class.as_ref() == Some(&error.class)
                && expected.kind == Some(error.kind)
                && expected.says.as_ref().is_none_or(|part| error.message.contains(part))
        }
    }
}

#[tokio::test]
async fn statuses() {
    check(include_str!("../../cases/model_client/statuses.json")).await;
}

#[tokio::test]
async fn connections() {
    check(include_str!("../../cases/model_client/connections.json")).await;
}

#[tokio::test]
async fn no_connection() {
    let server = ServerProcess::start(json!({}));
    let no_tls = server.url.replace("http://", "https://");
    for (url, class, attempts) in [
        ("http://no-such-host.invalid/v1", "unreachable", 3),
        ("http://127.0.0.1:9/v1", "unreachable", 3),
        (&no_tls, "tls", 1),
    ] {
        let case = json!({"name": "x", "replies": [{}], "expect": {"attempts": attempts, "class": class, "kind": "fatal"}});
        let case: Case = serde_json::from_value(case).unwrap();
        let result = ask(&case, url).await;
        assert!(as_expected(&case.expect, &result), "{url}: {result:?}");
    }
    assert!(server.questions().is_empty());
}

#[tokio::test]
async fn bodies() {
    check(include_str!("../../cases/model_client/bodies.json")).await;
}
