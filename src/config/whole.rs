//! Checks of a file as a whole: the order of stages, what each makes and needs, what is never used.
//!
//! Each stage checks its own values through the `CheckContext` that goes through them here. Where a stage
//! could not be read, nothing is reported that may follow from that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::check::{CheckContext, Findings};
use super::declared::Declared;
use super::head::Head;
use super::input::Input;
use super::names::{did_you_mean_this, one_of};
use super::problem::Problem;
use super::tree::{Document, each_text, join};
use crate::stages::{Role, StageType};
use crate::text_file;

/// A file named by a stage that could not be read is searched for variables up to this size, in bytes.
const LARGEST_SEARCHED: u64 = 1 << 20;

/// What the check of a whole file saw.
pub(super) struct Seen {
    /// A problem for each variable that nothing reads.
    pub(super) unused_vars: Vec<Problem>,
    /// What stages tell that is no problem.
    pub(super) warnings: Vec<Problem>,
    /// The variables that stages still read while they run.
    pub(super) still_read: BTreeSet<String>,
    /// The files that stages read, with the hash of their content.
    pub(super) inputs: BTreeMap<String, Input>,
    /// How many items there will be, where the source says so.
    pub(super) items: Option<u64>,
    /// The fields that records are known to have as they come to each stage, by its id.
    pub(super) fields: BTreeMap<Arc<str>, Vec<String>>,
}

/// What a check of the whole needs to know beside the stages.
pub(super) struct Around<'a> {
    /// The pipeline's file.
    pub(super) file: &'a Path,
    /// Its variables, overrides applied.
    pub(super) vars: &'a Map<String, Value>,
    /// The variables that were read before numbers were put in.
    pub(super) read_before: &'a BTreeSet<String>,
}

/// Checks everything that needs more than one part of the file.
pub(super) fn check(
    document: &Document,
    around: &Around<'_>,
    head: &Head,
    stages: &[Declared],
    table: &[StageType],
    problems: &mut Vec<Problem>,
) -> Seen {
    let vars = around.vars;
    let misplaced = check_order(document, stages, table, problems);
    let mut context = CheckContext::new(vars, &head.models);
    context.stands_in(around.file);
    let mut fields = BTreeMap::new();
    context.accepts(head.pipeline.as_ref().is_some_and(|pipeline| pipeline.accept.is_some()));
    for (index, stage) in stages.iter().enumerate() {
        context.enter(&stage.at, stage.when.is_some());
        fields.insert(stage.id.as_str().into(), context.field_names());
        if let Some(when) = &stage.when {
            context.expression("/when", when);
            context.some_go_past();
        }
        match &stage.declared {
            Some(declared) => {
                let (fields, problems) = context.progress();
                declared.check(&mut context);
                if misplaced.contains(&index) {
                    // What it misses comes of where it stands.
                    context.keep_inside(problems);
                    context.opens();
                }
                let (fields_after, problems_after) = context.progress();
                // A check that stopped at a problem told of no field; nothing is known of what follows.
                let sink = stage.kind.is_some_and(|kind| kind.role == Role::Sink);
                if problems_after > problems && fields_after == fields && !sink {
                    context.opens();
                }
            }
            None => {
                let (_, problems) = context.progress();
                if let Some(sound) = &stage.sound {
                    sound.check(&mut context);
                }
                context.keep_inside(problems);
                context.opens();
            }
        }
    }
    let Findings { mut used_vars, mut used_models, inputs, items, problems: found, warnings } =
        context.finish();
    problems.extend(found);
    used_vars.extend(read_vars(document, vars));
    let still_read = used_vars.clone();
    used_vars.extend(around.read_before.iter().cloned());
    for stage in stages.iter().filter(|stage| stage.declared.is_none()) {
        note_unread(document, &stage.at, vars, &mut used_vars, &mut used_models);
    }
    used_vars.extend(vars.keys().filter(|name| is_proposed(name, problems)).cloned());
    used_models.extend(head.models.keys().filter(|name| is_proposed(name, problems)).cloned());
    let unread = vars.keys().filter(|name| !used_vars.contains(*name));
    let unused_vars = unread
        .map(|name| unused(join("/vars", name), format!("nothing reads the variable `{name}`")))
        .collect();
    for name in head.models.keys().filter(|name| !used_models.contains(*name)) {
        problems.push(unused(join("/models", name), format!("no stage asks the model `{name}`")));
    }
    Seen { unused_vars, warnings, still_read, inputs, items, fields }
}

/// The variables that texts of the file name.
pub(super) fn read_vars(document: &Document, vars: &Map<String, Value>) -> BTreeSet<String> {
    let mut read = BTreeSet::new();
    each_text(&document.value, "", &mut |at, text| {
        if !at.starts_with("/vars") {
            note_vars(text, vars, &mut read);
        }
    });
    read
}

/// Whether a slip was reported for which `name` is most likely meant: that nothing uses the name is then no
/// second mistake.
fn is_proposed(name: &str, problems: &[Problem]) -> bool {
    let proposal = did_you_mean_this(name);
    problems.iter().any(|problem| problem.hint.as_ref() == Some(&proposal))
}

fn unused(at: String, message: String) -> Problem {
    let mut problem = Problem::new(at, message);
    problem.on_key().hint("use it or take it out");
    problem
}

/// Reports stages that stand where their role does not let them, and gives their numbers.
fn check_order(
    document: &Document,
    stages: &[Declared],
    table: &[StageType],
    problems: &mut Vec<Problem>,
) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let unknown = stages.iter().any(|stage| stage.kind.is_none());
    if stages.is_empty() {
        if document.value.get("stages").is_some_and(Value::is_array) {
            problems
                .push(Problem::new("/stages", "the pipeline has no stages").with_expected("a source first"));
        }
        return found;
    }
    // The source part ends with the first stage that is not of it; an unknown type may be anything.
    let mut in_source_part = true;
    for (index, stage) in stages.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| stages.get(index));
        let derives = stage.kind.is_some_and(|kind| matches!(kind.role, Role::Source | Role::Derive));
        if derives && stage.when.is_some() {
            let mut problem = Problem::new(join(&stage.at, "when"), "`when` cannot stand in the source part");
            problem.on_key().expected("a stage after the source part, where records are numbered");
            problems.push(problem);
        }
        if let Some(problem) = misplaced(stage, before, in_source_part, table) {
            problems.push(problem);
            found.insert(index);
        }
        in_source_part &= stage.kind.is_none_or(|kind| matches!(kind.role, Role::Source | Role::Derive));
    }
    let is_sink = |stage: &Declared| stage.kind.is_some_and(|kind| kind.role == Role::Sink);
    match stages.iter().rposition(is_sink) {
        None if unknown => {}
        None => {
            let mut problem = Problem::new("/stages", "no stage writes the records");
            problem.on_key().expected(format!("{} at the end", names_of(Role::Sink, table)));
            problems.push(problem);
        }
        Some(last) => {
            if let Some(stage) = stages.get(last + 1).filter(|stage| stage.kind.is_some()) {
                let message = format!("nothing after stage `{}` reaches a sink", stages[last].id);
                let mut problem = Problem::new(&stage.at, message);
                problem.on_key().hint("move it in front of the sink, or add a sink after it");
                problems.push(problem);
            }
        }
    }
    found
}

fn misplaced(
    stage: &Declared,
    before: Option<&Declared>,
    in_source_part: bool,
    table: &[StageType],
) -> Option<Problem> {
    let kind = stage.kind?;
    let wrong = |message: String, expected: String| {
        let mut problem = Problem::new(&stage.at, message);
        problem.on_key().expected(expected);
        Some(problem)
    };
    match (kind.role, before) {
        (Role::Source, None) => None,
        (_, None) => wrong(
            format!("a pipeline cannot begin with `{}`", kind.name),
            format!("a source first: {}", names_of(Role::Source, table)),
        ),
        (Role::Source, Some(_)) => wrong(
            format!("`{}` is not the first stage", kind.name),
            "one source, at the beginning".to_owned(),
        ),
        (Role::Derive, Some(before)) if !in_source_part => wrong(
            format!("`{}` comes too late, after `{}`", kind.name, before.id),
            format!("right after the source, or after {}", names_of(Role::Derive, table)),
        ),
        (Role::Read, Some(before)) if before.kind.is_some_and(|kind| kind.role != Role::Ask) => wrong(
            format!("`{}` reads a model's answer, but `{}` before it asks no model", kind.name, before.id),
            format!("right after {}", names_of(Role::Ask, table)),
        ),
        _ => None,
    }
}

fn names_of(role: Role, table: &[StageType]) -> String {
    one_of(table.iter().filter(|stage| stage.role == role).map(|stage| stage.name))
}

/// Notes the variables that a text names anywhere.
fn note_vars(text: &str, vars: &Map<String, Value>, used: &mut BTreeSet<String>) {
    for (start, _) in text.match_indices("vars") {
        let rest = text[start + 4..].trim_start_matches(['.', '[', '\'', '"']);
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if vars.contains_key(&rest[..end]) {
            used.insert(rest[..end].to_owned());
        }
    }
}

/// Notes what a stage that could not be read may use: models it names, and variables in files it names.
fn note_unread(
    document: &Document,
    at: &str,
    vars: &Map<String, Value>,
    used_vars: &mut BTreeSet<String>,
    used_models: &mut BTreeSet<String>,
) {
    let Some(body) = document.value.pointer(at) else { return };
    each_text(body, at, &mut |_, text| {
        used_models.insert(text.to_owned());
        let small = std::fs::metadata(text).is_ok_and(|file| file.is_file() && file.len() < LARGEST_SEARCHED);
        if let Some(content) = small.then(|| text_file::read(text).ok()).flatten() {
            note_vars(&content, vars, used_vars);
        }
    });
}
