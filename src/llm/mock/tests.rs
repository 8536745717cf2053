//! The mock asked through the client, with time turned by the tests: what fits, what it says, when, how often.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::config::{Limits, ModelConfig};
use crate::llm::quota::Pool;
use crate::llm::{Completion, Drawn, Message, Model, ModelError, ModelRequest};
use crate::record::{Record, RecordId};

use super::super::remote::Remote;

fn model(config: Value) -> Remote {
    let config: ModelConfig = serde_json::from_value(config).unwrap();
    let pool = Pool::new("teacher", Limits::default());
    let vars = Map::from_iter([("tone".to_owned(), json!("kind"))]);
    super::model("teacher", &config, pool, Drawn { seed: 7, vars: &vars }).unwrap()
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
async fn the_first_rule_that_fits_answers() {
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
async fn delays_are_waited_and_drawn() {
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
    let bad =
        json!([{"share": 0.1, "error": 400}, {"share": 0.2, "answer": "a"}, {"share": 0.5, "answer": "b"}]);
    let bad = answers(bad, false).await;
    let moved = bad.iter().zip(&forth).filter(|(bad, good)| bad != good).count();
    assert_eq!(moved, bad.iter().filter(|(_, answer)| answer == "status_400").count());
    assert!((25..80).contains(&moved), "{moved}");
}
