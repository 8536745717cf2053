//! Jinja templates and expressions over a record's fields and the pipeline's `vars`.
//!
//! `pipeline::check` compiles them at load to find undefined names; stages render them for each record. Templates
//! are strict: an undefined name is an error, never an empty text, and so is an operation without a result, such
//! as comparing a text with a number, or null where a text is expected. Source size, steps and memory are
//! bounded.
//!
//! minijinja parses a source (`program`); its names are resolved (`names`), its operators replaced by checked
//! ones (`rewrite`, `checked_operators`), and the result runs with the values of a record (`values`).

mod checked_operators;
mod describe;
mod diff;
mod environment;
mod error_messages;
mod foreign_operators;
mod known_names;
mod limits;
mod measures;
mod names;
mod number_lists;
mod patterns;
mod program;
mod quotation;
mod regexes;
mod rewrite;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

pub use self::patterns::Patterns;
use self::program::{Purpose, TemplateProgram};
use crate::record::Record;

/// A compiled template together with the pipeline's variables.
#[derive(Debug, Clone)]
pub struct Template {
    program: Arc<TemplateProgram>,
    beside: TemplateGlobals,
}

/// A condition or value over a record's fields, such as `split == 'train'`.
#[derive(Debug, Clone)]
pub struct Expression {
    condition: Arc<TemplateProgram>,
    value: Arc<TemplateProgram>,
    beside: TemplateGlobals,
}

/// What a template sees besides a record's fields.
#[derive(Debug, Clone)]
struct TemplateGlobals {
    vars: minijinja::Value,
    /// Texts and patterns by name.
    named: Arc<BTreeMap<String, minijinja::Value>>,
}

/// A template that does not compile or render.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}{}", .hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub struct TemplateError {
    /// What is wrong, in one line.
    pub message: String,
    /// Line in the template, from 1, where known.
    pub line: Option<usize>,
    /// The wrong word, if it is a single one.
    pub word: Option<String>,
    /// A suggestion.
    pub hint: Option<String>,
}

impl Template {
    /// Compiles `source`; `vars` are the pipeline's variables, visible as `vars.NAME`.
    pub fn new(source: &str, vars: &Map<String, Value>) -> Result<Self, TemplateError> {
        Ok(Self { program: Arc::new(TemplateProgram::template(source)?), beside: TemplateGlobals::new(vars) })
    }

    /// Adds texts that are the same for every record, by name; a record's field of the same name hides one.
    #[must_use]
    pub fn with_texts(mut self, texts: &BTreeMap<String, String>) -> Self {
        let value = |text: &String| minijinja::Value::from(text.as_str());
        self.beside.named = Arc::new(texts.iter().map(|(name, text)| (name.clone(), value(text))).collect());
        self
    }

    /// Adds patterns under a name.
    #[must_use]
    pub fn with_patterns(mut self, name: &str, patterns: &Patterns) -> Self {
        self.beside.add(name, patterns.value());
        self
    }

    /// Renders for one record. Visible are its fields by name, `record` with all of them, `vars`, and `id` (the
    /// record's id); a field of one of these names hides it.
    pub fn render(&self, record: &Record) -> Result<String, TemplateError> {
        self.program.render(self.beside.with(&self.program, record))
    }

    /// Renders with `vars` only, for texts that do not belong to a record (paths, counts).
    pub fn render_vars(&self) -> Result<String, TemplateError> {
        let context = BTreeMap::from([("vars", self.beside.vars.clone())]);
        self.program.render(context.into())
    }

    /// Renders with `vars` and `started` (the run's first start), for paths of files made at its end.
    pub fn render_started(&self, started: &str) -> Result<String, TemplateError> {
        let vars = self.beside.vars.clone();
        let context = BTreeMap::from([("vars", vars), ("started", minijinja::Value::from(started))]);
        self.program.render(context.into())
    }

    /// The names that the template uses and does not set itself, dotted if it reaches inside (`section.title`),
    /// sorted.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        self.program.reads.dotted.iter().cloned().collect()
    }

    /// Whether it renders to the same text for all records.
    #[must_use]
    pub fn names_only_vars(&self) -> bool {
        self.program.reads.dotted.iter().all(|name| name == "vars" || name.starts_with("vars."))
    }
}

impl Expression {
    /// Compiles `source` as a Jinja expression.
    pub fn new(source: &str, vars: &Map<String, Value>) -> Result<Self, TemplateError> {
        Ok(Self {
            condition: Arc::new(TemplateProgram::expression(source, Purpose::Condition)?),
            value: Arc::new(TemplateProgram::expression(source, Purpose::Value)?),
            beside: TemplateGlobals::new(vars),
        })
    }

    /// Adds patterns under a name; a record's field of the same name hides them.
    #[must_use]
    pub fn with_patterns(mut self, name: &str, patterns: &Patterns) -> Self {
        self.beside.add(name, patterns.value());
        self
    }

    /// Whether the expression is true for one record, by Jinja's rules; a text such as `no` is an error.
    pub fn is_true(&self, record: &Record) -> Result<bool, TemplateError> {
        let value = self.condition.value(self.beside.with(&self.condition, record))?;
        match value.is_undefined() {
            true => Err(TemplateError::new("undefined value".to_owned(), None)),
            false => Ok(value.is_true()),
        }
    }

    /// The value of the expression for one record.
    pub fn value(&self, record: &Record) -> Result<Value, TemplateError> {
        let value = self.value.value(self.beside.with(&self.value, record))?;
        values::json(&value).map_err(|message| TemplateError::new(message, None))
    }

    /// The names that the expression uses, dotted if it reaches inside, sorted.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        self.condition.reads.dotted.iter().cloned().collect()
    }
}

impl TemplateGlobals {
    fn new(vars: &Map<String, Value>) -> Self {
        let vars =
            minijinja::Value::from_pairs(vars.iter().map(|(name, var)| (name.as_str(), values::value(var))));
        Self { vars, named: Arc::default() }
    }

    fn add(&mut self, name: &str, value: minijinja::Value) {
        Arc::make_mut(&mut self.named).insert(name.to_owned(), value);
    }

    /// The values that `program` uses, for one record.
    fn with(&self, program: &TemplateProgram, record: &Record) -> minijinja::Value {
        values::of_record(&program.reads, record, |name| match name {
            "vars" => Some(self.vars.clone()),
            _ => self.named.get(name).cloned(),
        })
    }
}

impl From<minijinja::Error> for TemplateError {
    fn from(error: minijinja::Error) -> Self {
        Self::from_ref(&error)
    }
}

impl TemplateError {
    fn new(message: String, line: Option<usize>) -> Self {
        Self { message, line, word: None, hint: None }
    }

    fn from_ref(error: &minijinja::Error) -> Self {
        let message = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        Self::new(message, error.line())
    }

    /// Adds a hint if there is none.
    fn or_hint(mut self, hint: impl FnOnce() -> Option<String>) -> Self {
        self.hint = self.hint.or_else(hint);
        self
    }
}
