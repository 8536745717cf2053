//! The test server on a thread of the test process, with replies from a closure.
//!
//! For tests whose replies depend on more than a script can express, or that inspect questions as they arrive. The server
//! itself is `tests/server`; `server_process` runs it in a process of its own.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::server::handler::Handler;
pub(crate) use crate::server::handler::Question;
use crate::server::log::Log;
pub(crate) use crate::server::reply::Reply;
use crate::server::script::Script;
use crate::server::{self, listener::ConnectionListener};

impl Reply {
    /// Returns a reply with an answer of this text.
    pub(crate) fn answer(text: &str) -> Self {
        Self { answer: Some(text.to_owned()), ..Self::default() }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status: Some(status), json: Some(body.clone()), ..Self::default() }
    }

    pub(crate) fn raw(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let reply = Self { status: Some(status), bytes: Some(body.into()), ..Self::default() };
        reply.with("content-type", content_type)
    }

    pub(crate) fn with_header(self, name: &str, value: &str) -> Self {
        self.with(name, value)
    }

    /// Returns the same reply with a delay.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self { delay: delay.as_secs_f64(), ..self }
    }
}

/// A running server, stopped on drop.
pub(crate) struct ModelServer {
    /// The base URL, such as `http://127.0.0.1:40123/v1`.
    pub(crate) url: String,
    questions: Arc<Mutex<Vec<Question>>>,
    _served: Served,
}

impl ModelServer {
    /// Starts a server that replies to each question with `answer`.
    pub(crate) fn start(answer: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> Self {
        let questions: Arc<Mutex<Vec<Question>>> = Arc::default();
        let kept = Arc::clone(&questions);
        let note = move |question: &Question, _| {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(question.clone());
        };
        let handler =
            Handler::new(&Script::default(), Box::new(move |question| (answer(question), None)), note);
        let served = Served::by(|listener| async {
            let listener =
                ConnectionListener::new(listener, None, &Script::default(), Arc::new(Log::open(None)));
            server::serve(listener, handler).await;
        });
        Self { url: served.url.clone(), questions, _served: served }
    }

    /// Starts a server that sends these replies in order, whatever is asked, and then repeats the last one.
    pub(crate) fn replies(replies: Vec<Reply>) -> Self {
        let next = AtomicUsize::new(0);
        Self::start(move |_| {
            let at = next.fetch_add(1, Ordering::SeqCst);
            replies[at.min(replies.len() - 1)].clone()
        })
    }

    /// Returns all questions so far, in order of arrival.
    pub(crate) fn questions(&self) -> Vec<Question> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A server on a thread and runtime of its own, stopped on drop.
pub(crate) struct Served {
    /// The base URL of `/v1`.
    pub(crate) url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Serves a router.
    pub(crate) fn start(router: Router) -> Self {
        Self::by(|listener| async {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        })
    }

    fn by<F: Future<Output = ()>>(serve: impl FnOnce(TcpListener) -> F + Send + 'static) -> Self {
        // Bound here, so that the address is known and accepts connections before `start` returns.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener) => {}
                    _ = stopped => {}
                }
            });
            // Open connections end here: dropping the runtime drops their tasks.
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

/// Returns the texts of all messages of a question.
pub(crate) fn conversation(question: &Question) -> String {
    let mut texts = Vec::new();
    for message in question.body["messages"].as_array().into_iter().flatten() {
        let parts = message["content"].as_array().into_iter().flatten();
        texts.extend(
            message["content"].as_str().into_iter().chain(parts.filter_map(|part| part["text"].as_str())),
        );
    }
    texts.join("\n\n")
}

/// Returns an answer for `docs-to-qa`: a pair about `topic` whose evidence is the first words of the material.
pub(crate) fn qa_pair(question: &Question, topic: &str) -> Value {
    let asked = conversation(question);
    let (_, material) = asked.split_once("<material>\n").unwrap_or_default();
    let line = material.lines().find(|line| line.split_whitespace().count() > 2).unwrap_or_default();
    let evidence: Vec<&str> = line.split_whitespace().take(4).collect();
    let steps = ["first", "second", "third"].map(|step| format!("the {step} step of {topic}"));
    json!({
        "evidence": [evidence.join(" ")],
        "question": format!("What of {topic}?"),
        "reasoning_steps": steps,
        "answer": "So it is.",
    })
}
