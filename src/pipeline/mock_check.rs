//! Checks of a mock model's script: conditions, templates, and options that belong together.
//!
//! `config::check::globals` calls it for each model. Which fields the rules may use is known only with the
//! stages: see `check::mock`.

use regex::Regex;
use serde_json::{Map, Value};

use super::document::each_text;
use super::mock::{Delay, MockConfig, MockLimit, MockRule};
use super::model::ModelConfig;
use super::problem::Problem;
use super::schema_check::undeclared_var;
use crate::nearest::{did_you_mean, one_of};
use crate::template::{Expression, Template, TemplateError};

/// What templates see as `mock.NAME`.
const SEEN: [&str; 5] = ["mock.prompt", "mock.answer", "mock.stage", "mock.attempt", "mock.ask"];

/// Reports what is wrong with the script of the model at the pointer `at`.
pub(crate) fn check(at: &str, model: &ModelConfig, vars: &Map<String, Value>, problems: &mut Vec<Problem>) {
    let Some(mock) = &model.mock else { return };
    // A server's model may have a script too: it is what `--mock` runs.
    check_script(&format!("{at}/mock"), mock, model.base_urls.len().max(1), vars, problems);
}

/// Reports what is wrong with the script at the pointer `at`, of a model with so many replicas.
pub(crate) fn check_script(
    at: &str,
    mock: &MockConfig,
    replicas: usize,
    vars: &Map<String, Value>,
    problems: &mut Vec<Problem>,
) {
    // The loader has put the rules of models in its place.
    if mock.rules_file.is_some() {
        let mut problem = Problem::new(format!("{at}/rules_file"), "a test has no `rules_file`");
        problem.on_key().expected("`rules` in the file of the test");
        problems.push(problem);
    }
    check_delay(&format!("{at}/delay"), mock.delay, problems);
    if let Some(limit) = mock.limit {
        check_limit(&format!("{at}/limit"), limit, problems);
    }
    check_rules(&format!("{at}/rules"), &mock.rules, replicas, vars, problems);
}

/// Reports what is wrong with the rules whose list is at the pointer `at`.
pub(crate) fn check_rules(
    at: &str,
    rules: &[MockRule],
    replicas: usize,
    vars: &Map<String, Value>,
    problems: &mut Vec<Problem>,
) {
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("{at}/{index}");
        check_conditions(&at, rule, problems);
        check_endpoint(&at, rule, replicas, problems);
        check_outcome(&at, rule, problems);
        check_delay(&format!("{at}/delay"), rule.delay, problems);
        for read in templates(rule) {
            read.check(&at, vars, problems);
        }
    }
    // Rules of endpoints are evaluated before all others.
    let mut others = rules.iter().enumerate().filter(|(_, rule)| rule.endpoint.is_none());
    let all = others.find(|(_, rule)| rule.fits_everything());
    if let Some(((first, _), (behind, _))) = all.zip(others.next()) {
        let message = format!("the rule is never reached: rule {} before it fits everything", first + 1);
        let mut problem = Problem::new(format!("{at}/{behind}"), message);
        problem.hint("put the rule without conditions last");
        problems.push(problem);
    }
}

impl MockRule {
    fn fits_everything(&self) -> bool {
        self.contains.is_none() && self.matches.is_none() && self.when.is_none() && self.share.is_none()
    }

    /// Whether it defines an answer, an error or a delay.
    fn has_effect(&self) -> bool {
        self.answers() || self.error.is_some() || self.delay.is_some()
    }

    fn answers(&self) -> bool {
        self.answer.is_some()
            || self.reasoning.is_some()
            || self.tool_calls.is_some()
            || !self.logprobs.is_empty()
            || self.finish_reason.is_some()
            || self.usage.is_some()
    }
}

fn check_conditions(at: &str, rule: &MockRule, problems: &mut Vec<Problem>) {
    if rule.contains.as_deref() == Some("") {
        let problem = Problem::new(format!("{at}/contains"), "an empty text stands in every message");
        problems.push(problem.with_expected("a text of one character or more"));
    }
    if let Some(Err(error)) = rule.matches.as_deref().map(Regex::new) {
        let whole = error.to_string();
        let last = whole.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let problem = Problem::new(format!("{at}/matches"), format!("no regular expression: {last}"));
        problems.push(problem.with_expected("a regular expression such as `(?i)river|lake`"));
    }
    if let Some(share) = rule.share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
        let problem = Problem::new(format!("{at}/share"), format!("found the number `{share}`"));
        problems.push(problem.with_expected("a share above 0 up to 1, such as 0.05 for 5 %"));
    }
}

fn check_limit(at: &str, limit: MockLimit, problems: &mut Vec<Problem>) {
    let mut wrong = |field: &str, number: f64, expected: &str| {
        let problem = Problem::new(format!("{at}/{field}"), format!("found the number `{number}`"));
        problems.push(problem.with_expected(expected));
    };
    let rate = limit.requests_per_minute;
    if !(rate > 0.0 && rate.is_finite()) {
        wrong("requests_per_minute", rate, "requests a minute, more than 0");
    }
    if let Some(burst) = limit.burst.filter(|burst| !(*burst >= 1.0 && burst.is_finite())) {
        wrong("burst", burst, "requests at once, 1 or more");
    }
    if let Some(seconds) = limit.retry_after.filter(|seconds| !is_time(*seconds)) {
        problems.push(no_time(&format!("{at}/retry_after"), seconds));
    }
}

/// Replicas differ in how they fail and how slow they are. Which one is asked depends on timing, so answers must
/// not depend on it.
fn check_endpoint(at: &str, rule: &MockRule, count: usize, problems: &mut Vec<Problem>) {
    let Some(endpoint) = rule.endpoint else { return };
    if endpoint == 0 || endpoint as usize > count {
        let problem = Problem::new(format!("{at}/endpoint"), format!("there is no endpoint {endpoint}"));
        problems.push(problem.with_expected(match count {
            1 => "1, or more entries in the model's `base_urls`".to_owned(),
            count => format!("a number from 1 to {count}, as the model has so many `base_urls`"),
        }));
    }
    if rule.answers() {
        let mut problem = Problem::new(format!("{at}/endpoint"), "an answer does not depend on the endpoint");
        problem.on_key().expected("an `error` beside it, or a `delay` alone");
        problems.push(problem);
    }
}

fn check_outcome(at: &str, rule: &MockRule, problems: &mut Vec<Problem>) {
    if !rule.has_effect() {
        let mut problem = Problem::new(at, "the rule does not say what is answered");
        problem.expected("an `answer`, an `error` or a `delay`");
        problems.push(problem);
    }
    for (token, logprob) in rule.logprobs.iter().filter(|(_, logprob)| **logprob > 0.0) {
        let problem = Problem::new(format!("{at}/logprobs"), format!("`{token}` has the number `{logprob}`"));
        problems.push(problem.with_expected("logarithms of probabilities: 0 or less"));
    }
    let with_error = [
        ("answer", rule.answer.is_some()),
        ("reasoning", rule.reasoning.is_some()),
        ("tool_calls", rule.tool_calls.is_some()),
        ("logprobs", !rule.logprobs.is_empty()),
        ("finish_reason", rule.finish_reason.is_some()),
        ("usage", rule.usage.is_some()),
    ];
    let without = [("message", rule.message.is_some()), ("retry_after", rule.retry_after.is_some())];
    let wrong = match rule.error {
        Some(_) => with_error.iter().filter(|(_, given)| *given).collect::<Vec<_>>(),
        None => without.iter().filter(|(_, given)| *given).collect(),
    };
    for (field, _) in wrong {
        let (message, expected) = match rule.error {
            Some(_) => (format!("an error has no `{field}`"), "either an `error` or an answer"),
            None => (format!("only an error has a `{field}`"), "an `error` beside it"),
        };
        let mut problem = Problem::new(format!("{at}/{field}"), message);
        problem.on_key().expected(expected);
        problems.push(problem);
    }
    if let Some(seconds) = rule.retry_after.filter(|seconds| !is_time(*seconds)) {
        problems.push(no_time(&format!("{at}/retry_after"), seconds));
    }
}

fn check_delay(at: &str, delay: Option<Delay>, problems: &mut Vec<Problem>) {
    match delay {
        Some(Delay::Fixed(seconds)) if !is_time(seconds) => problems.push(no_time(at, seconds)),
        Some(Delay::Drawn(drawn)) if !(is_time(drawn.median) && drawn.median > 0.0) => {
            problems.push(no_time(&format!("{at}/median"), drawn.median));
        }
        Some(Delay::Drawn(drawn)) if !is_time(drawn.p95) || drawn.p95 < drawn.median => {
            let problem = Problem::new(format!("{at}/p95"), format!("found the number `{}`", drawn.p95));
            problems.push(problem.with_expected("seconds, no fewer than `median`"));
        }
        _ => {}
    }
}

/// Up to a day.
fn is_time(seconds: f64) -> bool {
    (0.0..=86_400.0).contains(&seconds)
}

fn no_time(at: &str, seconds: f64) -> Problem {
    Problem::new(at, format!("found the number `{seconds}`"))
        .with_expected("seconds, 0 or more, a day at most")
}

/// A template or expression of a rule.
pub(crate) struct MockTemplate<'r> {
    /// Its pointer, relative to the rule.
    pub(crate) at: String,
    source: &'r str,
    is_expression: bool,
}

/// The texts of a rule that are templates or expressions.
pub(crate) fn templates(rule: &MockRule) -> Vec<MockTemplate<'_>> {
    let text = |at: &str, source| MockTemplate { at: at.to_owned(), source, is_expression: false };
    let mut found: Vec<MockTemplate<'_>> = Vec::new();
    found
        .extend(rule.when.as_deref().map(|when| MockTemplate { is_expression: true, ..text("/when", when) }));
    if let Some(answer) = &rule.answer {
        each_text(answer, "/answer", &mut |at, source| found.push(text(at, source)));
    }
    found.extend(rule.reasoning.as_deref().map(|reasoning| text("/reasoning", reasoning)));
    found
}

impl MockTemplate<'_> {
    /// The names it uses; an error if it does not compile.
    pub(crate) fn names(&self, vars: &Map<String, Value>) -> Result<Vec<String>, TemplateError> {
        match self.is_expression {
            true => Ok(Expression::new(self.source, vars)?.variables()),
            false => Ok(Template::new(self.source, vars)?.variables()),
        }
    }

    fn check(&self, rule: &str, vars: &Map<String, Value>, problems: &mut Vec<Problem>) {
        let at = format!("{rule}{}", self.at);
        let names = match self.names(vars) {
            Ok(names) => names,
            Err(error) => {
                let mut problem = Problem::new(at, "");
                problem.of_template(&error);
                problems.push(problem);
                return;
            }
        };
        for name in names {
            let var = name.strip_prefix("vars.").and_then(|rest| rest.split('.').next());
            if let Some(var) = var.filter(|var| !vars.contains_key(*var)) {
                problems.push(undeclared_var(&at, var, vars));
            }
            if name.starts_with("mock.") && !SEEN.contains(&&*name) {
                let mut problem = Problem::new(&at, format!("there is no `{name}`"));
                problem.on_word(&name).expected(one_of(SEEN));
                problem.hint = did_you_mean(&name, SEEN);
                problems.push(problem);
            }
        }
    }
}
