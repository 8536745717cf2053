//! Four replicas with a prefix cache each. The client asks with a key shared by the questions of a section and, as the
//! control, without one. Prompts are processed in sequence, in time proportional to the bytes that are not cached.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use synthmill::llm::{Message, Model, ModelRequest};
use synthmill::record::Record;

use crate::block_cache::{BlockCache, CACHE, QUESTIONS, prompt};

const REPLICAS: usize = 4;
const PLACES: usize = 64;
const SECTIONS: u64 = 250;
/// Bytes of prompts that a replica processes per second: about 8,000 tokens.
const BYTES_A_SECOND: f64 = 32_000.0;
/// The time to generate an answer, with many at a time.
const WRITING: Duration = Duration::from_millis(300);

struct Replica {
    cache: Mutex<BlockCache>,
    reading: tokio::sync::Mutex<()>,
    read: AtomicUsize,
    all: AtomicUsize,
}

/// Asks the same questions with and without a key, each to replicas with empty caches.
pub(crate) async fn measure() {
    for (how, has_key) in
        [("that begin alike prefer one endpoint", true), ("go to one of two at random", false)]
    {
        let mut replicas = Vec::new();
        for _ in 0..REPLICAS {
            replicas.push(start().await);
        }
        let urls: Vec<&String> = replicas.iter().map(|(url, _)| url).collect();
        let model = crate::model(urls[0], json!({"base_urls": urls, "concurrency": PLACES}));
        let begin = Instant::now();
        let questions = stream::iter(0..SECTIONS * QUESTIONS).map(|number| {
            let (section, model) = (number / QUESTIONS, &model);
            async move {
                let messages = vec![Message::new("user", prompt(section, number % QUESTIONS))];
                // Well distributed, like the hash of a group.
                let affinity = has_key.then(|| section.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let request = ModelRequest { messages, affinity, ..ModelRequest::default() };
                model.complete(&request, &Record::default()).await.unwrap();
            }
        });
        let answered = questions.buffer_unordered(PLACES).count().await;
        let rate = answered as f64 / begin.elapsed().as_secs_f64();
        let sum = |of: fn(&Replica) -> &AtomicUsize| -> usize {
            replicas.iter().map(|(_, replica)| of(replica).load(Ordering::Relaxed)).sum()
        };
        let share = 100.0 * sum(|replica| &replica.read) as f64 / sum(|replica| &replica.all) as f64;
        println!(
            "prefixes, {REPLICAS} replicas, questions {how}: {share:.1} % of the bytes read, {rate:.0} items a second"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "the played servers are no part of a run")]
async fn start() -> (String, Arc<Replica>) {
    let replica = Arc::new(Replica {
        cache: Mutex::new(BlockCache::new(CACHE)),
        reading: tokio::sync::Mutex::default(),
        read: AtomicUsize::new(0),
        all: AtomicUsize::new(0),
    });
    let app = Router::new().route("/v1/chat/completions", post(answer)).with_state(Arc::clone(&replica));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, replica)
}

async fn answer(State(replica): State<Arc<Replica>>, Json(asked): Json<Value>) -> Json<Value> {
    let prompt = asked["messages"][0]["content"].as_str().unwrap_or_default();
    let reading = replica.reading.lock().await;
    let cached = replica.cache.lock().unwrap().read(prompt);
    let read = prompt.len() - cached;
    tokio::time::sleep(Duration::from_secs_f64(read as f64 / BYTES_A_SECOND)).await;
    drop(reading);
    replica.read.fetch_add(read, Ordering::Relaxed);
    replica.all.fetch_add(prompt.len(), Ordering::Relaxed);
    tokio::time::sleep(WRITING).await;
    let message = json!({"role": "assistant", "content": "{}"});
    Json(json!({
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": prompt.len() / 4,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": cached / 4},
        },
    }))
}
