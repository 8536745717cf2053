//! One rule of a script: whether it fits an attempt, and what it answers.
//!
//! A rule is compiled once, when the model is connected; `pipeline::mock_check` has refused wrong ones.

use regex::Regex;
use serde_json::{Map, Value, json};

use crate::draw::Draws;
use crate::llm::ModelRequest;
use crate::pipeline::MockRule;
use crate::record::Record;
use crate::template::{Expression, Template, TemplateError};

/// One attempt, as rules see it.
pub(super) struct Scene {
    /// The texts of all messages.
    pub(super) prompt: String,
    /// The record with `mock` among its fields.
    record: Record,
    /// What names the request in the keys of draws.
    request: String,
    count: Count,
    endpoint: u32,
}

/// What came before an attempt at the same request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    /// Attempts, all of them.
    pub(super) sent: u32,
    /// Attempts that got past what depends on the moment: the limit and the endpoints.
    pub(super) attempts: u32,
    /// Answers.
    pub(super) answers: u32,
}

/// What a rule is, which says what its draws count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// How one replica fails or how slow it is.
    Endpoint,
    /// What goes wrong with a request, wherever it goes.
    Error,
    /// What is answered.
    Answer,
}

impl Scene {
    pub(super) fn new(request: &ModelRequest, record: &Record, count: Count, endpoint: u32) -> Self {
        let texts: Vec<&str> = request.messages.iter().map(|message| &*message.content).collect();
        let prompt = texts.join("\n\n");
        let question = blake3::hash(prompt.as_bytes()).to_hex();
        let key = format!("{} {question} {}", record.id, request.sample);
        let mut record = record.clone();
        let mock = json!({"prompt": &prompt, "attempt": count.attempts + 1, "ask": request.sample + 1});
        record.set("mock", mock);
        Self { prompt, record, request: key, count, endpoint }
    }

    /// What draws of a kind are keyed by. Each kind has a count of its own, so that nothing that depends on the
    /// moment moves an error, and no error an answer.
    pub(super) fn key(&self, kind: Kind) -> String {
        let before = match kind {
            Kind::Endpoint => self.count.sent,
            Kind::Error => self.count.attempts,
            Kind::Answer => self.count.answers,
        };
        format!("{} {before}", self.request)
    }

    /// Lets templates see what is answered where no rule fits.
    pub(super) fn show_answer(&mut self, answer: &str) {
        if let Some(mock) = self.record.fields.get_mut("mock").and_then(Value::as_object_mut) {
            mock.insert("answer".to_owned(), answer.into());
        }
    }
}

impl Kind {
    fn of(rule: &MockRule) -> Self {
        match rule {
            MockRule { endpoint: Some(_), .. } => Self::Endpoint,
            MockRule { error: Some(_), .. } => Self::Error,
            _ => Self::Answer,
        }
    }

    /// As names of draws have it.
    fn word(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Error => "error",
            Self::Answer => "answer",
        }
    }
}

/// A rule, ready to be asked.
pub(super) struct Rule {
    /// As the file has it.
    pub(super) declared: MockRule,
    pub(super) kind: Kind,
    matches: Option<Regex>,
    when: Option<Expression>,
    answer: Option<Answer>,
    reasoning: Option<Template>,
    /// The name of the draw for `share`. Each kind is counted apart, so that an error more does not change who
    /// is answered how.
    draw: String,
}

/// An answer, its texts compiled.
enum Answer {
    Text(Template),
    Json(Tree),
}

/// A JSON value in which texts are templates.
enum Tree {
    Text(Template),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
    Plain(Value),
}

impl Rule {
    /// Compiles a rule that stands behind others. The error says in words what is wrong.
    pub(super) fn new(rule: &MockRule, others: &[Self], vars: &Map<String, Value>) -> Result<Self, String> {
        let wrong = |error: TemplateError| error.to_string();
        let template = |text: &String| Template::new(text, vars).map_err(wrong);
        let expression = |text: &String| Expression::new(text, vars).map_err(wrong);
        let answer = match &rule.answer {
            None => None,
            Some(Value::String(text)) => Some(Answer::Text(template(text)?)),
            Some(other) => Some(Answer::Json(Tree::new(other, vars).map_err(wrong)?)),
        };
        let kind = Kind::of(rule);
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
            draw: format!("{} {before}", kind.word()),
        })
    }

    /// Whether one of its texts reads `name`.
    pub(super) fn reads(&self, name: &str) -> bool {
        let top = name.split('.').next();
        let reads = |names: Vec<String>| names.iter().any(|read| read == name || Some(&**read) == top);
        self.when.as_ref().is_some_and(|when| reads(when.variables()))
            || self.reasoning.as_ref().is_some_and(|template| reads(template.variables()))
            || match &self.answer {
                None => false,
                Some(Answer::Text(template)) => reads(template.variables()),
                Some(Answer::Json(tree)) => tree.any(&|template| reads(template.variables())),
            }
    }

    /// Whether all its conditions hold.
    pub(super) fn fits(&self, scene: &Scene, draws: &Draws) -> Result<bool, TemplateError> {
        if self.declared.endpoint.is_some_and(|endpoint| endpoint != scene.endpoint) {
            return Ok(false);
        }
        if self.declared.contains.as_deref().is_some_and(|text| !scene.prompt.contains(text)) {
            return Ok(false);
        }
        if self.matches.as_ref().is_some_and(|matches| !matches.is_match(&scene.prompt)) {
            return Ok(false);
        }
        if let Some(when) = &self.when
            && !when.is_true(&scene.record)?
        {
            return Ok(false);
        }
        let drawn = || draws.fraction(&self.draw, &scene.key(self.kind));
        Ok(self.declared.share.is_none_or(|share| drawn() < share))
    }

    /// The answer's text, if the rule has one.
    pub(super) fn answer(&self, scene: &Scene) -> Result<Option<String>, TemplateError> {
        match &self.answer {
            None => Ok(None),
            Some(Answer::Text(template)) => template.render(&scene.record).map(Some),
            Some(Answer::Json(tree)) => Ok(Some(tree.render(&scene.record)?.to_string())),
        }
    }

    /// The reasoning that comes with the answer, if the rule has any.
    pub(super) fn reasoning(&self, scene: &Scene) -> Result<Option<String>, TemplateError> {
        self.reasoning.as_ref().map(|template| template.render(&scene.record)).transpose()
    }
}

impl Tree {
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
