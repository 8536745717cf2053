//! How well the model client uses a server: `cargo bench --bench model_client`. Only replicas with a prefix cache:
//! `cargo bench --bench model_client -- prefixes`. A whole run under transient faults: `-- faults`.
//!
//! The servers are the test server in processes of their own (`servers`). Prints one line per figure and asserts nothing.
//! The baseline is a loop of plain reqwest calls with the same concurrency.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

mod block_cache;
mod faults;
mod prefixes;
#[path = "../../tests/server/mod.rs"]
mod server;
mod servers;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use synthmill::llm::{Message, Model, ModelRequest, Remote};
use synthmill::pipeline::ModelConfig;
use synthmill::record::Record;

use servers::Server;

const SECONDS: u64 = 20;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("serve") => servers::serve(&arguments.next().unwrap()),
        Some("prefixes") => measure(true),
        Some("faults") => faults::measure(),
        _ => measure(false),
    }
}

#[tokio::main]
async fn measure(only_prefixes: bool) {
    prefixes::measure().await;
    if only_prefixes {
        return;
    }
    let server = servers::patient();
    flat(&server.url).await;
    slow(&server.url).await;
    poison(&server).await;
    let server = servers::refusing();
    limited(&server, "declared", json!({"concurrency": 256, "limits": {"requests_per_minute": 12_000}}))
        .await;
    limited(&server, "found at 256 at a time", json!({"concurrency": 256})).await;
    limited(&server, "found with `auto`", json!({"concurrency": "auto"})).await;
}

fn model(url: &str, more: Value) -> Remote {
    let mut config = json!({"base_urls": [url], "model": "bench"});
    config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let config: ModelConfig = serde_json::from_value(config).unwrap();
    Remote::new("bench", &config).unwrap()
}

async fn ask(model: &Remote, prompt: String) -> bool {
    let request = ModelRequest { messages: vec![Message::new("user", prompt)], ..ModelRequest::default() };
    model.complete(&request, &Record::default()).await.is_ok()
}

/// The baseline and the client, each with 256 concurrent requests for the same time.
async fn flat(url: &str) {
    let client = reqwest::Client::new();
    let target = format!("{url}/chat/completions");
    let bare = rate(256, |number| {
        let message = json!({"role": "user", "content": format!("flat {number}")});
        let body = json!({"model": "bench", "messages": [message]}).to_string();
        let request = client.post(&target).header("content-type", "application/json").body(body);
        async move {
            let text = request.send().await.unwrap().text().await.unwrap();
            serde_json::from_str::<Value>(&text).is_ok()
        }
    })
    .await;
    let model = model(url, json!({"concurrency": 256}));
    let ours = rate(256, |number| ask(&model, format!("flat {number}"))).await;
    println!(
        "flat 200 ms, 256 at a time: bare {bare:.0} a second, client {ours:.0}, {:.1} %",
        100.0 * ours / bare
    );
}

/// Sustained answers per second.
async fn rate<F: Future<Output = bool>>(places: usize, work: impl Fn(u64) -> F) -> f64 {
    let start = Instant::now();
    let going = stream::iter(0_u64..).take_while(|_| {
        let go = start.elapsed() < Duration::from_secs(SECONDS);
        async move { go }
    });
    let done =
        going.map(work).buffer_unordered(places).filter(|done| std::future::ready(*done)).count().await;
    done as f64 / start.elapsed().as_secs_f64()
}

/// Two of a hundred calls take 3 s, and no other may wait for them.
async fn slow(url: &str) {
    let (places, calls) = (64, 6000_u64);
    let model = model(url, json!({"concurrency": places}));
    let (start, admitted) = (Instant::now(), AtomicU64::new(0));
    let (model, admitted) = (&model, &admitted);
    let work = stream::iter(0..calls).map(|number| async move {
        admitted.fetch_add(1, Ordering::Relaxed);
        ask(model, format!("slow {number}")).await
    });
    let watch = async {
        let (mut sum, mut looks) = (0.0, 0.0);
        while admitted.load(Ordering::Relaxed) < calls {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if start.elapsed() > Duration::from_secs(1) && admitted.load(Ordering::Relaxed) < calls {
                sum += f64::from(model.health().endpoints[0].in_flight);
                looks += 1.0;
            }
        }
        sum / looks
    };
    let (_, in_flight) = tokio::join!(work.buffer_unordered(places as usize).count(), watch);
    let took = start.elapsed().as_secs_f64();
    let ideal = schedule(calls, places as usize);
    println!(
        "2 % of calls take 3 s: {:.1} % of the places in flight, {took:.1} s, {:.1} % over a list schedule",
        100.0 * in_flight / f64::from(places),
        100.0 * (took / ideal - 1.0)
    );
}

/// Returns the seconds that the same calls take if each starts in the first free slot.
fn schedule(calls: u64, places: usize) -> f64 {
    let mut free: BinaryHeap<Reverse<Duration>> = (0..places).map(|_| Reverse(Duration::ZERO)).collect();
    let mut last = Duration::ZERO;
    for number in 0..calls {
        let Reverse(at) = free.pop().unwrap();
        let slow = number.is_multiple_of(servers::EVERY);
        let end = at + if slow { servers::SLOW } else { servers::LATENCY };
        last = last.max(end);
        free.push(Reverse(end));
    }
    last.as_secs_f64()
}

/// A server with a limit of 200 requests per second.
async fn limited(server: &Server, how: &str, more: Value) {
    let model = model(&server.url, more);
    let mut seen = server.questions().len();
    // A minute in three parts: the first shows the search for the limit, the others the steady state.
    let mut minute = 0.0;
    for part in ["first 20 s", "next 20 s", "last 20 s"] {
        let ours = rate(256, |number| ask(&model, format!("limited {number}"))).await;
        let questions = server.questions();
        let (refused, early) = servers::refusals(&questions[seen..]);
        seen = questions.len();
        minute += ours / 3.0;
        println!(
            "200 a second, {how}, {part}: {:.1} % of it, {refused} refused, {early} sent before their time",
            100.0 * ours / servers::RATE,
        );
    }
    println!("200 a second, {how}, the minute: {:.1} % of it", 100.0 * minute / servers::RATE);
}

/// Two of a hundred questions are always refused.
async fn poison(server: &Server) {
    let model = model(&server.url, json!({"concurrency": 64}));
    let calls = 3000_u64;
    let work = stream::iter(0..calls).map(|number| ask(&model, format!("poison {number}")));
    let answered = work.buffer_unordered(64).filter(|done| std::future::ready(*done)).count().await;
    let asked = server.questions().iter().filter(|question| servers::is_poison(question)).count();
    println!(
        "2 % poison: {asked} of {} asked in all, {answered} of {} others answered",
        calls / servers::EVERY,
        calls - calls / servers::EVERY
    );
}
