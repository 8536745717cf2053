//! The stage reference in Markdown, generated from the schemas: `synthmill stages`, `docs/stages.md`.

use std::fmt::Write;

use serde_json::Value;

use crate::config::check::{COMMON_KEYS, allow_common_keys};
use crate::pipeline::ProducedField;
use crate::pipeline::schema_words::type_words;
use crate::stages::{Role, STAGES, StageType};

const BEGINNING: &str = "# Stages

Every stage with its options, the fields that it sets and an example that runs; [writing a pipeline](pipeline-file.md) explains
how stages, fields and templates work together.

";

/// The reference of all stages, in the order of the table.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(BEGINNING);
    text.push_str("| stage | what it does |\n|---|---|\n");
    for stage in STAGES {
        let _ = writeln!(text, "| [`{0}`](#{0}) | {1} |", stage.name, cell(stage.purpose));
    }
    for stage in STAGES {
        let _ = write!(text, "\n{}", stage_reference(stage));
    }
    text
}

/// The reference of one stage: its purpose, where it is allowed, its options, the fields it makes, an example.
#[must_use]
pub fn stage_reference(stage: &StageType) -> String {
    let mut schema = stage.schema().to_value();
    allow_common_keys(&mut schema);
    let mut text = format!("## {}\n\n{}\n\n{}\n", stage.name, stage.purpose, role_words(stage.role));
    let rows = rows(&schema, "");
    text.push_str("\n| option | type | default | meaning |\n|---|---|---|---|\n");
    text.push_str(&rows);
    text.push_str(&makes(stage.makes));
    let _ = write!(text, "\n```yaml\n{}\n```\n", stage.example.trim_end());
    text
}

/// The table of the fields that a stage makes; empty if it makes none.
fn makes(table: &[ProducedField]) -> String {
    if table.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n| field | type | meaning |\n|---|---|---|\n");
    for made in table {
        let named = made.option.map_or_else(String::new, |option| format!(" (named by `{option}`)"));
        let kind = (made.kind)();
        let _ = writeln!(
            text,
            "| `{}`{named} | {} | {} |",
            made.name,
            cell(&kind.to_string()),
            cell(made.meaning)
        );
    }
    text
}

fn role_words(role: Role) -> &'static str {
    match role {
        Role::Source => "The first stage: it produces the records.",
        Role::SourceTransform => {
            "Allowed in the source part only, that is, before any stage that samples, renders or asks."
        }
        Role::Transform => "Allowed anywhere after the source part.",
        Role::Ask => "Allowed anywhere after the source part; asks a model.",
        Role::AnswerParser => "Allowed directly after a stage that asks a model, whose answer it reads.",
        Role::Block => "Allowed anywhere after the source part; contains other stages.",
        Role::Sink => "Allowed anywhere after the source part; writes records and passes them on.",
    }
}

/// The rows of a schema's properties; nested options follow theirs, as `outer.inner`.
pub(super) fn rows(schema: &Value, prefix: &str) -> String {
    let mut text = String::new();
    let required = schema.get("required").and_then(Value::as_array);
    let required: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties: Vec<(&String, &Value)> = properties.into_iter().flatten().collect();
    let common = |name: &str| prefix.is_empty() && COMMON_KEYS.contains(&name);
    let (last, own): (Vec<_>, Vec<_>) = properties.into_iter().partition(|(name, _)| common(name));
    for (name, field) in own {
        let default = match field.get("default") {
            Some(Value::Null) | None if required.contains(&name.as_str()) => "required".to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(value) => format!("`{value}`"),
        };
        row(&mut text, &format!("{prefix}{name}"), &default, field);
        text.push_str(&inner_rows(field, &format!("{prefix}{name}")));
    }
    // Options whose names the user chooses.
    let named = schema.get("additionalProperties").filter(|values| prefix.is_empty() && values.is_object());
    named.iter().for_each(|values| row(&mut text, "NAME", "", values));
    last.iter().for_each(|(name, field)| row(&mut text, name, "", field));
    text
}

fn row(text: &mut String, name: &str, default: &str, field: &Value) {
    let description = field.get("description").and_then(Value::as_str).unwrap_or_default();
    let _ = writeln!(
        text,
        "| `{name}` | {} | {} | {} |",
        cell(&type_words(field)),
        cell(default),
        cell(&with_choices(description, field)),
    );
}

fn inner_rows(field: &Value, name: &str) -> String {
    if field.get("properties").is_some() {
        return rows(field, &format!("{name}."));
    }
    if let Some(items) = field.get("items").filter(|items| items.get("properties").is_some()) {
        return rows(items, &format!("{name}[]."));
    }
    // A map whose keys the user chooses.
    if let Some(values) =
        field.get("additionalProperties").filter(|values| values.get("properties").is_some())
    {
        return rows(values, &format!("{name}.NAME."));
    }
    let branches = field.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let mut maps = branches.filter(|branch| branch.get("properties").is_some());
    match (maps.next(), maps.next()) {
        (Some(only), None) => rows(only, &format!("{name}.")),
        _ => String::new(),
    }
}

/// A description followed by the meaning of each choice of an enumeration.
fn with_choices(description: &str, field: &Value) -> String {
    let mut text = description.to_owned();
    for choice in choices(field) {
        let value = choice.get("const").and_then(Value::as_str);
        let variant = choice.pointer("/required/0").and_then(Value::as_str);
        let Some(name) = value.or(variant) else { continue };
        if let Some(meaning) = choice.get("description").and_then(Value::as_str) {
            let _ = write!(text, " `{name}`: {meaning}");
        }
    }
    text
}

/// The documented choices of an enumeration, also if it is optional or the item of a list.
fn choices(field: &Value) -> Vec<&Value> {
    if let Some(choices) = field.get("oneOf").and_then(Value::as_array) {
        return choices.iter().collect();
    }
    let optional = field.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    optional.chain(field.get("items")).flat_map(choices).collect()
}

/// Formats a text as a table cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
