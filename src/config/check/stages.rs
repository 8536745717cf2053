//! Validates each stage of a file against the schema of its type and deserializes it.
//!
//! A stage is a map with one key, its type; `id` and `when` are in its body beside the type's own fields. A block
//! has a list of its own, which is handled like that of the file. Where stages are allowed is checked in
//! `stage_order`, what they mean to each other in `pipeline_check`.

use std::collections::HashMap;

use serde_json::Value;

use crate::nearest::{did_you_mean, one_of};
use crate::pipeline::document::{Document, join};
use crate::pipeline::problem::Problem;
use crate::pipeline::schema_check::{self, SchemaCheckContext};
use crate::pipeline::schema_words::describe_value;
use crate::pipeline::stage_ids::stage_ids;
use crate::stage::StageConfig;
use crate::stages::{Role, StageType};

/// Keys that every stage has besides those of its type.
pub(in crate::config) const COMMON_KEYS: [&str; 2] = ["id", "when"];

/// The maximum nesting depth of blocks.
const MOST_DEPTH: usize = 8;

/// One entry of `stages`, as far as it could be deserialized.
pub(in crate::config) struct DeclaredStage {
    /// JSON pointer to the body.
    pub(in crate::config) at: String,
    /// Given or derived; in a block its path, such as `evolve/judge`.
    pub(in crate::config) id: String,
    /// `None` for an unknown type.
    pub(in crate::config) kind: Option<&'static StageType>,
    /// The condition, if it is given and is text.
    pub(in crate::config) when: Option<String>,
    /// `None` if the body is invalid.
    pub(in crate::config) declared: Option<Box<dyn StageConfig>>,
    /// The valid options of an invalid body, for further checks only.
    pub(in crate::config) partial: Option<Box<dyn StageConfig>>,
    /// The stages inside a block.
    pub(in crate::config) inner: Vec<DeclaredStage>,
}

/// Deserializes every entry of `stages`, and of the `stages` of blocks.
pub(in crate::config) fn declare_stages(
    document: &mut Document,
    table: &'static [StageType],
    context: &SchemaCheckContext<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<DeclaredStage> {
    StageReader { document, table, context, problems }.stages("/stages", &[])
}

/// Deserializes stages and collects their problems.
struct StageReader<'a> {
    document: &'a mut Document,
    table: &'static [StageType],
    context: &'a SchemaCheckContext<'a>,
    problems: &'a mut Vec<Problem>,
}

impl StageReader<'_> {
    /// The entries of the list at the pointer `list`, inside the blocks with these ids.
    fn stages(&mut self, list: &str, blocks: &[&str]) -> Vec<DeclaredStage> {
        let entries = self.document.value.pointer(list).and_then(Value::as_array);
        let ids = stage_ids(entries.map_or(&[], Vec::as_slice));
        let mut stages = Vec::with_capacity(ids.len());
        for (index, id) in ids.into_iter().enumerate() {
            let entry = format!("{list}/{index}");
            let path: Vec<&str> = blocks.iter().copied().chain([id.id.as_str()]).collect();
            let mut stage = DeclaredStage {
                at: entry.clone(),
                id: path.join("/"),
                kind: None,
                when: None,
                declared: None,
                partial: None,
                inner: Vec::new(),
            };
            if let Some(kind) = self.stage_type(&entry, !blocks.is_empty()) {
                stage.kind = Some(kind);
                stage.at = join(&entry, kind.name);
                self.body(&mut stage, kind);
                if kind.role == Role::Block {
                    stage.inner = self.block_stages(&stage.at, &path);
                }
            }
            stages.push(stage);
        }
        check_ids(&stages, self.document, self.problems);
        stages
    }

    /// The stages inside the block at the pointer `at` with this path of ids.
    fn block_stages(&mut self, at: &str, path: &[&str]) -> Vec<DeclaredStage> {
        if path.len() > MOST_DEPTH {
            let mut problem = Problem::new(at, "blocks stand too deep inside one another");
            problem.on_key().expected(format!("{MOST_DEPTH} blocks inside one another at most"));
            self.problems.push(problem);
            return Vec::new();
        }
        let list = format!("{at}/stages");
        if self.document.value.pointer(&list).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            let name = path.last().copied().unwrap_or_default();
            let problem = Problem::new(&list, format!("`{name}` has no stages"));
            self.problems.push(problem.with_expected("a stage at least"));
        }
        self.stages(&list, path)
    }

    /// The type of the stage at `entry`; reports an entry that is not a map with one known key.
    fn stage_type(&mut self, entry: &str, in_block: bool) -> Option<&'static StageType> {
        let Self { document, table, problems, .. } = self;
        let value = document.value.pointer(entry)?;
        let known = |name: &str| table.iter().find(|stage| stage.name == name);
        let Value::Object(map) = value else {
            let mut problem = Problem::new(entry, format!("found {}", describe_value(value)));
            problem.expected("a stage: a map with one key, its type");
            if let Some(name) = value.as_str().filter(|name| known(name).is_some()) {
                problem.hint(format!("write `{name}: {{}}`"));
            }
            problems.push(problem);
            return None;
        };
        let names: Vec<&str> = map.keys().map(String::as_str).collect();
        let Some(first) = names.first() else {
            problems
                .push(Problem::new(entry, "an empty stage").with_expected("a map with one key, its type"));
            return None;
        };
        // With several keys, the first that is a type is meant; the others are most likely not indented enough.
        let meant = names.iter().find(|name| known(name).is_some()).unwrap_or(first);
        for other in names.iter().filter(|name| *name != meant) {
            let mut problem =
                Problem::new(join(entry, other), format!("a second key, `{other}`, in one stage"));
            problem.on_key().expected("a map with one key, the stage's type");
            problem.hint(match known(other) {
                Some(_) => format!("begin a new stage: `- {other}:`"),
                None => format!("indent `{other}` further, so that it stands inside `{meant}`"),
            });
            problems.push(problem);
        }
        if known(meant).is_none() {
            let mut problem = Problem::new(join(entry, meant), format!("unknown stage type `{meant}`"));
            let fitting =
                || table.iter().filter(|stage| stage.in_blocks || !in_block).map(|stage| stage.name);
            problem.on_key().expected(one_of(fitting()));
            problem.hint = did_you_mean(meant, fitting());
            problems.push(problem);
        }
        // A key outside may be one that the body needs: that it is missing there is no second problem.
        if names.len() > 1 { None } else { known(meant) }
    }

    /// Deserializes the body of a stage.
    fn body(&mut self, stage: &mut DeclaredStage, kind: &'static StageType) {
        let Self { document, context, problems, .. } = self;
        let before = problems.len();
        let body = document.value.pointer(&stage.at).unwrap_or(&Value::Null);
        if !matches!(body, Value::Object(_) | Value::Null) {
            let problem = Problem::new(&stage.at, format!("wrong type: found {}", describe_value(body)));
            problems.push(problem.with_expected(format!("a map of the options of `{}`", kind.name)));
            return;
        }
        for key in COMMON_KEYS {
            match body.get(key) {
                None => {}
                Some(Value::String(text)) if key == "when" => stage.when = Some(text.clone()),
                Some(Value::String(text)) if is_id(text) => {}
                Some(other) => {
                    let problem =
                        Problem::new(join(&stage.at, key), format!("found {}", describe_value(other)));
                    problems.push(problem.with_expected(match key {
                        "id" => "lower-case letters, digits, `-` and `_`",
                        _ => "an expression in quotes, such as \"split == 'train'\"",
                    }));
                }
            }
        }
        let mut schema = kind.schema().to_value();
        allow_common_keys(&mut schema);
        let Some(value) = schema_check::check(document, &stage.at, &COMMON_KEYS, &schema, context, problems)
        else {
            let value = schema_check::valid_part(document, &stage.at, &COMMON_KEYS, &problems[before..]);
            stage.partial = value.and_then(|value| kind.declare(value).ok());
            return;
        };
        match kind.declare(value) {
            Ok(declared) if problems.len() == before => stage.declared = Some(declared),
            Ok(declared) => stage.partial = Some(declared),
            Err(error) => problems.push(schema_check::from_serde_error(&stage.at, &error)),
        }
    }
}

/// Adds the common keys to a stage's schema, so that a misspelt one is recognised.
pub(in crate::config) fn allow_common_keys(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    let properties = schema.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
    let Some(properties) = properties.as_object_mut() else { return };
    let common = [
        ("id", "The stage's name in outputs and messages; by default its type, then `TYPE-2`, ..."),
        ("when", "An expression over the record's fields; a record for which it is false skips the stage."),
    ];
    for (key, description) in common {
        let mut field = serde_json::Map::new();
        field.insert("description".to_owned(), Value::from(description));
        field.insert("type".to_owned(), Value::from("string"));
        properties.insert(key.to_owned(), Value::Object(field));
    }
}

fn check_ids(stages: &[DeclaredStage], document: &Document, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, stage) in stages.iter().enumerate() {
        let at = format!("{}/id", stage.at);
        if document.value.pointer(&at).is_none_or(|id| !id.is_string()) {
            continue;
        }
        if let Some(first) = seen.insert(&stage.id, index) {
            let number = first + 1;
            let message = match stage.id.rsplit_once('/') {
                Some((block, id)) => format!("stage {number} of `{block}` has the id `{id}` too"),
                None => format!("stage {number} has the id `{}` too", stage.id),
            };
            let mut problem = Problem::new(at, message);
            problem.expected("an id of its own for each stage");
            problems.push(problem);
        }
    }
}

fn is_id(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !text.is_empty() && text.chars().all(fits)
}
