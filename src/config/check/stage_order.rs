//! Checks where stages are allowed: a source first, a sink last, what a block can contain.
//!
//! Considers the roles of stages only; what they make and need is checked in `pipeline_check`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::stages::DeclaredStage;
use crate::nearest::one_of;
use crate::pipeline::document::{Document, join};
use crate::pipeline::problem::Problem;
use crate::stages::{Role, StageType};

/// Reports stages that are not allowed where they are, and returns the pointers to them.
pub(in crate::config) fn check_order(
    document: &Document,
    stages: &[DeclaredStage],
    table: &[StageType],
    problems: &mut Vec<Problem>,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for stage in stages {
        check_inside(stage, table, problems, &mut found);
    }
    let unknown = stages.iter().any(|stage| stage.kind.is_none());
    if stages.is_empty() {
        if document.value.get("stages").is_some_and(Value::is_array) {
            problems
                .push(Problem::new("/stages", "the pipeline has no stages").with_expected("a source first"));
        }
        return found;
    }
    // The source part ends with the first stage that does not belong to it; an unknown type may be anything.
    let mut in_source_part = true;
    for (index, stage) in stages.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| stages.get(index));
        let derives =
            stage.kind.is_some_and(|kind| matches!(kind.role, Role::Source | Role::SourceTransform));
        if derives && stage.when.is_some() {
            let mut problem = Problem::new(join(&stage.at, "when"), "`when` cannot stand in the source part");
            problem.on_key().expected("a stage after the source part, where records are numbered");
            problems.push(problem);
        }
        if let Some(problem) = misplaced(stage, before, in_source_part, table) {
            problems.push(problem);
            found.insert(stage.at.clone());
        }
        in_source_part &=
            stage.kind.is_none_or(|kind| matches!(kind.role, Role::Source | Role::SourceTransform));
    }
    let is_sink = |stage: &DeclaredStage| stage.kind.is_some_and(|kind| kind.role == Role::Sink);
    match stages.iter().rposition(is_sink) {
        None if unknown || stages.iter().any(holds_sink) => {}
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

/// Whether a block contains a sink, which is not allowed: that there is no other sink is no second problem.
fn holds_sink(stage: &DeclaredStage) -> bool {
    let sink = |inner: &DeclaredStage| inner.kind.is_some_and(|kind| kind.role == Role::Sink);
    stage.inner.iter().any(|inner| sink(inner) || holds_sink(inner))
}

fn misplaced(
    stage: &DeclaredStage,
    before: Option<&DeclaredStage>,
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
        (Role::SourceTransform, Some(before)) if !in_source_part => wrong(
            format!("`{}` comes too late, after `{}`", kind.name, before.id),
            format!("right after the source, or after {}", names_of(Role::SourceTransform, table)),
        ),
        (Role::AnswerParser, Some(before)) if before.kind.is_some_and(|kind| kind.role != Role::Ask) => {
            let mut problem = Problem::new(&stage.at, reads_nothing(kind, before));
            problem.on_key().expected(format!("right after {}", names_of(Role::Ask, table)));
            problem.hint = into_block(before);
            Some(problem)
        }
        _ => None,
    }
}

/// Reports stages that are not allowed in the block `block`, at any depth.
fn check_inside(
    block: &DeclaredStage,
    table: &[StageType],
    problems: &mut Vec<Problem>,
    found: &mut BTreeSet<String>,
) {
    let takes_several = block
        .declared
        .as_ref()
        .and_then(|declared| declared.block())
        .is_none_or(|declared| declared.takes_several());
    for (index, stage) in block.inner.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| block.inner.get(index));
        if let Some(problem) = misplaced_inside(block, stage, before, table) {
            problems.push(problem);
            found.insert(stage.at.clone());
        } else if !takes_several && stage.declared.as_ref().is_some_and(|declared| declared.fans_out()) {
            problems.push(fans_out(block, stage));
        }
        check_inside(stage, table, problems, found);
    }
}

fn misplaced_inside(
    block: &DeclaredStage,
    stage: &DeclaredStage,
    before: Option<&DeclaredStage>,
    table: &[StageType],
) -> Option<Problem> {
    let kind = stage.kind?;
    if !kind.in_blocks {
        let outermost = block.id.split('/').next().unwrap_or_default();
        let mut problem = Problem::new(&stage.at, format!("`{}` cannot stand in a block", kind.name));
        problem.on_key().hint(match kind.role {
            Role::Source => "the source is the first stage of the pipeline".to_owned(),
            Role::SourceTransform => "it belongs to the source part, right after the source".to_owned(),
            Role::Sink => format!("put it after `{outermost}`: it writes what comes out of the block"),
            _ => format!("put it before or after `{outermost}`"),
        });
        return Some(problem);
    }
    let asks = |before: &DeclaredStage| before.kind.is_none_or(|kind| kind.role == Role::Ask);
    if kind.role != Role::AnswerParser || before.is_some_and(asks) {
        return None;
    }
    let message = match before {
        Some(before) => reads_nothing(kind, before),
        None => {
            format!("`{}` reads a model's answer, but it is the first stage of `{}`", kind.name, block.id)
        }
    };
    let mut problem = Problem::new(&stage.at, message);
    problem.on_key().expected(format!("right after {}, in the same block", names_of(Role::Ask, table)));
    problem.hint = before.and_then(into_block);
    Some(problem)
}

/// The message about a stage that parses an answer and follows one that does not ask a model.
fn reads_nothing(kind: &StageType, before: &DeclaredStage) -> String {
    let it = if is_block(before) { "is a block" } else { "asks no model" };
    format!("`{}` reads a model's answer, but `{}` before it {it}", kind.name, before.id)
}

/// The hint for a stage that parses an answer and follows the block that obtains it.
fn into_block(before: &DeclaredStage) -> Option<String> {
    is_block(before)
        .then(|| format!("put it into `{}`, right after the stage whose answer it reads", before.id))
}

fn is_block(stage: &DeclaredStage) -> bool {
    stage.kind.is_some_and(|kind| kind.role == Role::Block)
}

/// The problem of a stage that makes several records of one where only one is allowed.
fn fans_out(block: &DeclaredStage, stage: &DeclaredStage) -> Problem {
    let name = |stage: &DeclaredStage| stage.kind.map_or("", |kind| kind.name);
    let message = format!("`{}` makes several records of one, and `{}` goes on with one", stage.id, block.id);
    let mut problem = Problem::new(&stage.at, message);
    problem.on_key().hint(match name(stage) {
        "for_each" => "join its elements again: `collect: {into: ..., fields: [...]}`".to_owned(),
        "repeat" => "let it go on with the last pass alone: `keep: last`".to_owned(),
        _ => format!("put it after `{}`", block.id),
    });
    problem
}

fn names_of(role: Role, table: &[StageType]) -> String {
    one_of(table.iter().filter(|stage| stage.role == role).map(|stage| stage.name))
}
