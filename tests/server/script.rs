//! The script: rules that map questions to replies, and the limits of the server.
//!
//! It is JSON; an unknown field is an error. The first rule that matches a question determines its reply; without a match,
//! the question is answered.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use super::admission::{Capacity, Rate};
use super::certificates::Kind;
use super::handler::{Answer, Question};
use super::reply::Reply;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Script {
    pub(crate) rules: Vec<Rule>,
    /// The reply if no rule matches; by default, an answer that conforms to the schema of the question.
    pub(crate) otherwise: Reply,
    /// The rate limit, in questions per second.
    pub(crate) rate: Option<Rate>,
    /// The concurrency limit.
    pub(crate) capacity: Option<Capacity>,
    /// Speaks TLS, with a certificate of this kind.
    pub(crate) tls: Option<Kind>,
    /// Seconds after which an idle connection is closed.
    pub(crate) idle: Option<f64>,
    /// Periods in which no connection is accepted, in seconds since the start.
    pub(crate) outages: Vec<(f64, f64)>,
}

/// One rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(default)]
    when: Condition,
    /// How many questions it applies to; unlimited by default.
    uses: Option<usize>,
    reply: Reply,
}

/// The conditions on a question, all of which must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Condition {
    /// The last message is this text.
    is: Option<String>,
    /// The last message contains this text.
    contains: Option<String>,
    /// The path contains this text.
    path: Option<String>,
    /// The message was received fewer than this many times before.
    first: Option<usize>,
    /// The message was received at least this many times before.
    after: Option<usize>,
    /// The last number in the message is a multiple of this.
    multiple_of: Option<u64>,
    /// The question arrives in this period, in seconds since the start.
    seconds: Option<(f64, f64)>,
    /// At least this many other questions are in progress.
    load: Option<usize>,
    /// Whether its connection has carried another question.
    reused: Option<bool>,
    /// A pseudo-random share of the questions that meet the other conditions.
    share: Option<f64>,
    /// The `response_format.type` of the question; `none` without one.
    format: Option<String>,
}

impl Script {
    /// Returns the function that applies the rules to each question.
    pub(crate) fn into_answer(self) -> Answer {
        let start = Instant::now();
        let used: Vec<AtomicUsize> = self.rules.iter().map(|_| AtomicUsize::new(0)).collect();
        let rng = Mutex::new(ChaCha8Rng::seed_from_u64(0));
        Box::new(move |question| {
            for (index, rule) in self.rules.iter().enumerate() {
                let since = question.at.saturating_duration_since(start).as_secs_f64();
                if !rule.when.holds(question, since) {
                    continue;
                }
                if let Some(share) = rule.when.share
                    && !rng.lock().unwrap().random_bool(share)
                {
                    continue;
                }
                let before = used[index].fetch_add(1, Ordering::SeqCst);
                if rule.uses.is_none_or(|uses| before < uses) {
                    return (rule.reply.clone(), Some(index));
                }
            }
            (self.otherwise.clone(), None)
        })
    }
}

impl Condition {
    fn holds(&self, question: &Question, since: f64) -> bool {
        let prompt = &question.prompt;
        let number = || prompt.rsplit(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty());
        let multiple = |of: u64| {
            let number = number().and_then(|digits| digits.parse::<u64>().ok());
            number.is_some_and(|number| number.is_multiple_of(of))
        };
        let format = || question.body["response_format"]["type"].as_str().unwrap_or("none");
        self.is.as_ref().is_none_or(|all| prompt == all)
            && self.contains.as_ref().is_none_or(|part| prompt.contains(part))
            && self.path.as_ref().is_none_or(|part| question.path.contains(part))
            && self.first.is_none_or(|times| question.before < times)
            && self.after.is_none_or(|times| question.before >= times)
            && self.multiple_of.is_none_or(multiple)
            && self.seconds.is_none_or(|(from, to)| (from..to).contains(&since))
            && self.load.is_none_or(|load| question.load >= load)
            && self.reused.is_none_or(|reused| reused == (question.on_connection > 0))
            && self.format.as_ref().is_none_or(|wanted| wanted == format())
    }
}
