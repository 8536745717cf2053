//! The test server: an OpenAI-compatible API on axum whose delays, limits and faults are scripted.
//!
//! It takes the place of a model server and uses nothing of the program. Three programs include it: the example
//! `model-server`, to run by hand; the tests, in a process of its own or on a thread; and the benchmark `model_client`.
//! `handler` counts and logs each question, asks `script` (or a closure of a test) for a `reply`, has `admission` refuse or
//! queue it, and sends the reply. `listener` accepts connections, `socket` breaks them, and `certificates` sets up TLS.

mod admission;
mod certificates;
mod conforming;
mod content;
pub(crate) mod handler;
pub(crate) mod listener;
pub(crate) mod log;
pub(crate) mod reply;
pub(crate) mod script;
mod socket;

use std::sync::Arc;

use axum::Router;
use serde::Deserialize;

use handler::Handler;
use listener::ConnectionListener;
use log::Log;
use script::Script;
use socket::Connection;

/// The options of a server in a process of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    pub(crate) script: Script,
    /// The log file, with a line per question; no log is kept without it.
    pub(crate) log: Option<std::path::PathBuf>,
    /// The port; any free port by default.
    pub(crate) port: u16,
    /// Where to write the certificate of the authority that signs the server's, for `SSL_CERT_FILE`.
    pub(crate) authority: Option<std::path::PathBuf>,
}

/// Serves until the process ends; calls `ready` with the base URL once connections are accepted.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(options: Options, ready: impl FnOnce(&str)) {
    let script = &options.script;
    let log = Arc::new(Log::open(options.log.as_deref()));
    let listener = std::net::TcpListener::bind(("127.0.0.1", options.port)).unwrap();
    let tls = script.tls.map(|kind| certificates::make(kind, options.authority.as_deref()));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://127.0.0.1:{}/v1", listener.local_addr().unwrap().port());
    let listener = ConnectionListener::new(listener, tls, script, Arc::clone(&log));
    let handler = Handler::new(&script.clone(), script.clone().into_answer(), move |question, rule| {
        log.question(question, rule);
    });
    ready(&url);
    serve(listener, handler).await;
}

/// Serves connections forever.
pub(crate) async fn serve(listener: ConnectionListener, handler: Handler) {
    let router = Router::new().fallback(handler::serve).with_state(Arc::new(handler));
    let service = router.into_make_service_with_connect_info::<Connection>();
    axum::serve(listener, service).await.unwrap();
}
