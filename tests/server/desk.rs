//! Takes each question, counts it, has it logged, and sees that its reply is sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::reply::Reply;
use super::script::Script;
use super::socket::Line;
use super::traffic::{Traffic, Way};

/// The largest question that is read.
const LARGEST: usize = 64 << 20;

/// One question as it came.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// When it came.
    pub(crate) at: Instant,
    /// The path asked for, such as `/v1/chat/completions`.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// The body; null where it was no JSON.
    pub(crate) body: Value,
    /// The text of the last message.
    pub(crate) prompt: String,
    /// How many questions with the same last message came before.
    pub(crate) before: usize,
    /// The number of its connection, from 0.
    pub(crate) connection: u64,
    /// How many questions came before on the same connection.
    pub(crate) on_connection: usize,
    /// Questions under way when it came, this one not counted.
    pub(crate) load: usize,
    /// Whether it exceeded a limit of the server's.
    pub(crate) refused: bool,
}

/// What is made of a question, and by which rule.
pub(crate) type Answer = Box<dyn Fn(&Question) -> (Reply, Option<usize>) + Send + Sync>;

/// Is told of each question and its rule before anything is answered.
type Note = Box<dyn Fn(&Question, Option<usize>) + Send + Sync>;

pub(crate) struct Desk {
    answer: Answer,
    note: Note,
    traffic: Traffic,
    counts: Mutex<HashMap<String, usize>>,
}

impl Desk {
    /// A desk with the limits of `script` that answers by `answer` and tells `note` of each question.
    pub(crate) fn new(
        script: &Script,
        answer: Answer,
        note: impl Fn(&Question, Option<usize>) + Send + Sync + 'static,
    ) -> Self {
        let traffic = Traffic::new(script);
        Self { answer, note: Box::new(note), traffic, counts: Mutex::default() }
    }

    fn count(&self, prompt: &str) -> usize {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(prompt.to_owned()).or_default();
        *count += 1;
        *count - 1
    }
}

pub(crate) async fn serve(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let at = Instant::now();
    let _busy = line.busy();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if path == "/metrics"
        && let Some(figures) = desk.traffic.figures()
    {
        return Response::new(figures.into());
    }
    let bytes = axum::body::to_bytes(body, LARGEST).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let prompt = prompt(&body);
    let before = desk.count(&prompt);
    let mut question = Question {
        at,
        path,
        headers: parts.headers,
        body,
        prompt,
        before,
        connection: line.number(),
        on_connection: line.count(),
        load: desk.traffic.load(),
        refused: false,
    };
    let (reply, rule) = (desk.answer)(&question);
    let way = desk.traffic.enter();
    question.refused = matches!(way, Way::Refused(_));
    (desk.note)(&question, rule);
    let reply = match way {
        Way::Refused(refusal) => *refusal,
        Way::Dropped => std::future::pending().await,
        Way::In(mut visit) => {
            visit.served().await;
            tokio::time::sleep(Duration::from_secs_f64(reply.delay)).await;
            reply
        }
    };
    reply.into_response(&question, &line).await
}

/// The text of the last message, its text parts where it has several; or the prompt of a raw completion.
fn prompt(body: &Value) -> String {
    let last = body["messages"].as_array().and_then(|messages| messages.last());
    let content = last.map_or(&body["prompt"], |message| &message["content"]);
    let parts = content.as_array().map(|parts| parts.iter().filter_map(|part| part["text"].as_str()));
    match (content.as_str(), parts) {
        (Some(text), _) => text.to_owned(),
        (None, Some(parts)) => parts.collect(),
        (None, None) => String::new(),
    }
}
