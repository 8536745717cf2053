//! The model client for servers that are asked over HTTP.
//!
//! One `Remote` per declared model: it knows the endpoints, the key and what the server was found to
//! understand. What is said stands in `dialect`, what a failure means in `classify`, repeating in `retry`,
//! quotas in `quota`. How many requests are in flight is the engine's affair. Dropping the future of a
//! request closes its connection. The key is in no message, log or `Debug` output.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use tracing::warn;

use super::classify::{self, Failure, Verdict};
use super::connect::{ConnectError, ConnectProblem};
use super::dialect::{Asked, Dialect, RESERVED_PARAMS};
use super::endpoints::{Address, Endpoints, Outcome, Place, read_queue};
use super::quota::{self, Need, Outputs, Pool, Turn};
use super::retry::Retry;
use super::secrets::Secrets;
use super::{Completion, Health, Model, ModelError, ModelErrorKind, ModelRequest, Usage};
use crate::config::{Concurrency, ModelConfig, StructuredOutput};
use crate::record::Record;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The bound of the first wait before an attempt is repeated.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest body that is read; an answer of 8 MiB is no answer.
const LARGEST_BODY: usize = 8 << 20;
/// How often a server that tells of its queue is asked.
const QUEUE_EVERY: Duration = Duration::from_secs(1);
/// How often one is asked that has not told yet: it may still be starting.
const QUEUE_TRIES: usize = 30;
/// What is read of the body of an error.
const LARGEST_ERROR: usize = 64 << 10;

/// A model behind one or more endpoints.
pub struct Remote {
    name: String,
    asked: Asked,
    client: Client,
    endpoints: Arc<Endpoints>,
    concurrency: Concurrency,
    secrets: Secrets,
    /// Where the key is read from, in words.
    key_source: Option<String>,
    timeout: Duration,
    retry: Retry,
    pool: Arc<Pool>,
    outputs: Outputs,
    /// How schemas are sent: as declared, or weaker since the server refused that.
    form: Mutex<StructuredOutput>,
    /// What stops the run: found by one request, it keeps the others from being sent.
    fatal: OnceLock<Failure>,
}

impl Remote {
    /// The client of the model `name`, with a quota of its own; sends nothing yet. Reads the key from the
    /// environment.
    pub fn new(name: &str, config: &ModelConfig) -> Result<Self, ConnectError> {
        Self::in_pool(name, config, Pool::new(name, config.limits))
    }

    /// The same, with a quota that others may share.
    pub fn in_pool(name: &str, config: &ModelConfig, pool: Arc<Pool>) -> Result<Self, ConnectError> {
        Self::declared(name, config, pool).map_err(|what| ConnectError { model: name.to_owned(), what })
    }

    fn declared(name: &str, config: &ModelConfig, pool: Arc<Pool>) -> Result<Self, ConnectProblem> {
        if config.base_urls.is_empty() {
            return Err(ConnectProblem::NoBaseUrl);
        }
        if config.model.is_empty() {
            return Err(ConnectProblem::NoModel);
        }
        if let Some(param) = RESERVED_PARAMS.iter().find(|param| config.params.contains_key(**param)) {
            return Err(ConnectProblem::Param { param: (*param).to_owned() });
        }
        if config.max_attempts == 0 {
            return Err(ConnectProblem::Number { field: "max_attempts" });
        }
        let timeout = Duration::try_from_secs_f64(config.timeout).unwrap_or_default();
        if timeout.is_zero() {
            return Err(ConnectProblem::Number { field: "timeout" });
        }
        let asked = Asked::new(config);
        let path = asked.dialect.path();
        let addresses = config.base_urls.iter();
        let addresses = addresses.map(|url| Address::new(url, path)).collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            client: client()?,
            endpoints: Endpoints::new(name, addresses, config.concurrency),
            concurrency: config.concurrency,
            secrets: Secrets::read(config, asked.dialect)?,
            key_source: key_source(config),
            asked,
            timeout,
            retry: Retry::new(name, config.max_attempts, FIRST_WAIT),
            pool,
            outputs: Outputs::default(),
            form: Mutex::new(config.structured_output),
            fatal: OnceLock::new(),
        })
    }

    /// Sets the bound of the first wait before an attempt is repeated; each further one doubles it.
    #[must_use]
    pub fn first_wait(mut self, wait: Duration) -> Self {
        self.retry.set_base(wait);
        self
    }

    /// One attempt, which may put the question again in a weaker form: a schema that a server refuses is
    /// sent as `json_object`, then not at all. What worked is remembered for the model.
    async fn attempt(&self, request: &ModelRequest, sent: &AtomicU32) -> Result<Completion, Failure> {
        let declared = *self.form.lock().unwrap_or_else(PoisonError::into_inner);
        let mut form = declared;
        loop {
            let body = self.asked.body(request, form)?;
            match self.exchange(body, self.need(request), sent).await {
                Err(failure) if failure.refuses_format && request.schema.is_some() => match weaker(form) {
                    Some(next) => form = next,
                    None => return Err(failure),
                },
                Ok(completion) => {
                    if form != declared {
                        self.remember(form);
                    }
                    return Ok(completion);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn remember(&self, form: StructuredOutput) {
        let mut present = self.form.lock().unwrap_or_else(PoisonError::into_inner);
        if *present != form {
            warn!(model = self.name, from = ?*present, to = ?form, "the server refuses `structured_output`");
            *present = form;
        }
    }

    /// What the request is going to take of its quota, as far as can be told.
    fn need(&self, request: &ModelRequest) -> Need {
        let bytes: usize = request.messages.iter().map(|message| message.content.len()).sum();
        let param = |name: &str| self.asked.param(request, name)?.as_u64();
        let most = param("max_tokens").or_else(|| param("max_completion_tokens"));
        Need { input: quota::tokens(bytes), output: self.outputs.expected(most) }
    }

    /// One HTTP exchange, when an endpoint has a place and the quota allows it, within the time limit.
    async fn exchange(&self, body: Vec<u8>, need: Need, sent: &AtomicU32) -> Result<Completion, Failure> {
        let mut place = self.endpoints.place().await;
        let turn = self.pool.turn(need).await;
        // The endpoint may have gone down while the quota was waited for.
        if place.is_down()
            && let Some(other) = self.endpoints.try_place()
        {
            place = other;
        }
        if let Some(fatal) = self.fatal.get() {
            turn.refund();
            return Err(fatal.clone());
        }
        sent.fetch_add(1, Ordering::Relaxed);
        place.begin();
        let result = match tokio::time::timeout(self.timeout, self.post(place.address(), body, &turn)).await {
            Ok(result) => result.map_err(|failure| self.told_of_key(self.without_key(failure))),
            Err(_) => {
                let seconds = self.timeout.as_secs_f64();
                let message = format!("`{}` did not answer within {seconds} s", place.address().shown);
                Err(Failure::new(Verdict::Retry, "timeout", message))
            }
        };
        match &result {
            Ok(completion) => self.note_answer(completion, need, place, turn),
            Err(failure) => {
                if failure.verdict == Verdict::Fatal {
                    let _ = self.fatal.set(failure.clone());
                }
                self.note_failure(failure, place, turn);
            }
        }
        result
    }

    fn note_answer(&self, completion: &Completion, need: Need, place: Place, turn: Turn) {
        place.end(Outcome::Good);
        let mut used = completion.usage;
        if used == Usage::default() {
            // A server that does not count.
            used.prompt_tokens = need.input;
            used.completion_tokens = quota::tokens(completion.text.len());
        }
        self.outputs.note(used.completion_tokens);
        turn.settle(used);
    }

    fn note_failure(&self, failure: &Failure, place: Place, turn: Turn) {
        let class = &*failure.class;
        let no_room = failure.verdict == Verdict::Pause;
        // One replica that is overloaded or starting says nothing of the others, unless it says when to come.
        let alone = class != "rate_limited" && failure.retry_after.is_none() && self.endpoints.len() > 1;
        place.end(match failure.verdict {
            Verdict::Pause if class == "rate_limited" && failure.retry_after.is_some() => Outcome::Paced,
            Verdict::Pause if !alone => Outcome::Full,
            Verdict::Pause => Outcome::Bad,
            Verdict::Retry if failure.blames_endpoint() => Outcome::Bad,
            Verdict::Retry | Verdict::Fatal | Verdict::Record => Outcome::Good,
        });
        if no_room && !alone {
            self.pool.refused(turn.at, failure.retry_after, self.retry.base(), class);
        }
        // After these the server may have done the work: what was reserved counts as used.
        if !matches!(class, "timeout" | "cut_body" | "body_too_large") {
            turn.refund();
        }
    }

    /// Asks each endpoint how long its queue is, again and again; one that does not tell is not asked again.
    async fn watch_queues(self: Arc<Self>) {
        let mut urls: Vec<Option<Url>> = self.endpoints.queues().into_iter().map(Some).collect();
        let mut silent = 0;
        while urls.iter().any(Option::is_some) {
            for (index, place) in urls.iter_mut().enumerate() {
                let Some(url) = place else { continue };
                match self.queue(url).await {
                    Some((running, waiting)) => {
                        silent = 0;
                        self.endpoints.note_queue(index, running, waiting);
                    }
                    None if silent < QUEUE_TRIES * self.endpoints.len() => silent += 1,
                    None => *place = None,
                }
            }
            tokio::time::sleep(QUEUE_EVERY).await;
        }
    }

    async fn queue(&self, url: &Url) -> Option<(f64, f64)> {
        let mut request = self.client.get(url.clone()).timeout(CONNECT_TIMEOUT);
        request = request.headers(self.secrets.headers());
        let mut response = request.send().await.ok().filter(|response| response.status().is_success())?;
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            if text.len() + chunk.len() > LARGEST_BODY {
                return None;
            }
            text.extend_from_slice(&chunk);
        }
        read_queue(&String::from_utf8_lossy(&text))
    }

    async fn post(&self, endpoint: &Address, body: Vec<u8>, turn: &Turn) -> Result<Completion, Failure> {
        let mut request = self.client.post(endpoint.url.clone()).body(body);
        request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request = request.headers(self.secrets.headers());
        let cut = |error: reqwest::Error| classify::transport(&error, &endpoint.shown);
        let mut response = request.send().await.map_err(cut)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        turn.observe(quota::read_headers(&headers));
        if !status.is_success() {
            return Err(refusal(status, &headers, response, &endpoint.shown).await);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(cut)? {
            if body.len() + chunk.len() > LARGEST_BODY {
                let message = format!("`{}` sent more than {LARGEST_BODY} bytes", endpoint.shown);
                return Err(Failure::new(Verdict::Record, "body_too_large", message));
            }
            body.extend_from_slice(&chunk);
        }
        self.asked.dialect.read(&body)
    }

    /// A refusal with where the key comes from, which the server cannot know.
    fn told_of_key(&self, failure: Failure) -> Failure {
        if !matches!(&*failure.class, "unauthorized" | "forbidden") {
            return failure;
        }
        let key = match &self.key_source {
            None => format!("no key was sent: `models.{}` names no `api_key_env`", self.name),
            Some(source) if self.secrets.has_key() => format!("the key is read from `{source}`"),
            Some(source) => format!("no key was sent: `{source}` is unset"),
        };
        Failure { message: format!("{} ({key})", failure.message), ..failure }
    }

    fn without_key(&self, failure: Failure) -> Failure {
        Failure { message: self.secrets.strike_out(&failure.message), ..failure }
    }
}

impl Model for Remote {
    fn provider(&self) -> &'static str {
        if self.asked.dialect == Dialect::Anthropic { "anthropic" } else { "openai" }
    }

    fn health(&self) -> Health {
        Health { endpoints: self.endpoints.figures(), pool: Some(self.pool.figures()) }
    }

    fn tend(self: Arc<Self>) -> Option<BoxFuture<'static, ()>> {
        (self.concurrency == Concurrency::Auto).then(|| self.watch_queues().boxed())
    }

    fn complete<'a>(
        &'a self,
        request: &'a ModelRequest,
        _record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>> {
        async move {
            let sent = AtomicU32::new(0);
            let result = self.retry.run(|| self.attempt(request, &sent).boxed()).await;
            let attempts = sent.load(Ordering::Relaxed);
            match result {
                Ok(completion) => Ok(Completion { attempts, ..completion }),
                Err(failure) => Err(finally(failure, attempts)),
            }
        }
        .boxed()
    }
}

fn finally(failure: Failure, attempts: u32) -> ModelError {
    let kind = match failure.verdict {
        Verdict::Fatal => ModelErrorKind::Fatal,
        Verdict::Pause | Verdict::Retry | Verdict::Record => ModelErrorKind::Record,
    };
    ModelError { kind, class: failure.class, message: failure.message, attempts }
}

fn key_source(config: &ModelConfig) -> Option<String> {
    config.api_key_env.clone().or_else(|| config.api_key_file.clone())
}

/// Nothing is repeated or followed here: `retry` is the only place that repeats, and a redirected POST
/// would become a GET.
fn client() -> Result<Client, ConnectProblem> {
    Client::builder()
        .user_agent(concat!("synthmill/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(30))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .build()
        .map_err(|error| ConnectProblem::Client(error.without_url().to_string()))
}

/// The next weaker way to ask for JSON.
fn weaker(form: StructuredOutput) -> Option<StructuredOutput> {
    match form {
        StructuredOutput::JsonSchema | StructuredOutput::GuidedJson => Some(StructuredOutput::JsonObject),
        StructuredOutput::JsonObject => Some(StructuredOutput::Off),
        StructuredOutput::Off => None,
    }
}

/// Judges an error status by as much of the body as can be had.
async fn refusal(status: StatusCode, headers: &HeaderMap, mut response: Response, url: &str) -> Failure {
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
