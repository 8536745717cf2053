//! The account of a run: what is reserved, settled, failed and lost.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::worst_case::DEFAULT_ANSWER_TOKENS;
use super::*;
use crate::image::Image;
use crate::journal::disk::RealDisk;
use crate::journal::{RunDirectory, RunSpec, StartedRun, StorageOptions};
use crate::llm::{Message, Meter, ModelRequest, Tokens, Usage};
use crate::pipeline::Prices;

const PRICES: Prices = Prices { input: 1.0, output: 2.0, cached_input: None, cache_write: None };

fn most(prompt: u64, completion: u64) -> WorstCase {
    WorstCase { tokens: Tokens { prompt, completion, cached: 0 }, prices: PRICES }
}

fn spent(tokens: u64) -> Spent {
    Spent { tokens, cost: 0.0 }
}

fn tokens(most: u64) -> Budget {
    Budget { max_tokens_total: Some(most), max_cost: None }
}

/// An account with a journal of its own.
struct Account {
    spending: Arc<Spending>,
    started: StartedRun,
    _folder: tempfile::TempDir,
}

impl Account {
    fn new(budget: Budget, spent: Spent) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wanted = RunSpec {
            pipeline: "test".into(),
            fingerprint: Default::default(),
            explained: Vec::new(),
            sinks: Vec::new(),
            pipeline_yaml: String::new(),
            now: "2026-01-31_12-00-00".into(),
            fresh: false,
            reuse_moved: false,
            reuse: None,
        };
        let mut opened = RunDirectory::open(Arc::new(RealDisk), &folder.path().join("out"), wanted).unwrap();
        let started = opened.directory.start(
            &opened.done,
            None,
            StorageOptions { sync: false, pack: false },
            |_, _| Vec::new(),
        );
        let started = started.unwrap();
        Self { spending: Arc::new(Spending::new(budget, spent)), started, _folder: folder }
    }

    async fn reserve(&self, prompt: u64, completion: u64) -> Option<Arc<Reservation>> {
        self.spending.reserve(most(prompt, completion), &self.started.answers, None).await
    }
}

#[tokio::test]
async fn a_request_waits_while_others_may_turn_out_cheaper() {
    let account = Account::new(tokens(100), spent(10));
    let first = account.reserve(10, 70).await.unwrap();
    let settled = async {
        tokio::task::yield_now().await;
        assert_eq!(first.settle(Some(Usage::of(5, 15))).1.tokens, 30);
        drop(first);
    };
    let (second, ()) = tokio::join!(account.reserve(10, 60), settled);
    assert!(second.is_some(), "30 spent and 70 reserved are within 100");
    drop(second);
    assert!(account.reserve(10, 61).await.is_none());
    assert_eq!(account.spending.charged().tokens, 30, "what was aborted before it was sent is not spent");
}

#[tokio::test]
async fn usage_that_is_not_reported_counts_as_reserved() {
    let account = Account::new(Budget::default(), Spent::default());
    let told =
        |prompt_tokens, completion_tokens| Usage { prompt_tokens, completion_tokens, ..Usage::default() };
    for (usage, tokens, cost) in [
        (told(Some(5), Some(15)), 20, 35.0),
        (told(None, None), 80, 150.0),
        (told(Some(5), None), 75, 145.0),
        (told(None, Some(15)), 25, 40.0),
    ] {
        let (taken, _) = account.reserve(10, 70).await.unwrap().settle(Some(usage));
        assert_eq!(taken.tokens, tokens);
        assert!((taken.cost - cost / 1e6).abs() < 1e-12, "{taken:?}");
    }
    assert_eq!(account.spending.spent().tokens, 200);
    let huge = account.reserve(u64::MAX, u64::MAX).await.unwrap();
    assert_eq!(huge.settle(Some(Usage::default())).1.tokens, u64::MAX);
}

#[tokio::test]
async fn a_question_that_was_sent_and_aborted_is_spent() {
    let account = Account::new(tokens(100), Spent::default());
    let question = account.reserve(10, 30).await.unwrap();
    assert!(question.begin().await);
    drop(question);
    assert_eq!((account.spending.spent().tokens, account.spending.charged().tokens), (0, 40));
    let question = account.reserve(10, 30).await.unwrap();
    assert!(question.begin().await);
    question.failed(None);
    drop(question);
    assert_eq!(account.spending.charged().tokens, 40, "a refusal costs nothing");
    assert!(account.reserve(31, 30).await.is_none());
}

#[tokio::test]
async fn each_attempt_that_was_served_is_paid_for() {
    let account = Account::new(tokens(100), Spent::default());
    let question = account.reserve(10, 30).await.unwrap();
    for took in [Some(Usage::of(9, 1)), Some(Usage::default()), None] {
        assert!(question.allow().await && question.begin().await, "{took:?}");
        question.failed(took);
    }
    // Ten, then forty that nobody counted, then none; and room for one more.
    assert!(question.allow().await && question.begin().await);
    let (taken, all) = question.settle(Some(Usage::of(8, 2)));
    assert_eq!((taken.tokens, all.tokens), (60, 60));
    drop(question);
    assert_eq!(account.spending.charged().tokens, 60);
}

#[tokio::test]
async fn questions_that_wait_for_each_other_s_budget_are_refused() {
    let account = Account::new(tokens(100), Spent::default());
    let (one, two) = (account.reserve(10, 40).await.unwrap(), account.reserve(10, 40).await.unwrap());
    for question in [&one, &two] {
        assert!(question.begin().await);
        question.failed(Some(Usage::default()));
    }
    let second = async {
        let allowed = two.allow().await;
        drop(two);
        allowed
    };
    let (first, second) = tokio::join!(one.allow(), second);
    assert!(!first && !second);
    assert!(matches!(one.refused(), Some(RefusedAttempt::OutOfBudget)));
    assert_eq!(one.settle(None).0.tokens, 50);
}

#[tokio::test]
async fn money_is_counted_by_the_million() {
    let account = Account::new(Budget { max_tokens_total: None, max_cost: Some(1.0) }, Spent::default());
    let all = account.reserve(500_000, 250_000).await.unwrap();
    let (settled, _) = all.settle(Some(Usage::of(400_000, 100_000)));
    assert!((settled.cost - 0.6).abs() < 1e-9);
    drop(all);
    assert!(account.reserve(500_000, 0).await.is_none());
}

#[test]
fn cached_and_cache_write_tokens_have_prices_of_their_own() {
    let check = |cached_input, cache_write, usage: Usage, expected: f64| {
        let prices = Prices { cached_input, cache_write, ..PRICES };
        let most = WorstCase { prices, ..most(1000, 100) };
        let cost = most.cost_of(usage).cost * 1e6;
        assert!((cost - expected).abs() < 1e-6, "{prices:?} {usage:?}: {cost}");
        assert!(cost <= most.cost().cost * 1e6 + 1e-6, "the most it may cost is more: {prices:?} {usage:?}");
        assert_eq!(most.cost_of(usage).tokens, usage.prompt_tokens.unwrap_or(1000) + 50);
    };
    let usage = |cached: u64, written: u64| Usage {
        cached_tokens: Some(cached),
        cache_write_tokens: Some(written),
        ..Usage::of(1000, 50)
    };
    let untold = Usage { prompt_tokens: None, ..usage(700, 200) };
    for (cached_input, cache_write, whole, parts, unknown) in [
        (None, None, 1000.0, 1000.0, 1000.0),
        (Some(0.1), None, 1000.0, 100.0 + 70.0 + 200.0, 1000.0),
        (Some(0.1), Some(1.25), 1000.0, 100.0 + 70.0 + 250.0, 1250.0),
        (None, Some(2.0), 1000.0, 100.0 + 700.0 + 400.0, 2000.0),
        (Some(0.0), Some(0.0), 1000.0, 100.0, 1000.0),
        (Some(3.0), None, 1000.0, 100.0 + 2100.0 + 200.0, 3000.0),
    ] {
        check(cached_input, cache_write, Usage::of(1000, 50), whole + 100.0);
        check(cached_input, cache_write, usage(700, 200), parts + 100.0);
        check(cached_input, cache_write, untold, unknown + 100.0);
    }
    // More than there was: as much as there was, and never less than nothing.
    check(Some(0.1), Some(1.25), usage(u64::MAX, u64::MAX), 100.0 + 100.0);
    check(Some(0.1), Some(1.25), usage(0, u64::MAX), 1250.0 + 100.0);
}

#[test]
fn the_worst_case_uses_the_highest_limit() {
    let check = |settings: &[Value], completion: u64| {
        let maps: Vec<&Map<String, Value>> = settings.iter().filter_map(Value::as_object).collect();
        let most = WorstCase::new(&ModelRequest::default(), 30, &maps, PRICES);
        assert_eq!(most.tokens, Tokens { prompt: 30, completion, cached: 0 }, "{settings:?}");
    };
    check(&[], DEFAULT_ANSWER_TOKENS);
    check(&[json!({"max_tokens": 5})], 5);
    check(&[json!({"max_completion_tokens": 5, "n": 3})], 15);
    check(&[json!({"max_tokens": 5}), json!({"max_tokens": 9, "best_of": 4})], 36);
    check(&[json!({"max_tokens": u64::MAX, "n": 2})], u64::MAX);
}

#[test]
fn an_image_is_reserved_for_generously() {
    let image: Image =
        serde_json::from_str(r#"{"path": "a", "media_type": "image/png", "bytes": 9, "hash": "0f"}"#)
            .unwrap();
    let tokens = |images: Vec<Image>| {
        let messages = vec![Message { images, ..Message::new("user", "What?") }];
        let request = ModelRequest { messages, ..ModelRequest::default() };
        WorstCase::new(&request, 21, &[], PRICES).tokens.prompt
    };
    assert_eq!(tokens(Vec::new()), 21);
    assert_eq!(tokens(vec![image.clone(), image]), 21 + 2 * 3 * 1600);
}
