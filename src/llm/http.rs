//! The HTTP client as it is set up for models, and how a refusal is read.
//!
//! `remote` asks through it; what a refusal means is `classify`'s affair.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Response, StatusCode, redirect};

use super::classify::{self, Failure};
use super::connect::ConnectProblem;

/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read of the body of an error.
const LARGEST_ERROR: usize = 64 << 10;

/// Nothing is repeated or followed here: `retry` is the only place that repeats, and a redirected POST
/// would become a GET.
pub(super) fn client() -> Result<Client, ConnectProblem> {
    Client::builder()
        .user_agent(concat!("synthmill/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(30))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .build()
        .map_err(|error| ConnectProblem::Client(error.without_url().to_string()))
}

/// Judges an error status by as much of the body as can be had.
pub(super) async fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    mut response: Response,
    url: &str,
) -> Failure {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = LARGEST_ERROR - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == LARGEST_ERROR {
            break;
        }
    }
    classify::response(status, headers, &body, url)
}
