//! The HTTP client of a model: headers, key, time limit, bounded bodies.
//!
//! `remote` and `batch` decide what is sent where; `classify` decides what a failure means. The key is in no message:
//! it is redacted from server messages. Requests are not retried and redirects not followed here.

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

/// The time limit for establishing a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest body that is read, and the longest answer that is assembled from a stream; 8 MiB is no plausible answer.
pub(super) const LARGEST_BODY: usize = 8 << 20;
/// The most that is read of an error's body.
const LARGEST_ERROR: usize = 64 << 10;

const PROXY: &str =
    "does the proxy run, and does it reach the server? NO_PROXY names hosts that are reached without";

/// The HTTP client of one model, with what every request carries.
pub(super) struct HttpClient {
    model: String,
    client: Client,
    proxies: Proxies,
    secrets: Secrets,
    /// The variable or file that the key is read from.
    key_source: Option<String>,
    timeout: Duration,
}

impl HttpClient {
    /// Creates the client and reads the key; sends nothing yet.
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

    /// Returns the time limit of one attempt.
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
        // The model's own headers come last, so that they take precedence.
        let request = self.client.post(url).body(body);
        let json = HeaderValue::from_static("application/json");
        request.header(CONTENT_TYPE, json).headers(self.secrets.headers())
    }

    /// Runs an exchange within the time limit. A failure has the key redacted and names where it was read from.
    pub(super) async fn with_timeout<T>(
        &self,
        shown: &str,
        exchange: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.with_limit(self.timeout, shown, exchange).await
    }

    /// Runs an exchange within another time limit.
    pub(super) async fn with_limit<T>(
        &self,
        limit: Duration,
        shown: &str,
        exchange: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(limit, exchange).await {
            Ok(result) => result.map_err(|failure| self.with_proxy_hint(self.redact(failure), shown)),
            Err(_) => {
                let seconds = limit.as_secs_f64();
                let message = format!("`{shown}` did not answer within {seconds} s");
                Err(Failure::new(Verdict::Retry, "timeout", message))
            }
        }
    }

    /// Redacts the key from a failure's message.
    pub(super) fn redact(&self, failure: Failure) -> Failure {
        let failure = Failure { message: self.secrets.redact(&failure.message), ..failure };
        self.with_key_hint(failure)
    }

    /// Adds the proxy to a connection failure, since it may be the cause.
    fn with_proxy_hint(&self, failure: Failure, shown: &str) -> Failure {
        if !matches!(&*failure.class, "unreachable" | "tls") {
            return failure;
        }
        let Some(proxy) = self.proxies.of(shown) else { return failure };
        let message = format!("{} (through {proxy})", failure.message);
        Failure { message, hint: failure.hint.map(|_| PROXY), ..failure }
    }

    /// Adds to an authorization failure where the key comes from, which the server cannot know.
    fn with_key_hint(&self, failure: Failure) -> Failure {
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

/// Sends a request; a status that is not a success is a failure.
pub(super) async fn send(request: RequestBuilder, shown: &str) -> Result<Response, Failure> {
    let mut response = request.send().map_err(|error| classify::transport(&error, shown)).await?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    Err(refusal(status, &headers, response, shown).await)
}

/// Reads a whole body, unless it is too long.
pub(super) async fn body(response: Response, shown: &str) -> Result<Vec<u8>, Failure> {
    let length = response.content_length().and_then(|length| usize::try_from(length).ok());
    let room = length.unwrap_or_default().min(LARGEST_BODY);
    rest_of_body(Vec::with_capacity(room), response, shown).await
}

/// Reads the rest of a body whose first bytes have been read.
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

/// The failure of a response that exceeds `LARGEST_BODY`.
pub(super) fn too_large(shown: &str) -> Failure {
    let message = format!("`{shown}` sent more than {LARGEST_BODY} bytes");
    Failure::new(Verdict::RejectRecord, "body_too_large", message)
}

/// Classifies an error status by as much of the body as can be read.
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

/// Creates the client without retries, which are in `retry` only, and without redirects, since a redirected POST would
/// become a GET.
fn client(proxies: &Proxies) -> Result<Client, ConnectProblem> {
    let client = Client::builder()
        .user_agent(concat!("synthmill/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(30))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never());
    proxies.apply(client)?.build().map_err(|error| ConnectProblem::Client(error.without_url().to_string()))
}
