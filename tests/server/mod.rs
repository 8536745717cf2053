//! The test server: an OpenAI-compatible API on axum whose delays, limits and faults are scripted.
//!
//! It stands in the place of a model's server, so nothing of the program is in it. Three programs are made of
//! it: `examples/model-server` to run by hand, the tests (in a process of its own or on a thread), and
//! `benches/model_client`. What happens to a question: `desk` counts and logs it, asks `script` (or a test's
//! closure) for a `reply`, lets `traffic` refuse or hold it, and sends the reply; `door` takes connections,
//! which `socket` breaks, and `certificates` makes their TLS.

mod certificates;
mod conforming;
mod content;
pub(crate) mod desk;
pub(crate) mod door;
pub(crate) mod log;
pub(crate) mod reply;
pub(crate) mod script;
mod socket;
mod traffic;

use std::sync::Arc;

use axum::Router;
use serde::Deserialize;

use desk::Desk;
use door::Door;
use log::Log;
use script::Script;
use socket::Line;

/// What a server in a process of its own is started with.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    pub(crate) script: Script,
    /// The file that gets a line for each question; none is kept without it.
    pub(crate) log: Option<std::path::PathBuf>,
    /// The port; any that is free without it.
    pub(crate) port: u16,
    /// Where the certificate is written that speaks for the server's own, to be trusted by `SSL_CERT_FILE`.
    pub(crate) authority: Option<std::path::PathBuf>,
}

/// Serves until the process ends; tells `ready` the base URL once connections are taken.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(options: Options, ready: impl FnOnce(&str)) {
    let script = &options.script;
    let log = Arc::new(Log::open(options.log.as_deref()));
    let listener = std::net::TcpListener::bind(("127.0.0.1", options.port)).unwrap();
    let tls = script.tls.map(|kind| certificates::make(kind, options.authority.as_deref()));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://127.0.0.1:{}/v1", listener.local_addr().unwrap().port());
    let door = Door::new(listener, tls, script, Arc::clone(&log));
    let desk = Desk::new(&script.clone(), script.clone().into_answer(), move |question, rule| {
        log.question(question, rule);
    });
    ready(&url);
    serve(door, desk).await;
}

/// Serves what comes through the door, for ever.
pub(crate) async fn serve(door: Door, desk: Desk) {
    let router = Router::new().fallback(desk::serve).with_state(Arc::new(desk));
    let service = router.into_make_service_with_connect_info::<Line>();
    axum::serve(door, service).await.unwrap();
}
