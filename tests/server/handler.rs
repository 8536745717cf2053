//! Handles each question: counts it, has it logged, and sends its reply.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::admission::{Admission, AdmissionControl};
use super::reply::Reply;
use super::script::Script;
use super::socket::Connection;

/// The largest body that is read, in bytes.
const LARGEST: usize = 64 << 20;

/// One question as received.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// When it arrived.
    pub(crate) at: Instant,
    /// The path of the request, such as `/v1/chat/completions`.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// The body; null if it was not JSON.
    pub(crate) body: Value,
    /// The text of the last message.
    pub(crate) prompt: String,
    /// The number of earlier questions with the same last message.
    pub(crate) before: usize,
    /// The number of its connection, from 0.
    pub(crate) connection: u64,
    /// The number of earlier questions on the same connection.
    pub(crate) on_connection: usize,
    /// Other questions in progress when it arrived.
    pub(crate) load: usize,
    /// Whether it was refused because of a limit of the server.
    pub(crate) refused: bool,
}

/// Returns the reply to a question, and the index of the rule that made it.
pub(crate) type Answer = Box<dyn Fn(&Question) -> (Reply, Option<usize>) + Send + Sync>;

/// Called with each question and its rule before it is answered.
type Observer = Box<dyn Fn(&Question, Option<usize>) + Send + Sync>;

pub(crate) struct Handler {
    answer: Answer,
    observe: Observer,
    admission: AdmissionControl,
    counts: Mutex<HashMap<String, usize>>,
}

impl Handler {
    /// Makes a handler with the limits of `script` that replies with `answer` and calls `observe` for each question.
    pub(crate) fn new(
        script: &Script,
        answer: Answer,
        observe: impl Fn(&Question, Option<usize>) + Send + Sync + 'static,
    ) -> Self {
        let admission = AdmissionControl::new(script);
        Self { answer, observe: Box::new(observe), admission, counts: Mutex::default() }
    }

    fn count(&self, prompt: &str) -> usize {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(prompt.to_owned()).or_default();
        *count += 1;
        *count - 1
    }
}

pub(crate) async fn serve(
    State(handler): State<Arc<Handler>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response {
    let at = Instant::now();
    let _busy = connection.busy();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if path == "/metrics"
        && let Some(metrics_text) = handler.admission.metrics_text()
    {
        return Response::new(metrics_text.into());
    }
    let bytes = axum::body::to_bytes(body, LARGEST).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let prompt = prompt(&body);
    let before = handler.count(&prompt);
    let mut question = Question {
        at,
        path,
        headers: parts.headers,
        body,
        prompt,
        before,
        connection: connection.number(),
        on_connection: connection.count(),
        load: handler.admission.load(),
        refused: false,
    };
    let (reply, rule) = (handler.answer)(&question);
    let admission = handler.admission.enter();
    question.refused = matches!(admission, Admission::Refused(_));
    (handler.observe)(&question, rule);
    let reply = match admission {
        Admission::Refused(refusal) => *refusal,
        Admission::Dropped => std::future::pending().await,
        Admission::Admitted(mut slot) => {
            slot.wait_for_turn().await;
            tokio::time::sleep(Duration::from_secs_f64(reply.delay)).await;
            reply
        }
    };
    reply.into_response(&question, &connection).await
}

/// Returns the text of the last message, or the prompt of a raw completion.
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
