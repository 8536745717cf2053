//! A proxy that forwards each question to a real server and records it, since metrics of real servers do not tell what
//! they were asked. The scripted server is `model_server`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// A running proxy, stopped on drop.
pub(crate) struct Forwarder {
    /// The base URL, such as `http://127.0.0.1:40123/v1`.
    pub(crate) url: String,
    state: Arc<ForwarderState>,
    // Dropped with its tasks and connections.
    _runtime: tokio::runtime::Runtime,
}

struct ForwarderState {
    /// Scheme, host and port of the real server.
    behind: String,
    client: reqwest::Client,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// How often each body was sent.
    asked: BTreeMap<Vec<u8>, usize>,
    /// Responses of the real server.
    answered: usize,
}

impl Forwarder {
    /// Starts a proxy in front of the server with the base URL `behind`.
    pub(crate) fn start(behind: &str) -> Self {
        let behind = behind.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        let state =
            Arc::new(ForwarderState { behind, client: reqwest::Client::new(), seen: Mutex::default() });
        let router = Router::new().fallback(pass_on).with_state(Arc::clone(&state));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state, _runtime: runtime }
    }

    /// Returns how often each question was asked.
    pub(crate) fn asked(&self) -> Vec<(Value, usize)> {
        let seen = self.state.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.asked.iter().map(|(body, times)| (serde_json::from_slice(body).unwrap(), *times)).collect()
    }

    /// Returns how many answers the real server gave.
    pub(crate) fn answered(&self) -> usize {
        self.state.seen.lock().unwrap_or_else(PoisonError::into_inner).answered
    }
}

async fn pass_on(State(state): State<Arc<ForwarderState>>, uri: Uri, body: Bytes) -> Response {
    let seen = || state.seen.lock().unwrap_or_else(PoisonError::into_inner);
    *seen().asked.entry(body.to_vec()).or_default() += 1;
    let request = state.client.post(format!("{}{}", state.behind, uri.path())).body(body);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let Ok(response) = request.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = response.status();
    let Ok(body) = response.bytes().await else { return StatusCode::BAD_GATEWAY.into_response() };
    seen().answered += 1;
    (status, body).into_response()
}
