//! Jinja templates and expressions over a record's fields and the pipeline's `vars`.
//!
//! `config::check` compiles them at load to find undefined names; stages render them for each record.
//! Strict: an undefined name is an error, never an empty text. Fuel bounds what one render may cost.

mod names;
mod operators;
mod slices;

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value};

use crate::record::Record;

/// Instructions one render may take: enough for any prompt, little enough that an endless loop in a
/// template ends within milliseconds.
const FUEL: u64 = 2_000_000;
/// The one template each environment holds.
const NAME: &str = "template";

/// A compiled template together with the pipeline's variables.
#[derive(Debug, Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    /// Top-level names the template reads: only these fields are converted for a render.
    reads: Arc<[String]>,
    /// The same names, dotted where it reaches inside.
    variables: Arc<[String]>,
    vars: minijinja::Value,
    /// Texts known by name beside a record's fields.
    texts: Arc<BTreeMap<String, minijinja::Value>>,
}

/// A template that does not compile or render.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong, in one line.
    pub message: String,
    /// Line in the template, from 1, where known.
    pub line: Option<usize>,
    /// The word that is wrong, where it is one.
    pub word: Option<String>,
    /// What may have been meant.
    pub hint: Option<String>,
}

impl Template {
    /// Compiles `source`; `vars` are the pipeline's variables, seen as `vars.NAME`.
    pub fn new(source: &str, vars: &Map<String, Value>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
            environment.set_syntax(syntax);
        }
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| TemplateError::from(error).or_hint(|| operators::in_template(source)))?;
        names::check(&environment, source)?;
        let (reads, variables) = undeclared(&environment, source)?;
        Ok(Self {
            environment: Arc::new(environment),
            reads: reads.into(),
            variables: variables.into(),
            vars: minijinja::Value::from(Serde(vars)),
            texts: Arc::default(),
        })
    }

    /// The template with texts that are the same for every record, by the names it reads them by; a record's
    /// field of the same name hides one.
    #[must_use]
    pub fn with_texts(mut self, texts: &BTreeMap<String, String>) -> Self {
        let value = |text: &String| minijinja::Value::from(text.as_str());
        self.texts = Arc::new(texts.iter().map(|(name, text)| (name.clone(), value(text))).collect());
        self
    }

    /// Renders for one record, which is seen as its fields by name, `vars`, and `id` (the record's id,
    /// unless it has a field of that name).
    pub fn render(&self, record: &Record) -> Result<String, TemplateError> {
        let mut context = BTreeMap::new();
        for name in self.reads.iter() {
            let value = match record.fields.get(name) {
                Some(value) => minijinja::Value::from(Serde(value)),
                None if name == "vars" => self.vars.clone(),
                None if name == "id" => minijinja::Value::from(record.id.to_string()),
                None => match self.texts.get(name) {
                    Some(text) => text.clone(),
                    None => continue,
                },
            };
            context.insert(name.as_str(), value);
        }
        Ok(self.environment.get_template(NAME)?.render(context)?)
    }

    /// Renders with `vars` alone, for texts that belong to no record (paths, counts).
    pub fn render_vars(&self) -> Result<String, TemplateError> {
        let context = BTreeMap::from([("vars", self.vars.clone())]);
        Ok(self.environment.get_template(NAME)?.render(context)?)
    }

    /// Renders with `vars` and `started` (the run's first start), for paths of files made at its end.
    pub fn render_started(&self, started: &str) -> Result<String, TemplateError> {
        let context =
            BTreeMap::from([("vars", self.vars.clone()), ("started", minijinja::Value::from(started))]);
        Ok(self.environment.get_template(NAME)?.render(context)?)
    }

    /// The names the template reads and does not set itself, dotted where it reaches inside
    /// (`section.title`), sorted.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        self.variables.to_vec()
    }
}

/// The names `source` reads and does not set itself: the first parts alone, and dotted; sorted.
fn undeclared(
    environment: &Environment<'static>,
    source: &str,
) -> Result<(Vec<String>, Vec<String>), TemplateError> {
    let mut plain = environment.clone();
    if let Some(source) = slices::without(source) {
        plain.add_template_owned(NAME, source)?;
    }
    let template = plain.get_template(NAME)?;
    let sorted = |dotted| {
        let mut names: Vec<String> = template.undeclared_variables(dotted).into_iter().collect();
        names.sort();
        names
    };
    Ok((sorted(false), sorted(true)))
}

/// A condition or value over a record's fields, such as `split == 'train'`.
#[derive(Debug, Clone)]
pub struct Expression {
    // Kept as templates: a compiled expression borrows its environment, a template does not.
    condition: Template,
    value: Template,
}

impl Expression {
    /// Compiles `source` as a Jinja expression.
    pub fn new(source: &str, vars: &Map<String, Value>) -> Result<Self, TemplateError> {
        Environment::new()
            .compile_expression(source)
            .map_err(|error| TemplateError::from(error).or_hint(|| operators::in_expression(source)))?;
        Ok(Self {
            condition: Template::new(&format!("{{% if {source} %}}1{{% endif %}}"), vars)?,
            value: Template::new(&format!("{{{{ ({source}) | tojson }}}}"), vars)?,
        })
    }

    /// Whether the expression is true for one record, by Jinja's rules.
    pub fn is_true(&self, record: &Record) -> Result<bool, TemplateError> {
        Ok(self.condition.render(record)? == "1")
    }

    /// The value of the expression for one record.
    pub fn value(&self, record: &Record) -> Result<Value, TemplateError> {
        let json = self.value.render(record)?;
        serde_json::from_str(&json)
            .map_err(|error| TemplateError::new(format!("not a JSON value: {error}"), None))
    }

    /// The names the expression reads, dotted where it reaches inside, sorted.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        self.condition.variables()
    }
}

impl From<minijinja::Error> for TemplateError {
    fn from(error: minijinja::Error) -> Self {
        let message = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        Self::new(message, error.line())
    }
}

impl TemplateError {
    fn new(message: String, line: Option<usize>) -> Self {
        Self { message, line, word: None, hint: None }
    }

    /// With a hint, where there is none yet.
    fn or_hint(mut self, hint: impl FnOnce() -> Option<String>) -> Self {
        self.hint = self.hint.or_else(hint);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record() -> Record {
        let Value::Object(fields) = json!({"section": {"title": "Setup"}, "n": 3, "id": "row-1"}) else {
            unreachable!()
        };
        Record::new(fields)
    }

    #[test]
    fn renders_fields_vars_and_the_rows_own_id() {
        let vars = Map::from_iter([("lang".to_owned(), json!("de"))]);
        let template =
            Template::new("{{ id }}: {{ section.title }} {{ n + 1 }} {{ vars.lang }}", &vars).unwrap();
        assert_eq!(template.render(&record()).unwrap(), "row-1: Setup 4 de");
        assert_eq!(template.variables(), ["id", "n", "section.title", "vars.lang"]);
    }

    #[test]
    fn what_is_sliced_is_read_too() {
        let template = Template::new("{{ section.title[:n] }}{{ [1, 2, 3][1:] }}", &Map::new()).unwrap();
        assert_eq!(template.variables(), ["n", "section.title"]);
        assert_eq!(template.render(&record()).unwrap(), "Set[2, 3]");
        assert!(
            Expression::new("section.title[:2] == 'Se'", &Map::new()).unwrap().is_true(&record()).unwrap()
        );
    }

    #[test]
    fn an_undefined_name_is_an_error() {
        let template = Template::new("{{ section.titel }}", &Map::new()).unwrap();
        let error = template.render(&record()).unwrap_err();
        assert!(error.message.contains("undefined"), "{error}");
    }

    #[test]
    fn an_endless_template_runs_out_of_fuel() {
        let source = "{% for i in range(9999) %}{% for j in range(9999) %}{{ i }}{% endfor %}{% endfor %}";
        assert!(Template::new(source, &Map::new()).unwrap().render(&record()).is_err());
    }

    #[test]
    fn expressions_decide_and_compute() {
        let expression = Expression::new("n > 2 and section.title == 'Setup'", &Map::new()).unwrap();
        assert!(expression.is_true(&record()).unwrap());
        let list = Expression::new("[section.title, '<b>']", &Map::new()).unwrap();
        assert_eq!(list.value(&record()).unwrap(), json!(["Setup", "<b>"]));
        assert!(Expression::new("n >", &Map::new()).is_err());
        assert!(Expression::new("n %} {% if 1", &Map::new()).is_err());
    }
}
