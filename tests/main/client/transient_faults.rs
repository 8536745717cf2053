//! The model client under transient faults: refusals, pauses, broken answers, endpoints that come and go.
//!
//! Each row of a table is a kind of fault with its expected outcome. Times are only compared with minimums that the server
//! requested.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use synthmill::journal::disk::RealDisk;
use synthmill::llm::{
    BackgroundContext, BatchFiles, Completion, Message, Model, ModelError, ModelErrorKind, ModelRequest,
    Pool, Remote,
};
use synthmill::pipeline::{Limits, ModelConfig};
use synthmill::record::Record;
use tokio_util::sync::CancellationToken;

use crate::harness::child::{Running, answering, rows_folder};
use crate::harness::model_server::{ModelServer, Reply};
use crate::harness::server_process::ServerProcess;
use crate::harness::{outputs, rows_pipeline, synthmill};

fn config(urls: &[&str], more: Value) -> ModelConfig {
    let mut config = json!({"base_urls": urls, "model": "test-model", "max_attempts": 3});
    config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    serde_json::from_value(config).unwrap()
}

fn model(urls: &[&str], more: Value) -> Remote {
    Remote::new("teacher", &config(urls, more)).unwrap().first_wait(Duration::from_millis(2))
}

async fn ask(model: &Remote, text: &str) -> Result<Completion, ModelError> {
    let request = ModelRequest { messages: vec![Message::new("user", text)], ..ModelRequest::default() };
    model.complete(&request, &Record::default()).await
}

#[tokio::test]
async fn no_request_is_sent_before_the_time_the_server_named() {
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2))
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let cases = [
        // First, before time has passed; whole seconds, so that up to one of the two has passed already.
        ("retry-after", &*soon, 0.5),
        ("retry-after", "0.3", 0.3),
        ("retry-after", "1", 1.0),
        ("retry-after-ms", "300", 0.3),
        ("retry-after", "Fri, 20 Nov 2020 11:59:00 GMT", 0.0),
        ("retry-after", "-5", 0.0),
        ("retry-after", "soon", 0.0),
    ];
    for (name, value, floor) in cases {
        let refusal = Reply::error(429, "", "slow").with_header(name, value);
        let server = ModelServer::replies(vec![refusal, Reply::answer("Rhine")]);
        assert_eq!(ask(&model(&[&server.url], json!({})), "x").await.unwrap().attempts, 2);
        let questions = server.questions();
        let gap = questions[1].at - questions[0].at;
        assert!(gap >= Duration::from_secs_f64(floor), "{name}: {value}: {gap:?}");
    }
    let words = |message: &str| Reply::error(429, "", message);
    let json = |body: Value| Reply::json(429, &body);
    let in_seconds =
        |after: f64| (jiff::Timestamp::now().as_millisecond() as f64 / 1000.0 + after).to_string();
    let cases = [
        (words("slow").with_header("retry-after", "300ms"), 0.3),
        (words("slow").with_header("retry-after", "0.3s"), 0.3),
        (words("slow").with_header("x-ratelimit-reset", "0.3"), 0.3),
        // A little of that time has passed before the question is sent.
        (words("slow").with_header("ratelimit-reset", &in_seconds(2.0)), 0.5),
        (
            words("slow")
                .with_header("x-ratelimit-remaining-tokens", "0")
                .with_header("x-ratelimit-reset-tokens", "300ms"),
            0.3,
        ),
        (words("Please try again in 300ms. Visit us."), 0.3),
        (words("Quota exceeded. Please retry in 0.3s."), 0.3),
        (words("Please retry after 1 seconds."), 1.0),
        (json(json!([{"error": {"code": 429, "details": [{"retryDelay": "0.3s"}]}}])), 0.3),
        (json(json!({"error": {"code": 429, "details": [{"retryDelay": {"nanos": 300_000_000}}]}})), 0.3),
        (json(json!({"error": {"message": "slow", "retry_after": 0.3}})), 0.3),
        // Headers of a successful response count too.
        (Reply::json(200, &json!({"error": {"code": 429, "message": "try again in 300ms"}})), 0.3),
        // The header counts, and a quota that is not used up does not matter.
        (words("Please try again in 20 minutes.").with_header("retry-after", "0.3"), 0.3),
        (
            words("slow")
                .with_header("x-ratelimit-remaining-requests", "7")
                .with_header("x-ratelimit-reset-requests", "20m"),
            0.0,
        ),
    ];
    let checked = cases.into_iter().map(async |(refusal, floor)| {
        let server = ModelServer::replies(vec![refusal.clone(), Reply::answer("Rhine")]);
        let answer = ask(&model(&[&server.url], json!({})), "x").await;
        let questions = server.questions();
        assert_eq!(questions.len(), 2, "{refusal:?}: {answer:?}");
        let gap = questions[1].at - questions[0].at;
        assert!(gap >= Duration::from_secs_f64(floor), "{refusal:?}: {gap:?}");
    });
    futures::future::join_all(checked).await;
    let refusal = Reply::error(429, "", "slow").with_header("retry-after", "1000000000");
    let server = ModelServer::replies(vec![refusal]);
    let error = ask(&model(&[&server.url], json!({})), "x").await.unwrap_err();
    assert_eq!((error.kind, server.questions().len()), (ModelErrorKind::Fatal, 1));
}

#[tokio::test]
async fn two_models_of_one_quota_pool_pause_together() {
    let seen = AtomicUsize::new(0);
    let refusing = ModelServer::start(move |_| match seen.fetch_add(1, Ordering::Relaxed) < 8 {
        true => Reply::error(429, "", "slow").with_header("retry-after", "0.4"),
        false => Reply::answer("one"),
    });
    let other = ModelServer::replies(vec![Reply::answer("two")]);
    let pool = Pool::new("account", Limits::default());
    let in_pool = |url: &str| Remote::in_pool("m", &config(&[url], json!({})), Arc::clone(&pool)).unwrap();
    let (first, second) = (in_pool(&refusing.url), in_pool(&other.url));
    let refused = stream::iter(0..8).map(|_| ask(&first, "x")).buffer_unordered(8);
    let then = async {
        while pool.figures().paused_seconds == 0.0 {
            tokio::task::yield_now().await;
        }
        let blocked = std::time::Instant::now();
        (ask(&second, "y").await, blocked)
    };
    let (one, (two, blocked)) = tokio::join!(refused.collect::<Vec<_>>(), then);
    assert!(one.into_iter().all(|answer| answer.unwrap().text == "one"));
    assert_eq!(two.unwrap().text, "two");
    // It is the probe for capacity, after an eighth of the requests.
    let gap = other.questions()[0].at.saturating_duration_since(blocked);
    assert!(gap >= Duration::from_millis(40), "{gap:?}");
}

#[test]
fn a_fatal_error_rejects_nothing_and_sends_no_more_requests() {
    let cases = [
        (401, "invalid_api_key", "no"),
        (403, "", "no"),
        (404, "model_not_found", "no such model"),
        (429, "insufficient_quota", "pay"),
    ];
    for (status, code, message) in cases {
        let server = ModelServer::start(move |_| Reply::error(status, code, message));
        let dir = tempfile::TempDir::new().unwrap();
        let yaml = rows_pipeline(dir.path(), 200, 8).replace("http://127.0.0.1:9/v1", &server.url);
        std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
        synthmill(dir.path(), &["run", "p.yaml", "--out", "out"], 4);
        assert!(server.questions().len() <= 8, "{status}: {}", server.questions().len());
        assert!(outputs(&dir.path().join("out")).values().all(Vec::is_empty), "{status}");
    }
}

#[tokio::test]
async fn a_server_that_reports_its_queue_is_not_flooded() {
    let metrics = "vllm:num_requests_running 4\nvllm:num_requests_waiting 60\n";
    let server = ModelServer::start(move |question| match &*question.path {
        "/metrics" => Reply::raw(200, "text/plain", metrics),
        _ => Reply::answer("Rhine"),
    });
    let model = Arc::new(model(&[&server.url], json!({"concurrency": "auto"})));
    let limit = || model.health().endpoints[0].limit.unwrap();
    assert_eq!(limit(), 8);
    let dir = tempfile::TempDir::new().unwrap();
    let (batches, _thread) = BatchFiles::without_run(Arc::new(RealDisk), dir.path()).unwrap();
    let with = BackgroundContext { batches: Arc::new(batches), draining: CancellationToken::new() };
    let mut tending = Arc::clone(&model).background_task(with).unwrap();
    let low = async {
        while limit() > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut tending => panic!("the server tells, so it is watched"),
        () = low => {}
    }
    assert_eq!(ask(&model, "x").await.unwrap().text, "Rhine");
}

#[tokio::test]
async fn a_replica_dies_and_nothing_is_lost() {
    let servers =
        [ModelServer::replies(vec![Reply::answer("one")]), ModelServer::replies(vec![Reply::answer("two")])];
    let urls = servers.each_ref().map(|server| server.url.clone());
    let model = model(&[&urls[0], &urls[1]], json!({}));
    let [first, second] = servers;
    let mut first = Some(first);
    for round in 0..40 {
        if round == 10 {
            first.take();
        }
        assert!(ask(&model, &round.to_string()).await.is_ok(), "{round}");
    }
    assert!(second.questions().len() >= 30);
    let endpoints = model.health().endpoints;
    let states: Vec<&str> = endpoints.iter().map(|endpoint| &*endpoint.state).collect();
    assert_eq!(states, ["down", "up"]);
}

#[tokio::test]
async fn servers_that_stop_and_start_in_any_order_lose_nothing() {
    let script = json!({"otherwise": {"delay": 0.005}});
    let mut servers = [0, 1, 2].map(|_| ServerProcess::start(script.clone()));
    let urls = servers.each_ref().map(|server| server.url.clone());
    let urls = urls.each_ref().map(String::as_str);
    let model = model(&urls, json!({"concurrency": 8}));
    // At most two of three are down, and each stops and starts at a different time.
    for (round, (index, up)) in
        [(1, false), (0, false), (1, true), (2, false), (0, true), (2, true)].into_iter().enumerate()
    {
        if up {
            servers[index].restart();
        } else {
            servers[index].kill();
        }
        let asked = (0..40).map(|number| {
            let (model, text) = (&model, format!("{round} {number}"));
            async move { ask(model, &text).await.map(|_| ()) }
        });
        let answered: Vec<_> = stream::iter(asked).buffer_unordered(8).collect().await;
        assert!(answered.iter().all(Result::is_ok), "{round}: {answered:?}");
    }
    let before = servers.each_ref().map(|server| server.questions().len());
    let returned = |server: &ServerProcess, before: usize| server.questions().len() > before + 5;
    let back = async {
        while !servers.iter().zip(before).all(|(server, before)| returned(server, before)) {
            assert!(ask(&model, "again").await.is_ok());
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(120), back).await.is_ok(), "traffic does not return");
}

#[tokio::test]
async fn requests_avoid_an_endpoint_without_capacity() {
    let busy = ModelServer::replies(vec![Reply::error(503, "", "loading the model")]);
    let free = ModelServer::replies(vec![Reply::answer("two")]);
    let model = model(&[&busy.url, &free.url], json!({"max_attempts": 1}));
    for round in 0..30 {
        assert_eq!(ask(&model, &round.to_string()).await.unwrap().text, "two");
    }
    assert!(busy.questions().len() <= 6, "{}", busy.questions().len());
}

#[tokio::test]
async fn requests_avoid_an_endpoint_with_unusable_answers() {
    for useless in [json!({"choices": []}), json!({"error": {"code": 500, "message": "worker died"}})] {
        let empty = ModelServer::replies(vec![Reply::json(200, &useless)]);
        let good = ModelServer::replies(vec![Reply::answer("two")]);
        let model = model(&[&empty.url, &good.url], json!({"max_attempts": 6}));
        for round in 0..60 {
            assert_eq!(ask(&model, &round.to_string()).await.unwrap().text, "two");
        }
        // Five until it is skipped, then occasional probes to see whether it is back.
        assert!(empty.questions().len() <= 8, "{}", empty.questions().len());
    }
}

#[test]
fn each_record_has_its_own_seed_which_is_the_same_in_every_run() {
    let seeds = || {
        // The first answer to every question is wrong, so that each is reprompted.
        let server =
            ModelServer::start(|question| match question.body["messages"].as_array().unwrap().len() {
                1 => Reply::answer("no JSON"),
                _ => Reply::answer(r#"{"answer": "yes"}"#),
            });
        let dir = tempfile::TempDir::new().unwrap();
        let yaml = rows_pipeline(dir.path(), 30, 8)
            .replace("http://127.0.0.1:9/v1", &server.url)
            .replace("llm: {model: teacher}", "llm: {model: teacher, params: {seed: per_record}}");
        std::fs::write(dir.path().join("p.yaml"), yaml).unwrap();
        synthmill(dir.path(), &["run", "p.yaml", "--out", "out"], 0);
        let asked = server.questions().into_iter();
        let mut seeds: Vec<(String, u64)> = asked
            .map(|question| (question.body["messages"].to_string(), question.body["seed"].as_u64().unwrap()))
            .collect();
        seeds.sort();
        seeds
    };
    let first = seeds();
    assert_eq!(first, seeds());
    let different: std::collections::BTreeSet<u64> = first.iter().map(|(_, seed)| *seed).collect();
    assert_eq!((first.len(), different.len()), (60, 60));
}

#[test]
fn limits_are_reloaded_on_a_signal() {
    let server = answering(Duration::ZERO);
    let dir = rows_folder(30, 4, &server.url);
    let file = dir.path().join("p.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    let limited = |count: &str| {
        let limits = format!("model: scripted\n    limits: {{requests_per_minute: {count}}}");
        std::fs::write(&file, yaml.replace("model: scripted", &limits)).unwrap();
    };
    limited("1");
    let mut running = Running::start(dir.path(), &["run", "p.yaml", "--out", "out"]);
    assert!(running.runs_until("the first question", || !server.questions().is_empty()));
    // An invalid file changes nothing.
    limited("many");
    running.signal("HUP");
    running.says("the limits stay as they are");
    limited("600000");
    running.signal("HUP");
    running.says("took over the limits");
    assert_eq!(running.wait().code, Some(0));
    assert_eq!(server.questions().len(), 30);
}
