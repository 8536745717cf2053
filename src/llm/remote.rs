//! The model client for servers over HTTP.
//!
//! There is one `Remote` per declared model: it has the endpoints, the key and what was learned about the server.
//! `dialect` encodes requests and decodes answers, `classify` decides what a failure means, `retry` retries, `quota`
//! throttles. The engine limits how many requests are in flight. Dropping the future of a request closes its
//! connection. The key is in no message, log or `Debug` output.

mod queue_polling;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::classify::{self, Failure, Verdict};
use super::connect::{ConnectError, ConnectProblem};
use super::dialect::{Dialect, RequestEncoder};
use super::endpoints::{Address, AttemptOutcome, EndpointLease, EndpointPreference, Endpoints};
use super::http::{self, HttpClient};
use super::images;
use super::jitter::Jitter;
use super::mock::{MockScript, ScriptProgress};
use super::quota::{self, AnswerLengths, Pool, QuotaPermit, TokenCost};
use super::refused_settings::RefusedSettings;
use super::retry::{MAX_PAUSE, RetryPolicy};
use super::schema_fallback::{self, SchemaFallback, SchemaRefusal, weaker};
use super::slot;
use super::streaming;
use super::throttling;
use super::{
    BackgroundContext, Completion, MOCK, Model, ModelError, ModelErrorKind, ModelHealth, ModelRequest, Usage,
};
use crate::journal::StorageError;
use crate::pipeline::{Concurrency, ModelConfig, RESERVED_PARAMS, StructuredOutput};
use crate::record::Record;

/// The upper bound of the first wait before a retry.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// A model behind one or more endpoints.
pub struct Remote {
    encoder: RequestEncoder,
    http: HttpClient,
    endpoints: Arc<Endpoints>,
    concurrency: Concurrency,
    retry: RetryPolicy,
    pool: Arc<Pool>,
    answer_lengths: AnswerLengths,
    schema_fallback: SchemaFallback,
    refused_settings: RefusedSettings,
    /// A failure that stops the run: once found by one request, it prevents the others from being sent.
    fatal: OnceLock<Failure>,
    /// The script that answers instead of a server, for a mock.
    script: Option<MockScript>,
}

/// The state of a request across its attempts.
struct RequestState<'a> {
    request: &'a ModelRequest,
    record: &'a Record,
    sent: AtomicU32,
    /// How often the server reported that the model wrote no valid JSON.
    invalid_json: AtomicU32,
    /// The progress of the script, for a mock.
    script_progress: ScriptProgress,
    /// The number of the endpoint at which it failed last; 0 at first.
    failed_at: AtomicU32,
}

impl RequestState<'_> {
    fn preference(&self) -> EndpointPreference {
        let avoid = self.failed_at.load(Ordering::Relaxed).checked_sub(1);
        EndpointPreference { key: self.request.affinity, avoid: avoid.map(|index| index as usize) }
    }
}

impl Remote {
    /// Creates the client of the model `name` with a quota of its own. Reads the key from the environment; sends
    /// nothing yet.
    pub fn new(name: &str, config: &ModelConfig) -> Result<Self, ConnectError> {
        Self::in_pool(name, config, Pool::new(name, config.limits))
    }

    /// Creates the client with a quota pool that others may share.
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
        let encoder = RequestEncoder::new(config);
        let path = encoder.dialect.path();
        let addresses = config.base_urls.iter();
        let addresses = addresses.map(|url| Address::new(url, path)).collect::<Result<_, _>>()?;
        Ok(Self {
            http: HttpClient::new(name, config, encoder.dialect)?,
            endpoints: Endpoints::new(name, addresses, config.concurrency, Jitter::new()),
            concurrency: config.concurrency,
            encoder,
            retry: RetryPolicy::new(name, config.max_attempts, FIRST_WAIT),
            pool,
            answer_lengths: AnswerLengths::default(),
            schema_fallback: SchemaFallback::new(name, config.structured_output),
            refused_settings: RefusedSettings::new(name),
            fatal: OnceLock::new(),
            script: None,
        })
    }

    /// Sets the upper bound of the first wait before a retry; each further one doubles it.
    #[must_use]
    pub fn first_wait(mut self, wait: Duration) -> Self {
        self.retry.set_base(wait);
        self
    }

    /// Makes a script answer; nothing is sent.
    pub(super) fn scripted(mut self, script: MockScript) -> Self {
        self.script = Some(script);
        self
    }

    /// Makes one attempt, which may resend the question in a weaker form: a schema that a server refuses is sent as
    /// `json_object`, then not at all (`schema_fallback`). If the server reports that the model wrote no valid JSON,
    /// the next attempt uses the same form, those after it weaker ones.
    async fn attempt(&self, state: &RequestState<'_>) -> Result<Completion, Failure> {
        let request = state.request;
        let mut form = schema_fallback::after_failures(
            self.schema_fallback.form_for(request),
            state.invalid_json.load(Ordering::Relaxed),
        );
        let mut refused: Option<(SchemaRefusal, Failure)> = None;
        let mut without_usage = false;
        loop {
            let body = self.encoder.body(request, form, images::load(request).await?)?;
            let failure = match self.exchange(body, state, form).await {
                Ok(completion) => {
                    self.schema_fallback.note_answer(request, form, refused.map(|(refusal, _)| refusal));
                    return Ok(completion);
                }
                Err(failure) => failure,
            };
            if failure.class == schema_fallback::INVALID_JSON {
                state.invalid_json.fetch_add(1, Ordering::Relaxed);
                return schema_fallback::salvage(request, &failure).ok_or(failure);
            }
            // It is not sent in another form before it may be sent again at all.
            let wait = failure.retry_after.map(|asked| asked.min(MAX_PAUSE));
            let wait = async {
                if let Some(wait) = wait {
                    tokio::time::sleep(wait).await;
                }
            };
            if self.encoder.refuses_usage(request, &failure) && !std::mem::replace(&mut without_usage, true) {
                slot::without_slot(request.slot.as_deref(), wait).await;
                continue;
            }
            let refusal = self.refusal(request, form, &failure);
            if let (Some(refusal), Some(next)) = (refusal, weaker(form)) {
                form = next;
                refused.get_or_insert((refusal, failure));
                slot::without_slot(request.slot.as_deref(), wait).await;
                continue;
            }
            return Err(match refused {
                // The first refusal concerns the request as it was meant.
                Some((_, first)) if failure.verdict == Verdict::RejectRecord => {
                    self.schema_fallback.acquit(request);
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
        let is_sent = self.encoder.sends_schema(request, form);
        self.schema_fallback.refusal(request, form, failure).filter(|_| is_sent)
    }

    /// Estimates the request's cost.
    fn token_cost(&self, request: &ModelRequest) -> TokenCost {
        let param = |name: &str| self.encoder.param(request, name)?.as_u64();
        let most = param("max_tokens").or_else(|| param("max_completion_tokens"));
        TokenCost { input: quota::prompt_tokens(request), output: self.answer_lengths.expected(most) }
    }

    /// Makes one HTTP exchange within the time limit, once an endpoint has room and the quota allows it.
    async fn exchange(
        &self,
        body: Vec<u8>,
        state: &RequestState<'_>,
        form: StructuredOutput,
    ) -> Result<Completion, Failure> {
        if !state.request.is_allowed().await {
            return Err(no_budget());
        }
        let cost = self.token_cost(state.request);
        let preference = state.preference();
        let mut lease = self.endpoints.acquire(preference).await;
        let permit = self.pool.acquire(cost).await;
        // The endpoint may have gone down during the wait for the quota.
        if lease.is_down()
            && let Some(other) = self.endpoints.try_acquire(preference)
        {
            lease = other;
        }
        if let Some(fatal) = self.fatal.get() {
            permit.refund();
            return Err(fatal.clone());
        }
        if !state.request.begin().await {
            permit.refund();
            return Err(no_budget());
        }
        let before = state.sent.fetch_add(1, Ordering::Relaxed);
        lease.mark_sent();
        let posted = async {
            match &self.script {
                Some(script) => {
                    let (RequestState { request, record, script_progress, .. }, endpoint) =
                        (state, lease.number());
                    self.encoder
                        .dialect
                        .read(&script.reply(request, record, script_progress, before, endpoint).await?)
                }
                None => self.post(lease.address(), body, state.request, &permit).await,
            }
        };
        // Boxed, since the futures around it would otherwise each have its size, and move it.
        let posted = posted.boxed();
        let result = self.http.with_timeout(&lease.address().shown, posted).await;
        let mut result = result.map_err(|failure| match self.refusal(state.request, form, &failure) {
            Some(SchemaRefusal::Explicit) => failure,
            _ => self.refused_settings.judge(&self.encoder, state.request, failure),
        });
        match &mut result {
            Ok(completion) => {
                self.refused_settings.note_answer(state.request);
                self.note_answer(completion, cost, lease, permit);
            }
            Err(failure) => {
                state.request.failed(failure.took());
                if matches!(failure.verdict, Verdict::Throttled | Verdict::Retry) {
                    state.failed_at.store(lease.number(), Ordering::Relaxed);
                }
                if failure.verdict == Verdict::Fatal {
                    let _ = self.fatal.set(failure.clone());
                }
                throttling::note_failure(failure, lease, permit, self.retry.base());
            }
        }
        result
    }

    fn note_answer(
        &self,
        completion: &Completion,
        cost: TokenCost,
        lease: EndpointLease,
        permit: QuotaPermit,
    ) {
        lease.finish(AttemptOutcome::Answered);
        let Usage { prompt_tokens, completion_tokens, .. } = completion.usage;
        let output = completion_tokens.unwrap_or_else(|| quota::answer_tokens(completion));
        self.answer_lengths.note(output);
        permit.settle(TokenCost { input: prompt_tokens.unwrap_or(cost.input), output });
    }

    async fn post(
        &self,
        endpoint: &Address,
        body: Vec<u8>,
        request: &ModelRequest,
        permit: &QuotaPermit,
    ) -> Result<Completion, Failure> {
        let posted = self.http.post_json(endpoint.url.clone(), body);
        let sent = Instant::now();
        let mut response =
            posted.send().await.map_err(|error| classify::transport(&error, &endpoint.shown))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let left = quota::read_headers(&headers);
        permit.observe(left);
        if !status.is_success() {
            let mut failure = http::refusal(status, &headers, response, &endpoint.shown).await;
            failure.names_quota |= left.is_used_up();
            return Err(failure);
        }
        if self.encoder.streaming.is_on() {
            let (dialect, choices) = (self.encoder.dialect, self.encoder.choices(request));
            return streaming::answer(response, dialect, choices, &endpoint.shown, sent).await;
        }
        self.encoder.dialect.read(&http::body(response, &endpoint.shown).await?)
    }
}

impl Model for Remote {
    fn provider(&self) -> &'static str {
        match self.encoder.dialect {
            _ if self.script.is_some() => MOCK,
            Dialect::Anthropic => "anthropic",
            Dialect::Chat | Dialect::Completions => "openai",
        }
    }

    fn health(&self) -> ModelHealth {
        ModelHealth {
            endpoints: self.endpoints.figures(),
            pool: Some(self.pool.figures()),
            ..ModelHealth::default()
        }
    }

    fn background_task(
        self: Arc<Self>,
        _context: BackgroundContext,
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
            let state = RequestState {
                request,
                record,
                sent: AtomicU32::new(0),
                invalid_json: AtomicU32::new(0),
                script_progress: ScriptProgress::default(),
                failed_at: AtomicU32::new(0),
            };
            let result = self.retry.run(request.slot.as_deref(), || self.attempt(&state).boxed()).await;
            let attempts = state.sent.load(Ordering::Relaxed);
            match result {
                Ok(completion) => Ok(Completion { attempts, ..completion }),
                Err(failure) => Err(into_model_error(failure, attempts)),
            }
        }
        .boxed()
    }
}

/// The failure of a request for which there is no budget. It is never shown: the engine knows that the budget is used
/// up.
pub(super) fn no_budget() -> Failure {
    Failure::new(Verdict::RejectRecord, "budget", "the budget has no room for another attempt")
}

pub(super) fn into_model_error(failure: Failure, attempts: u32) -> ModelError {
    let kind = match failure.verdict {
        Verdict::Fatal => ModelErrorKind::Fatal,
        Verdict::Throttled | Verdict::Retry | Verdict::RejectRecord => ModelErrorKind::Record,
    };
    ModelError { kind, class: failure.class, message: failure.message, attempts }
}
