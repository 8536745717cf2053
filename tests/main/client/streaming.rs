//! `stream: true`: streamed answers are the same as plain ones, whichever server sends them.
//!
//! `tests/cases/model_client/streams.json` has shortened streams of real servers with their source. `events` are raw lines,
//! or objects after `data:`; `whole` is the response of the same server without streaming; `class` and `says` describe the
//! error of a stream that is not an answer. Every stream goes over HTTP event by event, byte by byte, and with other line
//! ends.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use synthmill::llm::{Completion, Message, Model, ModelError, ModelErrorKind, ModelRequest, Remote};
use synthmill::pipeline::ModelConfig;
use synthmill::record::Record;

use crate::harness::model_server::{ModelServer, Reply};
use crate::server::reply::Piece;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    what: String,
    /// The source of the stream: a repository, or the documentation of a provider.
    from: String,
    /// Options of the model.
    #[serde(default)]
    asked: Map<String, Value>,
    events: Vec<Value>,
    /// The body of the same answer without streaming.
    whole: Option<Value>,
    class: Option<String>,
    says: Option<String>,
}

const FEWEST: usize = 20;

impl Row {
    fn lines(&self) -> Vec<String> {
        let line = |event: &Value| match event {
            Value::String(line) => format!("{line}\n\n"),
            event => format!("data: {event}\n\n"),
        };
        self.events.iter().map(line).collect()
    }

    /// Asks for the answer in one way of streaming.
    fn reply(&self, way: &str) -> Reply {
        let lines = self.lines();
        match way {
            "events" => pieces(&lines),
            "crlf" => pieces(&lines.iter().map(|line| line.replace('\n', "\r\n")).collect::<Vec<_>>()),
            "bytes" => Reply { trickle: Some(0.0), ..Reply::raw(200, "text/event-stream", lines.concat()) },
            _ => Reply::json(200, &self.whole.clone().unwrap_or_default()),
        }
    }

    fn key(&self, way: &str) -> String {
        format!("{} ({way})", self.what)
    }

    /// Compares the result of a stream with the row.
    fn holds(
        &self,
        whole: Option<&Result<Completion, ModelError>>,
        streamed: &Result<Completion, ModelError>,
    ) -> bool {
        match (whole, streamed) {
            (Some(Ok(whole)), Ok(streamed)) => {
                let plain = Completion { first_token: None, ..streamed.clone() };
                streamed.first_token.is_some() && plain == *whole
            }
            (None, Err(error)) => {
                let says = self.says.as_ref().is_some_and(|says| error.message.contains(says.as_str()));
                Some(&error.class) == self.class.as_ref() && says
            }
            _ => false,
        }
    }

    async fn ask(&self, url: &str, way: &str) -> Result<Completion, ModelError> {
        let mut options = self.asked.clone();
        options.insert("stream".to_owned(), json!(way != "whole"));
        ask(url, Value::Object(options), &self.key(way)).await
    }
}

async fn ask(url: &str, options: Value, text: &str) -> Result<Completion, ModelError> {
    put(&model(url, options), text).await
}

fn model(url: &str, options: Value) -> Remote {
    let mut config = json!({"base_urls": [url], "model": "test-model", "max_attempts": 1});
    config.as_object_mut().unwrap().extend(options.as_object().cloned().unwrap_or_default());
    let config: ModelConfig = serde_json::from_value(config).unwrap();
    Remote::new("teacher", &config).unwrap().first_wait(Duration::from_millis(2))
}

async fn put(model: &Remote, text: &str) -> Result<Completion, ModelError> {
    let request = ModelRequest { messages: vec![Message::new("user", text)], ..ModelRequest::default() };
    let record = Record::default();
    let answered = model.complete(&request, &record);
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, answered).await.unwrap_or_else(|_| panic!("{text}: no end"))
}

#[tokio::test]
async fn streams_of_real_servers_are_parsed_to_their_answers() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("../../cases/model_client/streams.json")).unwrap();
    assert!(rows.len() >= FEWEST);
    let ways = ["events", "bytes", "crlf", "whole"];
    let replies: HashMap<String, Reply> =
        rows.iter().flat_map(|row| ways.map(|way| (row.key(way), row.reply(way)))).collect();
    let server = ModelServer::start(move |question| replies[&question.prompt].clone());
    let asked = rows.iter().map(async |row| {
        let whole = match row.whole {
            Some(_) => Some(row.ask(&server.url, "whole").await),
            None => None,
        };
        let streamed = ways[..3].iter().map(|way| row.ask(&server.url, way));
        (whole, futures::future::join_all(streamed).await)
    });
    let asked = futures::future::join_all(asked).await;
    let mut wrong = Vec::new();
    for (row, (whole, streamed)) in rows.iter().zip(&asked) {
        assert!(!row.from.is_empty(), "{} has no source", row.what);
        for one in streamed.iter().filter(|one| !row.holds(whole.as_ref(), one)) {
            wrong.push(format!("{}: {one:?} for {whole:?}", row.what));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A piece of an answer.
fn chunk(content: &str, finish: Value) -> String {
    let choice = json!({"index": 0, "delta": {"content": content}, "finish_reason": finish});
    format!("data: {}\n\n", json!({"choices": [choice]}))
}

fn pieces<T: AsRef<str>>(texts: &[T]) -> Reply {
    let pieces = texts.iter().map(|text| Piece::Text(text.as_ref().to_owned()));
    Reply { pieces: Some(pieces.collect()), ..Reply::default() }
}

#[tokio::test]
async fn a_refusal_in_the_middle_costs_an_attempt() {
    let refused = "data: {\"error\": {\"message\": \"slow down\", \"code\": 429}}\n\n";
    let server = ModelServer::start(move |_| pieces(&[chunk("Rh", Value::Null), refused.to_owned()]));
    let failed = ask(&server.url, json!({"stream": true, "max_attempts": 2}), "x").await.unwrap_err();
    assert_eq!((failed.kind, &*failed.class, failed.attempts), (ModelErrorKind::Record, "rate_limited", 2));
    assert_eq!(server.questions().len(), 2);
}

#[tokio::test]
async fn a_stream_without_choices_is_requested_again() {
    for options in [json!({"params": {"n": 2}}), json!({"extra_body": {"n": 2}})] {
        let server = ModelServer::start(|_| pieces(&[chunk("Rhine", json!("stop"))]));
        let mut options = options;
        options["stream"] = json!(true);
        let failed = ask(&server.url, options, "x").await.unwrap_err();
        assert_eq!(failed.class, "cut_body");
    }
}

#[tokio::test]
async fn a_stream_is_requested_with_usage_where_the_server_supports_it() {
    let streaming = |options: Value| {
        let mut all = json!({"stream": true});
        all.as_object_mut().unwrap().extend(options.as_object().cloned().unwrap());
        all
    };
    let server = ModelServer::start(|_| Reply::answer("Rhine"));
    let asked = async |options: Value| {
        let completion = ask(&server.url, options, "x").await.unwrap();
        let body = server.questions().last().unwrap().body.clone();
        (completion, body["stream"].clone(), body["stream_options"].clone())
    };
    let with_usage = json!({"include_usage": true});
    let (completion, stream, options) = asked(json!({"stream": true})).await;
    assert_eq!((&*completion.text, stream, options), ("Rhine", json!(true), with_usage.clone()));
    assert_eq!(completion.usage.completion_tokens, Some(3));
    assert!(completion.first_token.is_some());
    let (completion, stream, options) = asked(json!({})).await;
    assert_eq!((stream, options, completion.first_token), (Value::Null, Value::Null, None));
    let (completion, stream, options) = asked(streaming(json!({"api": "completions"}))).await;
    assert_eq!((&*completion.text, stream, options), ("Rhine", json!(true), with_usage.clone()));
    let own = json!({"include_usage": true, "continuous_usage_stats": true});
    let (_, _, options) = asked(streaming(json!({"extra_body": {"stream_options": own}}))).await;
    assert_eq!(options, own);
    // The wording of Azure and Mistral; the answer has no usage, and later requests are not refused first.
    for refusal in [
        json!({"detail": "Extra parameters ['stream_options'] are not allowed when extra-parameters is not set or set to be 'error'."}),
        json!({"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted", "input": {"include_usage": true}}]}, "type": "invalid_request_error"}),
    ] {
        let server = ModelServer::start(move |question| match question.body["stream_options"] {
            Value::Null => Reply::answer("Rhine"),
            _ => Reply::json(400, &refusal),
        });
        let model = model(&server.url, json!({"stream": true}));
        for (attempts, asked) in [(2, 2), (1, 3)] {
            let completion = put(&model, "x").await.unwrap();
            assert_eq!((&*completion.text, completion.attempts), ("Rhine", attempts));
            assert_eq!(completion.usage.completion_tokens, None);
            assert_eq!(server.questions().len(), asked);
        }
        // Parameters set by the user are not changed.
        let options = streaming(json!({"extra_body": {"stream_options": {"include_usage": true}}}));
        let error = ask(&server.url, options, "x").await.unwrap_err();
        assert_eq!((error.kind, &*error.class), (ModelErrorKind::Fatal, "setting_refused"));
    }
}

#[tokio::test]
async fn a_model_that_cannot_be_streamed_ends_the_run_with_what_to_write() {
    for message in [
        "Your organization must be verified to stream this model. Please go to: https://platform.openai.com/settings/organization/general and click on Verify Organization.",
        "Unsupported value: 'stream' does not support true with this model. Only the default (false) value is supported.",
    ] {
        let error = json!({"error": {"message": message, "type": "invalid_request_error", "param": "stream", "code": "unsupported_value"}});
        let server = ModelServer::replies(vec![Reply::json(400, &error)]);
        let error = ask(&server.url, json!({"stream": true, "max_attempts": 3}), "x").await.unwrap_err();
        assert_eq!(
            (error.kind, &*error.class, error.attempts),
            (ModelErrorKind::Fatal, "setting_refused", 1)
        );
        assert!(error.message.contains("leave `stream` out of `models.teacher`"), "{}", error.message);
    }
}

#[tokio::test]
async fn a_plain_body_is_accepted_where_a_stream_was_requested() {
    let mut plain = Reply::answer("Rhine");
    plain.stream = Some(false);
    let body = json!({"choices": [{"message": {"content": "Rhine"}, "finish_reason": "stop"}]}).to_string();
    for reply in [
        plain,
        // Declared as a stream, after keep-alive white space, and after a byte order mark.
        Reply::raw(200, "text/event-stream", body.clone()),
        pieces(&["\n", " \n\n\n\n\n\n\n", &body]),
        Reply::raw(200, "application/json", format!("\u{feff}{body}")),
        // A stream declared as JSON.
        Reply::raw(200, "application/json", chunk("Rhine", json!("stop"))),
    ] {
        let server = ModelServer::replies(vec![reply.clone()]);
        let completion = ask(&server.url, json!({"stream": true}), "x").await;
        assert_eq!(completion.unwrap().text, "Rhine", "{reply:?}");
    }
    let check = async |reply: Reply, class: &str| {
        let server = ModelServer::replies(vec![reply]);
        let error = ask(&server.url, json!({"stream": true}), "x").await.unwrap_err();
        assert_eq!(error.class, class, "{error:?}");
    };
    check(Reply::raw(200, "text/html", "<html>Welcome</html>"), "not_json").await;
    check(Reply::raw(200, "text/plain", "no"), "not_json").await;
    check(Reply::raw(200, "text/plain", ""), "not_json").await;
    check(Reply::json(200, &json!({"error": {"message": "no", "code": 500}})), "status_500").await;
    check(Reply::error(500, "", "no"), "status_500").await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_requested_again() {
    let half = chunk("Rh", Value::Null);
    let whole = [&*half, &chunk("ine", json!("stop")), "data: [DONE]\n\n"].map(str::to_owned);
    let whole = pieces(&whole);
    let breaking = |by: &str| {
        let fault = serde_json::from_value(json!({"at": "in_body", "by": by})).unwrap();
        Reply { fault: Some(fault), ..pieces(&[&half]) }
    };
    let error = "data: {\"error\": {\"message\": \"lost\", \"code\": 502}}\n\n";
    for (broken, class) in [
        (pieces(&[&half]), "cut_body"),
        (pieces(&[&half, "data: [DONE]\n\n"]), "cut_body"),
        (pieces(&[": keep-alive\n\n"]), "cut_body"),
        (breaking("close"), "cut_body"),
        (breaking("reset"), "cut_body"),
        (breaking("hang"), "timeout"),
        (pieces(&[&half, error]), "unfinished"),
    ] {
        let server = ModelServer::replies(vec![broken.clone(), whole.clone()]);
        let timeout = if class == "timeout" { 1.0 } else { 60.0 };
        let options = json!({"stream": true, "max_attempts": 2, "timeout": timeout});
        let completion = ask(&server.url, options, "x").await.unwrap();
        assert_eq!((&*completion.text, completion.attempts), ("Rhine", 2), "{broken:?}");
        let server = ModelServer::replies(vec![broken]);
        let options = json!({"stream": true, "timeout": timeout});
        let error = ask(&server.url, options, "x").await.unwrap_err();
        assert_eq!((error.kind, &*error.class), (ModelErrorKind::Record, class), "{error:?}");
    }
}

#[tokio::test]
async fn an_endless_stream_is_bounded_in_size_and_time() {
    let megabyte = "x".repeat(1 << 20);
    let data = chunk(&megabyte, Value::Null);
    let texts = vec![&*data; 12];
    let one_line = vec![&*megabyte; 12];
    for reply in [pieces(&texts), pieces(&[&["data: "], &*one_line].concat())] {
        let server = ModelServer::replies(vec![reply]);
        let error = ask(&server.url, json!({"stream": true, "max_attempts": 2}), "x").await.unwrap_err();
        assert_eq!((&*error.class, error.attempts), ("body_too_large", 1));
    }
    // Ignored events do not count towards the limit.
    let padding = format!("data: {}\n\n", json!({"choices": [], "obfuscation": megabyte}));
    let mut padded = vec![&*padding; 12];
    let end = chunk("Rhine", json!("stop"));
    padded.push(&end);
    let server = ModelServer::replies(vec![pieces(&padded)]);
    assert_eq!(ask(&server.url, json!({"stream": true}), "x").await.unwrap().text, "Rhine");
    // Endless events, none of which is the last.
    let dripping =
        Reply { trickle: Some(0.05), ..Reply::raw(200, "text/event-stream", ":\n".repeat(10_000)) };
    let server = ModelServer::replies(vec![dripping]);
    let error = ask(&server.url, json!({"stream": true, "timeout": 1.0}), "x").await.unwrap_err();
    assert_eq!(error.class, "timeout");
}

#[tokio::test]
async fn a_connection_serves_the_next_question_after_a_stream() {
    let server = ModelServer::start(|_| Reply::answer("Rhine"));
    let model = model(&server.url, json!({"stream": true}));
    for _ in 0..5 {
        put(&model, "x").await.unwrap();
    }
    let connections: Vec<u64> = server.questions().iter().map(|question| question.connection).collect();
    assert_eq!(connections, [0; 5]);
}
