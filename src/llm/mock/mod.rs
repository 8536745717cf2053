//! The provider that needs no server and says what the pipeline file scripts, for tests and dry runs.
//!
//! `Script` stands where HTTP would: `remote` hands it each attempt and reads what it says as if it came from
//! a server, so that quotas, pauses, retries, the journal and budgets work as they will with one. What it says
//! depends on the run's seed, the rules, the record, the messages, and how often they were asked: the same
//! at any concurrency and at every start. What depends on the moment instead, as a provider's limit and the state of a
//! replica do, only puts an answer off.
//!
//! `rule` has conditions and answers, `fault` what an error becomes, `limit` the limit of the whole.

mod fault;
mod limit;
mod rule;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use self::limit::Limit;
use self::rule::{Count, Kind, Rule, Scene};
use super::classify::{Failure, Verdict};
use super::connect::{ConnectError, ConnectProblem, MockContext};
use super::quota::{self, Pool};
use super::remote::Remote;
use super::{Model, ModelRequest};
use crate::draw::Draws;
use crate::pipeline::{Delay, Fault, MockRule, MockUsage, ModelConfig};
use crate::record::Record;

/// What 95 of 100 draws of a normal law stay under, in standard deviations.
const P95: f64 = 1.644_853_626_951_472_2;

/// What a mock model says.
pub(super) struct Script {
    rules: Vec<Rule>,
    delay: Option<Delay>,
    limit: Option<Limit>,
    draws: Draws,
    /// Whether a rule reads the answer that is given where none fits.
    reads_answer: bool,
    params: Map<String, Value>,
    /// Answers where no rule does; meets any schema.
    usual: Arc<dyn Model>,
}

/// What a script has said to one request so far.
#[derive(Debug, Default)]
pub(super) struct Played {
    attempts: AtomicU32,
    answers: AtomicU32,
}

/// The mock model `name`: the client of servers, with a script in the server's place.
pub(super) fn model(
    name: &str,
    config: &ModelConfig,
    pool: Arc<Pool>,
    drawn: MockContext<'_>,
    usual: Arc<dyn Model>,
) -> Result<Remote, ConnectError> {
    let problem = |what| ConnectError { model: name.to_owned(), what };
    let script = Script::new(name, config, drawn, usual).map_err(problem)?;
    // No key is read and no address of a real server named.
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

impl Script {
    fn new(
        name: &str,
        config: &ModelConfig,
        drawn: MockContext<'_>,
        usual: Arc<dyn Model>,
    ) -> Result<Self, ConnectProblem> {
        let mock = config.mock.clone().unwrap_or_default();
        let mut rules: Vec<Rule> = Vec::new();
        for (index, declared) in mock.rules.iter().enumerate() {
            let rule = Rule::new(declared, &rules, drawn.vars)
                .map_err(|what| ConnectProblem::Mock { rule: index + 1, what })?;
            rules.push(rule);
        }
        Ok(Self {
            reads_answer: rules.iter().any(|rule| rule.reads("mock.answer")),
            rules,
            delay: mock.delay,
            limit: mock.limit.map(Limit::new),
            draws: Draws::new(drawn.seed, format!("model {name}").into()),
            params: config.params.clone(),
            usual,
        })
    }

    /// The body of the response to an attempt that an endpoint gets, counted from 1; or how it fails. `sent`
    /// counts the attempts before it.
    pub(super) async fn reply(
        &self,
        request: &ModelRequest,
        record: &Record,
        played: &Played,
        sent: u32,
        endpoint: u32,
    ) -> Result<Vec<u8>, Failure> {
        if let Some(limit) = &self.limit {
            limit.take()?;
        }
        let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        let count = Count { sent, attempts: count(&played.attempts), answers: count(&played.answers) };
        let mut scene = Scene::new(request, record, count, endpoint);
        if self.reads_answer {
            scene.show_answer(&self.usual(request, record).await);
        }
        if let Some(useless) = self.endpoint(&scene).await? {
            return Ok(useless);
        }
        played.attempts.fetch_add(1, Ordering::Relaxed);
        let (number, rule) = self.fitting(&scene)?;
        let nothing = MockRule::default();
        let declared = rule.map_or(&nothing, |rule| &rule.declared);
        self.wait(declared.delay.or(self.delay), "delay", &scene.key(Kind::Error)).await;
        if let Some(fault) = declared.error {
            return fail(fault, declared).await;
        }
        let answer = match rule {
            Some(rule) => rule.answer(&scene).map_err(|error| wrong_rule(number, &error))?,
            None => None,
        };
        let reasoning = match rule {
            Some(rule) => rule.reasoning(&scene).map_err(|error| wrong_rule(number, &error))?,
            None => None,
        };
        let answer = match answer {
            Some(answer) => answer,
            None => self.usual(request, record).await,
        };
        played.answers.fetch_add(1, Ordering::Relaxed);
        Ok(self.body(request, &scene, declared, &answer, reasoning.as_deref()))
    }

    /// The answer where no rule gives one.
    async fn usual(&self, request: &ModelRequest, record: &Record) -> String {
        let answered = self.usual.complete(request, record).await;
        answered.map(|completion| completion.text).unwrap_or_default()
    }

    /// What the endpoint does before the request gets to the model: it takes its time, fails, or sends a body of
    /// no use. That may put an answer off, but does not count among the attempts that other rules see, since
    /// which endpoint is asked depends on the moment.
    async fn endpoint(&self, scene: &Scene) -> Result<Option<Vec<u8>>, Failure> {
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.kind == Kind::Endpoint) {
            if !rule.fits(scene, &self.draws).map_err(|error| wrong_rule(index + 1, &error))? {
                continue;
            }
            self.wait(rule.declared.delay, "endpoint delay", &scene.key(Kind::Endpoint)).await;
            return match rule.declared.error {
                None => Ok(None),
                Some(fault) => fail(fault, &rule.declared).await.map(Some),
            };
        }
        Ok(None)
    }

    /// The first rule of the others that fits, with its number from 1.
    fn fitting(&self, scene: &Scene) -> Result<(usize, Option<&Rule>), Failure> {
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.kind != Kind::Endpoint) {
            if rule.fits(scene, &self.draws).map_err(|error| wrong_rule(index + 1, &error))? {
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

    /// A response in the words of OpenAI's API; it reads as a chat's and as a raw completion's.
    fn body(
        &self,
        request: &ModelRequest,
        scene: &Scene,
        rule: &MockRule,
        answer: &str,
        reasoning: Option<&str>,
    ) -> Vec<u8> {
        let param = |name: &str| request.params.get(name).or_else(|| self.params.get(name))?.as_u64();
        let choices = param("n").unwrap_or(1).clamp(1, 128);
        let choice = json!({
            "message": {
                "content": answer,
                "reasoning_content": reasoning,
                "tool_calls": rule.tool_calls,
            },
            "finish_reason": rule.finish_reason.as_deref().unwrap_or("stop"),
        });
        let MockUsage { prompt_tokens, completion_tokens } = rule.usage.unwrap_or_default();
        let written = quota::tokens(answer.len() + reasoning.map_or(0, str::len)) * choices;
        let body = json!({
            "choices": vec![choice; usize::try_from(choices).unwrap_or(1)],
            "usage": {
                "prompt_tokens": prompt_tokens.unwrap_or_else(|| quota::tokens(scene.prompt.len())),
                "completion_tokens": completion_tokens.unwrap_or(written),
            },
        });
        body.to_string().into_bytes()
    }
}

/// What a fault brings, if it ever brings anything.
async fn fail(fault: Fault, declared: &MockRule) -> Result<Vec<u8>, Failure> {
    if fault == Fault::Hang {
        std::future::pending::<()>().await;
    }
    fault::respond(fault, declared.message.as_deref(), declared.retry_after)
}

fn wrong_rule(number: usize, error: &crate::template::TemplateError) -> Failure {
    Failure::new(Verdict::RejectRecord, "mock", format!("rule {number} of the mock: {error}"))
}
