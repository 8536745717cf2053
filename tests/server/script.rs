//! The script: rules that say which question gets which reply, and the limits of the server.
//!
//! It is JSON; an unknown field is an error. The first rule that matches a question gives its reply; where
//! none does, the question is answered.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use super::certificates::Kind;
use super::desk::{Answer, Question};
use super::reply::Reply;
use super::traffic::{Capacity, Rate};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Script {
    pub(crate) rules: Vec<Rule>,
    /// What no rule takes; an answer that conforms to the question's schema, if nothing is said.
    pub(crate) otherwise: Reply,
    /// Questions a second beyond which the server refuses.
    pub(crate) rate: Option<Rate>,
    /// Questions at a time that the server works on.
    pub(crate) capacity: Option<Capacity>,
    /// Speaks TLS, with a certificate of this kind.
    pub(crate) tls: Option<Kind>,
    /// Seconds after which an idle connection is closed.
    pub(crate) idle: Option<f64>,
    /// From when to when no connection is taken, in seconds since the start.
    pub(crate) outages: Vec<(f64, f64)>,
}

/// One rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(default)]
    when: When,
    /// How many questions it takes before it is used up; any number without it.
    uses: Option<usize>,
    reply: Reply,
}

/// What must hold of a question; what is not named need not.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct When {
    /// The whole of the last message.
    is: Option<String>,
    /// A part of the last message.
    contains: Option<String>,
    /// A part of the path.
    path: Option<String>,
    /// The same message came fewer than so many times before.
    first: Option<usize>,
    /// The same message came at least so many times before.
    after: Option<usize>,
    /// The number at the end of the message can be divided by this.
    multiple_of: Option<u64>,
    /// From when to when, in seconds since the start.
    seconds: Option<(f64, f64)>,
    /// At least so many other questions are under way.
    load: Option<usize>,
    /// Whether its connection carried another question before.
    reused: Option<bool>,
    /// By chance, this share of the questions that the rest holds of: the same ones each time.
    share: Option<f64>,
    /// What the question wants for its answer, by `response_format.type`; `none` if nothing.
    format: Option<String>,
}

impl Script {
    /// What the rules make of each question.
    pub(crate) fn into_answer(self) -> Answer {
        let start = Instant::now();
        let used: Vec<AtomicUsize> = self.rules.iter().map(|_| AtomicUsize::new(0)).collect();
        let chance = Mutex::new(ChaCha8Rng::seed_from_u64(0));
        Box::new(move |question| {
            for (index, rule) in self.rules.iter().enumerate() {
                let since = question.at.saturating_duration_since(start).as_secs_f64();
                if !rule.when.holds(question, since) {
                    continue;
                }
                if let Some(share) = rule.when.share
                    && !chance.lock().unwrap().random_bool(share)
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

impl When {
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
