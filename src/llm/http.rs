//! One HTTP exchange with a model's server: headers, key, time limit, bounded bodies.
//!
//! `remote` and `batch` say what is asked and where; what a failure means stands in `classify`. The key is in
//! no message: it is struck out of what a server says. Nothing is repeated or followed here.

use std::time::Duration;

use futures::TryFutureExt;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};

use super::classify::{self, Failure, Verdict};
use super::connect::ConnectProblem;
use super::dialect::Dialect;
use super::proxy::Proxies;
use super::secrets::Secrets;
use crate::pipeline::ModelConfig;

/// The time to make a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest body that is read at once, and the longest answer that is put together; one of 8 MiB is no answer.
pub(super) const LARGEST_BODY: usize = 8 << 20;
/// What is read of the body of an error.
const LARGEST_ERROR: usize = 64 << 10;

const PROXY: &str =
    "does the proxy run, and does it reach the server? NO_PROXY names hosts that are reached without";

/// The client of one model, with what goes along with every request.
pub(super) struct HttpClient {
    model: String,
    client: Client,
    proxies: Proxies,
    secrets: Secrets,
    /// Where the key is read from, in words.
    key_source: Option<String>,
    timeout: Duration,
}

impl HttpClient {
    /// Sends nothing yet. Reads the key.
    pub(super) fn new(model: &str, config: &ModelConfig, dialect: Dialect) -> Result<Self, ConnectProblem> {
        let timeout = Duration::try_from_secs_f64(config.timeout).unwrap_or_default();
        if timeout.is_zero() {
            return Err(ConnectProblem::Number { field: "timeout" });
        }
        let proxies = Proxies::from_environment(|name| std::env::var(name).ok());
        Ok(Self {
            model: model.to_owned(),
            client: client(&proxies)?,
            proxies,
            secrets: Secrets::read(config, dialect)?,
            key_source: config.api_key_env.clone().or_else(|| config.api_key_file.clone()),
            timeout,
        })
    }

    /// The time one attempt may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn get(&self, url: Url) -> RequestBuilder {
        self.client.get(url).headers(self.secrets.headers())
    }

    pub(super) fn post(&self, url: Url) -> RequestBuilder {
        self.client.post(url).headers(self.secrets.headers())
    }

    pub(super) fn post_json(&self, url: Url, body: Vec<u8>) -> RequestBuilder {
        // The model's own headers come last, so that they win.
        let request = self.client.post(url).body(body);
        let json = HeaderValue::from_static("application/json");
        request.header(CONTENT_TYPE, json).headers(self.secrets.headers())
    }

    /// An exchange within the time limit, and its failure without the key but with where that comes from.
    pub(super) async fn in_time<T>(
        &self,
        shown: &str,
        exchange: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.within(self.timeout, shown, exchange).await
    }

    /// The same within another limit.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        shown: &str,
        exchange: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(limit, exchange).await {
            Ok(result) => result.map_err(|failure| self.told_of_proxy(self.tell(failure), shown)),
            Err(_) => {
                let seconds = limit.as_secs_f64();
                let message = format!("`{shown}` did not answer within {seconds} s");
                Err(Failure::new(Verdict::Retry, "timeout", message))
            }
        }
    }

    /// The failure as it may be told.
    pub(super) fn tell(&self, failure: Failure) -> Failure {
        let failure = Failure { message: self.secrets.strike_out(&failure.message), ..failure };
        self.told_of_key(failure)
    }

    /// A failure to connect with the proxy between, which may be what is wrong.
    fn told_of_proxy(&self, failure: Failure, shown: &str) -> Failure {
        if !matches!(&*failure.class, "unreachable" | "tls") {
            return failure;
        }
        let Some(proxy) = self.proxies.of(shown) else { return failure };
        let message = format!("{} (through {proxy})", failure.message);
        Failure { message, hint: failure.hint.map(|_| PROXY), ..failure }
    }

    /// A refusal with where the key comes from, which the server cannot know.
    fn told_of_key(&self, failure: Failure) -> Failure {
        if !matches!(&*failure.class, "unauthorized" | "forbidden") {
            return failure;
        }
        let key = match &self.key_source {
            None => format!("no key was sent: `models.{}` names no `api_key_env`", self.model),
            Some(source) if self.secrets.has_key() => format!("the key is read from `{source}`"),
            Some(source) => format!("no key was sent: `{source}` is unset"),
        };
        if failure.message.ends_with(&format!("({key})")) {
            return failure;
        }
        Failure { message: format!("{} ({key})", failure.message), ..failure }
    }
}

/// Sends a request; a status other than success is a failure.
pub(super) async fn send(request: RequestBuilder, shown: &str) -> Result<Response, Failure> {
    let mut response = request.send().map_err(|error| classify::transport(&error, shown)).await?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    Err(refusal(status, &headers, response, shown).await)
}

/// A whole body, unless it is too long.
pub(super) async fn body(response: Response, shown: &str) -> Result<Vec<u8>, Failure> {
    rest_of_body(Vec::new(), response, shown).await
}

/// The same where its first bytes have been read.
pub(super) async fn rest_of_body(
    mut body: Vec<u8>,
    mut response: Response,
    shown: &str,
) -> Result<Vec<u8>, Failure> {
    while let Some(chunk) = response.chunk().await.map_err(|error| classify::transport(&error, shown))? {
        if body.len() + chunk.len() > LARGEST_BODY {
            return Err(too_large(shown));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An answer that is longer than answers are.
pub(super) fn too_large(shown: &str) -> Failure {
    let message = format!("`{shown}` sent more than {LARGEST_BODY} bytes");
    Failure::new(Verdict::RejectRecord, "body_too_large", message)
}

/// Judges an error status by as much of the body as can be had.
pub(super) async fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    mut response: Response,
    shown: &str,
) -> Failure {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = LARGEST_ERROR - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == LARGEST_ERROR {
            break;
        }
    }
    classify::response(status, headers, &body, shown)
}

/// `retry` is the only place that repeats, and a redirected POST would become a GET.
fn client(proxies: &Proxies) -> Result<Client, ConnectProblem> {
    let client = Client::builder()
        .user_agent(concat!("synthmill/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(30))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never());
    proxies.apply(client)?.build().map_err(|error| ConnectProblem::Client(error.without_url().to_string()))
}
