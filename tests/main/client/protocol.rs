//! The requests of the model client over HTTP, and how it interprets replies.

use std::time::Duration;

use serde_json::{Value, json};
use synthmill::llm::{Completion, Message, Model, ModelError, ModelErrorKind, ModelRequest, Remote, Usage};
use synthmill::pipeline::ModelConfig;
use synthmill::record::Record;

use crate::harness::model_server::{ModelServer, Reply};

/// Returns a model at `url` with the options `more`.
fn model(url: &str, more: Value) -> Remote {
    let mut config = json!({"base_urls": [url], "model": "test-model", "max_attempts": 3});
    config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let config: ModelConfig = serde_json::from_value(config).unwrap();
    Remote::new("teacher", &config).unwrap().first_wait(Duration::from_millis(2))
}

fn request() -> ModelRequest {
    ModelRequest { messages: vec![Message::new("user", "Name a river.")], ..ModelRequest::default() }
}

async fn ask(model: &Remote, request: &ModelRequest) -> Result<Completion, ModelError> {
    model.complete(request, &Record::default()).await
}

/// Asks a server with these replies; returns the result, and the number of requests.
async fn play(replies: Vec<Reply>) -> (Result<Completion, ModelError>, usize) {
    let server = ModelServer::replies(replies);
    let result = ask(&model(&server.url, json!({})), &request()).await;
    (result, server.questions().len())
}

#[tokio::test]
async fn a_question_is_sent_with_params_schema_and_no_key() {
    let server = ModelServer::replies(vec![Reply::answer("Rhine")]);
    let model = model(&server.url, json!({"params": {"temperature": 0.7, "max_tokens": 9}}));
    let mut request = request();
    request.params.insert("temperature".into(), json!(0.1));
    request.schema = Some(json!({"type": "object"}).into());
    let completion = ask(&model, &request).await.unwrap();
    assert_eq!((&*completion.text, completion.attempts), ("Rhine", 1));
    assert_eq!((completion.usage.prompt_tokens, completion.usage.completion_tokens), (Some(7), Some(3)));

    let question = &server.questions()[0];
    assert_eq!(question.path, "/v1/chat/completions");
    assert_eq!(question.headers.get("authorization"), None);
    let schema = json!({"name": "answer", "schema": {"type": "object"}});
    assert_eq!(
        question.body,
        json!({
            "model": "test-model",
            "messages": [{"role": "user", "content": "Name a river."}],
            "temperature": 0.1,
            "max_tokens": 9,
            "response_format": {"type": "json_schema", "json_schema": schema},
        })
    );
}

#[tokio::test]
async fn the_key_is_sent_and_never_disclosed() {
    // Uses a variable that cargo sets as the key, since a test cannot set one safely.
    let key = std::env::var("CARGO_PKG_NAME").unwrap();
    let said = format!("wrong key {key}");
    let server = ModelServer::replies(vec![Reply::error(401, "invalid_api_key", &said)]);
    let error =
        ask(&model(&server.url, json!({"api_key_env": "CARGO_PKG_NAME"})), &request()).await.unwrap_err();
    let question = &server.questions()[0];
    assert_eq!(question.headers["authorization"], format!("Bearer {key}"));
    assert_eq!((error.kind, &*error.class), (ModelErrorKind::Fatal, "unauthorized"));
    assert!(
        error.message.contains("wrong key [key]") && !error.message.contains(&format!(" {key}")),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn no_server_is_fatal_and_says_what_to_do() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://user:secret@{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let error = ask(&model(&url, json!({})), &request()).await.unwrap_err();
    assert_eq!((error.kind, &*error.class, error.attempts), (ModelErrorKind::Fatal, "unreachable", 3));
    assert!(error.message.starts_with("cannot reach `http://127.0.0.1:"), "{}", error.message);
    assert!(error.message.contains("--no-llm") && !error.message.contains("secret"), "{}", error.message);
}

#[tokio::test]
async fn retry_after_is_a_floor_for_every_request() {
    let wait = Duration::from_millis(40);
    let cases = [("retry-after-ms", "40"), ("retry-after", "0.04")];
    for (name, value) in cases {
        let busy = Reply::error(429, "", "slow down").with_header(name, value);
        let server = ModelServer::replies(vec![busy, Reply::answer("Rhine")]);
        let model = model(&server.url, json!({}));
        ask(&model, &request()).await.unwrap();
        let questions = server.questions();
        assert!(questions[1].at - questions[0].at >= wait, "{name}");
    }
}

#[tokio::test]
async fn replicas_take_turns_and_a_dead_one_is_skipped() {
    let servers =
        [ModelServer::replies(vec![Reply::answer("one")]), ModelServer::replies(vec![Reply::answer("two")])];
    let dead = "http://127.0.0.1:9/v1";
    let model = model("", json!({"base_urls": [servers[0].url, servers[1].url, dead]}));
    for _ in 0..6 {
        ask(&model, &request()).await.unwrap();
    }
    let counts = servers.each_ref().map(|server| server.questions().len());
    assert_eq!(counts.iter().sum::<usize>(), 6);
    assert!(counts.iter().all(|count| *count >= 2), "{counts:?}");
}

#[tokio::test]
async fn reasoning_is_kept_apart_and_missing_usage_is_none() {
    let message = json!({"content": "<think>\nhm\n</think>\n\nRhine"});
    let reply = Reply::json(200, &json!({"choices": [{"message": message, "finish_reason": "length"}]}));
    let (result, _) = play(vec![reply]).await;
    let completion = result.unwrap();
    assert_eq!((&*completion.text, completion.reasoning.as_deref()), ("Rhine", Some("hm")));
    assert_eq!(completion.finish_reason.as_deref(), Some("length"));
    assert_eq!(completion.usage, Usage::default());
}

#[tokio::test]
async fn a_refused_schema_is_sent_in_a_weaker_form_from_then_on() {
    let server = ModelServer::start(|question| match question.body["response_format"]["type"].as_str() {
        Some("json_schema") => {
            Reply::error(500, "internal_server_error", "response_format: json_object or text")
        }
        Some(_) => Reply::error(400, "", "unknown field response_format"),
        None => Reply::answer("{}"),
    });
    let model = model(&server.url, json!({}));
    let request = ModelRequest { schema: Some(json!({"type": "object"}).into()), ..request() };
    assert_eq!(ask(&model, &request).await.unwrap().attempts, 3);
    assert_eq!(ask(&model, &request).await.unwrap().attempts, 1);
}

#[tokio::test]
async fn one_schema_that_a_server_refuses_weakens_no_other() {
    let server = ModelServer::start(|question| {
        let own = &question.body["structured_outputs"]["json"];
        let format = &question.body["response_format"];
        let refused =
            [own, &format["json_schema"]["schema"]].iter().any(|schema| !schema["contains"].is_null());
        match (refused, own.is_null() && format.is_null()) {
            (true, _) => Reply::error(400, "", "Grammar error: Unimplemented keys: [\"contains\"]"),
            (_, true) => Reply::error(500, "", "without a form"),
            _ => Reply::answer("[]"),
        }
    });
    let model = model(&server.url, json!({"structured_output": "structured_outputs"}));
    let with = |schema: Value| ModelRequest { schema: Some(schema.into()), ..request() };
    let refused = with(json!({"type": "array", "contains": {}}));
    // The preferred form `json_schema`, then `json_object`, which is kept.
    for attempts in [3, 1] {
        assert_eq!(ask(&model, &refused).await.unwrap().attempts, attempts);
        assert_eq!(server.questions().last().unwrap().body["response_format"]["type"], "json_object");
    }
    assert_eq!(ask(&model, &with(json!({"type": "array"}))).await.unwrap().attempts, 1);
    assert_eq!(
        server.questions().last().unwrap().body["structured_outputs"],
        json!({"json": {"type": "array"}})
    );
}

#[tokio::test]
async fn a_dropped_question_frees_the_client() {
    let server = ModelServer::start(|question| match (&*question.prompt, question.before) {
        ("Name a river.", 0) => Reply::answer("late").after(Duration::from_secs(600)),
        _ => Reply::answer("Rhine"),
    });
    let model = model(&server.url, json!({}));
    let asked = request();
    let dropped = tokio::time::timeout(Duration::from_millis(30), ask(&model, &asked)).await;
    assert!(dropped.is_err());
    assert_eq!(ask(&model, &asked).await.unwrap().text, "Rhine");
}

#[tokio::test]
async fn raw_completions_and_anthropic_are_supported() {
    let raw = json!({"choices": [{"text": "Rhine", "finish_reason": "stop"}]});
    let server = ModelServer::replies(vec![Reply::json(200, &raw)]);
    let more = json!({"api": "completions", "extra_body": {"top_k": 3, "temperature": 0}});
    assert_eq!(ask(&model(&server.url, more), &request()).await.unwrap().text, "Rhine");
    let question = &server.questions()[0];
    assert_eq!(question.path, "/v1/completions");
    let body = json!({"model": "test-model", "prompt": "Name a river.", "top_k": 3, "temperature": 0});
    assert_eq!(question.body, body);

    let key = std::env::var("CARGO_PKG_NAME").unwrap();
    let said = json!({"content": [{"type": "text", "text": "Rhine"}], "stop_reason": "max_tokens"});
    let busy = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let server = ModelServer::replies(vec![Reply::json(529, &busy), Reply::json(200, &said)]);
    let more = json!({"provider": "anthropic", "api_key_env": "CARGO_PKG_NAME"});
    let client = model(&server.url, more);
    assert_eq!(client.provider(), "anthropic");
    let completion = ask(&client, &request()).await.unwrap();
    assert_eq!((&*completion.text, completion.attempts), ("Rhine", 2));
    assert_eq!(completion.finish_reason.as_deref(), Some("length"));
    let question = &server.questions()[0];
    assert_eq!((&*question.path, &question.body["max_tokens"]), ("/v1/messages", &json!(4096)));
    assert_eq!(question.headers["x-api-key"], key);
    assert_eq!(question.headers["anthropic-version"], "2023-06-01");
    assert_eq!(question.headers.get("authorization"), None);
}

#[tokio::test]
async fn headers_and_key_files_are_sent_and_never_disclosed() {
    let secret = std::env::var("CARGO_PKG_NAME").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "canary-key-123\n").unwrap();
    let said = format!("bad {secret} or canary-key-123");
    let server = ModelServer::replies(vec![Reply::error(401, "", &said)]);
    let more = json!({
        "api_key_file": file.path(),
        "headers": {"x-org": "team", "x-token": "${CARGO_PKG_NAME}"},
    });
    let error = ask(&model(&server.url, more), &request()).await.unwrap_err();
    let headers = &server.questions()[0].headers;
    assert_eq!(headers["x-org"], "team");
    assert_eq!(headers["x-token"], secret);
    assert_eq!(headers["authorization"], "Bearer canary-key-123");
    assert!(error.message.contains("bad [key] or [key]"), "{}", error.message);
    for wrong in [json!({"x": "${NOT_SET_ANYWHERE}"}), json!({"no name": "x"}), json!({"x": "a\nb"})] {
        let config = json!({"base_urls": ["http://h/v1"], "model": "m", "headers": wrong});
        let config: ModelConfig = serde_json::from_value(config).unwrap();
        assert!(Remote::new("m", &config).is_err(), "{wrong}");
    }
}
