//! What a stage's `check` is given: where to report problems, and which names earlier stages make.
//!
//! One context goes through the stages in order, so that each sees what those before it made. All problems
//! of a file are gathered; nothing stops at the first. What stages read and write stands in `files`, what
//! is reported in `reporting`.

mod blocks;
mod expressions;
mod fields;
mod files;
mod mock;
mod reporting;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use self::blocks::OpenBlock;
use self::mock::MockFieldReads;
use super::field_type::ObjectFields;
use super::input_file::InputFile;
use super::model::ModelConfig;
use super::problem::Problem;
use super::schema_check::undeclared_var;
use super::unused_draws::UnusedDraws;
use crate::nearest::{did_you_mean, nearest, one_of};
use crate::template::{Expression, Template, TemplateError};

/// Names every template knows without any stage: the record as a whole, its id, the variables.
const BUILT_IN: [&str; 3] = [RECORD, "id", "vars"];
/// The name of the record as a whole.
const RECORD: &str = "record";

/// The state of a check, handed from stage to stage.
#[derive(Clone)]
pub struct CheckContext<'a> {
    /// The pipeline's variables, overrides applied.
    pub vars: &'a Map<String, Value>,
    /// The models the pipeline declares.
    pub models: &'a BTreeMap<String, ModelConfig>,
    /// The pipeline's file.
    file: PathBuf,
    /// The run directories that earlier pipelines of the same command are going to make.
    planned_runs: Vec<PathBuf>,
    /// JSON pointer to the body of the stage under check.
    stage: String,
    /// The fields that records have at this point, with what is known of their values; open where they may have
    /// others.
    record: ObjectFields,
    /// How often the checks of stages told of fields.
    declared_fields: usize,
    /// Whether some records only go through the stage under check.
    conditional: bool,
    /// Whether what the first rows of a file show is taken for all: not where records were left out by then.
    samples_hold: bool,
    /// Fields whose kind an expression asks for: what they are depends on the record.
    tested: BTreeSet<String>,
    /// Fields whose messages may show images.
    with_images: BTreeSet<String>,
    used_vars: BTreeSet<String>,
    used_models: BTreeSet<String>,
    outputs: BTreeMap<String, String>,
    inputs: BTreeMap<String, InputFile>,
    /// Items that leave the source part, where that is known.
    items: Option<u64>,
    /// Whether each of them reaches the stage under check, exactly once.
    all_items: bool,
    /// Whether each that reaches the stage goes on from it, exactly once.
    keeps_items: bool,
    /// Whether the run ends at some number of accepted items rather than with the source.
    accepts: bool,
    /// The blocks that the stage under check stands in, innermost last.
    blocks: Vec<OpenBlock>,
    /// Why there is no field of a name although some stage makes one: what to say when it is read.
    absent_fields: BTreeMap<String, String>,
    /// Whether this is a first look at what a loop makes, of which no problem is reported.
    is_trial: bool,
    unused_draws: UnusedDraws,
    mock_reads: MockFieldReads,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// What a check found out.
pub(crate) struct CheckFindings {
    pub(crate) used_vars: BTreeSet<String>,
    pub(crate) used_models: BTreeSet<String>,
    /// Files the run depends on, with the hash of their content.
    pub(crate) inputs: BTreeMap<String, InputFile>,
    pub(crate) items: Option<u64>,
    pub(crate) problems: Vec<Problem>,
    /// What may not be meant, in files that are right.
    pub(crate) warnings: Vec<Problem>,
}

impl<'a> CheckContext<'a> {
    /// A context at the start of a pipeline.
    #[must_use]
    pub fn new(vars: &'a Map<String, Value>, models: &'a BTreeMap<String, ModelConfig>) -> Self {
        Self {
            vars,
            models,
            file: PathBuf::new(),
            planned_runs: Vec::new(),
            stage: String::new(),
            record: ObjectFields::default(),
            declared_fields: 0,
            conditional: false,
            samples_hold: true,
            tested: BTreeSet::new(),
            with_images: BTreeSet::new(),
            used_vars: BTreeSet::new(),
            used_models: BTreeSet::new(),
            outputs: BTreeMap::new(),
            inputs: BTreeMap::new(),
            items: None,
            all_items: false,
            keeps_items: true,
            accepts: false,
            blocks: Vec::new(),
            absent_fields: BTreeMap::new(),
            is_trial: false,
            unused_draws: UnusedDraws::default(),
            mock_reads: MockFieldReads::default(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Says that the messages in the field `name` may show images.
    pub fn shows_images(&mut self, name: &str) {
        self.with_images.insert(name.to_owned());
    }

    /// Whether the messages in the field `name` may show images.
    #[must_use]
    pub fn has_images(&self, name: &str) -> bool {
        self.with_images.contains(name)
    }

    /// Says how many items there will be; for sources that know.
    pub fn set_item_count(&mut self, count: u64) {
        self.items = Some(count);
        self.all_items = true;
        self.keeps_items();
    }

    /// Says that every record that comes in goes on, as one record.
    pub fn keeps_items(&mut self) {
        self.keeps_items = true;
    }

    /// How many items there are, if that is known, the run goes through all of them, and each reaches this
    /// stage exactly once.
    #[must_use]
    pub fn items(&self) -> Option<u64> {
        self.items.filter(|_| self.all_items && !self.accepts)
    }

    /// Says that the stage draws `names` for a model to see: each must be read by a later template or
    /// expression before a model is asked, by its own name or through one of `all`, which hold every one.
    pub fn require_in_prompt(&mut self, names: Vec<String>, all: &'static [&'static str]) {
        self.unused_draws.add(self.stage.clone(), names, all);
    }

    /// Compiles a template for records; reports at `at` if it is wrong or names what no earlier stage makes.
    pub fn template(&mut self, at: &str, source: &str) -> Option<Template> {
        let template = Template::new(source, self.vars);
        let template = template.map_err(|error| self.template_error(at, source, &error)).ok()?;
        let right =
            self.check_names(at, source, &template.variables()) && self.check_types(at, source, false);
        right.then_some(template)
    }

    /// Compiles an expression over records; reports at `at` as `template` does.
    pub fn expression(&mut self, at: &str, source: &str) -> Option<Expression> {
        let expression = Expression::new(source, self.vars);
        let expression = expression.map_err(|error| self.template_error(at, source, &error)).ok()?;
        let right =
            self.check_names(at, source, &expression.variables()) && self.check_types(at, source, true);
        right.then_some(expression)
    }

    /// Renders a text that may name `vars` and `started` only, such as a path or glob; reports at `at`.
    pub fn render(&mut self, at: &str, source: &str) -> Option<String> {
        let template = Template::new(source, self.vars);
        let template = template.map_err(|error| self.template_error(at, source, &error)).ok()?;
        let names = template.variables();
        let mut fine = true;
        for name in names.iter().filter(|name| !is_var(name) && *name != "started") {
            fine = false;
            self.problem(at, format!("`{name}` cannot be used here: no record is known yet"))
                .on_word(name)
                .expected("a text that names `vars` only");
        }
        let vars: Vec<String> = names.into_iter().filter(|name| is_var(name)).collect();
        if !self.check_names(at, source, &vars) || !fine {
            return None;
        }
        let rendered = template.render_started("YYYY-MM-DD_HH-MM-SS");
        rendered.map_err(|error| self.template_error(at, source, &error)).ok()
    }

    /// Marks the model `name` as used; reports at `at` if the pipeline declares none of that name.
    pub fn model(&mut self, at: &str, name: &str) {
        self.unused_draws.ask();
        if self.models.contains_key(name) {
            self.used_models.insert(name.to_owned());
            self.ask_mock(name);
            return;
        }
        let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
        let hint = did_you_mean(name, known.iter().copied());
        let problem = self.problem(at, format!("no model named `{name}` is declared"));
        if known.is_empty() {
            problem.hint("declare it at the top of the file, under `models:`");
        } else {
            problem.expected(one_of(known));
            problem.hint = hint;
        }
    }

    /// Says whether the run ends at some number of accepted items.
    pub(crate) fn accepts(&mut self, accepts: bool) {
        self.accepts = accepts;
    }

    /// Says which file the pipeline is in.
    pub(crate) fn set_file(&mut self, file: &Path) {
        file.clone_into(&mut self.file);
    }

    /// Says which run directories earlier pipelines of the same command are going to make.
    pub(crate) fn set_planned_runs(&mut self, planned: &[PathBuf]) {
        planned.clone_into(&mut self.planned_runs);
    }

    /// Goes on to the stage whose body is at the pointer `stage`; `some` says that some records go past it.
    pub(crate) fn enter(&mut self, stage: &str, conditional: bool) {
        stage.clone_into(&mut self.stage);
        self.conditional = false;
        if conditional || !self.keeps_items {
            self.all_items = false;
        }
        self.keeps_items = false;
    }

    /// Says that some records go past the stage under check.
    pub(crate) fn mark_conditional(&mut self) {
        self.conditional = true;
    }

    /// How often fields were told of and how many problems were reported: what one stage's check did.
    pub(crate) fn progress(&self) -> (usize, usize) {
        (self.declared_fields, self.problems.len())
    }

    /// Of the problems reported after the first `before`, keeps those with an option the stage has: the
    /// others may come of what is wrong already.
    pub(crate) fn retain_problems_inside(&mut self, before: usize) {
        let rest = self.problems.split_off(before);
        let inside = format!("{}/", self.stage);
        self.problems.extend(rest.into_iter().filter(|problem| problem.at.starts_with(&inside)));
    }

    /// What the stages used of the pipeline's settings, the files they read, and the problems found.
    pub(crate) fn finish(mut self) -> CheckFindings {
        self.problems.extend(self.unused_draws.problems());
        self.problems.extend(self.mock_reads.problems());
        CheckFindings {
            used_vars: self.used_vars,
            used_models: self.used_models,
            inputs: self.inputs,
            items: self.items,
            problems: self.problems,
            warnings: self.warnings,
        }
    }

    /// Checks the names that the template `source` reads; false when one was reported.
    fn check_names(&mut self, at: &str, source: &str, names: &[String]) -> bool {
        let before = self.problems.len();
        let own = self.has(RECORD);
        for name in names {
            if let Some(rest) = name.strip_prefix("vars.") {
                self.check_var(at, rest.split('.').next().unwrap_or(rest));
            } else if name == "vars" {
                self.used_vars.extend(self.vars.keys().cloned());
            } else if name == RECORD && !own {
                self.unused_draws.read_all();
            } else {
                let inside = name.strip_prefix(RECORD).and_then(|rest| rest.strip_prefix('.'));
                let name = inside.filter(|_| !own).unwrap_or(name);
                self.unused_draws.read(name);
                if !self.knows(name) {
                    self.unknown_name(at, name);
                    self.hint_at_key(source, name);
                }
            }
        }
        self.problems.len() == before
    }

    /// Says how a field is written whose name is no identifier, if the last problem with the template `source`
    /// comes of one.
    fn hint_at_key(&mut self, source: &str, name: &str) {
        let written = |field: &&str| source.contains(*field);
        let mut keys: Vec<&str> = self.record.names().filter(|field| !is_plain(field)).collect();
        keys.sort_by_key(|field| std::cmp::Reverse(field.len()));
        let near = || nearest(name, keys.iter().copied());
        let key = keys.iter().copied().find(written).or_else(near).map(str::to_owned);
        if let (Some(key), Some(problem)) = (key, self.problems.last_mut()) {
            let key = serde_json::Value::from(key);
            problem.hint(format!("the field {key} is written `record[{key}]` in templates and expressions"));
        }
    }

    fn check_var(&mut self, at: &str, name: &str) {
        if self.vars.contains_key(name) {
            self.used_vars.insert(name.to_owned());
            return;
        }
        let problem = undeclared_var(&format!("{}{at}", self.stage), name, self.vars);
        self.problems.push(problem);
    }

    /// Reports the own error of the template `source` at `at`.
    fn template_error(&mut self, at: &str, source: &str, error: &TemplateError) {
        self.problem(at, "").of_template(error);
        if error.hint.is_none() {
            self.hint_at_key(source, "");
        }
    }
}

/// Whether a field can be written in a template as it is.
fn is_plain(field: &str) -> bool {
    let name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
    };
    field.split('.').all(name)
}

fn is_var(name: &str) -> bool {
    name == "vars" || name.starts_with("vars.")
}
