//! The mock provider: it needs no server and answers as the pipeline file scripts, for tests and dry runs.
//!
//! `MockScript` takes the place of HTTP: `remote` passes it each attempt and treats its reply as if it came from a
//! server, so that quotas, throttling, retries, the journal and budgets work as they would with one. The reply depends
//! on the run's seed, the rules, the record, the messages, and how often they were asked: it is the same at any
//! concurrency and after any restart. What depends on timing instead, such as a rate limit or the state of a replica,
//! only delays an answer.
//!
//! `rule` has conditions and answers, `fault` scripted errors, `limit` the rate limit.

mod fault;
mod limit;
mod rule;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use self::limit::RateLimiter;
use self::rule::{CompiledRule, MockAttempt, PriorAttempts, RuleKind};
use super::classify::{Failure, Verdict};
use super::connect::{ConnectError, ConnectProblem, MockContext};
use super::quota::{self, Pool};
use super::remote::Remote;
use super::{Completion, Model, ModelRequest};
use crate::draw::Draws;
use crate::pipeline::{Delay, Fault, MockRule, MockUsage, ModelConfig};
use crate::record::Record;

/// The 95th percentile of a normal distribution, in standard deviations.
const P95: f64 = 1.644_853_626_951_472_2;

/// The script of a mock model.
pub(super) struct MockScript {
    rules: Vec<CompiledRule>,
    delay: Option<Delay>,
    limit: Option<RateLimiter>,
    draws: Draws,
    /// Whether a rule reads the default answer.
    reads_answer: bool,
    params: Map<String, Value>,
    /// Answers where no rule does; meets any schema.
    default_model: Arc<dyn Model>,
}

/// How far a script has got with one request.
#[derive(Debug, Default)]
pub(super) struct ScriptProgress {
    attempts: AtomicU32,
    answers: AtomicU32,
}

/// Creates the mock model `name`: the client for servers, with a script instead of a server.
pub(super) fn model(
    name: &str,
    config: &ModelConfig,
    pool: Arc<Pool>,
    context: MockContext<'_>,
    default_model: Arc<dyn Model>,
) -> Result<Remote, ConnectError> {
    let problem = |what| ConnectError { model: name.to_owned(), what };
    let script = MockScript::new(name, config, context, default_model).map_err(problem)?;
    // No key is read, and no address of a real server is used.
    let mut stand_in = config.clone();
    stand_in.base_urls = match config.base_urls.len() {
        0 | 1 => vec!["http://mock".to_owned()],
        count => (1..=count).map(|number| format!("http://mock-{number}")).collect(),
    };
    stand_in.api_key_env = None;
    stand_in.api_key_file = None;
    stand_in.headers.clear();
    if stand_in.model.is_empty() {
        "mock".clone_into(&mut stand_in.model);
    }
    Ok(Remote::in_pool(name, &stand_in, pool)?.scripted(script))
}

impl MockScript {
    fn new(
        name: &str,
        config: &ModelConfig,
        context: MockContext<'_>,
        default_model: Arc<dyn Model>,
    ) -> Result<Self, ConnectProblem> {
        let mock = config.mock.clone().unwrap_or_default();
        let mut rules: Vec<CompiledRule> = Vec::new();
        for (index, declared) in mock.rules.iter().enumerate() {
            let rule = CompiledRule::new(declared, &rules, context.vars)
                .map_err(|what| ConnectProblem::Mock { rule: index + 1, what })?;
            rules.push(rule);
        }
        Ok(Self {
            reads_answer: rules.iter().any(|rule| rule.reads("mock.answer")),
            rules,
            delay: mock.delay,
            limit: mock.limit.map(RateLimiter::new),
            draws: Draws::new(context.seed, format!("model {name}").into()),
            params: config.params.clone(),
            default_model,
        })
    }

    /// Returns the body of the response to an attempt at an endpoint (from 1), or its failure. `sent` is the number of
    /// previous attempts.
    pub(super) async fn reply(
        &self,
        request: &ModelRequest,
        record: &Record,
        progress: &ScriptProgress,
        sent: u32,
        endpoint: u32,
    ) -> Result<Vec<u8>, Failure> {
        if let Some(limit) = &self.limit {
            limit.take()?;
        }
        let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        let count =
            PriorAttempts { sent, attempts: count(&progress.attempts), answers: count(&progress.answers) };
        let mut attempt = MockAttempt::new(request, record, count, endpoint);
        if self.reads_answer {
            attempt.show_answer(&self.default_answer(request, record).await.text);
        }
        if let Some(useless) = self.endpoint(&attempt).await? {
            return Ok(useless);
        }
        progress.attempts.fetch_add(1, Ordering::Relaxed);
        let (number, rule) = self.first_match(&attempt)?;
        let nothing = MockRule::default();
        let declared = rule.map_or(&nothing, |rule| &rule.declared);
        self.wait(declared.delay.or(self.delay), "delay", &attempt.key(RuleKind::Error)).await;
        if let Some(fault) = declared.error {
            return raise(fault, declared).await;
        }
        let answer = match rule {
            Some(rule) => rule.answer(&attempt).map_err(|error| wrong_rule(number, &error))?,
            None => None,
        };
        let reasoning = match rule {
            Some(rule) => rule.reasoning(&attempt).map_err(|error| wrong_rule(number, &error))?,
            None => None,
        };
        let mut said = match (answer, likeliest(&declared.logprobs)) {
            (Some(text), _) => Completion { text, ..Completion::default() },
            (None, Some(token)) => Completion { text: token.to_owned(), ..Completion::default() },
            (None, None) => self.default_answer(request, record).await,
        };
        said.reasoning = reasoning;
        progress.answers.fetch_add(1, Ordering::Relaxed);
        Ok(self.body(request, &attempt, declared, &said))
    }

    /// Returns the answer if no rule has one.
    async fn default_answer(&self, request: &ModelRequest, record: &Record) -> Completion {
        self.default_model.complete(request, record).await.unwrap_or_default()
    }

    /// Simulates the endpoint before the request reaches the model: it is slow, fails, or sends an unusable body. That
    /// may delay an answer, but does not count as an attempt for other rules, since the choice of the endpoint depends
    /// on timing.
    async fn endpoint(&self, attempt: &MockAttempt) -> Result<Option<Vec<u8>>, Failure> {
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.kind == RuleKind::Endpoint)
        {
            if !rule.matches_attempt(attempt, &self.draws).map_err(|error| wrong_rule(index + 1, &error))? {
                continue;
            }
            self.wait(rule.declared.delay, "endpoint delay", &attempt.key(RuleKind::Endpoint)).await;
            return match rule.declared.error {
                None => Ok(None),
                Some(fault) => raise(fault, &rule.declared).await.map(Some),
            };
        }
        Ok(None)
    }

    /// Returns the first other rule that matches, with its number from 1.
    fn first_match(&self, attempt: &MockAttempt) -> Result<(usize, Option<&CompiledRule>), Failure> {
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.kind != RuleKind::Endpoint)
        {
            if rule.matches_attempt(attempt, &self.draws).map_err(|error| wrong_rule(index + 1, &error))? {
                return Ok((index + 1, Some(rule)));
            }
        }
        Ok((0, None))
    }

    async fn wait(&self, delay: Option<Delay>, draw: &str, key: &str) {
        let seconds = match delay {
            None => return,
            Some(Delay::Fixed(seconds)) => seconds,
            Some(Delay::Drawn(drawn)) => {
                let spread = (drawn.p95 / drawn.median).ln() / P95;
                let law = rand_distr::LogNormal::new(drawn.median.ln(), spread);
                let mut rng = self.draws.rng(draw, key);
                law.map_or(drawn.median, |law| rand_distr::Distribution::sample(&law, &mut rng))
            }
        };
        tokio::time::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default()).await;
    }

    /// Encodes a response of OpenAI's API, valid for chat and raw completions.
    fn body(
        &self,
        request: &ModelRequest,
        attempt: &MockAttempt,
        rule: &MockRule,
        said: &Completion,
    ) -> Vec<u8> {
        let param = |name: &str| request.params.get(name).or_else(|| self.params.get(name));
        let choices = param("n").and_then(Value::as_u64).unwrap_or(1).clamp(1, 128);
        let choice = json!({
            "message": {
                "content": said.text,
                "reasoning_content": said.reasoning,
                "tool_calls": rule.tool_calls,
            },
            "logprobs": param("logprobs").and_then(|_| logprobs(&rule.logprobs, said)),
            "finish_reason": rule.finish_reason.as_deref().unwrap_or("stop"),
        });
        let MockUsage { prompt_tokens, completion_tokens } = rule.usage.unwrap_or_default();
        let written =
            quota::tokens(said.text.len() + said.reasoning.as_ref().map_or(0, String::len)) * choices;
        let body = json!({
            "choices": vec![choice; usize::try_from(choices).unwrap_or(1)],
            "usage": {
                "prompt_tokens": prompt_tokens.unwrap_or_else(|| quota::tokens(attempt.prompt.len())),
                "completion_tokens": completion_tokens.unwrap_or(written),
            },
        });
        body.to_string().into_bytes()
    }
}

/// The likeliest of some tokens.
fn likeliest(logprobs: &BTreeMap<String, f64>) -> Option<&str> {
    let likeliest = logprobs.iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
    likeliest.map(|(token, _)| token.as_str())
}

/// The log probabilities of an answer's first token: those of the rule, or what the default answer comes with. The answer
/// begins with the longest of the tokens that it can begin with.
fn logprobs(scripted: &BTreeMap<String, f64>, said: &Completion) -> Option<Value> {
    if scripted.is_empty() {
        return said.more.as_ref()?.logprobs.clone();
    }
    let token = |(token, logprob): (&String, &f64)| json!({"token": token, "logprob": logprob});
    let begins = scripted.iter().filter(|(token, _)| said.text.starts_with(token.as_str()));
    let mut first = token(begins.max_by_key(|(token, _)| token.len())?);
    first["top_logprobs"] = scripted.iter().map(token).collect();
    Some(json!({"content": [first]}))
}

/// Raises a scripted fault; one that hangs never returns.
async fn raise(fault: Fault, declared: &MockRule) -> Result<Vec<u8>, Failure> {
    if fault == Fault::Hang {
        std::future::pending::<()>().await;
    }
    fault::respond(fault, declared.message.as_deref(), declared.retry_after)
}

fn wrong_rule(number: usize, error: &crate::template::TemplateError) -> Failure {
    Failure::new(Verdict::RejectRecord, "mock", format!("rule {number} of the mock: {error}"))
}
