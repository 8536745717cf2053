//! The server that the client is measured against, in a process of its own: what it does with a question
//! stands in the question.
//!
//! `flat N` takes 200 ms; `slow N` the same, each fiftieth 3 s; `poison N` refuses each fiftieth for good;
//! `limited N` refuses what comes faster than 200 a second. `GET /stats` tells what was counted since the
//! last time.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

pub(crate) const LATENCY: Duration = Duration::from_millis(200);
pub(crate) const SLOW: Duration = Duration::from_secs(3);
pub(crate) const EVERY: u64 = 50;
/// Requests a second that `limited` takes.
pub(crate) const RATE: f64 = 200.0;
/// Requests under way when a refusal is sent may still come for so long.
const ON_THE_WAY: Duration = Duration::from_millis(50);

struct Desk {
    level: f64,
    at: Instant,
    /// The first refusal of a pause, and its end.
    refused: Option<(Instant, Instant)>,
    answered: u64,
    refusals: u64,
    early: u64,
    poison: u64,
}

/// Serves until the process is ended; prints its port first.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn serve() {
    let desk =
        Desk { level: 0.0, at: Instant::now(), refused: None, answered: 0, refusals: 0, early: 0, poison: 0 };
    let router = Router::new()
        .route("/v1/chat/completions", post(answer))
        .route("/stats", get(stats))
        .with_state(Arc::new(Mutex::new(desk)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    std::io::stdout().flush().unwrap();
    axum::serve(listener, router).await.unwrap();
}

async fn stats(State(desk): State<Arc<Mutex<Desk>>>) -> String {
    let mut desk = desk.lock().unwrap();
    let told = json!({
        "answered": desk.answered, "refusals": desk.refusals, "early": desk.early, "poison": desk.poison,
    });
    (desk.answered, desk.refusals, desk.early, desk.poison) = (0, 0, 0, 0);
    told.to_string()
}

async fn answer(State(desk): State<Arc<Mutex<Desk>>>, body: String) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap();
    let prompt = body["messages"][0]["content"].as_str().unwrap();
    let (kind, number) = prompt.split_once(' ').unwrap();
    let fiftieth = number.parse::<u64>().unwrap().is_multiple_of(EVERY);
    if kind == "limited" && !desk.lock().unwrap().takes() {
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "slow down").into_response();
    }
    if kind == "poison" && fiftieth {
        desk.lock().unwrap().poison += 1;
        return (StatusCode::BAD_REQUEST, r#"{"error": {"message": "bad"}}"#).into_response();
    }
    tokio::time::sleep(if kind == "slow" && fiftieth { SLOW } else { LATENCY }).await;
    desk.lock().unwrap().answered += 1;
    let message = json!({"role": "assistant", "content": "an answer of a few words"});
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 6});
    let choices = [json!({"index": 0, "message": message, "finish_reason": "stop"})];
    json!({"choices": choices, "usage": usage}).to_string().into_response()
}

impl Desk {
    fn takes(&mut self) -> bool {
        let now = Instant::now();
        self.level = (self.level + RATE * now.duration_since(self.at).as_secs_f64()).min(RATE / 4.0);
        self.at = now;
        if let Some((first, until)) = self.refused.filter(|(_, until)| now < *until) {
            if now > first + ON_THE_WAY {
                self.early += 1;
            }
            let _ = until;
        }
        if self.level < 1.0 {
            self.refusals += 1;
            if self.refused.is_none_or(|(_, until)| now >= until) {
                self.refused = Some((now, now + Duration::from_secs(1)));
            }
            return false;
        }
        self.level -= 1.0;
        true
    }
}
