//! The bare loop: what the requests alone cost with the same HTTP library. Each of its tasks sends a stored body, reads
//! the response, parses the JSON, and begins again; nothing else is done.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

/// Makes this many requests, `places` at a time, with the lines of a file as their bodies.
#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "the bare loop is no part of a run")]
pub(crate) async fn ask_all(url: &str, bodies: &Path, items: usize, places: usize) {
    let text = std::fs::read_to_string(bodies).unwrap();
    let bodies: Arc<Vec<String>> = Arc::new(text.lines().map(str::to_owned).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let client = reqwest::Client::new();
    let tasks: Vec<_> = (0..places)
        .map(|_| {
            let (client, url) = (client.clone(), format!("{url}/chat/completions"));
            let (bodies, next) = (Arc::clone(&bodies), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= items {
                        return;
                    }
                    let body = bodies[number % bodies.len()].clone();
                    let request = client.post(&url).header("content-type", "application/json").body(body);
                    let bytes = request.send().await.unwrap().bytes().await.unwrap();
                    let reply: Value = serde_json::from_slice(&bytes).unwrap();
                    assert!(reply["choices"][0]["message"]["content"].is_string());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
