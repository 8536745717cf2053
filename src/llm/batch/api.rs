//! The calls of OpenAI's batch API: upload a file, create a batch, retrieve its status, download its results.
//!
//! `job` decides what is called and when. `retry` retries each call for about half an hour, since a batch outlives an
//! outage of minutes. Creating a batch is in `submit`.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, stream};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, RequestBuilder, Url};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::warn;

use super::files::BatchFiles;
use super::info::{BatchInfo, FileInfo};
use crate::journal::StorageError;
use crate::llm::classify::{self, Failure, Verdict};
use crate::llm::connect::ConnectProblem;
use crate::llm::dialect::Dialect;
use crate::llm::endpoints::Address;
use crate::llm::http::{self, HttpClient};
use crate::llm::retry::RetryPolicy;
use crate::pipeline::ModelConfig;

/// The attempts at one call; with waits of up to a minute that is about half an hour.
const MAX_ATTEMPTS: u32 = 60;
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The wait after a refusal that asks for none.
const DEFAULT_WAIT: Duration = Duration::from_secs(15);
/// The number of replies that are not JSON before the address counts as wrong.
const MAX_NON_JSON_REPLIES: u32 = 5;
/// The number of bytes of a file that are sent or stored at a time.
const CHUNK: usize = 1 << 20;
/// The time limit for the upload or download of a file, which may have 200 MB.
const TRANSFER_TIMEOUT: Duration = Duration::from_hours(1);
/// The number of concurrent transfers.
const MAX_TRANSFERS: usize = 8;

/// The client of a provider's batch API.
pub(super) struct BatchApi {
    name: String,
    pub(super) http: HttpClient,
    retry: RetryPolicy,
    files: Url,
    pub(super) batches: Url,
    /// The provider's address, for messages.
    pub(super) shown: String,
    /// The endpoint that each line requests.
    pub(super) endpoint: &'static str,
    pub(super) window: String,
    /// The time after which a new batch must be in the provider's list.
    pub(super) settle: Duration,
    transfers: Semaphore,
}

/// Why a call failed.
pub(super) enum ApiError {
    Storage(StorageError),
    Failure(Failure),
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl BatchApi {
    pub(super) fn new(name: &str, config: &ModelConfig, dialect: Dialect) -> Result<Self, ConnectProblem> {
        let Some(base) = config.base_urls.first() else { return Err(ConnectProblem::NoBaseUrl) };
        let files = Address::new(base, &["files"])?;
        Ok(Self {
            name: name.to_owned(),
            http: HttpClient::new(name, config, dialect)?,
            retry: RetryPolicy::new(name, MAX_ATTEMPTS, FIRST_WAIT),
            files: files.url,
            batches: Address::new(base, &["batches"])?.url,
            shown: files.shown,
            endpoint: match dialect {
                Dialect::Completions => "/v1/completions",
                Dialect::Chat | Dialect::Anthropic => "/v1/chat/completions",
            },
            window: config.batch.completion_window.clone(),
            settle: Duration::try_from_secs_f64(config.batch.poll).unwrap_or(DEFAULT_WAIT),
            transfers: Semaphore::new(MAX_TRANSFERS),
        })
    }

    /// Uploads the file `name`, which has this length.
    pub(super) async fn upload(
        &self,
        files: &Arc<BatchFiles>,
        name: &str,
        length: u64,
    ) -> Result<FileInfo, ApiError> {
        self.with_retries_or_storage(|| self.send(files, name, length).boxed()).await
    }

    async fn send(&self, files: &Arc<BatchFiles>, name: &str, length: u64) -> Result<FileInfo, ApiError> {
        let _turn = self.transfers.acquire().await;
        // To the HTTP client, a file that cannot be read looks like a request that breaks off.
        let unread = Arc::new(OnceLock::new());
        let body = Body::wrap_stream(bytes_of(Arc::clone(files), name.to_owned(), Arc::clone(&unread)));
        let part = Part::stream_with_length(body, length).file_name(name.to_owned());
        let part = part.mime_str("application/jsonl");
        let part = part.map_err(|error| classify::transport(&error, &self.shown))?;
        let form = Form::new().text("purpose", "batch").part("file", part);
        let request = self.http.post(self.files.clone()).multipart(form);
        let sent = self.json(request, TRANSFER_TIMEOUT.max(self.http.timeout())).await;
        match unread.get() {
            Some(error) => Err(ApiError::Storage(StorageError::clone(error))),
            None => Ok(FileInfo::read(&sent?)?),
        }
    }

    /// Retrieves the status of a batch.
    pub(super) async fn retrieve(&self, batch: &str) -> Result<BatchInfo, Failure> {
        let url = below(&self.batches, &[batch]);
        let call = || {
            let request = self.http.get(url.clone());
            async { BatchInfo::read(&self.json(request, self.http.timeout()).await?) }.boxed()
        };
        self.with_retries(call).await
    }

    /// Downloads a file's content into the file `name`, and returns the number of its lines.
    pub(super) async fn download(
        &self,
        file: &str,
        files: &Arc<BatchFiles>,
        name: &str,
    ) -> Result<u64, ApiError> {
        let url = below(&self.files, &[file, "content"]);
        self.with_retries_or_storage(|| self.fetch(url.clone(), files, name).boxed()).await
    }

    async fn fetch(&self, url: Url, files: &Arc<BatchFiles>, name: &str) -> Result<u64, ApiError> {
        let _turn = self.transfers.acquire().await;
        let begun = Instant::now();
        // What a previous attempt left.
        files.remove(name.to_owned()).await?;
        let sent = self.with_limit(self.http.timeout(), http::send(self.http.get(url), &self.shown));
        let mut response = sent.await?;
        let (mut buffer, mut lines, mut is_open) = (Vec::new(), 0, false);
        loop {
            let chunk =
                async { response.chunk().await.map_err(|error| classify::transport(&error, &self.shown)) };
            let chunk = self.with_limit(self.http.timeout(), chunk).await?;
            if let Some(chunk) = &chunk {
                buffer.extend_from_slice(chunk);
                lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
                is_open = chunk.last().map_or(is_open, |byte| *byte != b'\n');
            }
            if begun.elapsed() > TRANSFER_TIMEOUT {
                let message = format!("`{}` took more than an hour to send a file", self.shown);
                return Err(Failure::new(Verdict::Retry, "timeout", message).into());
            }
            if chunk.is_none() || buffer.len() >= CHUNK {
                files.append(name.to_owned(), std::mem::take(&mut buffer)).await?;
            }
            if chunk.is_none() {
                return Ok(lines + u64::from(is_open));
            }
        }
    }

    /// Retries a call until it succeeds or its failure is final.
    pub(super) async fn with_retries<'a, T: Send>(
        &self,
        mut call: impl FnMut() -> BoxFuture<'a, Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        let pages = AtomicU32::new(0);
        let attempt = || {
            let call = call();
            let pages = &pages;
            async move {
                let mut result = call.await;
                // A gateway's error page is temporary; that of a wrong address is not.
                if let Err(failure) = &result
                    && failure.class == "not_json"
                    && pages.fetch_add(1, Relaxed) >= MAX_NON_JSON_REPLIES
                {
                    let hint = failure.hint.unwrap_or_default();
                    let message = format!("{}; {hint}", failure.message);
                    return Err(Failure { verdict: Verdict::Fatal, message, ..failure.clone() });
                }
                if let Err(failure) = &mut result
                    && matches!(failure.verdict, Verdict::Throttled | Verdict::Retry)
                {
                    warn!(
                        model = self.name,
                        "a call of the batch API is to be made again: {}", failure.message
                    );
                    if failure.verdict == Verdict::Throttled {
                        failure.retry_after.get_or_insert(DEFAULT_WAIT);
                    }
                }
                result
            }
            .boxed()
        };
        self.retry.run(None, attempt).await
    }

    /// Does the same for a call that accesses a file; storage errors are returned, not retried.
    async fn with_retries_or_storage<'a, T: Send + 'a>(
        &self,
        mut call: impl FnMut() -> BoxFuture<'a, Result<T, ApiError>> + Send,
    ) -> Result<T, ApiError> {
        let attempt = || {
            let call = call();
            async {
                match call.await {
                    Ok(done) => Ok(Ok(done)),
                    Err(ApiError::Storage(error)) => Ok(Err(error)),
                    Err(ApiError::Failure(failure)) => Err(failure),
                }
            }
            .boxed()
        };
        Ok(self.with_retries(attempt).await??)
    }

    /// Sends a request and parses the JSON response.
    pub(super) async fn json(&self, request: RequestBuilder, limit: Duration) -> Result<Value, Failure> {
        let exchange = async {
            let response = http::send(request, &self.shown).await?;
            let body = http::body(response, &self.shown).await?;
            serde_json::from_slice(&body).map_err(|error| {
                let message = format!("`{}` answered with something else than JSON: {error}", self.shown);
                Failure {
                    hint: Some("does the base URL end in /v1?"),
                    ..Failure::new(Verdict::Retry, "not_json", message)
                }
            })
        };
        self.with_limit(limit, exchange).await
    }

    /// Redacts the key from a failure: a provider may repeat it in any of its messages.
    pub(super) fn redact(&self, failure: Failure) -> Failure {
        self.http.redact(failure)
    }

    async fn with_limit<T>(
        &self,
        limit: Duration,
        exchange: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.http.with_limit(limit, &self.shown, exchange).await
    }
}

fn below(url: &Url, steps: &[&str]) -> Url {
    let mut url = url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(steps);
    }
    url
}

/// Streams a file in chunks; a read error is stored in `unread` too.
fn bytes_of(
    files: Arc<BatchFiles>,
    name: String,
    unread: Arc<OnceLock<StorageError>>,
) -> impl futures::Stream<Item = Result<Vec<u8>, StorageError>> + Send + 'static {
    stream::try_unfold(0, move |offset| {
        let (files, name, unread) = (Arc::clone(&files), name.clone(), Arc::clone(&unread));
        async move {
            let bytes = files.read(name, offset, CHUNK).await.inspect_err(|error| {
                let _ = unread.set(error.clone());
            })?;
            let next = offset + bytes.len() as u64;
            Ok((!bytes.is_empty()).then_some((bytes, next)))
        }
    })
}
