//! The context of a stage's `check`: where to report problems, and which fields earlier stages make.
//!
//! One context passes through the stages in order, so that each sees what those before it made. All problems of a
//! file are collected; nothing stops at the first. Files that stages read and write are in `files`, reporting in
//! `reporting`.

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

/// Names that every template knows: the record as a whole, its id, the variables.
const BUILT_IN: [&str; 3] = [RECORD, "id", "vars"];
/// The record as a whole.
const RECORD: &str = "record";

/// The state of a check, passed from stage to stage.
#[derive(Clone)]
pub struct CheckContext<'a> {
    /// The pipeline's variables, overrides applied.
    pub vars: &'a Map<String, Value>,
    /// The models the pipeline declares.
    pub models: &'a BTreeMap<String, ModelConfig>,
    /// The pipeline's file.
    file: PathBuf,
    /// The run directories that earlier pipelines of the same command will create.
    planned_runs: Vec<PathBuf>,
    /// JSON pointer to the body of the stage under check.
    stage: String,
    /// The fields of records at this point, with what is known of their types; open if there may be others.
    record: ObjectFields,
    /// How many fields the checks of stages have declared.
    declared_fields: usize,
    /// Whether only some records pass through the stage under check.
    conditional: bool,
    /// Whether types inferred from the first rows of a file apply to all records: not after a stage that may drop
    /// some.
    samples_hold: bool,
    /// Fields whose type an expression tests (`is string`): it depends on the record.
    tested: BTreeSet<String>,
    /// Fields whose messages may contain images.
    with_images: BTreeSet<String>,
    used_vars: BTreeSet<String>,
    used_models: BTreeSet<String>,
    outputs: BTreeMap<String, String>,
    inputs: BTreeMap<String, InputFile>,
    /// The number of items that leave the source part, if known.
    items: Option<u64>,
    /// Whether each item reaches the stage under check exactly once.
    all_items: bool,
    /// Whether each item that reaches the stage leaves it exactly once.
    keeps_items: bool,
    /// Whether the run ends at a number of accepted items rather than with the source.
    accepts: bool,
    /// The blocks around the stage under check, innermost last.
    blocks: Vec<OpenBlock>,
    /// For names that some stage makes and that do not exist here: the hint to show when they are used.
    absent_fields: BTreeMap<String, String>,
    /// Whether this is a trial pass over a loop, whose problems are not reported.
    is_trial: bool,
    unused_draws: UnusedDraws,
    mock_reads: MockFieldReads,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// The result of a check.
pub(crate) struct CheckFindings {
    pub(crate) used_vars: BTreeSet<String>,
    pub(crate) used_models: BTreeSet<String>,
    /// The files that the run depends on, with the hashes of their contents.
    pub(crate) inputs: BTreeMap<String, InputFile>,
    pub(crate) items: Option<u64>,
    pub(crate) problems: Vec<Problem>,
    /// Valid settings that are probably not meant.
    pub(crate) warnings: Vec<Problem>,
}

impl<'a> CheckContext<'a> {
    /// Creates a context for the start of a pipeline.
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

    /// Declares that the messages in the field `name` may contain images.
    pub fn shows_images(&mut self, name: &str) {
        self.with_images.insert(name.to_owned());
    }

    /// Whether the messages in the field `name` may contain images.
    #[must_use]
    pub fn has_images(&self, name: &str) -> bool {
        self.with_images.contains(name)
    }

    /// Declares how many items there will be, for sources that know it.
    pub fn set_item_count(&mut self, count: u64) {
        self.items = Some(count);
        self.all_items = true;
        self.keeps_items();
    }

    /// Declares that every incoming record is passed on, as one record.
    pub fn keeps_items(&mut self) {
        self.keeps_items = true;
    }

    /// The number of items, if it is known, the run processes all of them, and each reaches this stage exactly
    /// once.
    #[must_use]
    pub fn items(&self) -> Option<u64> {
        self.items.filter(|_| self.all_items && !self.accepts)
    }

    /// Declares that the stage draws `names` for a model: each must be used by a later template or expression
    /// before a model is asked, by its own name or through one of `all`, which contain all of them.
    pub fn require_in_prompt(&mut self, names: Vec<String>, all: &'static [&'static str]) {
        self.unused_draws.add(self.stage.clone(), names, all);
    }

    /// Compiles a template; reports at `at` if it is invalid or uses a name that no earlier stage makes.
    pub fn template(&mut self, at: &str, source: &str) -> Option<Template> {
        let template = Template::new(source, self.vars);
        let template = template.map_err(|error| self.template_error(at, source, &error)).ok()?;
        let right =
            self.check_names(at, source, &template.variables()) && self.check_types(at, source, false);
        right.then_some(template)
    }

    /// Compiles an expression; reports at `at` as `template` does.
    pub fn expression(&mut self, at: &str, source: &str) -> Option<Expression> {
        let expression = Expression::new(source, self.vars);
        let expression = expression.map_err(|error| self.template_error(at, source, &error)).ok()?;
        let right =
            self.check_names(at, source, &expression.variables()) && self.check_types(at, source, true);
        right.then_some(expression)
    }

    /// Renders a text that may use `vars` and `started` only, such as a path or glob; reports at `at`.
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

    /// Marks the model `name` as used; reports at `at` if the pipeline does not declare it.
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

    /// Sets whether the run ends at a number of accepted items.
    pub(crate) fn accepts(&mut self, accepts: bool) {
        self.accepts = accepts;
    }

    /// Sets the pipeline's file.
    pub(crate) fn set_file(&mut self, file: &Path) {
        file.clone_into(&mut self.file);
    }

    /// Sets the run directories that earlier pipelines of the same command will create.
    pub(crate) fn set_planned_runs(&mut self, planned: &[PathBuf]) {
        planned.clone_into(&mut self.planned_runs);
    }

    /// Moves on to the stage whose body is at the pointer `stage`; `conditional` means that some records bypass
    /// it.
    pub(crate) fn enter(&mut self, stage: &str, conditional: bool) {
        stage.clone_into(&mut self.stage);
        self.conditional = false;
        if conditional || !self.keeps_items {
            self.all_items = false;
        }
        self.keeps_items = false;
    }

    /// Declares that some records bypass the stage under check.
    pub(crate) fn mark_conditional(&mut self) {
        self.conditional = true;
    }

    /// The number of fields declared and of problems reported so far, from which the caller derives what one
    /// stage's check did.
    pub(crate) fn progress(&self) -> (usize, usize) {
        (self.declared_fields, self.problems.len())
    }

    /// Of the problems reported after the first `before`, keeps those with an option of the stage: the others may
    /// follow from an earlier problem.
    pub(crate) fn retain_problems_inside(&mut self, before: usize) {
        let rest = self.problems.split_off(before);
        let inside = format!("{}/", self.stage);
        self.problems.extend(rest.into_iter().filter(|problem| problem.at.starts_with(&inside)));
    }

    /// Returns what the stages used of the pipeline's settings, the files they read, and the problems found.
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

    /// Checks the names used by the template `source`; returns false if one was reported.
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

    /// Adds a hint on how to write a field whose name is not an identifier, if that may be the cause of the last
    /// problem with the template `source`.
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

    /// Reports the error of the template `source` at `at`.
    fn template_error(&mut self, at: &str, source: &str, error: &TemplateError) {
        self.problem(at, "").of_template(error);
        if error.hint.is_none() {
            self.hint_at_key(source, "");
        }
    }
}

/// Whether a field's name can be written in a template as it is.
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
