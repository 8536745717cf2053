//! One rule of a mock's script: whether it matches an attempt, and what it answers.
//!
//! A rule is compiled once, when the model is connected; `pipeline::mock_check` has rejected invalid ones.

use regex::Regex;
use serde_json::{Map, Value, json};

use crate::draw::Draws;
use crate::llm::ModelRequest;
use crate::pipeline::MockRule;
use crate::record::Record;
use crate::template::{Expression, Template, TemplateError};

/// An attempt, as rules see it.
pub(super) struct MockAttempt {
    /// The texts of all messages.
    pub(super) prompt: String,
    /// The record with the field `mock`.
    record: Record,
    /// The request's part of draw keys.
    request: String,
    count: PriorAttempts,
    endpoint: u32,
}

/// The attempts at a request before the current one.
#[derive(Debug, Clone, Copy)]
pub(super) struct PriorAttempts {
    /// All attempts.
    pub(super) sent: u32,
    /// Attempts that passed what depends on timing: the rate limit and the endpoints.
    pub(super) attempts: u32,
    /// Attempts that were answered.
    pub(super) answers: u32,
}

/// The kind of a rule, which decides by what its draws are keyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuleKind {
    /// Faults and delays of one replica.
    Endpoint,
    /// Errors of a request at any endpoint.
    Error,
    /// Answers.
    Answer,
}

impl MockAttempt {
    pub(super) fn new(request: &ModelRequest, record: &Record, count: PriorAttempts, endpoint: u32) -> Self {
        let texts: Vec<&str> = request.messages.iter().map(|message| &*message.content).collect();
        let prompt = texts.join("\n\n");
        let question = blake3::hash(prompt.as_bytes()).to_hex();
        let key = format!("{} {question} {}", record.id, request.sample);
        let mut record = record.clone();
        let mock = json!({
            "prompt": &prompt,
            "stage": &*request.stage,
            "attempt": count.attempts + 1,
            "ask": request.sample + 1,
        });
        record.set("mock", mock);
        Self { prompt, record, request: key, count, endpoint }
    }

    /// Returns the draw key of a kind. Each kind has a count of its own, so that nothing that depends on timing affects
    /// an error, and no error affects an answer.
    pub(super) fn key(&self, kind: RuleKind) -> String {
        let before = match kind {
            RuleKind::Endpoint => self.count.sent,
            RuleKind::Error => self.count.attempts,
            RuleKind::Answer => self.count.answers,
        };
        format!("{} {before}", self.request)
    }

    /// Exposes the default answer to templates.
    pub(super) fn show_answer(&mut self, answer: &str) {
        if let Some(mock) = self.record.fields.get_mut("mock").and_then(Value::as_object_mut) {
            mock.insert("answer".to_owned(), answer.into());
        }
    }
}

impl RuleKind {
    fn of(rule: &MockRule) -> Self {
        match rule {
            MockRule { endpoint: Some(_), .. } => Self::Endpoint,
            MockRule { error: Some(_), .. } => Self::Error,
            _ => Self::Answer,
        }
    }

    /// The label in the names of draws.
    fn label(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Error => "error",
            Self::Answer => "answer",
        }
    }
}

/// A compiled rule.
pub(super) struct CompiledRule {
    /// The rule as declared in the pipeline file.
    pub(super) declared: MockRule,
    pub(super) kind: RuleKind,
    matches: Option<Regex>,
    when: Option<Expression>,
    answer: Option<AnswerTemplate>,
    reasoning: Option<Template>,
    /// The name of the draw for `share`. Rules are numbered per kind, so that adding an error does not change the
    /// answers.
    draw: String,
}

/// A compiled answer.
enum AnswerTemplate {
    Text(Template),
    Json(JsonTemplate),
}

/// A JSON value whose strings are templates.
enum JsonTemplate {
    Text(Template),
    List(Vec<JsonTemplate>),
    Map(Vec<(String, JsonTemplate)>),
    Plain(Value),
}

impl CompiledRule {
    /// Compiles a rule that follows `others`. The error describes what is wrong.
    pub(super) fn new(rule: &MockRule, others: &[Self], vars: &Map<String, Value>) -> Result<Self, String> {
        let wrong = |error: TemplateError| error.to_string();
        let template = |text: &String| Template::new(text, vars).map_err(wrong);
        let expression = |text: &String| Expression::new(text, vars).map_err(wrong);
        let answer = match &rule.answer {
            None => None,
            Some(Value::String(text)) => Some(AnswerTemplate::Text(template(text)?)),
            Some(other) => Some(AnswerTemplate::Json(JsonTemplate::new(other, vars).map_err(wrong)?)),
        };
        let kind = RuleKind::of(rule);
        let before = others.iter().filter(|other| other.kind == kind).count();
        Ok(Self {
            declared: rule.clone(),
            kind,
            matches: rule
                .matches
                .as_deref()
                .map(Regex::new)
                .transpose()
                .map_err(|error| error.to_string())?,
            when: rule.when.as_ref().map(expression).transpose()?,
            answer,
            reasoning: rule.reasoning.as_ref().map(template).transpose()?,
            draw: format!("{} {before}", kind.label()),
        })
    }

    /// Whether one of its templates reads `name`.
    pub(super) fn reads(&self, name: &str) -> bool {
        let top = name.split('.').next();
        let reads = |names: Vec<String>| names.iter().any(|read| read == name || Some(&**read) == top);
        self.when.as_ref().is_some_and(|when| reads(when.variables()))
            || self.reasoning.as_ref().is_some_and(|template| reads(template.variables()))
            || match &self.answer {
                None => false,
                Some(AnswerTemplate::Text(template)) => reads(template.variables()),
                Some(AnswerTemplate::Json(tree)) => tree.any(&|template| reads(template.variables())),
            }
    }

    /// Whether all its conditions are met.
    pub(super) fn matches_attempt(
        &self,
        attempt: &MockAttempt,
        draws: &Draws,
    ) -> Result<bool, TemplateError> {
        if self.declared.endpoint.is_some_and(|endpoint| endpoint != attempt.endpoint) {
            return Ok(false);
        }
        if self.declared.contains.as_deref().is_some_and(|text| !attempt.prompt.contains(text)) {
            return Ok(false);
        }
        if self.matches.as_ref().is_some_and(|matches| !matches.is_match(&attempt.prompt)) {
            return Ok(false);
        }
        if let Some(when) = &self.when
            && !when.is_true(&attempt.record)?
        {
            return Ok(false);
        }
        let drawn = || draws.fraction(&self.draw, &attempt.key(self.kind));
        Ok(self.declared.share.is_none_or(|share| drawn() < share))
    }

    /// Renders the answer, if the rule has one.
    pub(super) fn answer(&self, attempt: &MockAttempt) -> Result<Option<String>, TemplateError> {
        match &self.answer {
            None => Ok(None),
            Some(AnswerTemplate::Text(template)) => template.render(&attempt.record).map(Some),
            Some(AnswerTemplate::Json(tree)) => Ok(Some(tree.render(&attempt.record)?.to_string())),
        }
    }

    /// Renders the reasoning, if the rule has any.
    pub(super) fn reasoning(&self, attempt: &MockAttempt) -> Result<Option<String>, TemplateError> {
        self.reasoning.as_ref().map(|template| template.render(&attempt.record)).transpose()
    }
}

impl JsonTemplate {
    fn new(value: &Value, vars: &Map<String, Value>) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::new(text, vars)?),
            Value::Array(values) => {
                Self::List(values.iter().map(|value| Self::new(value, vars)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| Ok((name.clone(), Self::new(value, vars)?));
                Self::Map(fields.iter().map(field).collect::<Result<_, TemplateError>>()?)
            }
            plain => Self::Plain(plain.clone()),
        })
    }

    fn any(&self, holds: &dyn Fn(&Template) -> bool) -> bool {
        match self {
            Self::Text(template) => holds(template),
            Self::List(values) => values.iter().any(|value| value.any(holds)),
            Self::Map(fields) => fields.iter().any(|(_, value)| value.any(holds)),
            Self::Plain(_) => false,
        }
    }

    fn render(&self, record: &Record) -> Result<Value, TemplateError> {
        Ok(match self {
            Self::Text(template) => Value::String(template.render(record)?),
            Self::List(values) => {
                Value::Array(values.iter().map(|value| value.render(record)).collect::<Result<_, _>>()?)
            }
            Self::Map(fields) => {
                let field = |(name, value): &(String, Self)| Ok((name.clone(), value.render(record)?));
                Value::Object(fields.iter().map(field).collect::<Result<_, TemplateError>>()?)
            }
            Self::Plain(value) => value.clone(),
        })
    }
}
