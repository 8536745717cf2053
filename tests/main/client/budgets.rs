//! Tokens served stay within the budget, whatever usage servers report and whenever a start is killed.
//!
//! With `max_tokens` set, the prompt and completion tokens of all servers of a run, over all starts and including failed
//! requests, never exceed `max_tokens_total`, nor what the run reports as spent.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, stream};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use synthmill::engine::{RunEnd, RunReport};
use synthmill::llm::Remote;
use synthmill::llm::scripted::Scripted;
use tempfile::TempDir;

use crate::harness::child::{Running, answer, answering, rows_folder};
use crate::harness::faulty_disk::{Fault, FaultyDisk};
use crate::harness::model_server::{ModelServer, Question, Reply};
use crate::harness::{Run, provenance_lines, rows_pipeline, stderr, stdout, synthmill};

const RUN: &[&str] = &["run", "p.yaml", "--out", "out"];

/// Forms of usage that are absent or impossible.
fn untold() -> Vec<Value> {
    vec![
        json!(null),
        json!({}),
        json!([]),
        json!("none"),
        json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        json!({"prompt_tokens": null, "completion_tokens": null}),
        json!({"prompt_tokens": -7, "completion_tokens": -3}),
        json!({"prompt_tokens": 0.5, "completion_tokens": 1.5}),
        json!({"prompt_tokens": "many", "completion_tokens": "few"}),
        json!({"prompt_tokens": 1e300, "completion_tokens": u64::MAX}),
    ]
}

/// Forms with both numbers.
fn told(prompt: u64, completion: u64) -> Vec<Value> {
    vec![
        json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}),
        json!({"prompt_tokens": prompt as f64, "completion_tokens": completion as f64}),
        json!({"prompt_tokens": prompt.to_string(), "completion_tokens": format!("{completion}.0")}),
        json!({"input_tokens": prompt, "output_tokens": completion}),
        json!({"total_tokens": prompt + completion}),
        json!({"prompt_tokens": prompt, "completion_tokens": 0, "total_tokens": prompt + completion}),
    ]
}

/// Forms without one of the numbers.
fn half_told(prompt: u64, completion: u64) -> Vec<Value> {
    vec![
        json!({"prompt_tokens": prompt}),
        json!({"completion_tokens": completion}),
        json!({"prompt_tokens": 0, "completion_tokens": completion}),
        json!({"prompt_tokens": prompt, "completion_tokens": -1}),
    ]
}

fn status(dir: &Path) -> Value {
    serde_json::from_slice(&synthmill(dir, &["status", "out", "--json"], 0).stdout).unwrap()
}

#[test]
fn an_answer_without_usage_is_estimated_and_reported_once() {
    for (usage, is_told) in untold()
        .into_iter()
        .map(|usage| (usage, false))
        .chain(told(30, 20).into_iter().map(|usage| (usage, true)))
    {
        let shown = usage.to_string();
        let server =
            ModelServer::start(move |question| Reply { usage: Some(usage.clone()), ..answer(question) });
        let dir = rows_folder(60, 4, &server.url);
        let budget = [RUN, &["--max-tokens", "40", "--set", "budget.max_tokens_total=2500"]].concat();
        let said = stderr(&synthmill(dir.path(), &budget, 7));
        let asked = server.questions().len() as u64;
        assert!(asked > 0 && 50 * asked <= 2500, "{shown}: {asked} answers of 50 tokens");
        let status = status(dir.path());
        let without = u64::from(!is_told) * asked;
        assert_eq!(status["without_usage"].as_u64(), Some(without), "{shown}");
        let warned = said.matches("does not say how many tokens").count();
        let summed = said.matches("answers without usage, reckoned by estimate").count();
        assert_eq!((warned, summed), (usize::from(!is_told), usize::from(!is_told)), "{shown}\n{said}");
        let spent = status["spent"]["tokens"].as_u64().unwrap();
        assert!(if is_told { spent == 50 * asked } else { spent > 50 * asked }, "{shown}: {spent}");
        let kept = provenance_lines(&dir.path().join("out"));
        let marked = kept.lines().filter(|line| line.contains("\"estimated_tokens\":")).count() as u64;
        assert_eq!(marked, without, "{shown}");
    }
}

#[test]
fn cached_tokens_are_reported_and_have_their_own_price() {
    let usage = json!({"prompt_tokens": 30, "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5}});
    let server = ModelServer::start(move |question| Reply { usage: Some(usage.clone()), ..answer(question) });
    let dir = rows_folder(10, 2, &server.url);
    let prices = "models.teacher.prices={input: 1000, output: 2000, cached_input: 100, cache_write: 1250}";
    let said = stderr(&synthmill(dir.path(), &[RUN, &["--set", prices]].concat(), 0));
    assert!(said.contains("200 of the tokens read, 67 %, were in the caches of servers"), "{said}");
    let told = stdout(&synthmill(dir.path(), &["status", "out"], 0));
    assert!(told.contains("200 of the tokens read, 67 %"), "{told}");
    let status = status(dir.path());
    assert_eq!(status["tokens"], json!({"prompt": 300, "completion": 200, "cached": 200}));
    assert_eq!(status["stages"][1]["cached_tokens"], 200, "{}", status["stages"]);
    let cost = status["spent"]["cost"].as_f64().unwrap();
    let expected = 10.0 * (5.0 * 1000.0 + 20.0 * 100.0 + 5.0 * 1250.0 + 20.0 * 2000.0) / 1e6;
    assert!((cost - expected).abs() < 1e-9, "{cost}, not {expected}");
    let kept = provenance_lines(&dir.path().join("out"));
    assert_eq!(kept.matches("\"cached_tokens\":20").count(), 10, "{kept}");
}

#[test]
fn cache_writes_stay_within_the_budget() {
    let usage = json!({"input_tokens": 1, "cache_creation_input_tokens": 199, "output_tokens": 20});
    let server = ModelServer::start(move |question| Reply { usage: Some(usage.clone()), ..answer(question) });
    let dir = rows_folder(60, 4, &server.url);
    let prices = "models.teacher.prices={input: 1000, output: 2000, cache_write: 5000}";
    let run = [RUN, &["--max-tokens", "40", "--set", prices, "--set", "budget.max_cost=4"]].concat();
    synthmill(dir.path(), &run, 7);
    let spent = status(dir.path())["spent"]["cost"].as_f64().unwrap();
    let served = server.questions().len() as f64 * (1000.0 + 199.0 * 5000.0 + 20.0 * 2000.0) / 1e6;
    assert!(served > 1.0 && (served - spent).abs() < 1e-9 && spent <= 4.0, "{served} served, {spent} spent");
}

#[test]
fn cache_writes_of_anthropic_cost_a_quarter_more() {
    let server = ModelServer::start(|_| {
        let usage = json!({"input_tokens": 1, "cache_creation_input_tokens": 199, "output_tokens": 20});
        let content = json!([{"type": "text", "text": json!({"answer": "It flows."}).to_string()}]);
        Reply::json(200, &json!({"content": content, "stop_reason": "end_turn", "usage": usage}))
    });
    for (prompt_cache, write) in [("true", 1250.0), ("false", 1000.0)] {
        let dir = rows_folder(4, 2, &server.url);
        let prompt_cache = format!("models.teacher.prompt_cache={prompt_cache}");
        let anthropic = ["--set", "models.teacher.provider=anthropic", "--set", &prompt_cache];
        let prices = ["--set", "models.teacher.prices={input: 1000, output: 2000}"];
        synthmill(dir.path(), &[RUN, &anthropic, &prices].concat(), 0);
        let spent = status(dir.path())["spent"]["cost"].as_f64().unwrap();
        let expected = 4.0 * (1000.0 + 199.0 * write + 20.0 * 2000.0) / 1e6;
        assert!((spent - expected).abs() < 1e-9, "{prompt_cache}: {spent}, not {expected}");
    }
}

#[test]
fn requests_in_flight_when_a_start_was_killed_count_as_spent() {
    let server = ModelServer::start(|question| {
        let quick = question.prompt.len() < "Tell me of topic 10.".len();
        answer(question).after(Duration::from_secs(if quick { 0 } else { 3600 }))
    });
    let dir = rows_folder(40, 8, &server.url);
    let run = [RUN, &["--max-tokens", "400"]].concat();
    let mut first = Running::start(dir.path(), &run);
    assert!(first.runs_until("eight questions are out", || server.questions().len() >= 18));
    first.kill();
    let spent = |dir: &Path| status(dir)["spent"]["tokens"].as_u64().unwrap();
    // Ten answers of ten tokens; a question has a few hundred bytes.
    let killed = spent(dir.path());
    assert!((100 + 8 * 500..100 + 8 * 900).contains(&killed), "{killed}");

    let healthy = answering(Duration::ZERO);
    let on = |budget: u64, code: i32| {
        let budget = format!("budget.max_tokens_total={budget}");
        synthmill(dir.path(), &[&run[..], &["--base-url", &healthy.url, "--set", &budget]].concat(), code);
    };
    on(killed + 300, 7);
    assert_eq!((healthy.questions().len(), spent(dir.path())), (0, killed), "what was out has used it up");
    on(killed + 10_000, 0);
    assert_eq!((healthy.questions().len(), spent(dir.path())), (30, killed + 300));
}

/// A server that counts its own tokens and can simulate a power loss.
#[derive(Default)]
struct Account {
    served: AtomicU64,
    questions: AtomicU64,
    /// The question at which power is lost.
    last: AtomicU64,
    is_off: AtomicBool,
    disk: Mutex<FaultyDisk>,
}

impl Account {
    fn reply(&self, seed: u64, most: u64, question: &Question) -> Reply {
        let number = self.questions.fetch_add(1, SeqCst) + 1;
        if number >= self.last.load(SeqCst) && !self.is_off.swap(true, SeqCst) {
            self.disk.lock().unwrap().strike(0, Fault::Power);
        }
        if self.is_off.load(SeqCst) && number > self.last.load(SeqCst) {
            // The server is down.
            return Reply::answer("late").after(Duration::from_secs(3600));
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        if random.random_bool(0.1) {
            return Reply::error(500, "internal", "out of luck");
        }
        let prompt = 1 + question.prompt.len() as u64 / random.random_range(1..5);
        let completion = random.random_range(1..=most);
        self.served.fetch_add(prompt + completion, SeqCst);
        let mut forms = untold();
        forms.extend(told(prompt, completion));
        forms.extend(half_told(prompt, completion));
        let usage = forms.swap_remove(random.random_range(0..forms.len()));
        let usual = answer(question);
        let reply = match random.random_range(0..12) {
            // Processed, but unusable.
            0 => Reply::error(504, "gateway_timeout", "still at it"),
            1 => Reply::json(
                200,
                &json!({"choices": [{"message": {"content": null}, "finish_reason": "stop"}], "usage": usage}),
            ),
            // Reprompted with the error.
            2 => Reply { usage: Some(usage), ..Reply::answer("no JSON here") },
            _ => Reply { usage: Some(usage), ..usual },
        };
        reply.after(Duration::from_millis(random.random_range(0..4)))
    }
}

/// Completes a run over several starts, most of which are killed; returns how many were.
async fn play(seed: u64) -> u32 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (rows, places) = (random.random_range(5..40), random.random_range(1..12));
    let most = random.random_range(4..80);
    // From too little for one question to more than all of them need.
    let budget = random.random_range(100..rows as u64 * (most + 300) * 3);
    let dir = TempDir::new().unwrap();
    let account = Arc::new(Account::default());
    let server = {
        let account = Arc::clone(&account);
        ModelServer::start(move |question| account.reply(seed, most, question))
    };
    let yaml = rows_pipeline(dir.path(), rows, places)
        .replace("http://127.0.0.1:9/v1", &server.url)
        .replace("model: scripted", &format!("model: scripted\n    params: {{max_tokens: {most}}}"));
    let mut disk = FaultyDisk::default();
    let mut killed = 0;
    for start in 0..8 {
        let last = start == 7 || random.random_bool(0.2);
        let kill_at =
            if last { u64::MAX } else { account.questions.load(SeqCst) + random.random_range(1..30) };
        account.last.store(kill_at, SeqCst);
        account.is_off.store(false, SeqCst);
        *account.disk.lock().unwrap() = disk.clone();
        let report = one_start(&yaml, &disk, budget).await;
        let served = account.served.load(SeqCst);
        assert!(served <= budget, "seed {seed}: {served} tokens served of {budget}");
        let was_killed = account.is_off.load(SeqCst);
        if was_killed {
            killed += 1;
            disk = disk.after_kill();
            continue;
        }
        let report = report.unwrap_or_else(|| panic!("seed {seed}: a start that nobody killed"));
        let spent = report.snapshot.spent.tokens;
        assert!(served <= spent, "seed {seed}: {served} tokens served, {spent} told");
        // A killed start counts all requests in flight, whether they were served or not.
        assert!(spent <= budget || killed > 0, "seed {seed}: {spent} of {budget} spent");
        match report.end {
            RunEnd::Complete => assert_eq!(report.snapshot.in_flight, 0, "seed {seed}"),
            RunEnd::OutOfBudget(told) => assert_eq!(told.tokens, spent, "seed {seed}"),
            end => panic!("seed {seed}: {end:?}"),
        }
        break;
    }
    killed
}

async fn one_start(yaml: &str, disk: &FaultyDisk, budget: u64) -> Option<RunReport> {
    let mut run = Run::new(yaml, Path::new("/run"), Scripted::rules(Vec::new()));
    let config = &run.plan.models["teacher"];
    let model = Remote::new("teacher", config).unwrap().first_wait(Duration::from_millis(1));
    run.connected = Some(Arc::new(model));
    run.disk = Arc::new(disk.clone());
    run.plan.budget.max_tokens_total = Some(budget);
    run.plan.error_budget.share = 1.0;
    run.plan.error_budget.in_a_row = u64::MAX;
    run.try_run().await.ok()
}

/// A thousand seeds: `BUDGET_SEEDS=1000 cargo test --test main -- budgets::`.
#[tokio::test]
async fn servers_never_serve_more_than_the_budget_whatever_usage_they_report() {
    let seeds = std::env::var("BUDGET_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10);
    // Several in parallel, since each mostly waits for its retries.
    let plays = stream::iter(0..seeds).map(play).buffer_unordered(8);
    let killed: u32 = plays.fold(0, async |sum, more| sum + more).await;
    assert!(u64::from(killed) >= seeds / 2, "only {killed} starts were killed");
}
