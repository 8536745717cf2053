//! The tables of the fields that stages make, which their reference shows, compared with what their checks
//! declare.

use serde_json::{Map, Value, json};

use crate::config::check::COMMON_KEYS;
use crate::pipeline::{CheckContext, FieldType, ObjectFields};
use crate::stages::{Role, STAGES, StageType};

/// Every name that a stage's check declares is in its table, with the declared type; so what `stages` shows is
/// what is checked.
#[test]
fn the_tables_of_fields_match_what_checks_declare() {
    let configs = [
        ("ingest", json!({"paths": ["markdown_docs/*.md"]})),
        ("generate", json!({})),
        ("section", json!({})),
        ("plan_questions", json!({})),
        (
            "sample_injections",
            json!({"folder": "config/injections", "length": "config/response_length_distribution.json"}),
        ),
        ("prompt", json!({"user": "a"})),
        (
            "llm",
            json!({"model": "m", "continue": "FIELD", "keep": ["choices", "logprobs", "tool_calls", "finish_reason"]}),
        ),
        ("parse", json!({"schema": {"type": "object"}, "into": "FIELD"})),
        ("repeat", json!({"times": 2, "keep": "all", "stages": []})),
        ("for_each", json!({"in": 2, "collect": {"into": "FIELD", "fields": ["text"]}, "stages": []})),
        ("judge", json!({"model": "m", "text": "text", "aspects": {"tone": "5: calm"}})),
        ("choose", json!({"from": "FIELD", "by": "candidate.score", "take": "pair"})),
        ("cot_expand", json!({"question": "text", "answer": "text", "steps": "text"})),
        ("split", json!({"ratios": {"a": 1, "b": 1}, "by": "text"})),
        ("sink", json!({"path": "a.jsonl", "format": "raw"})),
    ];
    let (vars, models) = (Map::new(), std::collections::BTreeMap::new());
    for stage in STAGES {
        let name = stage.name;
        let listed = configs.iter().find(|(listed, _)| *listed == name);
        let config = listed.map_or_else(|| body_in_example(stage), |(_, config)| config.clone());
        let fits = |row: &str, field: &str| match listed {
            Some(_) => fits(row, field),
            // An example has names of its own.
            None => fits(row, field) || is_capitals(row),
        };
        let told = |config: Value| -> Vec<(String, FieldType)> {
            let mut context = CheckContext::new(&vars, &models);
            let declared = stage.declare(config).unwrap();
            declared.check(&mut context);
            let mut found = Vec::new();
            if let Some(block) = declared.block() {
                context.open_block(name, "", false);
                block.enter(&mut context);
                found.extend(flat(context.record()));
                context.end_block_stages();
                block.leave(&mut context);
                context.close_block();
            }
            found.extend(flat(context.record()));
            found
        };
        let patterns: Vec<&str> = stage.makes.iter().map(|made| made.name).collect();
        let found = told(config.clone());
        for (field, kind) in &found {
            let row = stage.makes.iter().find(|made| fits(made.name, field));
            let row = row.unwrap_or_else(|| panic!("`{name}` makes `{field}`, its table has {patterns:?}"));
            let expected = (row.kind)();
            assert!(
                kind.could_be(&expected) && expected.could_be(kind),
                "`{name}`: `{field}` is {kind}, not {expected}"
            );
            // The types of a block's fields depend on its stages, those of demonstrations on their file.
            let depends = [FieldType::object(), FieldType::any_list()].contains(&expected)
                && (stage.role == Role::Block || name == "few_shot");
            if expected != FieldType::any() && !depends {
                assert_eq!(kind, &expected, "`{name}`: `{field}`");
            }
        }
        for made in stage.makes.iter().filter(|made| {
            // Set with other options than those above.
            let is_optional = made.name.starts_with("vote.") || made.name == "preferred";
            !made.name.contains("COLUMN") && !["PROPERTY", "source.row"].contains(&made.name) && !is_optional
        }) {
            assert!(
                found.iter().any(|(field, _)| fits(made.name, field)),
                "`{name}` tells of no `{}`: {found:?}",
                made.name
            );
        }
        // An option that names a field does so.
        for made in stage.makes.iter().filter(|made| made.option.is_some_and(|option| option == "output")) {
            let mut config = config.clone();
            config["output"] = json!("other");
            let found = told(config);
            assert!(found.iter().any(|(field, kind)| field == "other" && *kind == (made.kind)()), "{name}");
            assert!(found.iter().all(|(field, _)| field != made.name), "{name}");
        }
    }
}

/// The options of a stage in its own example.
fn body_in_example(stage: &StageType) -> Value {
    let pipeline: Value = serde_saphyr::from_str(stage.example).unwrap();
    let mut bodies = pipeline["stages"].as_array().unwrap().iter().filter_map(|one| one.get(stage.name));
    let mut body = bodies.next().unwrap().clone();
    COMMON_KEYS.iter().for_each(|key| drop(body.as_object_mut().unwrap().shift_remove(*key)));
    body
}

fn is_capitals(row: &str) -> bool {
    row.chars().all(|char| char.is_ascii_uppercase())
}

/// Whether a field matches a row of a table, in which capitals mean any name.
fn fits(row: &str, field: &str) -> bool {
    match row.strip_suffix("NAME") {
        Some(outer) => field.starts_with(outer) && !outer.is_empty(),
        None => row == field,
    }
}

/// The fields; objects with known names are replaced by the fields inside them.
fn flat(inside: &ObjectFields) -> Vec<(String, FieldType)> {
    let mut all = Vec::new();
    for (name, kind) in inside.fields() {
        match kind.inside().filter(|inner| kind.is_object() && inner.names().next().is_some()) {
            Some(inner) => {
                all.extend(flat(inner).into_iter().map(|(inner, kind)| (format!("{name}.{inner}"), kind)))
            }
            None => all.push((name.to_owned(), kind.clone())),
        }
    }
    all
}
