//! The mock asked through the client, with time turned by the tests: what fits, what it says, when, how often.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::heuristic::Heuristic;
use crate::llm::quota::Pool;
use crate::llm::{Completion, Message, MockContext, Model, ModelError, ModelRequest};
use crate::pipeline::{Limits, ModelConfig};
use crate::record::{Record, RecordId};

use super::super::remote::Remote;

fn model(config: Value) -> Remote {
    let config: ModelConfig = serde_json::from_value(config).unwrap();
    let pool = Pool::new("teacher", Limits::default());
    let vars = Map::from_iter([("tone".to_owned(), json!("kind"))]);
    super::model(
        "teacher",
        &config,
        pool,
        MockContext { seed: 7, vars: &vars },
        Arc::new(Heuristic::default()),
    )
    .unwrap()
}

fn scripted(rules: Value) -> Remote {
    model(json!({"provider": "mock", "mock": {"rules": rules}}))
}

async fn ask(model: &Remote, item: u64, prompt: &str, sample: u32) -> Result<Completion, ModelError> {
    let mut record = Record::new(Map::from_iter([("town".to_owned(), json!("Oslo"))]));
    record.id = RecordId { item, path: Vec::new() };
    let messages = vec![Message::new("system", "Be brief."), Message::new("user", prompt)];
    let schema =
        Some(json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}).into());
    model.complete(&ModelRequest { messages, schema, sample, ..ModelRequest::default() }, &record).await
}

/// Checks the answer's text, or the class of the failure, of a model with these rules.
async fn check(rules: Value, prompt: &str, expected: Result<&str, &str>) {
    let answer = ask(&scripted(rules.clone()), 3, prompt, 0).await;
    let answer = answer.as_ref().map(|one| &*one.text).map_err(|error| &*error.class);
    assert_eq!(answer, expected, "{rules}: {prompt}");
}

#[tokio::test(start_paused = true)]
async fn the_first_matching_rule_answers() {
    let rules = json!([
        {"contains": "river", "matches": "(?i)^be brief", "answer": "Rhine"},
        {"when": "town == 'Oslo' and mock.ask == 2", "answer": "again"},
        {"matches": "hill|lake", "answer": {"n": 1, "of": ["{{ town }}", "{{ vars.tone }} \"{{ id }}\""]}},
        {"contains": "cut", "answer": "{{ mock.answer[:4] }}"},
        {"contains": "heavy", "error": 413},
        {"contains": "fault", "answer": "{{ nobody }}"},
    ]);
    check(rules.clone(), "Name a river.", Ok("Rhine")).await;
    check(rules.clone(), "Name a lake.", Ok(r#"{"n":1,"of":["Oslo","kind \"000003\""]}"#)).await;
    check(rules.clone(), "cut", Ok(r#"{"n""#)).await;
    check(rules.clone(), "heavy", Err("status_413")).await;
    check(rules.clone(), "fault", Err("mock")).await;
    // Where none fits, the answer meets the schema.
    check(rules.clone(), "Anything", Ok(r#"{"n":1}"#)).await;
    check(json!([]), "Anything", Ok(r#"{"n":1}"#)).await;
    assert_eq!(ask(&scripted(rules), 3, "Anything", 1).await.unwrap().text, "again");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_read_as_a_servers() {
    let model = model(json!({
        "provider": "mock",
        "params": {"n": 2},
        "mock": {"rules": [
            {"contains": "think", "answer": "<think>hm</think>so", "usage": {"prompt_tokens": 9}},
            {"contains": "apart", "answer": "so", "reasoning": "as {{ town }}", "finish_reason": "length"},
            {"contains": "filter", "answer": "x", "finish_reason": "content_filter"},
            {"contains": "tool", "answer": "", "tool_calls": [{"id": "a"}]},
            {"contains": "page", "error": "not_json"},
        ]},
    }));
    let think = ask(&model, 1, "think", 0).await.unwrap();
    assert_eq!((&*think.text, think.reasoning.as_deref()), ("so", Some("hm")));
    // Two answers of nineteen bytes, five tokens each.
    assert_eq!((think.usage.prompt_tokens, think.usage.completion_tokens), (Some(9), Some(10)));
    assert_eq!(think.more.unwrap().choices, ["so", "so"]);
    let apart = ask(&model, 1, "apart", 0).await.unwrap();
    assert_eq!(
        (apart.reasoning.as_deref(), apart.finish_reason.as_deref()),
        (Some("as Oslo"), Some("length"))
    );
    // "Be brief.", an empty line and "apart" are sixteen bytes.
    assert_eq!(apart.usage.prompt_tokens, Some(4));
    assert_eq!(ask(&model, 1, "filter", 0).await.unwrap_err().class, "content_filter");
    let tool = ask(&model, 1, "tool", 0).await.unwrap();
    assert_eq!(tool.more.unwrap().tool_calls, Some(json!([{"id": "a"}])));
    assert_eq!(model.provider(), "mock");
}

#[tokio::test(start_paused = true)]
async fn log_probabilities_are_given_where_they_are_asked_for() {
    let rules = json!([
        {"contains": "letter", "logprobs": {"A": -1.7, "(B": -0.2}},
        {"contains": "long", "answer": "(Bah", "logprobs": {"(": -3.0, "(B": -0.2}},
        {"contains": "none", "answer": "C", "logprobs": {"A": -0.2}},
    ]);
    let asking =
        |params: Value| model(json!({"provider": "mock", "params": params, "mock": {"rules": rules}}));
    let wants = asking(json!({"logprobs": true, "top_logprobs": 20}));
    for (question, text, token) in
        [("letter", "(B", json!("(B")), ("long", "(Bah", json!("(B")), ("none", "C", json!(null))]
    {
        let said = ask(&wants, 1, question, 0).await.unwrap();
        let logprobs = said.more.and_then(|more| more.logprobs).unwrap_or_default();
        assert_eq!((&*said.text, &logprobs["content"][0]["token"]), (text, &token));
        let count = logprobs["content"][0]["top_logprobs"].as_array().map_or(0, Vec::len);
        assert_eq!(count, if token.is_null() { 0 } else { 2 });
    }
    let said = ask(&asking(json!({})), 1, "letter", 0).await.unwrap();
    assert_eq!((&*said.text, said.more), ("(B", None));
}

#[tokio::test(start_paused = true)]
async fn errors_are_repeated_as_a_servers_are() {
    let model = scripted(json!([
        {"contains": "flaky", "when": "mock.attempt <= 2", "error": 500},
        {"contains": "busy", "when": "mock.attempt <= 9", "error": 429, "retry_after": 20},
        {"contains": "down", "error": "timeout", "message": "asleep"},
        {"contains": "wrong", "error": 400},
        {"contains": "key", "error": 401},
        {"answer": "here on try {{ mock.attempt }}"},
    ]));
    assert_eq!(ask(&model, 1, "flaky", 0).await.unwrap().text, "here on try 3");
    let start = Instant::now();
    let busy = ask(&model, 1, "busy", 0).await.unwrap();
    // Pauses cost no attempt, only the time that was asked for.
    assert_eq!((busy.attempts, &*busy.text), (10, "here on try 10"));
    assert!(start.elapsed() >= Duration::from_secs(180), "{:?}", start.elapsed());
    let down = ask(&model, 1, "down", 0).await.unwrap_err();
    assert_eq!(
        (&*down.class, down.attempts, &*down.message),
        ("timeout", 6, "`mock` did not answer in time: asleep")
    );
    assert_eq!(ask(&model, 1, "wrong", 0).await.unwrap_err().attempts, 1);
    let key = ask(&model, 1, "key", 0).await.unwrap_err();
    assert_eq!((key.kind, &*key.class), (crate::llm::ModelErrorKind::Fatal, "unauthorized"));
    assert!(ask(&model, 1, "anything", 0).await.is_err(), "what stops the run stops all");
}

#[tokio::test(start_paused = true)]
async fn delays_are_fixed_or_drawn() {
    let timed = async |delay: Value, item: u64| {
        let model = model(json!({"provider": "mock", "timeout": 60, "max_attempts": 1,
            "mock": {"delay": 3, "rules": [{"contains": "x", "delay": delay, "answer": "late"}]}}));
        let start = Instant::now();
        let answer = ask(&model, item, if delay == json!(0) { "y" } else { "x" }, 0).await;
        (start.elapsed().as_secs_f64(), answer.map_err(|error| error.class))
    };
    assert!((timed(json!(0), 1).await.0 - 3.0).abs() < 0.1, "the delay of all");
    assert!((timed(json!(20), 1).await.0 - 20.0).abs() < 0.1);
    assert_eq!(timed(json!(600), 1).await.1.unwrap_err(), "timeout");
    let drawn = join_all((0..400).map(|item| timed(json!({"median": 2, "p95": 10}), item))).await;
    let below = |seconds: f64| drawn.iter().filter(|(time, _)| *time <= seconds).count();
    assert!(
        (170..230).contains(&below(2.0)) && (368..392).contains(&below(10.0)),
        "{} {}",
        below(2.0),
        below(10.0)
    );
    let again = timed(json!({"median": 2, "p95": 10}), 5).await.0;
    assert!((again - drawn[5].0).abs() < 0.1, "the same at every start");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_attempt_takes_the_whole_time_limit() {
    let config = json!({"provider": "mock", "timeout": 30, "max_attempts": 2, "mock": {"rules": [
        {"contains": "hang", "error": "hang"}, {"contains": "at once", "error": "timeout"}]}});
    let timed = async |prompt: &str| {
        let start = Instant::now();
        let error = ask(&model(config.clone()), 1, prompt, 0).await.unwrap_err();
        (error.class, start.elapsed().as_secs())
    };
    let (class, seconds) = timed("hang").await;
    assert!(class == "timeout" && seconds >= 60, "{class} {seconds}");
    let (class, seconds) = timed("at once").await;
    assert!(class == "timeout" && seconds < 30, "{class} {seconds}");
}

#[tokio::test(start_paused = true)]
async fn requests_above_the_limit_are_refused_and_delayed() {
    let model = model(json!({"provider": "mock", "mock": {
        "limit": {"requests_per_minute": 60, "burst": 5, "retry_after": 0.5},
        "rules": [{"answer": "{{ mock.attempt }}"}],
    }}));
    let start = Instant::now();
    let answers = join_all((0..25).map(|item| ask(&model, item, "x", 0))).await;
    let answers: Vec<Completion> = answers.into_iter().map(Result::unwrap).collect();
    // Five at once, then one a second.
    assert!(start.elapsed() >= Duration::from_secs(19), "{:?}", start.elapsed());
    assert!(answers.iter().map(|answer| answer.attempts).sum::<u32>() > 25, "none was refused");
    // What was refused is no attempt that a rule sees.
    assert!(answers.iter().all(|answer| answer.text == "1"), "{answers:?}");
}

#[test]
fn a_rate_limit_admits_its_burst() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let limit = |options: Value| super::limit::RateLimiter::new(serde_json::from_value(options).unwrap());
        let taken = |limit: &super::limit::RateLimiter, asked: usize| {
            (0..asked).filter(|_| limit.take().is_ok()).count()
        };
        let second = limit(json!({"requests_per_minute": 600}));
        assert_eq!(taken(&second, 50), 10, "a second's worth");
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(taken(&second, 50), 3);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(taken(&second, 50), 10);
        let slow = limit(json!({"requests_per_minute": 1, "retry_after": 7}));
        assert_eq!(taken(&slow, 2), 1);
        let refused = slow.take().unwrap_err();
        assert_eq!((&*refused.class, refused.retry_after), ("rate_limited", Some(Duration::from_secs(7))));
        let silent = limit(json!({"requests_per_minute": 1, "burst": 3}));
        assert_eq!(taken(&silent, 9), 3);
        assert_eq!(silent.take().unwrap_err().retry_after, None);
    });
}

#[tokio::test(start_paused = true)]
async fn one_of_several_replicas_is_bad_and_nothing_else_changes() {
    let answers = async |rules: &[Value]| {
        let rest = [json!({"share": 0.3, "answer": "a {{ mock.attempt }}"}), json!({"answer": "b {{ id }}"})];
        let rules = [rules, &rest].concat();
        let urls: Vec<String> = (1..=4).map(|port| format!("http://127.0.0.1:{port}/v1")).collect();
        let config = json!({"provider": "mock", "base_urls": urls, "timeout": 20, "mock": {"rules": &rules}});
        let model = model(config);
        let answers = join_all((0..80).map(|item| ask(&model, item, "x", 0))).await;
        let text = |answer: Result<Completion, ModelError>| {
            answer.unwrap_or_else(|error| panic!("{rules:?}: {error:?}")).text
        };
        let answers: Vec<String> = answers.into_iter().map(text).collect();
        (answers, model.health().endpoints)
    };
    let (clear, all) = answers(&[]).await;
    assert_eq!(
        all.iter().map(|endpoint| &*endpoint.url).collect::<Vec<_>>()[1..3],
        ["http://mock-2", "http://mock-3"]
    );
    assert!(all.iter().all(|endpoint| endpoint.answered > 5), "{all:?}");
    for error in [json!(503), json!("reset"), json!("hang"), json!("empty_choices"), json!("not_json")] {
        let (bad, endpoints) = answers(&[json!({"endpoint": 2, "error": error})]).await;
        assert_eq!(bad, clear, "{error}");
        assert!(endpoints[1].failed > 0 && endpoints[1].answered == 0, "{error}: {endpoints:?}");
        assert!(endpoints.iter().enumerate().all(|(index, endpoint)| index == 1 || endpoint.failed == 0));
    }
    let (flaky, _) = answers(&[json!({"endpoint": 3, "share": 0.5, "error": 500})]).await;
    assert_eq!(flaky, clear);
    let (slow, endpoints) = answers(&[json!({"endpoint": 2, "delay": 5})]).await;
    assert_eq!(slow, clear, "a slow replica answers as the others do");
    assert!(endpoints[1].answered > 0, "{endpoints:?}");
}

#[tokio::test(start_paused = true)]
async fn shares_are_the_same_in_any_order_and_not_moved_by_errors() {
    let answers = async |rules: Value, back: bool| {
        let model = scripted(rules);
        let items: Vec<u64> = if back { (0..500).rev().collect() } else { (0..500).collect() };
        let mut all = join_all(items.iter().map(async |item| {
            let answer = ask(&model, *item, "same words", 0).await;
            (*item, answer.map_or_else(|error| error.class, |one| one.text))
        }))
        .await;
        all.sort();
        all
    };
    let rules = json!([{"share": 0.2, "answer": "a"}, {"share": 0.5, "answer": "b"}]);
    let forth = answers(rules.clone(), false).await;
    assert_eq!(forth, answers(rules, true).await);
    let count = |text: &str| forth.iter().filter(|(_, answer)| answer == text).count();
    assert!(
        (75..125).contains(&count("a")) && (165..235).contains(&count("b")),
        "{} {}",
        count("a"),
        count("b")
    );
    // Nor by errors that are made good.
    let passing =
        json!([{"share": 0.15, "error": 500}, {"share": 0.2, "answer": "a"}, {"share": 0.5, "answer": "b"}]);
    assert!(answers(passing, false).await == forth, "errors that are made good move answers");
    let bad =
        json!([{"share": 0.1, "error": 400}, {"share": 0.2, "answer": "a"}, {"share": 0.5, "answer": "b"}]);
    let bad = answers(bad, false).await;
    let moved = bad.iter().zip(&forth).filter(|(bad, good)| bad != good).count();
    assert_eq!(moved, bad.iter().filter(|(_, answer)| answer == "status_400").count());
    assert!((25..80).contains(&moved), "{moved}");
}
