//! What a stage's `check` is given: where to report problems, and which names earlier stages make.
//!
//! One context goes through the stages in order, so that each sees what those before it made. All problems
//! of a file are gathered; nothing stops at the first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::pipeline::ModelConfig;
use super::problem::Problem;
use crate::template::{Expression, Template, TemplateError};

/// The state of a check, handed from stage to stage.
pub struct CheckContext<'a> {
    /// The pipeline's variables, overrides applied.
    pub vars: &'a Map<String, Value>,
    /// The models the pipeline declares.
    pub models: &'a BTreeMap<String, ModelConfig>,
    /// JSON pointer to the body of the stage under check.
    stage: String,
    /// Names that records have at this point, dotted where the inside is known too.
    fields: BTreeSet<String>,
    /// Whether records may have fields that are not known beforehand.
    open: bool,
    used_vars: BTreeSet<String>,
    used_models: BTreeSet<String>,
    outputs: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl<'a> CheckContext<'a> {
    /// A context at the start of a pipeline.
    #[must_use]
    pub fn new(vars: &'a Map<String, Value>, models: &'a BTreeMap<String, ModelConfig>) -> Self {
        Self {
            vars,
            models,
            stage: String::new(),
            fields: BTreeSet::new(),
            open: false,
            used_vars: BTreeSet::new(),
            used_models: BTreeSet::new(),
            outputs: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Reports a problem with the value at `at`, a JSON pointer inside the stage's body (`""` is the body
    /// itself, `/paths/0` its first path).
    pub fn problem(&mut self, at: &str, message: impl Into<String>) -> &mut Problem {
        let at = format!("{}{at}", self.stage);
        self.problems.push(Problem { at, message: message.into(), ..Problem::default() });
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    /// Says that records have these fields from here on; a dotted name tells of the inside of a field.
    pub fn makes(&mut self, names: &[&str]) {
        self.fields.extend(names.iter().map(|name| (*name).to_owned()));
    }

    /// Says that records may have further fields whose names are not known beforehand.
    pub fn opens(&mut self) {
        self.open = true;
    }

    /// Whether records have a field of this name, as far as can be known.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        todo!("{name}")
    }

    /// Reports at `at` when no earlier stage makes the field `name`.
    pub fn needs(&mut self, at: &str, name: &str) {
        todo!("{at}{name}")
    }

    /// Compiles a template for records; reports at `at` if it is wrong or names what no earlier stage makes.
    pub fn template(&mut self, at: &str, source: &str) -> Option<Template> {
        todo!("{at}{source}")
    }

    /// Compiles an expression over records; reports at `at` as `template` does.
    pub fn expression(&mut self, at: &str, source: &str) -> Option<Expression> {
        todo!("{at}{source}")
    }

    /// Renders a text that may name `vars` only, such as a path or glob; reports at `at`.
    pub fn render(&mut self, at: &str, source: &str) -> Option<String> {
        todo!("{at}{source}")
    }

    /// Reads a file that the run depends on: its content counts as part of the pipeline. Reports at `at` when
    /// it cannot be read.
    pub fn read_file(&mut self, at: &str, path: &str) -> Option<String> {
        todo!("{at}{path}")
    }

    /// Marks the model `name` as used; reports at `at` if the pipeline declares none of that name.
    pub fn model(&mut self, at: &str, name: &str) {
        todo!("{at}{name}")
    }

    /// Claims a file of the run directory; reports at `at` when the path leaves the directory, is one of
    /// the run's own files, or another stage writes it.
    pub fn output(&mut self, at: &str, path: &str) {
        todo!("{at}{path}")
    }

    /// Reports a template's own error at `at`.
    fn template_error(&mut self, at: &str, error: &TemplateError) {
        self.problem(at, error.message.clone());
    }
}
