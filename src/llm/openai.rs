//! The model client for servers with OpenAI's HTTP API.
//!
//! One `OpenAi` per declared model: it knows the endpoints, the key and what the server was found to
//! understand. What is said stands in `wire`, what a failure means in `classify`, repeating in `retry`,
//! quotas in `quota`. How many requests are in flight is the engine's affair. Dropping the future of a
//! request closes its connection. The key is in no message, log or `Debug` output.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, redirect};
use serde_json::{Map, Value};
use tracing::warn;

use super::classify::{self, Failure, Verdict};
use super::connect::{ConnectError, ConnectProblem};
use super::endpoint::{Endpoint, Key};
use super::quota::{self, Need, Outputs, Pool, Turn};
use super::retry::Retry;
use super::{Completion, Model, ModelError, ModelErrorKind, ModelRequest, Usage, wire};
use crate::config::{ModelConfig, StructuredOutput};
use crate::record::Record;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The bound of the first wait before an attempt is repeated.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest body that is read; an answer of 8 MiB is no answer.
const LARGEST_BODY: usize = 8 << 20;
/// What is read of the body of an error.
const LARGEST_ERROR: usize = 64 << 10;

/// A model behind one or more OpenAI-compatible endpoints.
pub struct OpenAi {
    name: String,
    model: String,
    params: Map<String, Value>,
    client: Client,
    endpoints: Vec<Endpoint>,
    next_endpoint: AtomicUsize,
    key: Option<Key>,
    /// The variable the key is read from.
    key_variable: Option<String>,
    timeout: Duration,
    retry: Retry,
    pool: Arc<Pool>,
    outputs: Outputs,
    /// How schemas are sent: as declared, or weaker since the server refused that.
    form: Mutex<StructuredOutput>,
}

impl OpenAi {
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
        if let Some(param) = wire::RESERVED_PARAMS.iter().find(|param| config.params.contains_key(**param)) {
            return Err(ConnectProblem::Param { param: (*param).to_owned() });
        }
        if config.max_attempts == 0 {
            return Err(ConnectProblem::Number { field: "max_attempts" });
        }
        let timeout = Duration::try_from_secs_f64(config.timeout).unwrap_or_default();
        if timeout.is_zero() {
            return Err(ConnectProblem::Number { field: "timeout" });
        }
        let endpoints = config.base_urls.iter().map(|url| Endpoint::new(url)).collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            model: config.model.clone(),
            params: config.params.clone(),
            client: client()?,
            endpoints,
            next_endpoint: AtomicUsize::new(0),
            key: config.api_key_env.as_deref().map(Key::read).transpose()?.flatten(),
            key_variable: config.api_key_env.clone(),
            timeout,
            retry: Retry::new(name, config.max_attempts, FIRST_WAIT),
            pool,
            outputs: Outputs::default(),
            form: Mutex::new(config.structured_output),
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
            let body = wire::body(&self.model, &self.params, request, form)?;
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
        let param = |name: &str| request.params.get(name).or_else(|| self.params.get(name))?.as_u64();
        let most = param("max_tokens").or_else(|| param("max_completion_tokens"));
        Need { input: quota::tokens(bytes), output: self.outputs.expected(most) }
    }

    /// One HTTP exchange with the endpoint whose turn it is, within the time limit.
    async fn exchange(&self, body: Vec<u8>, need: Need, sent: &AtomicU32) -> Result<Completion, Failure> {
        let turn = self.pool.turn(need).await;
        sent.fetch_add(1, Ordering::Relaxed);
        let next = self.next_endpoint.fetch_add(1, Ordering::Relaxed);
        let endpoint = &self.endpoints[next % self.endpoints.len()];
        let result = match tokio::time::timeout(self.timeout, self.post(endpoint, body, &turn)).await {
            Ok(result) => result.map_err(|failure| self.told_of_key(self.without_key(failure))),
            Err(_) => {
                let seconds = self.timeout.as_secs_f64();
                let message = format!("`{}` did not answer within {seconds} s", endpoint.shown);
                Err(Failure::new(Verdict::Retry, "timeout", message))
            }
        };
        self.settle(turn, need, &result);
        result
    }

    /// Tells the pool what became of a request.
    fn settle(&self, turn: Turn, need: Need, result: &Result<Completion, Failure>) {
        match result {
            Ok(completion) => {
                let mut used = completion.usage;
                if used == Usage::default() {
                    // A server that does not count.
                    used.prompt_tokens = need.input;
                    used.completion_tokens = quota::tokens(completion.text.len());
                }
                self.outputs.note(used.completion_tokens);
                turn.settle(used);
            }
            Err(failure) if failure.verdict == Verdict::Pause => {
                self.pool.refused(turn.at, failure.retry_after, self.retry.base(), &failure.class);
                turn.refund();
            }
            // The server may have done the work.
            Err(failure) if matches!(&*failure.class, "timeout" | "cut_body" | "body_too_large") => {
                drop(turn)
            }
            Err(_) => turn.refund(),
        }
    }

    async fn post(&self, endpoint: &Endpoint, body: Vec<u8>, turn: &Turn) -> Result<Completion, Failure> {
        let mut request = self.client.post(endpoint.url.clone()).body(body);
        request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key.header());
        }
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
        wire::read(&body)
    }

    /// A refusal with where the key comes from, which the server cannot know.
    fn told_of_key(&self, failure: Failure) -> Failure {
        if !matches!(&*failure.class, "unauthorized" | "forbidden") {
            return failure;
        }
        let key = match (&self.key_variable, &self.key) {
            (None, _) => format!("no key was sent: `models.{}` names no `api_key_env`", self.name),
            (Some(variable), None) => format!("no key was sent: `{variable}` is unset"),
            (Some(variable), Some(_)) => format!("the key is read from `{variable}`"),
        };
        Failure { message: format!("{} ({key})", failure.message), ..failure }
    }

    fn without_key(&self, failure: Failure) -> Failure {
        match &self.key {
            Some(key) => Failure { message: key.strike_out(&failure.message), ..failure },
            None => failure,
        }
    }
}

impl Model for OpenAi {
    fn provider(&self) -> &'static str {
        "openai"
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
        StructuredOutput::JsonSchema => Some(StructuredOutput::JsonObject),
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
