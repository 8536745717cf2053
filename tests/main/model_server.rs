//! A server with OpenAI's chat API whose replies a test scripts, question by question.
//!
//! Runs on a thread and runtime of its own, so that tests of any kind can use it: a test of the library in
//! async code, or one that starts the program and waits for it. Notes every question with its time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::oneshot;

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
}

/// What the server does with a question.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    delay: Duration,
    /// Bytes after which the connection breaks.
    cut: Option<usize>,
    /// Whether it stays open there instead, for ever.
    stuck: bool,
}

impl Reply {
    /// An answer of this text, as a server gives it.
    pub(crate) fn answer(text: &str) -> Self {
        let message = json!({"role": "assistant", "content": text});
        Self::json(
            200,
            &json!({
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
            }),
        )
    }

    /// An error with OpenAI's error object.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"error": {"code": code, "message": message}}))
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::raw(status, "application/json", body.to_string())
    }

    pub(crate) fn raw(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![(header::CONTENT_TYPE.to_string(), content_type.to_owned())];
        Self { status, headers, body: body.into(), delay: Duration::ZERO, cut: None, stuck: false }
    }

    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, after a while.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same, with the connection broken after half of the body.
    pub(crate) fn half(mut self) -> Self {
        self.cut = Some(self.body.len() / 2);
        self
    }

    /// The same, with nothing more after half of the body.
    pub(crate) fn stuck(self) -> Self {
        Self { stuck: true, ..self.half() }
    }

    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap();
        let mut response = Response::builder().status(status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let body = match self.cut {
            None => Body::from(self.body),
            Some(end) => {
                response = response.header(header::CONTENT_LENGTH, self.body.len());
                let start = Bytes::copy_from_slice(&self.body[..end]);
                let stuck = self.stuck;
                let broken = async move {
                    if stuck {
                        std::future::pending::<()>().await;
                    }
                    // The server sends what it has when it is made to wait.
                    tokio::task::yield_now().await;
                    Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
                };
                Body::from_stream(stream::iter([Ok(start)]).chain(stream::once(broken)))
            }
        };
        response.body(body).unwrap()
    }
}

type Answer = Box<dyn Fn(&Question) -> Reply + Send + Sync>;

/// What the server's handlers share.
struct Desk {
    answer: Answer,
    log: Mutex<Vec<Question>>,
    counts: Mutex<HashMap<String, usize>>,
}

/// A running server; it ends when this is dropped.
pub(crate) struct ModelServer {
    /// The base URL, such as `http://127.0.0.1:40123/v1`.
    pub(crate) url: String,
    desk: Arc<Desk>,
    _served: Served,
}

impl ModelServer {
    /// Starts a server that answers with what `answer` makes of each question.
    pub(crate) fn start(answer: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> Self {
        let desk =
            Arc::new(Desk { answer: Box::new(answer), log: Mutex::default(), counts: Mutex::default() });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&desk));
        let served = Served::start(router);
        Self { url: served.url.clone(), desk, _served: served }
    }

    /// Starts a server that gives these replies in order, whatever is asked, then the last one for ever.
    pub(crate) fn replies(replies: Vec<Reply>) -> Self {
        let next = std::sync::atomic::AtomicUsize::new(0);
        Self::start(move |_| {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            replies[at.min(replies.len() - 1)].clone()
        })
    }

    /// Every question so far, in the order they came.
    pub(crate) fn questions(&self) -> Vec<Question> {
        self.desk.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A router served on a thread and runtime of its own until this is dropped.
pub(crate) struct Served {
    /// The base URL of `/v1`.
    pub(crate) url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) fn start(router: Router) -> Self {
        // Bound here, so that the address is known and takes connections before `start` returns.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = axum::serve(listener, router) => served.unwrap(),
                    _ = stopped => {}
                }
            });
            // Open connections end here: the runtime is dropped with their tasks.
        });
        Self { url, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(State(desk): State<Arc<Desk>>, request: axum::extract::Request) -> Response {
    let at = Instant::now();
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let last = body["messages"].as_array().and_then(|messages| messages.last());
    let prompt = last.and_then(|message| message["content"].as_str()).unwrap_or_default().to_owned();
    let before = {
        let mut counts = desk.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(prompt.clone()).or_default();
        *count += 1;
        *count - 1
    };
    let path = parts.uri.path().to_owned();
    let question = Question { at, path, headers: parts.headers, body, prompt, before };
    let reply = (desk.answer)(&question);
    desk.log.lock().unwrap_or_else(PoisonError::into_inner).push(question);
    tokio::time::sleep(reply.delay).await;
    reply.into_response()
}
