//! The model client for servers that are asked over HTTP.
//!
//! One `Remote` per declared model: it knows the endpoints, the key and what the server was found to
//! understand. What is said stands in `dialect`, what a failure means in `classify`, repeating in `retry`,
//! quotas in `quota`. How many requests are in flight is the engine's affair. Dropping the future of a
//! request closes its connection. The key is in no message, log or `Debug` output.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Url;
use tokio::time::Instant;

use super::classify::{self, Failure, Verdict};
use super::connect::{ConnectError, ConnectProblem};
use super::dialect::{Dialect, RequestEncoder};
use super::endpoints::{Address, AttemptOutcome, EndpointLease, Endpoints, Wish, read_queue};
use super::http::{self, CONNECT_TIMEOUT, HttpClient};
use super::images;
use super::jitter::Jitter;
use super::mock::{Played, Script};
use super::quota::{self, Outputs, Pool, QuotaPermit, TokenCost};
use super::refused_settings::RefusedSettings;
use super::retry::{MAX_PAUSE, Retry};
use super::schema_fallback::{self, SchemaFallback, SchemaRefusal, weaker};
use super::slot;
use super::streaming;
use super::throttling;
use super::{
    BackgroundContext, Completion, Health, MOCK, Model, ModelError, ModelErrorKind, ModelRequest, Usage,
};
use crate::journal::StorageError;
use crate::pipeline::{Concurrency, ModelConfig, RESERVED_PARAMS, StructuredOutput};
use crate::record::Record;

/// The bound of the first wait before an attempt is repeated.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How often a server that tells of its queue is asked.
const QUEUE_EVERY: Duration = Duration::from_secs(1);
/// How often one is asked that has not told yet: it may still be starting.
const QUEUE_TRIES: usize = 30;

/// A model behind one or more endpoints.
pub struct Remote {
    asked: RequestEncoder,
    wire: HttpClient,
    endpoints: Arc<Endpoints>,
    concurrency: Concurrency,
    retry: Retry,
    pool: Arc<Pool>,
    outputs: Outputs,
    forms: SchemaFallback,
    refused_settings: RefusedSettings,
    /// What stops the run: found by one request, it keeps the others from being sent.
    fatal: OnceLock<Failure>,
    /// What answers in the server's place.
    script: Option<Script>,
}

/// A question that is being put, and how often it was sent.
struct Asking<'a> {
    request: &'a ModelRequest,
    record: &'a Record,
    sent: AtomicU32,
    /// How often the server found that the model wrote no JSON.
    broken: AtomicU32,
    /// What a script said to it, where one answers.
    played: Played,
    /// The endpoint at which it failed last, by its number; 0 at first.
    failed_at: AtomicU32,
}

impl Asking<'_> {
    fn wish(&self) -> Wish {
        let avoid = self.failed_at.load(Ordering::Relaxed).checked_sub(1);
        Wish { key: self.request.affinity, avoid: avoid.map(|index| index as usize) }
    }
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
        let asked = RequestEncoder::new(config);
        let path = asked.dialect.path();
        let addresses = config.base_urls.iter();
        let addresses = addresses.map(|url| Address::new(url, path)).collect::<Result<_, _>>()?;
        Ok(Self {
            wire: HttpClient::new(name, config, asked.dialect)?,
            endpoints: Endpoints::new(name, addresses, config.concurrency, Jitter::new()),
            concurrency: config.concurrency,
            asked,
            retry: Retry::new(name, config.max_attempts, FIRST_WAIT),
            pool,
            outputs: Outputs::default(),
            forms: SchemaFallback::new(name, config.structured_output),
            refused_settings: RefusedSettings::new(name),
            fatal: OnceLock::new(),
            script: None,
        })
    }

    /// Sets the bound of the first wait before an attempt is repeated; each further one doubles it.
    #[must_use]
    pub fn first_wait(mut self, wait: Duration) -> Self {
        self.retry.set_base(wait);
        self
    }

    /// Lets a script answer; nothing is sent.
    pub(super) fn scripted(mut self, script: Script) -> Self {
        self.script = Some(script);
        self
    }

    /// One attempt, which may put the question again in a weaker form: a schema that a server refuses is
    /// sent as `json_object`, then not at all (`forms`). Where the model wrote no JSON, which the server found, the
    /// next attempt asks in the same form, those after it in weaker ones.
    async fn attempt(&self, asking: &Asking<'_>) -> Result<Completion, Failure> {
        let request = asking.request;
        let mut form =
            schema_fallback::after_failures(self.forms.of(request), asking.broken.load(Ordering::Relaxed));
        let mut refused: Option<(SchemaRefusal, Failure)> = None;
        let mut without_usage = false;
        loop {
            let body = self.asked.body(request, form, images::load(request).await?)?;
            let failure = match self.exchange(body, asking, form).await {
                Ok(completion) => {
                    self.forms.note_answer(request, form, refused.map(|(refusal, _)| refusal));
                    return Ok(completion);
                }
                Err(failure) => failure,
            };
            if failure.class == schema_fallback::NO_JSON {
                asking.broken.fetch_add(1, Ordering::Relaxed);
                return schema_fallback::mended(request, &failure).ok_or(failure);
            }
            // It is not sent in another form sooner than it may be sent again at all.
            let wait = failure.retry_after.map(|asked| asked.min(MAX_PAUSE));
            let wait = async {
                if let Some(wait) = wait {
                    tokio::time::sleep(wait).await;
                }
            };
            if self.asked.refuses_usage(request, &failure) && !std::mem::replace(&mut without_usage, true) {
                slot::without(request.slot.as_deref(), wait).await;
                continue;
            }
            let refusal = self.refusal(request, form, &failure);
            if let (Some(refusal), Some(next)) = (refusal, weaker(form)) {
                form = next;
                refused.get_or_insert((refusal, failure));
                slot::without(request.slot.as_deref(), wait).await;
                continue;
            }
            return Err(match refused {
                // What was said first is of the request as it was meant.
                Some((_, first)) if failure.verdict == Verdict::RejectRecord => {
                    self.forms.acquit(request);
                    first
                }
                _ => failure,
            });
        }
    }

    /// Whether a failure is a refusal of the form in which the request's schema was sent.
    fn refusal(
        &self,
        request: &ModelRequest,
        form: StructuredOutput,
        failure: &Failure,
    ) -> Option<SchemaRefusal> {
        let is_sent = self.asked.sends_schema(request, form);
        self.forms.refusal(request, form, failure).filter(|_| is_sent)
    }

    /// What the request is going to take of its quota, as far as can be told.
    fn need(&self, request: &ModelRequest) -> TokenCost {
        let param = |name: &str| self.asked.param(request, name)?.as_u64();
        let most = param("max_tokens").or_else(|| param("max_completion_tokens"));
        TokenCost { input: quota::prompt_tokens(request), output: self.outputs.expected(most) }
    }

    /// One HTTP exchange, when an endpoint has a place and the quota allows it, within the time limit.
    async fn exchange(
        &self,
        body: Vec<u8>,
        asking: &Asking<'_>,
        form: StructuredOutput,
    ) -> Result<Completion, Failure> {
        if !asking.request.is_allowed().await {
            return Err(no_budget());
        }
        let need = self.need(asking.request);
        let wish = asking.wish();
        let mut place = self.endpoints.place(wish).await;
        let turn = self.pool.turn(need).await;
        // The endpoint may have gone down while the quota was waited for.
        if place.is_down()
            && let Some(other) = self.endpoints.try_place(wish)
        {
            place = other;
        }
        if let Some(fatal) = self.fatal.get() {
            turn.refund();
            return Err(fatal.clone());
        }
        if !asking.request.begin().await {
            turn.refund();
            return Err(no_budget());
        }
        let before = asking.sent.fetch_add(1, Ordering::Relaxed);
        place.begin();
        let posted = async {
            match &self.script {
                Some(script) => {
                    let (Asking { request, record, played, .. }, endpoint) = (asking, place.number());
                    self.asked.dialect.read(&script.reply(request, record, played, before, endpoint).await?)
                }
                None => self.post(place.address(), body, asking.request, &turn).await,
            }
        };
        let result = self.wire.in_time(&place.address().shown, posted).await;
        let mut result = result.map_err(|failure| match self.refusal(asking.request, form, &failure) {
            Some(SchemaRefusal::Explicit) => failure,
            _ => self.refused_settings.judge(&self.asked, asking.request, failure),
        });
        match &mut result {
            Ok(completion) => {
                self.refused_settings.note_answer(asking.request);
                self.note_answer(completion, need, place, turn);
            }
            Err(failure) => {
                asking.request.failed(failure.took());
                if matches!(failure.verdict, Verdict::Throttled | Verdict::Retry) {
                    asking.failed_at.store(place.number(), Ordering::Relaxed);
                }
                if failure.verdict == Verdict::Fatal {
                    let _ = self.fatal.set(failure.clone());
                }
                throttling::note_failure(failure, place, turn, self.retry.base());
            }
        }
        result
    }

    fn note_answer(&self, completion: &Completion, need: TokenCost, place: EndpointLease, turn: QuotaPermit) {
        place.end(AttemptOutcome::Good);
        let Usage { prompt_tokens, completion_tokens, .. } = completion.usage;
        let output = completion_tokens.unwrap_or_else(|| quota::answer_tokens(completion));
        self.outputs.note(output);
        turn.settle(TokenCost { input: prompt_tokens.unwrap_or(need.input), output });
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
                    None => {
                        *place = None;
                        self.endpoints.forget_queue(index);
                    }
                }
            }
            tokio::time::sleep(QUEUE_EVERY).await;
        }
    }

    async fn queue(&self, url: &Url) -> Option<(f64, f64)> {
        let request = self.wire.get(url.clone()).timeout(CONNECT_TIMEOUT);
        let response = request.send().await.ok().filter(|response| response.status().is_success())?;
        let text = http::body(response, "").await.ok()?;
        read_queue(&String::from_utf8_lossy(&text))
    }

    async fn post(
        &self,
        endpoint: &Address,
        body: Vec<u8>,
        request: &ModelRequest,
        turn: &QuotaPermit,
    ) -> Result<Completion, Failure> {
        let posted = self.wire.post_json(endpoint.url.clone(), body);
        let sent = Instant::now();
        let mut response =
            posted.send().await.map_err(|error| classify::transport(&error, &endpoint.shown))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let left = quota::read_headers(&headers);
        turn.observe(left);
        if !status.is_success() {
            let mut failure = http::refusal(status, &headers, response, &endpoint.shown).await;
            failure.names_quota |= left.is_used_up();
            return Err(failure);
        }
        if self.asked.streaming.is_on() {
            let (dialect, choices) = (self.asked.dialect, self.asked.choices(request));
            return streaming::answer(response, dialect, choices, &endpoint.shown, sent).await;
        }
        self.asked.dialect.read(&http::body(response, &endpoint.shown).await?)
    }
}

impl Model for Remote {
    fn provider(&self) -> &'static str {
        match self.asked.dialect {
            _ if self.script.is_some() => MOCK,
            Dialect::Anthropic => "anthropic",
            Dialect::Chat | Dialect::Completions => "openai",
        }
    }

    fn health(&self) -> Health {
        Health { endpoints: self.endpoints.figures(), pool: Some(self.pool.figures()), ..Health::default() }
    }

    fn background_task(
        self: Arc<Self>,
        _with: BackgroundContext,
    ) -> Option<BoxFuture<'static, Result<(), StorageError>>> {
        let watched = self.concurrency == Concurrency::Auto && self.script.is_none();
        watched.then(|| self.watch_queues().map(Ok).boxed())
    }

    fn complete<'a>(
        &'a self,
        request: &'a ModelRequest,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<Completion, ModelError>> {
        async move {
            let asking = Asking {
                request,
                record,
                sent: AtomicU32::new(0),
                broken: AtomicU32::new(0),
                played: Played::default(),
                failed_at: AtomicU32::new(0),
            };
            let result = self.retry.run(request.slot.as_deref(), || self.attempt(&asking).boxed()).await;
            let attempts = asking.sent.load(Ordering::Relaxed);
            match result {
                Ok(completion) => Ok(Completion { attempts, ..completion }),
                Err(failure) => Err(finally(failure, attempts)),
            }
        }
        .boxed()
    }
}

/// Said to nobody: the engine knows that it does not pay.
pub(super) fn no_budget() -> Failure {
    Failure::new(Verdict::RejectRecord, "budget", "the budget has no room for another attempt")
}

pub(super) fn finally(failure: Failure, attempts: u32) -> ModelError {
    let kind = match failure.verdict {
        Verdict::Fatal => ModelErrorKind::Fatal,
        Verdict::Throttled | Verdict::Retry | Verdict::RejectRecord => ModelErrorKind::Record,
    };
    ModelError { kind, class: failure.class, message: failure.message, attempts }
}
